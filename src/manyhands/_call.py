"""What ``map``, ``imap`` and ``aimap`` have in common: one call over many inputs."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._core.options import refuse
from manyhands._core.policy import Failed, Policy
from manyhands._engine._interrupts import tell_briefly
from manyhands.backends import Plan
from manyhands.backends._choice import choose
from manyhands.backends._contract import are_settled
from manyhands.backends._ending import Readable, first_failure
from manyhands.errors import Failure
from manyhands.reports import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from manyhands._core.options import Options
    from manyhands.backends import TaskStream
    from manyhands.memory import Memory


class Call:
    """One call: a stream of a backend under the user's choice of errors, with its progress bar. Leaving it ends the call."""

    def __init__(
        self,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        options: Options,
        *,
        eager: bool,
        rng: object,
        cache: Memory | None = None,
    ) -> None:
        if not callable(fn):
            msg = f"fn={fn!r} is not callable"
            raise TypeError(msg)
        if not iterables:
            msg = "no inputs were given: pass at least one iterable after the function"
            raise TypeError(msg)
        self._options = options
        self._failed: list[Failed] = []
        settled, self.total = are_settled(iterables), _length(iterables)
        _check_iterables(iterables)
        if cache is not None:
            fn = _cached(fn, cache)
        if rng is not None:
            from manyhands.random_numbers import Drawing  # noqa: PLC0415 - only where it is asked for

            fn, iterables = Drawing(fn, rng), (itertools.count(), *iterables)
        backend, workers = choose(options)
        policy = Policy.of(options)
        plan = Plan(
            function=fn,
            star=len(iterables) > 1,
            settled=settled,
            quiet=settled and eager,
            workers=workers,
            chunk=None if options.chunk == "auto" else options.chunk,
            buffer=None if options.buffer == "auto" else options.buffer,
            policy=policy,
            priority=options.priority,
            on_stale=options.on_stale,
            ordered=options.ordered,
            eager=eager,
            # An iterator gives what comes before a failure first.
            fail_fast=eager and options.errors == "raise",
            total=self.total,
        )
        self.recording = Recording(fn, backend.capabilities.name, workers, plan.chunk)
        self.inputs = Readable(iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=False))
        # A list of results is lost anyway; an iterator gives those of the inputs that could be read.
        self.stream: TaskStream = backend.stream(plan, self.inputs.all if eager or plan.settled else iter(self.inputs), options)
        self.recording.follow(self.stream, self.total)
        self._bar: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if options.progress is True:
            from manyhands.progress import Bar  # noqa: PLC0415 - rich takes 50 ms

            self._bar = Bar(self.stream.counts, self.total, workers)

    def chunks(self) -> Iterator[tuple[int, list[object]]]:
        """Chunks of results, with failures as the user wants them."""
        stream, errors = self.stream, self._options.errors
        for first, values in stream.chunks():
            if not stream.failures:
                yield first, values
            elif errors == "return":
                yield first, [Failure(v.index, v.error) if type(v) is Failed else v for v in values]
            elif errors == "skip":
                yield first, [value for value in values if type(value) is not Failed]
            else:
                self._failed = [value for value in values if type(value) is Failed]
                if not self._failed:
                    yield first, values
                    continue
                before = list(itertools.takewhile(lambda value: type(value) is not Failed, values))
                if before:
                    yield first, before
                return

    def failed(self) -> Failed | None:
        """What has ended :meth:`chunks`, to be raised. Not in there: a generator cannot raise StopIteration."""
        return first_failure(self.stream, self._failed) if self._failed else None

    def __enter__(self) -> Call:
        self._bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        at_once = kind is not None and not issubclass(kind, Exception | GeneratorExit)
        tell_briefly(error)
        try:
            self.stream.close(at_once=at_once)
        finally:
            self._bar.__exit__(kind, error, trace)  # type: ignore[arg-type]
            self.recording.finish(self.stream, show=self._options.progress == "report")


def _check_iterables(iterables: tuple[Iterable[Any], ...]) -> None:
    for number, iterable in enumerate(iterables, 1):
        if not hasattr(type(iterable), "__iter__") and not hasattr(type(iterable), "__getitem__"):
            kind = errors.a_or_an(type(iterable).__name__)
            msg = f"iterables: number {number} after the function is {iterable!r:.60}, {kind}; it must be iterable"
            raise TypeError(msg)


def _length(iterables: tuple[Iterable[Any], ...]) -> int | None:
    try:
        return min(len(iterable) for iterable in iterables)  # type: ignore[arg-type]
    except TypeError:
        return None


def _cached(fn: Callable[..., Any], cache: object) -> Callable[..., Any]:
    from manyhands.memory import Memory  # noqa: PLC0415 - only where it is asked for

    if not isinstance(cache, Memory):
        raise refuse("cache", cache, "a manyhands.Memory, or None")
    return cache.cache(fn)  # type: ignore[no-any-return]
