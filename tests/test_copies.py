"""Locks, queues and their like travel as copies, which is said; those of a manager reach the manager."""

from __future__ import annotations

import multiprocessing
import queue
import threading

import pytest
import waiting

import manyhands
from manyhands._codec import _mended


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(_mended, "_noted", set())


class Job:
    def __init__(self):
        self.guard = threading.Lock()
        self.log = {"queue": queue.Queue()}

    def run(self, x):
        self.log["queue"].put(x)
        return x


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (threading.Lock, "a lock travels as a new one: it does not exclude what runs in another process"),
        (threading.RLock, "a lock travels as a new one: it does not exclude what runs in another process"),
        (
            queue.PriorityQueue,
            "a queue.Queue travels as a copy: what a task puts into it does not come back; return values instead, "
            "or use the Queue() of a multiprocessing.Manager()",
        ),
        (threading.Event, "a threading.Event travels as a copy: setting it in one process is not seen in another"),
        (threading.Condition, "a threading.Condition travels as a copy: notify() in one process wakes nobody in another"),
        (threading.BoundedSemaphore, "a threading.Semaphore travels as a copy: each process counts for itself"),
        (lambda: threading.Barrier(2), "a threading.Barrier travels as a copy: who waits in one process is not counted in another"),
    ],
    ids=["Lock", "RLock", "PriorityQueue", "Event", "Condition", "BoundedSemaphore", "Barrier"],
)
def test_each_kind_is_said_once_with_its_place(make, said):
    held = {"a": [make()]}

    def twice():
        manyhands.map(lambda x: (held, x)[1], [1, 2])
        manyhands.map(lambda x: (x, held)[0], [1, 2])

    with pytest.warns(manyhands.errors.TravelWarning) as caught:
        twice()
    place = f"(this one is {twice.__qualname__}.<locals>.<lambda> → variable 'held' ['a'][0])"
    assert [str(warning.message) for warning in caught] == [f"{said} {place}"]
    assert caught[0].filename == __file__


def test_two_kinds_are_said_both():
    job = Job()
    with pytest.warns(manyhands.errors.TravelWarning) as caught:
        assert manyhands.map(job.run, [1]) == [1]
    said = [str(warning.message) for warning in caught]
    assert said[0].endswith("in another process (this one is Job.run → self.guard)")
    assert said[1].startswith("a queue.Queue travels as a copy")
    assert said[1].endswith("(this one is Job.run → self.log['queue'])")


@pytest.mark.filterwarnings("ignore::manyhands.errors.TravelWarning")
def test_who_waits_here_is_no_part_of_the_copy():
    event = threading.Event()
    waiter = threading.Thread(target=event.wait)
    waiter.start()
    waiting.until(lambda: event._cond._waiters)
    try:
        [part] = manyhands.explain([waiter, event]).parts
        assert part.path == "list[0]"
        assert manyhands.map(threading.Event.is_set, [event]) == [False]
    finally:
        event.set()
        waiter.join()
    assert manyhands.map(threading.Event.is_set, [event]) == [True]


@pytest.mark.parametrize("make", ["Queue", "SimpleQueue", "Lock", "Event", "Semaphore", "Condition"])
def test_what_is_for_children_of_multiprocessing_has_a_mend(make):
    [part] = manyhands.explain([getattr(multiprocessing, make)()]).parts
    assert part.path == "list[0]"
    assert "multiprocessing.Manager()" in part.mend
    assert "return values" in part.mend


def test_objects_of_a_manager_reach_it():
    with multiprocessing.Manager() as manager:
        numbers, names = manager.Queue(), manager.dict()

        def work(x):
            numbers.put(x)
            names[x] = str(x)

        manyhands.map(work, range(3))
        assert sorted(numbers.get() for _ in range(3)) == [0, 1, 2]
        assert names.copy() == {0: "0", 1: "1", 2: "2"}
        assert manyhands.map(lambda given: given[1], [names]) == ["1"]
        [back] = manyhands.map(lambda given: given, [names])
        assert back[2] == "2"
