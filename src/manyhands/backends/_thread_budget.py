"""Threads that run tasks, times the threads of numeric libraries in each: together no more than there are processors.

For processes an environment variable does it. Here the libraries are loaded, and their pools belong to the whole process: they are told
to use fewer threads while tasks run, and as many as before when none do any more. For that threadpoolctl has to be installed.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from manyhands._wire._cpus import cpu_count

# What brings numeric libraries with threads of their own.
_NUMERIC = ("numpy", "scipy", "torch", "mkl", "sklearn")


class Budget:
    """For any thread. Calls that overlap share the processors; what is limited for the first is given back after the last."""

    def __init__(self) -> None:
        self.version = 0  # changes with what threads have to do about OpenMP
        self._lock = threading.Lock()
        self._width = 0  # threads of all calls that run now
        self._limited: list[_Limited] = []
        self._of_threads: list[Any] = []  # libraries that count for each thread
        self._here = threading.local()  # .before: how many threads they had in this one
        self._found: list[Any] = []
        self._seen = 0  # modules that were loaded when they were looked for
        self._is_missing = False  # threadpoolctl

    def applies(self) -> bool:
        """Whether there may be anything to limit; costs next to nothing."""
        return not self._is_missing and any(name in sys.modules for name in _NUMERIC)

    def begin(self, threads: int) -> None:
        """So many threads begin to run tasks. Then, :meth:`end`."""
        with self._lock:
            self._width += threads
            self._share()

    def end(self, threads: int) -> None:
        """They have ended."""
        with self._lock:
            self._width -= threads
            self._share()

    def limit_here(self) -> int:
        """In a thread that runs tasks, when :attr:`version` is another than it has been, which is returned."""
        with self._lock:
            before: dict[int, int] = vars(self._here).setdefault("before", {})
            for library in self._of_threads:
                most = before.setdefault(id(library), library.num_threads)
                library.set_num_threads(min(most, self._share_of_each()))
            return self.version

    def _share_of_each(self) -> int:
        return max(1, cpu_count() // max(1, self._width))

    def _share(self) -> None:
        if not self._width:
            for limited in self._limited:
                limited.give_back()
            self._limited.clear()
            return
        if self._seen != len(sys.modules):  # there may be other libraries; looking takes a millisecond
            try:
                self._found = _look()
            except ImportError:
                self._is_missing = True
            self._seen = len(sys.modules)
            self._of_threads = [library for library in self._found if _counts_for_each_thread(library)]
        known = {limited.library.filepath for limited in self._limited}
        self._limited += [_Limited(one) for one in self._found if one not in self._of_threads and one.filepath not in known]
        for limited in self._limited:
            limited.lower(self._share_of_each())
        self.version += bool(self._of_threads)

    def renew(self) -> None:
        """In a forked child: the threads are the parent's. It is one of those that share the processors, so limits stay."""
        self._lock = threading.Lock()
        self._width = 0
        self._limited.clear()


class _Limited:
    """A library that counts for the whole process, and how many threads it had."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self._before: int = library.num_threads
        self._now = self._before

    def lower(self, threads: int) -> None:
        """To so many, if they were more; what the user has set meanwhile is left as it is."""
        wanted = min(self._before, threads)
        if wanted != self._now and self.library.num_threads == self._now:
            _set_for_all(self.library, wanted)
            self._now = wanted

    def give_back(self) -> None:
        """As many as there were."""
        self.lower(self._before)


def _counts_for_each_thread(library: Any) -> bool:
    return library.user_api == "openmp" or (hasattr(library, _RELEASE) and library.threading_layer == "openmp")


def _set_for_all(library: Any, threads: int) -> None:
    """From whichever thread: in late threadpoolctl one thread controls OpenBLAS, and others have no say until it gives that up."""
    release = getattr(library, _RELEASE, lambda force: None)
    release(force=True)
    library.set_num_threads(threads)
    release(force=True)


_RELEASE = "clear_controlling_thread"


def _look() -> list[Any]:
    import threadpoolctl  # noqa: PLC0415 - only where something numeric is loaded

    return list(threadpoolctl.ThreadpoolController().lib_controllers)


budget = Budget()
os.register_at_fork(after_in_child=budget.renew)
