"""Executor: a true concurrent.futures.Executor, and what it has beyond."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import gc
import itertools
import os
import queue
import signal
import threading
import time
import weakref

import pytest
import tasks
import waiting

import manyhands
from manyhands._engine import _state
from manyhands._engine._futures import Future


def test_submit_and_map():
    with manyhands.Executor(2) as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        future = executor.submit(tasks.add, 2, y=3)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result() == 5
        assert future.exception() is None
        assert future.done()
        assert not future.running()
        assert list(executor.map(tasks.add, [1, 2], [3, 4])) == [4, 6]
        assert list(executor.map(tasks.square, range(1000), chunksize=50)) == [x * x for x in range(1000)]
        assert list(executor.map(tasks.square, range(1000), chunksize=None)) == [x * x for x in range(1000)]
        assert list(executor.map(tasks.square, iter(range(100)), buffersize=5)) == [x * x for x in range(100)]


def test_futures_tell_worker_and_times():
    with manyhands.Executor(1) as executor:
        before = time.monotonic()
        future = executor.submit(tasks.spin, 0.05)
        future.result()
        after = time.monotonic()
        assert future.worker in executor.worker_pids()
        assert before <= future.started_at <= after
        assert 0.05 <= future.run_time <= after - before


def test_futures_show_where_they_stand(tmp_path):
    """In the standard library's words."""

    def shown(future):
        return repr(future).partition(" state=")[2].rstrip(">")

    with manyhands.Executor(1) as executor:
        future = executor.submit(waiting.noted, str(tmp_path), "go")
        waits = executor.submit(abs, 1)
        waiting.until(future.running)
        assert (shown(future), shown(waits)) == ("running", "pending")
        waits.cancel()
        tasks.note(tmp_path, "go")
        concurrent.futures.wait([future])
        assert (shown(future), shown(waits)) == ("finished returned list", "cancelled")
        failed = executor.submit(tasks.raise_value_error, 3)
        concurrent.futures.wait([failed])
        assert shown(failed) == "finished raised ValueError"


def test_wait_and_as_completed(tmp_path):
    with manyhands.Executor(2) as executor:
        futures = [executor.submit(tasks.square, i) for i in range(20)]
        assert sorted(f.result() for f in concurrent.futures.as_completed(futures, timeout=20)) == [i * i for i in range(20)]
        hanging = executor.submit(tasks.hang, 3, str(tmp_path))
        quick = executor.submit(tasks.square, 3)
        done, pending = concurrent.futures.wait([hanging, quick], return_when=concurrent.futures.FIRST_COMPLETED, timeout=20)
        assert (done, pending) == ({quick}, {hanging})
        assert concurrent.futures.wait([hanging], timeout=0.01).not_done == {hanging}
        assert hanging.cancel(running=True)
        assert concurrent.futures.wait([hanging], timeout=20).done == {hanging}


def test_first_exception():
    with manyhands.Executor(2) as executor:
        futures = [executor.submit(tasks.raise_value_error, i) for i in range(6)]
        done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION, timeout=20)
        assert futures[3] in done
        with pytest.raises(ValueError, match="three"):
            futures[3].result()


def test_callbacks_run_while_nobody_waits():
    with manyhands.Executor(2) as executor:
        got = []
        event = threading.Event()

        def callback(future):
            got.append(future.result())
            if len(got) == 10:
                event.set()

        for i in range(10):
            executor.submit(tasks.square, i).add_done_callback(callback)
        assert event.wait(20)
        assert sorted(got) == [i * i for i in range(10)]


def test_a_callback_may_submit_and_wait():
    with manyhands.Executor(2) as executor:
        chain = []
        done = threading.Event()

        def callback(future):
            chain.append(future.result())
            chain.append(executor.submit(tasks.square, future.result()).result())
            if future.result() < 100:
                executor.submit(tasks.square, future.result()).add_done_callback(callback)
            else:
                done.set()

        executor.submit(tasks.square, 2).add_done_callback(callback)
        assert done.wait(20)
        assert chain == [4, 16, 16, 256, 256, 65536]


