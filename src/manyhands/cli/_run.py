"""One run of ``manyhands map``: inputs in, lines out, in order, with a bounded number of results in memory.

Tasks go through ``manyhands.imap`` unordered, so that a result is in the journal as soon as it is there, and are put in order here.
When too many results wait for one that takes long, reading stops until it is there: the call over what has been read is let end, and
another goes on with the rest. So memory stays bounded, however long the input.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import reprlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import manyhands
from manyhands.backends._contract import Counts
from manyhands.cli import _journal
from manyhands.cli._failures import failure_facts, renaming
from manyhands.cli._streams import say
from manyhands.cli._task import input_field
from manyhands.errors import STACK_FOLLOWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyhands.cli._journal import Journal
    from manyhands.cli._streams import Output
    from manyhands.cli._task import Task
    from manyhands.errors import Failure
    from manyhands.mapping import Results

# How many results, and how many characters of them, may wait for an earlier one. Guesses.
_WAITING = 10_000
_WAITING_TEXT = 1 << 26


class Failed(Exception):
    """A task failed, and ``--errors raise`` ends the run."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user chose for the run."""

    errors: str
    ordered: bool
    reads: str
    with_input: bool


@dataclass(frozen=True, slots=True)
class _Read:
    """An input under way."""

    index: int
    text: str
    digest: str


class Run:
    """Reads, runs, writes. Used by one thread; another may ask for :meth:`counts`."""

    def __init__(
        self, task: Task, inputs: Iterator[str], output: Output, journal: Journal | None, choices: Choices, options: dict[str, Any]
    ) -> None:
        self._task = task
        self._inputs = inputs
        self._output = output
        self._journal = journal
        self._choices = choices
        self._options = options
        self.ended = self.failed = self.recorded = 0  # of all tasks; that failed; that the journal knew
        self._read = 0  # inputs so far; the next one has this index
        self._exhausted = False
        self._sent = itertools.count()  # numbers those that run, through all calls
        self._first = 0  # number of the first one of the present call
        self._under_way: dict[int, _Read] = {}
        self._next = 0  # index whose line is written next
        self._waiting: dict[int, str | None] = {}  # lines that are not due yet; None: none is to be written
        self._waiting_text = 0
        self._results: Results[str | Failure] | None = None
        self._begin = time.monotonic()

    # ------------------------------------------------------------ running

    def execute(self) -> None:
        """Run all tasks.

        Raises:
            Failed: one failed, under ``--errors raise``. It has been reported.
            JournalError: the journal is not one of these inputs.
            BrokenPipeError: nobody reads the output any more.
        """
        while not self._exhausted:
            numbers = itertools.count(self._first)
            call = manyhands.imap(
                self._task, numbers, self._inputs_to_run(), ordered=False, errors="return", progress=False, **self._options
            )
            with call as self._results:
                for outcome in call:
                    self._take(outcome)
            self._first += call.statistics().submitted
        if self._journal is not None:
            self._journal.check_end(self._read)

    def _inputs_to_run(self) -> Iterator[str]:
        choices, journal = self._choices, self._journal
        for text in self._inputs:
            index = self._read
            known_by = "" if journal is None else _journal.digest(text, choices.reads)
            if journal is not None and journal.holds(index, known_by):
                self._read += 1
                self._place_recorded(index)
                continue
            self._under_way[next(self._sent)] = _Read(index, text, known_by)
            self._read += 1
            yield text
            if len(self._waiting) > _WAITING or self._waiting_text > _WAITING_TEXT:
                return
        self._exhausted = True

    def _take(self, outcome: str | Failure) -> None:
        if isinstance(outcome, str):
            ordinal, _, tail = outcome.partition(" ")
            read = self._under_way.pop(int(ordinal))
            if self._journal is not None:
                self._journal.record(read.index, read.digest, tail)
            self._place(read.index, _line(read.index, tail))
        else:
            number = self._first + outcome.index
            read = self._under_way.pop(number)
            function = self._task.__qualname__
            name, better = f"task {outcome.index}: {function}({number}, ", f"task {read.index}: {function}("
            self._fail(read, failure_facts(outcome.error, renaming(name, better, read.text, decode=self._task.decode)))

    def _fail(self, read: _Read, facts: dict[str, object]) -> None:
        self.failed += 1
        summary = str(facts["message"]).partition("\n")[0].removesuffix(STACK_FOLLOWS)
        say(f"manyhands: task {read.index} ({reprlib.repr(read.text)}) failed: {facts['type']}: {summary}")
        if self._choices.errors == "raise":
            if "traceback" in facts:
                say(str(facts["traceback"]).rstrip())
            self.ended += 1
            raise Failed
        if self._choices.errors == "skip":
            self._place(read.index, None)
            return
        shown = f"{input_field(read.text, decode=self._task.decode)}, " if self._choices.with_input else ""
        self._place(read.index, _line(read.index, f'{shown}"error": {json.dumps(facts)}}}'))

    # ------------------------------------------------------------ writing

    def _place(self, index: int, line: str | None) -> None:
        """Write what is due, now that the line of ``index`` is there."""
        self.ended += 1
        if not self._choices.ordered:
            if line is not None:
                self._output.write(line)
            return
        self._waiting[index] = line
        self._waiting_text += len(line or "")
        self._write_due()

    def _place_recorded(self, index: int) -> None:
        self.ended += 1
        self.recorded += 1
        if self._choices.ordered:
            self._write_due()
        elif self._journal is not None:
            self._output.write(_line(index, self._journal.tail(index)))

    def _write_due(self) -> None:
        journal = self._journal
        while True:
            if self._next in self._waiting:
                line = self._waiting.pop(self._next)
                self._waiting_text -= len(line or "")
            elif journal is not None and self._next < self._read and self._next in journal:
                line = _line(self._next, journal.tail(self._next))
            else:
                return
            self._next += 1
            if line is not None:
                self._output.write(line)

    # ------------------------------------------------------------ how it goes

    def counts(self) -> Counts:
        """Where the run stands, for a progress bar."""
        results = self._results
        busy = results.statistics().busy if results is not None else 0
        return Counts(self._read, self.ended, self.failed, busy, {})

    def summary(self) -> str:
        """``1,000 tasks (400 from the journal), 2 failed, 3.1 s, 194 tasks/s``."""
        seconds = max(time.monotonic() - self._begin, 1e-9)
        known = f" ({self.recorded:,} from the journal)" if self.recorded else ""
        rate = (self.ended - self.recorded) / seconds
        shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
        return f"{self.ended:,} task{'s' * (self.ended != 1)}{known}, {self.failed:,} failed, {seconds:.1f} s, {shown} tasks/s"


def _line(index: int, tail: str) -> str:
    return f'{{"index": {index}, {tail}'


@contextlib.contextmanager
def bar(run: Run, total: int | None, workers: int, *, show: bool) -> Iterator[None]:
    """A progress bar on standard error, if there is to be one."""
    if not show:
        yield
        return
    from manyhands.progress import Bar  # noqa: PLC0415 - rich takes 50 ms

    with Bar(run.counts, total, workers):
        yield
