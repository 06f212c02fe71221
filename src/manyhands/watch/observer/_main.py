"""The process that observes: it greets those that are watched, and shows what they do."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import importlib.util
import json
import os
import resource
import secrets
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands._probe import _link, _segment
from manyhands._wire import _posix
from manyhands.watch import _commands, _starting, _words
from manyhands.watch.observer._hub import Hub
from manyhands.watch.observer._life import Life
from manyhands.watch.observer._saving import Saving
from manyhands.watch.observer._site import Site, bound
from manyhands.watch.observer._snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from manyhands.watch.observer._model import Run

_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)  # Ctrl-C in the terminal is for the program
_FILES = 1 << 16  # that may be open

_WORTH_IT = 2_000_000_000  # nanoseconds of a run without tasks
_UNKNOWN = "the observer does not know of it"


class Settings(NamedTuple):
    """What who starts it has chosen.

    Attributes:
        port, host: of the page; 0: a port that is free.
        stays: seconds after the last run has ended and nobody looks.
        unseen: the same where nobody has looked at that run, and it had something to show.
    """

    port: int = 0
    host: str = "127.0.0.1"
    stays: float = 5.0
    unseen: float = 30.0


def run(said: int, folder: str, settings: str) -> None:
    """Observe, until nobody needs it. What is written to ``said``: "ready", or why there will be none."""
    os.umask(0o077)
    os.chdir("/")
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _allow_many_files()
    chosen = Settings(**json.loads(settings))
    try:
        page = bound(chosen.host, chosen.port)
    except OSError as error:
        _say(said, f"{chosen.host}:{chosen.port} cannot be the address of the page: {error.strerror or error}")
        return
    asyncio.run(_observe(said, folder, chosen, page, _listen(folder)))


def _allow_many_files() -> None:
    """Each process that is watched takes up to three descriptors, whatever the program that has started the observer may have itself."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        with contextlib.suppress(OSError, ValueError):  # the system knows a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Into the log; but not that no descriptors are left for another connection, which asyncio says again and again."""
    error = context.get("exception")
    if not isinstance(error, OSError) or error.errno not in {errno.EMFILE, errno.ENFILE}:
        loop.default_exception_handler(context)


async def _observe(said: int, folder: str, settings: Settings, page: socket.socket, listening: socket.socket) -> None:
    asyncio.get_running_loop().set_exception_handler(_complain)
    life = Life(settings.stays)
    hub = Hub(listening)
    site = Site(hub, settings.host, page, life)
    hub.changed.append(life.note)
    saving = Saving(life.note)
    hub.ended.append(saving.begin)
    hub.ended.append(lambda run: life.expect(settings.unseen) if _is_unseen(run, site) else None)
    hub.questions.update(_questions(hub, saving))
    hub.questions["summary"] = lambda token: _summary(hub, life, site, token)
    hub.takers.update({"look": site.broadcast.tell, "end": life.end_for})
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, life.end_now)
    serving = [asyncio.create_task(hub.serve())]
    facts = {"url": "", "frame": "", "why": _missing()}
    if facts["why"]:
        page.close()
    else:
        facts |= {"url": site.url, "frame": site.frame}
        hub.opened.append(site.open)
        serving.append(asyncio.create_task(site.serve()))
    _write_page(folder, facts)
    _say(said, "ready\n")
    leaving = False
    try:
        while not leaving:
            await _first(*serving, asyncio.ensure_future(life.end(lambda: hub.is_watching or bool(site.lookers) or saving.is_busy)))
            leaving = _cleared(folder) or life.is_over
    finally:
        for task in serving:
            task.cancel()
        listening.close()


async def _first(*tasks: asyncio.Future[None]) -> None:
    """Until one of them has ended. What fails ends the observer."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _questions(hub: Hub, saving: Saving) -> dict[str, Callable[[Any], dict[str, Any] | Awaitable[dict[str, Any]]]]:
    """What other programs of this user may ask for, without being watched."""

    def open_page(_: object) -> dict[str, Any]:
        for open_it in hub.opened:
            open_it()
        return {}

    async def saved(token: object) -> dict[str, Any]:
        hub.look()  # it may have said that it ends, and nobody has heard it
        run = hub.runs.get(str(token))
        return {"why": _UNKNOWN if run is None else await saving.ended(run)}

    async def save(wanted: Any) -> dict[str, Any]:
        run = hub.runs.get(str(wanted["run"]))
        return {"why": _UNKNOWN if run is None else await saving.keep(run, str(wanted["path"]))}

    return {
        "run": lambda pid: {"run": hub.run_of(pid)},
        "runs": lambda _: {"runs": hub.overview()},
        "open": open_page,
        "saved": saved,
        "save": save,
    }


def _summary(hub: Hub, life: Life, site: Site, token: object) -> dict[str, Any]:
    hub.look()  # as above
    run = hub.runs.get(str(token))
    found = None if run is None else snapshot(run, time.monotonic_ns())
    if run is None or found is None or not _is_worth_it(run):
        return {"text": ""}
    lines = _words.summary(found, short=True) if found["done"] else [_words.Line("head", _words.ended(found))]
    if not run.choices.get("save") and not _missing():
        lines.append(_words.page(life.left(), is_open=bool(site.lookers)))
    return {"text": _words.as_text(lines)}


def _is_worth_it(run: Run) -> bool:
    """Whether a run that has ended had something to show."""
    lasted = (time.monotonic_ns() if run.ended is None else run.ended) - run.begun
    return bool(run.loose.done or run.past.done or any(call.done for call in run.calls.values())) or lasted > _WORTH_IT


def _is_unseen(run: Run, site: Site) -> bool:
    """Whether somebody may still want to look at it: who has files of it, or has had it in his terminal, need not."""
    return _is_worth_it(run) and not run.choices.get("save") and not site.broadcast.has_shown(run)


def _missing() -> str:
    """Why there is no page."""
    missing = [name for name in _starting.PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return f"{sys.executable}, which has started the observer, lacks {' and '.join(missing)}: {_starting.INSTALL}"


def _listen(folder: str) -> socket.socket:
    """The socket that programs join by. One that is there is that of a dead one: who starts an observer has looked."""
    with _posix.short_path(folder) as short:
        address = os.path.join(short, _commands.SOCKET)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        listening = socket.socket(socket.AF_UNIX, _link.KIND)
        listening.bind(address)
    listening.listen(1024)
    return listening


def _write_page(folder: str, facts: dict[str, Any]) -> None:
    path = os.path.join(folder, _commands.PAGE)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        json.dump({**facts, "id": secrets.token_hex(8), "pid": os.getpid(), "version": _segment.VERSION}, file)


def _say(said: int, text: str) -> None:
    with contextlib.suppress(OSError):  # who has started it may have ended
        os.write(said, text.encode())
    os.close(said)


def _cleared(folder: str) -> bool:
    """Whether the folder has been taken away. It is not while a program looks for an observer there, which is about to join."""
    try:
        lock = os.open(os.path.join(folder, _starting.LOCK), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # somebody has taken it away
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        _clear(folder)
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)
    return True


def _clear(folder: str) -> None:
    with contextlib.suppress(OSError, ValueError, KeyError), open(os.path.join(folder, _commands.PAGE), encoding="utf-8") as file:
        if json.load(file)["pid"] != os.getpid():  # the folder had been taken away, and another has made it anew
            return
    _starting.clear(folder)
