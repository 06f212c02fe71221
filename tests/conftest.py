"""Every test leaves the machine as it found it: processes, threads, descriptors, shared memory, temporary files."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import browsing
import psutil
import pytest

import manyhands
from manyhands._engine import _state

# How long what is ending may take to be gone. Waited for by looking, since there is no event for "nothing is left".
_PATIENCE = 5.0
# Processes that tests kill leave their folders there, until the next one that shares something.
os.environ["MANYHANDS_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="shared-")
_OBSERVER = Path(os.environ["MANYHANDS_RUNTIME_DIR"], "watch")  # where the one is that this test's programs are watched by


def _processes() -> tuple[set[int], set[int]]:
    """Living descendants of this process, with the zygote's; and children that have ended and were not waited for."""
    own, alive, zombies, staying = os.getpid(), set(), set(), browsing.all_started()
    for process in psutil.Process().children(recursive=True):
        if process.pid in staying:
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.add(process.pid)
            elif process.ppid() == own:
                zombies.add(process.pid)
    return alive, zombies


def _threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t is not threading.main_thread()}


def _descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the one that listed the folder
    return found


def _files() -> set[str]:
    # Other programs of this machine use the folder as well; what is ours would bear our name or number.
    ours = ("manyhands", str(os.getpid()))
    shm = {str(path) for path in Path("/dev/shm").iterdir() if any(mark in path.name for mark in ours)}
    theirs = f"manyhands-{os.geteuid()}"  # where other programs share objects
    watching = {str(_OBSERVER)} if _OBSERVER.exists() else set()
    return shm | watching | {str(path) for path in Path(tempfile.gettempdir()).glob("manyhands*") if path.name != theirs}


def _state_now() -> dict[str, object]:
    processes, zombies = _processes()
    return {"processes": processes, "zombies": zombies, "threads": _threads(), "files": _files(), "descriptors": _descriptors()}


def _left(before: dict[str, object], now: dict[str, object]) -> dict[str, object]:
    left: dict[str, object] = {}
    for name in ("processes", "zombies", "threads", "files"):
        new = now[name] - before[name]  # type: ignore[operator]
        if new:
            left[name] = new
    old = sorted(before["descriptors"].values())  # type: ignore[attr-defined]
    new_fds = sorted(now["descriptors"].values())  # type: ignore[attr-defined]
    if len(new_fds) > len(old):
        left["descriptors"] = (old, new_fds)
    return left


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-in", type=int, default=1, help="run one in so many tests: the same ones each time, spread over all files")
    parser.addoption("--part", default="0/1", help="run part K of N, K/N; all parts together are all tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what ``--one-in`` and ``--part`` say."""
    divisor = config.getoption("--one-in")
    part, parts = map(int, config.getoption("--part").split("/"))
    if divisor > 1 or parts > 1:
        numbered = [(item, zlib.crc32(item.nodeid.encode())) for item in items]
        kept = [item for item, number in numbered if number % divisor == 0 and number // divisor % parts == part]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


def pytest_collection_finish() -> None:
    """What is there before the first test is not looked at after each."""
    gc.collect()
    gc.freeze()


def _end_watching() -> None:
    """Whoever observes what the test has started ends; this process is watched no more."""
    if (starting := sys.modules.get("manyhands.watch._starting")) is not None:
        starting.leave("done", "")
    if _OBSERVER.exists():
        from manyhands.watch import _commands

        _commands.end_observer()


@pytest.fixture(autouse=True)
def no_leaks():
    """Whatever a test did: afterwards nothing of it is left."""
    _state.zygote()  # its lifeline is made once, and stays
    before = _state_now()
    yield
    manyhands.shutdown()
    _end_watching()
    gc.collect()
    if (keepers := sys.modules.get("manyhands.sharing._keepers")) is not None:
        keepers.shut_down()
    if (sharing := sys.modules.get("manyhands.sharing._arrivals")) is not None:
        sharing.shut_down()
    if (distant := sys.modules.get("manyhands.sharing._distant")) is not None:
        distant.shut_down()
    if (pieces := sys.modules.get("manyhands.sharing._pieces")) is not None:
        pieces.shut_down()
    deadline = time.monotonic() + _PATIENCE
    while (left := _left(before, _state_now())) and time.monotonic() < deadline:
        os.sched_yield()
    gc.freeze()  # what has stayed until now stays: looking at it after each test would take half of the time
    assert not left, f"left behind: {left}"