def test_a_callback_that_raises_hurts_nobody(caplog):
    with manyhands.Executor(1) as executor:
        future = executor.submit(tasks.square, 2)
        future.add_done_callback(lambda _: 1 / 0)
        assert future.result() == 4
        assert executor.submit(tasks.square, 3).result() == 9
    assert "exception calling callback" in caplog.text


def test_callbacks_added_while_results_arrive_are_called_once_each():
    with manyhands.Executor(2) as executor:
        called = collections.Counter()
        futures = queue.SimpleQueue()

        def add():
            while (future := futures.get()) is not None:
                future.add_done_callback(lambda done: called.update([done.result()]))

        adding = threading.Thread(target=add)
        adding.start()
        for i in range(3000):
            futures.put(executor.submit(tasks.identity, i))
        futures.put(None)
        adding.join()
        waiting.until(lambda: len(called) == 3000)
    assert set(called.values()) == {1}


def test_a_thread_that_waits_gets_its_result_though_others_keep_submitting():
    with manyhands.Executor(2) as executor:
        executor.submit(tasks.identity, 0).result()
        enough = threading.Event()

        def submit():
            mine = collections.deque()
            while not enough.is_set():
                mine.append(executor.submit(tasks.identity, 1))
                if len(mine) > 100:
                    mine.popleft().result()

        submitting = [threading.Thread(target=submit) for _ in range(2)]
        for thread in submitting:
            thread.start()
        try:
            for i in range(20):
                assert executor.submit(tasks.identity, i).result(timeout=20) == i
                done, _ = concurrent.futures.wait([executor.submit(tasks.identity, i)], timeout=20)
                assert len(done) == 1
        finally:
            enough.set()
            for thread in submitting:
                thread.join()


def test_callback_on_a_future_that_is_done():
    with manyhands.Executor(1) as executor:
        future = executor.submit(tasks.square, 2)
        future.result()
        got = []
        future.add_done_callback(got.append)
        assert got == [future]


def test_cancel_before_it_starts(tmp_path):
    with manyhands.Executor(1) as executor:
        blocker = executor.submit(tasks.hang, 3, str(tmp_path))
        waiting.noted(tmp_path, "started")
        waiters = [executor.submit(tasks.log, i, str(tmp_path)) for i in range(5)]
        assert all(future.cancel() for future in waiters[1:])
        assert not blocker.cancel()
        assert blocker.running()
        assert all(future.cancelled() for future in waiters[1:])
        with pytest.raises(concurrent.futures.CancelledError):
            waiters[1].result()
        assert blocker.cancel(running=True)
        assert waiters[0].result() == 0
    ran = [path.name for path in tmp_path.iterdir() if path.name.startswith("ran-")]
    assert [name.split(".")[0] for name in ran] == ["ran-0"]


def test_cancel_of_tasks_that_a_worker_has_ahead(tmp_path):
    """Quick tasks are sent ahead; one that has been sent is still cancelled if it has not started."""
    with manyhands.Executor(1) as executor:
        for i in range(50):
            executor.submit(tasks.square, i).result()
        futures = [executor.submit(tasks.square, i) for i in range(2000)]
        cancelled = [future for future in reversed(futures) if future.cancel()]
        left = {i: future.result() for i, future in enumerate(futures) if not future.cancelled()}
        assert left == {i: i * i for i in left}
        assert len(left) + len(cancelled) == 2000
        assert all(future.cancelled() for future in cancelled)


def test_cancel_running_replaces_the_worker(tmp_path):
    with manyhands.Executor(1) as executor:
        future = executor.submit(tasks.hang, 3, str(tmp_path))
        pid = int(waiting.noted(tmp_path, "started")[0])
        assert future.cancel(running=True)
        assert future.cancelled()
        assert executor.submit(tasks.square, 4).result() == 16
        assert waiting.gone(pid)


def test_result_times_out_and_the_task_goes_on(tmp_path):
    with manyhands.Executor(1) as executor:
        future = executor.submit(waiting.noted, str(tmp_path), "go")
        with pytest.raises(TimeoutError):
            future.result(timeout=0.05)
        tasks.note(tmp_path, "go", "x")
        assert future.result(timeout=20) == ["x"]


