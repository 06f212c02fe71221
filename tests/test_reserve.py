"""The worker that waits in reserve: it becomes the next worker, nobody depends on it, and it ends with what it belongs to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest
import scripts
import tasks
import waiting

import manyhands
from manyhands._engine import _state


def reserve(executor):
    """The zygote's child that is nobody's worker, as soon as there is one."""

    def look():
        pids = {child.pid for child in psutil.Process(_state.zygote().pid).children() if child.status() != psutil.STATUS_ZOMBIE}
        left = pids - set(executor.worker_pids())
        return left.pop() if len(left) == 1 else None

    return waiting.until(look)


def hold(folder):
    tasks.note(folder, "holding")
    waiting.noted(folder, "go")
    return os.getpid()


def next_worker(executor, folder):
    """Process id of a worker that is started because the only other one is busy."""
    holding = executor.submit(hold, str(folder))
    waiting.noted(folder, "holding")
    try:
        return executor.submit(tasks.pid).result(timeout=20)
    finally:
        tasks.note(folder, "go")
        holding.result(timeout=20)


def test_it_becomes_the_next_worker_and_another_takes_its_place(tmp_path):
    with manyhands.Executor(2) as executor:
        executor.submit(tasks.pid).result()
        spare = reserve(executor)
        assert next_worker(executor, tmp_path) == spare
        assert reserve(executor) != spare


def what_a_worker_has(_=None):
    return dict(os.environ), os.getcwd(), sys.path, sys.argv, os.getpgid(0) == os.getpid()


def test_it_has_what_every_worker_has(tmp_path, monkeypatch):
    with manyhands.Executor(2) as executor:
        executor.submit(tasks.pid).result()
        spare = reserve(executor)
        monkeypatch.setenv("SET_SINCE", "yes")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["a", "b"])
        monkeypatch.syspath_prepend(str(tmp_path))
        holding = executor.submit(hold, str(tmp_path))
        waiting.noted(tmp_path, "holding")
        env, directory, path, argv, leads = executor.submit(what_a_worker_has).result(timeout=20)
        tasks.note(tmp_path, "go")
        holding.result(timeout=20)
    added = {"MANYHANDS_WORKER": str(spare), "MANYHANDS_CPUS": env["MANYHANDS_CPUS"], "MANYHANDS_DEPTH": "1"}
    assert {name: value for name, value in env.items() if not name.endswith("_THREADS")} == {**os.environ, **added}
    assert (directory, path, argv, leads) == (str(tmp_path), sys.path, ["a", "b"], True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_it_is_killed_the_next_worker_is_forked(tmp_path, number):
    with manyhands.Executor(2) as executor:
        executor.submit(tasks.pid).result()
        spare = reserve(executor)
        os.kill(spare, number)
        assert next_worker(executor, tmp_path) != spare
        assert reserve(executor) != spare


def test_modules_to_preload_are_in_it(tmp_path, monkeypatch):
    (tmp_path / "loaded_before.py").write_text("import os\nPID = os.getpid()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with manyhands.Executor(2) as executor:
        executor.submit(tasks.pid).result()
        before = reserve(executor)
        with manyhands.Executor(2, preload=["loaded_before"]) as other:
            assert other.submit(where_loaded).result() == _state.zygote().pid
        waiting.until(lambda: waiting.gone(before))
        holding = executor.submit(hold, str(tmp_path))
        waiting.noted(tmp_path, "holding")
        waiting.until(lambda: len(psutil.Process(_state.zygote().pid).children()) == 2)  # the worker, and a new one in reserve
        assert executor.submit(where_loaded).result(timeout=20) == _state.zygote().pid
        tasks.note(tmp_path, "go")
        holding.result(timeout=20)


def where_loaded():
    import loaded_before

    return loaded_before.PID


def test_it_ends_with_the_zygote():
    with manyhands.Executor(1) as executor:
        executor.submit(tasks.pid).result()
        spare = reserve(executor)
        os.kill(_state.zygote().pid, signal.SIGKILL)
        waiting.until(lambda: waiting.gone(spare), seconds=2)


def test_it_ends_with_the_parent():
    code = """
        import tasks, time, manyhands
        manyhands.map(tasks.square, range(4), workers=1)
        time.sleep(100)
    """
    with scripts.started(code) as process:
        family = scripts.descendants(process, 3)  # the zygote, a worker, and the one in reserve
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        process.kill()
        waiting.until(lambda: all(waiting.gone(pid) for pid in family), seconds=2)


def open_in_a_child(_=None):
    """What a program that a task starts finds open, without what it was given on purpose."""
    code = """
import os
paths = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd") if n not in "012"]
print([os.readlink(path) for path in paths if os.path.exists(path)])
"""
    return subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, text=True, check=True).stdout


def test_programs_that_a_task_starts_do_not_hold_its_connection(tmp_path):
    with manyhands.Executor(2) as executor:
        executor.submit(tasks.pid).result()
        reserve(executor)
        holding = executor.submit(hold, str(tmp_path))
        waiting.noted(tmp_path, "holding")
        found = executor.submit(open_in_a_child).result(timeout=20)
        tasks.note(tmp_path, "go")
        holding.result(timeout=20)
    assert "socket" not in found
    assert "memfd" not in found


def test_it_is_buried_when_the_program_has_to_bury_orphans():
    """As the first process of a container has to."""
    code = """
        import ctypes, time, tasks, psutil, manyhands
        assert ctypes.CDLL(None).prctl(36, 1) == 0  # PR_SET_CHILD_SUBREAPER
        manyhands.map(tasks.square, range(4), workers=1)
        deadline = time.monotonic() + 20
        while len(psutil.Process().children(recursive=True)) < 3 and time.monotonic() < deadline:
            pass  # the zygote, a worker, and the one in reserve
        manyhands.shutdown()
        print(psutil.Process().children())
    """
    done = scripts.run(code)
    assert (done.stdout, done.stderr) == ("[]\n", "")
