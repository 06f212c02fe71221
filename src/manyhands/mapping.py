"""One function over many inputs: ``map``, ``imap`` and ``aimap``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, overload

from manyhands._call import Call
from manyhands.settings import UNSET, resolved

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable
    from os import PathLike
    from typing import Unpack

    from manyhands._core.policy import Failed
    from manyhands.backends._contract import Counts
    from manyhands.errors import Failure
    from manyhands.memory import Memory

T = TypeVar("T")

Errors = Literal["raise", "return", "skip"]
OnStale = Literal["send", "raise"]
Auto = Literal["auto"]


class MapOptions(TypedDict, total=False):
    """For type checkers: the options of :func:`map`, which describes them, without ``errors``, on which the type of the results depends."""

    workers: int | None
    chunk: int | Auto
    timeout: float | None
    retries: int
    retry_on: type[BaseException] | tuple[type[BaseException], ...]
    backoff: float
    progress: bool | Literal["report"]
    ordered: bool
    backend: object
    priority: int
    on_stale: OnStale
    tag_output: bool
    watch: bool
    record_failures: str | PathLike[str] | None
    rng: object
    cache: Memory | None


class ImapOptions(MapOptions, total=False):
    """The same of :func:`imap` and :func:`aimap`."""

    buffer: int | Auto


@overload
def map(  # noqa: A001 - the builtin's name for what the builtin does
    fn: Callable[..., T], *iterables: Iterable[Any], errors: Literal["return"], **options: Unpack[MapOptions]
) -> list[T | Failure]: ...


@overload
def map(  # noqa: A001
    fn: Callable[..., T], *iterables: Iterable[Any], errors: Literal["raise", "skip"] = ..., **options: Unpack[MapOptions]
) -> list[T]: ...


def map(  # noqa: A001
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    workers: int | None = UNSET,
    chunk: int | Auto = UNSET,
    timeout: float | None = UNSET,
    retries: int = UNSET,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = UNSET,
    backoff: float = UNSET,
    errors: Errors = UNSET,
    progress: bool | Literal["report"] = UNSET,
    ordered: bool = UNSET,
    backend: object = UNSET,
    priority: int = UNSET,
    on_stale: OnStale = UNSET,
    tag_output: bool = UNSET,
    watch: bool = UNSET,
    record_failures: str | PathLike[str] | None = UNSET,
    rng: object = None,
    cache: Memory | None = None,
) -> list[T] | list[T | Failure]:
    """``[fn(x) for x in iterable]``, on all processors.

    Several iterables are taken together, like those of the builtin ``map``, until the shortest ends.

    Example:
        >>> import manyhands
        >>> manyhands.map(pow, [2, 3], [10, 2])
        [1024, 9]

    Args:
        fn: any function; it need not be importable where it runs.
        workers: at most so many at a time; None (the default): one for each processor that may be used.
        chunk: how many tasks go in one message; "auto" (the default): as many as take some 10 ms, by measured time.
        timeout: seconds that each task may run, counted from its start; then it is stopped and fails with ``TaskTimeout``. None (the
            default), and what is above 20 days: no limit.
        retries: how often a task that failed runs again; by default it does not.
        retry_on: the failures for which it does, an exception class or several; by default ``Exception``.
        backoff: seconds before the first repetition, doubled for each further one, up to a day; by default 0.
        errors: "raise" (the default): the first failure, in the order of the inputs, is raised, the others are noted on it. "return": the
            result of a failed task is a :class:`Failure`. "skip": it is left out.
        progress: show a progress bar (plain lines where there is no terminal); "report": what the call has cost, when it ends: see
            :func:`manyhands.last_report`. By default neither.
        ordered: results in the order of the inputs (the default); False: as they come.
        backend: "processes" (the default), "threads", "sequential", a registered name, or an executor.
        priority: of calls that run at the same time, the tasks of the one with the higher priority start first; by default 0.
        on_stale: where a worker has other code for ``fn`` than this program (its module was edited, reloaded or patched since): "send" (the
            default): the worker is sent this program's. "raise": the task fails with ``StaleCode``.
        tag_output: name the task before each line that it writes: "[square 17] text". What workers write and log, and their warnings, come
            from this process, as if it had written them; by default without a tag.
        watch: have this program watched from now on, as by :func:`manyhands.watch`.
        record_failures: a folder. What is needed to run a task that has failed once more, in a debugger, is saved there in a file of its
            own: see :func:`manyhands.replay`. The last attempt counts, and the first 100 failures of a call. Whatever goes wrong with
            the folder is a warning, and fails no task. By default nothing is saved.
        rng: a seed (a number, a list of numbers, a ``numpy.random.SeedSequence``): ``fn`` is called with ``rng=``, a
            ``numpy.random.Generator`` of its own for each task. Task number n draws the same numbers, whatever the workers, their
            number, the order, the batches, repetitions and the backend; the same in each call with that seed. A
            ``numpy.random.Generator``: its next child (see its ``spawn``) is the seed, so that the next call with it draws other numbers.
            What reproduces a single call is a number or a ``SeedSequence``. None (the default): ``fn`` is called without.
        cache: a :class:`manyhands.Memory`: what has been computed before, or is by another task just now, is not computed again.

    These are the defaults where neither :func:`manyhands.options` nor the environment (``MANYHANDS_WORKERS`` and so on) says otherwise.

    **Promises.** Inputs are copied when they are read from the iterables, which happens in this thread. A task that
    crashes, hangs or returns what cannot be sent fails alone. When ``map`` returns or raises, none of its tasks runs any more.

    Raises:
        Exception: what a task raised, with its traceback there as ``__cause__`` and a note that names the task.
        WorkerDied, TaskTimeout, NotSerializable: a task failed in these ways.
        ValueError: an argument is not allowed.
    """
    options = resolved(
        workers=workers,
        chunk=chunk,
        timeout=timeout,
        retries=retries,
        retry_on=retry_on,
        backoff=backoff,
        errors=errors,
        progress=progress,
        ordered=ordered,
        backend=backend,
        priority=priority,
        on_stale=on_stale,
        tag_output=tag_output,
        watch=watch,
        record_failures=record_failures,
    )
    call = Call(fn, iterables, options, eager=True, rng=rng, cache=cache)
    results: list[T] = []
    with call:
        for _, values in call.chunks():
            results += values  # type: ignore[arg-type]
        failed = call.failed()
        if failed is not None:
            raise failed.error
    return results


@overload
def imap(
    fn: Callable[..., T], *iterables: Iterable[Any], errors: Literal["return"], **options: Unpack[ImapOptions]
) -> Results[T | Failure]: ...


@overload
def imap(
    fn: Callable[..., T], *iterables: Iterable[Any], errors: Literal["raise", "skip"] = ..., **options: Unpack[ImapOptions]
) -> Results[T]: ...


def imap(
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    buffer: int | Auto = UNSET,
    workers: int | None = UNSET,
    chunk: int | Auto = UNSET,
    timeout: float | None = UNSET,
    retries: int = UNSET,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] = UNSET,
    backoff: float = UNSET,
    errors: Errors = UNSET,
    progress: bool | Literal["report"] = UNSET,
    ordered: bool = UNSET,
    backend: object = UNSET,
    priority: int = UNSET,
    on_stale: OnStale = UNSET,
    tag_output: bool = UNSET,
    watch: bool = UNSET,
    record_failures: str | PathLike[str] | None = UNSET,
    rng: object = None,
    cache: Memory | None = None,
) -> Results[T] | Results[T | Failure]:
    """Like :func:`map`, as an iterator: results while the inputs are still being read. Inputs may be endless.

    Args:
        buffer: how many tasks may be read from the inputs whose results have not been taken. "auto" (the default): a few messages for each
            worker.
        workers, chunk, timeout, retries, retry_on, backoff, errors, progress, ordered, backend, priority, on_stale, tag_output, watch,
            record_failures, rng, cache: as for :func:`map`.

    The inputs are read in the thread that takes the results, and only while it takes them. While that waits for an input, results that
    come in the meantime wait, too, however they are ordered: with inputs that come slowly, ``buffer=1`` gives each result before the
    next input is asked for. Closing the iterator early
    (``close()``, or leaving its ``with`` block) ends the call: nothing of it runs any more.

    If reading an input raises an exception, it comes after the results of all inputs before it.

    Under ``errors="raise"``, the results of all inputs before the one that failed come first (with ``ordered=False``: what has come by
    then). A ``StopIteration`` that a task raised would end a loop as if all were done; it comes as the cause of a ``RuntimeError``.

    Example:
        >>> import itertools, manyhands
        >>> with manyhands.imap(abs, itertools.count(-3), buffer=8) as results:
        ...     [next(results) for _ in range(4)]
        [3, 2, 1, 0]
    """
    options = resolved(
        buffer=buffer,
        workers=workers,
        chunk=chunk,
        timeout=timeout,
        retries=retries,
        retry_on=retry_on,
        backoff=backoff,
        errors=errors,
        progress=progress,
        ordered=ordered,
        backend=backend,
        priority=priority,
        on_stale=on_stale,
        tag_output=tag_output,
        watch=watch,
        record_failures=record_failures,
    )
    return Results(Call(fn, iterables, options, eager=False, rng=rng, cache=cache))


@overload
def aimap(
    fn: Callable[..., T], *iterables: Iterable[Any], errors: Literal["return"], **options: Unpack[ImapOptions]
) -> AsyncGenerator[T | Failure, None]: ...


@overload
def aimap(
    fn: Callable[..., T], *iterables: Iterable[Any], errors: Literal["raise", "skip"] = ..., **options: Unpack[ImapOptions]
) -> AsyncGenerator[T, None]: ...


def aimap(fn: Callable[..., T], *iterables: Iterable[Any], **options: Any) -> AsyncGenerator[T, None] | AsyncGenerator[T | Failure, None]:
    """Like :func:`imap`, with the same options and the same (ordinary) iterables, for ``async for``.

    The event loop goes on meanwhile; the inputs are read in a thread of their own. When the iteration is cancelled, its tasks are stopped;
    the thread, if it waits for an input just then, is left to end when that has come.

    Example:
        >>> import asyncio, manyhands
        >>> async def main():
        ...     return [x async for x in manyhands.aimap(abs, [-1, -2])]
        >>> asyncio.run(main())
        [1, 2]
    """
    return _taken_in_a_thread(imap(fn, *iterables, **options))


async def _taken_in_a_thread(results: Results[T]) -> AsyncGenerator[T, None]:
    import asyncio  # noqa: PLC0415 - 40 ms; only who uses it needs it
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    done = object()
    thread = ThreadPoolExecutor(1, thread_name_prefix="manyhands-aimap")
    cancelled = False
    try:
        while (value := await loop.run_in_executor(thread, next, results, done)) is not done:
            yield value  # type: ignore[misc]
    except asyncio.CancelledError:
        cancelled = True
        results.abort()  # the thread may wait for a task that takes long
        raise
    finally:
        closing = thread.submit(results.close)
        try:
            if not cancelled:  # otherwise it may wait for an input, for nobody knows how long
                await asyncio.wrap_future(closing)
            results.adopt_report()
        finally:
            thread.shutdown(wait=closing.done())


class Results(Generic[T]):
    """The iterator that :func:`imap` returns. One thread takes the results; others may :meth:`close` it."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._values: Generator[T, None, None] = _values(call)  # not a method: its frame would keep this, and so nothing would end it

    def __iter__(self) -> Results[T]:
        return self

    def __next__(self) -> T:
        return next(self._values)

    def close(self) -> None:
        """End the call: when this returns, nothing of it runs any more. While another thread takes a result, it is :meth:`abort`."""
        try:
            self._values.close()
        except ValueError as error:
            if str(error) != "generator already executing":
                raise
            self.abort()

    def abort(self) -> None:
        """End the call from another thread than the one that iterates, whose iteration then ends."""
        self._call.stream.close(at_once=True)

    def statistics(self) -> Counts:
        """Where the call stands: ``submitted`` (tasks read), ``ended``, ``failed``, ``busy`` (workers) and ``work``.

        ``work`` gives for each worker, by process id (or name of the thread), how many tasks it did and how many nanoseconds they took.
        """
        return self._call.stream.counts()

    def adopt_report(self) -> None:
        """It was iterated in another thread, in the place of this one, whose last call it was."""
        self._call.recording.adopt()

    def __enter__(self) -> Results[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _values(call: Call) -> Generator[Any, None, None]:
    with call:
        for _, values in call.chunks():
            yield from values
        failed = call.failed()
        if failed is not None:
            raise _stopped(failed) if isinstance(failed.error, StopIteration) else failed.error
        call.inputs.check()


def _stopped(failed: Failed) -> RuntimeError:
    error = RuntimeError(f"task {failed.index} raised StopIteration, which an iterator cannot pass on: it would seem to be at its end")
    error.__cause__ = failed.error
    return error
