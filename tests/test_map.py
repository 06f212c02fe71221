"""map, imap and aimap: results, order, back-pressure, failures, options."""

from __future__ import annotations

import asyncio
import collections
import functools
import gc
import itertools
import math
import re
import signal
import threading
import time

import numpy as np
import pytest
import scripts
import tasks
import waiting

import manyhands
from manyhands._engine import _stream


def test_like_the_builtin():
    assert manyhands.map(tasks.square, range(100)) == [x * x for x in range(100)]
    assert manyhands.map(tasks.add, [1, 2, 3], [10, 20]) == [11, 22]
    assert manyhands.map(tasks.square, []) == []
    assert manyhands.map(tasks.square, iter([3])) == [9]


@pytest.mark.parametrize("chunk", [1, 7, "auto"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_order_and_completeness(chunk, workers):
    assert manyhands.map(tasks.square, range(3000), chunk=chunk, workers=workers) == [x * x for x in range(3000)]


def test_unordered_gives_the_same_results():
    values = manyhands.map(tasks.square, range(3000), ordered=False, workers=2)
    assert sorted(values) == [x * x for x in range(3000)]


def test_at_most_so_many_workers():
    manyhands.map(tasks.pid, range(64), workers=4, chunk=1)
    assert len(set(manyhands.map(tasks.pid, range(64), workers=2, chunk=1))) <= 2


def test_a_mutable_argument_that_two_tasks_share_is_not_shared():
    def append(values):
        values.append(1)
        return len(values)

    shared = [[]]
    assert manyhands.map(append, shared * 50, workers=2, chunk=10) == [1] * 50
    assert shared == [[]]


def test_results_of_two_tasks_are_not_one_object():
    results = manyhands.map(lambda _: tasks.__dict__.setdefault("common", []), range(20), workers=1, chunk=20)
    results[0].append(1)
    assert results[1] == []


def test_inputs_are_snapshots():
    def arrays():
        array = np.zeros(50_000)
        for value in range(8):
            array[:] = value
            yield array

    assert manyhands.map(np.max, arrays(), workers=2) == list(range(8))


@pytest.mark.parametrize("size", [0, 1, 100, 10_000, 1_000_000])
def test_arrays_arrive_writable_and_come_back(size):
    def change(array):
        array += 1
        return array

    array = np.arange(size, dtype=float)
    for result in manyhands.map(change, [array] * 4, workers=2):
        assert np.array_equal(result, np.arange(size) + 1)
        result[:1] = 5  # writable here, too
    assert np.array_equal(array, np.arange(size))


def test_large_bytes_both_ways():
    block = bytes(30_000_000)
    assert manyhands.map(tasks.identity, [block, block], workers=2) == [block, block]


def test_imap_is_lazy_on_both_sides():
    read = []

    def inputs():
        for value in itertools.count():
            read.append(value)
            yield value

    with manyhands.imap(tasks.square, inputs(), workers=2, buffer=10) as results:
        for taken in range(1, 101):
            assert next(results) == (taken - 1) ** 2
            assert len(read) <= taken + 10
    assert len(read) <= 110


def test_imap_reads_inputs_in_the_callers_thread():
    threads = set()

    def inputs():
        for value in range(500):
            threads.add(threading.get_ident())
            yield value

    assert list(manyhands.imap(tasks.square, inputs(), workers=2)) == [x * x for x in range(500)]
    assert threads == {threading.get_ident()}


def test_imap_starts_results_before_inputs_end():
    """The second input depends on the first result."""
    results = []

    def inputs():
        yield 2
        waiting.until(lambda: True)
        yield results[0]

    with manyhands.imap(tasks.square, inputs(), workers=2, buffer=1) as stream:
        for value in stream:
            results.append(value)
    assert results == [4, 16]


def test_closing_an_iterator_from_another_thread_while_it_submits(monkeypatch):
    from manyhands.backends.threads import ThreadExecutor

    submit, closing = ThreadExecutor.submit, threading.Event()

    def submit_when_closed(executor, *args):
        if closing.is_set():
            waiting.until(lambda: executor._closed)
        return submit(executor, *args)

    def inputs():
        yield from range(5)
        closing.set()
        threading.Thread(target=results.close).start()
        yield from range(5)

    monkeypatch.setattr(ThreadExecutor, "submit", submit_when_closed)
    results = manyhands.imap(tasks.square, inputs(), workers=1, chunk=1, backend="threads")
    got = list(results)
    assert got == [0, 1, 4, 9, 16][: len(got)]


def test_closing_an_iterator_stops_what_runs(tmp_path):
    results = manyhands.imap(tasks.hang, itertools.chain([0], itertools.repeat(3)), itertools.repeat(str(tmp_path)), workers=2, chunk=1)
    assert next(results) == 0
    pids = [int(text) for text in waiting.noted(tmp_path, "started")]
    results.close()
    assert all(waiting.gone(pid) for pid in pids)
    assert manyhands.map(tasks.square, range(10), workers=2) == [x * x for x in range(10)]


@pytest.mark.parametrize("backend", ["processes", "threads", "sequential"])
def test_closing_an_iterator_from_another_thread(backend, tmp_path):
    """It is waiting for a task then; its loop ends."""
    go = threading.Event()

    def inputs():
        yield 1
        if backend == "sequential":
            tasks.note(tmp_path, "started")
            assert go.wait(20)
        yield from itertools.repeat(3)

    def wait(x):
        if x == 3:
            tasks.note(tmp_path, "started")
            assert go.wait(20)
        return x

    work = functools.partial(tasks.hang, event_dir=str(tmp_path)) if backend == "processes" else wait
    got = []
    results = manyhands.imap(work, inputs(), workers=1, chunk=1, backend=backend)
    thread = threading.Thread(target=lambda: [got.append(value) for value in results])
    thread.start()
    waiting.until(lambda: got)
    waiting.noted(tmp_path, "started")
    results.close()
    results.close()
    if backend == "processes":
        assert all(waiting.gone(int(pid)) for pid in waiting.noted(tmp_path, "started"))
    go.set()
    thread.join(20)
    assert not thread.is_alive()
    assert got in ([1], [1, 3])
    assert list(results) == []


def test_imap_unordered_gives_results_as_they_come(tmp_path):
    inputs = [(3 if i == 0 else 0, str(tmp_path)) for i in range(10)]
    with manyhands.imap(tasks.hang, *zip(*inputs, strict=True), workers=2, ordered=False, chunk=1) as results:
        assert [next(results) for _ in range(9)] == [0] * 9


def test_input_that_raises():
    def inputs():
        yield from range(10)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        manyhands.map(tasks.square, inputs(), workers=2)
    got = []
    with pytest.raises(LookupError, match="no more"):
        got.extend(manyhands.imap(tasks.square, inputs(), workers=2))
    assert manyhands.map(tasks.square, range(4)) == [0, 1, 4, 9]


def test_errors_return_and_skip():
    values = manyhands.map(tasks.raise_value_error, range(6), errors="return", workers=2)
    failure = values[3]
    assert not failure
    assert (failure.index, type(failure.error)) == (3, ValueError)
    assert [v for v in values if v is not failure] == [0, 1, 2, 4, 5]
    assert manyhands.map(tasks.raise_value_error, range(6), errors="skip", workers=2) == [0, 1, 2, 4, 5]
    assert list(manyhands.imap(tasks.raise_value_error, range(6), errors="skip", workers=2)) == [0, 1, 2, 4, 5]


def test_a_failure_is_raised_without_waiting_for_others(tmp_path):
    def fail_or_hang(x):
        if x == 1:
            waiting.noted(str(tmp_path), "started")
            raise ValueError("fast")
        tasks.hang(3, str(tmp_path))

    begin = time.monotonic()
    with pytest.raises(ValueError, match="fast"):
        manyhands.map(fail_or_hang, range(2), workers=2)
    assert time.monotonic() - begin < 10
    assert all(waiting.gone(int(pid)) for pid in waiting.noted(tmp_path, "started"))


@pytest.mark.parametrize("backend", ["processes", "threads", "sequential"])
def test_an_iterator_gives_what_comes_before_a_failure_first(backend, tmp_path):
    """Also what still ran when it failed."""
    if backend == "sequential":
        tasks.note(tmp_path, "failed")

    def work(x):
        if x == 4:
            waiting.noted(str(tmp_path), "failed")
        if x == 5:
            tasks.note(tmp_path, "failed")
            raise ValueError("five is bad")
        return x

    got = []
    with pytest.raises(ValueError, match="five is bad"):
        got.extend(manyhands.imap(work, range(20), workers=2, backend=backend, chunk=1))
    assert got == [0, 1, 2, 3, 4]


def test_an_iterator_gives_what_comes_before_a_failure_in_its_own_chunk():
    got = []
    with pytest.raises(RuntimeError, match="cannot be rebuilt here"):
        got.extend(manyhands.imap(tasks.return_unloadable, range(6), workers=1, chunk=6))
    assert got == [0, 1, 2]


def test_results_that_cannot_be_compared_come_before_a_failure():
    def work(x):
        return np.zeros(2) if x == 0 else tasks.NotInParent(x)

    got = []
    with pytest.raises(RuntimeError, match="cannot be rebuilt here"):
        got.extend(manyhands.imap(work, range(2), workers=1, chunk=2))
    assert [value.shape for value in got] == [(2,)]


@pytest.mark.parametrize("backend", ["processes", "threads", "sequential"])
def test_numbers_beyond_all_use(backend):
    with manyhands.options(backend=backend, workers=1, idle_timeout=math.inf):
        for timeout in (1e300, 1e12, 20 * 86400):
            assert manyhands.map(tasks.spin, [0.15], timeout=timeout) == [0.15]
        with pytest.raises(ValueError, match="three is bad") as caught:
            manyhands.map(tasks.raise_value_error, [3], retries=1100)
        assert any("earlier attempt 1100:" in note for note in caught.value.__notes__)
        with pytest.raises(ValueError, match=r"^chunk=1180591620717411303424 is not allowed; .* at most 1,000,000,000"):
            manyhands.map(tasks.square, [1], chunk=2**70)
    with pytest.raises(manyhands.TaskTimeout):
        manyhands.map(tasks.spin, [0.1], timeout=1e-10, backend=backend)


@pytest.mark.parametrize("how", ["raise", "kill"])
def test_retries(how, tmp_path):
    values = manyhands.map(tasks.fail_until, range(4), [str(tmp_path)] * 4, [2] * 4, [how] * 4, retries=2, workers=2, backoff=0.001)
    assert values == [0, 1, 2, 3]


def test_retries_end_and_every_attempt_is_noted(tmp_path):
    with pytest.raises(ConnectionError) as caught:
        manyhands.map(tasks.fail_until, [0], [str(tmp_path)], [9], retries=2)
    notes = "\n".join(caught.value.__notes__)
    assert "earlier attempt 1: ConnectionError: run 1" in notes
    assert "earlier attempt 2: ConnectionError: run 2" in notes
    assert str(caught.value) == "run 3"


def test_retry_on_chooses(tmp_path):
    with pytest.raises(ConnectionError, match="run 1"):
        manyhands.map(tasks.fail_until, [0], [str(tmp_path)], [1], retries=5, retry_on=manyhands.WorkerDied)
    killed = manyhands.map(tasks.fail_until, [1], [str(tmp_path)], [1], ["kill"], retries=5, retry_on=manyhands.WorkerDied)
    assert killed == [1]


def test_async():
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
        return values, beats

    values, beats = asyncio.run(main())
    assert values == [x * x for x in range(300)]
    assert beats > 0


def test_async_for_left_early_ends_the_call():
    async def main():
        stream = manyhands.aimap(tasks.square, itertools.count(), workers=2)
        async for value in stream:
            if value > 100:
                break
        await stream.aclose()

    asyncio.run(main())


def test_threads_share_one_pool():
    results = {}

    def work(number):
        results[number] = manyhands.map(tasks.add, range(500), [number] * 500, workers=2, chunk=5)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [x + n for x in range(500)] for n in range(8)}
    assert len(set(manyhands.map(tasks.pid, range(50), workers=2, chunk=1))) <= 2


def test_a_short_call_is_not_kept_waiting_by_a_long_one(tmp_path):
    """Both share two workers; the short one gets its turn."""
    with manyhands.imap(tasks.spin, itertools.repeat(0.002), workers=2) as long:
        next(long)
        order = []
        short = threading.Thread(target=lambda: order.append(manyhands.map(tasks.square, range(20), workers=2, chunk=1)))
        short.start()
        while short.is_alive():
            next(long)
        short.join()
    assert order == [[x * x for x in range(20)]]


def test_priority():
    """One worker; what is submitted last with the highest priority runs before what waits."""
    with manyhands.Executor(1) as executor:
        order = []
        first = executor.submit(tasks.spin, 0.2)
        low = [executor.submit(tasks.spin, 0.01) for _ in range(5)]
        high = executor.with_options(priority=1).submit(tasks.spin, 0.01)
        for future in [first, *low, high]:
            future.add_done_callback(order.append)
        high.result()
        assert order.index(high) <= 1 or order.index(high) < order.index(low[-1])
        for future in low:
            future.result()
    assert order.index(high) < order.index(low[0])


def test_nested_calls_share_the_processors():
    assert manyhands.map(tasks.nested, [10, 20, 30], workers=2) == [sum(x * x for x in range(n)) for n in (10, 20, 30)]


def test_nested_pools_of_processes():
    def inner(n):
        with manyhands.Executor(2) as executor:
            return sum(executor.map(tasks.square, range(n)))

    assert manyhands.map(inner, [5, 6], workers=2) == [30, 55]


def test_nested_calls_can_be_stopped_and_crash_alone():
    def inner(n):
        outcomes = manyhands.map(tasks.hang if n else tasks.hard_exit, range(5), errors="return", **({"timeout": 0.3} if n else {}))
        return [type(value.error).__name__ if isinstance(value, manyhands.Failure) else value for value in outcomes]

    found = manyhands.map(inner, [0, 1], workers=manyhands.cpu_count() + 1)
    assert found == [[0, 1, 2, "WorkerDied", 4], [0, 1, 2, "TaskTimeout", 4]]


def until_error(iterator):
    """What an iterator gives, and what it raises at last."""
    taken = []
    try:
        for value in iterator:
            taken.append(value)
    except KeyError as error:
        return taken, error.args
    return taken, None


@pytest.mark.parametrize("backend", ["processes", "threads", "sequential"])
@pytest.mark.parametrize("ordered", [True, False])
def test_results_of_the_inputs_before_one_that_cannot_be_read_come_first(backend, ordered):
    def inputs():
        yield from range(5)
        raise KeyError("no more")

    with manyhands.imap(tasks.square, inputs(), backend=backend, ordered=ordered) as results:
        taken, error = until_error(results)
    assert (sorted(taken), error) == ([0, 1, 4, 9, 16], ("no more",))
    parallel = manyhands.Parallel(2, backend, return_as="generator" if ordered else "generator_unordered")
    taken, error = until_error(parallel(manyhands.delayed(tasks.square)(n) for n in inputs()))
    assert (sorted(taken), error) == ([0, 1, 4, 9, 16], ("no more",))


def test_inputs_are_not_closed_when_the_call_is_left_early():
    inputs = (n for n in range(1000))
    with manyhands.imap(tasks.square, inputs, buffer=2, chunk=1, workers=1) as results:
        assert next(results) == 0
    assert next(inputs) > 0


def test_an_iterator_that_is_dropped_ends_its_call(tmp_path):
    results = manyhands.imap(tasks.hang, [0, 1, 2, tasks.BAD, 4], [str(tmp_path)] * 5, workers=1, chunk=1)
    assert next(results) == 0
    waiting.noted(tmp_path, "started")
    gc.disable()
    try:
        del results
    finally:
        gc.enable()
    assert manyhands.map(tasks.square, [1, 2], workers=1) == [1, 4]  # the one worker hangs no more


def test_thread_budget_of_workers():
    def seen(_):
        import os

        return os.environ["OMP_NUM_THREADS"], manyhands.cpu_count()

    manyhands.shutdown()
    [(threads, cpus)] = set(manyhands.map(seen, range(4), workers=manyhands.cpu_count()))
    assert (threads, cpus) == ("1", 1)


def test_decorated_without_wraps():
    def track(fn):
        def wrapper(*args):
            return fn(*args) + 1

        return wrapper

    assert manyhands.map(track(tasks.square), [1, 2]) == [2, 5]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", 2.5),
        ("chunk", 0),
        ("chunk", "big"),
        ("timeout", 0),
        ("timeout", -1),
        ("retries", -1),
        ("retry_on", 5),
        ("errors", "ignore"),
        ("progress", 1),
        ("ordered", None),
        ("backend", 7),
        ("priority", "high"),
    ],
)
def test_bad_arguments_are_named_at_once(name, value):
    with pytest.raises(ValueError, match=name) as caught:
        manyhands.map(tasks.square, [1], **{name: value})
    assert repr(value) in str(caught.value)


