"""What workers run for joblib."""

from __future__ import annotations

import contextlib
import os

from joblib import parallel_config
from joblib._parallel_backends import SequentialBackend, ThreadingBackend

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
    backend = SequentialBackend(nesting_level=level) if alone else ThreadingBackend(nesting_level=level)
    return parallel_config(backend=backend, n_jobs=None)  # type: ignore[no-any-return]


@contextlib.contextmanager
def _few_threads(threads: int | None) -> Iterator[None]:
    if threads is None:  # the worker's share of the processors, which it has been given
        yield
        return
    for name in _VARIABLES:
        os.environ[name] = str(threads)  # for those that are not loaded yet
    try:
        import threadpoolctl  # noqa: PLC0415 - only who asks for it
    except ImportError:
        yield
        return
    with threadpoolctl.threadpool_limits(threads):
        yield


_VARIABLES = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "NUMBA"))
