"""What may be done to a worker from the page: its whole stack, also in C; its task cancelled, itself paused, or replaced."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import faulthandler
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pages
import psutil
import pytest
import scripts
import waiting

import manyhands
from manyhands._engine import _watched
from manyhands._probe import _stacks
from manyhands.errors import TaskCancelled, WorkerDied
from manyhands.watch.observer import _stack


def hold(path, kind="sleep", until=60.0):
    """Note that it has begun, and stay; until the file is there that ends it."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    deadline = time.monotonic() + until
    while time.monotonic() < deadline and not Path(f"{path}.enough").exists():
        if kind == "sleep":
            time.sleep(0.001)
    return os.getpid()


def in_c(path, seconds):
    """Hold Python's lock in C; how long that took."""
    Path(path).touch()
    begin = time.monotonic()
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return time.monotonic() - begin


def quick(_):
    return os.getpid()


def begun(path, count=1):
    """The processes that have begun."""
    return waiting.until(
        lambda: Path(path).exists() and len(found := Path(path).read_text().split("\n")[:-1]) >= count and list(map(int, found))
    )


class Controlled:
    """This process is watched: what its page does to it."""

    def __init__(self):
        self.page = pages.Page(manyhands.watch(browser=False, control=True).url).enter()
        self.run = self.page.until(pages.state("running"))["id"]

    def lane(self, pid, condition=lambda _: True):
        """The lane of a process, as soon as it is as it should be."""
        return self.page.until(lambda run: next((lane for lane in run["lanes"] if lane["pid"] == pid and condition(lane)), None))

    def ask(self, deed, pid):
        return self.page.post("/control", {"run": self.run, "pid": pid, "do": deed})

    def do(self, deed, pid):
        assert self.ask(deed, pid).json() == {"done": True}

    def cancel(self, pid):
        self.lane(pid, lambda lane: lane["task"])
        self.do("cancel", pid)

    def pause(self, pid):
        self.do("pause", pid)
        waiting.until(lambda: is_stopped(pid))

    def stack(self, pid):
        return self.page.get(f"/stack?run={self.run}&pid={pid}").json()["text"]


def is_stopped(pid):
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


@pytest.fixture
def control():
    return Controlled()


# ---------------------------------------------------------------- stacks


def test_the_stacks_of_all_that_wait_or_compute_in_python(control, tmp_path):
    """Of the program with its threads, of a worker at a task, and of one that waits for its next."""
    enough = threading.Event()
    thread = threading.Thread(target=enough.wait, name="the one that waits")
    thread.start()
    with manyhands.Executor(2) as executor:
        held = executor.submit(hold, tmp_path / "x", "busy")
        idle = executor.submit(quick, 0).result()
        [busy] = begun(tmp_path / "x")
        control.lane(idle), control.lane(busy)
        assert "hold\n" in control.stack(busy)
        assert " serve\n" in control.stack(idle).replace("Worker.", " ")
        said = control.stack(os.getpid())
        assert said.startswith(f"MainThread ({os.getpid()}), most recent call first:\n  File ")
        assert f"the one that waits ({thread.native_id})" in said
        assert "test_watch_control.py" in said
        assert "manyhands-watch" not in said
        Path(f"{tmp_path / 'x'}.enough").touch()
        held.result()
    enough.set()
    thread.join()


def test_the_stack_in_c_code_that_holds_the_lock_and_goes_on_undisturbed(control, tmp_path):
    with manyhands.Executor(1) as executor:
        pid = executor.submit(quick, 0).result()
        control.lane(pid)
        held = executor.submit(in_c, tmp_path / "x", 1.5)
        waiting.until((tmp_path / "x").exists)
        said = control.stack(pid)
        assert not held.done()
        assert said.startswith("It runs C code that holds Python's lock.")
        assert "at most 100 threads" in said
        assert f"MainThread ({pid}), most recent call first:\n" in said
        assert " in in_c\n" in said
        assert "_sampling.py" not in said  # the thread that watches is none of theirs
        assert held.result() >= 1.5  # usleep() would have returned, had it got the signal