def test_initializer_and_its_arguments():
    def set_up(name, value):
        import os

        os.environ[name] = value

    def seen(name):
        import os

        return os.environ[name]

    with manyhands.Executor(2, initializer=set_up, initargs=("MY_SETTING", "42")) as executor:
        assert set(executor.map(seen, ["MY_SETTING"] * 10)) == {"42"}
    with pytest.raises(TypeError, match="initializer"):
        manyhands.Executor(2, initializer=5)


def test_max_tasks_per_child():
    with manyhands.Executor(2, max_tasks_per_child=3) as executor:
        pids = list(executor.map(tasks.pid, range(30)))
        assert max(pids.count(pid) for pid in pids) <= 3
        assert len(set(pids)) >= 10
        assert list(executor.map(tasks.square, range(50), chunksize=20)) == [x * x for x in range(50)]


def test_with_options():
    with manyhands.Executor(2) as executor:
        bound = executor.with_options(timeout=0.3)
        assert bound.submit(tasks.square, 5).result() == 25
        with pytest.raises(manyhands.TaskTimeout):
            bound.submit(tasks.hang, 3).result()
        assert list(bound.map(tasks.square, range(5))) == [0, 1, 4, 9, 16]
        with pytest.raises(ValueError, match="timeout=0"):
            executor.with_options(timeout=0)


def test_retries_of_futures(tmp_path):
    with manyhands.Executor(2) as executor:
        bound = executor.with_options(retries=2)
        assert bound.submit(tasks.fail_until, 1, str(tmp_path), 2, "kill").result() == 1
        assert bound.submit(tasks.fail_until, 2, str(tmp_path), 2).result() == 2


def test_asyncio():
    async def main(executor):
        loop = asyncio.get_running_loop()
        wrapped = await asyncio.gather(*(asyncio.wrap_future(executor.submit(tasks.square, i)) for i in range(20)))
        run = await asyncio.gather(*(loop.run_in_executor(executor, tasks.square, i) for i in range(20)))
        one_by_one = [await loop.run_in_executor(executor, tasks.square, i) for i in range(20)]
        return wrapped, run, one_by_one

    with manyhands.Executor(2) as executor:
        assert asyncio.run(main(executor)) == ([i * i for i in range(20)],) * 3


def test_asyncio_cancellation_cancels_what_waits(tmp_path):
    async def main(executor):
        loop = asyncio.get_running_loop()
        blocker = executor.submit(waiting.noted, str(tmp_path), "go")
        awaited = loop.run_in_executor(executor, tasks.log, 1, str(tmp_path))
        await asyncio.sleep(0)
        awaited.cancel()
        tasks.note(tmp_path, "go")
        await asyncio.wrap_future(blocker)

    with manyhands.Executor(1) as executor:
        asyncio.run(main(executor))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("ran-")]


@pytest.mark.parametrize("twice", [False, True])
def test_shutdown_waits_and_refuses(twice):
    executor = manyhands.Executor(2)
    futures = [executor.submit(tasks.spin, 0.02) for _ in range(6)]
    executor.shutdown()
    if twice:
        executor.shutdown()
    assert all(future.done() for future in futures)
    assert executor.worker_pids() == []
    with pytest.raises(manyhands.PoolClosed, match="after shutdown"):
        executor.submit(tasks.square, 1)
    with pytest.raises(RuntimeError):
        executor.map(tasks.square, [1])


def test_shutdown_without_waiting():
    executor = manyhands.Executor(2)
    futures = [executor.submit(tasks.spin, 0.02) for _ in range(6)]
    executor.shutdown(wait=False)
    assert [future.result(timeout=20) for future in futures] == [0.02] * 6
    waiting.until(lambda: executor.worker_pids() == [])
    waiting.until(lambda: not any(t.name == "manyhands-shutdown" for t in threading.enumerate()))


def test_shutdown_cancels_what_has_not_started(tmp_path):
    executor = manyhands.Executor(1)
    running = executor.submit(waiting.noted, str(tmp_path), "go")
    waiting.until(running.running)
    others = [executor.submit(tasks.square, i) for i in range(10)]
    tasks.note(tmp_path, "go", "x")
    executor.shutdown(cancel_futures=True)
    assert running.result() == ["x"]
    assert all(future.cancelled() or future.result() is not None for future in others)
    assert any(future.cancelled() for future in others)


