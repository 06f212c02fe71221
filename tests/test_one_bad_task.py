"""One task misbehaves: only it fails, whatever it does, whichever way it was submitted, and the pool goes on."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import pickle
import re
import signal
import time
from pathlib import Path

import pytest
import scripts
import tasks
import waiting
from tasks import BAD

import manyhands

INPUTS = range(6)
GOOD = [0, 1, 2, 4, 5]


def by_map(fn, inputs, **options):
    values = manyhands.map(fn, inputs, workers=2, errors="return", **options)
    return split(values, lambda v: isinstance(v, manyhands.Failure), lambda v: v.error)


def by_map_in_one_batch(fn, inputs, **options):
    return by_map(fn, inputs, chunk=6, **options)


def by_executor(fn, inputs, **options):
    with manyhands.Executor(2) as executor:
        chosen = executor.with_options(**options) if options else executor
        futures = [chosen.submit(fn, value) for value in inputs]
        values = [future.exception() or future.result() for future in futures]
        assert executor.submit(pow, 2, 5).result() == 32  # it goes on
    return split(values, lambda v: isinstance(v, BaseException), lambda v: v)


def by_parallel(fn, inputs, **options):
    """Parallel raises the one failure; the others are run without it to see that they are well."""
    options = {"timeout": options["timeout"]} if options else {}
    parallel = manyhands.Parallel(n_jobs=2, **options)
    inputs = list(inputs)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - looked at below
        parallel(manyhands.delayed(fn)(value) for value in inputs)
    rest = parallel(manyhands.delayed(fn)(value) for index, value in enumerate(inputs) if index != BAD)
    return rest, {BAD: caught.value}


def split(values, is_error, error_of):
    good = [value for value in values if not is_error(value)]
    return good, {index: error_of(value) for index, value in enumerate(values) if is_error(value)}


WAYS = [by_map, by_map_in_one_batch, by_executor, by_parallel]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def index_in(error):
    """The index that a message names."""
    return int(re.search(r"task (\d+)", "\n".join([str(error), *getattr(error, "__notes__", [])])).group(1))


@ways
@pytest.mark.parametrize(
    ("fn", "number", "cause"),
    [
        (tasks.kill_self, signal.SIGKILL, "killed from outside"),
        (tasks.segfault, signal.SIGSEGV, "fault in C code"),
    ],
    ids=["SIGKILL", "SIGSEGV"],
)
def test_worker_killed(way, fn, number, cause):
    good, failed = way(fn, INPUTS)
    assert good == GOOD
    assert list(failed) == [BAD]
    error = failed[BAD]
    assert isinstance(error, manyhands.WorkerDied)
    assert isinstance(error, concurrent.futures.process.BrokenProcessPool)
    assert error.exit_code == -number
    assert error.pid is not None
    text = str(error)
    assert str(error.pid) in text
    assert number.name in text
    assert cause in text
    assert f"{fn.__name__}(3)" in text
    assert index_in(error) == BAD


def test_the_last_stack_of_a_crash_is_in_the_message():
    _, failed = by_map(tasks.segfault, INPUTS)
    assert "in segfault" in failed[BAD].stack
    assert "in segfault" in str(failed[BAD])


@ways
def test_hard_exit(way):
    good, failed = way(tasks.hard_exit, INPUTS)
    assert good == GOOD
    assert isinstance(failed[BAD], manyhands.WorkerDied)
    assert failed[BAD].exit_code == 7
    assert "exit code 7" in str(failed[BAD])


@ways
def test_sys_exit_does_not_end_the_program(way):
    good, failed = way(tasks.soft_exit, INPUTS)
    assert good == GOOD
    assert isinstance(failed[BAD], manyhands.RemoteError)
    assert failed[BAD].type_name == "SystemExit"


@ways
def test_exception_comes_home_as_itself(way):
    good, failed = way(tasks.raise_value_error, INPUTS)
    assert good == GOOD
    error = failed[BAD]
    assert type(error) is ValueError
    assert error.args == ("three is bad",)
    assert 'raise ValueError("three is bad")' in str(error.__cause__)
    assert "raise_value_error(3)" in error.__notes__[0]


@ways
def test_exception_whose_constructor_does_not_fit(way):
    good, failed = way(tasks.raise_unloadable, INPUTS)
    assert good == GOOD
    assert type(failed[BAD]) is tasks.Unloadable
    assert failed[BAD].code == 42
    assert str(failed[BAD]) == "code 42 at here"


@ways
def test_exception_that_cannot_be_rebuilt(way):
    good, failed = way(tasks.raise_hopeless, INPUTS)
    assert good == GOOD
    error = failed[BAD]
    assert isinstance(error, manyhands.RemoteError)
    assert error.type_name == "tasks.Hopeless"
    assert error.text == "no way"
    assert "in raise_hopeless" in error.traceback
    assert error.reason == "TypeError: not in this process, raised when it was rebuilt"
    assert f"it has not come back as itself: {error.reason}" in error.__notes__


@ways
def test_result_that_does_not_pickle(way):
    good, failed = way(tasks.return_unpicklable, INPUTS)
    assert good == GOOD
    error = failed[BAD]
    assert isinstance(error, manyhands.NotSerializable)
    assert isinstance(error, pickle.PicklingError)
    assert error.path == "Holder.config['parts'][1]"
    assert "To mend it" in str(error)


@ways
def test_result_that_does_not_unpickle(way):
    good, failed = way(tasks.return_unloadable, INPUTS)
    assert good == GOOD
    assert str(failed[BAD]) == "cannot be rebuilt here"


def with_bad(make):
    return [make(index) if index == BAD else index for index in INPUTS]


@ways
def test_argument_that_does_not_unpickle(way):
    good, failed = way(tasks.identity, with_bad(tasks.NotInWorkers))
    assert good == GOOD
    assert str(failed[BAD]) == "cannot be rebuilt"


@ways
def test_argument_that_kills_while_it_is_unpickled(way):
    good, failed = way(tasks.identity, with_bad(tasks.KillsOnLoad))
    assert good == GOOD
    assert isinstance(failed[BAD], manyhands.WorkerDied)


@ways
def test_argument_that_does_not_pickle(way):
    good, failed = way(tasks.identity, with_bad(lambda _: (n for n in ())))
    assert good == GOOD
    assert isinstance(failed[BAD], manyhands.NotSerializable)
    assert "generator" in str(failed[BAD])
    assert f"so task {BAD} could not be sent" in failed[BAD].__notes__


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_an_argument_that_does_not_pickle_costs_no_other_result_of_executor_map(chunksize):
    with manyhands.Executor(1) as executor:
        results = executor.map(tasks.identity, with_bad(lambda _: (n for n in ())), chunksize=chunksize)
        assert [next(results) for _ in range(BAD)] == list(range(BAD))
        with pytest.raises(manyhands.NotSerializable, match="generator"):
            next(results)
        assert executor.submit(tasks.square, 3).result() == 9


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_executor_map_counts_its_own_tasks(chunksize):
    with manyhands.Executor(1) as executor:
        assert executor.submit(tasks.square, 3).result() == 9
        with pytest.raises(manyhands.WorkerDied) as caught:
            list(executor.map(tasks.kill_self, INPUTS, chunksize=chunksize))
        assert index_in(caught.value) == BAD


@ways
@pytest.mark.parametrize("fn", [tasks.hang, tasks.hang_in_c], ids=["asleep", "in C with the GIL"])
def test_timeout(way, fn):
    good, failed = way(fn, INPUTS, timeout=0.4)
    assert good == GOOD
    error = failed[BAD]
    assert isinstance(error, manyhands.TaskTimeout)
    assert isinstance(error, TimeoutError)
    assert error.seconds == 0.4
    assert f"{fn.__name__}(3)" in str(error)
    assert f"in {fn.__name__}" in error.stack


def test_tasks_of_a_batch_run_once_unless_they_had_to_run_again(tmp_path):
    """The culprit runs once; what stood behind it in its batch had not started, so it runs once, elsewhere."""
    values = manyhands.map(tasks.log_and_kill, INPUTS, [str(tmp_path)] * 6, workers=1, chunk=6, errors="return")
    assert [v for v in values if v is not values[BAD]] == GOOD
    runs = {x: sum(p.name.startswith(f"ran-{x}.") for p in tmp_path.iterdir()) for x in INPUTS}
    assert runs[BAD] == runs[4] == runs[5] == 1
    # Those before it had ended within the same millisecond: at most run again, never lost.
    assert all(1 <= runs[x] <= 2 for x in (0, 1, 2))


def test_one_failure_among_many_costs_one():
    values = manyhands.map(tasks.kill_self, range(5000), workers=2, errors="skip")
    assert values == [x for x in range(5000) if x != BAD]


def test_several_failures_first_in_order_others_noted():
    def fail(x):
        raise KeyError(x)

    with pytest.raises(KeyError) as caught:
        manyhands.map(fail, range(4), workers=2, chunk=4)
    assert caught.value.args == (0,)
    notes = "\n".join(caught.value.__notes__)
    assert "task 0: " in notes


@pytest.fixture
def small_group():
    """A control group with little memory; its first descriptor to join it. Only for who may make one."""
    versions = {"memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), "": ("memory.max", "memory.swap.max")}
    for folder, names in versions.items():
        group = Path("/sys/fs/cgroup", folder, f"manyhands-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / names[0]).write_text(str(300 << 20))
            with contextlib.suppress(OSError):
                (group / names[1]).write_text(str(300 << 20) if folder else "0")
            yield group
            return
        except OSError:
            continue
        finally:
            waiting.until(lambda group=group: not (group / "cgroup.procs").read_text())
            group.rmdir()
    pytest.skip("may not make a control group with a memory limit")


def test_the_kernel_takes_a_worker_when_memory_runs_out_and_the_error_says_so(small_group):
    code = """
        import os, sys, manyhands
        with open(sys.argv[1] + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
        mine = bytearray(b"x") * (60 << 20)
        def devour(x):
            kept = []
            while x == 2:
                kept.append(bytearray(b"x") * (1 << 20))
            return x
        results = manyhands.map(devour, range(4), workers=2, errors="return")
        print(results[:2] + results[3:], results[2].error)
    """
    done = scripts.run(code, str(small_group))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[0, 1, 3] worker ")
    assert "the kernel killed it because memory ran out" in done.stdout


def test_memory_limit():
    with manyhands.options(memory_limit="600MB"):
        values = manyhands.map(tasks.eat_memory, INPUTS, workers=2, errors="return")
    failed = values.pop(BAD)
    assert values == GOOD
    assert isinstance(failed.error, MemoryError)
    assert "memory_limit is 600 MiB" in "\n".join(failed.error.__notes__)
    assert str(failed.error) == "memory_limit is 600 MiB, and the task needed more"


def test_initializer_that_raises_is_reported_to_every_task():
    def bad_setup():
        raise OSError("no licence")

    with manyhands.Executor(2, initializer=bad_setup) as executor:
        for _ in range(2):
            future = executor.submit(tasks.square, 1)
            with pytest.raises(concurrent.futures.process.BrokenProcessPool, match="no licence") as caught:
                future.result()
            assert isinstance(caught.value.__cause__, OSError)


def test_workers_that_die_at_once_are_no_endless_loop():
    def suicidal_setup():
        tasks.hard_exit(BAD)

    with manyhands.Executor(2, initializer=suicidal_setup) as executor, pytest.raises(manyhands.WorkerDied, match="exit code 7"):
        executor.submit(tasks.square, 1).result()


class Explodes:
    def __reduce__(self):
        return os._exit, (77,)


class Stays:
    def __reduce__(self):
        return time.sleep, (3600,)


def test_an_argument_that_ends_whoever_unpickles_it_costs_only_its_task():
    results = manyhands.map(repr, [1, Explodes(), 3], workers=2, errors="return")
    assert [results[0], results[2]] == ["1", "3"]
    assert "exit code 77 while it ran task 1: repr(_exit(77))" in str(results[1].error)


def test_an_argument_that_never_unpickles_is_stopped():
    results = manyhands.map(repr, [1, Stays(), 3], workers=2, errors="return", timeout=0.3)
    assert [results[0], results[2]] == ["1", "3"]
    assert "task 1: repr(sleep(3600)) ran longer" in str(results[1].error)


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str]

    def __setstate__(self, state):
        assert "MANYHANDS_WORKER" in os.environ, "unpickled where it should only be shown"
        self.__dict__.update(state)


def test_arguments_are_shown_without_running_their_code():
    failed = manyhands.map(len, [Point(1, ["a"])], errors="return", workers=1)[0]
    assert "len(Point(x=1, tags=['a']))" in failed.error.__notes__[0]


@pytest.mark.parametrize("size", [190, 300])
def test_an_argument_larger_than_the_memory_limit_fails(size):
    large = b"x" * (size << 20)
    with manyhands.options(memory_limit="200MB"):
        results = manyhands.map(len, [b"a", large, b"ccc"], workers=2, errors="return", chunk=3)
    assert [results[0], results[2]] == [1, 3]
    assert isinstance(results[1].error, MemoryError)
    assert "memory_limit is 200 MiB" in str(results[1].error)


def write_everywhere(x):
    if x == BAD:
        for descriptor in range(3, 20):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"garbage" * 20)
        time.sleep(60)
    return x


@pytest.mark.parametrize("chunk", [1, 6])
def test_garbage_among_the_messages_of_a_worker_costs_one_task(chunk):
    results = manyhands.map(write_everywhere, INPUTS, workers=2, chunk=chunk, errors="return")
    good, bad = split(results, lambda v: isinstance(v, manyhands.Failure), lambda v: v.error)
    assert good == GOOD
    assert isinstance(bad[BAD], manyhands.WorkerDied)
    assert "the task wrote to a descriptor that was not its own" in str(bad[BAD])


def test_an_initializer_that_exits_is_named():
    with manyhands.Executor(1, initializer=os._exit, initargs=(3,)) as executor:
        assert "its initializer called os._exit()" in str(executor.submit(tasks.square, 1).exception())


def test_what_cannot_be_sent_names_its_task():

    failed = manyhands.map(len, [[1], [(x for x in ())]], errors="return")[1].error
    assert failed.__notes__ == ["so task 1 could not be sent"]
    with manyhands.Executor(1) as executor:
        error = executor.submit(len, [(x for x in ())]).exception()
    assert "an argument of len() cannot be sent" in error.__notes__[0]
    assert error.__notes__[1] == "so task 0 could not be sent"


def closes_descriptors(x):
    if x == BAD:
        os.closerange(3, 256)
    return x


def closes_descriptors_and_stays(x):
    closes_descriptors(x)
    if x == BAD:
        time.sleep(60)
    return x


@pytest.mark.parametrize("fn", [closes_descriptors, closes_descriptors_and_stays])
def test_a_task_that_closes_its_workers_connection_is_told_so(fn):
    good, bad = by_map(fn, INPUTS, chunk=1)
    assert (good, list(bad)) == (GOOD, [BAD])
    assert "was stopped while it ran task 3" in str(bad[BAD])
    assert "the task closed a descriptor that is not its own" in str(bad[BAD])


def seldom_slow(x):
    if x % 16 in {3, 4, 5, 6}:
        time.sleep(0.25)
    return x


def test_slow_tasks_among_quick_ones_have_a_time_each():
    """Their sum is beyond the time-out, none of them is; that most are quick was learnt before."""
    manyhands.map(seldom_slow, [0] * 20_000, workers=1)
    assert manyhands.map(seldom_slow, range(16), workers=1, chunk=16, timeout=0.6) == list(range(16))
