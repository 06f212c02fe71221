"""Watching a run: ``manyhands.watch()`` shows this program and all its workers live on one page in the browser.

Call the module:

    >>> import manyhands
    >>> watching = manyhands.watch(level="auto", arguments=True)  # doctest: +SKIP
    >>> watching.url, watching.stop  # doctest: +SKIP

From then on, until the program ends or ``watching.stop()``; as a ``with`` block, until that is left. In a notebook the page is in a frame
below the cell. All parameters are given by name, and each may be left out:

=============  =================================================================================
``name``       what the run is called; else by the program's file
``level``      what is told of lines, see below; else ``"sample"``
``files``      the files of which lines are told: a part of their paths, several, or what
               ``manyhands.watch.files`` gives; else those of the project
``arguments``  True: show the arguments of tasks. They may be secret, so else they are not
``control``    True: tasks may be cancelled, and workers paused and restarted, from the page
``terminal``   True: show the run in this terminal as well
``browser``    True, False: open the page or not; else where there is a desktop to show it on
``port``       of the page; else one that is free
``host``       the address that the page can be reached by; else ``"127.0.0.1"``, this machine
``save``       files to look at the run afterwards: ``"run.html"`` (the page, which shows it again),
               ``".trace.json"`` (ui.perfetto.dev), ``".speedscope.json"``, ``".jsonl"`` (all events)
=============  =================================================================================

==============  ================================================================================
``"sample"``    where each thread is, twenty times a second, and so how long lines take
``"touch"``     besides, which lines have run
``"auto"``      how often they have, within a small share of the time: where much runs, an estimate
``"exact"``     how often, at 1.5 to 4 times the time; in Python 3.11, at 4 to 22 times
==============  ================================================================================

``help(manyhands.watch.__call__)`` tells all of it: what is promised, and which errors there are. ``manyhands.watch.trace()`` has the name
and parameters of heartrate's. ``manyhands run --watch SCRIPT`` does the same for a program that is not to be changed.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from manyhands.watch._watching import Watching as Watching

__all__ = ["Watching", "files", "trace"]

# By name: the module of this package where it is; a name that is empty is the module itself.
_HOME = {"Watching": ("_watching", "Watching"), "files": ("_trace", "files"), "trace": ("_trace", "trace")}


class _Callable(ModuleType):
    """This module, which can be called, and imports nothing until that is done, or it is asked how."""

    @property
    def __call__(self) -> Any:
        from manyhands.watch._watching import watch  # noqa: PLC0415 - this is what keeps the import light

        return watch

    @property
    def __signature__(self) -> object:
        import inspect  # noqa: PLC0415 - as above

        return inspect.signature(self.__call__)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib  # noqa: PLC0415 - as above

    module, inside = _HOME[name]
    value: object = getattr(importlib.import_module(f"{__name__}.{module}"), inside)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME} - {"TYPE_CHECKING", "annotations"})


sys.modules[__name__].__class__ = _Callable
