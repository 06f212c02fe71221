"""Calls of shared objects that are not waited for, and several in one message."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import signal
import threading

import pytest
from share_async import Log, Service
from waiting import until

import manyhands
from manyhands import batch, errors, later, lock, share

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=["here", "there"])
def log(request):
    """An object of this process, or of another."""
    return share(Log()) if request.param == "here" else share.new(Log)


@pytest.fixture
def there():
    """Runs functions in another process."""
    with manyhands.Executor(max_workers=1) as executor:
        yield lambda fn, *args: executor.submit(fn, *args).result()


# ---------------------------------------------------------------- later


WAYS = {
    "a call": lambda items, what: items.append(what),
    "later": lambda items, what: later(items).append(what),
    "a batch": lambda items, what: in_a_batch(items, what),
    "a new one": lambda _, what: share.new(list, what),
}


def in_a_batch(items, what):
    with batch(items) as b:
        b.append(what)


@pytest.mark.parametrize("way", WAYS)
def test_what_cannot_be_sent_is_named_with_advice_for_calls(way):
    with pytest.raises(manyhands.NotSerializable, match=r"^argument 0 \(a generator\) cannot be sent") as caught:
        WAYS[way](share.new(list), (n for n in ()))
    assert "make the generator in a method of the object" in str(caught.value)
    assert "share() it" in caught.value.__notes__[0]


def test_a_call_later_gives_a_future(log):
    future = later(log).add("a")
    assert isinstance(future, manyhands.Future)
    assert future.result(20) == 1
    assert future.done()
    assert list(log.seen) == ["a"]
    with pytest.raises(ValueError, match="on purpose"):
        later(log).fail("on purpose").result(20)
    assert later(log)[0].result(20) == "a"


def test_the_calls_of_a_thread_keep_their_order(log):
    futures = [later(log).add(n) for n in range(500)]
    assert [future.result(20) for future in futures] == list(range(1, 501))
    assert list(log.seen) == list(range(500))


def test_the_calls_of_several_threads_exclude_one_another(log):
    def hammer():
        futures = [later(log).inc() for _ in range(100)]
        for _ in range(100):
            log.inc()
        concurrent.futures.wait(futures, timeout=30)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.n == 800


def test_no_reply_is_no_future(log):
    assert later(log, reply=False).add("a") is None
    assert later(log).add("b").result(20) == 2  # after it


def test_what_a_call_without_reply_raises_is_logged(caplog):
    log = share(Log())
    with caplog.at_level(logging.ERROR, "manyhands"):
        later(log, reply=False).fail("unheard of")
        later(log).pid().result(20)
    assert "unheard of" in caplog.text


def test_a_call_that_has_not_started_is_cancelled(log):
    waiting = later(log).wait()
    second = later(log).add("never")
    third = later(log).add("in its turn")
    assert second.cancel()
    assert second.cancelled()
    log.open()
    assert waiting.result(20) is True
    assert third.result(20) == 1
    assert not waiting.cancel()
    assert list(log.seen) == ["in its turn"]
    with pytest.raises(concurrent.futures.CancelledError):
        second.result()


def test_a_coroutine_that_runs_is_cancelled_when_that_is_asked_for():
    service = share.new(Service)
    future = later(service).for_ever()
    until(lambda: list(service.seen) == ["begun"])
    assert not future.cancel()
    assert future.cancel(running=True)
    until(lambda: list(service.seen) == ["begun", "cancelled"])
    assert later(service).fetch(4).result(20) == 8


def test_futures_are_awaited(log):
    async def main():
        return await asyncio.gather(*(later(log).inc() for _ in range(20)))

    assert sorted(asyncio.run(main())) == list(range(1, 21))


def test_a_timeout_leaves_the_call_alone(log):
    waiting = later(log).wait()
    with pytest.raises(TimeoutError):
        waiting.result(0.01)
    log.open()
    assert waiting.result(20) is True


def test_later_in_a_transaction_does_not_wait_for_its_end(log):
    with lock(log):
        assert later(log).add("a").result(20) == 1


def test_a_future_ends_when_its_owner_dies():
    with share.keeper() as keeper:
        log = keeper.new(Log)
        waiting = later(log).wait()
        os.kill(keeper.pid, signal.SIGKILL)
        with pytest.raises(errors.OwnerDied):
            waiting.result(20)
        with pytest.raises(errors.OwnerDied):
            later(log).add("a")


def test_what_cannot_be_sent_is_said_at_the_call():
    log = share.new(Log)
    with pytest.raises(errors.NotSerializable):
        later(log).add(x for x in "abc")
    assert later(log).add("a").result(20) == 1


def test_arguments_and_results_go_as_they_always_do():
    log = share.new(Log)
    mine = share([1])
    later(log).add(mine).result(20)
    assert log[0] is mine


def test_a_thread_that_ends_leaves_its_calls_to_be_run():
    log = share.new(Log)
    thread = threading.Thread(target=lambda: [later(log, reply=False).add(n) for n in range(200)])
    thread.start()
    thread.join()
    until(lambda: len(log.seen) == 200)
    until(lambda: not any(thread.name == "manyhands-share-later" for thread in threading.enumerate()))


def test_a_forked_child_makes_calls_of_its_own():
    log = share.new(Log)
    later(log).add("parent").result(20)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if later(log).add("child").result(20) == 2 else 2
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert later(log).add("parent again").result(20) == 3


def test_later_takes_shared_objects():
    with pytest.raises(TypeError, match=r"later\(\) takes"):
        later([])


# ---------------------------------------------------------------- batch


def test_a_batch_is_one_message(log):
    with batch(log) as b:
        first = b.add("a")
        b.n = 7
        b.inc(k=3)
        item = b[0]
        with pytest.raises(RuntimeError, match="not been sent"):
            first.result()
        assert list(log.seen) == []
    assert (first.result(), item.result(), log.n) == (1, "a", 10)


def test_nobody_is_in_between(there):
    log = share.new(Log)

    def hammer(log):
        for _ in range(50):
            with batch(log) as b:
                for _ in range(10):
                    b.inc()

    with manyhands.Executor(max_workers=2) as executor:
        list(executor.map(hammer, [log] * 4))
    assert log.n == 2000


def test_the_first_call_that_fails_ends_a_batch(log):
    with pytest.raises(ValueError, match="on purpose"), batch(log) as b:  # noqa: PT012 - a block is what is tested
        before = b.add("a")
        b.fail("on purpose")
        after = b.add("b")
    assert before.result() == 1
    with pytest.raises(RuntimeError):
        after.result()
    assert list(log.seen) == ["a"]


def test_nothing_is_sent_when_the_block_fails(log):
    with pytest.raises(KeyError), batch(log) as b:  # noqa: PT012 - as above
        b.add("a")
        raise KeyError
    assert list(log.seen) == []


def test_live_parts_come_by_reference_from_a_batch():
    shared = share.new(dict, {"a": [1]})
    with batch(shared) as b:
        part = b["a"]
        copied = b.copy()
    part.result().append(2)
    assert shared["a"] == [1, 2]
    assert copied.result() == {"a": [1]}


def test_what_cannot_be_sent_in_a_batch_is_said():
    log = share.new(Log)
    with pytest.raises(errors.NotSerializable, match="generator"), batch(log) as b:  # noqa: PT012 - as above
        b.add(1)
        b.add(x for x in "abc")
    assert list(log.seen) == []
