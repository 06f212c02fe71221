"""How long a shared object is kept for those to whom its proxy is on its way."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest
import shared_things
import waiting
from shared_things import Counter

import manyhands
from manyhands import lock, share
from manyhands.errors import NotShared
from manyhands.sharing import _table

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def long_lease(monkeypatch):
    """What is gone within a test is so because nobody has it any more."""
    monkeypatch.setattr(_table, "LEASE", 600.0)


@pytest.fixture
def executor():
    with manyhands.Executor(max_workers=2) as executor:
        yield executor


class Watched(Counter):
    def __init__(self, gone):
        super().__init__()
        self._gone = gone

    def __del__(self):
        self._gone.set()


def watched():
    """A shared object, and an event that tells that it is gone."""
    gone = threading.Event()
    return share(Watched(gone)), gone


def is_over(gone):
    gc.collect()
    return gone.wait(10)


# ---------------------------------------------------------------- our own pools


def test_an_argument_is_kept_until_its_task_has_ended(executor):
    c, gone = watched()
    results = [executor.submit(shared_things.inc, c) for _ in range(20)]
    del c
    assert all(result.result() for result in results)
    del results
    assert is_over(gone)


def count_with(counter):
    return lambda _: counter.inc()


def test_what_a_function_holds_is_kept_as_long_as_it_is_called(executor):
    c, gone = watched()
    assert sorted(executor.map(count_with(c), range(20))) == list(range(1, 21))
    del c
    assert is_over(gone)


def test_what_map_is_given():
    c, gone = watched()
    assert len(manyhands.map(shared_things.inc, [c] * 10, workers=2)) == 10
    assert len(manyhands.map(count_with(c), range(10), workers=2)) == 10
    del c
    assert is_over(gone)


def test_an_argument_is_kept_while_it_waits(executor, monkeypatch):
    monkeypatch.setattr(_table, "LEASE", 0.0)
    c, gone = watched()
    with lock(c):
        running = [executor.submit(shared_things.inc, c) for _ in range(2)]
        waits = executor.submit(shared_things.inc, c)
    del c
    assert waits.result()
    assert [result.result() > 0 for result in running] == [True, True]
    del running, waits
    assert is_over(gone)


def keep(c):
    shared_things.kept.append(c)


def use():
    return shared_things.kept.pop().inc()


def test_what_a_task_keeps_is_kept_for_it():
    """Its owner knows of it before the result is there, after which nobody else has it."""
    with manyhands.Executor(max_workers=1) as executor:
        for _ in range(50):
            c = share(Counter())
            executor.submit(keep, c).result()
            del c
            assert executor.submit(use).result() == 1


def made():
    return share(Counter(3))


def count_entries():
    gc.collect()
    return len(_table.here.table.entries)


def test_what_a_task_returns_is_kept_until_nobody_has_it():
    with manyhands.Executor(max_workers=1) as executor:
        c = executor.submit(made).result()
        assert c.inc() == 4
        assert executor.submit(count_entries).result() == 1
        del c
        waiting.until(lambda: executor.submit(count_entries).result() == 0)


def test_what_comes_back_is_what_was_sent(executor):
    c, gone = watched()
    assert executor.submit(itself, c).result() is c
    back = executor.submit(itself, c).result()
    del c
    assert back.inc() == 1
    del back
    assert is_over(gone)


def itself(c):
    return c


def test_what_cannot_be_sent_keeps_nothing(executor):
    c, gone = watched()
    with pytest.raises(manyhands.NotSerializable):
        executor.submit(shared_things.inc, c, (n for n in ())).result()
    del c
    assert is_over(gone)


# ---------------------------------------------------------------- other ways


def read_and_use(queue):
    queue.get().inc()


@pytest.mark.parametrize("make", ["Queue", "SimpleQueue"])
def test_queues_of_the_standard_library(make):
    c, gone = watched()
    context = multiprocessing.get_context("fork")
    queue = getattr(context, make)()
    process = context.Process(target=read_and_use, args=(queue,))
    process.start()
    queue.put(c)
    process.join()
    assert (process.exitcode, c.n) == (0, 1)
    queue.close()
    if make == "Queue":
        queue.join_thread()
    process.close()
    del c
    assert is_over(gone)


def test_pools_of_the_standard_library():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        pool.submit(os.getpid).result()  # what is there when it is forked, it has
        c, gone = watched()
        for _ in range(20):
            pool.submit(keep, c).result()
            assert pool.submit(use).result()
        assert c.n == 20
        del c
        assert is_over(gone)


def test_a_forked_child_keeps_what_it_has_as_long_as_it_is_there():
    c, gone = watched()
    ours, theirs = multiprocessing.Pipe()
    pid = os.fork()
    if not pid:
        ours.close()
        theirs.recv()
        theirs.send(c.inc())
        theirs.recv()
        os._exit(0)
    theirs.close()
    del c
    gc.collect()
    ours.send("use it")
    assert ours.recv() == 1
    assert not gone.is_set()
    waiting.until(lambda: not _table.here.table._promised)  # the child has told that it has come
    ours.send("end")
    assert os.waitpid(pid, 0)[1] == 0
    ours.close()
    assert is_over(gone)


def test_arguments_that_are_proxies_of_a_third_process():
    """The one that hands it on has let go of it before the other one uses it."""
    with share.keeper() as one, share.keeper() as other:
        for _ in range(20):
            c, items = one.new(Counter), other.new(list)
            items.append(c)
            del c
            gc.collect()
            assert items[0].inc() == 1
        items.clear()
        del items
        gc.collect()
        table = one.new(Entries)
        waiting.until(lambda: table.count() == 1)


class Entries:
    def count(self):
        return count_entries()


def test_any_other_pickle_can_be_read_again_and_again():
    c, gone = watched()
    data = pickle.dumps(c)
    del c
    for expected in range(1, 4):
        assert pickle.loads(data).inc() == expected
        gc.collect()
    assert not gone.is_set()


def test_the_time_of_a_pickle_ends_though_nothing_else_happens(monkeypatch):
    with manyhands.Executor(max_workers=1) as executor:  # the thread that looks to it runs, and waits
        c = share(Counter())
        executor.submit(itself, c).result()
    monkeypatch.setattr(_table, "LEASE", 0.2)
    data = pickle.dumps(c)
    del c
    gc.collect()
    waiting.until(lambda: not count_entries())
    with pytest.raises(NotShared):
        pickle.loads(data)


def test_what_is_closed_is_gone_though_a_pickle_is_under_way():
    c, gone = watched()
    pickle.dumps(c)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    queue.put(c)
    share.close(c)
    del c
    assert is_over(gone)
    queue.close()
