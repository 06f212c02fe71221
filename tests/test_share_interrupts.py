"""Ctrl-C in the midst of calls of shared objects: it spoils none that comes after it."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

import pytest
from waiting import until

from manyhands import Manager, batch, later, lock, share
from manyhands.sharing import _primitives

pytestmark = pytest.mark.timeout(120)


@share.concurrent
class Gate:
    """Somebody waits in there."""

    def __init__(self):
        self._entered = threading.Event()
        self._opened = threading.Event()
        self._n = 0
        self._is_cancelled = False

    def wait(self):
        self._entered.set()
        assert self._opened.wait(60)
        return "through"

    async def wait_in_a_loop(self):
        self._entered.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self._is_cancelled = True
            raise

    def inc(self):
        self._n += 1
        return self._n

    def echo(self, what):
        return what

    def open(self):
        self._opened.set()

    def is_entered(self):
        return self._entered.is_set()

    def is_cancelled(self):
        return self._is_cancelled

    def count(self):
        return self._n


@pytest.fixture(params=["here", "there"])
def gate(request):
    made = share(Gate()) if request.param == "here" else share.new(Gate)
    yield made
    made.open()


@pytest.fixture(params=["here", "there"])
def items(request):
    if request.param == "here":
        yield share(_primitives.Queue())
    else:
        with Manager() as manager:
            yield manager.Queue()


def interrupt(do, is_under_way):
    """Ctrl-C when it is under way. Again and again: one that comes just before a thread begins to wait is seen when it has."""
    main, begun, struck = threading.get_ident(), threading.Event(), threading.Event()

    def raise_once(*_):
        if not struck.is_set():
            struck.set()
            raise KeyboardInterrupt

    def strike():
        begun.wait(30)
        until(is_under_way)
        until(lambda: struck.is_set() or signal.pthread_kill(main, signal.SIGINT))

    before = signal.signal(signal.SIGINT, raise_once)
    thread = threading.Thread(target=strike)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            do(begun.set())
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)


def works(gate):
    return [gate.echo(n) for n in range(20)] == list(range(20))


def test_in_a_call(gate):
    interrupt(lambda _: gate.wait(), gate.is_entered)
    assert works(gate)


def test_while_the_result_of_a_later_call_is_waited_for(gate):
    future = later(gate).wait()
    after = later(gate).inc()
    interrupt(lambda _: future.result(), gate.is_entered)
    assert works(gate)
    gate.open()
    assert (future.result(30), after.result(30)) == ("through", 1)


def test_in_a_batch(gate):
    """What has been sent is done."""

    def do(_):
        with batch(gate) as b:
            b.inc()
            b.wait()

    interrupt(do, gate.is_entered)
    assert works(gate)
    gate.open()
    with batch(gate) as b:
        counted = b.inc()
    assert counted.result() == 2


def test_while_a_coroutine_is_awaited(gate):
    """It is cancelled."""

    async def wait():
        await gate.wait_in_a_loop()

    main = threading.get_ident()

    def is_awaited():
        return gate.is_entered() and sys._current_frames()[main].f_code.co_name == "select"

    interrupt(lambda _: asyncio.run(wait()), is_awaited)
    until(gate.is_cancelled)
    assert works(gate)


@pytest.mark.filterwarnings("ignore::manyhands.errors.LockAbandoned")  # the next one is told
def test_in_a_transaction(gate):
    """It ends; whoever comes next has the object."""

    def do(_):
        with lock(gate):
            gate.wait()

    interrupt(do, gate.is_entered)
    free = []

    def take():
        with lock(gate, timeout=30):
            free.append(gate.inc())

    thread = threading.Thread(target=take)
    thread.start()
    gate.open()
    thread.join()
    assert free == [1]


def is_waited_for(items):
    return lambda: "1 waiting" in repr(items)


def test_in_get(items):
    interrupt(lambda _: items.get(), is_waited_for(items))
    items.put("kept")
    assert items.get(timeout=30) == "kept"


def test_while_an_item_is_waited_for_that_comes_later(items):
    future = later(items).get()
    interrupt(lambda _: future.result(), is_waited_for(items))
    items.put("kept")
    assert future.result(30) == "kept"
    assert items.empty()
