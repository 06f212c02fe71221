"""Finding the observer of this user, or starting it; and having this program watched."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._engine import _watched
from manyhands._probe import _probe
from manyhands.sharing import _folder
from manyhands.watch import _joined

if TYPE_CHECKING:
    from collections.abc import Iterator

_START = 20.0  # seconds in which an observer is there
_FOLDER, SOCKET, LOCK, PAGE, LOG = "watch", "s", "lock", "page", "log"


class Observer(NamedTuple):
    """Where the observer is. ``url``: of its page; empty if it has none, and then ``why``."""

    address: str
    url: str
    why: str


def folder() -> str:
    """What the observer and those who look for it have in common.

    Raises:
        ShareRefused: others may write to it.
    """
    path = os.path.join(_folder.base(), _FOLDER)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    return path


@contextlib.contextmanager
def _alone(path: str) -> Iterator[None]:
    """No other program looks for an observer, or starts one, in there."""
    lock = os.open(os.path.join(path, LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def find(path: str) -> Observer | None:
    """The observer that lives there."""
    import socket  # noqa: PLC0415 - 2 ms

    address = os.path.join(path, SOCKET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as trying:
        try:
            trying.connect(address)
        except OSError:
            return None
    try:
        with open(os.path.join(path, PAGE), encoding="utf-8") as file:
            said = json.load(file)
    except (OSError, ValueError):
        return None
    return Observer(address, said["url"], said["why"])


def observer(**settings: Any) -> Observer:
    """The observer of this user; it is started if there is none.

    Raises:
        WatchFailed: it did not start.
    """
    path = folder()
    with _alone(path):
        return find(path) or _start(path, settings)


def _start(path: str, settings: dict[str, Any]) -> Observer:
    """A process that outlives this one, and is not its child for long."""
    heard, said = os.pipe()
    command = [
        sys.executable,
        "-P",
        "-c",
        _PROGRAM,
        os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
        str(said),
        path,
        json.dumps(settings),
    ]
    with open(os.path.join(path, LOG), "ab") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[said], check=False)
    os.close(said)
    with open(heard, encoding="utf-8") as file:
        answer = file.readline()
    found = find(path) if answer else None
    if found is None:
        raise RuntimeError(f"the observer did not start; {os.path.join(path, LOG)} tells why")
    return found


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


def join(**settings: Any) -> Observer:
    """Have this program watched, with all its pools."""
    found = observer(**settings)
    run = secrets.token_hex(8)
    name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] not in {"", "-c"} else "python"
    probe = _probe.start(found.address, role="program", name=name, program=name, run=run)
    if probe is not None:
        _watched.joining = {"address": found.address, "run": run, "teller": _joined.__name__}
        _joined.begin(probe)
        atexit.register(_leave)
    return found


def _leave() -> None:
    probe = _probe.here()
    if probe is None:
        return
    kind = getattr(sys, "last_type", None)
    state = "done" if kind is None else "interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"
    _joined.end()
    probe.tell({"bye": state, "how": "" if kind is None else f"{kind.__name__}: {getattr(sys, 'last_value', '')}"})
    _probe.stop()
