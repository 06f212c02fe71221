"""What the worker of a ``manyhands.Process`` does. Apart from that class, whose import takes 15 ms, which each process would pay."""

from __future__ import annotations

import importlib
import sys

from manyhands._engine._on_import import when_imported
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


def live(
    name: str, authkey: bytes | None, target: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[int, object]:
    """Exit code and result. ``sys.exit`` is an end like another."""
    try:
        when_imported("multiprocessing.process", lambda process: _be(process.current_process(), name, authkey))
        return 0, target(*args, **kwargs)
    except SystemExit as request:
        if request.code is None or isinstance(request.code, int):
            return int(request.code or 0) & 0xFF, None  # what the kernel keeps of it
        sys.stderr.write(f"{request.code}\n")
        return 1, None
    finally:
        _finish()


def _be(current: Any, name: str, authkey: bytes | None) -> None:
    """What ``current_process()`` says."""
    current.name = name
    if authkey is not None:
        current.authkey = authkey


def _finish() -> None:
    """What the end of a process waits for: its threads; and, of multiprocessing, its children, and what queues have not written yet."""
    await_threads()
    if "multiprocessing.util" in sys.modules:
        importlib.import_module("manyhands._engine._as_multiprocessing").finish()
