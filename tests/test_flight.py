"""One computes, the others wait: threads, tasks, processes; and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

import manyhands
from manyhands.memory import _waits
from manyhands.memory._entry import Meta
from manyhands.memory._flight import flight
from manyhands.memory._store import Store

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path))
    yield store
    store.close()
    assert os.listdir(store.folder.locks) == []


def computed(store, key, compute):
    """As a cached function does it."""
    while True:
        with flight(store, key) as is_mine:
            if is_mine:
                value = compute()
                store.put(key, value, Meta("f"))
                return value
        hit = store.get(key)
        if hit is not None:
            return hit.value


def note(path):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"x")
    os.close(fd)


def count(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def fork(work):
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def ended_well(*pids):
    return [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)


def run_threads(*works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Gate:
    """Of a pipe: processes wait until it is opened."""

    def __init__(self):
        self.read, self.write = os.pipe()

    def wait(self):
        os.read(self.read, 1)

    def open(self, times=1):
        os.write(self.write, b"x" * times)

    def close(self):
        os.close(self.read)
        os.close(self.write)


@pytest.fixture
def gates():
    made = [Gate(), Gate(), Gate()]
    yield made
    for gate in made:
        gate.close()


# ---------------------------------------------------------------- one computes


def test_sixteen_processes_on_one_key_compute_once(store, tmp_path, gates):
    start, calls = gates[0], str(tmp_path / "calls")

    def compute():
        note(calls)
        return 42

    def work():
        start.wait()
        assert computed(store, A, compute) == 42

    pids = [fork(work) for _ in range(16)]
    start.open(16)
    assert ended_well(*pids)
    assert count(calls) == 1


def test_threads_of_several_processes_compute_once(store, tmp_path):
    calls = str(tmp_path / "calls")

    def compute():
        note(calls)
        return 42

    def work():
        run_threads(*[lambda: computed(store, A, compute)] * 8)

    assert ended_well(*[fork(work) for _ in range(4)])
    assert count(calls) == 1


def cached(store, calls, x):
    def compute():
        note(calls)
        return x * x

    return computed(store, bytes([x]) * 16, compute)


@pytest.mark.parametrize("start", ["zygote", "fork"])
def test_tasks_of_a_pool_compute_each_distinct_value_once(store, tmp_path, start):
    calls = str(tmp_path / "calls")
    with manyhands.Executor(4, start_method=start) as executor:
        found = list(executor.map(cached, [store] * 40, [calls] * 40, [x % 5 for x in range(40)]))
    assert found == [(x % 5) ** 2 for x in range(40)]
    assert count(calls) == 5


def test_different_keys_do_not_wait_for_each_other(store):
    with flight(store, A) as first:
        run_threads(lambda: computed(store, B, int))
        assert first
    assert store.has(B)


def test_what_is_there_is_not_computed(store):
    store.put(A, 1, Meta("f"))
    with flight(store, A) as is_mine:
        assert not is_mine
    with flight(store, A, is_there=lambda: False) as is_mine:
        assert is_mine


# ---------------------------------------------------------------- whoever computes fails, or dies


def test_if_it_fails_another_computes(store):
    begun, calls = threading.Event(), []

    def fail():
        def compute():
            begun.set()
            raise ValueError("first")

        with pytest.raises(ValueError, match="first"):
            computed(store, A, compute)

    def second():
        begun.wait()
        computed(store, A, lambda: calls.append(1))

    run_threads(fail, second, second)
    assert calls == [1]


def test_if_it_is_killed_another_computes(store, tmp_path, gates):
    holds, calls = gates[0], str(tmp_path / "calls")

    def hold():
        with flight(store, A):
            holds.open()
            signal.pause()

    def compute():
        note(calls)
        return 5

    holder = fork(hold)
    holds.wait()
    waiters = [fork(lambda: computed(store, A, compute)) for _ in range(3)]
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert ended_well(*waiters)
    assert count(calls) == 1


def test_a_child_of_the_holder_does_not_keep_it(store, gates):
    holds, stay = gates[:2]

    def hold():
        with flight(store, A):
            fork(stay.wait)
            holds.open()
            signal.pause()

    holder = fork(hold)
    holds.wait()
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert computed(store, A, lambda: 3) == 3
    stay.open()


def test_lock_files_of_the_dead_are_swept_by_the_next_writer(store, gates):
    holds = gates[0]

    def hold():
        with flight(store, A):
            holds.open()
            signal.pause()

    holder = fork(hold)
    holds.wait()
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert os.listdir(store.folder.locks)
    other = Store(store.location)
    other.put(B, 1, Meta("f"))
    other.close()
    assert os.listdir(store.folder.locks) == []


def test_a_wait_can_be_interrupted(store, gates):
    holds, stay = gates[:2]

    def hold():
        with flight(store, A):
            holds.open()
            stay.wait()

    holder = fork(hold)
    holds.wait()
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            computed(store, A, int)
    finally:
        signal.signal(signal.SIGALRM, before)
    stay.open()
    assert ended_well(holder)
    assert computed(store, A, lambda: 3) == 3


# ---------------------------------------------------------------- never a deadlock


def test_recursion(store):
    depth = []

    def again():
        depth.append(1)
        return computed(store, A, lambda: 1) if len(depth) == 1 else 2

    assert computed(store, A, again) == 1


def test_threads_that_want_what_the_other_computes(store):
    barrier = threading.Barrier(2)

    def work(mine, other):
        def compute():
            barrier.wait()
            return computed(store, other, lambda: "nested")

        return lambda: computed(store, mine, compute)

    run_threads(work(A, B), work(B, A))
    assert store.has(A)
    assert store.has(B)


@pytest.mark.parametrize("keys", [(A, B), (A, B, C)], ids=["two", "three"])
def test_processes_that_want_what_the_next_one_computes(store, keys, gates):
    computes, go = gates[:2]

    def work(number):
        def compute():
            computes.open()
            go.wait()
            return computed(store, keys[(number + 1) % len(keys)], lambda: "nested")

        return lambda: computed(store, keys[number], compute)

    pids = [fork(work(number)) for number in range(len(keys))]
    for _ in pids:
        computes.wait()
    go.open(len(keys))
    assert ended_well(*pids)
    assert all(store.has(key) for key in keys)


def test_whoever_waits_without_a_circle_waits(store, tmp_path, gates):
    """One computes a, and waits for b; another computes c, and wants a: that is no circle."""
    holds, go = gates[:2]
    calls = str(tmp_path / "calls")

    def compute(key=None):
        note(calls)
        return computed(store, key, compute) if key else 1

    def hold_b():
        with flight(store, B):
            holds.open()
            go.wait()
            compute()
            store.put(B, 1, Meta("f"))

    pids = [fork(hold_b)]
    holds.wait()
    for key, wanted in ((A, B), (C, A)):
        pids.append(fork(lambda: computed(store, key, lambda: compute(wanted))))  # noqa: B023 - it runs at once
        while not any(name.startswith(f"{key.hex()}.{wanted.hex()}.") for name in os.listdir(store.folder.locks)):
            os.sched_yield()  # nobody tells when another waits
    go.open()
    assert ended_well(*pids)
    assert count(calls) == 3


def test_a_task_whose_pool_is_waited_for_does_not_wait(store):
    """The program computes A, and waits for tasks; one of them wants A."""

    def compute():
        with manyhands.Executor(1) as executor:
            return executor.submit(cached_a, store).result()

    assert computed(store, A, compute) == "nested"


def cached_a(store):
    return computed(store, A, lambda: "nested")


def test_notes():
    edges = {"a": {"b"}, "b": {"c", "d"}, "d": {"a"}}
    assert _waits.leads_back(edges, "b", ["a"])
    assert not _waits.leads_back(edges, "c", ["a"])
    assert not _waits.leads_back(edges, "b", ["e"])


# ---------------------------------------------------------------- event loops


def test_tasks_compute_once_and_the_loop_goes_on(store):
    calls = []

    async def one():
        async with flight(store, A) as is_mine:
            if is_mine:
                calls.append(1)
                await asyncio.sleep(0)
                store.put(A, 1, Meta("f"))
        return store.get(A).value

    async def all_of_them():
        return await asyncio.gather(*[one() for _ in range(10)])

    assert asyncio.run(all_of_them()) == [1] * 10
    assert calls == [1]


def test_a_loop_goes_on_while_another_process_computes(store, gates):
    holds, go = gates[:2]

    def hold():
        with flight(store, A):
            holds.open()
            go.wait()
            store.put(A, 1, Meta("f"))

    async def wait():
        async with flight(store, A) as is_mine:
            return is_mine

    async def main():
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        go.open()  # the loop gets here: it is not blocked
        return await waiting

    holder = fork(hold)
    holds.wait()
    assert asyncio.run(main()) is False
    assert ended_well(holder)


def test_a_task_that_is_cancelled_waits_no_more(store, gates):
    holds, go = gates[:2]

    def hold():
        with flight(store, A):
            holds.open()
            go.wait()

    async def wait():
        async with flight(store, A):
            pass

    async def main():
        waiting = asyncio.create_task(wait())
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    holder = fork(hold)
    holds.wait()
    asyncio.run(main())
    go.open()
    assert ended_well(holder)
    assert computed(store, A, lambda: 3) == 3


def test_a_loop_whose_task_computes_does_not_block_itself(store):
    async def main():
        async with flight(store, A) as is_mine:
            assert is_mine
            found = await asyncio.create_task(other())
            store.put(A, found, Meta("f"))

    async def other():
        return computed(store, A, lambda: 1)

    asyncio.run(main())
    assert store.get(A).value == 1


def test_recursion_by_a_task(store):
    async def compute(depth):
        async with flight(store, A) as is_mine:
            assert is_mine
            return 1 if depth else await asyncio.gather(compute(1))

    assert asyncio.run(compute(0)) == [1]


# ---------------------------------------------------------------- where there are no locks


def test_without_locks_everybody_computes(store, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    store.put(B, 1, Meta("f"))
    monkeypatch.setattr("fcntl.flock", no_locks)
    assert computed(store, A, lambda: 3) == 3
    monkeypatch.undo()
    for name in os.listdir(store.folder.locks):
        os.unlink(os.path.join(store.folder.locks, name))
