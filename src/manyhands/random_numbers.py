"""Random numbers that are the same however the work is spread: a generator for each task."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Drawing:
    """A function that is given, for each task, ``rng``: numpy's generator number ``index`` of those that come from one seed.

    The seeds are those that ``numpy.random.SeedSequence(seed).spawn(n)`` would give, whose streams are independent (O'Neill's hash, see
    `numpy's documentation <https://numpy.org/doc/stable/reference/random/parallel.html>`_).
    """

    def __init__(self, function: Callable[..., Any], seed: object) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._entropy, self._key = _origin(seed)

    def __call__(self, index: int, *args: Any) -> Any:
        """Task ``index``."""
        import numpy as np  # noqa: PLC0415 - only where it is asked for

        seed = np.random.SeedSequence(self._entropy, spawn_key=(*self._key, index))
        return self._function(*args, rng=np.random.default_rng(seed))


def _origin(seed: object) -> tuple[Any, tuple[int, ...]]:
    """Entropy and place in the tree of a seed.

    Raises:
        ValueError: it is none.
    """
    try:
        import numpy as np  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        from manyhands.errors import BackendMissing  # noqa: PLC0415 - as above

        msg = "rng= needs numpy, which is not installed: pip install numpy"
        raise BackendMissing(msg) from error
    if not isinstance(seed, np.random.SeedSequence):
        try:
            seed = np.random.SeedSequence(seed)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            msg = (
                f"rng={seed!r:.60} is not allowed; rng is a seed: a whole number from 0 on, a list of them, or a numpy.random.SeedSequence"
            )
            raise ValueError(msg) from error
    return seed.entropy, tuple(seed.spawn_key)