@pytest.mark.parametrize("how", ["kill_workers", "terminate_workers"])
def test_ending_the_workers(how, tmp_path):
    executor = manyhands.Executor(2)
    running = [executor.submit(tasks.hang, 3, str(tmp_path)) for _ in range(2)]
    waiting.noted(tmp_path, "started", 2)
    waiters = [executor.submit(tasks.square, i) for i in range(3)]
    getattr(executor, how)()
    for future in running:
        assert isinstance(future.exception(timeout=20), manyhands.WorkerDied)
        assert "was stopped while it ran task" in str(future.exception())
        assert "its pool was shut down" in str(future.exception())
    assert all(future.cancelled() for future in waiters)
    with pytest.raises(manyhands.PoolClosed):
        executor.submit(tasks.square, 1)


@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
def test_workers_that_are_just_being_started_are_ended_too(how):
    with manyhands.Executor(2) as executor:
        executor.submit(tasks.square, 1).result()
    executor = manyhands.Executor(2)
    zygote = _state.zygote().pid
    os.kill(zygote, signal.SIGSTOP)
    try:
        futures = [executor.submit(tasks.hang, tasks.BAD) for _ in range(2)]
        ending = threading.Thread(target=getattr(executor, how))
        ending.start()
        waiting.until(lambda: executor._pool._dispatcher._ending)
    finally:
        os.kill(zygote, signal.SIGCONT)
    ending.join(30)
    assert not ending.is_alive()
    assert all(future.done() for future in futures)


def test_leaving_the_block_by_ctrl_c_stops_what_runs(tmp_path):
    def work():
        with manyhands.Executor(1) as executor:
            executor.submit(tasks.hang, 3, str(tmp_path))
            waiting.noted(tmp_path, "started")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert all(waiting.gone(int(pid)) for pid in waiting.noted(tmp_path, "started"))


def test_resize(tmp_path):
    with manyhands.Executor(1) as executor:
        assert len(set(executor.map(tasks.pid, range(20)))) == 1
        executor.resize(3)
        futures = [executor.submit(waiting.noted, str(tmp_path), "go") for _ in range(3)]
        waiting.until(lambda: all(future.running() for future in futures))
        executor.resize(1)
        tasks.note(tmp_path, "go", "x")
        assert [future.result() for future in futures] == [["x"]] * 3
        waiting.until(lambda: executor.submit(tasks.square, 1).result() and len(executor.worker_pids()) == 1)
        with pytest.raises(ValueError, match="max_workers=0"):
            executor.resize(0)


def test_many_threads_submit_and_wait():
    with manyhands.Executor(2) as executor:
        results = {}

        def work(number):
            results[number] = [executor.submit(tasks.add, i, number).result() for i in range(200)]

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {n: [i + n for i in range(200)] for n in range(6)}


def test_many_futures():
    with manyhands.Executor(2) as executor:
        futures = [executor.submit(tasks.square, i) for i in range(20_000)]
        assert [future.result() for future in futures] == [i * i for i in range(20_000)]


def test_futures_and_results_are_freed():
    with manyhands.Executor(1) as executor:
        future = executor.submit(tasks.identity, tasks.Holder(5))
        result = future.result()
        refs = weakref.ref(future), weakref.ref(result)
        del future, result
        gc.collect()
        assert [ref() for ref in refs] == [None, None]


def test_an_executor_that_is_forgotten_ends(tmp_path):
    executor = manyhands.Executor(1)
    executor.submit(tasks.square, 1).result()
    pids = executor.worker_pids()
    del executor
    gc.collect()
    waiting.until(lambda: all(waiting.gone(pid) for pid in pids))


def test_kills_again_and_again_lose_nothing():
    """A worker is killed after every 20 results of 2000; with retries each task has its result."""
    with manyhands.Executor(2) as executor:
        bound = executor.with_options(retries=50, retry_on=manyhands.WorkerDied)
        futures = [bound.submit(tasks.square, i) for i in range(2000)]
        for i, future in enumerate(futures):
            assert future.result(timeout=40) == i * i
            if i % 20 == 0:
                for pid in executor.worker_pids()[:1]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)


