"""How many tasks go into one message.

Sending a task costs some microseconds; running it may cost less. So quick tasks travel together, as many as take about ``TARGET``
together, by what the function was measured to cost, in this call and in those before. Towards the end of a call whose length is
known, batches shrink, so that all workers end together (guided self-scheduling, Polychronopoulos and Kuck 1987).
"""

from __future__ import annotations

from manyhands._core.tasks import Cost

# Long against the cost of a message (some 20 us), short against a user's patience.
TARGET = 10_000_000
# No batch of a function that has not been measured, and none grows faster than this: one sample may mislead.
_GROWTH = 64
# Bytes in one message, so that the memory of large arguments stays bounded.
_MAX_BYTES = 1 << 20
_MAX_TASKS = 1 << 16
# Nanoseconds to read inputs in for one message, at the most, as far as can be told.
READING = 5_000_000
# How fast a slow input is forgotten: inputs that come in bursts are slow.
_SLOWER = 0.8
# Weight of the newest measurement.
_WEIGHT = 0.3
# Below this the share of a worker is not cut any further: the message would cost more.
_MIN_SHARE = 500_000


class FunctionCost(Cost):
    """What is known of a function: time and bytes of a task, as moving averages.

    Kept from call to call, so that a function that is called again is cut right from the start.
    """

    __slots__ = ("_arguments", "_largest", "_results")

    def __init__(self) -> None:
        super().__init__()
        self._arguments = 0  # bytes of one task's
        self._results = 0
        self._largest = 1

    @property
    def bytes(self) -> int:
        """Bytes of one task, in the direction that has more."""
        return max(self._arguments, self._results)

    def measured(self, count: int, nanoseconds: int, size: int) -> None:
        """``count`` tasks took so long together; their results were ``size`` bytes."""
        each = nanoseconds // count or 1
        if count == 1 and self.ns is not None:  # for each task that is sent alone: kept cheap
            self.ns += 3 * (each - self.ns) // 10
            self._results += 3 * (size - self._results) // 10
            return
        # One long task among thousands of short ones must not make all batches small: weigh by number, up to a point.
        weight = max(_WEIGHT, min(0.9, count / 1000))
        self.ns: int = each if self.ns is None else int(self.ns + weight * (each - self.ns))
        self._results += int(weight * (size // count - self._results))
        self._largest = max(self._largest, count)

    def encoded(self, count: int, size: int) -> None:
        """The arguments of ``count`` tasks were ``size`` bytes."""
        each = size // count
        # Up at once, since the next message must not be too large; down slowly.
        self._arguments = max(each, self._arguments + int(_WEIGHT * (each - self._arguments)))

    def batch_size(self, workers: int, remaining: int | None) -> int:
        """How many tasks the next message should hold; ``remaining`` is None where nobody knows."""
        if self.ns is None:
            return 1
        size = min(TARGET // max(1, self.ns), _MAX_BYTES // max(1, self.bytes), self._largest * _GROWTH, _MAX_TASKS)
        if remaining is not None:
            share = max(remaining // (2 * workers), _MIN_SHARE // max(1, self.ns))
            size = min(size, share, remaining)
        return max(1, size)


class Pace:
    """How fast inputs are read: so that none that was read waits long for those that make its message full.

    Grows from single inputs on, since the first ones tell nothing of those to come; falls at once where one was waited for.
    """

    __slots__ = ("_each", "most")

    def __init__(self) -> None:
        self._each = 0.0  # nanoseconds
        self.most = 1  # how many to read for one message

    def read(self, count: int, nanoseconds: int) -> None:
        """``count`` inputs took so long to read."""
        self._each = max(nanoseconds / max(1, count), _SLOWER * self._each)
        self.most = max(1, min(_GROWTH * self.most, int(READING / max(1.0, self._each))))


def batches_ahead(cost: Cost, size: int, workers: int) -> int:
    """How many batches of ``size`` tasks should be ready or under way so that no worker ever waits."""
    batch = size * (cost.ns if cost.ns is not None else 2 * TARGET)
    each = max(1, min(64, 2 * TARGET // max(1, batch)))
    return workers * (each + 1)
