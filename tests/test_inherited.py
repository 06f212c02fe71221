"""Objects of ``multiprocessing`` that a process can only inherit: its canonical recipes, with workers of manyhands."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import weakref
from multiprocessing import resource_tracker

import pytest
import scripts
import waiting

import manyhands
from manyhands import Executor, Pool, Process

CONTEXTS = ["fork", "spawn", "forkserver"]


@pytest.fixture(scope="module", autouse=True)
def _what_multiprocessing_keeps():
    """A process that looks after named semaphores, and a piece of shared memory: for the whole program."""
    resource_tracker.ensure_running()
    piece = multiprocessing.RawValue("i")
    yield piece
    gc.collect()
    resource_tracker._resource_tracker._stop()


@pytest.fixture(params=CONTEXTS)
def context(request):
    """What makes the objects; the workers are started as manyhands likes."""
    return multiprocessing.get_context(request.param)


def take(queue, count):
    return sorted(queue.get(timeout=20) for _ in range(count))


def drop(queue):
    """Give its thread and its pipe back."""
    queue.close()
    queue.join_thread()
    queue._reader.close()
    queue._writer.close()


def run(target, *args, **kwargs):
    process = Process(target=target, args=args, kwargs=kwargs)
    process.start()
    process.join()
    assert process.exitcode == 0
    process.close()
    return process.result


# ------------------------------------------------------------ each kind


def put(queue, *values):
    for value in values:
        queue.put(value)


def test_queues_in_a_process(context):
    for make in (context.Queue, context.JoinableQueue):
        queue = make()
        run(put, queue, 1, "two", [3])
        assert [queue.get(timeout=20) for _ in range(3)] == [1, "two", [3]]
        drop(queue)
    simple = context.SimpleQueue()
    run(put, simple, 4)
    assert simple.get() == 4
    simple.close()


def hold(lock, event, begun):
    with lock:
        begun.set()
        assert event.wait(20)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_locks_exclude_one_another(context, kind):
    lock, event, begun = getattr(context, kind)(), context.Event(), context.Event()
    process = Process(target=hold, args=(lock, event), kwargs={"begun": begun})
    process.start()
    assert begun.wait(20)
    assert not lock.acquire(timeout=0.01)
    event.set()
    process.join()
    assert lock.acquire(timeout=20)
    lock.release()
    process.close()


def meet(barrier, condition, ready):
    barrier.wait(20)
    with condition:
        ready.value = 1
        condition.notify_all()
    return ready.value


def test_who_waits_for_the_other(context):
    barrier, condition, ready = context.Barrier(2), context.Condition(), context.Value("i")
    process = Process(target=meet, args=(barrier, condition, ready))
    process.start()
    barrier.wait(20)
    with condition:
        assert condition.wait_for(lambda: ready.value == 1, 20)
    process.join()
    assert process.result == 1
    process.close()


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


def write_all(value, array, raw, raws, point):
    with value.get_lock():
        value.value += 1
    for index in range(len(array)):
        array[index] = raws[index] = index
    raw.value = 2.5
    point.x, point.y = 3, 4


def test_memory(context):
    value, array, point = context.Value("i", 41), context.Array("d", 3), context.Value(Point, lock=False)
    raw, raws = context.RawValue("d"), context.RawArray("i", 3)
    run(write_all, value, array, raw, raws, point)
    assert (value.value, array[:], raw.value, raws[:]) == (42, [0, 1, 2], 2.5, [0, 1, 2])
    assert (point.x, point.y) == (3, 4)


# ------------------------------------------------------------ initializers

_given = None


def keep(*given):
    global _given  # noqa: PLW0603
    _given = given


def report(x):
    queue, lock, count = _given
    with lock, count.get_lock():
        count.value += x
    queue.put(os.getpid())
    return x


def test_initializer_of_a_pool(context):
    given = context.Queue(), context.Lock(), context.Value("i")
    with Pool(2, initializer=keep, initargs=given) as pool:
        assert pool.map(report, range(5)) == list(range(5))
        assert set(take(given[0], 5)) <= set(pool._executor.worker_pids())
    assert given[2].value == 10
    drop(given[0])


@pytest.mark.parametrize("name", [*CONTEXTS, None])
def test_a_context_for_both(name):
    """As the standard library's own programs do it."""
    context = multiprocessing.get_context(name)
    given = context.Queue(), context.Lock(), context.Value("i")
    with Executor(2, context, keep, given) as executor:
        assert list(executor.map(report, range(4))) == [0, 1, 2, 3]
        take(given[0], 4)
    drop(given[0])