def test_workers_killed_from_outside_before_they_are_ready_fail_no_task(tmp_path):
    """Ten in a row, each while its initializer runs."""

    def set_up(folder):
        tasks.note(folder, "setting-up")
        if len([path for path in os.listdir(folder) if path.startswith("setting-up.")]) <= 10:
            os.kill(os.getpid(), 9)

    with manyhands.Executor(1, initializer=set_up, initargs=(str(tmp_path),)) as executor:
        assert [executor.submit(tasks.square, i).result(timeout=40) for i in range(5)] == [0, 1, 4, 9, 16]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_workers", 0),
        ("max_tasks_per_child", 0),
        ("start_method", "magic"),
        ("memory_limit", "lots"),
        ("idle_timeout", 0),
        ("strict", 5),
    ],
)
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=repr(value)):
        manyhands.Executor(**{name: value})


def test_cancel_wakes_who_waits(tmp_path):
    with manyhands.Executor(1) as executor:
        blocker = executor.submit(tasks.hang, 3, str(tmp_path))
        waiting.noted(tmp_path, "started")
        future = executor.submit(tasks.square, 1)
        seen = []

        def wait():
            try:
                future.result(timeout=20)
            except concurrent.futures.CancelledError:
                seen.append("cancelled")

        thread = threading.Thread(target=wait)
        thread.start()
        waiting.until(lambda: executor._pool.driving.driven)
        assert future.cancel()
        thread.join(5)
        assert seen == ["cancelled"]
        blocker.cancel(running=True)


def test_large_settings_reach_the_workers():
    def length(data):
        os.environ["RECEIVED"] = str(len(data))

    def seen():
        return int(os.environ["RECEIVED"])

    with manyhands.Executor(2, initializer=length, initargs=(bytes(5_000_000),)) as executor:
        assert executor.submit(seen).result(timeout=20) == 5_000_000


