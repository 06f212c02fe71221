"""Shared objects in the hands of many processes and threads at once, whose calls are interrupted at any time."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings

import pytest
import share_clients
import waiting
from shared_things import Counter

from manyhands import lock, share, snapshot
from manyhands.errors import LockAbandoned

pytestmark = pytest.mark.timeout(120)
PROCESSES = 16
TIMES = 20


def forked(count, work, *args):
    """Have so many children do something."""
    pids = []
    for me in range(count):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                signal.alarm(100)
                work(me, *args)
                code = 0
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(code)
        pids.append(pid)
    return pids


def all_well(pids):
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)


def use_all(me, c, numbers, lines, table):
    """A bit of everything, and the same again in a child that is forked in the midst."""
    for i in range(TIMES):
        with lock(c):
            c.n += 1
        c.inc()
        numbers.append(next(c.squares))
        lines.append((me, os.getpid(), i))
        table[me] = table.get(me, 0) + 1
        c.table.update({me: i})
        if i == TIMES // 2 and me % 4 == 0:
            all_well(forked(1, use_few, c))


def use_few(_, c):
    for _ in range(TIMES):
        c.inc()


def test_many_processes():
    c, numbers, lines, table = share(Counter()), share([]), share([]), share({})
    c.squares  # noqa: B018 - all children have its proxy
    all_well(forked(PROCESSES, use_all, c, numbers, lines, table))
    assert c.n == 2 * PROCESSES * TIMES + PROCESSES // 4 * TIMES
    assert sorted(snapshot(numbers)) == [i * i for i in range(PROCESSES * TIMES)]
    for me in range(PROCESSES):
        assert [i for who, _, i in snapshot(lines) if who == me] == list(range(TIMES))
    assert len(lines) == PROCESSES * TIMES
    assert table == dict.fromkeys(range(PROCESSES), TIMES)
    assert c.table == dict.fromkeys(range(PROCESSES), TIMES - 1)
    del c, numbers, lines, table
    share_clients.nothing_is_kept()


def use_in_threads(me, c, lines):
    def work(thread):
        for i in range(TIMES):
            with lock(c):
                c.n += 1
            c.items.append([me, thread, i])
            lines.append((me, thread, i))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    if me % 2:
        all_well(forked(1, use_few, c))
    for thread in threads:
        thread.join()


def test_threads_of_many_processes_that_fork():
    c, lines = share(Counter()), share([])
    all_well(forked(PROCESSES // 2, use_in_threads, c, lines))
    assert c.n == PROCESSES // 2 * 4 * TIMES + PROCESSES // 4 * TIMES
    expected = [(me, thread, i) for me in range(PROCESSES // 2) for thread in range(4) for i in range(TIMES)]
    assert sorted(snapshot(lines)) == sorted(map(tuple, snapshot(c.items))) == expected
    del c, lines
    share_clients.nothing_is_kept()


def use_interrupted(me, c, done, times):
    """Calls and transactions that are left at any time. What a transaction does, it does at once: by one call."""
    warnings.simplefilter("ignore", LockAbandoned)  # an interrupted transaction ends with its connection
    signal.signal(signal.SIGINT, signal.default_int_handler)
    c.inc(0)
    for i in range(times):
        timer = threading.Timer(0.001 * ((me + i) % 7), os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            while True:
                before = c.n
                assert c.inc() > before
                c.items.append(None)
                with lock(c):
                    n = c.n
                    c.table[me] = n
                    assert c.table[me] == n == c.n
        except KeyboardInterrupt:
            timer.join()
    c.inc(0)
    waiting.until(lambda: not any(thread.name == "manyhands-share-late" for thread in threading.enumerate()))
    done[me] = True


def test_many_processes_whose_calls_are_interrupted():
    c, done = share(Counter()), share({})
    all_well(forked(PROCESSES, use_interrupted, c, done, 12))
    with warnings.catch_warnings(action="ignore", category=LockAbandoned), lock(c, timeout=20):
        assert c.n >= len(c.items)
    assert sorted(done) == list(range(PROCESSES))
    del c, done
    share_clients.nothing_is_kept()
