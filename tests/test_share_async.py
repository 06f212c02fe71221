"""Shared objects in event loops."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading

import pytest
import share_async
from share_async import Service
from waiting import until

import manyhands
from manyhands import errors, later, lock, share

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=["here", "there"])
def service(request):
    """An object of this process, or of another."""
    return share(Service()) if request.param == "here" else share.new(Service)


@pytest.fixture
def there():
    """Runs functions in another process."""
    with manyhands.Executor(max_workers=1) as executor:
        yield lambda fn, *args: executor.submit(fn, *args).result()


def test_coroutine_methods_are_awaited(service):
    assert inspect.iscoroutinefunction(service.fetch)
    assert asyncio.run(share_async._fetch(service, 4)) == 8
    with pytest.raises(ValueError, match="on purpose"):
        asyncio.run(service.fail())


def test_several_run_at_once(service):
    async def main():
        return await asyncio.gather(*(service.fetch(x) for x in range(30)))

    assert asyncio.run(main()) == [2 * x for x in range(30)]
    assert service.most > 10


def test_a_coroutine_that_a_method_returns_is_awaited(service):
    async def main():
        return await service.later_on()

    assert asyncio.run(main()) == 42


def test_async_iteration(service):
    async def main():
        return [number async for number in service.numbers(5)]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_async_with(service):
    async def main():
        async with service as entered:
            assert entered is service
            assert list(service.seen) == ["in"]

    asyncio.run(main())
    assert list(service.seen) == ["in", "out"]


def test_cancellation_reaches_the_coroutine(service):
    async def main():
        task = asyncio.ensure_future(service.for_ever())
        while not service.seen:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await service.for_ever()

    asyncio.run(main())
    until(lambda: list(service.seen) == ["begun", "cancelled"] * 2)


def test_a_client_that_dies_takes_its_coroutines_along():
    service = share.new(Service)
    process = manyhands.Process(target=share_async.fetch_and_die, args=(service,))
    process.start()
    with pytest.raises(errors.WorkerDied):
        process.join()
    until(lambda: list(service.seen) == ["begun", "cancelled"])


def test_an_owner_that_dies_is_said():
    with share.keeper() as keeper:
        service = keeper.new(Service)

        async def main():
            task = asyncio.ensure_future(service.for_ever())
            while not service.seen:
                await asyncio.sleep(0)
            os.kill(keeper.pid, signal.SIGKILL)
            await task

        with pytest.raises(errors.OwnerDied):
            asyncio.run(main())


def test_each_step_is_alone_with_the_object(there):
    service = share.new(Service)

    async def main():
        await asyncio.gather(*(service.inc_in_steps() for _ in range(5)))

    hammering = threading.Thread(target=lambda: [service.inc() for _ in range(300)])
    hammering.start()
    asyncio.run(main())
    hammering.join()
    assert service.n == 350


def test_coroutines_of_one_object_await_those_of_another():
    with share.keeper() as one, share.keeper() as other:
        assert asyncio.run(share_async.Service.call(one.new(Service), other.new(Service))) == 6
        first, second = one.new(Service), other.new(Service)

        async def main():
            return await first.call(second)

        assert asyncio.run(main()) == 6


def test_what_is_shared_in_a_loop_runs_there(there):
    async def main():
        service = share(Service())
        mine = id(asyncio.get_running_loop())
        assert await service.loop_id() == mine
        found = await asyncio.to_thread(there, share_async.fetch, service, 3)
        assert found == 6
        assert await asyncio.to_thread(lambda: later(service).loop_id().result(20)) == mine

    asyncio.run(main())


def test_the_loop_goes_on_while_somebody_waits_for_a_lock():
    service = share.new(Service)
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with lock(service):
            entered.set()
            leave.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(20)

    async def main():
        waiting = asyncio.ensure_future(service.inc_in_steps())
        ticks = 0
        while ticks < 100:
            await asyncio.sleep(0)
            ticks += 1
        assert not waiting.done()
        with pytest.raises(TimeoutError):
            async with lock(service, timeout=0.01):
                pass
        leave.set()
        await waiting
        async with lock(service):
            assert service.n == 10

    asyncio.run(main())
    holder.join()


# ---------------------------------------------------------------- async with lock


def test_transactions_of_tasks_exclude_one_another(service, there):
    with manyhands.Executor(max_workers=2) as executor:
        futures = [executor.submit(share_async.in_a_loop, service, 10) for _ in range(2)]
        share_async.in_a_loop(service, 10)
        for future in futures:
            future.result()
    assert service.n == 90


def test_a_task_does_what_it_likes_in_its_transaction(service):
    async def main():
        async with lock(service):
            service.n = 5
            await service.inc_in_steps()
            async with lock(service):
                service.inc()
            assert service.n == 16

    asyncio.run(main())


def test_a_task_that_would_wait_for_ever_is_told_so(service):
    async def other():
        with pytest.raises(errors.WouldDeadlock, match="another task"):
            service.inc()

    async def main():
        begun = asyncio.Event()

        async def hold():
            async with lock(service):
                begun.set()
                await asyncio.sleep(0.05)

        holding = asyncio.ensure_future(hold())
        await begun.wait()
        await other()
        await holding
        service.inc()

    asyncio.run(main())
    assert service.n == 1


def test_who_is_cancelled_while_waiting_does_not_keep_the_lock(service):
    async def main():
        async with lock(service):
            waiting = asyncio.create_task(share_async.transact(service, 1, lock), context=_empty())
            await asyncio.sleep(0.02)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with lock(service, timeout=20):
            return service.n

    assert asyncio.run(main()) == 0


def _empty():
    import contextvars

    return contextvars.Context()
