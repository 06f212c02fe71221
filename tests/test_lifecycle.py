"""Nothing is left behind and nothing hangs, whoever dies: the parent, the zygote, a worker; by whatever signal."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
from pathlib import Path

import psutil
import pytest
import scripts
import tasks
import waiting

import manyhands
from manyhands._engine import _state

HANGING = """
    import sys, tasks, manyhands
    if __name__ == "__main__":
        fn = getattr(tasks, sys.argv[1])
        with manyhands.options(start_method=sys.argv[2]):
            print("ready", flush=True)
            manyhands.map(fn, [3, 3], workers=2)
"""


@pytest.mark.parametrize("method", ["zygote", "spawn", "fork"])
@pytest.mark.parametrize("fn", ["hang", "hang_in_c"])
def test_killed_parent_takes_everything_with_it(fn, method):
    with scripts.started(HANGING, fn, method) as process:
        family = scripts.descendants(process, 3 if method == "zygote" else 2)
        process.kill()
        died = time.monotonic()
        waiting.until(lambda: all(waiting.gone(pid) for pid in family), seconds=10)
        assert time.monotonic() - died < 2


def test_killed_parent_takes_what_tasks_started_with_it():
    with scripts.started(HANGING, "start_child", "zygote") as process:
        family = scripts.descendants(process, 5)  # the zygote, two workers, their two children
        process.kill()
        waiting.until(lambda: all(waiting.gone(pid) for pid in family), seconds=2)


STOPPED_AT_ITS_START = """
import ctypes, itertools, os, signal, sys
import waiting
from manyhands._engine import _worker_process
from manyhands._wire import _posix

def stop_at(number):
    calls = itertools.count()
    def look(frame, event, arg):
        if event == "c_call" and next(calls) == number:
            sys.setprofile(None)
            os.kill(os.getpid(), signal.SIGSTOP)
    sys.setprofile(look)

ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # subreaper: or the kernel wakes those that are stopped when their parent ends
for number in itertools.count():
    lifeline, held = os.pipe()
    told, tell = os.pipe()
    zygote = os.fork()
    if zygote == 0:
        os.close(held)
        _posix.die_with(lifeline)
        child = os.fork()
        if child == 0:
            stop_at(number)
            _worker_process.join(lifeline)
            sys.setprofile(None)
            os.write(tell, b"joined")
            signal.pause()
        os.waitpid(child, os.WUNTRACED)
        os.write(tell, str(child).encode())
        signal.pause()
    first = os.read(told, 20)
    if first == b"joined":
        os.close(held)
        os.waitpid(zygote, 0)
        print("stopped at", number > 5)
        break
    os.close(held)
    os.waitpid(zygote, 0)
    waiting.until(lambda: waiting.gone(int(first)), seconds=5)
    for fd in (lifeline, told, tell):
        os.close(fd)
