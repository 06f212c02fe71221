"""The ``multiprocessing.Process`` face: one function in a process of its own."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._engine import _process_life
from manyhands.backends._process_executor import Executor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from manyhands.executor import Future

_numbers = itertools.count(1)
_START = 30.0  # seconds that it may take until there is a process


class Process:
    """A process that runs one function, with the methods of ``multiprocessing.Process``.

    Example:
        >>> from manyhands import Process
        >>> process = Process(target=lambda: print("from another process"))
        >>> process.start()
        >>> process.join()
        >>> process.exitcode
        0

    Args:
        group: None, as there.
        target: what is called; a lambda or a closure will do. A subclass may have a method ``run`` instead.
        name: None: "Process-1" and so on.
        args, kwargs: arguments, copied when it starts.
        daemon: when the program ends, it is ended rather than waited for.

    Unlike there, what the function raises reaches :meth:`join`, no ``if __name__ == "__main__"`` guard is needed, and it ends with
    the program, whatever ends that.

    Attributes:
        result: what the function returned; None before it has.
    """

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        if group is not None:
            msg = f"group={group!r} is not allowed; it is None, as for multiprocessing.Process"
            raise ValueError(msg)
        if target is not None and not callable(target):
            msg = f"target={target!r:.100} is not callable"
            raise TypeError(msg)
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs or {})
        self.name: str = name or f"Process-{next(_numbers)}"
        self.daemon: bool = bool(daemon)
        self._pid: int | None = None
        self.result: object = None
        self._executor: Executor | None = None
        self._future: Future[tuple[int, object]] | None = None

    def run(self) -> object:
        """What the process does: calls the target."""
        target, args, kwargs = self._call()
        return target(*args, **kwargs)

    def _call(self) -> tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]:
        """What :meth:`run` calls: function, arguments, named arguments."""
        return (_process_life.do_nothing if self._target is None else self._target), self._args, self._kwargs

    def start(self) -> None:
        """Start it.

        Raises:
            AssertionError: it has been started.
            NotSerializable: target or arguments cannot be sent.
            CannotStart: the machine has no room for a process.
        """
        if self._future is not None:
            msg = "cannot start a process twice"
            raise AssertionError(msg)
        executor = self._executor = (_Daemon if self.daemon else _Host)(1, max_tasks_per_child=1)
        future = self._future = executor.bring_to_life(self)
        future.add_done_callback(lambda _: executor.shutdown(wait=False))
        self._pid = executor.await_worker(future, time.monotonic() + _START)
        executor.forget_what_is_inherited()
        self._target, self._args, self._kwargs = None, (), {}  # they live there now
        if future.done() and self._pid is None and isinstance(error := future.exception(), errors.NotSerializable | errors.CannotStart):
            raise error

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or ``timeout`` seconds have passed.

        Raises:
            Exception: what its function has raised; ``WorkerDied`` if it was ended otherwise, but not by :meth:`terminate` or :meth:`kill`.
        """
        future = self._started()
        try:
            error = future.exception(timeout)
        except TimeoutError:
            if not future.done():
                return
            raise
        if error is None:
            _, self.result = future.result()
        elif not self._ended:
            raise error

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._future is not None and not self._future.done()

    @property
    def exitcode(self) -> int | None:
        """None before it has ended; 0: the function returned; 1: it raised; minus a signal; or what it gave to ``sys.exit``."""
        if self._future is None or not self._future.done():
            return None
        error = self._future.exception()
        if error is None:
            return self._future.result()[0]
        return error.exit_code if isinstance(error, errors.WorkerDied) else 1

    @property
    def pid(self) -> int | None:
        """Of the process; None before it is started. One that is killed before its function has begun is replaced, under another pid."""
        if self.is_alive() and self._executor is not None:
            self._pid = next(iter(self._executor.worker_pids()), self._pid)
        return self._pid

    @property
    def ident(self) -> int | None:
        """The pid, under the name that it has there."""
        return self.pid

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._end("terminate_workers")

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end("kill_workers")

    _ended = False

    def _end(self, how: str) -> None:
        self._started()
        if self.is_alive() and self._executor is not None:
            self._ended = True
            getattr(self._executor, how)()

    def close(self) -> None:
        """Give everything back.

        Raises:
            ValueError: it still runs.
        """
        if self.is_alive():
            msg = "cannot close a process while it runs; call join() or terminate() first"
            raise ValueError(msg)
        if self._executor is not None:
            self._executor.shutdown(wait=True)

    def _started(self) -> Future[tuple[int, object]]:
        if self._future is None:
            msg = f"{self!r} has not been started"
            raise AssertionError(msg)
        return self._future

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_executor": None, "_future": None}

    def __repr__(self) -> str:
        state = "initial" if self._future is None else "started" if self.is_alive() else f"stopped, exit code {self.exitcode}"
        return f"<manyhands.{type(self).__name__} {self.name} {state}>"


class _Host(Executor):
    """The one worker."""

    def bring_to_life(self, process: Process) -> Future[tuple[int, object]]:
        """It may hold what can only be inherited."""
        with self._pool.bequeathing():
            if type(process).run is not Process.run:
                return self.submit(_process_life.live, process.name, _process_life.run, (process,), {})
            return self.submit(_process_life.live, process.name, *process._call())  # noqa: SLF001 - made for this

    def forget_what_is_inherited(self) -> None:
        """It has been: what the program closes now is closed, also if it is a pipe whose reader waits for its end."""
        self._pool.drop_inheritance()


class _Daemon(_Host):
    _finishes_at_exit = False