def test_shutdown_from_several_threads_and_a_callback():
    for _ in range(20):
        executor = manyhands.Executor(2)
        executor.submit(tasks.square, 2).add_done_callback(lambda _, e=executor: e.shutdown(wait=False))
        threads = [threading.Thread(target=executor.shutdown) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    waiting.until(lambda: not any(t.name == "manyhands-shutdown" for t in threading.enumerate()))


def test_functions_that_are_new_each_time_do_not_pile_up():
    import psutil

    class Model:
        def __init__(self, seed):
            self.weights = bytes([seed % 256]) * 4_000_000

        def predict(self):
            return len(self.weights)

    with manyhands.Executor(1) as executor:
        for seed in range(200):
            assert executor.submit(Model(seed).predict).result() == 4_000_000
        [pid] = executor.worker_pids()
        assert psutil.Process(pid).memory_info().rss < 250e6  # of 800


def test_a_task_may_fork_and_its_child_may_exit():
    def fork(code):
        child = os.fork()
        if child == 0:
            raise SystemExit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with manyhands.Executor(1) as executor:
        assert executor.submit(fork, 5).result(timeout=20) == 5
        assert executor.submit(fork, 0).result(timeout=20) == 0
        assert executor.submit(tasks.square, 3).result() == 9


def test_futures_that_fail_tell_where_and_how_long_too():
    with manyhands.Executor(1) as executor:
        pid = executor.submit(os.getpid).result()
        for function in (tasks.raise_value_error, tasks.kill_self):
            before = time.monotonic()
            future = executor.submit(function, tasks.BAD)
            assert future.exception() is not None
            assert future.worker == pid
            assert before <= future.started_at <= time.monotonic()
            assert 0 <= future.run_time < 20


def test_a_task_that_raises_cancelled_error_has_failed():
    with manyhands.Executor(1) as executor:
        future = executor.submit(raise_it, concurrent.futures.CancelledError("mine"))
        assert isinstance(future.exception(), concurrent.futures.CancelledError)
        assert not future.cancelled()


def raise_it(error):
    raise error


def test_an_executor_with_options_is_one():
    with manyhands.Executor(1) as executor:
        careful = executor.with_options(timeout=20).with_options(retries=2)
        assert careful.submit(tasks.square, 3).result() == 9
        assert careful.worker_pids() == executor.worker_pids() != []
        assert "timeout=20" in repr(careful)
        assert "retries=2" in repr(careful)


def test_leaving_the_block_of_an_executor_with_options_waits_for_what_it_was_given(tmp_path):
    with manyhands.Executor(2) as executor:
        other = executor.submit(tasks.hang, tasks.BAD)
        with executor.with_options(retries=1) as careful:
            future = careful.submit(tasks.spin, 0.2)
            results = careful.map(tasks.square, range(100), chunksize=None)
        assert future.done()
        assert list(results) == [x * x for x in range(100)]
        with pytest.raises(manyhands.PoolClosed, match="after shutdown"):
            careful.submit(tasks.square, 3)
        assert not other.done()
        assert executor.submit(tasks.square, 3).result() == 9
        with pytest.raises(KeyboardInterrupt), executor.with_options() as careful:  # noqa: PT012 - the end of the block is what is tested
            hanging = careful.submit(tasks.hang, tasks.BAD, str(tmp_path))
            waiting.noted(tmp_path, "started")
            raise KeyboardInterrupt
        assert hanging.cancelled()
        assert other.cancel(running=True)


@pytest.mark.parametrize("buffersize", [None, 6])
@pytest.mark.parametrize("chunksize", [None, 1, 2])
def test_nothing_of_a_map_runs_when_the_block_of_an_executor_with_options_has_been_left(chunksize, buffersize, tmp_path):
    with manyhands.Executor(2) as executor:
        with executor.with_options(retries=1) as bound:
            results = bound.map(tasks.slow_log, range(12), [str(tmp_path)] * 12, chunksize=chunksize, buffersize=buffersize)
        ended = len(list(tmp_path.iterdir()))
        if buffersize is None:
            assert list(results) == list(range(12))
            assert ended == 12
        else:
            with pytest.raises(manyhands.PoolClosed):
                list(results)
        executor.submit(tasks.spin, 0.1).result()
        assert len(list(tmp_path.iterdir())) == ended


@pytest.mark.parametrize("chunksize", [None, 1, 2])
def test_cancelling_what_an_executor_with_options_was_given(chunksize, tmp_path):
    with manyhands.Executor(1) as executor:
        bound = executor.with_options(retries=1)
        other = executor.submit(tasks.spin, 0.1)
        results = bound.map(tasks.log, range(100), [str(tmp_path)] * 100, chunksize=chunksize)
        bound.shutdown(cancel_futures=True)
        ended = len(list(tmp_path.iterdir()))
        assert ended < 50
        assert other.result() == 0.1
        executor.submit(tasks.spin, 0.05).result()
        assert len(list(tmp_path.iterdir())) == ended
        with pytest.raises(concurrent.futures.CancelledError):
            list(results)


def test_what_could_not_be_sent_is_freed_with_its_future():
    class Argument:
        def __reduce__(self):
            raise ValueError("not to be sent")

    with manyhands.Executor(1) as executor:
        argument = Argument()
        found = weakref.ref(argument)
        future = executor.submit(tasks.identity, argument)
        assert isinstance(future.exception(), manyhands.NotSerializable)
        gc.collect()
        gc.disable()
        try:
            del future, argument
            assert found() is None
        finally:
            gc.enable()


def test_an_executor_takes_the_options_of_its_block(tmp_path):
    with manyhands.options(timeout=0.3, retries=1):
        executor = manyhands.Executor(1)
    with executor:
        with pytest.raises(manyhands.TaskTimeout) as caught:
            executor.submit(tasks.hang, tasks.BAD).result()
        assert "attempt 1" in caught.value.__notes__[0]
        patient = executor.with_options(retries=2, timeout=None)
        assert patient.submit(tasks.fail_until, 1, str(tmp_path), 2).result() == 1
        bound = patient.with_options(timeout=0.3, retries=0)
        with pytest.raises(manyhands.TaskTimeout):
            list(bound.map(tasks.hang, range(6), chunksize=3))
        with pytest.raises(TypeError, match="'workers' is not an option of an executor's tasks"):
            bound.with_options(workers=3)


def test_workers_of_an_executor_have_their_share_of_the_processors():
    for workers in (1, manyhands.cpu_count()):
        with manyhands.Executor(workers) as executor:
            assert executor.submit(manyhands.cpu_count).result() == manyhands.cpu_count() // workers


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "3", True])
def test_number_of_workers_is_checked_by_its_name(wrong):
    with pytest.raises(ValueError, match=r"max_workers=.* is not allowed; max_workers is a number"):
        manyhands.Executor(wrong)


