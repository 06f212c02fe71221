"""Calls that ``delayed`` has noted, from the iterable to the results: what both faces of ``Parallel`` have in common."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from manyhands._core.arithmetic import evaluate
from manyhands._core.options import whole
from manyhands._core.policy import Failed, Policy
from manyhands._engine._interrupts import tell_briefly
from manyhands.backends import Plan
from manyhands.backends._ending import Readable, raise_first

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from manyhands._core.options import Options
    from manyhands.backends import TaskStream
    from manyhands.reports import Recording

    Noted = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

# What ``pre_dispatch`` may mean besides a number.
AUTO = -1
ALL = -2


class Calls:
    """The calls of an iterable, each checked when it is read. ``exhausted``: all have been."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable
        self.total = len(iterable) if isinstance(iterable, list | tuple) else None
        self.exhausted = False
        self._readable = Readable(self._checked())

    def inputs(self, *, eager: bool) -> Iterator[Noted]:
        """For a stream; with ``eager``, what cannot be read is raised where it is read, else by :meth:`check`."""
        return self._readable.all if eager else iter(self._readable)

    def check(self) -> None:
        """Raise what the iterable has raised."""
        self._readable.check()

    def _checked(self) -> Iterator[Noted]:
        for index, call in enumerate(self._iterable):
            try:
                _, args, kwargs = call
            except (TypeError, ValueError):
                args = kwargs = None
            if type(args) is tuple and type(kwargs) is dict and type(call) is tuple:  # nearly always; the rest takes its time
                yield call
            else:
                yield _as_call(index, call)
        self.exhausted = True


class Counting:
    """How far the last call of a ``Parallel`` is."""

    _stream: TaskStream | None = None

    @property
    def n_dispatched_tasks(self) -> int:
        """How many calls of the last run have been read from its input."""
        return 0 if self._stream is None else self._stream.counts().submitted

    @property
    def n_completed_tasks(self) -> int:
        """How many calls of the last run have ended."""
        return 0 if self._stream is None else self._stream.counts().ended


def _as_call(index: int, call: Any) -> Noted:
    try:
        function, args, kwargs = call
        if callable(function):
            return function, tuple(args), dict(kwargs)
    except (TypeError, ValueError):
        pass
    msg = f"Parallel takes calls like delayed(function)(argument), that is (function, args, kwargs); number {index} is {call!r:.100}"
    raise TypeError(msg)


def make_plan(options: Options, workers: int, ahead: int, return_as: str, total: int | None, *, quiet: bool) -> Plan:
    """How a stream is to run the calls.

    Args:
        ahead: of :func:`tasks_ahead`.
        total: how many there are, where that is known.
        quiet: reading them runs no code of the user's: see ``_quiet_calls.py``.
    """
    eager = return_as == "list"
    most = None if ahead in {AUTO, ALL} else ahead
    if ahead == ALL and total is not None and not eager:
        most = total + 1  # all at once: nobody may come for the results that would make room
    return Plan(
        function=None,
        quiet=quiet and eager,
        workers=workers,
        chunk=None if options.chunk == "auto" else options.chunk,
        ahead=most,
        policy=Policy.of(options),
        priority=options.priority,
        on_stale=options.on_stale,
        ordered=return_as != "generator_unordered",
        eager=eager,
        fail_fast=True,
        total=total,
    )


def tasks_ahead(pre_dispatch: int | str, n_jobs: int, batch_size: int | str) -> int:
    """How many tasks may be under way; ``AUTO`` or ``ALL``.

    Raises:
        ValueError: ``pre_dispatch`` is no such number.
    """
    if pre_dispatch == "all":
        return ALL
    if pre_dispatch == "2 * n_jobs" and batch_size == "auto":
        return AUTO
    if isinstance(pre_dispatch, str):
        try:
            count: int | None = int(evaluate(pre_dispatch, n_jobs=n_jobs))
        except ValueError as error:
            msg = f"pre_dispatch={pre_dispatch!r} cannot be evaluated; it is a number, 'all', or an expression like '2 * n_jobs': {error}"
            raise ValueError(msg) from None
    else:
        count = whole(pre_dispatch)
    if count is None or count < 1:
        msg = f"pre_dispatch={pre_dispatch!r} is not allowed; pre_dispatch is a number from 1 on, an expression in n_jobs, or 'all'"
        raise ValueError(msg)
    return count * (batch_size if isinstance(batch_size, int) else 1)


def chunks(stream: TaskStream, calls: Calls, recording: Recording, finished: Callable[[], object] | None = None) -> Generator[list[object]]:
    """Results as the stream gives them; first none, with which it begins. ``finished`` is called when all have been taken.

    Raises:
        Exception: what the first call that failed has raised, or the iterable.
    """
    at_once = False
    try:
        yield []  # begun: it closes the stream from here on
        for _, values in stream.chunks():
            if stream.failures:
                failed = [value for value in values if type(value) is Failed]
                if failed:
                    raise_first(stream, failed)
            yield values
        calls.check()
        if finished is not None:
            finished()
    except BaseException as error:
        at_once = not isinstance(error, Exception | GeneratorExit)
        tell_briefly(error)
        raise
    finally:
        stream.close(at_once=at_once)
        recording.finish(stream)


def one_by_one(chunks: Generator[list[object]], stream: TaskStream) -> Generator[object]:
    """The results one by one. First None, with which the call begins; from there on the generator's end is the call's, however it comes."""
    with contextlib.closing(chunks):
        next(chunks)
        stream.start()
        yield None
        for values in chunks:
            yield from values


def all_of(chunks: Iterable[list[object]]) -> list[object]:
    """The results in one list."""
    results: list[object] = []
    for values in chunks:
        results += values
    return results