"""


def test_a_worker_that_is_stopped_at_any_moment_of_its_start_dies_with_the_parent():
    done = scripts.run(STOPPED_AT_ITS_START)
    assert (done.stdout, done.stderr) == ("stopped at True\n", "")


def test_stopped_workers_die_with_the_parent():
    with scripts.started(HANGING, "hang", "zygote") as process:
        family = scripts.descendants(process, 3)
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        process.kill()
        waiting.until(lambda: all(waiting.gone(pid) for pid in family), seconds=2)


def zygote_pid():
    return _state.zygote().pid


def test_killed_zygote_loses_nothing(tmp_path):
    manyhands.map(tasks.square, range(4), workers=2)
    before = zygote_pid()
    with manyhands.Executor(2) as executor:
        first = [executor.submit(tasks.fail_until, i, str(tmp_path), 0) for i in range(20)]
        os.kill(before, signal.SIGKILL)
        second = [executor.submit(tasks.fail_until, i, str(tmp_path), 0) for i in range(20, 40)]
        assert [f.result() for f in first + second] == list(range(40))
        # A worker that ends now is nobody's child; it is replaced from a new zygote.
        with pytest.raises(manyhands.WorkerDied):
            executor.submit(tasks.kill_self, tasks.BAD).result()
        assert executor.submit(tasks.square, 5).result() == 25
    with manyhands.Executor(1) as executor:  # needs a worker, and so a zygote
        assert executor.submit(tasks.square, 6).result() == 36
    assert zygote_pid() != before
    assert manyhands.map(tasks.square, range(4), workers=2) == [0, 1, 4, 9]


def test_running_tasks_survive_the_zygote(tmp_path):
    with manyhands.Executor(1) as executor:
        future = executor.submit(wait_for_file, str(tmp_path))
        waiting.noted(tmp_path, "started")
        os.kill(zygote_pid(), signal.SIGKILL)
        waiting.until(lambda: waiting.gone(zygote_pid()))
        tasks.note(tmp_path, "go")
        assert future.result(timeout=20) == "went"


def wait_for_file(folder):
    tasks.note(folder, "started")
    waiting.noted(folder, "go")
    return "went"


def test_stopped_worker_does_not_stop_the_others(tmp_path):
    with manyhands.Executor(2) as executor:
        stopped = executor.submit(wait_for_file, str(tmp_path))
        pid = int(waiting.noted(tmp_path, "started")[0])
        os.kill(pid, signal.SIGSTOP)
        try:
            futures = [executor.submit(tasks.square, i) for i in range(200)]
            assert [f.result(timeout=20) for f in futures] == [i * i for i in range(200)]
            assert not stopped.done()
        finally:
            os.kill(pid, signal.SIGCONT)
        tasks.note(tmp_path, "go")
        assert stopped.result(timeout=20) == "went"


def test_an_idle_worker_that_was_stopped_keeps_no_task():
    manyhands.map(tasks.spin, [0.05] * 2, workers=2)
    for stopped in _state.shared_pool_pids():
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert manyhands.map(tasks.square, range(4), workers=2, chunk=1) == [0, 1, 4, 9]
            assert manyhands.map(tasks.square, range(100), workers=2, chunk=10) == [x * x for x in range(100)]
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert manyhands.map(tasks.spin, [0.05] * 4, workers=2) is not None  # it is one of them again, and the next may be stopped


def test_worker_stopped_in_the_middle_of_a_map_gives_back_what_it_has_not_started():
    manyhands.map(tasks.square, range(100), workers=2)
    pids = _state.shared_pool_pids()
    results = manyhands.imap(tasks.square, range(200_000), workers=2)
    got = [next(results)]
    stopped = pids[0]
    os.kill(stopped, signal.SIGSTOP)
    resume = threading.Timer(1.0, os.kill, (stopped, signal.SIGCONT))
    resume.start()
    got += results
    resume.join()
    assert got == [x * x for x in range(200_000)]


INTERRUPTED = """
    import sys, tasks, manyhands
    try:
        {call}
    except KeyboardInterrupt:
        print("interrupted once", flush=True)