def test_a_forked_child_writes_its_own_stack(control, tmp_path):
    child = os.fork()
    if not child:
        in_c(tmp_path / "x", 60)
        os._exit(0)
    try:
        control.lane(child)
        waiting.until((tmp_path / "x").exists)
        assert " in in_c\n" in control.stack(child)
        assert "in_c" not in control.stack(os.getpid())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_handlers_of_the_users_own_stay(control, tmp_path):
    with (tmp_path / "own").open("w") as own:
        faulthandler.register(signal.SIGUSR2, own)
        try:
            assert control.stack(os.getpid())
            os.kill(os.getpid(), signal.SIGUSR2)
        finally:
            faulthandler.unregister(signal.SIGUSR2)
    assert "test_handlers_of_the_users_own_stay" in (tmp_path / "own").read_text()


def test_no_signal_is_sent_to_who_would_not_understand_it(tmp_path):
    writing = _stacks.Writing()
    about, ours = writing.about(), os.dup(writing.fd)
    try:
        assert _stack._would_write(os.getpid(), about, ours)
        with (tmp_path / "x").open("w") as file:
            os.dup2(file.fileno(), writing.fd)  # a program has closed what it does not know, and opened a file of its own
            assert not _stack._would_write(os.getpid(), about, ours)
            os.dup2(ours, writing.fd)
        assert _stack._would_write(os.getpid(), about, ours)
        faulthandler.unregister(writing.number)
        assert not _stack._would_write(os.getpid(), about, ours)
        assert not _stack._would_write(2**22, about, ours)
    finally:
        os.close(ours)
        writing.close()


def test_a_signal_that_somebody_has_is_not_taken():
    signal.signal(signal.SIGRTMAX - 3, lambda *_: None)
    try:
        writing = _stacks.Writing()
        assert writing.number == signal.SIGRTMAX - 4
        writing.close()
    finally:
        signal.signal(signal.SIGRTMAX - 3, signal.SIG_DFL)


def deep(depth):
    return "\n".join(_stacks._lines()) if not depth else deep(depth - 1)


def test_very_deep_stacks_are_told_in_part():
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert executor.submit(deep, 3).result().count(" in deep\n") == 0  # the thread that asks is left out
    lines = []
    thread = threading.Thread(target=lambda: lines.extend("".join(part["part"] for part in _stacks.told()).split("\n")))

    def down(depth):
        if depth:
            return down(depth - 1)
        thread.start()
        return thread.join()

    down(600)
    innermost, outermost = (sum(line.endswith("<locals>.down") for line in part) for part in parted(lines))
    assert (innermost > 290, outermost < 100) == (True, True)


def parted(lines):
    at = next(number for number, line in enumerate(lines) if line.startswith("  ... "))
    return lines[:at], lines[at:]


# ---------------------------------------------------------------- cancelling


def test_a_task_that_is_cancelled_has_failed_and_does_not_run_again(control, tmp_path):
    with manyhands.Executor(2) as executor:
        mine = executor.with_options(retries=3)
        held, other = mine.submit(hold, tmp_path / "x"), mine.submit(hold, tmp_path / "y")
        [pid], [second] = begun(tmp_path / "x"), begun(tmp_path / "y")
        control.cancel(pid)
        with pytest.raises(TaskCancelled, match="was cancelled on the page") as caught:
            held.result()
        assert isinstance(caught.value, concurrent.futures.CancelledError)
        assert caught.value.pid == pid
        assert " in hold" in caught.value.stack
        assert not other.done()
        Path(f"{tmp_path / 'y'}.enough").touch()
        assert other.result() == second
        assert executor.submit(quick, 0).result() != pid
        lane = control.lane(pid, lambda lane: lane["how"].startswith("stopped"))
    assert (lane["how"], lane["died"]) == ("stopped: its task was cancelled by who watches it", False)
    assert begun(tmp_path / "x") == [pid]


def test_a_call_is_told_of_the_task_that_was_cancelled(control, tmp_path):
    def cancel():
        control.cancel(begun(tmp_path / "x")[0])

    thread = threading.Thread(target=cancel)
    thread.start()
    result, failed = manyhands.map(call, [quick, hold], [0, tmp_path / "x"], workers=2, errors="return")
    thread.join()
    assert isinstance(result, int)
    assert type(failed.error) is TaskCancelled
    assert failed.index == 1


