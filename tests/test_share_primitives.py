"""Locks, semaphores, conditions, events, barriers and queues of several processes: as the standard library's, and after deaths."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import select
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import primitive_tasks as tasks
import pytest
import waiting

import manyhands
from manyhands import Manager
from manyhands.errors import LockAbandoned
from manyhands.sharing import _lanes, _primitives

pytestmark = pytest.mark.timeout(120)

KINDS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"]
ENDS = ["Lock", "RLock", "Condition"]  # of which the next holder is told that the last one has died


@pytest.fixture(params=["here", "manager"])
def make(request):
    """Makes primitives: of this process, or of a manager."""
    if request.param == "here":
        yield lambda name, *args: manyhands.share(getattr(_primitives, name)(*args))
        return
    with Manager() as manager:
        yield lambda name, *args: getattr(manager, name)(*args)


@pytest.fixture(params=["fork", "spawn"])
def start(request):
    """Starts processes of multiprocessing, which are killed at the end."""
    context = multiprocessing.get_context(request.param)
    started = []

    def begin(fn, *args):
        process = context.Process(target=fn, args=args, daemon=True)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()
        process.close()
    with contextlib.suppress(ProcessLookupError):
        forkserver._forkserver._stop()
        resource_tracker._resource_tracker._stop()


def kill(process):
    process.kill()
    process.join()


# ---------------------------------------------------------------- the dead give back


@pytest.mark.filterwarnings("ignore::manyhands.errors.LockAbandoned")
@pytest.mark.parametrize("name", KINDS)
def test_what_a_killed_process_held_is_given_back(make, start, name):
    thing, told = make(name), make("Queue")
    process = start(tasks.take, thing, told)
    told.get(timeout=30)
    assert not thing.acquire(timeout=0.01)
    kill(process)
    assert thing.acquire(timeout=30)
    thing.release()


@pytest.mark.filterwarnings("ignore::manyhands.errors.LockAbandoned")
@pytest.mark.parametrize("name", KINDS)
def test_whoever_waits_for_it_gets_it(make, start, name):
    thing, told = make(name), make("Queue")
    process = start(tasks.take, thing, told)
    told.get(timeout=30)
    thread = tasks.in_thread(tasks.take_and_end, thing)
    kill(process)
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("name", ENDS)
def test_the_next_holder_is_told_once(make, start, name):
    thing, told = make(name), make("Queue")
    process = start(tasks.take, thing, told)
    told.get(timeout=30)
    kill(process)
    with pytest.warns(LockAbandoned, match="died"), thing:
        pass
    with thing:
        pass


def test_a_release_by_hand_after_a_death_is_no_error(make, start):
    for name, error in (("Lock", RuntimeError), ("BoundedSemaphore", ValueError)):
        thing = make(name)
        start(tasks.take_and_end, thing).join()
        waiting.until(lambda thing=thing: not thing.locked())
        thing.release()
        with pytest.raises(error):
            thing.release()


def test_permits_of_the_dead(make, start):
    semaphore, told = make("Semaphore", 3), make("Queue")
    process = start(tasks.take_many, semaphore, 2, told)
    told.get(timeout=30)
    assert semaphore.acquire()
    assert semaphore.get_value() == 0
    kill(process)
    assert semaphore.acquire(timeout=30)
    assert semaphore.acquire(timeout=30)
    assert not semaphore.acquire(blocking=False)


def test_a_signal_that_was_consumed_does_not_come_back(make, start):
    semaphore, told = make("Semaphore", 0), make("Queue")
    semaphore.release(2)
    process = start(tasks.take_many, semaphore, 2, told)
    told.get(timeout=30)
    kill(process)
    assert not semaphore.acquire(timeout=0.05)


def test_a_permit_that_another_has_released_is_not_given_back_again(make, start):
    semaphore, told = make("BoundedSemaphore", 1), make("Queue")
    process = start(tasks.take_many, semaphore, 1, told)
    told.get(timeout=30)
    semaphore.release()
    kill(process)
    assert semaphore.acquire(timeout=30)
    assert not semaphore.acquire(timeout=0.05)


# ---------------------------------------------------------------- the dead take nothing


@pytest.fixture(params=["get", "get_later"])
def getting(request):
    """Ways to wait for an item."""
    return getattr(tasks, request.param)


def test_a_killed_getter_takes_no_item(make, start, getting):
    items, told = make("Queue"), make("Queue")
    dead = [start(getting, items, told) for _ in range(3)]
    for _ in dead:
        told.get(timeout=30)
    waiting.until(lambda: "3 waiting" in repr(items))
    for process in dead:
        kill(process)
    for n in range(3):
        items.put(n)
    assert [items.get(timeout=30) for _ in range(3)] == [0, 1, 2]


def test_items_on_their_way_to_a_stopped_process_that_is_killed_then(make, start, getting):
    items, told = make("Queue"), make("Queue")
    process = start(getting, items, told)
    told.get(timeout=30)
    waiting.until(lambda: "1 waiting" in repr(items))
    os.kill(process.pid, signal.SIGSTOP)
    waiting.until(lambda: _are_stopped(process.pid))
    items.put("first")
    items.put("second")
    assert items.qsize() == 1
    kill(process)
    waiting.until(lambda: items.qsize() == 2)
    assert [items.get(timeout=30), items.get(timeout=30)] == ["first", "second"]


def _are_stopped(pid):
    """Whether all threads of a process are."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def test_no_item_is_lost_by_kills(make, start):
    """Whatever has been taken out of the queue is told of, or was in the hands of one that was killed: one at most for each."""
    items, taken = make("Queue"), make("Queue")
    count, kills = 400, 6
    producer = tasks.in_thread(tasks.produce, items, range(count))
    for n in range(kills):
        process = start(tasks.drain, items, taken)
        waiting.until(lambda n=n: taken.qsize() > 5 * n)
        kill(process)
    producer.join()
    left = [items.get(timeout=30) for _ in range(items.qsize())]
    found = [taken.get(timeout=30) for _ in range(taken.qsize())] + left
    assert len(found) == len(set(found))
    assert len(found) >= count - kills