def test_more_bad_arguments():
    for wrong in (5, None):
        for call in (manyhands.map, manyhands.imap, manyhands.aimap):
            with pytest.raises(TypeError, match=f"^fn={wrong} is not callable"):
                call(wrong, [1])
    with pytest.raises(TypeError, match="no inputs"):
        manyhands.map(tasks.square)
    with pytest.raises(manyhands.BackendMissing, match=r"'magic' is not known.*'processes'"):
        manyhands.map(tasks.square, [1], backend="magic")
    with pytest.raises(TypeError, match="colour"), manyhands.options(colour="red"):
        pass


def test_options_of_a_block():
    with manyhands.options(errors="skip", workers=1):
        assert manyhands.map(tasks.raise_value_error, range(5)) == [0, 1, 2, 4]
        with manyhands.options(workers=2):
            assert manyhands.map(tasks.raise_value_error, range(5)) == [0, 1, 2, 4]
        with pytest.raises(ValueError, match="three"):
            manyhands.map(tasks.raise_value_error, range(5), errors="raise")


def test_options_from_the_environment(monkeypatch):
    monkeypatch.setenv("MANYHANDS_WORKERS", "1")
    assert len(set(manyhands.map(tasks.pid, range(20), chunk=1))) == 1
    monkeypatch.setenv("MANYHANDS_WORKERS", "many")
    with pytest.raises(ValueError, match="MANYHANDS_WORKERS='many'"):
        manyhands.map(tasks.pid, range(20))