def call(function, argument):
    return function(argument)


def test_only_the_task_that_is_seen_is_cancelled(control, tmp_path):
    """The next one has the same number, in another call."""
    with manyhands.Executor(1) as executor:
        held = executor.submit(hold, tmp_path / "x")
        [pid] = begun(tmp_path / "x")
        answers = []
        pool = next(pool for pool in _watched.pools if pid in pool.pids())
        for task in ((10**6, 0), (next(iter(pool.calls())).number, 1), None):
            assert pool.control(pid, "cancel", task, answers.append)
        waiting.until(lambda: len(answers) == 3)
        assert answers == ["The task has just ended."] * 3
        assert not pool.control(1, "cancel", None, answers.append)
        Path(f"{tmp_path / 'x'}.enough").touch()
        assert held.result() == pid


def test_the_page_says_what_cannot_be_done(control, tmp_path):
    with manyhands.Executor(1) as executor:
        pid = executor.submit(quick, 0).result()
        control.lane(pid, lambda lane: not lane["task"])
        answer = control.ask("cancel", pid)
        assert answer.json()["done"] is False
        assert answer.json()["why"] in {"It is at no task.", "Its tasks are too short to be cancelled."}
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            functions, arguments = [quick] * 4 + [hold] * 2, [0] * 4 + [tmp_path / "x"] * 2
            held = threads.submit(manyhands.map, call, functions, arguments, backend="threads", workers=2)
            try:
                slot = control.page.until(lambda run: next((lane["pid"] for lane in run["lanes"] if lane["role"] == "thread"), None))
                for deed in ("cancel", "pause", "restart"):
                    for whose, why in ((os.getpid(), "This is the program"), (slot, "This one is a thread"), (child, "multiprocessing")):
                        answer = control.ask(deed, whose)
                        assert (answer.status, answer.json()["done"]) == (200, False), answer
                        assert why in answer.json()["why"]
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                Path(f"{tmp_path / 'x'}.enough").touch()
            held.result()


def nested(path):
    return manyhands.map(hold, [path, path], workers=2, errors="return", timeout=60)


def test_the_task_of_a_worker_of_a_worker_is_cancelled(control, tmp_path):
    with manyhands.Executor(1) as executor:
        outer = executor.submit(nested, tmp_path / "x")
        pid, second = begun(tmp_path / "x", 2)
        control.cancel(pid)
        Path(f"{tmp_path / 'x'}.enough").touch()
        failed, result = sorted(outer.result(), key=lambda value: isinstance(value, int))
        assert type(failed.error) is TaskCancelled
        assert result == second


# ---------------------------------------------------------------- pausing


def test_a_paused_worker_stands_still_and_what_waited_for_it_runs_elsewhere(control, tmp_path):
    with manyhands.Executor(2) as executor:
        held = executor.submit(hold, tmp_path / "x", "busy")
        [pid] = begun(tmp_path / "x")
        control.pause(pid)
        control.lane(pid, lambda lane: lane["state"] == "paused")
        verdict = control.page.until(lambda run: run["verdict"] if run["verdict"] and run["verdict"]["kind"] == "paused" else None)
        assert verdict["text"].endswith(" is paused in the midst of a task")
        used = psutil.Process(pid).cpu_times().user
        others = {executor.submit(quick, number).result() for number in range(20)}
        assert pid not in others
        assert control.stack(pid).startswith("It is stopped; this is where it was seen last.\n")
        assert psutil.Process(pid).cpu_times().user == used
        Path(f"{tmp_path / 'x'}.enough").touch()
        assert not held.done()
        control.do("resume", pid)
        assert held.result() == pid
        control.lane(pid, lambda lane: lane["state"] != "paused")


def test_time_limits_of_tasks_stand_still_too(tmp_path):
    with manyhands.Executor(1) as executor:
        pool = pool_of(executor)
        held = executor.with_options(timeout=2.0).submit(hold, tmp_path / "x")
        [pid] = begun(tmp_path / "x")
        order(pool, pid, "pause")
        with pytest.raises(TimeoutError):
            held.result(timeout=2.1)  # time passes
        order(pool, pid, "resume")
        with pytest.raises(TimeoutError):
            held.result(timeout=0.2)
        assert not held.done()
        Path(f"{tmp_path / 'x'}.enough").touch()
        assert held.result() == pid