"""

CALLS = {
    "map": "manyhands.map(tasks.hang, [3] * 6, [sys.argv[1]] * 6, workers=2)",
    "imap": "list(manyhands.imap(tasks.hang, [3] * 6, [sys.argv[1]] * 6, workers=2))",
    "parallel": "manyhands.Parallel(n_jobs=2)(manyhands.delayed(tasks.hang)(3, sys.argv[1]) for _ in range(6))",
    "executor": (
        "with manyhands.Executor(2) as executor: [f.result() for f in [executor.submit(tasks.hang, 3, sys.argv[1]) for _ in range(6)]]"
    ),
    "threads": "manyhands.map(tasks.hang, [3] * 6, [sys.argv[1]] * 6, workers=2, backend='threads')",
}


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_ends_the_program_within_a_second(call, tmp_path):
    with scripts.started(INTERRUPTED.format(call=CALLS[call]), str(tmp_path)) as process:
        waiting.noted(tmp_path, "started", 2)
        family = scripts.descendants(process, 0)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=10)
        assert time.monotonic() - sent < 1.5  # a second, and what the machine is doing besides
        assert output.count("interrupted once") == 1
        assert errors == ""
        assert process.returncode == 0
        assert all(waiting.gone(pid) for pid in family)


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_without_a_handler_shows_one_traceback(call, tmp_path):
    code = f"import sys, tasks, manyhands\n{CALLS[call]}"
    with scripts.started(code, str(tmp_path)) as process:
        waiting.noted(tmp_path, "started", 2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert errors.count("Traceback") == 1
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert errors.count(f'File "{Path(manyhands.__file__).parent}') <= 3  # of our own frames those by which the program came in
        assert process.returncode in {130, -signal.SIGINT}


def interrupted_reading(call):
    def inputs():
        yield 1
        raise KeyboardInterrupt

    call(inputs())


def interrupted_by_a_handler(call):
    def handler(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        call([tasks.BAD])
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("interrupted", [interrupted_reading, interrupted_by_a_handler])
@pytest.mark.parametrize(
    "call",
    [
        lambda inputs: manyhands.map(tasks.hang, inputs, workers=1),
        lambda inputs: list(manyhands.imap(tasks.hang, inputs, workers=1)),
        lambda inputs: manyhands.Parallel(2)(map(manyhands.delayed(tasks.hang), inputs)),
    ],
    ids=["map", "imap", "parallel"],
)
def test_the_traceback_of_an_interrupt_keeps_the_frames_of_the_program(call, interrupted):
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted(call)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == __file__]
    assert names[-2:] == ["<lambda>", "inputs" if interrupted is interrupted_reading else "handler"]


def test_ctrl_c_ends_what_other_threads_wait_for(tmp_path):
    code = """
        import sys, threading, tasks, manyhands
        executor = manyhands.Executor(2)
        def call():
            manyhands.map(tasks.hang, [3], [sys.argv[1]], workers=2)
        def wait():
            executor.submit(tasks.hang, 3, sys.argv[1]).result()
        def take():
            list(manyhands.imap(tasks.hang, [3], [sys.argv[1]], workers=2))
        def again():
            while True:
                manyhands.map(tasks.square, range(10), workers=2)
                tasks.spin(0.1)
        for work in (call, wait, take, again):
            threading.Thread(target=work).start()
        manyhands.map(tasks.hang, [3], [sys.argv[1]], workers=2)
    """
    with scripts.started(code, str(tmp_path)) as process:
        waiting.noted(tmp_path, "started", 3)  # at most two at a time on the shared pool
        family = scripts.descendants(process, 4)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert time.monotonic() - sent < 2
        assert errors.count("Traceback") == 1
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert all(waiting.gone(pid) for pid in family)


def test_pool_is_usable_after_ctrl_c(tmp_path):
    code = """
        import os, signal, sys, tasks, manyhands
        for _ in range(3):
            try:
                manyhands.map(tasks.hang, [3] * 6, [sys.argv[1]] * 6, workers=2)
            except KeyboardInterrupt:
                print(sum(manyhands.map(tasks.square, range(1000), workers=2)), flush=True)
    """
    with scripts.started(code, str(tmp_path)) as process:
        for round_ in range(1, 4):
            waiting.noted(tmp_path, "started", 2 * round_)
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == f"{sum(x * x for x in range(1000))}\n"
        assert process.wait(10) == 0


def test_program_ends_when_its_futures_have():
    done = scripts.run("""
        import tasks, manyhands
        executor = manyhands.Executor(2)
        for i in range(6):
            executor.submit(tasks.square, i).add_done_callback(lambda f: print(f.result(), flush=True))
    """)
    assert sorted(done.stdout.split()) == ["0", "1", "16", "25", "4", "9"]
    assert (done.returncode, done.stderr) == (0, "")


def test_program_ends_with_a_warm_pool_and_an_unfinished_iterator():
    done = scripts.run("""
        import itertools, tasks, manyhands
        results = manyhands.imap(tasks.square, itertools.count(), workers=2)
        print(next(results), next(results))
    """)
    assert (done.stdout, done.returncode, done.stderr) == ("0 1\n", 0, "")


def test_exception_in_the_main_program_ends_it():
    done = scripts.run("""
        import tasks, manyhands
        executor = manyhands.Executor(2)
        executor.submit(tasks.square, 2).result()
        raise SystemExit(3)
    """)
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize("how", ["file", "-c", "-", "-m"])
def test_no_main_guard_is_needed(how, tmp_path):
    code = (
        "import manyhands\n"
        "class Point:\n"
        "    def __init__(self, x): self.x = x\n"
        "def shift(p): return Point(p.x + 1)\n"
        "moved = manyhands.map(shift, [Point(1), Point(2)], workers=2)\n"
        "print([type(p) is Point for p in moved], [p.x for p in moved], manyhands.map(lambda x: x * 2, [1, 2]))\n"
    )
    path = tmp_path / "program.py"
    path.write_text(code)
    command = {"file": [str(path)], "-c": ["-c", code], "-": ["-"], "-m": ["-m", "program"]}[how]
    done = subprocess.run(
        [sys.executable, *command],
        input=code if how == "-" else None,
        capture_output=True,
        text=True,
        timeout=40,
        cwd=tmp_path,
        env=scripts.environment(),
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[True, True] [2, 3] [2, 4]\n", "")


@pytest.mark.parametrize("method", ["zygote", "spawn"])
@pytest.mark.parametrize("flags", [[], ["-O"], ["-b"], ["-X", "utf8=1", "-W", "error::UserWarning"], ["-I"]])
def test_workers_are_started_with_the_flags_of_the_program(method, flags):
    # All flags but the last two: one is never to be theirs (they are handed the import path), one is a number.
    code = (
        "import sys, manyhands\n"
        "def flags(_): return tuple(sys.flags)[:-2], dict(sys._xoptions), sys.warnoptions\n"
        "def ours(): return flags(None)\n"
        f"with manyhands.options(start_method={method!r}): (theirs,) = manyhands.map(flags, [0], workers=2)\n"
        "print(theirs == ours() or (theirs, ours()))\n"
    )
    env = scripts.environment()
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # it is a flag as well
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=40, env=env, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_interactive_session():
    lines = "import manyhands\ndef f(x): return x + 1\n\nprint(manyhands.map(f, [1, 2], workers=2))\n"
    done = subprocess.run(
        [sys.executable, "-i"], input=lines, capture_output=True, text=True, timeout=40, env=scripts.environment(), check=False
    )
    assert "[2, 3]" in done.stdout


def test_forked_child_starts_its_own_pool():
    manyhands.map(tasks.square, range(4), workers=2)
    mine = set(_state.shared_pool_pids())
    assert mine >= set(manyhands.map(tasks.pid, range(20), workers=2, chunk=1))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pids = set(manyhands.map(tasks.pid, range(20), workers=2, chunk=1))
            os.write(write, b"own" if pids and not pids & mine else b"shared")
            manyhands.shutdown()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        answer = file.read()
    os.waitpid(child, 0)
    assert answer == "own"
    assert set(manyhands.map(tasks.pid, range(20), workers=2, chunk=1)) <= mine


def test_executor_of_the_parent_is_closed_in_a_forked_child():
    with manyhands.Executor(1) as executor:
        executor.submit(tasks.square, 1).result()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                executor.submit(tasks.square, 1)
            except manyhands.PoolClosed as error:
                os.write(write, str(error).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as file:
            answer = file.read()
        os.waitpid(child, 0)
        assert "belongs to process" in answer
        assert executor.submit(tasks.square, 2).result() == 4


def milliseconds_run(pid):
    """How long all threads of a process have been on a processor, by the scheduler's own account."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6


