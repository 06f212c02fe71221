"""Run a module of this package in a fresh interpreter, with a time-out, and read what it reports.

The child writes each report as soon as it has it, so that one that hangs later has still told what came before. Nothing of it is left
behind: its whole session is ended with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE = 2.0  # seconds for helper processes to tidy up after a program that ended by itself
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a child.

    Attributes:
        reports: what it wrote before it ended.
        timed_out: it had to be ended.
        status: its exit status; None if it had to be ended.
        errors: the end of what it wrote to standard error.
    """

    reports: list[dict[str, Any]]
    timed_out: bool
    status: int | None
    errors: str


class Reports:
    """Where a child writes."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, report: dict[str, Any]) -> None:
        """Add a report. It is there when this returns, whatever happens to this process next."""
        with Path(self._path).open("a") as file:
            file.write(json.dumps(report) + "\n")


@contextlib.contextmanager
def bytecode_kept() -> Iterator[None]:
    """Let all children keep what they compile, in a folder of this run.

    Otherwise the time of an import would tell whether a library was compiled when it was installed, and whether the environment
    allows it now.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="benchmarks-", ignore_cleanup_errors=True) as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def run(module: str, *arguments: str, timeout: float) -> Outcome:
    """Run ``python -m module reports *arguments`` and wait for its end, at most ``timeout`` seconds."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-", ignore_cleanup_errors=True) as folder:
        reports, errors = Path(folder, "reports"), Path(folder, "errors")
        with errors.open("wb") as stream:
            child = start(module, str(reports), *arguments, stderr=stream)
        try:
            status = child.wait(timeout)
            let_helpers_finish(child.pid)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end(child)
        return Outcome(read(reports), status is None, status, errors.read_text(errors="replace")[-2000:])


def start(module: str, *arguments: str, stderr: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a module of this package in a session of its own, by which :func:`end` finds all that it has started."""
    command = [sys.executable, "-m", module, *arguments]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdin=quiet, stdout=quiet, stderr=stderr, start_new_session=True)


def read(path: Path) -> list[dict[str, Any]]:
    """The reports in a file; a line that is still being written is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def let_helpers_finish(session: int) -> None:
    """Some libraries leave the removal of their files to a helper process, which outlives the program for a moment."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and any(_belongs(process, session) for process in psutil.process_iter()):
        time.sleep(0.02)


def _belongs(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):  # gone meanwhile
        return False


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and all that it has started."""
    descendants: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        descendants = psutil.Process(child.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for process in descendants:  # those that made a session of their own
        with contextlib.suppress(psutil.Error):
            process.kill()
    child.wait()
