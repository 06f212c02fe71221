"""How closely this process is watched: whether lines are counted, and how.

``sample``  no lines; where the threads are, some times a second
``touch``   which lines have run, and when first
``auto``    counted as long as that costs little, else estimated
``exact``   each line, each time

Where a thread is can only be seen where it may give up Python's lock: where functions begin, loops go back, and calls return. So at level
"sample" a line stands for what ran since the last such place; that of ``def`` is never shown, but the first one of the function.

What they cost, in times of unwatched (medians of ``python -m benchmarks.watching``, two busy processors):

                                 Python 3.13                     3.12                        3.11
                         sample touch auto  exact    sample touch auto  exact    sample touch auto  exact
a loop of two lines        1.0   1.05  1.05  3.7       1.0   1.0   1.1   3.3       1.0   1.05  1.05  15
a comprehension            1.0   1.0   1.05  3.7       1.0   1.0   1.05  3.3       1.0   1.0   1.0   5.6
small functions            1.0   1.0   1.0   3.4       1.0   1.0   1.05  3.4       1.0   1.0   1.0   22
work as programs do it     1.0   1.0   1.05  1.5       1.0   1.05  1.1   1.6       1.0   1.1   1.1   4.4

"exact" begins at about twice that, until it is seen which lines are hot, and stays there for generators and coroutines. A loop in one line
that does almost nothing costs 1.15 at level "auto" if its function has other lines: where it jumps to is looked up each time.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from manyhands._probe import _counts, _segment
from manyhands._probe._cost import Measured, Unavailable
from manyhands._probe._files import Chosen, chooser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from manyhands._probe._counts import Counter, News
    from manyhands._probe._naming import Names
    from manyhands._probe._segment import Writer

_means: Any
_Touch: Any
if sys.version_info >= (3, 12):
    from manyhands._probe import _lines as _means
    from manyhands._probe._budgets import Budgeted as _Budgeted
    from manyhands._probe._counts import Touch as _Touch
else:
    from manyhands._probe import _tracing as _means
    from manyhands._probe._windows import Seen as _Touch
    from manyhands._probe._windows import Windowed as _Budgeted

COUNTED = ("touch", "auto", "exact")
# Nanoseconds between two times that counts are told: at first, and later. What has not been told is lost when a pool kills its workers, as
# some do when all is done, which may be soon.
_FIRST, _INTERVAL = 5_000_000, 200_000_000
_LONGER = 1.3
_SETTLES = 5  # times that counts are told, for each time that is looked which code has run to its last line
_MOST_RECORDS = _segment.RECORDS // 4  # of one time
_MOST_THREADS = 64
_OFTEN = 1000  # runs of a line, between two times that counts are told
_UNLIMITED = 1 << 40
_NOTHING = Measured(0.0, 0.0)


def _counter(level: str, cost: Measured) -> Counter:
    if level == "exact":
        return _counts.Exact(_means.NO_MORE)
    counter: Counter = (_Budgeted if level == "auto" else _Touch)(_means.NO_MORE, cost)
    return counter


class Levels:
    """How lines are counted, and telling of it; ``tell(message)`` sends what is long."""

    def __init__(self, writer: Writer, names: Names, tell: Callable[[dict[str, Any]], None]) -> None:
        self._writer = writer
        self._names = names
        self._tell = tell
        self._lock = threading.Lock()  # between the thread that samples, and whoever changes the level
        self._chosen = Chosen(chooser(None))
        self._counter: Counter | None = None
        self._means: Any = None
        self._untold: deque[News] = deque()
        self._told = 0  # when counts were
        self._interval: float = _FIRST
        self._windows = 0
        self._cost = _NOTHING

    @property
    def level(self) -> str:
        """The one that is in force."""
        return _segment.LEVELS[self._writer.words[_segment.LEVEL]]

    def start(self, level: str, files: Any = None) -> None:
        """Count lines from now on as the level says, in these files (as :func:`._files.chooser` takes it).

        Raises:
            ValueError: there is no such level.
        """
        if level not in _segment.LEVELS:
            raise ValueError(f"level={level!r}: there are {', '.join(_segment.LEVELS)}")
        with self._lock:
            self._stop()
            self._chosen = Chosen(chooser(files))
            if level in COUNTED:
                level = self._count(level)
            self._writer.words[_segment.LEVEL] = _segment.LEVELS.index(level)

    def stop(self) -> None:
        """Count no more, and tell what has been counted. Nothing is left switched on."""
        with self._lock:
            self._stop()

    def abandon(self) -> None:
        """In a forked child: what was switched on is the parent's."""
        if self._means is not None:
            self._means.stop()

    def look(self) -> None:
        """Tell what has been counted, if it is time to. For the thread that samples."""
        now = time.monotonic_ns()
        counter = self._counter
        if counter is None:
            return
        counter.looked(lambda: [(frame.f_code.co_filename, _line_of(frame)) for frame in self._frames(counter)])
        if now - self._told < self._interval:
            return
        with self._lock:
            self._told, self._interval = now, min(_INTERVAL, self._interval * _LONGER)
            if self._counter is not None and not self._untold:
                self._end_window(self._counter)
            self._tell_some(_MOST_RECORDS)

    def next(self) -> float:
        """Seconds until it is time to."""
        if self._counter is None:
            return math.inf
        return max(0.0, (self._told + self._interval - time.monotonic_ns()) / 1e9)

    def _count(self, level: str) -> str:
        """The level that is in force then."""
        try:
            self._cost = _means.cost(_counts.Exact() if level == "exact" else _Budgeted(_means.NO_MORE, _NOTHING, _UNLIMITED))
            self._counter = _counter(level, self._cost)
            self._means = _means.Means(self._counter, self._chosen)
            self._means.start()
            self._told, self._interval = time.monotonic_ns(), _FIRST
        except Unavailable as error:
            self._counter = self._means = None
            self._tell({"uncounted": str(error)})
            return "sample"
        return level

    def _stop(self) -> None:
        counter, means = self._counter, self._means
        self._counter = self._means = None
        if counter is not None:
            means.stop()
            self._take(counter)
            self._tell_some(_segment.RECORDS // 2)

    def _end_window(self, counter: Counter) -> None:
        news = sorted(self._take(counter), key=lambda each: -each.runs)
        often = dict.fromkeys((each.file, each.line) for each in news if each.runs >= _OFTEN)
        self._means.again(counter.again)
        self._windows += 1
        if self._windows % _SETTLES == 0 and isinstance(counter, _counts.Touch):
            self._means.settle()
        counter.open()
        # Where a thread waits is not what runs most.
        hot = [frame.f_code for frame in self._frames(counter) if (frame.f_code.co_filename, frame.f_lineno or 0) in often]
        if hot:
            self._means.favour(hot)
        with contextlib.suppress(Exception):  # watching ends nothing
            self._means.spare(often)

    def _take(self, counter: Counter) -> list[News]:
        news = counter.news()
        self._untold.extend(news)
        self._writer.words[_segment.COST] += round(counter.told(news) * self._cost.counting)
        return news

    def _tell_some(self, most: int) -> None:
        now = time.monotonic_ns()
        for _ in range(min(most, len(self._untold))):
            file, line, runs, at, error, bias = self._untold.popleft()
            self._writer.write(_segment.LINES, at or now, self._names.file(file), line, runs, error, bias)

    def _frames(self, counter: Counter) -> Iterator[FrameType]:
        """The innermost frames whose lines are counted, of all other threads; the main thread's first."""
        own, main = threading.get_ident(), threading.main_thread().ident
        stacks = sorted(sys._current_frames().items(), key=lambda item: item[0] != main)  # noqa: SLF001 - there is no other way
        for ident, innermost in stacks[:_MOST_THREADS]:
            frame: FrameType | None = innermost if ident != own else None
            while frame is not None and frame.f_code.co_filename not in counter.files:
                frame = frame.f_back
            if frame is not None:
                yield frame


def _line_of(frame: FrameType) -> int:
    """Where a frame is; of one that has just begun, its first line that is told of; at a jump that has no line, the one before."""
    code, line = frame.f_code, frame.f_lineno or 0
    if not line:
        lines = [each for start, _, each in code.co_lines() if each is not None and start <= frame.f_lasti]
        line = lines[-1] if lines else code.co_firstlineno
    if line != code.co_firstlineno:
        return line
    return min((each for _, _, each in code.co_lines() if each is not None and each > line), default=line)