def test_idle_pool_uses_no_processor():
    executor = manyhands.Executor(2)
    with executor:
        for _ in range(20):
            executor.submit(tasks.square, 1).result()
        others = [zygote_pid(), *executor.worker_pids()]
        time.sleep(0.1)  # what has just been done comes to its end
        before, mine = [milliseconds_run(pid) for pid in others], milliseconds_run(os.getpid())
        time.sleep(1)  # the thing measured
        mine = milliseconds_run(os.getpid()) - mine
        after = [milliseconds_run(pid) for pid in others]
    assert after == before
    assert mine < 10  # looking for itself takes some


def test_idle_workers_leave_and_come_back():
    with manyhands.Executor(2, idle_timeout=0.2) as executor:
        executor.submit(tasks.square, 1).result()
        pids = executor.worker_pids()
        waiting.until(lambda: all(waiting.gone(pid) for pid in pids))
        assert executor.submit(tasks.square, 2).result() == 4
        assert set(executor.worker_pids()).isdisjoint(pids)


def test_workers_that_leave_while_work_arrives_lose_nothing():
    with manyhands.Executor(2, idle_timeout=0.01) as executor:
        for i in range(300):
            assert executor.submit(tasks.square, i).result(timeout=20) == i * i
            time.sleep(0.0101 if i % 10 == 0 else 0)  # as long as a worker waits


