"""One at a time: whoever is interrupted, and wherever."""

from __future__ import annotations

import sys
import threading

import pytest

from manyhands import lock, share
from manyhands.sharing import _monitors, _operations
from manyhands.sharing._monitors import Monitor

pytestmark = pytest.mark.timeout(120)


class Plain:
    def __init__(self):
        self.n = 0

    def inc(self):
        self.n += 1
        return self.n

    def __iter__(self):
        return iter([1, 2])


def interrupted_at(number, files, do):
    """Run it, and raise in the midst of that: before the ``number``-th instruction in these files. Whether there was one."""
    left = number

    def trace(frame, event, _):
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if not left:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def is_free(shared):
    found = []

    def look():
        try:
            with lock(shared, timeout=0):
                found.append(True)
        except TimeoutError:
            found.append(False)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


CALLS = {
    "a method": lambda c: c.inc(),
    "an attribute": lambda c: c.n,
    "setting one": lambda c: setattr(c, "n", 5),
    "a loop": lambda c: list(iter(c)),
    "a function": lambda c: lock.run(c, Plain.inc),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_interrupted_anywhere_leaves_nothing_taken(name):
    files = {_monitors.__file__, _operations.__file__}
    c = share(Plain())
    interrupted_at(10**9, files, lambda: CALLS[name](c))  # Python 3.12 tells of instructions from the second time on
    number = 1
    while interrupted_at(number, files, lambda: CALLS[name](c)):
        assert is_free(c), f"at instruction {number}"
        number += 1
    assert number > 20
    with lock(c):  # what was taken before is kept
        for earlier in range(1, number):
            interrupted_at(earlier, files, lambda: CALLS[name](c))
            assert not is_free(c)
    assert is_free(c)


def test_a_wait_that_is_interrupted_anywhere_keeps_nobody_waiting():
    for number in range(1, 80):
        c = share(Plain())
        held, release = threading.Event(), threading.Event()

        def hold(c=c, held=held, release=release):
            with lock(c):
                held.set()
                release.wait(30)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(30)
        others = [threading.Thread(target=c.inc) for _ in range(2)]
        for other in others:
            other.start()
        timer = threading.Timer(0.001, release.set)
        timer.start()
        interrupted_at(number, {_monitors.__file__}, c.inc)
        release.set()
        for thread in (holder, timer, *others):
            thread.join(30)
            assert not thread.is_alive()
        assert is_free(c)


def test_many_threads_are_in_it_one_at_a_time():
    monitor, inside, most, done = Monitor(), 0, 0, []

    def use(caller):
        nonlocal inside, most
        for turn in range(300):
            if not monitor.enter(caller, 0.0005 if turn % 3 else -1):
                continue
            monitor.enter(caller)
            inside += 1
            most = max(most, inside)
            inside -= 1
            monitor.leave()
            monitor.leave()
            if turn % 50 == 0:
                monitor.await_free()
        done.append(caller)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=use, args=(caller,)) for caller in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert (sorted(done), most, monitor.holder, monitor.depth) == (list(range(1, 9)), 1, None, 0)
