"""A progress bar for a call: in a terminal a live line, elsewhere a plain line now and then."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from manyhands.backends._contract import Counts

_REFRESH = 0.1  # seconds, in a terminal
_PLAIN = 5.0  # seconds between lines, elsewhere


class Bar:
    """Shows done/total, rate, time left, failures and busy workers while its block runs.

    It reads counters and asks nothing of the workers. ``file`` is standard error by default, so that standard output stays clean.
    """

    def __init__(
        self, counts: Callable[[], Counts], total: int | None, workers: int, *, file: TextIO | None = None, title: str = ""
    ) -> None:
        self._counts = counts
        self._total = total
        self._workers = workers
        self._file = sys.stderr if file is None else file
        self._title = title
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._begin = 0.0
        self._end = ""  # how it ended, if not well

    def __enter__(self) -> Bar:
        self._begin = time.monotonic()
        if self._file is None:  # a program without standard error (pythonw)
            return self
        show = self._show_live if is_terminal(self._file) else self._show_plain
        self._thread = threading.Thread(target=show, name="manyhands-progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._end = "interrupted"
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    # ------------------------------------------------------------ plain lines

    def _show_plain(self) -> None:
        stopped = False
        while not stopped:
            stopped = self._stop.wait(_PLAIN)
            # One that was closed meanwhile, or whose reader is gone.
            with contextlib.suppress(OSError, ValueError):
                print(self.line(), file=self._file, flush=hasattr(self._file, "flush"))

    def line(self) -> str:
        """``12/100 tasks, 24.0/s, 4 s left, 1 failed, 2/2 workers busy``."""
        counts = self._counts()
        elapsed = max(1e-9, time.monotonic() - self._begin)
        rate = counts.ended / elapsed
        of = "" if self._total is None else f"/{self._total}"
        parts = [f"{self._title}{counts.ended}{of} tasks", f"{_rate(rate)}/s"]
        if self._stop.is_set():
            parts += [f"{elapsed:.1f} s", self._end] if self._end else [f"{elapsed:.1f} s"]
        elif self._total is not None and rate:
            parts.append(f"{_duration((self._total - counts.ended) / rate)} left")
        if counts.failed:
            parts.append(f"{counts.failed} failed")
        if not self._stop.is_set():
            parts.append(f"{counts.busy}/{self._workers} workers busy")
        return ", ".join(parts)

    # ------------------------------------------------------------ a live line

    def _show_live(self) -> None:
        progress = self._progress()
        task = progress.add_task(self.line(), total=self._total)
        with progress:
            stopped = False
            while not stopped:
                stopped = self._stop.wait(_REFRESH)
                progress.update(task, completed=self._counts().ended, description=self.line())

    def _progress(self) -> Progress:
        from rich.console import Console  # noqa: PLC0415 - 50 ms, and only for who sees it
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

        return Progress(
            BarColumn(bar_width=None),  # what the text leaves
            TextColumn("{task.description}", markup=False),
            console=Console(file=self._file),
            expand=True,
            refresh_per_second=1 / _REFRESH,
            redirect_stdout=is_terminal(sys.stdout),  # above the bar; but what goes to a file is to go there
            redirect_stderr=is_terminal(sys.stderr),
        )


def is_terminal(file: TextIO | None) -> bool:
    """Whether somebody watches. What a program puts in the place of a file may not know, and one that is closed does not tell."""
    try:
        return file is not None and file.isatty()
    except (AttributeError, OSError, ValueError):
        return False


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