class OnlyWrites:
    """What a program may put in the place of standard error."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


def test_progress_where_standard_error_is_a_makeshift(monkeypatch):
    stream = OnlyWrites()
    monkeypatch.setattr("sys.stderr", stream)
    assert manyhands.map(tasks.square, range(10), progress=True, workers=1) == [x * x for x in range(10)]
    assert "10/10 tasks" in stream.text


def test_progress_where_standard_error_is_closed(monkeypatch, tmp_path):
    with open(tmp_path / "log", "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
    assert manyhands.map(tasks.square, range(3), progress=True, workers=1) == [0, 1, 4]


def test_progress_without_a_terminal(capsys):
    manyhands.map(tasks.square, range(10), progress=True, workers=1)
    output = capsys.readouterr()
    assert output.out == ""
    assert "10/10 tasks" in output.err


@pytest.mark.load
def test_sixty_four_workers():
    values = manyhands.map(tasks.square, range(20_000), workers=64, chunk=1)
    assert values == [x * x for x in range(20_000)]


@pytest.mark.load
def test_a_million_tasks_in_bounded_memory():
    import psutil

    process = psutil.Process()
    total = 0
    base = None
    for index, value in enumerate(manyhands.imap(tasks.identity, range(1_000_000), workers=2)):
        total += value
        if index == 100_000:
            base = process.memory_info().rss
    assert total == sum(range(1_000_000))
    assert process.memory_info().rss - base < 50e6


@pytest.mark.parametrize("chunk", [1, 10, "auto"])
def test_one_array_refilled_by_a_generator_for_each_task(chunk):
    def arrays():
        array = np.zeros(3)
        for value in range(1000):
            array[:] = value
            yield array

    expected = list(range(1000))
    assert [int(v) for v in manyhands.map(np.max, arrays(), workers=2, chunk=chunk)] == expected
    assert [int(v) for v in manyhands.imap(np.max, arrays(), workers=2, chunk=chunk)] == expected
    calls = (manyhands.delayed(np.max)(array) for array in arrays())
    assert [int(v) for v in manyhands.Parallel(n_jobs=2, batch_size=chunk)(calls)] == expected


def test_stop_iteration_of_a_task():
    def stop(x):
        raise StopIteration(x)

    with pytest.raises(StopIteration):
        manyhands.map(stop, [1])
    with pytest.raises(RuntimeError, match="task 0 raised StopIteration, which an iterator cannot pass on") as caught:
        list(manyhands.imap(stop, [1]))
    assert isinstance(caught.value.__cause__, StopIteration)
    assert "raised by task 0:" in caught.value.__cause__.__notes__[0]

    async def main():
        return [value async for value in manyhands.aimap(stop, [1])]

    with pytest.raises(RuntimeError, match="task 0 raised StopIteration"):
        asyncio.run(main())


def test_cancelling_an_async_iteration_does_not_wait_for_its_tasks(tmp_path):
    async def main():
        stream = manyhands.aimap(tasks.hang, [3, 3], [str(tmp_path)] * 2, workers=2)
        taking = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(waiting.noted, tmp_path, "started", 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(taking, 0.01)
        begin = time.monotonic()
        await stream.aclose()
        assert time.monotonic() - begin < 10

    asyncio.run(main())
    assert all(waiting.gone(int(pid)) for pid in waiting.noted(tmp_path, "started"))


def test_cancelling_an_async_iteration_does_not_wait_for_its_inputs():
    asked, more = threading.Event(), threading.Event()

    def inputs():
        yield 1
        asked.set()
        more.wait(20)
        yield 2

    async def main():
        stream = manyhands.aimap(tasks.square, inputs(), workers=1, buffer=1)
        assert await anext(stream) == 1
        taking = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(asked.wait, 20)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        await stream.aclose()
        assert not more.is_set()
        assert "manyhands-aimap_0" in {thread.name for thread in threading.enumerate()}
        more.set()

    asyncio.run(main())
    waiting.until(lambda: not any(thread.name.startswith("manyhands-aimap") for thread in threading.enumerate()))


def test_an_async_iteration_leaves_no_thread(tmp_path):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name.startswith("manyhands-aimap")]

    async def main():
        assert [value async for value in manyhands.aimap(tasks.square, range(3))] == [0, 1, 4]
        assert not threads()
        with pytest.raises(ValueError, match="three is bad"):
            async for _ in manyhands.aimap(tasks.raise_value_error, range(9)):
                pass
        assert not threads()
        stream = manyhands.aimap(tasks.square, itertools.count())
        await anext(stream)
        await stream.aclose()
        assert not threads()

    asyncio.run(main())


def test_bad_arguments_of_an_async_iteration_are_told_at_once():
    with pytest.raises(TypeError, match="bogus"):
        manyhands.aimap(tasks.square, [1], bogus=3)
    with pytest.raises(ValueError, match="workers=0 is not allowed"):
        manyhands.aimap(tasks.square, [1], workers=0)


def test_classes_of_the_main_program_are_not_changed_by_results():
    class Local:
        tag = 1

    def change(_):
        Local.tag = 77
        return Local()

    [result] = manyhands.map(change, [0])
    assert type(result) is Local
    assert Local.tag == 1


class Stubborn(Exception):
    """Forbids attributes, and so notes."""

    def __setattr__(self, name, value):
        raise TypeError("no attributes")


class BadText(Exception):
    def __str__(self):
        raise SystemExit(1)


class TextSubclass(str):
    __slots__ = ()


class OddText(Exception):
    def __str__(self):
        return TextSubclass("odd")


@pytest.mark.parametrize("kind", [Stubborn, BadText, OddText, KeyboardInterrupt, UnicodeDecodeError, RecursionError, ExceptionGroup])
def test_strange_exceptions_come_home(kind):
    def fail(_):
        if kind is UnicodeDecodeError:
            b"\xff".decode("utf-8")
        if kind is ExceptionGroup:
            raise ExceptionGroup("group", [ValueError(1), TypeError(2)])
        raise kind("text")

    [failure] = manyhands.map(fail, [0], errors="return")
    if kind in {Stubborn, OddText, UnicodeDecodeError, RecursionError, ExceptionGroup}:
        assert type(failure.error) is kind
    else:
        assert failure.error.type_name.split(".")[-1] == kind.__name__
    if kind is ExceptionGroup:
        assert [type(e) for e in failure.error.exceptions] == [ValueError, TypeError]
    if kind is UnicodeDecodeError:
        assert failure.error.object == b"\xff"


def test_an_abandoned_iterator_in_a_cycle():
    """Collected in the middle of anything, it must not disturb it."""
    import gc

    class Holder:
        pass

    for _ in range(30):
        holder = Holder()
        holder.me = holder
        holder.results = manyhands.imap(tasks.square, itertools.count(), workers=2)
        next(holder.results)
        del holder
        assert manyhands.map(tasks.square, range(200), workers=2, chunk=1) == [x * x for x in range(200)]
    gc.collect()


def test_a_signal_handler_that_raises_hurts_nobody(tmp_path):
    import signal

    class Alarm(Exception):
        pass

    def ring(*_):
        raise Alarm

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        with manyhands.Executor(2) as executor:
            future = executor.submit(waiting.noted, str(tmp_path), "go")
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Alarm):
                future.result()
            tasks.note(tmp_path, "go", "x")
            assert future.result(timeout=20) == ["x"]
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_tracebacks_show_the_users_frames_only():
    def fail(_):
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as caught:
        manyhands.map(fail, [1])
    assert "_worker.py" not in str(caught.value.__cause__)
    assert "in fail" in str(caught.value.__cause__)


def test_ctrl_c_reaches_tasks_that_run_here():
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        manyhands.map(interrupt, [1, 2], backend="sequential", errors="return")


def test_what_was_given_up_has_not_failed():
    with manyhands.imap(tasks.spin, [0.02] * 100, workers=2, chunk=1) as results:
        next(results)
    counts = results.statistics()
    assert counts.failed == 0
    assert counts.ended < 100


def test_progress_of_a_call_that_was_interrupted(tmp_path):
    code = """
        import sys, tasks, manyhands
        manyhands.map(tasks.hang, range(300), [sys.argv[1]] * 300, workers=2, chunk=1, progress=True)
    """
    with scripts.started(code, str(tmp_path)) as process:
        waiting.noted(tmp_path, "started")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert re.search(r"\d+/300 tasks, [\d,.]+/s, [\d.]+ s, interrupted\n", errors)
    assert "failed" not in errors.split("Traceback")[0]


def test_inputs_must_be_iterable():
    with pytest.raises(TypeError, match=r"iterables: number 2 after the function is 5, an int; it must be iterable"):
        manyhands.map(tasks.add, [1], 5)


class Hesitant(collections.deque):
    """Whoever looks into it or puts something into it is held up, as by another thread's turn."""

    def __bool__(self):
        found = len(self) > 0
        if not found:
            time.sleep(0.03)
        return found

    def append(self, item):
        super().append(item)
        time.sleep(0.005)


def test_results_that_another_thread_brings_in_the_last_moment_are_there(monkeypatch):
    """The caller looks for results and whether all tasks have ended, while the other thread drives: in either order."""
    make = _stream.Arrivals.__init__

    def make_hesitant(arrivals):
        make(arrivals)
        if threading.current_thread() is threading.main_thread():
            arrivals.raw = Hesitant()

    monkeypatch.setattr(_stream.Arrivals, "__init__", make_hesitant)
    stop = threading.Event()

    def drive():
        while not stop.is_set():
            manyhands.map(tasks.spin, [0.005] * 20, workers=2)

    other = threading.Thread(target=drive)
    other.start()
    try:
        for n in [1, 5] * 3:
            assert manyhands.map(tasks.square, range(n), workers=2, chunk=1) == [i * i for i in range(n)]
    finally:
        stop.set()
        other.join()