def test_shutdown_ends_the_warm_pool_and_the_next_call_starts_another():
    first = set(manyhands.map(tasks.pid, range(4), workers=2))
    manyhands.shutdown()
    assert all(waiting.gone(pid) for pid in first)
    assert not first & set(manyhands.map(tasks.pid, range(4), workers=2))


LIMITED = """
    import os, resource, sys, tasks, manyhands
    {limit}
    try:
        manyhands.map(tasks.square, range(4), workers=2)
    except manyhands.CannotStart as error:
        print("CannotStart", error, flush=True)
    except OSError as error:
        print("OSError", error, flush=True)
"""


def test_no_descriptors_left_is_an_error_at_once():
    done = scripts.run(LIMITED.format(limit="manyhands.map; resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))"))
    assert "Too many open files" in done.stdout
    assert done.returncode == 0


SYSTEM_PYTHON = "/usr/bin/python3"


def can_run_as_nobody():
    """Limits of processes do not bind root, and others may not enter where this Python lives."""
    probe = [SYSTEM_PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    try:
        return os.geteuid() == 0 and subprocess.run(probe, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_run_as_nobody(), reason="needs root, and a system Python that another user can run")
@pytest.mark.parametrize("start", ["zygote", "fork"])
def test_no_processes_left_is_an_error_at_once(start):
    with tempfile.TemporaryDirectory(prefix="open-to-all-") as folder:
        shutil.copytree(Path(manyhands.__file__).parent, Path(folder, "manyhands"))
        shutil.copy(tasks.__file__, folder)
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        # This process, and the zygote; no worker.
        count = 2 if start == "zygote" else 1
        limit = f"os.setuid(64321); resource.setrlimit(resource.RLIMIT_NPROC, ({count}, {count}))"
        code = textwrap.dedent(LIMITED.format(limit=limit))
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", code],
            capture_output=True,
            text=True,
            timeout=40,
            env={"PYTHONPATH": folder, "MANYHANDS_START_METHOD": start},
            cwd=folder,
            check=False,
        )
    assert done.stdout.startswith(("CannotStart", "OSError")), done.stderr
    assert "Resource temporarily unavailable" in done.stdout


def test_fewer_workers_than_asked_for_do_the_work():
    """64 workers do not fit into so few descriptors; those that do fit carry on."""
    done = scripts.run("""
        import resource, tasks, manyhands
        manyhands.map(tasks.square, range(4), workers=1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        print(manyhands.map(tasks.square, range(500), workers=64, chunk=1) == [x * x for x in range(500)])
    """)
    assert done.stdout == "True\n"
    [told] = done.stderr.splitlines()
    assert "no more worker processes can be started for the moment" in told


def test_import_is_light():
    done = scripts.run("""
        import sys
        before = set(sys.modules)
        import manyhands
        manyhands.map
        heavy = {"numpy", "rich", "click", "asyncio", "multiprocessing", "xxhash", "concurrent.futures.process"}
        print(sorted(heavy & (set(sys.modules) - before)))
    """)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_nothing_in_shared_memory_or_the_temporary_folder(tmp_path):
    done = scripts.run(
        """
        import os, tasks, manyhands
        manyhands.map(tasks.square, range(100), workers=2)
        print([name for name in os.listdir("/dev/shm") if "manyhands" in name])  # others, of joblib say, may have any digits
        """,
        TMPDIR=str(tmp_path),
    )
    assert done.stdout == "[]\n"
    assert list(Path(tmp_path).iterdir()) == []


