"""How many processors there are, and that no more threads than that compute; and that the log tells who gets fewer than asked for."""

from __future__ import annotations

import errno
import logging
import os
import threading

import pytest
import scripts
import tasks

import manyhands
from manyhands._engine import _launch, _notices, _worker_process
from manyhands._wire import _cpus
from manyhands.backends import _choice

# ------------------------------------------------------------ how many there are


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 processors, with control groups to be written to ``tmp_path``."""
    own, groups = tmp_path / "self", tmp_path / "groups"
    own.mkdir()
    groups.mkdir()
    monkeypatch.setattr(_cpus, "_OWN", str(own))
    monkeypatch.setattr(_cpus, "_GROUPS", str(groups))
    monkeypatch.setattr(_cpus, "_complained", set())
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for name in ("MANYHANDS_CPUS", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(name, raising=False)

    def make(cgroup="", files=None):
        (own / "cgroup").write_text(cgroup)
        for name, text in (files or {}).items():
            path = groups / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        _cpus._machine_and_quota.cache_clear()

    make()
    yield make
    _cpus._machine_and_quota.cache_clear()


TWO = "0::/a/b/c\n"
ONE = "5:memory:/x\n4:cpu,cpuacct:/a/b\n1:name=systemd:/y\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "count"),
    [
        ("", {}, 64),
        (TWO, {}, 64),
        (TWO, {"a/b/c/cpu.max": "max 100000", "a/cpu.max": "max 100000"}, 64),
        (TWO, {"a/b/c/cpu.max": "400000 100000"}, 4),
        (TWO, {"a/b/c/cpu.max": "800000 100000", "a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        (TWO, {"a/b/c/cpu.max": "200000 100000", "a/cpu.max": "300000 100000"}, 2),
        (TWO, {"cpu.max": "500000 100000"}, 5),  # in a container, the root is the own group
        (TWO, {"a/b/c/cpu.max": "150000 100000"}, 2),  # rounded up: half a processor more is not idle
        (TWO, {"a/b/c/cpu.max": "20000 100000"}, 1),
        (TWO, {"a/b/c/cpu.max": "garbage"}, 64),
        (TWO, {"a/b/c/d/cpu.max": "100000 100000", "e/cpu.max": "100000 100000"}, 64),  # others
        (ONE, {"cpu/a/b/cpu.cfs_quota_us": "-1", "cpu/a/b/cpu.cfs_period_us": "100000"}, 64),
        (ONE, {"cpu/a/b/cpu.cfs_quota_us": "700000", "cpu/a/b/cpu.cfs_period_us": "100000"}, 7),
        (
            ONE,
            {
                "cpu/a/b/cpu.cfs_quota_us": "700000",
                "cpu/a/b/cpu.cfs_period_us": "100000",
                "cpu/a/cpu.cfs_quota_us": "100000",
                "cpu/a/cpu.cfs_period_us": "50000",
            },
            2,
        ),
        (ONE, {"cpu,cpuacct/a/cpu.cfs_quota_us": "600000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"}, 6),
        (ONE, {"cpu/a/cpu.cfs_quota_us": "600000", "cpu/a/cpu.cfs_period_us": "0"}, 64),
        (ONE + TWO, {"cpu/a/b/cpu.cfs_quota_us": "900000", "cpu/a/b/cpu.cfs_period_us": "100000", "a/cpu.max": "800000 100000"}, 8),
    ],
)
def test_quotas_of_control_groups(machine, cgroup, files, count):
    machine(cgroup, files)
    assert manyhands.cpu_count() == count


@pytest.mark.parametrize(
    ("env", "count"),
    [
        ({"LOKY_MAX_CPU_COUNT": "3"}, 3),
        ({"LOKY_MAX_CPU_COUNT": "3", "MANYHANDS_CPUS": "5"}, 5),
        ({"MANYHANDS_CPUS": "2"}, 2),
        ({"MANYHANDS_CPUS": "100"}, 64),
        ({"MANYHANDS_CPUS": "", "LOKY_MAX_CPU_COUNT": "7"}, 7),
    ],
)
def test_variables(machine, monkeypatch, env, count):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert manyhands.cpu_count() == count


@pytest.mark.parametrize("name", ["MANYHANDS_CPUS", "LOKY_MAX_CPU_COUNT"])
@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5"])
def test_what_is_no_number_is_told_once(machine, monkeypatch, name, value, recwarn):
    monkeypatch.setenv(name, value)
    with pytest.warns(UserWarning, match=f"{name}='{value}' is no number of processors"):
        assert manyhands.cpu_count() == 64
    assert manyhands.cpu_count() == 64


def test_affinity(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7})
    assert manyhands.cpu_count() == 3


def test_workers_of_a_program_that_is_limited(tmp_path):
    done = scripts.run("import manyhands; print(manyhands.map(lambda _: manyhands.cpu_count(), [1]))", LOKY_MAX_CPU_COUNT="1")
    assert (done.stdout, done.stderr) == ("[1]\n", "")


# ------------------------------------------------------------ workers


def test_what_the_user_has_set_of_threads_stays():
    chosen = _worker_process.chosen_variables
    assert chosen({"PATH": "/bin"}) == set()
    assert chosen({"OMP_NUM_THREADS": "4", "PATH": "/bin"}) == {"OMP_NUM_THREADS"}
    share = {"MANYHANDS_WORKER": "1", "MANYHANDS_CPUS": "4", "OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}
    assert chosen(share) == set()  # a worker's share is not what its own workers may use
    assert chosen({**share, "MKL_NUM_THREADS": "2"}) == {"MKL_NUM_THREADS"}
    assert chosen({"MANYHANDS_CPUS": "4", "OMP_NUM_THREADS": "4"}) == {"OMP_NUM_THREADS"}


def blas(_=None):
    """How many threads each numeric library uses."""
    import threadpoolctl

    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def test_workers_that_have_numpy_before_they_are_told():
    pytest.importorskip("threadpoolctl")
    import numpy as np

    assert np.ones(2).sum() == 2
    with manyhands.Executor(manyhands.cpu_count(), start_method="fork") as executor:
        assert set(executor.submit(blas).result()) == {1}


# ------------------------------------------------------------ threads


@pytest.fixture
def before(monkeypatch):
    """What numeric libraries use outside: more than one thread each."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    monkeypatch.setattr("manyhands.backends._thread_budget.cpu_count", lambda: 4)
    with threadpoolctl.threadpool_limits(4, "blas"):
        if set(blas()) != {4}:
            pytest.skip("these libraries cannot be told how many threads to use")
        yield [4] * len(blas())
        assert set(blas()) == {4}


