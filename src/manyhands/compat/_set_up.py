"""How workers are set up that are not like those of all other calls: variables, threads of numeric libraries, an initializer."""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def begin(
    variables: tuple[tuple[str, str], ...], threads: int | None, initializer: Callable[..., object] | None, initargs: tuple[object, ...]
) -> None:
    """The initializer of such workers. ``threads``: of numeric libraries that are loaded already."""
    os.environ.update(variables)
    if threads is not None:
        limit_threads(threads)
    if initializer is not None:
        initializer(*initargs)


def limit_threads(threads: int) -> contextlib.AbstractContextManager[Any]:
    """Limit the threads of numeric libraries that are loaded: from now on, and no longer than a ``with`` block of the result."""
    try:
        import threadpoolctl  # noqa: PLC0415 - only who asks for it
    except ImportError:
        return contextlib.nullcontext()
    return threadpoolctl.threadpool_limits(threads)  # type: ignore[no-any-return]
