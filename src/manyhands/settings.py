"""Options for a block of code."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import TYPE_CHECKING

from manyhands._core.options import UNSET, Options, block, resolve, unknown_variables
from manyhands._engine import _watched

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def options(**values: object) -> Iterator[None]:
    """Give options to all calls of a block: they hold where a call does not say otherwise.

    Takes every option of :func:`manyhands.map` (``workers``, ``timeout``, ``backend`` and so on), and ``start_method``,
    ``memory_limit``, ``max_tasks_per_child``, ``idle_timeout`` and ``preload`` of :class:`manyhands.Executor`, which takes these and
    ``workers``. An option is taken from the call, else from the innermost block that names it, else from the environment
    (``MANYHANDS_WORKERS`` and so on), else the default.

    Example:
        >>> import manyhands
        >>> with manyhands.options(workers=2, timeout=10):
        ...     manyhands.map(abs, [-1, 2])
        [1, 2]

    Raises:
        TypeError: an option is not known; or it is ``rng``, which belongs to a call.
        ValueError: a value is not allowed.
    """
    if "rng" in values:
        msg = (
            "rng= is not for a block: all of its calls would draw the same numbers, and functions would be given rng= that do not take it. "
            "Make rng = numpy.random.default_rng(seed) before the calls, and give it to each: map(f, xs, rng=rng)"
        )
        raise TypeError(msg)
    merged = {**block.get(), **values}
    resolve(merged, {}, {})  # an error at once, not at the first call
    token = block.set(merged)
    try:
        yield
    finally:
        block.reset(token)


_looked = False  # at the environment, for what is mistyped


def resolved(**given: object) -> Options:
    """The options of a call that was given these."""
    global _looked  # noqa: PLW0603 - once for a process
    if not _looked:
        _looked = True
        for complaint in unknown_variables(os.environ):
            warnings.warn(complaint, UserWarning, stacklevel=3)
    found = resolve(given, block.get(), os.environ)
    if found.watch:
        _watched.begin()
    if found.preload:
        from manyhands.backends._preload import warn_of_missing  # noqa: PLC0415 - few name any

        warn_of_missing(found.preload, stacklevel=3)
    return found


__all__ = ["UNSET", "options", "resolved"]
