"""Coroutines that wait for tasks, under asyncio's own event loop and uvloop's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import threading
import time
import weakref

import pytest
import tasks
import waiting

import manyhands


@pytest.fixture(scope="module", autouse=True)
def _what_uvloop_keeps():
    """A pipe for signals, from the first loop on."""
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """``asyncio.run`` on the loop of that name."""
    factory = None if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run(main):
        with asyncio.Runner(loop_factory=factory) as runner:
            assert type(runner.get_loop()).__module__.partition(".")[0].startswith(request.param)
            return runner.run(main)

    return run


@pytest.fixture
def executor():
    with manyhands.Executor(2) as executor:
        yield executor


def begin(folder):
    """A task that does not end by itself."""
    tasks.note(folder, "began")
    time.sleep(60)


async def begun(folder, count=1):
    """The pids of those that have."""
    return [int(text) for text in await asyncio.to_thread(waiting.noted, folder, "began", count)]


async def gone(pids):
    await asyncio.to_thread(waiting.until, lambda: all(map(waiting.gone, pids)))


# ------------------------------------------------------------ results


def test_results_are_awaited(run, executor):
    async def main():
        first = executor.submit(tasks.square, 3)
        assert await first == 9
        assert await first == 9  # again, and when it is done
        assert await executor.with_options(timeout=20).submit(tasks.square, 4) == 16
        assert await asyncio.gather(*(executor.submit(tasks.square, n) for n in range(50))) == [n * n for n in range(50)]
        return [await coming for coming in asyncio.as_completed([executor.submit(tasks.square, 5)])]

    assert run(main()) == [25]


def test_failures_are_raised(run, executor):
    async def main():
        with pytest.raises(ValueError, match="three is bad") as caught:
            await executor.submit(tasks.raise_value_error, 3)
        assert "raised by task" in caught.value.__notes__[0]
        with pytest.raises(manyhands.WorkerDied):
            await executor.submit(os._exit, 3)
        with pytest.raises(manyhands.NotSerializable):
            await executor.submit(print, (n for n in ()))
        found = await asyncio.gather(executor.submit(abs, "x"), executor.submit(abs, -1), return_exceptions=True)
        assert [type(found[0]), found[1]] == [TypeError, 1]

    run(main())


def test_the_loop_goes_on_meanwhile(run, executor, tmp_path):
    async def main():
        future = executor.submit(waiting.noted, str(tmp_path), "go")
        waits = asyncio.create_task(_of(future))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waits.done()
        tasks.note(tmp_path, "go")
        assert len(await waits) == 1

    run(main())


async def _of(future):
    return await future


def test_many_wait_for_one(run, executor):
    async def main():
        future = executor.submit(tasks.square, 7)
        return await asyncio.gather(*(_of(future) for _ in range(20)))

    assert run(main()) == [49] * 20


def test_task_groups(run, executor):
    async def main():
        async with asyncio.TaskGroup() as group:
            found = [group.create_task(_of(executor.submit(tasks.square, n))) for n in range(10)]
        return [task.result() for task in found]

    assert run(main()) == [n * n for n in range(10)]


# ------------------------------------------------------------ cancelled


def test_who_is_cancelled_stops_the_task(run, executor, tmp_path):
    async def main():
        future = executor.submit(begin, tmp_path)
        waits = asyncio.create_task(_of(future))
        pids = await begun(tmp_path)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert future.cancelled()
        await gone(pids)
        return await executor.submit(tasks.square, 2)  # the executor goes on

    assert run(main()) == 4


def test_who_is_cancelled_keeps_it_from_starting(run, tmp_path):
    async def main(executor):
        blocker = executor.submit(waiting.noted, str(tmp_path), "go")
        waits = asyncio.create_task(_of(executor.submit(tasks.log, 1, str(tmp_path))))
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        tasks.note(tmp_path, "go")
        await blocker

    with manyhands.Executor(1) as executor:
        run(main(executor))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("ran-")]


@pytest.mark.parametrize("how", ["wait_for", "timeout"])
def test_time_is_over(run, executor, tmp_path, how):
    async def main():
        future = executor.submit(begin, tmp_path)
        pids = await begun(tmp_path)

        async def wait():
            async with asyncio.timeout(0.01):
                await future

        with pytest.raises(TimeoutError):
            await (asyncio.wait_for(future, 0.01) if how == "wait_for" else wait())
        assert future.cancelled()
        await gone(pids)
        assert await asyncio.wait_for(executor.submit(tasks.square, 2), 20) == 4

    run(main())


def test_a_group_that_fails_stops_the_others(run, executor, tmp_path):
    async def fail():
        await begun(tmp_path)
        raise LookupError("of the group")

    async def together():
        async with asyncio.TaskGroup() as group:
            group.create_task(_of(executor.submit(begin, tmp_path)))
            group.create_task(fail())

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            await together()
        assert [type(error) for error in caught.value.exceptions] == [LookupError]
        await gone(await begun(tmp_path))

    run(main())


def test_gather_that_is_cancelled_stops_all(run, executor, tmp_path):
    async def main():
        futures = [executor.submit(begin, tmp_path) for _ in range(2)]
        gathered = asyncio.gather(*futures)
        pids = await begun(tmp_path, 2)
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        assert all(future.cancelled() for future in futures)
        await gone(pids)

    run(main())


def test_shielded_tasks_go_on(run, executor, tmp_path):
    async def main():
        future = executor.submit(waiting.noted, str(tmp_path), "go")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(_of(future)), 0.01)
        tasks.note(tmp_path, "go")
        assert len(await future) == 1

    run(main())


def test_a_future_that_is_cancelled_elsewhere(run, executor, tmp_path):
    async def main():
        future = executor.submit(begin, tmp_path)
        waits = asyncio.create_task(_of(future))
        await begun(tmp_path)
        assert future.cancel(running=True)
        with pytest.raises(asyncio.CancelledError):
            await waits
        with pytest.raises(asyncio.CancelledError):
            await future

    run(main())


def test_a_loop_that_is_closed_before_the_end(run, executor, tmp_path):
    """Nobody is told, and nothing is said."""

    async def main():
        future = executor.submit(waiting.noted, str(tmp_path), "go")
        waits = asyncio.create_task(asyncio.wait({asyncio.shield(asyncio.wrap_future(future))}, timeout=0))
        await waits
        return future

    future = run(main())
    tasks.note(tmp_path, "go")
    assert len(future.result()) == 1


def test_nothing_is_kept(run, executor):
    class Value:
        pass

    async def main():
        value = Value()
        kept = weakref.ref(value)
        assert await executor.submit(type, value) is Value
        del value
        future = executor.submit(abs, 1)
        future_kept = weakref.ref(future)
        await future
        del future
        return kept, future_kept

    kept = run(main())
    waiting.until(lambda: gc.collect() is not None and [ref() for ref in kept] == [None, None])  # the thread that told us is done with it


# ------------------------------------------------------------ async with


@pytest.fixture(params=["its own", "others'"])
def opened(request, executor):
    """An executor whose block is to be left, with workers of that kind."""
    return manyhands.Executor(2) if request.param == "its own" else executor.with_options(priority=1)


def test_leaving_a_block_waits_and_the_loop_goes_on(run, opened, tmp_path):
    async def main():
        async with opened as entered:
            assert entered is opened
            future = entered.submit(waiting.noted, str(tmp_path), "go")
            asyncio.get_running_loop().call_soon(tasks.note, tmp_path, "go")
        assert future.done()
        with pytest.raises(manyhands.PoolClosed):
            entered.submit(abs, 1)

    run(main())


def test_a_block_that_is_left_by_an_error_waits_too(run, opened):
    async def main():
        futures = []
        with contextlib.suppress(LookupError):
            async with opened:
                futures.append(opened.submit(tasks.square, 2))
                raise LookupError
        assert [future.result(0) for future in futures] == [4]

    run(main())


@pytest.mark.parametrize("where", ["in the block", "while it is left"])
def test_who_is_cancelled_leaves_a_block_at_once(run, opened, tmp_path, where):
    async def main():
        async def work():
            async with opened:
                opened.submit(begin, tmp_path)
                if where == "in the block":
                    await asyncio.Event().wait()

        working = asyncio.create_task(work())
        pids = await begun(tmp_path)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        await gone(pids)

    run(main())


# ------------------------------------------------------------ the standard library's ways


def test_run_in_executor(run, executor):
    async def main():
        loop = asyncio.get_running_loop()
        wrapped = await asyncio.gather(*(asyncio.wrap_future(executor.submit(tasks.square, n)) for n in range(20)))
        ran = await asyncio.gather(*(loop.run_in_executor(executor, tasks.square, n) for n in range(20)))
        with pytest.raises(ValueError, match="three is bad"):
            await loop.run_in_executor(executor, tasks.raise_value_error, 3)
        return wrapped, ran, [await loop.run_in_executor(executor, tasks.square, n) for n in range(20)]

    assert run(main()) == ([n * n for n in range(20)],) * 3


def test_run_in_executor_lets_a_task_go_on_that_has_started(run, executor, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        waits = loop.run_in_executor(executor, _note_after, str(tmp_path))
        await begun(tmp_path)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        tasks.note(tmp_path, "go")
        await asyncio.to_thread(waiting.noted, tmp_path, "after")

    run(main())


def _note_after(folder):
    tasks.note(folder, "began")
    waiting.noted(folder, "go")
    tasks.note(folder, "after")


def test_what_waits_is_cancelled(run, tmp_path):
    async def main(executor):
        loop = asyncio.get_running_loop()
        blocker = executor.submit(waiting.noted, str(tmp_path), "go")
        waits = loop.run_in_executor(executor, tasks.log, 1, str(tmp_path))
        await asyncio.sleep(0)
        waits.cancel()
        tasks.note(tmp_path, "go")
        await asyncio.wrap_future(blocker)

    with manyhands.Executor(1) as executor:
        run(main(executor))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("ran-")]


# ------------------------------------------------------------ async for


def test_async_for(run):
    async def main():
        beats = 0

        async def beat():
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0)

        heart = asyncio.create_task(beat())
        values = [value async for value in manyhands.aimap(tasks.square, range(300), workers=2)]
        heart.cancel()
        assert beats > 0
        stream = manyhands.aimap(tasks.square, itertools.count(), workers=2)
        async for value in stream:
            if value > 100:
                break
        await stream.aclose()
        return values

    assert run(main()) == [n * n for n in range(300)]


def test_two_iterations_at_a_time(run):
    async def collect(first):
        return [value async for value in manyhands.aimap(tasks.square, range(first, first + 50))]

    async def main():
        return await asyncio.gather(collect(0), collect(50))

    assert run(main()) == [[n * n for n in range(50)], [n * n for n in range(50, 100)]]


@pytest.mark.parametrize("how", ["cancel", "wait_for"])
def test_an_iteration_that_is_cancelled_stops_its_tasks(run, tmp_path, how):
    async def take():
        async for _ in manyhands.aimap(begin, [tmp_path] * 2, workers=2):
            pass

    async def main():
        taking = asyncio.create_task(asyncio.wait_for(take(), 60) if how == "wait_for" else take())
        pids = await begun(tmp_path, 2)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await gone(pids)

    run(main())
    waiting.until(lambda: not any(thread.name.startswith("manyhands-aimap") for thread in threading.enumerate()))


def test_failures_of_an_iteration(run):
    async def main():
        found = []

        async def take():
            async for value in manyhands.aimap(tasks.raise_value_error, range(9)):
                found.append(value)

        with pytest.raises(ValueError, match="three is bad"):
            await take()
        return found

    assert run(main()) == [0, 1, 2]


def test_two_loops_in_two_threads(run, executor):
    found = []

    async def main():
        return await asyncio.gather(*(executor.submit(tasks.square, n) for n in range(20)))

    threads = [threading.Thread(target=lambda: found.append(run(main()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[n * n for n in range(20)]] * 2
