"""Finding the observer of this user, or starting it; having this program watched, and leaving."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import importlib.util
import json
import os
import secrets
import select
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands import errors
from manyhands._engine import _watched
from manyhands._probe import _link, _probe, _segment
from manyhands.progress import is_terminal
from manyhands.sharing import _folder
from manyhands.watch import _choices, _commands, _notebook, _showing
from manyhands.watch import _joined as _telling
from manyhands.watch._hiding import without_arguments
from manyhands.watch._origin import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

_START = 20.0  # seconds in which an observer is there
_LEAVES_WITHIN = 1.0  # seconds
_SAVED_WITHIN = 60.0  # seconds
_SUMMED_WITHIN = 3.0  # seconds; mostly it takes some milliseconds
_TRIES = 5  # an observer may leave just when it has been found
LOCK, LOG = "lock", "log"
SAID = ".said"  # how files end by which the processes of a run agree who tells where the page is
PACKAGES = ("starlette", "uvicorn")
INSTALL = "pip install " + " ".join(PACKAGES)


class Observer(NamedTuple):
    """Where the observer is.

    Attributes:
        address: of its socket.
        url: of its page; empty if it has none.
        frame: of its page for a frame in a notebook, which sends no cookies.
        why: there is no page.
        id: no other observer has it.
    """

    address: str
    url: str
    frame: str
    why: str
    id: str


def folder() -> str:
    """What the observer and those who look for it have in common.

    Raises:
        ShareRefused: others may write to it.
    """
    path = os.path.abspath(os.path.join(_folder.base(), _folder.OBSERVER))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    return path


@contextlib.contextmanager
def alone() -> Iterator[str]:
    """The folder, in which no other program looks for an observer or starts one, and from which no observer leaves, meanwhile."""
    while True:
        path = folder()
        with contextlib.suppress(FileNotFoundError):  # an observer has removed it
            lock = os.open(os.path.join(path, LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(lock), os.stat(os.path.join(path, LOCK))):
                    yield path
                    return
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)  # a child that another thread has forked may have the descriptor, too
                os.close(lock)


def find(path: str) -> Observer | None:
    """The observer that lives there.

    Raises:
        WatchFailed: it is that of another version of manyhands.
    """
    address = os.path.join(path, _commands.SOCKET)
    try:
        _link.connect(address).close()
        with open(os.path.join(path, _commands.PAGE), encoding="utf-8") as file:
            said = json.load(file)
    except (OSError, ValueError):
        return None
    if said["version"] != _segment.VERSION:
        raise errors.WatchFailed("another version of manyhands is watching programs of yours; it ends some seconds after the last of them")
    return Observer(address, said["url"], said["frame"], said["why"], said["id"])


def observer(**settings: Any) -> Observer:
    """The observer of this user; it is started if there is none. ``settings``: for one that is started, see ``observer._main``.

    Raises:
        WatchFailed: it did not start.
    """
    try:
        with alone() as path:
            return find(path) or _start(path, settings)
    except (OSError, errors.ShareRefused) as error:
        raise errors.WatchFailed(f"there is no observer, and none could be started: {error}") from error


def _start(path: str, settings: dict[str, Any]) -> Observer:
    """A process that outlives this one, and is not its child for long."""
    heard, said = os.pipe()
    try:
        home = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        command = [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM, home, str(said), path, json.dumps(settings)]
        try:
            with open(os.open(os.path.join(path, LOG), os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as log:
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[said], check=False)
        finally:
            os.close(said)
        answer = _heard(heard)
    finally:
        os.close(heard)
    found = find(path) if answer == b"ready\n" else None
    if found is None:
        if answer:  # else the log may tell more
            clear(path)
        raise errors.WatchFailed(answer.decode() or f"the observer did not start; {os.path.join(path, LOG)} tells why")
    return found


def clear(path: str) -> None:
    """Take away what an observer has left in the folder. For who is alone there."""
    said = [name for name in os.listdir(path) if name.endswith(SAID)]
    for name in (*said, _commands.SOCKET, _commands.PAGE, LOG, LOCK):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(path, name))
    with contextlib.suppress(OSError):  # others of this user's have something in there
        os.rmdir(path)
        os.rmdir(os.path.dirname(path))


def _heard(heard: int) -> bytes:
    """What an observer that is started has to say, when it is there or has given up."""
    poll = select.poll()
    poll.register(heard, select.POLLIN)
    return os.read(heard, 4096) if poll.poll(_START * 1000) else b""


# The first process ends at once, so that who started it has no child that it does not know of.
_PROGRAM = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
sys.path.insert(0, sys.argv.pop(1))
from manyhands.watch.observer import _main
_main.run(int(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


# ---------------------------------------------------------------- this program


class _State:
    joining = threading.Lock()  # one thread joins, or leaves
    is_hooked = False  # into the end of the program, and into forks
    observer: str | None = None  # which one this program, or the one that it was forked by, has joined
    saving: tuple[str, ...] = ()  # what the observer keeps of the run is to be there when the program ends
    ending: tuple[str, str] | None = None  # if that is known better than from what Python keeps
    showing: _showing.Showing | None = None  # in the terminal


_state = _State()


def is_watched() -> bool:
    """Whether this program is."""
    return _probe.here() is not None and _watched.joining is not None


def join(choices: _choices.Choices, part: Part | None = None, **settings: Any) -> Observer:
    """Have this program watched, with all its pools; or, if it is, as it has been chosen now. ``part``: this process is one of a program's.

    Raises:
        WatchMissing: the page needs packages that are not installed.
        WatchFailed: no observer could be reached or started.
    """
    if choices.needs_page:
        _check_packages()
    with _state.joining:
        return _joined(choices, part, settings)


def tell_program(part: Part, choices: _choices.Choices) -> None:
    """Have the program watched as well, if this is a worker of a pool of manyhands."""
    engine = sys.modules.get("manyhands._engine._worker")
    worker = None if engine is None else engine.Worker.here
    if worker is not None and _watched.joining is not None:
        worker.has_joined(_watched.joining, {"run": part.run, "program": part.program, **choices.told()})


def follow_worker(said: dict[str, Any]) -> None:
    """Have this program watched as the part of it is that has said so."""
    part = Part(str(said.pop("run")), str(said.pop("program")), "", is_program=True)
    choices = _choices.Choices(browser=False)._replace(**said)
    with _state.joining, contextlib.suppress(errors.WatchFailed):
        if not is_watched():
            _joined(choices, part, {})


def _joined(choices: _choices.Choices, part: Part | None, settings: dict[str, Any]) -> Observer:
    for _ in range(_TRIES):
        found = observer(port=choices.port, host=choices.host, **settings)
        if not found.url and choices.needs_page:
            raise errors.WatchMissing(found.why)
        if _greet(found, choices, part):
            return found
    raise errors.WatchFailed("the observer does not answer; the next call starts another, if it has ended by then")


def _check_packages() -> None:
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise errors.WatchMissing(f"the page of watching needs {' and '.join(missing)}: {INSTALL}; terminal=True and save= do without")


def _greet(found: Observer, choices: _choices.Choices, part: Part | None) -> bool:
    """Whether the observer knows of this program from now on."""
    told = choices.told()
    told["open"] = _choices.wants_browser(choices.browser, is_terminal=is_terminal(sys.stderr) and not choices.terminal)
    probe = _probe.here()
    if probe is not None and _state.observer in {None, found.id}:  # None: it is a worker, which was told by its program
        _state.saving = tuple(dict.fromkeys([*_state.saving, *choices.save]))  # who has not asked for files has nothing against them
        probe.tell({"choices": {**told, "save": list(_state.saving)} if _state.saving else told})
        return True
    _probe.stop()
    run = secrets.token_hex(8) if part is None else _run_of(part)
    program = choices.name or (_notebook.name() or _program() if part is None else part.program)
    is_program = part is None or part.is_program
    about: dict[str, Any] = {"role": "program", "name": program} if is_program else {"role": "worker", "name": getattr(part, "name", "")}
    probe = _probe.start(found.address, **about, program=program, run=run, cwd=_here(), choices=told)
    if probe is None:
        return False
    _watched.joining = {"address": found.address, "run": run, "wants": probe.wants, "teller": _telling.__name__}
    _telling.begin(probe)
    _watched.announce()
    if part is not None and not _watched.bound(probe):
        importlib.import_module("manyhands.watch._plain").bound(probe)
    _state.observer, _state.saving = found.id, choices.save
    if not _state.is_hooked:
        _state.is_hooked = True
        atexit.register(_leave_at_exit)
        os.register_at_fork(after_in_child=_forget)
    return True


def _run_of(part: Part) -> str:
    """The run of its program, where that is watched."""
    said = None if part.is_program else _commands.ask("run", part.pid)
    return str((said or {}).get("run") or part.run)


def show() -> None:
    """Have the run shown in the terminal as well, if this process is the program of one."""
    run, out = _run_of_program(), _showing.descriptor()
    if run and out is not None and _state.showing is None:
        _state.showing = _showing.Showing(run, out, os.path.join(folder(), LOG))


def _run_of_program() -> str:
    """The run whose program this process is; empty: it is none's."""
    probe = _probe.here()
    return str(probe.about["run"]) if probe is not None and probe.about.get("role") == "program" else ""


