"""The ``multiprocessing.Process`` face: one function in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import time
import weakref
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._core.naming import function_name
from manyhands._engine import _calls, _process_life
from manyhands._engine._process_end import End
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
    the program, whatever ends that. An error that nobody has got from :meth:`join` is written to standard error, with its traceback, when
    the process object is closed or gone, or the program ends. ``multiprocessing.active_children()`` does not list it.

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
            raise AssertionError(msg)
        if target is not None and not callable(target):
            msg = f"target={target!r:.100} is not callable"
            raise TypeError(msg)
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs or {})
        number = next(_numbers)  # all are counted
        self.name: str = name or f"{type(self).__name__}-{number}"
        self._daemon = bool(daemon)
        self._authkey: bytes | None = None
        self._pid: int | None = None
        self.result: object = None
        self._executor: Executor | None = None
        self._end: End | None = None
        self._future: Future[tuple[int, object]] | None = None
        self._signal: signal.Signals | None = None  # by which the program has ended it
        self._closed = False

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
            ValueError: it has been closed.
            NotSerializable: target or arguments cannot be sent.
            CannotStart: the machine has no room for a process.
        """
        self._check_open()
        if self._future is not None:
            msg = "cannot start a process twice"
            raise AssertionError(msg)
        executor = self._executor = (_Daemon if self.daemon else _Host)(1, max_tasks_per_child=1)
        future = self._future = executor.bring_to_life(self)
        end = self._end = End(self.name)
        weakref.finalize(self, end.forget)
        future.add_done_callback(end.come)
        future.add_done_callback(lambda _: executor.shutdown(wait=False))
        self._pid = executor.await_worker(future, time.monotonic() + _START)
        executor.forget_what_is_inherited()
        self._target, self._args, self._kwargs = None, (), {}  # they live there now
        if future.done() and self._pid is None and isinstance(error := future.exception(), errors.NotSerializable | errors.CannotStart):
            end.hear()
            raise error

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or ``timeout`` seconds have passed.

        Raises:
            Exception: what its function has raised; ``WorkerDied`` if it was ended otherwise, but not by :meth:`terminate` or :meth:`kill`.
            ValueError: it has been closed.
        """
        future = self._started()
        with contextlib.suppress(TimeoutError, CancelledError):
            future.exception(timeout)
        if not future.done():
            return
        _, result, error = self._outcome_of(future)
        if self._end is not None:
            self._end.hear()
        if error is None:
            self.result = result
        elif self._signal is None:
            raise error

    def _outcome_of(self, future: Future[tuple[int, object]]) -> tuple[int, object, BaseException | None]:
        """How it has ended: exit code, result, and what ``future`` failed with."""
        ended_by = -(self._signal or signal.SIGKILL)
        if future.cancelled():  # before its function was called, so that no worker has died of it
            return ended_by, None, None
        error = future.exception()
        if error is None:
            return *future.result(), None
        if isinstance(error, errors.WorkerDied):
            return ended_by if error.exit_code is None else error.exit_code, None, error
        if isinstance(error, errors.PoolClosed) and self._signal is not None:  # the same, had it not been sent yet
            return ended_by, None, error
        return 1, None, error

    def is_alive(self) -> bool:
        """Whether it runs.

        Raises:
            ValueError: it has been closed.
        """
        self._check_open()
        return self._runs()

    def _runs(self) -> bool:
        return self._future is not None and not self._future.done()

    @property
    def exitcode(self) -> int | None:
        """None before it has ended; 0: the function returned; 1: it raised; minus a signal; or what it gave to ``sys.exit``, modulo 256."""
        self._check_open()
        if self._future is None or not self._future.done():
            return None
        code, _, error = self._outcome_of(self._future)
        if self._end is not None and isinstance(error, errors.WorkerDied):  # that says it all
            self._end.hear()
        return code

    @property
    def pid(self) -> int | None:
        """Of the process; None before it is started. It is never run again in another one."""
        self._check_open()
        if self._pid is None and self._runs() and self._executor is not None:
            self._pid = next(iter(self._executor.worker_pids()), None)
        return self._pid

    @property
    def ident(self) -> int | None:
        """The pid, under the name that it has there."""
        return self.pid

    @property
    def sentinel(self) -> int:
        """A descriptor that can be read from when it has ended: for ``multiprocessing.connection.wait``, ``select`` or an event loop.

        Example:
            >>> from multiprocessing.connection import wait
            >>> processes = [Process(target=abs, args=(n,)) for n in (-1, -2)]
            >>> for process in processes:
            ...     process.start()
            >>> ready = wait([process.sentinel for process in processes])
            >>> any(process.exitcode == 0 for process in processes)
            True

        It is not to be read or closed. Raises ValueError if the process has not been started, or was closed.
        """
        self._check_open()
        if self._end is None:
            msg = f"{self!r} has not been started"
            raise ValueError(msg)
        return self._end.sentinel()

    @property
    def daemon(self) -> bool:
        """Whether it is ended with the program, rather than waited for. Setting it once it is started raises AssertionError."""
        return self._daemon

    @daemon.setter
    def daemon(self, daemon: bool) -> None:
        self._check_open()
        if self._future is not None:
            msg = "process has already started"
            raise AssertionError(msg)
        self._daemon = bool(daemon)

    @property
    def authkey(self) -> bytes:
        """The key by which connections of ``multiprocessing`` know one another: that of the program, unless another is set."""
        from multiprocessing import process  # noqa: PLC0415 - 10 ms, for what few use

        key = process.current_process().authkey
        return key if self._authkey is None else type(key)(self._authkey)

    @authkey.setter
    def authkey(self, authkey: bytes) -> None:
        self._check_open()
        self._authkey = bytes(authkey)

    def _key_to_be_given(self) -> bytes | None:
        """None: nobody has asked for one."""
        return bytes(self.authkey) if self._authkey is not None or "multiprocessing.process" in sys.modules else None

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._end_by(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end_by(signal.SIGKILL)

    def _end_by(self, number: signal.Signals) -> None:
        self._started()
        if self._runs() and self._executor is not None and self._end is not None:
            self._end.hear()
            self._signal = number
            if number == signal.SIGTERM:
                self._executor.terminate_workers()
            else:
                self._executor.kill_workers()

    def close(self) -> None:
        """Give everything back. As there, nothing can be asked of it any more; what it was called, and its result, are still known.

        Raises:
            ValueError: it still runs.
        """
        if self._runs():
            msg = "cannot close a process while it runs; call join() or terminate() first"
            raise ValueError(msg)
        if self._executor is not None:
            self._executor.shutdown(wait=True)
        if self._end is not None:
            self._end.forget()
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            msg = f"{self!r}: the process object is closed"
            raise ValueError(msg)

    def _started(self) -> Future[tuple[int, object]]:
        self._check_open()
        if self._future is None:
            msg = f"{self!r} has not been started"
            raise AssertionError(msg)
        return self._future

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_executor": None, "_future": None, "_end": None, "_authkey": None}

    def __repr__(self) -> str:
        return f"<manyhands.{type(self).__name__} {self.name} {self._state()}>"

    def _state(self) -> str:
        if self._closed:
            return "closed"
        if self._future is None:
            return "initial"
        return f"stopped, exit code {self._outcome_of(self._future)[0]}" if self._future.done() else "started"


class _Host(Executor):
    """The one worker."""

    def bring_to_life(self, process: Process) -> Future[tuple[int, object]]:
        """It may hold what can only be inherited."""
        own = type(process).run is not Process.run
        target, args, kwargs = (_process_life.run, (process,), {}) if own else process._call()  # noqa: SLF001 - made for this
        name = function_name(type(process).run if own else target)
        key = process._key_to_be_given()  # noqa: SLF001 - as above
        self._pool.replace_nobody()
        # Whatever the options say of tasks: a process is not run again.
        call = self._pool.open_call(self._sink, self._policy._replace(retries=0), limit=1)
        self._calls.add(call)
        with self._pool.bequeathing():
            _calls.name_after(self._pool.function(_process_life.live, self._options.on_stale), name)
            return self._submit(call, _process_life.live, (process.name, key, target, args, kwargs), {})

    def forget_what_is_inherited(self) -> None:
        """It has been: what the program closes now is closed, also if it is a pipe whose reader waits for its end."""
        self._pool.drop_inheritance()


class _Daemon(_Host):
    _finishes_at_exit = False
