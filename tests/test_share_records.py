"""Records: fields in memory that all processes have, a lock that dies with its holder, and nothing left behind."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import enum
import gc
import math
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import resource_tracker
from typing import Annotated, ClassVar

import numpy as np
import pytest
import scripts
from hypothesis import given
from hypothesis import strategies as st
from test_large_data import segments

import manyhands
from manyhands import local, lock, share, snapshot
from manyhands.errors import LockAbandoned
from manyhands.sharing.records import Array, Bytes, Text

pytestmark = pytest.mark.timeout(120)


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


@share.record
class Point:
    x: float
    y: float = 1.5

    def norm(self):
        return math.hypot(self.x, self.y)


@share.record
class Stats:
    count: int
    total: float
    flag: bool
    phase: complex
    name: Text[8] = "none"
    digest: Bytes[4] = b"\0\1"
    color: Color = Color.BLUE
    hist: Array["f8", 6]  # noqa: F821, UP037 - it is a dtype
    table: Array[np.int32, 2, 3]
    at: Point
    kinds: ClassVar[int] = 3

    def add(self, x):
        with lock(self):
            self.count += 1
            self.total += x
            self.hist[int(x) % 6] += 1

    @property
    def mean(self):
        return self.total / self.count


@share.record
class Named(Stats):
    label: Text[4] = "x"

    def add(self, x):
        super().add(2 * x)
        self.label = "done"


@share.record
class One:
    n: int


# ---------------------------------------------------------------- what it is


def test_fields_are_zero_or_their_defaults():
    stats = Stats()
    assert (stats.count, stats.total, stats.flag, stats.phase) == (0, 0.0, False, 0j)
    assert (stats.name, stats.digest, stats.color, stats.kinds) == ("none", b"\0\1", Color.BLUE, 3)
    assert stats.hist.tolist() == [0.0] * 6
    assert stats.table.shape == (2, 3)
    assert (stats.at.x, stats.at.y) == (0.0, 1.5)
    assert type(stats.count) is int
    assert type(stats.flag) is bool


def test_it_is_made_and_shown_as_a_dataclass_is():
    stats = Stats(3, flag=True, name="a", hist=range(6), at=Point(3, 4))
    assert (stats.count, stats.flag, stats.name, stats.hist[5], stats.at.norm()) == (3, True, "a", 5.0, 5.0)
    assert repr(Point(2)) == "Point(x=2.0, y=1.5)"
    assert [field.name for field in dataclasses.fields(Point)] == ["x", "y"]
    assert dataclasses.replace(Point(2, 3), y=4) == Point(2, 4)
    assert Point(2) != Point(3)
    assert Point(2) != (2.0, 1.5)
    with pytest.raises(TypeError, match="unhashable"):
        hash(stats)


def test_methods_properties_and_super():
    named = Named(label="ab")
    named.add(2)
    named.add(3)
    assert (named.count, named.total, named.mean, named.label, named.hist[4]) == (2, 10.0, 5.0, "done", 1.0)
    assert isinstance(named, Stats)
    assert Named() != Stats()


def test_post_init_factories_and_annotated():
    @share.record
    class Made:
        size: int = dataclasses.field(default_factory=lambda: 7)
        double: int = dataclasses.field(init=False)
        row: Annotated[np.ndarray, Array["u1", 3]] = (1, 2, 3)

        def __post_init__(self):
            self.double = 2 * self.size

    made = Made()
    assert (made.size, made.double, made.row.tolist()) == (7, 14, [1, 2, 3])


def test_copies_are_others_and_snapshots_are_not_shared():
    stats = Stats(1, hist=[1] * 6)
    for copied in (copy.copy(stats), copy.deepcopy(stats)):
        assert copied == stats
        copied.hist[0] = 5
        assert copied != stats
    kept = snapshot(stats)
    stats.count = 2
    assert (kept.count, kept.mean, kept.hist.tolist()) == (1, 0.0, [1.0] * 6)
    kept.hist[1] = 9
    assert stats.hist[1] == 1
    assert pickle.loads(pickle.dumps(kept)) == kept


def test_parts_are_one_object_each_and_outlive_the_record():
    stats = Stats()
    assert stats.hist is stats.hist
    assert stats.at is stats.at
    hist, point = stats.hist, stats.at
    del stats
    others = [Stats(hist=[7] * 6, at=Point(7, 7)) for _ in range(200)]
    assert hist.tolist() == [0.0] * 6
    assert (point.x, point.y) == (0.0, 1.5)
    assert len(others) == 200


REFUSED = {
    "a text without a length": (str, r"Made.field: str .* Use Text\[32\]"),
    "bytes": (bytes, r"Use Bytes\[32\]"),
    "a list": (list[int], r"Use Array\["),
    "a dict": (dict, r"share\(obj\)"),
    "an optional number": (int | None, "cannot be held by a record, which holds int, float, bool"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_it_cannot_hold_is_refused_where_it_is_defined(kind):
    annotation, said = REFUSED[kind]
    with pytest.raises(TypeError, match=said):
        share.record(type("Made", (), {"__annotations__": {"field": annotation}}))


def test_names_that_lead_nowhere_are_said():
    with pytest.raises(TypeError, match=r"Made\.field: what Unheard stands for cannot be found"):
        share.record(type("Made", (), {"__annotations__": {"field": "Unheard"}}))
    with pytest.raises(TypeError, match="objects live in one process"):
        Array["O", 3]
    with pytest.raises(TypeError, match="one length for each dimension"):
        Array["f8"]
    with pytest.raises(TypeError, match="a length is wanted"):
        Text["f8"]


WRONG = {
    "too large": ("count", 2**63, OverflowError, "Stats.count has 64 bits"),
    "too small": ("count", -(2**63) - 1, OverflowError, "-9223372036854775809 does not fit"),
    "a fraction": ("count", 1.5, TypeError, "Stats.count is an int, and cannot be 1.5"),
    "a text for a number": ("total", "x", TypeError, "Stats.total is a float"),
    "a text for a truth value": ("flag", "no", TypeError, "Stats.flag is a bool"),
    "a text that is too long": ("name", "123456789", ValueError, "room for 8 characters, and '123456789' has 9"),
    "a number for a text": ("name", 3, TypeError, "Stats.name is a text"),
    "bytes that are too long": ("digest", b"12345", ValueError, "room for 4 bytes"),
    "another enum": ("color", "r", TypeError, "Stats.color is one of Color"),
    "another record": ("at", (1, 2), TypeError, "Stats.at is a Point"),
    "another shape": ("hist", [1, 2], ValueError, "broadcast"),
    "a name it has not": ("cuont", 3, AttributeError, "cuont"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(kind):
    name, value, error, said = WRONG[kind]
    stats = Stats(5, name="before")
    before = snapshot(stats)
    with pytest.raises(error, match=said):
        setattr(stats, name, value)
    assert stats == before


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.complex_numbers(allow_nan=False),
    st.text(st.characters(codec=None), max_size=8),
    st.binary(max_size=4),
    st.sampled_from(Color),
)
def test_all_values_come_back(count, total, flag, phase, name, digest, color):
    values = count, total, flag, phase, name, digest, color
    stats = Stats(*values)
    assert (stats.count, stats.total, stats.flag, stats.phase, stats.name, stats.digest, stats.color) == values
    assert snapshot(stats) == stats == copy.copy(stats)
    stats.__init__()
    assert stats == Stats()


def test_without_numpy_arrays_are_views():
    code = """
        import sys
        sys.modules["numpy"] = None
        from manyhands import share, snapshot
        from manyhands.sharing.records import Array
        @share.record
        class Row:
            n: int
            hist: Array["f8", 2, 3]
        row = Row()
        row.hist[1, 2] = 5.0
        print(type(row.hist).__name__, row.hist.tolist(), row == snapshot(row), row == Row())
        rows = [Row().hist for _ in range(100)]
        rows[0][0, 0] = 1.0
        print(sum(row[0, 0] for row in rows))
    """
    done = scripts.run(code)
    assert done.stdout.splitlines() == ["memoryview [[0.0, 0.0, 0.0], [0.0, 0.0, 5.0]] True False", "1.0"], done.stderr


# ---------------------------------------------------------------- how it travels


def touch(record, pid=0):
    with lock(record):
        record.n += 1
    return record


def put(queue, record):
    queue.put(touch(record))


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_workers_have_the_very_record(start_method):
    record = One()

    def use(i):
        return touch(record)

    with manyhands.options(start_method=start_method):
        assert all(got is record for got in manyhands.map(touch, [record] * 3))
        assert all(got is record for got in manyhands.map(use, range(3)))
    assert record.n == 6


@pytest.fixture
def trackers():
    """What multiprocessing starts for spawned processes, and leaves running."""
    resource_tracker.ensure_running()
    yield
    resource_tracker._resource_tracker._stop()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.usefixtures("trackers")
def test_pools_queues_and_processes_of_the_standard_library_have_it(method):
    context = multiprocessing.get_context(method)
    record, stats, array = One(), Stats(), share(np.zeros(100_000))
    with context.Pool(2) as pool:
        assert all(got is record for got in pool.map(touch, [record] * 4))
        pool.apply(Stats.add, (stats, 3))
        assert pool.apply(np.ndarray.fill, (array[10:20], 2)) is None
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(touch, record).result() is record
    queue = context.Queue()
    process = context.Process(target=put, args=(queue, record))
    process.start()
    assert queue.get() is record
    process.join()
    queue.close()
    queue.join_thread()
    assert (record.n, stats.count, stats.hist[3], float(array.sum())) == (6, 1, 1.0, 20.0)


def test_a_pickle_leads_any_process_of_the_user_to_it():
    record = share.record(type("Own", (), {"__annotations__": {"n": int}, "__module__": "shared_things"}))()
    import shared_things

    shared_things.Own = type(record)
    shared_things.Own.__qualname__ = "Own"
    code = """
        import pickle, sys
        sys.modules["shared_things"] = type(sys)("shared_things")
        from manyhands import lock, share
        sys.modules["shared_things"].Own = share.record(type("Own", (), {"__annotations__": {"n": int}}))
        record = pickle.loads(bytes.fromhex(sys.argv[1]))
        assert pickle.loads(bytes.fromhex(sys.argv[1])) is record
        with lock(record):
            record.n += 5
    """
    done = scripts.run(code, pickle.dumps(record).hex())
    assert done.returncode == 0, done.stderr
    assert record.n == 5
    done = scripts.run(code.replace('"n": int', '"n": int, "m": int'), pickle.dumps(record).hex())
    assert "Own has other fields here" in done.stderr


def make_and_die(connection):
    record = One(41)
    connection.send(record)
    connection.recv()  # it has been loaded
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_outlives_the_process_that_made_it():
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=make_and_die, args=(theirs,))
    process.start()
    record = ours.recv()
    ours.send(None)
    process.join()
    record.n += 1
    assert touch(manyhands.map(touch, [record])[0]).n == 44
    ours.close()
    theirs.close()


def test_a_pickle_of_what_is_gone_says_so():
    code = "import pickle; from test_share_records import One; print(pickle.dumps(One()).hex())"
    gone = bytes.fromhex(scripts.run(code).stdout)
    with pytest.raises(manyhands.errors.OwnerDied):
        pickle.loads(gone)


def test_parts_travel_as_parts():
    stats = Stats()

    def change(point, hist):
        point.x = 5
        hist[2:4] = 1
        return point

    got = manyhands.map(change, [stats.at], [stats.hist[1:]])[0]
    got.y = 6
    assert (stats.at.x, stats.at.y, stats.hist.tolist()) == (5.0, 6.0, [0, 0, 0, 1, 1, 0])


def test_shared_objects_give_records_as_they_are():
    class Holder:
        def __init__(self):
            self.record = One()

    holder = share(Holder())

    def use(holder):
        touch(holder.record)
        return type(holder.record).__name__

    assert manyhands.map(use, [holder, holder]) == ["One", "One"]
    assert holder.record.n == 2
    assert share(holder.record) is holder.record


def test_arrays_are_shared_by_share():
    array = share(np.arange(4.0))
    assert type(array) is manyhands.sharing._arrays.SharedArray
    assert share(array) is array
    with lock(array, timeout=5):
        manyhands.map(lambda given: given.fill(3), [array])
    assert array.tolist() == [3.0] * 4
    assert lock.run(array, np.sum) == 12.0
    kept = snapshot(array)
    array[0] = 0
    assert kept.tolist() == [3.0] * 4
    local(array).seen = 1
    assert local(array).seen == 1
    assert type(share(np.array([print]))) is not type(array)


# ---------------------------------------------------------------- locks


def count(record, times):
    for _ in range(times):
        with lock(record):
            record.n += 1


def test_sixteen_processes_and_their_threads_lose_nothing():
    record = One()

    def in_threads(record):
        threads = [threading.Thread(target=count, args=(record, 25)) for _ in range(4)]
        for thread in threads:
            thread.start()
        count(record, 25)
        for thread in threads:
            thread.join()

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=in_threads, args=(record,)) for _ in range(16)]
    for process in processes:
        process.start()
    count(record, 100)
    for process in processes:
        process.join()
    assert record.n == 16 * 125 + 100


def test_a_lock_may_be_taken_again_and_keeps_others_out():
    record, other = One(), One()
    with lock(record), lock(record, timeout=0), manyhands.Executor(1) as executor:
        executor.submit(touch, other).result(10)  # its neighbour is free
        assert "was not free for 0.02 s" in str(executor.submit(hold, record, 0.02).exception(10))
        with pytest.raises(TimeoutError, match=r"was not free for 0\.02 s"):
            run_in_thread(hold, record, 0.02)
    assert run_in_thread(hold, record, 0) == 0
    with pytest.raises(RuntimeError, match="does not hold"):
        record._manyhands_.release()


def hold(record, timeout):
    with lock(record, timeout=timeout):
        return record.n


def run_in_thread(fn, *args):
    done = []

    def run():
        try:
            done.append(fn(*args))
        except BaseException as error:
            done.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]


def test_one_that_waits_gets_it_within_its_time():
    record = One()
    taken = threading.Event()
    release = threading.Event()

    def keep():
        with lock(record):
            taken.set()
            release.wait()
            record.n = 7

    thread = threading.Thread(target=keep)
    thread.start()
    taken.wait()
    with manyhands.Executor(1) as executor:
        waiting = executor.submit(hold, record, 30)
        release.set()
        assert waiting.result() == 7
    thread.join()


def die_holding(record, connection):
    with lock(record):
        record.n += 1
        connection.send(None)
        connection.recv()


def test_a_dead_holder_gives_it_back_and_the_next_is_told_once():
    record = One()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=die_holding, args=(record, theirs))
    process.start()
    ours.recv()
    with pytest.raises(TimeoutError), lock(record, timeout=0.01):
        pass
    os.kill(process.pid, signal.SIGKILL)
    with pytest.warns(LockAbandoned, match="died in the midst"), lock(record, timeout=30):
        record.n += 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        touch(record)
    process.join()
    ours.close()
    theirs.close()
    assert record.n == 3


def test_a_forked_child_does_not_hold_what_its_parent_does():
    record = One()
    with lock(record):
        child = os.fork()
        if not child:
            ok = False
            with contextlib.suppress(TimeoutError), lock(record, timeout=0):
                ok = True
            os._exit(ok)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(TimeoutError):
            run_in_thread(hold, record, 0)  # nor has its end taken it away


def test_an_interrupted_wait_leaves_nothing_taken():
    record = One()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=die_holding, args=(record, theirs))
    process.start()
    ours.recv()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), lock(record):
        pass
    timer.join()
    ours.send(None)
    process.join()
    assert touch(record).n == 2
    assert run_in_thread(hold, record, 0) == 2
    ours.close()
    theirs.close()


# ---------------------------------------------------------------- nothing is left


def test_ten_thousand_cost_a_few_descriptors_and_leave_none():
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    records = [One(i) for i in range(10_000)]
    assert len(os.listdir("/proc/self/fd")) - before < 40
    assert [record.n for record in records] == list(range(10_000))
    data = pickle.dumps(records[:100])
    assert all(one is other for one, other in zip(pickle.loads(data), records, strict=False))
    del records, data
    manyhands.sharing._arrivals.shut_down()  # what was pickled is kept for those who load it
    manyhands.sharing._pieces.shut_down()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_pieces_are_used_again_only_if_nobody_else_has_them():
    record = One(1)
    place = record._manyhands_.memory.identity, record._manyhands_.offset
    del record
    again = One()
    assert (again._manyhands_.memory.identity, again._manyhands_.offset) == place
    assert again.n == 0
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.read(told, 1)
        os._exit(again.n)
    del again
    others = [One(9) for _ in range(100)]
    os.write(tell, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(told)
    os.close(tell)
    assert {other.n for other in others} == {9}


def test_records_of_parent_and_child_do_not_meet():
    first = One(1)
    child = os.fork()
    if not child:
        mine = [One(5) for _ in range(300)]
        os._exit(first.n != 1 or any(one.n != 5 for one in mine))
    mine = [One(6) for _ in range(300)]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert {one.n for one in mine} == {6}


def test_threads_that_make_and_drop_them_never_meet():
    def churn(number):
        for _ in range(300):
            records = [One(number) for _ in range(20)]
            if any(record.n != number for record in records):
                wrong.append(number)

    wrong = []
    threads = [threading.Thread(target=churn, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_killed_program_leaves_no_memory():
    before = segments()
    program = """
        import os, signal
        from test_share_records import One, Stats
        kept = [One() for _ in range(1000)], [Stats() for _ in range(1000)]
        print("ready", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert "ready" in scripts.run(program).stdout
    assert segments() == before


def test_a_child_that_pickles_gives_its_own_address():
    """In a program that shares nothing but memory."""
    code = """
        import os, pickle, sys
        from manyhands import shared_array
        array = shared_array(2)
        pickle.dumps(array)
        told, tell = os.pipe()
        more, ask = os.pipe()
        child = os.fork()
        if not child:
            mine = [shared_array(3, int) + 5, shared_array(3, int)]
            mine[1][:] = 5
            os.write(tell, pickle.dumps((mine, array)))
            os.read(more, 1)
            os._exit(0)
        mine, got = pickle.loads(os.read(told, 65536))
        got[0] = 7
        os.write(ask, b"x")
        os.waitpid(child, 0)
        print(array.tolist(), [one.tolist() for one in mine])
    """
    assert scripts.run(code).stdout.strip() == "[7.0, 0.0] [[5, 5, 5], [5, 5, 5]]"


def test_a_child_has_one_lock_for_what_it_inherits_and_what_it_is_sent():
    record = One()
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if not child:
        got = theirs.recv()
        with lock(record):
            try:
                run_in_thread(hold, got, 0)
            except TimeoutError:
                os._exit(0 if got is record else 2)
        os._exit(1)
    ours.send(record)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ours.close()
    theirs.close()


def test_files_and_digests_have_what_is_in_it(tmp_path):
    stats = Stats(3, name="abc", hist=range(6))
    digest = manyhands.hash(stats)
    assert digest == manyhands.hash(copy.copy(stats)) == manyhands.hash(snapshot(stats))
    manyhands.dump((stats, stats.hist), tmp_path / "stats")
    stats.count = 4
    assert manyhands.hash(stats) != digest
    loaded, hist = manyhands.load(tmp_path / "stats")
    assert (loaded.count, loaded.name, loaded.hist.tolist(), hist.tolist()) == (3, "abc", list(range(6)), list(range(6)))
    loaded.count = 9
    assert stats.count == 4
