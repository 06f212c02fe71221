"""Large arrays as arguments and results of shared objects."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import resource
import signal
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import psutil
import pytest
import waiting

from manyhands import lock, share, snapshot
from manyhands.sharing import _folder, _lanes, _peers, _proxies, _serving

SIZE = 200_000  # numbers: more than a megabyte


class Holder:
    """Has what it was given."""

    def __init__(self):
        self.held = None

    def put(self, value):
        self.held = value

    def copied(self):
        return self.held.copy()

    def filled(self, number):
        return np.full(SIZE, number)

    def add(self, number):
        self.held += number
        return float(self.held.sum())

    def pid(self):
        return os.getpid()

    def fail_with(self, value):
        raise ValueError(value)


@pytest.fixture
def holder():
    with share.keeper() as keeper:
        yield keeper.new(Holder)


@contextlib.contextmanager
def no_more_descriptors():
    """This process can open no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.dup(0)
    os.close(first_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_array_goes_by_value(holder):
    mine = np.arange(SIZE)
    holder.put(mine)
    mine[:] = 0
    assert holder.add(1) == SIZE * (SIZE + 1) / 2  # it can be written to there
    theirs = holder.copied()
    theirs[0] = -1  # and here
    assert holder.copied()[0] == 1
    assert snapshot(holder).held[-1] == SIZE
    assert np.array_equal(lock.run(holder, lambda held: held.held[1:]), theirs[1:])


def test_arrays_in_anything_and_beside_shared_objects(holder):
    other = share([1])
    columns = np.asfortranarray(np.ones((900, 900)))
    columns.flags.writeable = False
    holder.put({"rows": [np.full(SIZE, float(n)) for n in range(3)], "small": np.arange(3), "other": other, "columns": columns})
    assert holder.held["other"] is other
    back = snapshot(holder).held
    assert [row[-1] for row in back["rows"]] == [0, 1, 2]
    assert back["small"].tolist() == [0, 1, 2]
    assert back["columns"].flags.f_contiguous
    assert not back["columns"].flags.writeable


def test_what_a_caller_keeps_is_not_overwritten_by_what_comes_later(holder):
    kept = {number: holder.filled(number) for number in range(0, 100, 7)}
    for number in range(100):
        assert holder.filled(number)[-1] == number
        if number in kept:
            assert (kept.pop(number) == number).all()
    given = [np.full(SIZE, number) for number in range(60)]
    holder.put(given[:30])
    for array in given:
        holder.last = array
    assert [part[0] for part in snapshot(holder).held] == list(range(30))


def test_neither_side_opens_more_and_more_files(holder):
    owner, me = psutil.Process(holder.pid()), psutil.Process()
    for number in range(40):
        holder.put(holder.filled(number))
    here, there = me.num_fds(), owner.num_fds()
    kept = [holder.filled(number) for number in range(200)]
    for array in kept:
        holder.put(array)
    assert me.num_fds() <= here + 40
    assert owner.num_fds() <= there + 40
    assert all((array == number).all() for number, array in enumerate(kept))


def test_a_forked_child_goes_on_seeing_what_its_parent_has_let_go_of(holder):
    arrays = [holder.filled(7)]
    mine, theirs = get_context("fork").Pipe()

    def look():
        theirs.recv()
        theirs.send((arrays[0] == 7).all())

    child = get_context("fork").Process(target=look)
    child.start()
    arrays.clear()
    for number in range(5):
        holder.put(holder.filled(number))
    mine.send(None)
    assert mine.recv()
    child.join()


def test_a_child_that_was_forked_sends_arrays_of_its_own(holder):
    other, array = share.new(Holder), np.zeros(SIZE)
    for value in (array, 0):  # so that there is memory to be used again
        holder.put(value)
        other.put(value)
    other.put(array)
    child = get_context("fork").Process(target=lambda: holder.put(np.full(SIZE, 4)))
    child.start()
    child.join()
    assert child.exitcode == 0
    for number in range(3):
        other.put(np.full(SIZE, number))
    assert (holder.copied() == 4).all()


def test_who_is_killed_with_an_array_costs_the_owner_nothing(holder):
    array = holder.filled(1)
    ready, theirs = get_context("fork").Pipe()

    def hold():
        got = [holder.filled(number) for number in range(10)]
        theirs.send(len(got))
        signal.pause()

    child = get_context("fork").Process(target=hold)
    child.start()
    assert ready.recv() == 10
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert holder.filled(2)[0] == 2
    assert array[0] == 1


def test_an_exception_with_a_large_array(holder):
    with pytest.raises(ValueError, match=r"0 .* 199999") as caught:
        holder.fail_with(np.arange(SIZE))
    assert caught.value.args[0][-1] == SIZE - 1


def test_without_descriptors_an_argument_goes_over_the_socket(holder):
    holder.put(np.ones(1))
    array = np.arange(SIZE)
    with no_more_descriptors():
        holder.put(array)
        assert holder.add(0) == array.sum()
    assert np.array_equal(holder.copied(), array)


def test_a_result_for_which_there_is_no_descriptor_is_an_error_of_that_call_alone(holder):
    holder.put(np.arange(SIZE))
    holder.add(1)
    with no_more_descriptors():
        with pytest.raises(OSError, match="Too many open files"):
            holder.copied()
        assert holder.add(1) == SIZE * (SIZE + 3) / 2
    assert holder.copied()[0] == 2


@pytest.mark.parametrize("moment", ["send_descriptor", "receive_descriptor"])
def test_a_call_that_is_interrupted_in_the_midst_of_a_large_array(holder, monkeypatch, moment):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_lanes.Lane, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            holder.put(holder.filled(1))
    holder.put(holder.filled(2))
    assert holder.copied()[-1] == 2


def _begin_late(_):
    """In the owner: who connects is served a little after he has been told so."""
    serve = _serving.Server._serve_session

    def later(*args):
        time.sleep(0.1)
        serve(*args)

    _serving.Server._serve_session = later


def test_who_connects_anew_after_an_interruption_was_never_gone(holder, monkeypatch):
    lock.run(holder, _begin_late)
    test_a_call_that_is_interrupted_in_the_midst_of_a_large_array(holder, monkeypatch, "receive_descriptor")


class Nest:
    def __init__(self):
        self.eggs = weakref.WeakSet()

    def lay(self):
        egg = Holder()
        self.eggs.add(egg)
        return share.ref(egg)

    def count(self):
        return len(self.eggs)


def test_no_room_for_a_connection_is_not_the_owners_death_and_nothing_is_kept_for_it(monkeypatch):
    asked = queue.SimpleQueue()

    def refuse(address):
        asked.put(address)
        raise OSError(errno.EMFILE, "Too many open files")

    with share.keeper() as keeper:
        nest = keeper.new(Nest)
        peer = _peers.peer_at(_proxies.reference_of(nest).address)
        eggs = [nest.lay() for _ in range(3)]
        assert nest.count() == 3

        def drop_one():
            while peer._idle:
                peer._idle.pop().close()
            nest.lay()
            return not asked.empty()

        with lock(nest), ThreadPoolExecutor(1) as others:  # which holds the one connection that there is in the end
            monkeypatch.setattr(_folder, "connect", refuse)
            waiting.until(drop_one)
            with pytest.raises(OSError, match="Too many open files"):
                others.submit(nest.count).result(30)
            eggs.clear()
            for _ in range(4):  # so often has it been tried, of each that was dropped
                asked.get(timeout=30)
        monkeypatch.undo()
        waiting.until(lambda: nest.count() == 0)
