"""Random numbers that are the same however the work is spread: a generator for each task."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Drawing:
    """A function that is given, for each task, ``rng``: numpy's generator number ``index`` of those that come from one seed.

    The seeds are those that ``numpy.random.SeedSequence(seed).spawn(n)`` would give, whose streams are independent (O'Neill's hash, see
    `numpy's documentation <https://numpy.org/doc/stable/reference/random/parallel.html>`_). Of a generator, it is its next child (its
    ``spawn``) whose seed is taken: one for a call, since nobody knows how many tasks there will be.
    """

    def __init__(self, function: Callable[..., Any], source: object) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._kind, self._entropy, self._key, self._pool_size = _origin(source)

    def __call__(self, index: int, *args: Any) -> Any:
        """Task ``index``."""
        import numpy as np  # noqa: PLC0415 - only where it is asked for

        seed = np.random.SeedSequence(self._entropy, spawn_key=(*self._key, index), pool_size=self._pool_size)
        return self._function(*args, rng=np.random.Generator(self._kind(seed)))


def _origin(source: Any) -> tuple[Callable[[Any], Any], Any, tuple[int, ...], int]:
    """What makes the bits; entropy and place in the tree of a seed, and how much it mixes.

    Raises:
        ValueError: it is none.
    """
    try:
        import numpy as np  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        from manyhands.errors import BackendMissing  # noqa: PLC0415 - as above

        msg = "rng= needs numpy, which is not installed: pip install numpy"
        raise BackendMissing(msg) from error
    kind: Callable[[Any], Any] = np.random.PCG64  # that of default_rng()
    try:
        if isinstance(source, np.random.Generator):
            bits = source.spawn(1)[0].bit_generator
            kind, source = type(bits), bits.seed_seq
        seed = source if isinstance(source, np.random.SeedSequence) else np.random.SeedSequence(source)
    except (TypeError, ValueError) as error:
        msg = (
            f"rng={source!r:.60} is not allowed; rng is a seed: a whole number from 0 on, a list of them, a numpy.random.SeedSequence, "
            "or a numpy.random.Generator that can spawn others"
        )
        raise ValueError(msg) from error
    return kind, seed.entropy, tuple(seed.spawn_key), seed.pool_size