@pytest.mark.parametrize("chunksize", [None, 1, 10])
def test_map_outlives_the_block(chunksize):
    with manyhands.Executor(2) as executor:
        results = executor.map(tasks.square, iter(range(3000)), chunksize=chunksize)
    assert list(results) == [x * x for x in range(3000)]


@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_with_a_buffer_ends_with_the_executor(chunksize):
    with manyhands.Executor(2) as executor:
        results = executor.map(tasks.square, itertools.count(), chunksize=chunksize, buffersize=4)
        assert [next(results) for _ in range(10)] == [x * x for x in range(10)]
    with pytest.raises(manyhands.PoolClosed):
        list(results)


@pytest.mark.parametrize("chunksize", [None, 1, 2])
def test_map_keeps_its_time(chunksize, tmp_path):
    with manyhands.Executor(2) as executor:
        results = executor.map(tasks.hang, [1, tasks.BAD], [str(tmp_path)] * 2, chunksize=chunksize, timeout=0.3)
        with pytest.raises(TimeoutError):
            list(results)
        executor.kill_workers()


@pytest.mark.parametrize(
    "wrong", [{"chunksize": "a"}, {"chunksize": True}, {"chunksize": 0}, {"chunksize": -1}, {"buffersize": 0}, {"buffersize": "a"}]
)
def test_arguments_of_map_are_checked(wrong):
    with manyhands.Executor(1) as executor:
        for one in (executor, executor.with_options()):
            with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.* is not allowed"):
                one.map(tasks.square, [1], **wrong)
            with pytest.raises(TypeError, match="fn=None is not callable"):
                one.map(None, [1])


@pytest.mark.parametrize("timeout", [1e7, 1e300, float("inf")])
def test_whoever_waits_may_have_all_the_time_of_the_world(timeout):
    with manyhands.Executor(1) as executor:
        assert executor.submit(tasks.spin, 0.01).result(timeout) == 0.01
        assert list(executor.map(tasks.spin, [0.01], timeout=timeout, chunksize=2)) == [0.01]


def test_states_do_not_change_under_those_who_wait(monkeypatch):
    """``wait`` holds the conditions of all its futures while it counts those that are done."""
    tell = Future._tell

    def tell_slowly(future, condition):
        waiting.until(lambda: next(looks) > 20)
        tell(future, condition)

    monkeypatch.setattr(Future, "_tell", tell_slowly)
    with manyhands.Executor(2) as executor:
        for _ in range(10):
            looks = itertools.count()
            futures = [executor.submit(tasks.spin, 0.002 * n) for n in range(8)]
            concurrent.futures.wait(futures, timeout=0.001)  # each has its condition now
            done, not_done = concurrent.futures.wait(futures, timeout=20)
            assert (len(done), len(not_done)) == (8, 0)
            assert set(concurrent.futures.as_completed(futures, timeout=20)) == set(futures)


@pytest.mark.parametrize("options", [{"preload": ("numpy",)}, {"start_method": "fork"}, {}])
def test_workers_draw_different_random_numbers(options):
    import random

    import numpy as np

    np.random.default_rng()

    def draw(_):
        import numpy as np  # in the workers, too

        time.sleep(0.05)
        return os.getpid(), random.random(), float(np.random.rand())

    with manyhands.Executor(4, **options) as executor:
        drawn = list(executor.map(draw, range(8)))
    assert len({pid for pid, *_ in drawn}) > 1
    assert len({number for _, number, _ in drawn}) == len({number for _, _, number in drawn}) == 8