def test_a_killed_putter(make, start):
    items, told = make("Queue", 1), make("Queue")
    items.put("first")
    process = start(tasks.put, items, "second", told)
    told.get(timeout=30)
    waiting.until(lambda: "1 waiting" in repr(items))
    kill(process)
    assert items.get(timeout=30) == "first"
    items.put("third", timeout=30)


def test_a_killed_waiter_of_a_condition_does_not_count(make, start):
    condition, told = make("Condition"), make("Queue")
    dead = [start(tasks.wait_in, condition, told) for _ in range(2)]
    for _ in dead:
        told.get(timeout=30)
    living = start(tasks.wait_in, condition, told)
    told.get(timeout=30)
    with condition:  # so all of them wait
        pass
    for process in dead:
        kill(process)
    with condition:
        condition.notify()
    assert told.get(timeout=30) == "notified"
    living.join()


def test_a_killed_waiter_breaks_the_barrier(make, start):
    barrier, told = make("Barrier", 3), make("Queue")
    process = start(tasks.wait_at, barrier, told)
    told.get(timeout=30)
    waiting.until(lambda: barrier.n_waiting == 1)
    errors = []

    def wait():
        try:
            barrier.wait()
        except threading.BrokenBarrierError as error:
            errors.append(error)

    thread = tasks.in_thread(wait)
    waiting.until(lambda: barrier.n_waiting == 2)
    kill(process)
    thread.join(30)
    assert errors
    assert barrier.broken
    barrier.reset()
    assert (barrier.broken, barrier.n_waiting) == (False, 0)


# ---------------------------------------------------------------- interrupted calls


class Interrupted(BaseException):
    """What the handler of an alarm raises."""


@pytest.fixture
def alarm():
    def strike(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, strike)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.02)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_interrupted_get_takes_no_item(make, alarm):
    items = make("Queue")
    alarm()
    with pytest.raises(Interrupted):
        items.get()
    items.put(1)
    assert items.get(timeout=30) == 1