@pytest.mark.parametrize(("workers", "each"), [(1, 4), (2, 2), (4, 1), (8, 1)])
def test_threads_times_threads(before, workers, each):
    found = manyhands.map(blas, range(8), backend="threads", workers=workers)
    assert {count for counts in found for count in counts} == {each}
    assert blas() == before
    assert {count for counts in manyhands.map(blas, [0], backend="threads", workers=workers) for count in counts} == {4}  # one task


def test_calls_at_a_time(before):
    inside, go_on = threading.Barrier(3), threading.Barrier(3)

    def look(wait):
        if wait:
            inside.wait(20)
            go_on.wait(20)
        return blas()

    def call():
        return manyhands.map(look, [True, False], backend="threads", workers=2)

    callers = manyhands.ThreadPool(2)
    results = [callers.apply_async(call) for _ in range(2)]
    inside.wait(20)
    assert set(blas()) == {1}  # 2 threads of each call, and 2 that make the calls
    go_on.wait(20)
    for result in results:
        assert {count for counts in result.get(20) for count in counts} <= {1, 2}
    callers.close()
    callers.join()
    assert blas() == before


def test_a_pool_of_threads_that_is_idle_holds_nothing(before):
    with manyhands.ThreadPool(4) as pool:
        for _ in range(3):
            assert set(pool.apply(blas)) == {1}
            assert blas() == before
        assert {count for counts in pool.map(blas, range(8)) for count in counts} == {1}
        assert blas() == before
        with pytest.raises(ZeroDivisionError):
            pool.apply(divmod, (1, 0))
        assert blas() == before
        pool.close()
        pool.join()


def test_what_the_user_sets_meanwhile_stays(before):
    import threadpoolctl

    def set_three(_):
        threadpoolctl.threadpool_limits(3, "blas")

    manyhands.map(set_three, range(2), backend="threads", workers=2)
    assert set(blas()) == {3}
    threadpoolctl.threadpool_limits(1, "blas")
    assert {count for counts in manyhands.map(blas, range(2), backend="threads", workers=2) for count in counts} == {1}  # never more
    assert set(blas()) == {1}
    threadpoolctl.threadpool_limits(4, "blas")