def test_workers_that_are_replaced_have_them_too(context):
    queue, lock, count = context.Queue(), context.Lock(), context.Value("i")
    with Pool(2, keep, (queue, lock, count), maxtasksperchild=1) as pool:
        assert pool.map(report, range(6), chunksize=1) == list(range(6))
        assert len(set(take(queue, 6))) == 6
    drop(queue)


def die(x):
    if x == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return report(x)


def test_after_a_crash_as_well(context):
    queue, lock, count = context.SimpleQueue(), context.Lock(), context.Value("i")  # one that has no thread to die with what was put
    with Executor(1, initializer=keep, initargs=(queue, lock, count)) as executor:
        futures = [executor.submit(die, x) for x in range(4)]
        assert isinstance(futures[1].exception(), manyhands.WorkerDied)
        assert [futures[x].result() for x in (0, 2, 3)] == [0, 2, 3]
    assert len({queue.get() for _ in range(3)}) == 2
    assert count.value == 5
    queue.close()


# ------------------------------------------------------------ where they may be


class Holder:
    def __init__(self, **parts):
        vars(self).update(parts)


class Counting(Process):
    def __init__(self, queue):
        super().__init__()
        self.queue = queue

    def run(self):
        self.queue.put(multiprocessing.current_process().name)


def test_nested_places(context):
    queue, lock = context.Queue(), context.Lock()

    def target(parts, *, more):
        with parts["deep"][0].lock:
            more.queue.put(parts["deep"][0].queue is more.queue)
            queue.put("closure")

    run(target, {"deep": [Holder(queue=queue, lock=lock)]}, more=Holder(queue=queue))
    assert [queue.get(timeout=20) for _ in range(2)] == [True, "closure"]
    process = Counting(queue)
    process.start()
    assert queue.get(timeout=20) == process.name
    process.join()
    process.close()
    with Executor(1, initializer=lambda: queue.put("initializer")) as executor:
        executor.submit(abs, 1).result()
        assert queue.get(timeout=20) == "initializer"
        # What the workers have, functions may use.
        executor.submit(lambda: queue.put("function")).result()
        assert queue.get(timeout=20) == "function"
    drop(queue)


def test_tasks_are_given_none(context):
    queue = context.Queue()
    with Pool(1, keep, (queue,)) as pool, pytest.raises(manyhands.NotSerializable, match=r"through inheritance.*initargs"):
        pool.map(print, [queue])
    for one in (context.Lock(), context.Value("i"), context.RawArray("i", 3)):
        with pytest.raises(manyhands.NotSerializable, match=r"through inheritance.*initializer="):
            manyhands.map(print, [one])
    with pytest.raises(manyhands.NotSerializable, match="through inheritance"):
        manyhands.map(lambda x: queue.put(x), [1])
    with Executor(1) as executor, pytest.raises(RuntimeError, match=r"argument 0 .*through inheritance.*args= of a Process") as caught:
        executor.submit(keep, queue).result()  # what multiprocessing raises, of which it is one
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), manyhands.NotSerializable)
    drop(queue)
    assert manyhands.map(abs, [-1]) == [1]
    assert [v.value for v in manyhands.map(lambda value: value, [ctypes.c_int(3)])] == [3]  # memory of its own is copied


