"""What type checkers take ``manyhands.watch`` for, which do not know of modules that can be called."""

from __future__ import annotations

from manyhands.watch import _watching


class Face:
    """The module, as far as it is public."""

    __call__ = staticmethod(_watching.watch)
    Watching = _watching.Watching


watch = Face()