def test_a_reply_that_has_come_and_is_not_read_is_taken_back(monkeypatch):
    """As when the interrupt strikes between the two."""
    with Manager() as manager:
        items, free = manager.Queue(), manager.Lock()
        items.put(1)
        receive = _lanes.Lane.receive

        def interrupted(lane):
            if threading.current_thread() is not threading.main_thread():
                return receive(lane)
            monkeypatch.setattr(_lanes.Lane, "receive", receive)
            select.select([lane.socket], [], [], 30)
            raise Interrupted

        for take in (items.get, free.acquire):
            monkeypatch.setattr(_lanes.Lane, "receive", interrupted)
            with pytest.raises(Interrupted):
                take()
        assert items.get(timeout=30) == 1
        assert free.acquire(timeout=30)


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore"])
def test_an_interrupted_acquire_takes_nothing(make, alarm, name):
    thing = make(name)
    release = threading.Event()
    thread = tasks.in_thread(_hold, thing, release)
    waiting.until(lambda: thing.locked())
    alarm()
    with pytest.raises(Interrupted):
        thing.acquire()
    release.set()
    thread.join()
    assert thing.acquire(timeout=30)
    thing.release()


def _hold(thing, release):
    with thing:
        release.wait(30)


def test_an_interrupted_wait_has_the_lock_again(make, alarm):
    condition = make("Condition")

    def wait():
        with condition:
            alarm()
            condition.wait()

    with pytest.raises(Interrupted):
        wait()
    with condition:
        assert not condition.wait(0.01)


# ---------------------------------------------------------------- time-outs


def test_time_outs(make):
    lock, full, empty, barrier = make("Lock"), make("Queue", 1), make("Queue"), make("Barrier", 2)
    lock.acquire()
    full.put(0)
    assert not lock.acquire(timeout=0.01)
    assert not lock.acquire(blocking=False)
    assert not make("Semaphore", 0).acquire(timeout=0.01)
    assert not make("Event").wait(0.01)
    with pytest.raises(queue.Full):
        full.put(1, timeout=0.01)
    with pytest.raises(queue.Empty):
        empty.get(timeout=0.01)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    condition = make("Condition")
    with condition:
        assert not condition.wait(0.01)
        assert condition.wait_for(lambda: 0, 0.01) == 0
    assert not full.join(0.01)
    assert full.get() == 0
    full.put(1, timeout=0.01)


@pytest.mark.parametrize("name", ["Lock", "Semaphore", "Queue"])
def test_time_outs_that_are_none(make, name):
    thing = make(name)
    wait = thing.get if name == "Queue" else thing.acquire
    with pytest.raises(ValueError, match="non-negative"):
        wait(True, -2)


# ---------------------------------------------------------------- as the standard library's


def test_locks(make):
    lock, rlock = make("Lock"), make("RLock")
    assert lock.acquire()
    assert lock.locked()
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()
    results: list = []
    with rlock, rlock:
        other = tasks.in_thread(lambda: results.append((rlock.acquire(timeout=0.01), _raised(rlock.release))))
        other.join()
    assert results == [(False, RuntimeError)]
    assert not rlock.locked()
    with pytest.raises(RuntimeError):
        rlock.release()


def _raised(do):
    try:
        do()
    except Exception as error:
        return type(error)
    return None


def test_conditions(make):
    condition = make("Condition", make("Lock"))
    for forbidden in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match="un-acquired"):
            forbidden()
    woken = []

    def wait():
        with condition:
            woken.append(condition.wait(30))

    threads = [tasks.in_thread(wait) for _ in range(3)]
    waiting.until(lambda: "3 waiting" in repr(condition))
    with condition:
        condition.notify(2)
    waiting.until(lambda: len(woken) == 2)
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join()
    assert woken == [True] * 3
    with pytest.raises(TypeError, match="not a Lock"):
        make("Condition", 3)


def test_a_condition_of_a_lock_taken_twice(make):
    condition = make("Condition")
    with condition, condition:
        assert not condition.wait(0.01)
        assert not _acquired_elsewhere(condition)
    assert _acquired_elsewhere(condition)


def _acquired_elsewhere(lock):
    found = []
    tasks.in_thread(lambda: found.append(lock.acquire(blocking=False) and lock.release() is None)).join()
    return found[0]