@pytest.mark.parametrize("given", [{"start_method": "zygote"}, {"start_method": "spawn"}, {"mp_context": "spawn"}])
def test_what_is_not_to_be_forked_and_cannot_be_otherwise(given):
    lock = multiprocessing.get_context("fork").Lock()
    with pytest.raises(manyhands.NotSerializable, match=r"initargs\[0\]\['lock'\].*fork context.*get_context\('spawn'\)"):
        Executor(1, initializer=keep, initargs=({"lock": lock},), **given)


def test_the_same_for_a_process(monkeypatch):
    monkeypatch.setenv("MANYHANDS_START_METHOD", "zygote")
    process = Process(target=print, args=(multiprocessing.get_context("fork").Lock(),))
    with pytest.raises(manyhands.NotSerializable, match="leave out start_method"):
        process.start()
    process.close()


# ------------------------------------------------------------ pipes


def send(connection, *values):
    for value in values:
        connection.send(value)


def until_its_end(connection):
    found = []
    try:
        while True:
            assert connection.poll(20)
            found.append(connection.recv())
    except EOFError:
        connection.close()
        return found


def beside(connection, _, *values):
    send(connection, *values)


@pytest.mark.parametrize("forked", [False, True])
def test_a_reader_sees_the_end_of_a_process(forked):
    lock = multiprocessing.get_context("fork").Lock()
    readers = []
    for number in range(3):  # a later one must not hold the ends of those before
        reader, writer = multiprocessing.Pipe(duplex=False)
        process = Process(target=beside, args=(writer, lock, number)) if forked else Process(target=send, args=(writer, number))
        process.start()
        writer.close()
        readers.append((reader, process))
    for number, (reader, process) in enumerate(readers):
        assert until_its_end(reader) == [number]
        process.join()
        process.close()


def close_and_wait(writer, event):
    writer.send("all")
    writer.close()
    assert event.wait(20)


@pytest.mark.parametrize("name", ["fork", "spawn"])
def test_a_reader_sees_the_end_when_the_writer_is_closed(name):
    event = multiprocessing.get_context(name).Event()
    reader, writer = multiprocessing.Pipe()
    process = Process(target=close_and_wait, args=(writer, event))
    process.start()
    writer.close()
    assert until_its_end(reader) == ["all"]
    assert process.is_alive()
    event.set()
    process.join()
    process.close()


def test_a_process_reads_to_the_end():
    reader, writer = multiprocessing.Pipe(duplex=False)
    process = Process(target=until_its_end, args=(reader,))
    process.start()
    reader.close()
    send(writer, 1, 2)
    writer.close()
    process.join()
    assert process.result == [1, 2]
    process.close()


def send_one(x):
    _given[0].send(x)


@pytest.mark.parametrize("forked", [False, True])
def test_workers_that_start_after_it_was_closed_here(forked):
    reader, writer = multiprocessing.Pipe(duplex=False)
    given = (writer, multiprocessing.get_context("fork").Lock()) if forked else (writer,)
    pool = Pool(1, keep, given, maxtasksperchild=1)
    writer.close()
    pool.map(send_one, range(3), chunksize=1)
    pool.close()
    pool.join()
    assert until_its_end(reader) == [0, 1, 2]


def test_a_closed_one_is_refused():
    reader, writer = multiprocessing.Pipe()
    reader.close()
    with pytest.raises(manyhands.NotSerializable, match="closed"):
        Executor(1, initializer=keep, initargs=(writer, reader))
    writer.close()


# ------------------------------------------------------------ the child


def describe():
    process, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    return process.name, parent and parent.pid, process.daemon, multiprocessing.active_children(), bytes(process.authkey)


def test_how_multiprocessing_sees_a_forked_worker():
    lock = multiprocessing.get_context("fork").Lock()
    name, parent, daemon, children, key = run(lambda _: describe(), lock)
    assert name.startswith("Process-")
    assert (parent, daemon, children) == (os.getpid(), False, [])
    assert key == multiprocessing.current_process().authkey


