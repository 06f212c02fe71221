"""A fault in the engine itself, wherever it strikes: whoever waits is told, and the next call works."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest
import tasks

import manyhands
from manyhands import errors
from manyhands._core import scheduler as scheduling
from manyhands._core import windows
from manyhands._core.batching import FunctionCost
from manyhands._core.ready import ReadyQueue
from manyhands._engine import _dispatcher
from manyhands._engine._crew import Crew
from manyhands._engine._outcomes import Outcomes


class Fault(Exception):
    """What no part of the engine knows of."""


PLACES = [
    (scheduling.Scheduler, "submit"),
    (ReadyQueue, "put"),
    (scheduling.Scheduler, "_worker_for"),
    (scheduling.Scheduler, "_send"),
    (windows, "append"),
    (_dispatcher.Dispatcher, "_send"),
    (Crew, "flush"),
    (Crew, "read"),
    (scheduling.Scheduler, "reported"),
    (windows, "settle"),
    (Outcomes, "results"),
    (FunctionCost, "measured"),
]


@pytest.fixture(params=PLACES, ids=[f"{getattr(owner, '__name__', owner)}.{name}" for owner, name in PLACES])
def fault(request, monkeypatch):
    """Makes a piece of the engine fail once: the ``n``-th time that it is used from then on, before it does its work or after."""
    owner, name = request.param
    original = getattr(owner, name)

    def strike(n, *, afterwards):
        uses = iter(range(1, 1_000_000))

        def struck(*args, **kwargs):
            due = next(uses) == n
            if due and not afterwards:
                raise Fault(name)
            result = original(*args, **kwargs)
            if due:
                raise Fault(name)
            return result

        monkeypatch.setattr(owner, name, struck)

    return strike


def is_told(error: BaseException) -> bool:
    return isinstance(error, errors.InternalError) and isinstance(error.__cause__, Fault)


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_call_ends_with_an_error_that_says_so(fault, afterwards, ordered):
    assert manyhands.map(tasks.square, [1, 2], workers=2) == [1, 4]
    fault(3, afterwards=afterwards)
    with pytest.raises(errors.InternalError, match="started anew: Fault") as caught:
        manyhands.map(tasks.square, range(1000), workers=2, chunk=1, ordered=ordered)
    assert is_told(caught.value)
    assert manyhands.map(tasks.square, range(100), workers=2) == [n * n for n in range(100)]


@pytest.mark.parametrize("afterwards", [False, True])
def test_every_future_ends(fault, afterwards):
    with manyhands.Executor(2) as executor:
        assert executor.submit(tasks.square, 3).result() == 9
        fault(3, afterwards=afterwards)
        futures = [executor.submit(tasks.square, n) for n in range(500)]
        _, not_done = concurrent.futures.wait(futures, timeout=30)
        assert not not_done
        for n, future in enumerate(futures):
            error = future.exception()
            assert is_told(error) if error else future.result() == n * n
        assert any(map(is_told, (future.exception() for future in futures)))
        assert executor.submit(tasks.square, 4).result() == 16


def test_a_callback_of_a_lost_future_may_wait_for_another(monkeypatch):
    found = []
    with manyhands.Executor(1) as executor:
        assert executor.submit(tasks.square, 3).result() == 9
        futures = [executor.submit(tasks.spin, 0.05) for _ in range(4)]
        for future, other in zip(futures, reversed(futures), strict=True):
            future.add_done_callback(lambda _, other=other: found.append(other.exception(timeout=20)))
        monkeypatch.setattr(scheduling.Scheduler, "reported", _raise)
        concurrent.futures.wait(futures, timeout=30)
        monkeypatch.undo()
        assert executor.submit(tasks.square, 4).result() == 16
    assert len(found) == 4
    assert all(map(is_told, found))


def test_other_threads_that_wait_are_told(fault):
    together = threading.Barrier(4)
    ends, unharmed = [], []

    def call():
        try:
            unharmed.append(len(manyhands.map(tasks.square, inputs(), workers=2, chunk=1)))
        except errors.InternalError as error:
            ends.append(error)

    def inputs():
        yield from range(3)
        together.wait(30)
        together.wait(30)
        yield from range(200)

    assert manyhands.map(tasks.square, [1, 2], workers=2) == [1, 4]
    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    together.wait(30)
    fault(5, afterwards=False)
    together.wait(30)
    for thread in threads:
        thread.join(30)
    # One that had nothing under way just then, since its thread had no turn, goes on.
    assert len(ends) + len(unharmed) == 3
    assert ends
    assert set(unharmed) <= {203}
    assert all(map(is_told, ends))
    assert manyhands.map(tasks.square, [1, 2], workers=2) == [1, 4]


def test_cancelling_is_answered(monkeypatch):
    with manyhands.Executor(1) as executor:
        running, waiting = executor.submit(tasks.square, 1), executor.submit(tasks.square, 2)
        with monkeypatch.context() as patched:
            patched.setattr(scheduling.Scheduler, "cancel_batch", _raise)
            waiting.cancel()
        concurrent.futures.wait([running, waiting], timeout=30)
        assert running.done()
        assert waiting.done()
        assert executor.submit(tasks.square, 4).result() == 16


def _raise(*_):
    raise Fault("cancel_batch")
