"""Workers under options of one's own: part of an executor's, or of the shared pool."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from manyhands._core.living import Living
from manyhands._core.options import OF_TASKS, UNSET, resolve
from manyhands.backends._submitting import Submitter
from manyhands.backends.processes import shared_pool

if TYPE_CHECKING:
    from manyhands._core.options import Options
    from manyhands.backends._process_executor import Executor


class View(Submitter):
    """Submits to workers that are not its own: they, and what was submitted otherwise, outlive it."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept nothing more here. The workers, and what was submitted otherwise, go on.

        Args:
            wait: return when what was submitted here has ended.
            cancel_futures: cancel what has not started.
        """
        self._closed = True
        pool, promised, streams = self._pool, self._sink.promised, self._own_streams()
        if pool.pid != os.getpid():
            return
        if cancel_futures:
            for call in self._calls:
                pool.cancel_waiting_of(call)
            for stream in streams:
                stream.cancel_waiting()
        if wait:
            for stream in streams:
                stream.finish()
            pool.wait(lambda: not promised)

    def stop(self) -> None:
        """Cancel what waits and stop what runs."""
        self._closed = True
        for stream in self._own_streams():
            stream.close(at_once=True)
        for future in self._sink.promised.copy():
            future.cancel(running=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, Exception):  # Ctrl-C, sys.exit
            self.stop()
        else:
            self.shutdown(wait=True)


class BoundExecutor(View):
    """An executor's workers under options of their own: see :meth:`Executor.with_options`."""

    def __init__(self, executor: Executor, base: Options, given: dict[str, Any]) -> None:
        self._executor = executor
        self._given = {name: value for name, value in given.items() if value is not UNSET}
        super().__init__(executor._pool, resolve(given, base._asdict(), {}), executor._streams)  # noqa: SLF001 - two faces of one pool

    def _width(self) -> int:
        return self._executor._width()  # noqa: SLF001 - as above

    def with_options(self, **changed: Any) -> BoundExecutor:
        """The same workers, with these of the options changed: see :meth:`Executor.with_options`."""
        unknown = set(changed) - OF_TASKS
        if unknown:
            msg = f"{min(unknown)!r} is not an option of an executor's tasks; these are {', '.join(sorted(OF_TASKS))}"
            raise TypeError(msg)
        return BoundExecutor(self._executor, self._options, {**self._given, **changed})

    def worker_pids(self) -> list[int]:
        """Process ids of the workers that live now."""
        return self._executor.worker_pids()

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"<{self._executor!r} with {given}>"


class SharedExecutor(View):
    """At most so many of the warm workers that all calls of this process share."""

    def __init__(self, max_workers: int, options: Options) -> None:
        self._max_workers = max_workers
        super().__init__(shared_pool(None, options), options, Living(), limit=max_workers)

    def _width(self) -> int:
        return self._max_workers

    def __repr__(self) -> str:
        return f"<manyhands.SharedExecutor of {self._max_workers} workers>"
