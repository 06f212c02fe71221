"""What the worker of a ``manyhands.Process`` does. Apart from that class, whose import takes 15 ms, which each process would pay."""

from __future__ import annotations

import importlib
import sys

from manyhands._engine._worker_process import await_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Runnable(Protocol):
        def run(self) -> object: ...


def do_nothing(*_: object, **__: object) -> None:
    """What a process without a target does."""


def run(process: Runnable) -> object:
    """What an instance of a subclass of ``Process`` does."""
    return process.run()


def live(name: str, target: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, object]:
    """Exit code and result. ``sys.exit`` is an end like another."""
    try:
        if "multiprocessing.process" in sys.modules:
            importlib.import_module("multiprocessing.process").current_process().name = name
        return 0, target(*args, **kwargs)
    except SystemExit as request:
        if request.code is None or isinstance(request.code, int):
            return request.code or 0, None
        sys.stderr.write(f"{request.code}\n")
        return 1, None
    finally:
        _finish()


def _finish() -> None:
    """What the end of a process waits for: its threads; and, of multiprocessing, its children, and what queues have not written yet."""
    await_threads()
    if "multiprocessing.util" in sys.modules:
        importlib.import_module("manyhands._engine._as_multiprocessing").finish()