def is_first(part: Part) -> bool:
    """Whether no other process of that program has asked, and the program is not watched itself."""
    probe, run = _probe.here(), part.run
    if probe is None or probe.about.get("run") != run:
        return False
    try:
        os.close(os.open(os.path.join(folder(), run + SAID), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    except OSError:  # the observer leaves just now
        return True
    return True


def _forget() -> None:
    """In a forked child: it has no run of its own."""
    _state.joining, _state.saving, _state.ending = threading.Lock(), (), None
    if _state.showing is not None:
        _state.showing.forget()
        _state.showing = None


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return ""


def _program() -> str:
    return os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] not in {"", "-", "-c"} else "python"


def leave(state: str, how: str, *, ends: bool = False) -> None:
    """This program is watched no more, and its workers are not from when they are told, with their next task. ``ends``: since it ends."""
    if not _state.joining.acquire(timeout=_LEAVES_WITHIN):
        return  # another thread waits for an observer, and the program ends: nobody waits for it
    try:
        probe, joined, run, _watched.joining = _probe.here(), _watched.joining, _run_of_program(), None
        _telling.end()
        if (plain := sys.modules.get("manyhands.watch._plain")) is not None:
            plain.end()
        if probe is not None:
            said = how if probe.wants.get("arguments") else without_arguments(how)
            probe.tell({"bye": state, "how": said, "ends": ends})
        _probe.stop()  # also one whose observer has gone
        _say_summary(run)
        if probe is not None and _state.saving and joined is not None:
            _wait_for_files(str(joined["run"]), _state.saving)
            _state.saving = ()
    finally:
        _state.joining.release()


def _say_summary(run: str) -> None:
    """How it was: by what has shown it in the terminal; else shortly, to who sits there."""
    showing, _state.showing = _state.showing, None
    if showing is not None:
        showing.wait()
    elif run and is_terminal(sys.stderr):
        said = _commands.ask("summary", run, _SUMMED_WITHIN)
        if said is not None and said["text"]:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"{said['text']}\n")
                sys.stderr.flush()


