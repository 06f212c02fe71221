"""Keepers: processes that only have objects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from multiprocessing import get_context, resource_tracker

import psutil
import pytest
import shared_things
from waiting import until

import manyhands
from manyhands import errors, share
from manyhands.sharing import _keepers


@pytest.fixture(autouse=True, scope="module")
def stdlib():
    """What multiprocessing leaves behind is there before the test, and gone after it."""
    resource_tracker.ensure_running()
    yield
    resource_tracker._resource_tracker._stop()


def test_what_a_keeper_makes_stays_there():
    with _keepers.start() as keeper:
        counter = keeper.new(shared_things.Killable, 3)
        assert counter.pid() == keeper.pid != os.getpid()
        assert counter.inc() == 4
        assert isinstance(counter, shared_things.Killable)
        assert next(counter.squares) == 0  # which nobody could send
        assert keeper.new(int, 5) + 1 == 6
    with pytest.raises(errors.OwnerDied):
        counter.inc()
    with pytest.raises(errors.OwnerDied):
        keeper.new(Counter)


def test_shutdown_ends_the_programs_keeper_and_the_next_object_has_another():
    counter = share.new(shared_things.Killable, 3)
    pid = counter.pid()
    with share.keeper() as own:
        other = own.new(list)
        manyhands.shutdown()
        until(lambda: not psutil.pid_exists(pid))
        with pytest.raises(errors.OwnerDied):
            counter.inc()
        assert share.new(shared_things.Killable, 3).pid() != pid
        assert len(other) == 0
    manyhands.shutdown()


def test_what_a_constructor_raises_has_the_traceback_of_the_keeper():
    def broken(text):
        raise ValueError(text)

    with _keepers.start() as keeper, pytest.raises(ValueError, match="no such") as caught:
        keeper.new(broken, "no such thing")
    assert "in broken" in str(caught.value.__cause__)


def test_what_cannot_be_sent_is_said_before():
    with _keepers.start() as keeper, pytest.raises(errors.NotSerializable, match="argument 0") as caught:
        keeper.new(Counter, (letter for letter in "abc"))
    assert any("share()" in note for note in caught.value.__notes__)


def test_ctrl_c_does_not_end_a_keeper():
    with _keepers.start() as keeper:
        items = keeper.new(list)
        os.kill(keeper.pid, signal.SIGINT)
        items.append(1)
        assert list(items) == [1]
        assert keeper.is_open


def test_the_default_keeper_is_one_and_is_replaced_when_it_has_died():
    first = _keepers.default()
    assert _keepers.default() is first
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not first.is_open)
    second = _keepers.default()
    assert os.environ["MANYHANDS_KEEPER"] == second.address
    assert second.pid != first.pid
    assert list(second.new(list, [1])) == [1]


def test_a_forked_child_uses_the_keeper_of_its_parent_and_cannot_end_it():
    keeper = _keepers.default()
    items = keeper.new(list)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert _keepers.default() is keeper
            keeper.close()
            items.append(keeper.new(shared_things.Killable).pid())
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert list(items) == [keeper.pid]


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "sys.exit(0)", "raise ValueError", "os._exit(1)"])
def test_a_keeper_ends_with_its_program(end):
    code = f"""
import os, sys
from manyhands.sharing import _keepers
keeper = _keepers.default()
items = keeper.new(list)
print(keeper.pid, flush=True)
{end}
"""
    program = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    pid = int(program.stdout)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def _pid_of_the_default():
    return _keepers.default().new(shared_things.Killable).pid()


@pytest.mark.parametrize("start", ["worker", "spawn", "fork"])
def test_processes_of_the_program_use_its_keeper(start):
    keeper = _keepers.default()
    if start == "worker":
        assert set(manyhands.map(lambda _: _pid_of_the_default(), range(4), workers=2)) == {keeper.pid}
        return
    pids = keeper.new(list)
    process = get_context(start).Process(target=_append_pid, args=(pids,))
    process.start()
    process.join()
    assert list(pids) == [keeper.pid]


def _append_pid(pids):
    pids.append(_pid_of_the_default())


def test_what_a_worker_makes_in_the_keeper_outlives_the_worker():
    _keepers.default()
    with manyhands.Executor(1) as executor:
        items = executor.submit(lambda: manyhands.share.new(list, [1])).result()
    assert list(items) == [1]
