"""What an executor of worker processes and its views with other options have in common: submitting."""

from __future__ import annotations

import concurrent.futures
import os
import time
from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from manyhands import errors
from manyhands._core.living import Living
from manyhands._core.options import checked_count
from manyhands._core.policy import Failed, Policy, add_note
from manyhands._core.tasks import Batch
from manyhands._engine import _feed
from manyhands._engine._arguments import ArgumentEncoder
from manyhands._engine._futures import Future, FutureSink
from manyhands._engine._interrupts import tell_briefly
from manyhands.backends._contract import Plan, are_settled
from manyhands.backends._process_stream import ProcessStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from manyhands._core.options import Options
    from manyhands._engine._calls import Function, PoolCall
    from manyhands._engine._pool import ProcessPool

    # What tasks have in common between which nothing of the user's runs: the function as it is now, and what knows what has been sent.
    Once = tuple[Function, ArgumentEncoder]

P = ParamSpec("P")
T = TypeVar("T")

_ALL = 2**62  # more tasks than there are


class Submitter(concurrent.futures.Executor):
    """Submits to a pool under one policy. ``streams`` are those of :meth:`map`, of all who submit to this pool."""

    def __init__(self, pool: ProcessPool, options: Options, streams: Living[ProcessStream], *, limit: int = 2**31) -> None:
        self._pool = pool
        self._limit = limit  # of workers; that of the pool holds as well, and an executor may be resized beyond what it has now
        self._options = options
        self._policy = Policy.of(options)
        self._streams = streams
        self._calls: Living[PoolCall] = Living()
        self._sink = FutureSink()
        self._closed = False
        self._call = self._open(self._sink)

    @property
    def record_failures(self) -> str | None:
        """The folder in which tasks that fail are saved."""
        return self._policy.record

    def _open(self, sink: FutureSink) -> PoolCall:
        call = self._pool.open_call(sink, self._policy, limit=self._limit, priority=self._options.priority)
        self._calls.add(call)
        return call

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker and return its future.

        Arguments are copied now. What cannot be sent is no error here: its future fails with ``NotSerializable``, which tells which part.

        Raises:
            PoolClosed: the executor has been shut down.
        """
        return self._submit(self._call, fn, args, kwargs)

    def _submit(
        self, call: PoolCall, fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object], once: Once | None = None
    ) -> Future[T]:
        pool = self._pool
        if pool.closed or self._closed or pool.pid != os.getpid():
            self._check_open()
        index = next(call.indices)
        future: Future[T] = Future(pool)
        try:
            function, encoder = once or (pool.function(fn, self._options.on_stale), None)
            form, items = _feed.encode_one(function, args, kwargs, pool, encoder)
            if pool.set_up.inheritance is not None:
                pool.settle()
        except Exception as error:  # noqa: BLE001 - this task fails, the others need not
            add_note(error, f"so task {index} could not be sent")
            future.set_exception(error)
            try:
                return future
            finally:
                del future, args, kwargs  # or the error's traceback would keep this frame, and this frame the future
        batch = Batch(call, index, items, function.cost, form, future)
        self._sink.promise(future, batch)
        pool.submit(batch)
        return future

    def _check_open(self) -> None:
        self._pool.check_open()
        if self._closed:
            msg = "cannot schedule new futures after shutdown; the executor itself may still be open"
            raise errors.PoolClosed(msg)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Results of ``fn`` over the inputs, in order: an iterator, like the standard library's.

        Args:
            timeout: seconds from now until the last result has to be there.
            chunksize: how many calls go in one message; None lets manyhands choose by measured time.
            buffersize: how many tasks may be submitted whose results have not been taken. None: all inputs are read, at once, or with
                ``chunksize=None`` as workers need them; at the latest when the executor is shut down.

        Raises:
            ValueError: ``chunksize`` or ``buffersize`` is below 1.
            TimeoutError: from the iterator, when ``timeout`` has passed.
        """
        if not callable(fn):
            msg = f"fn={fn!r} is not callable"
            raise TypeError(msg)
        if chunksize is not None:
            checked_count("chunksize", chunksize, 1, "a number of calls from 1 on, or None for automatic")
        if buffersize is not None:
            checked_count("buffersize", buffersize, 1, "a number of tasks from 1 on, or None")
        self._check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        settled = are_settled(iterables)
        if chunksize == 1:
            once = self._once(fn) if settled and buffersize is None else None
            submit = partial(self._submit, self._open(self._sink.beside()), fn, once=once)
            results = _one_by_one(submit, zip(*iterables, strict=False), buffersize, deadline)
            if once is not None:
                once[1].forget()
            return results
        all_at_once = chunksize is not None and buffersize is None
        plan = Plan(
            function=fn,
            star=True,
            settled=settled,
            quiet=settled and all_at_once,
            workers=self._width(),
            chunk=chunksize,
            buffer=buffersize,
            ahead=_ALL if all_at_once else None,
            eager=buffersize is None,
            policy=self._policy,
            priority=self._options.priority,
            on_stale=self._options.on_stale,
        )
        stream = self.stream(plan, zip(*iterables, strict=False))
        stream.deadline = deadline
        try:
            stream.start()
        except BaseException:
            stream.owner = None
            raise
        return self._flat(stream)

    def _once(self, fn: Callable[..., Any]) -> Once | None:
        """For tasks that are submitted all at once; None: the function cannot be sent, of which each is to tell."""
        try:
            return self._pool.function(fn, self._options.on_stale), ArgumentEncoder(self._pool, quiet=True)
        except Exception:  # noqa: BLE001 - as in _submit
            return None

    def _flat(self, stream: ProcessStream) -> Iterator[Any]:
        try:
            for _, values in stream.chunks():
                for value in values:
                    if type(value) is Failed:
                        self._note_failure(value.error)
                        raise value.error
                    yield value
        except KeyboardInterrupt as error:
            tell_briefly(error)
            raise
        finally:
            stream.close()

    def _note_failure(self, error: BaseException) -> None:
        """A task of :meth:`map` has failed."""

    def stream(self, plan: Plan, inputs: Iterator[object]) -> ProcessStream:
        """A call over many inputs, as the contract of backends has it. A shutdown of the executor waits for it, if it is still there."""
        stream = ProcessStream(self._pool, plan, inputs)
        stream.owner = self
        self._streams.add(stream)
        return stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Like the end of a ``with`` block. The event loop goes on meanwhile; who is cancelled there stops what runs."""
        from manyhands._engine import _awaiting  # noqa: PLC0415 - asyncio takes 40 ms

        await _awaiting.leave(lambda kind: self.__exit__(kind, None, None), kind)

    def _width(self) -> int:
        raise NotImplementedError

    def _own_streams(self) -> list[ProcessStream]:
        return [stream for stream in self._streams if stream.owner is self]


def _one_by_one(
    submit: Callable[[tuple[Any, ...], dict[str, object]], Future[T]],
    rows: Iterator[tuple[Any, ...]],
    buffersize: int | None,
    deadline: float | None,
) -> Iterator[T]:
    ahead = deque(submit(row, {}) for row in islice(rows, buffersize))
    if buffersize is None:
        rows = iter(())  # zip keeps its last row

    def take() -> Iterator[T]:
        try:
            while ahead:
                left = None if deadline is None else deadline - time.monotonic()
                value = [ahead[0].result(left)]
                ahead.popleft()
                if buffersize is not None:
                    ahead.extend(submit(row, {}) for row in islice(rows, 1))
                yield value.pop()  # kept by nobody but whoever takes it
        finally:
            for future in ahead:
                future.cancel()

    return take()