def test_queues(make):
    items = make("Queue", 2)
    assert (items.empty(), items.full(), items.qsize()) == (True, False, 0)
    items.put([1])
    items.put({"a": 2})
    assert (items.empty(), items.full(), items.qsize()) == (False, True, 2)
    with pytest.raises(queue.Full):
        items.put_nowait(3)
    first = items.get()
    assert (type(first), first) == (list, [1])  # a value, not a proxy
    items.task_done()
    assert items.get() == {"a": 2}
    with pytest.raises(queue.Empty):
        items.get_nowait()
    items.task_done()
    items.join()
    with pytest.raises(ValueError, match="too many"):
        items.task_done()
    items.shutdown()
    with pytest.raises(_primitives.ShutDown):
        items.put(1)
    with pytest.raises(_primitives.ShutDown):
        items.get()


def test_a_queue_that_is_shut_down_wakes_those_who_wait(make):
    items = make("Queue")
    raised = []
    thread = tasks.in_thread(lambda: raised.append(_raised(items.get)))
    waiting.until(lambda: "1 waiting" in repr(items))
    items.shutdown()
    thread.join(30)
    assert raised == [_primitives.ShutDown]


def test_barriers(make):
    barrier, order = make("Barrier", 3), make("Queue")
    threads = [tasks.in_thread(lambda: order.put(barrier.wait())) for _ in range(6)]
    for thread in threads:
        thread.join()
    assert sorted(order.get() for _ in range(6)) == [0, 0, 1, 1, 2, 2]
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
    barrier.abort()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()


def test_the_action_of_a_barrier_is_called_once(make):
    called = make("Queue")
    barrier = make("Barrier", 2, lambda: called.put("called"))
    threads = [tasks.in_thread(barrier.wait) for _ in range(2)]
    for thread in threads:
        thread.join()
    assert called.qsize() == 1


def test_events(make):
    event = make("Event")
    woken = []
    threads = [tasks.in_thread(lambda: woken.append(event.wait(30))) for _ in range(3)]
    event.set()
    for thread in threads:
        thread.join()
    assert woken == [True] * 3
    assert event.is_set()
    event.clear()
    assert not event.is_set()


# ---------------------------------------------------------------- many processes


POOLS = {
    "manyhands": lambda: manyhands.Executor(max_workers=2),
    "fork": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("fork")),
    "spawn": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("pool", POOLS)
def test_one_at_a_time(make, pool, name):
    lock, shared = make(name), manyhands.share({"n": 0})
    with POOLS[pool]() as executor:
        for future in [executor.submit(tasks.increment, lock, shared, 20) for _ in range(4)]:
            future.result()
    assert shared["n"] == 80
    resource_tracker._resource_tracker._stop()


def test_producers_and_consumers(make):
    items, taken = make("Queue", 3), make("Queue")
    with manyhands.Executor(max_workers=4) as executor:
        futures = [executor.submit(tasks.produce, items, range(100 * n, 100 * n + 50)) for n in range(2)]
        futures += [executor.submit(tasks.consume, items, taken, 50) for _ in range(2)]
        for future in futures:
            future.result()
    found = [taken.get() for _ in range(100)]
    assert sorted(found) == [*range(50), *range(100, 150)]


def test_items_of_one_producer_come_in_order(make):
    items = make("Queue", 2)
    thread = tasks.in_thread(tasks.produce, items, range(200))
    assert [items.get(timeout=30) for _ in range(200)] == list(range(200))
    thread.join()


def test_a_method_that_uses_a_queue_keeps_what_it_has_taken(make):
    """Only what was asked of the queue itself goes back to it when nobody reads the answer."""
    items = make("Queue")
    drawer = manyhands.share(Drawer(items))
    items.put(1)
    with manyhands.Executor(max_workers=1) as executor:
        assert executor.submit(_fails, drawer).result()
    assert items.empty()


class Drawer:
    def __init__(self, items):
        self.items = items

    def draw(self):
        raise KeyError(self.items.get())


def _fails(drawer):
    try:
        drawer.draw()
    except KeyError:
        return True
    return False


def test_time_does_not_run_out_early(make):
    begin = time.monotonic()
    assert not make("Event").wait(0.05)
    assert time.monotonic() - begin >= 0.05
