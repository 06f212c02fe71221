"""Files of a run that are kept, and where they are made.

Each is made by a function of ``(run, now)`` that gives its parts, one after the other: text, or functions that give text and know nothing
of the run, so that they may be called in a thread. They are loaded when they are asked for. A run may change between two parts.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from manyhands.watch.observer._model import Run

Part = str | Callable[[], str]


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        maker: module and function.
        media_type, ending: of the file.
    """

    maker: str
    media_type: str
    ending: str

    def made(self, run: Run, now: int) -> Iterable[Part]:
        """Its parts."""
        module, _, function = self.maker.partition(":")
        parts: Iterable[Part] = getattr(importlib.import_module(module), function)(run, now)
        return parts


KINDS = {
    "report": Kind("manyhands.watch._report:report", "text/html", ".html"),
    "trace": Kind("manyhands.watch._chrome_trace:trace", "application/json", ".trace.json"),
    "speedscope": Kind("manyhands.watch._speedscope:speedscope", "application/json", ".speedscope.json"),
    "log": Kind("manyhands.watch._event_log:log", "application/x-ndjson", ".jsonl"),
}


def kind_of(path: str) -> Kind | None:
    """Which of them a file is to be, by how its name ends; None: none of them."""
    return next((kind for kind in KINDS.values() if path.endswith(kind.ending)), None)


def endings() -> str:
    """How the names of such files end, in words."""
    *most, last = [kind.ending for kind in KINDS.values()]
    return f"{', '.join(most)} or {last}"


def file_name(run: Run, kind: Kind) -> str:
    """What a browser calls it: of characters that are safe everywhere."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run.name).strip("-.")[:60] + kind.ending or "run"