def test_a_stopped_zygote_does_not_stop_the_end():
    code = """
        import os, signal, tasks, manyhands
        from manyhands._engine import _state
        manyhands.map(tasks.square, range(10), workers=2)
        os.kill(_state.zygote().pid, signal.SIGSTOP)
        print("done", flush=True)
    """
    done = scripts.run(code)
    assert (done.stdout, done.returncode, done.stderr) == ("done\n", 0, "")


def test_zygotes_killed_again_and_again_lose_nothing():
    with manyhands.Executor(4, max_tasks_per_child=2) as executor:
        futures = [executor.submit(tasks.square, i) for i in range(300)]
        for index, future in enumerate(futures):
            if index % 60 == 30:
                os.kill(zygote_pid(), signal.SIGKILL)
            assert future.result(timeout=30) == index * index


def test_idle_workers_that_leave_are_buried():
    with manyhands.options(idle_timeout=0.2):
        manyhands.map(tasks.square, range(10), workers=2)
        waiting.until(lambda: _state.shared_pool_pids() == [])
        waiting.until(lambda: not [p for p in psutil.Process().children(recursive=True) if p.status() == psutil.STATUS_ZOMBIE])


def test_a_thread_that_is_still_at_work_when_the_main_one_ends():
    done = scripts.run("""
        import threading, tasks, manyhands
        def work():
            print(sum(manyhands.map(tasks.spin, [0.01] * 100, workers=2)) > 0.99, flush=True)
        threading.Thread(target=work).start()
    """)
    assert (done.stdout, done.returncode, done.stderr) == ("True\n", 0, "")


def test_ctrl_c_with_an_executor_outside_of_a_block(tmp_path):
    code = """
        import sys, tasks, manyhands
        executor = manyhands.Executor(2)
        futures = [executor.submit(tasks.hang, 3, sys.argv[1]) for _ in range(6)]
        futures[0].result()
    """
    with scripts.started(code, str(tmp_path)) as process:
        waiting.noted(tmp_path, "started", 2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert errors.count("Traceback") == 1
        assert process.returncode in {130, -signal.SIGINT}


STRUCK = """
    import faulthandler, os, signal, sys, threading, time, tasks, manyhands

    faulthandler.dump_traceback_later(30, exit=True)

    class Struck(BaseException):
        pass

    def strike(number, frame):
        raise Struck

    number = getattr(signal, sys.argv[1])
    signal.signal(number, strike)
    stop, done = threading.Event(), threading.Event()
    right = [x * x for x in range(50)]
    others = []

    def disturb():
        while not stop.wait(0.003):
            os.kill(os.getpid(), number)

    def work_on():
        while not done.is_set():
            others.append(manyhands.map(tasks.square, range(50), workers=2, chunk=1) == right)

    def until_it_is_done(action):
        while True:
            try:
                return action()
            except Struck:
                pass

    def work():
        global hits
        while time.monotonic() < end:
            try:
                assert manyhands.map(tasks.square, range(50), workers=2, chunk=1) == right
                assert [future.result() for future in [executor.submit(tasks.square, i) for i in range(50)]] == right
            except Struck:
                hits += 1

    executor = manyhands.Executor(2)
    # Everything is imported: what strikes in the middle of an import, Python itself does not survive.
    manyhands.map(tasks.square, range(50), workers=2)
    executor.submit(tasks.square, 1).result()
    with manyhands.imap(tasks.square, range(50), workers=2) as results:
        next(results)
    hits = 0
    end = time.monotonic() + 3
    disturber, worker = threading.Thread(target=disturb), threading.Thread(target=work_on)
    worker.start()
    try:
        disturber.start()
    except Struck:
        pass
    until_it_is_done(work)
    until_it_is_done(stop.set)
    until_it_is_done(disturber.join)
    print(hits > 10, executor.submit(tasks.square, 5).result(), manyhands.map(tasks.square, range(50), workers=2) == right, flush=True)
    done.set()
    worker.join()
    print(len(others) > 1, all(others))
    executor.shutdown()
    manyhands.shutdown()
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGALRM"])
def test_signals_at_any_moment_break_nothing(number):
    """300 a second, each raising an exception in the main thread; nothing is lost, there or in another thread."""
    done = scripts.run(STRUCK, number)
    assert done.stdout == "True 25 True\nTrue True\n", done.stderr[-2000:]
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_second_ctrl_c_ends_what_does_not_end(tmp_path):
    """A callback of the user's that goes on for ever, in the thread that waits."""
    code = """
        import sys, threading, time, tasks, manyhands
        def stay(future):
            if threading.current_thread() is threading.main_thread():
                tasks.note(sys.argv[1], "stays")
                time.sleep(3600)
        with manyhands.Executor(2) as executor:
            try:
                while True:
                    future = executor.submit(tasks.spin, 0.02)
                    future.add_done_callback(stay)
                    future.result()
            except KeyboardInterrupt:
                print("interrupted", future.done(), flush=True)
            print(executor.submit(tasks.square, 5).result(), flush=True)
    """
    with scripts.started(code, str(tmp_path)) as process:
        waiting.noted(tmp_path, "stays")
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):  # the first waits for a safe point
            process.wait(timeout=1.2)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert (output, errors, process.returncode) == ("interrupted True\n25\n", "", 0)