def test_time_limits_go_on_where_they_were(tmp_path):
    with manyhands.Executor(1) as executor:
        pool = pool_of(executor)
        held = executor.with_options(timeout=0.4).submit(hold, tmp_path / "x")
        [pid] = begun(tmp_path / "x")
        order(pool, pid, "pause")
        order(pool, pid, "resume")
        with pytest.raises(manyhands.errors.TaskTimeout):
            held.result()


def pool_of(executor):
    pid = executor.submit(quick, 0).result()
    return next(pool for pool in _watched.pools if pid in pool.pids())


def order(pool, pid, deed):
    """Have it done, and wait for the answer; nobody watches."""
    answers = []
    assert pool.control(pid, deed, None, answers.append)
    waiting.until(lambda: answers)
    assert answers == [""]
    if deed == "pause":
        waiting.until(lambda: is_stopped(pid))


def test_an_idle_worker_that_is_paused_gets_nothing(tmp_path):
    with manyhands.Executor(2) as executor:
        pool = pool_of(executor)
        [pid] = pool.pids()
        order(pool, pid, "pause")
        assert pid not in {executor.submit(quick, number).result() for number in range(20)}
        order(pool, pid, "resume")


@pytest.mark.parametrize("state", ["idle", "at work"])
def test_the_end_of_a_pool_waits_for_no_paused_worker(tmp_path, state):
    with manyhands.Executor(2) as executor:
        pool = pool_of(executor)
        [pid] = pool.pids()
        held = None if state == "idle" else executor.submit(hold, tmp_path / "x")
        if held is not None:
            [pid] = begun(tmp_path / "x")
        order(pool, pid, "pause")
        Path(f"{tmp_path / 'x'}.enough").touch()
    assert waiting.gone(pid)
    assert held is None or held.result() == pid


def test_a_paused_worker_can_be_killed(tmp_path):
    with manyhands.Executor(2) as executor:
        pool = pool_of(executor)
        held = executor.submit(hold, tmp_path / "x")
        [pid] = begun(tmp_path / "x")
        order(pool, pid, "pause")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            held.result()
        assert executor.submit(quick, 0).result() != pid


def test_a_call_that_is_given_up_ends_paused_workers(tmp_path):
    pids = []

    def pause():
        pids.extend(begun(tmp_path / "x"))
        order(next(pool for pool in _watched.pools if pids[0] in pool.pids()), pids[0], "pause")
        (tmp_path / "failing").touch()

    thread = threading.Thread(target=pause)
    thread.start()
    with pytest.raises(ZeroDivisionError):
        manyhands.map(call, [hold, fail_when], [tmp_path / "x", tmp_path / "failing"], workers=2)
    thread.join()
    waiting.until(lambda: waiting.gone(pids[0]))


def fail_when(path):
    waiting.until(path.exists)
    return 1 / 0


# A program with a worker that is paused from the page.
PAUSED = """
import os, sys, time
from pathlib import Path
import manyhands
import test_watch_control as tasks
watching = manyhands.watch(browser=False, control=True)
path = Path(sys.argv[1])
executor = manyhands.Executor(1)
held = executor.submit(tasks.hold, path)
"""


@contextlib.contextmanager
def paused(tmp_path, code):
    """The program, its worker, and the page."""
    with scripts.started(PAUSED + code, str(tmp_path / "x")) as process:
        page = pages.announced(process)
        [pid] = begun(tmp_path / "x")
        run = page.until(lambda run: run["id"] if any(lane["pid"] == pid for lane in run["lanes"]) else None)
        assert page.post("/control", {"run": run, "pid": pid, "do": "pause"}).json() == {"done": True}
        waiting.until(lambda: is_stopped(pid))
        yield process, pid


def test_a_paused_worker_ends_with_its_program(tmp_path):
    with paused(tmp_path, "held.result()") as (process, pid):
        process.kill()
        waiting.until(lambda: waiting.gone(pid))


