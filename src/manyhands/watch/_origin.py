"""Whose process this is: workers that are watched by themselves, without their program, belong to one run all the same."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from typing import NamedTuple

# Processes that only start others: multiprocessing's fork server and its spawned children, manyhands' zygote, loky's.
_HELPER = re.compile(rb"multiprocessing[.](forkserver|spawn|resource_tracker)|manyhands[._]+engine|--multiprocessing-fork|loky[.]backend")
_DEEPEST = 20


class Part(NamedTuple):
    """This process is a part of a program that is not watched itself.

    Attributes:
        run: the same in all parts of it.
        program: what the run is called.
        name: what this process is called.
        pid: of the program.
        is_program: it is the program itself, that a part of it has had watched.
    """

    run: str
    program: str
    name: str
    pid: int = 0
    is_program: bool = False


def of_this_process() -> Part | None:
    """None: it is a program of its own."""
    parent = _parent()
    if parent is None:
        return None
    program = _top(parent)
    name = getattr(getattr(sys.modules.get("multiprocessing.process"), "_current_process", None), "name", "")
    return Part(_token(program), _name(program), name or f"worker {os.getpid()}", program)


def _parent() -> int | None:
    """The process that has started this one as its worker."""
    if os.environ.get("MANYHANDS_WORKER") == str(os.getpid()):
        return os.getppid()
    process = sys.modules.get("multiprocessing.process")
    parent = None if process is None else process.parent_process()
    if parent is not None and parent.pid is not None:
        return int(parent.pid)
    above = os.getppid()
    return above if is_spawned() or _is_fork_of(os.getpid(), above) else None


def is_spawned() -> bool:
    """Whether this process belongs to multiprocessing; it may not know yet, while it imports what the program is."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and (process.parent_process() is not None or bool(_HELPER.search(_command(os.getpid()))))


def _top(pid: int) -> int:
    """The program that a process belongs to: above those that only start others, and forks."""
    for _ in range(_DEEPEST):
        above = _above(pid)
        if above is None or not (_HELPER.search(_command(pid)) or _is_fork_of(pid, above)):
            break
        pid = above
    return pid


def _is_fork_of(pid: int, above: int) -> bool:
    """Whether a process is the same program as the one that has started it."""
    command = _command(pid)
    return bool(command) and command == _command(above)


def _stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on; nothing where it does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def _above(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields and int(fields[1]) > 1 else None


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _token(pid: int) -> str:
    """Of a process; of none that has its number later."""
    fields = _stat(pid)
    started = fields[19] if len(fields) > 19 else ""
    return hashlib.blake2b(f"{pid} {started}".encode(), digest_size=8).hexdigest()


def _name(pid: int) -> str:
    """The script of a program, of its command line."""
    arguments = [argument.decode("utf-8", "replace") for argument in _command(pid).split(b"\0")[1:]]
    script = next((argument for argument in arguments if argument and not argument.startswith("-")), "")
    return os.path.basename(script) if script.endswith(".py") else "python"
