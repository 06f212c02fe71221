"""``manyhands map``: a function over lines, JSON Lines or files."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from manyhands import ManyhandsError, cpu_count
from manyhands._core.options import resolve
from manyhands.cli import _streams
from manyhands.cli._journal import Header, Journal, JournalError
from manyhands.cli._loading import CannotLoad, load
from manyhands.cli._run import Choices, Failed, Run, bar
from manyhands.cli._task import Task
from manyhands.progress import is_terminal
from manyhands.settings import options as block_options
from manyhands.settings import resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INTERRUPTED = 128 + signal.SIGINT
_NOBODY_READS = 128 + signal.SIGPIPE


class _Chunk(click.ParamType):  # type: ignore[type-arg] # not generic in older versions of click
    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if value == "auto":
            return value
        try:
            return click.IntRange(min=1).convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither a number from 1 on nor 'auto'.", param, ctx)


@click.command("map")
@click.argument("function", metavar="MODULE:FUNCTION")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=click.Path(exists=True, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="Each line is JSON; the function gets its value.")
@click.option("--each-file", is_flag=True, help="Each INPUT is a task: the function gets the path.")
@click.option("-j", "--workers", type=click.IntRange(min=1), help="At most so many at a time.  [default: one for each processor]")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds that a task may run; then it is stopped and fails.")
@click.option("--retries", type=click.IntRange(min=0), help="How often a task that failed runs again.")
@click.option("--backoff", type=click.FloatRange(min=0), help="Seconds before the first retry, doubled for each further one.")
@click.option("--memory-limit", metavar="SIZE", help='What a worker may hold, like "2GB"; the task that needs more fails.')
@click.option("--record-failures", metavar="DIR", help="Save each task that fails there, for `manyhands replay`.")
@click.option(
    "--errors",
    type=click.Choice(["raise", "return", "skip"]),
    default="return",
    show_default=True,
    help="When a task fails: stop; go on and write a line with the error; go on and write none.",
)
@click.option("--unordered", is_flag=True, help='Write results as they come; "index" tells which input it was.')
@click.option("--chunk", type=_Chunk(), help='Tasks in one message, or "auto": by measured time.')
@click.option(
    "--buffer",
    type=click.IntRange(min=1),
    help="Read at most so many inputs ahead of results. 1: each result before the next input, if these come slowly.",
)
@click.option("--backend", help='"processes", "threads" or "sequential".  [default: processes]')
@click.option("--input/--no-input", "with_input", default=True, help="Whether output lines carry their input.  [default: they do]")
@click.option("--progress/--no-progress", default=None, help="A progress bar on standard error.  [default: in a terminal]")
@click.option("--resume", "journal", metavar="FILE", type=click.Path(dir_okay=False), help="Journal: go on where a run was interrupted.")
def command(function: str, inputs: tuple[str, ...], as_json: bool, each_file: bool, journal: str | None, **given: Any) -> int:
    """Call a function for each line of the INPUTs, in parallel, and write the results as JSON Lines.

    MODULE is a module (the current directory is searched first) or a .py file. Without INPUT, or for "-", standard input is read; it may
    be endless. With --each-file each INPUT is a task, or each line of standard input, a path. What the function prints goes to standard
    error.

    \b
    Examples:
        seq 5 | manyhands map --json math:sqrt
        manyhands map --each-file tasks.py:count_words *.txt | jq .result
        manyhands map --resume run.journal tasks:fetch urls.txt >pages.jsonl

    Each task gives one line, in the order of the inputs:

    \b
        {"index": 0, "input": "a.txt", "result": 120}
        {"index": 1, "input": "b.txt", "error": {"type": "ValueError", "message": "...", ...}}

    "index" counts the tasks from 0. "error" also has "notes" and "traceback" where there are any. For example:

    \b
        ... | jq -c 'select(.error)'                  what failed
        ... | jq -r 'select(.error).input' >again     the inputs to try again
        ... | jq 'select(has("result")) | .result'    results only

    --resume FILE writes results to a journal as well. When the run is interrupted (Ctrl-C, kill -9, power), the same command goes on: what
    is in the journal is written out from there, in order; only the rest, and what failed, runs; so do tasks that had just ended and were
    not in the journal yet, and, with --each-file, files that have changed since. The inputs must be the same; the code may have
    changed: what is in the journal is not done again.

    Exit status: 0 all well, 1 tasks failed, 2 wrong usage, 130 after Ctrl-C, 141 when the reader of the output went away.
    """
    if as_json and each_file:
        msg = "--json and --each-file exclude each other: inputs are lines of JSON, or names of files."
        raise click.UsageError(msg)
    reads = "json" if as_json else "files" if each_file else "lines"
    with contextlib.ExitStack() as stack:
        stdin, stdout = stack.enter_context(_streams.own_streams())
        task, name = _task(function, reads, given["with_input"])
        header = Header(name, reads, given["with_input"])
        book = None if journal is None else stack.enter_context(_journal(journal, header))
        if book is not None:
            _warn_of_newer_code(book, name.partition(":")[0])
        options = {
            key: given[key]
            for key in ("workers", "timeout", "retries", "backoff", "record_failures", "chunk", "buffer", "backend")
            if given[key] is not None
        }
        if book is not None:
            options.setdefault("chunk", 1)  # in a larger message, results may wait for a task that takes long; here they must not get lost
        choices = Choices(given["errors"], not given["unordered"], reads, given["with_input"])
        if given["memory_limit"] is not None:
            stack.enter_context(_limited(given["memory_limit"]))
        show, workers = _progress(given["progress"], options)
        if not inputs and os.isatty(stdin):
            _streams.say("manyhands: reading from the terminal; Ctrl-D ends the input")
        output = _streams.Output(stdout, beside_bar=show)
        run = Run(task, _streams.texts(reads, inputs, stdin), output, book, choices, options)
        total = _streams.count(reads, inputs)
        return _finish(run, total, journal, lambda: _with_bar(run, total, workers, show))


def _task(function: str, reads: str, with_input: bool) -> tuple[Task, str]:
    try:
        found, name = load(function)
    except CannotLoad as error:
        raise click.BadParameter(str(error), param_hint="MODULE:FUNCTION") from None
    return Task(found, name.partition(":")[2], decode=reads == "json", with_input=with_input), name


@contextlib.contextmanager
def _journal(path: str, header: Header) -> Iterator[Journal]:
    try:
        with contextlib.closing(Journal(path, header)) as journal:
            if journal.damaged:
                _streams.say(f"manyhands: {_damage(journal.damaged, path)}")
            yield journal
    except JournalError as error:
        raise click.BadParameter(str(error), param_hint="--resume") from None


def _damage(count: int, path: str) -> str:
    if count == 1:
        return f"1 line of journal {path!r} is damaged; its task runs again"
    return f"{count:,} lines of journal {path!r} are damaged; their tasks run again"


def _limited(memory: str) -> contextlib.AbstractContextManager[None]:
    try:
        resolve({"memory_limit": memory}, {}, {})
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--memory-limit") from None
    return block_options(memory_limit=memory)


def _warn_of_newer_code(journal: Journal, module: str) -> None:
    """What is in the journal is not done again, whatever code did it; whoever has changed the code should know."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is not None and journal.last_written and os.stat(file).st_mtime > journal.last_written:
        _streams.say(
            f"manyhands: {os.path.basename(file)} has changed since; what is in the journal came from the earlier code, and is kept"
        )