def test_ctrl_c_ends_a_program_whose_workers_are_paused(tmp_path):
    with paused(tmp_path, "held.result()") as (process, pid):
        process.send_signal(signal.SIGINT)
        process.wait(10)
        waiting.until(lambda: waiting.gone(pid))


@pytest.mark.parametrize("how", ["observer killed", "no longer watched"])
def test_workers_go_on_when_nobody_is_left_to_have_them_go_on(tmp_path, how):
    code = "while not path.with_suffix('.stop').exists(): time.sleep(0.001)\nwatching.stop()\nprint(held.result())"
    with paused(tmp_path, code) as (process, pid):
        if how == "observer killed":
            os.kill(pages.of_observer()[1], signal.SIGKILL)
        else:
            (tmp_path / "x.stop").touch()
        waiting.until(lambda: not is_stopped(pid))
        (tmp_path / "x.stop").touch()
        (tmp_path / "x.enough").touch()
        assert process.wait(10) == 0
    manyhands.watch(browser=False)  # another observer puts in order what a killed one has left


# ---------------------------------------------------------------- replacing


def test_a_worker_is_replaced_when_its_task_has_ended(control, tmp_path):
    with manyhands.Executor(1) as executor:
        held = executor.submit(hold, tmp_path / "x")
        more = [executor.submit(quick, number) for number in range(5)]
        [pid] = begun(tmp_path / "x")
        control.lane(pid)
        control.do("restart", pid)
        assert not held.done()
        Path(f"{tmp_path / 'x'}.enough").touch()
        assert held.result() == pid
        assert pid not in {each.result() for each in more}
        lane = control.lane(pid, lambda lane: lane["state"] == "gone")
    assert (lane["how"], lane["died"]) == ("", False)


def test_an_idle_worker_and_a_paused_one_are_replaced(tmp_path):
    with manyhands.Executor(1) as executor:
        pool = pool_of(executor)
        for pauses in (False, True):
            [pid] = pool.pids()
            if pauses:
                order(pool, pid, "pause")
            order(pool, pid, "restart")
            assert executor.submit(quick, 0).result() != pid


# ---------------------------------------------------------------- who is watched, and at what


def test_workers_that_are_there_when_watching_begins_are_watched_at_once(tmp_path):
    with manyhands.Executor(2) as executor:
        held = executor.submit(hold, tmp_path / "x")
        [busy] = begun(tmp_path / "x")
        idle = executor.submit(quick, 0).result()
        control = Controlled()
        assert control.lane(idle)["role"] == "worker"
        Path(f"{tmp_path / 'x'}.enough").touch()
        assert held.result() == busy
        control.lane(busy)  # with the end of its task, and no other


def join():
    manyhands.watch.trace(port=0)


@pytest.mark.parametrize("pool", [manyhands.Executor, concurrent.futures.ProcessPoolExecutor])
def test_workers_that_join_by_themselves_are_idle_while_they_wait_for_tasks(tmp_path, pool):
    with pool(1, initializer=join) as executor:
        pid = executor.submit(quick, 0).result()
        page, _ = pages.of_observer()

        def lane(state):
            return page.until(lambda run: next((lane for lane in run["lanes"] if (lane["pid"], lane["state"]) == (pid, state)), None))

        assert lane("idle")["stack"] == []
        held = executor.submit(hold, tmp_path / "x")
        assert lane("busy")["stack"][0][2] == "hold"
        Path(f"{tmp_path / 'x'}.enough").touch()
        held.result()
        lane("idle")


@pytest.mark.parametrize("was_there", [True, False])
def test_what_is_done_to_shared_objects_of_keepers_is_told(was_there):
    control = None if was_there else Controlled()
    with manyhands.share.keeper() as keeper:
        words = keeper.new(Counter, "abracadabra")
        control = control or Controlled()
        control.lane(keeper.pid)

        def calls(run):
            words.total()
            return next((told["calls"] for told in run["shared"] if told["object"].startswith("Counter")), None)

        assert control.page.until(calls)
        assert b"multiprocessing" in control.ask("cancel", keeper.pid).body
