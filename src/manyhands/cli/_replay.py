"""``manyhands replay``: a task that has failed, run again in this process."""

from __future__ import annotations

import bdb
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import click

from manyhands._records._container import SHARED
from manyhands._records._facts import DIED, TIMEOUT, chosen_variables, has_changed
from manyhands.cli import _debugging
from manyhands.errors import CannotReplay, StoreCorrupt
from manyhands.replaying import FailedTask, replay

if TYPE_CHECKING:
    from typing import Any

_INTERRUPTED = 128 + signal.SIGINT


@click.command("replay")
@click.argument("file")
@click.option("--pdb", "post_mortem", is_flag=True, help="Where it raises an exception, look around in the debugger.")
@click.option("--break", "at_start", is_flag=True, help="Stop in the debugger at the function's first line.")
@click.option("--here", is_flag=True, help="Keep to this directory, and to this program's import path.")
@click.option("--isolated", is_flag=True, help="In a process of its own, for tasks that end theirs.")
@click.option("--show", is_flag=True, help="Only tell what failed, and where: nothing in the file runs.")
@click.option("--is-child", is_flag=True, hidden=True)
def command(file: str, show: bool, isolated: bool, **how: bool) -> int:
    """Run the failed task in FILE once more, in this process.

    A call with record_failures="failures" (or MANYHANDS_RECORD_FAILURES=failures) saves there each task that fails: function, arguments
    and what was around them. The directory and the import path are those of the program that failed, where they still exist. What the
    task got by name, the functions of your modules, is imported as it is now; a function of the script itself is run as it was then.

    The file holds a pickle, which can do anything: replay your own files only. --show is safe with any.

    \b
    Examples:
        manyhands replay failures/divide-3-20261122T161540-1f2e3d4c.replay
        manyhands replay --pdb failures/divide-3-20261122T161540-1f2e3d4c.replay

    Exit status: 0 it succeeded now, 1 it failed (128 + n: its own process was ended by signal n), 2 it could not be run, 130 after Ctrl-C.
    """
    try:
        task = replay(file)
        if isolated and not show:
            return _in_a_process(task, how)
        _tell(task, full=show)
        if show:
            return 0
        if not how["here"]:
            _go_there(task)
        if not how["is_child"]:
            _warn(task)
        return _run(task, post_mortem=how["post_mortem"], at_start=how["at_start"])
    except (OSError, CannotReplay, StoreCorrupt) as error:
        _say(f"Error: {error}", to_stderr=True)
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED


# ------------------------------------------------------------ what it was


def _tell(task: FailedTask, *, full: bool) -> None:
    for name, value in _lines(task, full=full):
        _say(f"{name:<12}{value}")
    _say(f"\nThen:\n{task.traceback.rstrip()}")
    for note in task.facts["error"]["notes"]:
        if note not in task.traceback:
            _say(note)


def _lines(task: FailedTask, *, full: bool) -> list[tuple[str, str]]:
    facts, about = task.facts, task.facts["task"]
    place = about["place"]
    worker = f" in worker {about['worker']}" if about["worker"] else ""
    took = f" after {about['seconds']:.3g} s" if about["seconds"] is not None else ""
    attempt = f", attempt {task.attempt}" if task.attempt > 1 else ""
    lines = [
        ("task", f"{task.index}: {task.call}"),
        ("failed", f"{facts['local_time']}{took}{worker}{attempt}"),
        ("function", about["name"] + (f" ({place[0]}:{place[1]})" if place else "")),
        ("program", f"{shlex.join(facts['argv']) or '(interactive)'} in {facts['cwd']}"),
        ("versions", f"Python {facts['python']}, manyhands {facts['manyhands']}"),
    ]
    if about["is_after"]:
        lines.append(("arguments", "as they were after the failure: the task ran on the program's own"))
    if any(kind == SHARED for part in facts["parts"] for _, kind in part["buffers"]):
        lines.append(("shared", "memory is as it was after the failure: all processes write to it"))
    if full:
        lines += [("platform", facts["platform"]), ("import path", os.pathsep.join(facts["path"]))]
        lines += [("variable", f"{name}={value}") for name, value in facts["environment"].items()]
        lines += [("earlier", line) for line in about["earlier"]]
    else:
        now = chosen_variables(os.environ)
        lines += [("variable", f"{name}={value}, not now") for name, value in facts["environment"].items() if now.get(name) != value]
    return lines


