"""Files of a run that are kept, and where they are made.

Each is made by a function of ``(run, now)`` that gives parts of text or bytes, one after the other. They are loaded when they are asked
for.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from manyhands.watch.observer._model import Run


class Kind(NamedTuple):
    """One kind of file.

    Attributes:
        maker: module and function.
        media_type, ending: of the file.
    """

    maker: str
    media_type: str
    ending: str

    def made(self, run: Run, now: int) -> Iterable[str | bytes] | None:
        """Its parts; None: nobody makes it."""
        module, _, function = self.maker.partition(":")
        try:
            make = getattr(importlib.import_module(module), function)
        except ImportError:
            return None
        parts: Iterable[str | bytes] = make(run, now)
        return parts


KINDS = {
    "report": Kind("manyhands.watch._report:report", "text/html", ".html"),
    "trace": Kind("manyhands.watch._exports:trace", "application/json", ".trace.json"),
    "speedscope": Kind("manyhands.watch._exports:speedscope", "application/json", ".speedscope.json"),
    "log": Kind("manyhands.watch._exports:log", "application/x-ndjson", ".jsonl"),
}


def file_name(run: Run, kind: Kind) -> str:
    """What a browser calls it: of characters that are safe everywhere."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run.name).strip("-.")[:60] + kind.ending or "run"
