"""Batches of a size that follows from how long batches take."""

from __future__ import annotations

from typing import Any


class AutoBatchingMixin:
    """For a backend that wants batches of at least ``MIN_IDEAL_BATCH_DURATION`` and at most ``MAX_IDEAL_BATCH_DURATION`` seconds.

    To be named before :class:`ParallelBackendBase` among the bases. Our own backends, as long as nobody overrides how they submit, choose
    the size of batches by the time that each call takes, as ``manyhands.map`` does, and do not ask here.
    """

    MIN_IDEAL_BATCH_DURATION = 0.2
    MAX_IDEAL_BATCH_DURATION = 2.0

    _DEFAULT_EFFECTIVE_BATCH_SIZE = 1
    _DEFAULT_SMOOTHED_BATCH_DURATION = 0.0

    parallel: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reset_batch_stats()

    def reset_batch_stats(self) -> None:
        """Forget what has been measured."""
        self._effective_batch_size = self._DEFAULT_EFFECTIVE_BATCH_SIZE
        self._smoothed_batch_duration = self._DEFAULT_SMOOTHED_BATCH_DURATION

    def compute_batch_size(self) -> int:
        """The size of the next batch: doubled at most where batches are too quick, cut down at once where they take too long."""
        size, duration = self._effective_batch_size, self._smoothed_batch_duration
        # Twice the least: else the size would go up and down around it.
        wanted = 2 * int(size * self.MIN_IDEAL_BATCH_DURATION / duration) if duration > 0 else size
        if 0 < duration < self.MIN_IDEAL_BATCH_DURATION:
            self._resize(max(1, min(2 * size, wanted)), "fast")
        elif duration > self.MAX_IDEAL_BATCH_DURATION and size > 1:
            self._resize(max(1, wanted), "slow")
        return self._effective_batch_size

    def _resize(self, size: int, pace: str) -> None:
        if self.parallel is not None and self.parallel.verbose >= 10:
            self.parallel._print(  # noqa: SLF001 - of its contract
                f"Batch computation too {pace} ({self._smoothed_batch_duration}s.) Setting batch_size={size}."
            )
        if size != self._effective_batch_size:
            self._smoothed_batch_duration = self._DEFAULT_SMOOTHED_BATCH_DURATION  # what was measured is of another size
        self._effective_batch_size = size

    def batch_completed(self, batch_size: int, duration: float) -> None:
        """Take a measurement into the mean, if it is of a batch of the present size."""
        if batch_size == self._effective_batch_size:
            before = self._smoothed_batch_duration
            self._smoothed_batch_duration = 0.8 * before + 0.2 * duration if before else duration