def test_two_at_once_are_as_good_as_one(tmp_path):
    with scripts.started(INTERRUPTED.format(call=CALLS["executor"]), str(tmp_path)) as process:
        waiting.noted(tmp_path, "started", 2)
        family = scripts.descendants(process, 0)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert time.monotonic() - sent < 1.5
        assert all(waiting.gone(pid) for pid in family)


def test_working_directory_that_was_removed(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = scripts.run(f"""
        import os, tasks, manyhands
        manyhands.map(tasks.square, range(4), workers=2)  # everything is imported where that still works
        manyhands.shutdown()
        os.chdir({str(gone)!r})
        os.rmdir({str(gone)!r})
        print(manyhands.map(tasks.square, range(4), workers=2))
    """)
    assert done.stdout == "[0, 1, 4, 9]\n", done.stderr


def fork_and_return(x):
    child = os.fork()
    if child == 0:
        return "child"
    os.waitpid(child, 0)
    return x


@pytest.mark.parametrize("chunk", [1, 6])
def test_a_child_that_a_task_forks_takes_no_part(chunk):
    assert manyhands.map(fork_and_return, range(6), workers=2, chunk=chunk) == list(range(6))
    failed = manyhands.map(os._exit, [1, 2], workers=2, errors="return")
    assert all(isinstance(failure.error, manyhands.WorkerDied) for failure in failed)
    assert manyhands.map(tasks.square, range(4), workers=2) == [0, 1, 4, 9]


def test_shutting_down_does_not_wait_for_what_another_thread_waits_for(tmp_path):
    ends = []

    def call():
        with pytest.raises(manyhands.WorkerDied, match="its pool was shut down") as caught:
            manyhands.map(tasks.hang, [tasks.BAD], [str(tmp_path)], workers=2)
        ends.append(caught.value)

    thread = threading.Thread(target=call)
    thread.start()
    waiting.noted(tmp_path, "started")
    manyhands.shutdown()
    thread.join(20)
    assert len(ends) == 1


def test_a_pool_that_is_shut_down_under_a_call_ends_the_call():
    def inputs(stopping, after):
        for i in range(10**6):
            if i == after:
                stopping.start()
            if i % 50 == 0:
                time.sleep(0.0002)  # another thread's turn
            yield i

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for attempt in range(3):
            stopping = threading.Thread(target=manyhands.shutdown)
            with pytest.raises((manyhands.PoolClosed, manyhands.WorkerDied, concurrent.futures.CancelledError), match="shut down"):
                manyhands.map(tasks.square, inputs(stopping, 1000 + 700 * attempt), workers=2)
            stopping.join()
    finally:
        sys.setswitchinterval(before)