def _wait_for_files(run: str, paths: tuple[str, ...]) -> None:
    """What is kept of a run is there when the program has ended, unless the observer has."""
    said = _commands.ask("saved", run, _SAVED_WITHIN) or {"why": "the observer has gone"}
    how = f"this run could not be kept: {said['why']}" if said["why"] else f"this run is kept in {', '.join(paths)}"
    if sys.stderr is not None:
        sys.stderr.write(f"manyhands: {how}\n")


def ending(kind: type[BaseException] | None, error: BaseException | None) -> tuple[str, str]:
    """The state of a run that has ended so, and how it ended."""
    if kind is None or (issubclass(kind, SystemExit) and not getattr(error, "code", 0)):
        return "done", ""
    if issubclass(kind, SystemExit):
        return "failed", f"exit status {getattr(error, 'code', 1)}"
    said = f"{kind.__name__}: {error}" if str(error) else kind.__name__
    return ("interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"), said


def note_ending(error: BaseException) -> None:
    """The program ends by this exception."""
    _state.ending = ending(type(error), error)


def _leave_at_exit() -> None:
    if _state.ending is not None:
        leave(*_state.ending, ends=True)
        return
    kind = None if hasattr(sys, "ps1") else getattr(sys, "last_type", None)  # who types goes on after errors
    leave(*ending(kind, getattr(sys, "last_value", None)), ends=True)