# ------------------------------------------------------------ again


def _go_there(task: FailedTask) -> None:
    """Be where the program was, with its import path and arguments."""
    facts = task.facts
    try:
        os.chdir(facts["cwd"] or ".")
    except OSError as error:
        _say(f"Its directory cannot be entered ({error}); this one is kept.", to_stderr=True)
    there = [entry for entry in facts["path"] if not entry or os.path.exists(entry)]
    sys.path[:] = [*there, *(entry for entry in sys.path if entry not in there)]
    sys.argv[:] = facts["argv"]


def _run(task: FailedTask, *, post_mortem: bool, at_start: bool) -> int:
    _say("\nNow:")
    try:
        if at_start:
            with task.loaded() as (function, args, kwargs):
                result = _debugging.call(function, args, kwargs)
                task.check_result(result)
        else:
            result = task.run()
    except (CannotReplay, StoreCorrupt):
        raise
    except bdb.BdbQuit:
        return 1
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not task.is_same(error):  # Ctrl-C; all else is what is to be seen, sys.exit() too
            raise
        _tell_failure(task, error)
        if post_mortem:
            _debugging.post_mortem(error)
        return 1
    _tell_changes(task)
    _say(f"It returned {_repr(result)}")
    return 0


def _warn(task: FailedTask) -> None:
    error = task.facts["error"]
    if error["kind"] == DIED:
        _say("It ended its worker, and may end this process as well; --isolated gives it one of its own.", to_stderr=True)
    if error["kind"] == TIMEOUT:
        _say("It was stopped, since it took too long; here nobody stops it but Ctrl-C.", to_stderr=True)


def _tell_failure(task: FailedTask, error: BaseException) -> None:
    _say("".join(traceback.format_exception(type(error), error, _debugging.inside(error.__traceback__))).rstrip())
    _tell_changes(task)
    _say("The same error as then." if task.is_same(error) else f"Another error than then, which was {task.text}")


def _tell_changes(task: FailedTask) -> None:
    """What runs now that is not what ran then, or the other way round."""
    place, source = task.facts["task"]["place"], task.facts["source"]
    if task.changed:
        _say(f"Changed since: {', '.join(task.changed)}; what ran is today's code.")
    if place is not None and source is not None and has_changed(place, source) and task.by_value:
        why = "it was saved with its code, as functions of a script are, and those that have no name in their module"
        _say(f"Changed since: {place[0]}; the function itself is as it was then: {why}.")


def _in_a_process(task: FailedTask, how: dict[str, bool]) -> int:
    """The same command in a child; and what has ended that."""
    chosen = [option for name, option in _OPTIONS.items() if how[name]]
    status = subprocess.run([sys.executable, "-m", "manyhands", "replay", "--is-child", *chosen, task.path], check=False).returncode
    died = task.facts["error"]["kind"] == DIED
    same = died and task.facts["error"]["exit_code"] == status
    if status < 0:
        _say(f"Its process was ended by {signal.Signals(-status).name}{', as then' * same}.")
        return 128 - status
    if same:
        _say(f"Its process ended with exit code {status}, as then.")
    return 1 if same else status


_OPTIONS = {"post_mortem": "--pdb", "at_start": "--break", "here": "--here"}


def _repr(result: Any) -> str:
    try:
        return repr(result)
    except Exception as error:  # noqa: BLE001 - a user's __repr__
        return f"an instance of {type(result).__name__}, whose repr() raised {type(error).__name__}: {error}"


def _say(text: str, *, to_stderr: bool = False) -> None:
    """What cannot be written in the encoding of the terminal is escaped."""
    stream = sys.stderr if to_stderr else sys.stdout
    with contextlib.suppress(BrokenPipeError):
        encoding = stream.encoding or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
