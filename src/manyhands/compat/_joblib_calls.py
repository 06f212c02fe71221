"""What workers run for joblib."""

from __future__ import annotations

import contextlib
import os

from joblib import parallel_config
from joblib._parallel_backends import SequentialBackend, ThreadingBackend

from manyhands._core.thread_variables import THREAD_VARIABLES
from manyhands._engine import _notices
from manyhands.compat._set_up import limit_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def run(calls: list[Call], level: int, threads: int | None) -> list[object]:
    """Make calls one after the other.

    Args:
        level: how deep calls of ``Parallel`` within them are nested.
        threads: of numeric libraries, where the user has said how many.
    """
    with _few_threads(threads), _nested(level):
        return [function(*args, **kwargs) for function, args, kwargs in calls]


def _nested(level: int) -> contextlib.AbstractContextManager[Any]:
    """``Parallel`` within a task: threads, as many as this worker has processors; below that, and on one processor, none."""
    alone = level > 1 or os.environ.get("MANYHANDS_CPUS") == "1"
    backend = _Alone(nesting_level=level) if alone else ThreadingBackend(nesting_level=level)
    return parallel_config(backend=backend, n_jobs=None)  # type: ignore[no-any-return]


class _Alone(SequentialBackend):  # type: ignore[misc] # joblib is not typed
    def effective_n_jobs(self, n_jobs: int | None) -> int:
        if n_jobs not in {None, 1}:
            _notices.info("a Parallel within a task runs in its worker itself, one call after the other: there is no processor for more")
        return super().effective_n_jobs(n_jobs)  # type: ignore[no-any-return] # as above


@contextlib.contextmanager
def _few_threads(threads: int | None) -> Iterator[None]:
    if threads is None:  # the worker's share of the processors, which it has been given
        yield
        return
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))  # for those that are not loaded yet
    try:
        with limit_threads(threads):
            yield
    finally:  # the worker is not this call's alone
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
