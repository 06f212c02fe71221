"""Watching a run: ``manyhands.watch()`` shows this program and all its workers on one page.

==================  ===========================================================
``watch()``         have this program watched; gives the address of the page
``trace()``         the same by heartrate's name and parameters, with ``files``
==================  ===========================================================

``_watching.py``    what a call of this module does, and gives
``_choices.py``     what can be chosen, and how it is checked
``_starting.py``    the observer is found, or started; this program joins, and leaves
``_control.py``     what the page has the workers of this process do, where that is allowed
``_commands.py``    what is asked of an observer that runs: its runs, a file of one, its end
``_report.py``      files of a run, which the observer makes: the page with its data; ``_chrome_trace.py``, ``_speedscope.py``,
                    ``_event_log.py``; ``_tracks.py``: what these have in common
``_notebook.py``    the page in a frame of a notebook
``_showing.py``     the program's side of what is shown in its terminal
``_painter.py``     the process that shows it: ``_terminal.py`` is the picture, ``_panel.py`` the place where it stays
``_sayings.py``     the same in plain lines; ``_words.py`` has the words, and the summary
``observer``        the process that observes, and serves the page

The module can be called. It imports nothing until that is done.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from manyhands.watch._watching import Watching as Watching

# By name: the module of this package where it is; a name that is empty is the module itself.
_HOME = {"Watching": ("_watching", "Watching"), "files": ("_trace", "files"), "trace": ("_trace", "trace")}


class _Callable(ModuleType):
    """This module."""

    def __call__(self, **choices: Any) -> Watching:
        from manyhands.watch._watching import watch  # noqa: PLC0415 - this is what keeps the import light

        return watch(**choices)


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
