"""Writing the file that ``manyhands.watch(save=)`` asks for, when its run has ended."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING

from manyhands.watch.observer import _exports

if TYPE_CHECKING:
    from manyhands.watch.observer._model import Run


def save(run: Run) -> None:
    """Write it, if it is wanted. It is there as a whole, or not at all: then the run tells why."""
    path = run.choices.get("save")
    if not path:
        return
    try:
        parts = _exports.KINDS["report"].made(run, time.monotonic_ns())
        if parts is None:
            run.unsaved = "this version of manyhands writes no such file"
        else:
            _write(str(path), parts)
    except Exception as error:  # noqa: BLE001 - who watches does not fail by it
        run.unsaved = f"{type(error).__name__}: {error}"
        traceback.print_exc(file=sys.stderr)  # the observer's log


def _write(path: str, parts: object) -> None:
    descriptor, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".manyhands-")  # only this user can read it
    try:
        with open(descriptor, "wb") as file:
            for part in parts:  # type: ignore[attr-defined]
                file.write(part.encode() if isinstance(part, str) else part)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