def test_tasks_that_are_given_up_hold_the_limit_until_they_end(before):
    event = threading.Event()

    def wait(x):
        if not x:
            event.wait(20)
        return x

    found = manyhands.map(wait, range(3), backend="threads", workers=2, timeout=0.2, errors="return")
    assert isinstance(found[0], manyhands.Failure)
    assert set(blas()) == {2}
    event.set()
    import waiting

    waiting.until(lambda: blas() == before)


class FakeOpenMP:
    """As libgomp: how many threads there are is a matter of the thread that asks."""

    user_api, filepath = "openmp", "libfake.so"

    def __init__(self):
        self._here = threading.local()

    @property
    def num_threads(self):
        return getattr(self._here, "threads", 4)

    def set_num_threads(self, count):
        self._here.threads = count


def test_openmp_counts_for_each_thread(monkeypatch):
    from manyhands.backends import _thread_budget

    fake = FakeOpenMP()
    budget = _thread_budget.Budget()
    monkeypatch.setattr(_thread_budget, "_look", lambda: [fake])
    monkeypatch.setattr(_thread_budget, "cpu_count", lambda: 4)
    monkeypatch.setattr("manyhands.backends.threads.budget", budget)
    import numpy as np  # noqa: F401

    with manyhands.ThreadPool(2) as pool, manyhands.ThreadPool(2) as other:
        for _ in range(2):
            assert pool.map(lambda _: fake.num_threads, range(4)) == [2] * 4
            assert pool.apply(lambda: other.apply(lambda: fake.num_threads)) == 1
            assert fake.num_threads == 4
        for one in (pool, other):
            one.close()
            one.join()


def test_without_numeric_libraries_nothing_is_loaded(tmp_path):
    done = scripts.run(
        """
        import sys, manyhands
        print(manyhands.map(abs, [-1, 2], backend="threads", workers=2), "threadpoolctl" in sys.modules, "numpy" in sys.modules)
        """
    )
    assert (done.stdout, done.stderr) == ("[1, 2] False False\n", "")


# ------------------------------------------------------------ the log


@pytest.fixture
def told(monkeypatch, caplog):
    monkeypatch.setattr(_notices, "_told", set())
    caplog.set_level(logging.INFO, "manyhands")
    return caplog


def test_nested_calls_that_have_fewer_workers_say_so(told, monkeypatch):
    monkeypatch.setenv("MANYHANDS_WORKER", "1")
    monkeypatch.setattr(_choice, "cpu_count", lambda: 1)
    for _ in range(2):
        assert manyhands.map(tasks.square, [2], workers=4) == [4]
    assert [(r.name, r.levelname) for r in told.records] == [("manyhands", "INFO")]
    assert "a nested call runs in its worker itself" in told.text
    told.clear()
    monkeypatch.setattr(_choice, "cpu_count", lambda: 2)
    for _ in range(2):
        assert manyhands.map(tasks.square, [2], workers=4) == [4]
    assert "asked for 4 workers, and has 2" in told.text
    assert len(told.records) == 1


def test_who_asks_for_one_is_told_nothing(told, monkeypatch):
    assert manyhands.map(tasks.square, [2], workers=1) == [4]
    assert manyhands.map(tasks.square, [2], backend="sequential") == [4]
    monkeypatch.setenv("MANYHANDS_WORKER", "1")
    assert manyhands.map(tasks.square, [2], workers=1, backend="threads") == [4]
    assert manyhands.map(tasks.square, [2], workers=2, backend="sequential") == [4]
    assert not told.records


def test_no_room_for_more_workers_is_told(told, monkeypatch):
    begun = []
    spawn = _launch.spawn

    def spawn_one(fds):
        if begun:
            raise OSError(errno.EAGAIN, "no more processes")
        begun.append(spawn(fds))
        return begun[0]

    monkeypatch.setattr(_launch, "spawn", spawn_one)
    with manyhands.Executor(3, start_method="spawn") as executor:
        assert list(executor.map(tasks.square, range(20))) == [n * n for n in range(20)]
    assert [r.levelname for r in told.records] == ["WARNING"]
    assert "no more processes" in told.text