def _progress(wanted: bool | None, options: dict[str, Any]) -> tuple[bool, int]:
    """Whether to show a bar, and for how many workers."""
    try:
        found = resolved(**options)
    except ValueError as error:  # of the environment
        raise click.UsageError(str(error)) from None
    show = wanted if wanted is not None else bool(found.progress) or is_terminal(sys.stderr)
    return show, found.workers or cpu_count()


def _with_bar(run: Run, total: int | None, workers: int, show: bool) -> None:
    with bar(run, total, workers, show=show):
        run.execute()


def _finish(run: Run, total: int | None, journal: str | None, execute: Callable[[], None]) -> int:
    """Run, and tell how it ended."""
    try:
        execute()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends the program where it stands
        _streams.say(_interrupted(run.ended, total, journal))
        return _INTERRUPTED
    except BrokenPipeError:
        return _NOBODY_READS
    except Failed:
        _streams.say(f"manyhands: stopped after the first failure; {run.summary()}")
        return 1
    except (ManyhandsError, ValueError) as error:  # of the call as a whole: an option, or a function that cannot be sent
        raise click.UsageError(str(error)) from None
    _streams.say(f"manyhands: {run.summary()}")
    return 1 if run.failed else 0


def _interrupted(ended: int, total: int | None, journal: str | None) -> str:
    of = f" of {total:,}" if total is not None else ""
    tasks = "task" if ended == 1 and total is None else "tasks"
    how = f"run the same command again with --resume {journal} to go on" if journal else "with --resume FILE, a run can be gone on with"
    return f"manyhands: interrupted after {ended:,}{of} {tasks}; {how}"