def start_another(_):
    context = multiprocessing.get_context("fork")
    child = context.Process(target=os._exit, args=(7,))
    child.start()
    child.join()
    return child.exitcode


def test_processes_of_a_forked_worker():
    """Those of the parent are not its own; it can have others."""
    context = multiprocessing.get_context("fork")
    event = context.Event()
    sibling = context.Process(target=event.wait, args=(20,), daemon=True)
    sibling.start()
    assert run(start_another, context.Lock()) == 7
    assert sibling.is_alive()
    event.set()
    sibling.join()
    sibling.close()


def test_objects_of_a_manager_beside():
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager:
        names, lock = manager.list(), context.Lock()

        def note(name, _):
            names.append(name)

        run(note, "first", lock)
        run(note, "second", lock)
        assert list(names) == ["first", "second"]


def test_nothing_that_was_put_is_lost(context):
    """Far more than the pipe holds: as with multiprocessing, the process lives until it has been read."""
    queue = context.Queue()
    process = Process(target=put, args=(queue, *(str(n) * 1000 for n in range(2000))))
    process.start()
    process.join(0.2)
    assert process.is_alive()
    assert [queue.get(timeout=20)[:1] for _ in range(2000)] == [str(n)[0] for n in range(2000)]
    process.join()
    assert process.exitcode == 0
    process.close()
    drop(queue)


def test_workers_of_an_executor_write_what_was_put_when_they_leave(context):
    queue, lock, count = context.Queue(), context.Lock(), context.Value("i")
    with Executor(2, initializer=keep, initargs=(queue, lock, count)) as executor:
        for future in [executor.submit(report, x) for x in range(50)]:
            future.result()
    assert len(take(queue, 50)) == 50
    drop(queue)


def test_what_was_printed_is_printed_once(tmp_path):
    done = scripts.run(
        """
        import multiprocessing, manyhands
        print("before")
        import sys
        work = lambda lock: print("inside", repr(sys.stdin.read()))
        process = manyhands.Process(target=work, args=(multiprocessing.get_context("fork").Lock(),))
        process.start()
        process.join()
        print("after")
        """,
        tmp_path,
    )
    assert (done.stdout.split(), done.stderr) == (["before", "inside", "''", "after"], "")


def test_the_recipe_without_a_guard(tmp_path):
    done = scripts.run(
        """
        import multiprocessing as mp
        from manyhands import Pool

        def init(given):
            global queue
            queue = given

        def work(x):
            queue.put(x * x)

        queue = mp.Queue()
        with Pool(2, initializer=init, initargs=(queue,)) as pool:
            pool.map(work, range(10))
            print(sorted(queue.get() for _ in range(10)))
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == (f"{[x * x for x in range(10)]}\n", "")


# ------------------------------------------------------------ nothing is left


def descriptors(_=None):
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_kept(context):
    before = None
    for _ in range(4):
        queue, (reader, writer) = context.Queue(), multiprocessing.Pipe()
        kept = weakref.ref(queue)
        executor = Executor(1, initializer=keep, initargs=(queue, writer))
        executor.submit(abs, 1).result()
        executor.shutdown()
        run(put, queue, 1)
        assert queue.get(timeout=20) == 1
        drop(queue)
        reader.close()
        writer.close()
        del queue, executor
        gc.collect()
        assert kept() is None
        before = descriptors() if before is None else before
        assert descriptors() <= before


def test_other_children_do_not_hold_the_copies():
    """The pool keeps a copy of the writer for workers to come; a child that the program forks must not."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    executor = Executor(1, initializer=keep, initargs=(writer, multiprocessing.get_context("fork").Lock()))
    writer.close()
    inner, outer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(outer)
        os.read(inner, 1)
        os._exit(0)
    executor.submit(send_one, 1).result()
    executor.shutdown()
    assert until_its_end(reader) == [1]
    os.close(outer)
    os.close(inner)
    assert os.waitpid(pid, 0)[1] == 0
    waiting.until(lambda: waiting.gone(pid))
