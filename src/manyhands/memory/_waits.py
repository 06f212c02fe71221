"""Who waits for what: notes beside the locks, and whether they lead back to who looks.

A note is an empty file ``held.wanted.who``: whoever computes ``held`` waits for ``wanted``. ``who`` is machine and process; the notes of a
process that has died count for nothing, and are removed by who sees them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from functools import lru_cache
from typing import TYPE_CHECKING

import xxhash

from manyhands.memory import _locks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_numbers = itertools.count()


@contextlib.contextmanager
def noted(folder: str, held: Sequence[str], wanted: str) -> Iterator[bool]:
    """Note that whoever computes ``held`` waits for ``wanted``, as long as the block lasts; gives whether that closes a circle."""
    inherited, holds_wanted = _of_ancestors(folder, wanted)
    held = [*held, *inherited]
    if holds_wanted:
        yield True
        return
    if not held:
        yield False  # nobody can be waiting for this one
        return
    notes = [f"{folder}/{one}.{wanted}.{who()}-{next(_numbers)}" for one in held]
    try:
        for note in notes:
            with contextlib.suppress(OSError):
                os.close(os.open(note, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        yield leads_back(_edges(folder), wanted, held)
    finally:
        for note in notes:
            with contextlib.suppress(OSError):
                os.unlink(note)


def leads_back(edges: dict[str, set[str]], start: str, held: Sequence[str]) -> bool:
    """Whether what ``start`` waits for, directly or not, is among ``held``."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        key = ahead.pop()
        if key in held:
            return True
        if key not in seen:
            seen.add(key)
            ahead += edges.get(key, ())
    return False


def _edges(folder: str) -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for name in os.listdir(folder):
        held, _, rest = name.partition(".")
        wanted, _, waiter = rest.partition(".")
        if wanted:
            if _is_alive(waiter):
                edges.setdefault(held, set()).add(wanted)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(f"{folder}/{name}")
    return edges


def _of_ancestors(folder: str, wanted: str) -> tuple[list[str], bool]:
    """Keys held by processes that this one descends from, and whether ``wanted`` is one of them."""
    ancestors = _ancestors(os.getpid())
    found = []
    try:
        names = os.listdir(folder)
    except OSError:
        return [], False
    for name in names:
        if "." not in name:
            with contextlib.suppress(OSError), open(f"{folder}/{name}", "rb") as file:
                if file.read(64).decode("ascii", "replace").strip("\0") in ancestors:
                    found.append(name)
    return found, wanted in found


def sweep(folder: str) -> None:
    """Remove what those have left that have died: lock files and notes."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            path = f"{folder}/{name}"
            with contextlib.suppress(OSError):
                if "." not in name:
                    _sweep_lock(path)
                elif not _is_alive(name.rpartition(".")[2]):
                    os.unlink(path)


def _sweep_lock(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    is_mine = False
    try:
        is_mine = _locks.try_lock(fd) and _locks.is_at(fd, path)
    finally:
        if not is_mine:  # or the file system has no locks
            os.close(fd)
    if is_mine:
        _locks.release(fd, path)


def who() -> str:
    """This process: its machine, or container, and its number there."""
    return f"{_machine()}-{os.getpid()}"


@lru_cache(1)
def _machine() -> str:
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{xxhash.xxh32_intdigest(f'{os.uname().nodename} {space}'.encode()):08x}"


def _is_alive(waiter: str) -> bool:
    machine, _, rest = waiter.partition("-")
    if machine != _machine():
        return True  # nobody can tell
    try:
        os.kill(int(rest.partition("-")[0]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


@lru_cache(4)
def _ancestors(pid: int) -> frozenset[str]:
    """Processes that ``pid`` descends from, as they sign."""
    found: set[str] = set()
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            break
        found.add(f"{_machine()}-{pid}")
    return frozenset(found)
