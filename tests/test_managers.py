"""``manyhands.Manager``, and the managers of ``multiprocessing`` under their own names."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import pickle
import queue
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import AuthenticationError, ProcessError, forkserver, resource_tracker
from multiprocessing import managers as library

import managed
import pytest
import scripts
import waiting
from managed import Managed, Point

import manyhands
from manyhands import Manager, lock
from manyhands.compat import installing
from manyhands.compat.multiprocessing import managers
from manyhands.errors import OwnerDied

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]

METHODS = ["fork", "spawn"]


@pytest.fixture(autouse=True)
def nothing_of_multiprocessing():
    """Nothing of what it starts is left."""
    yield
    with contextlib.suppress(ProcessLookupError):
        forkserver._forkserver._stop()
        resource_tracker._resource_tracker._stop()


@pytest.fixture(params=["manyhands", "multiprocessing"])
def manager(request):
    """A manager of either kind."""
    with Manager() if request.param == "manyhands" else managers.Manager() as made:
        yield made


def in_child(method, fn, *args):
    process = multiprocessing.get_context(method).Process(target=fn, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0
    process.close()


# ---------------------------------------------------------------- both


@pytest.mark.parametrize("method", METHODS)
def test_all_types_in_a_child(manager, method):
    d, numbers, space = manager.dict(), manager.list(range(3)), manager.Namespace(x=1, y=2)
    value, array, items = manager.Value("i", 3), manager.Array("i", [1, 2]), manager.Queue()
    mutex, event = manager.Lock(), manager.Event()
    in_child(method, managed.use_all, d, numbers, space, value, array, items, mutex, event)
    assert d.copy() == {1: "1", "2": 2, 0.25: None}
    assert (numbers[:], str(space), value.value, list(array)) == ([2, 1, 0], "Namespace(x=5, y=2)", 4, [7, 2])
    assert items.get() != os.getpid()
    assert event.is_set()
    assert mutex.acquire(timeout=1)


POOLS = {
    "manyhands": lambda: manyhands.Executor(max_workers=2),
    "fork": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("fork")),
    "spawn": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
}


@pytest.mark.parametrize("pool", POOLS)
def test_in_pools(manager, pool):
    d, mutex = manager.dict(), manager.RLock()
    with POOLS[pool]() as executor:
        list(executor.map(_note, [d] * 20, [mutex] * 20, range(20)))
    assert d.pop("n") == 20
    assert sorted(d.keys()) == list(range(20))


def _note(d, mutex, number):
    with mutex:
        d[number] = True
        d["n"] = d.get("n", 0) + 1


def test_a_pool_of_a_manager(manager):
    pool = manager.Pool(2)
    assert pool.map(abs, [-1, -2]) == [1, 2]
    later = pool.apply_async(divmod, (7, 2))
    assert later.get(timeout=30) == (3, 1)
    assert list(pool.imap(abs, range(-3, 0))) == [3, 2, 1]
    with pytest.raises(ZeroDivisionError):
        pool.apply(divmod, (1, 0))
    pool.terminate()
    pool.join()


def test_conditions_and_barriers(manager):
    condition, barrier, semaphore = manager.Condition(manager.Lock()), manager.Barrier(2), manager.BoundedSemaphore(2)
    value = manager.Value("i", 0)
    thread = threading.Thread(target=_be_notified, args=(condition, barrier, value))
    thread.start()
    barrier.wait(30)
    with condition:
        value.set(1)
        condition.notify_all()
    thread.join(30)
    assert value.get() == 2
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (2, 0, False)
    with semaphore, semaphore:
        assert not semaphore.acquire(timeout=0.01)
    with pytest.raises(ValueError, match="too many"):
        semaphore.release()


def _be_notified(condition, barrier, value):
    barrier.wait(30)
    with condition:
        assert condition.wait_for(lambda: value.get() == 1, 30)
        value.set(2)


def test_errors_arrive_as_they_are(manager):
    with pytest.raises(queue.Empty):
        manager.Queue().get_nowait()
    with pytest.raises(KeyError):
        manager.dict()["nothing"]
    with pytest.raises(IndexError):
        manager.list().pop()


def test_a_killed_client(manager):
    kept, told, mutex = manager.list(), manager.Queue(), manager.Lock()
    process = multiprocessing.get_context("fork").Process(target=_hold_forever, args=(mutex, told))
    process.start()
    assert told.get(timeout=30) == process.pid
    process.kill()
    process.join()
    process.close()
    with contextlib.suppress(manyhands.errors.LockAbandoned):
        assert mutex.acquire(timeout=30)
    kept.append(1)
    assert kept[:] == [1]


def _hold_forever(mutex, told):
    mutex.acquire()
    managed.keep(mutex, told)


# ---------------------------------------------------------------- manyhands.Manager


def test_changes_within_a_container():
    with Manager() as manager:
        d = manager.dict(a=[1])
        d["a"].append(2)
        d.setdefault("b", {})["c"] = Point()
        d["b"]["c"].x = 5
        assert d["a"] == [1, 2]
        assert d["b"]["c"].x == 5
        assert manager.list([1, 2]) == [1, 2]
        assert manager.set([1, 2]) | {3} == {1, 2, 3}
        with lock(d):
            d["a"] += [3]
        assert d["a"] == [1, 2, 3]
        point = manager.new(Point, 7)
        point.x += 1
        assert isinstance(point, Point)
        assert point.get() == 8


def test_errors_in_a_with_block():
    """The object is told of them, without their tracebacks; they are the caller's all the same."""
    with Manager() as manager:
        block = manager.new(managed.Block)
        with block:
            pass
        with block:
            raise KeyError("swallowed")
        with pytest.raises(ValueError, match="raised"), block:
            raise ValueError("raised")
        with pytest.raises(managed.Unsendable), block:
            raise managed.Unsendable("unsendable")

        async def use():
            async with block:
                raise KeyError("swallowed later")

        asyncio.run(use())
        ends = [None, "KeyError: 'swallowed'", "ValueError: raised", "RuntimeError: Unsendable: unsendable", "KeyError: 'swallowed later'"]
        assert list(block.ends) == ends


def test_its_life():
    manager = Manager()
    assert (manager.address, manager.pid) == (None, None)
    words = manager.list(["a"])  # starts it
    assert manager.pid not in {None, os.getpid()}
    assert str(manager.pid) in repr(manager)
    pid = manager.pid
    manager.shutdown()
    manager.shutdown()
    assert waiting.until(lambda: waiting.gone(pid))
    with pytest.raises(OwnerDied):
        words.append("b")
    with pytest.raises(RuntimeError, match="shut down"):
        manager.dict()


def test_an_initializer():
    manager = Manager()
    with pytest.raises(TypeError, match="not callable"):
        manager.start(3)
    manager.start(managed.mark, ("begun",))
    assert manager.new(managed.marked) == ["begun"]
    manager.shutdown()
    with pytest.raises(ZeroDivisionError):
        Manager().start(divmod, (1, 0))


def test_it_outlives_an_interrupt_and_ends_with_the_program():
    code = """
        import os, signal, sys, manyhands
        manager = manyhands.Manager()
        words = manager.list()
        print(manager.pid, flush=True)
        try:
            os.kill(manager.pid, signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            words.append("still there")
        print(words, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with scripts.started(code) as program:
        pid = int(program.stdout.readline())
        assert program.stdout.readline() == "['still there']\n"
        program.wait()
        waiting.until(lambda: waiting.gone(pid))


def test_what_a_spawned_child_sends_of_the_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import multiprocessing, manyhands
class Word:
    def __init__(self, text): self.text = text
def child(d, items):
    d["word"] = Word("a")
    items.put(Word("b"))
if __name__ == "__main__":
    with manyhands.Manager() as manager:
        d, items = manager.dict(), manager.Queue()
        process = multiprocessing.get_context("spawn").Process(target=child, args=(d, items))
        process.start()
        process.join()
        got = items.get(timeout=20)
        print(d["word"].text, got.text, type(got) is Word)
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=scripts.environment(), timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("a b True\n", "")


# ---------------------------------------------------------------- the names of multiprocessing


@pytest.fixture
def ours():
    with Managed() as made:
        yield made


def test_what_a_proxy_of_attributes_does(ours):
    for method in METHODS:
        space = ours.Space()
        in_child(method, _change_in_three_ways, space)
        assert space.x == 201


def _change_in_three_ways(space):
    space.x = 500
    space.set(200)
    space.x += 1


def test_five_outcomes_of_calling(ours):
    five = ours.Five()
    with pytest.raises(AttributeError, match="only_here"):
        five.only_here()
    assert five.on_both() == "of the proxy"
    assert five.exposed() == "exposed"
    with pytest.raises(library.RemoteError, match="is not in exposed"):
        five.not_exposed()
    assert five.nested() == "exposed"


def test_what_is_exposed(ours):
    point, chosen = ours.Point(3), ours.Chosen(4)
    assert (point.get(), point.hidden(), chosen.get()) == (3, "hidden", 4)
    assert not hasattr(chosen, "hidden")
    with pytest.raises(library.RemoteError, match="hidden"):
        chosen._callmethod("hidden")
    with pytest.raises(KeyError, match="3"):
        point.fail()
    assert "object, typeid 'Point'" in repr(point)
    assert chosen._exposed_ == ("get", "set")


def test_results_with_a_proxy_of_their_own(ours):
    numbers = ours.numbers(3).numbers()
    assert [numbers.__next__() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StopIteration):
        numbers.__next__()


def test_containers_give_copies():
    with managers.Manager() as manager:
        outer = manager.dict(a=[1], inner=manager.list([1]))
        outer["a"].append(2)
        outer["inner"].append(2)
        assert outer["a"] == [1]
        assert type(outer["a"]) is list
        assert outer["inner"][:] == [1, 2]
        assert isinstance(outer["inner"], managers.ListProxy)
        assert isinstance(outer, library.BaseProxy)
        assert sorted(outer) == ["a", "inner"]
        assert outer._getvalue().keys() == {"a", "inner"}
        assert manager.list([1]) != [1]
        assert str(manager.list([1])) == "[1]"


def test_what_is_dropped_is_gone():
    with managers.Manager() as manager:
        kept, dropped = manager.list([1]), manager.dict()
        assert manager._number_of_objects() == 2
        assert "[1]" in manager._debug_info()
        del dropped
        waiting.until(lambda: manager._number_of_objects() == 1)
        assert kept[:] == [1]


def test_a_pickle_of_a_proxy_has_no_key():
    manager = managers.SyncManager(authkey=b"a key that is secret")
    manager.start()
    proxy = manager.dict()
    assert b"secret" not in pickle.dumps(proxy)
    manager.shutdown()


def test_connecting_by_address(ours):
    first = ours.Point(5)
    other = Managed(address=ours.address)
    other.connect()
    assert other.Point(6).get() == 6
    assert first.get() == 5
    with pytest.raises(AuthenticationError):
        Managed(address=ours.address, authkey=b"another").connect()


def test_the_life_of_one():
    manager = Managed()
    with pytest.raises(AssertionError, match="not yet started"):
        manager.Point()
    with pytest.raises(TypeError, match="callable"):
        manager.start(3)
    manager.start()
    process = manager._process
    assert process.is_alive()
    with pytest.raises(ProcessError, match="Already started"):
        manager.start()
    manager.shutdown()
    assert (process.is_alive(), process.exitcode) == (False, 0)
    manager.join()
    with pytest.raises(ProcessError, match="shut down"), manager:
        pass


def test_a_lambda_can_be_registered():
    class Words(managers.BaseManager):
        """Has a type that the standard library cannot send."""

    found = ["a"]
    Words.register("words", lambda: found)
    with Words() as manager:
        words = manager.words()
        words.append("b")
        assert words._getvalue() == ["a", "b"]


def test_over_tcp_it_is_that_of_the_standard_library():
    manager = Managed(address=("127.0.0.1", 0), authkey=b"a key")
    manager.start()
    other = Managed(address=manager.address, authkey=b"a key")
    other.connect()
    space, five = other.Space(3), manager.Five()
    space.x += 1
    assert (space.x, five.nested(), manager.Point(2).get()) == (4, "exposed", 2)
    assert isinstance(manager.address, tuple)
    del space, five
    manager.shutdown()


class OfTheLibrary(library.BaseProxy):
    _exposed_ = ("get",)

    def get(self):
        return self._callmethod("get")


def test_a_proxy_type_of_the_standard_library():
    class Mixed(managers.BaseManager):
        """Has one."""

    Mixed.register("Point", Point, OfTheLibrary)
    manager = Mixed(ctx=multiprocessing.get_context("fork"))
    manager.start()
    assert manager.Point(4).get() == 4
    assert os.path.exists(manager.address)
    manager.shutdown()


def test_in_their_place():
    code = """
        import multiprocessing, pickle
        from multiprocessing.managers import BaseManager as Before, DictProxy as DictBefore, SyncManager as SyncBefore
        from manyhands import compat
        compat.install("multiprocessing")
        from multiprocessing.managers import BaseManager, BaseProxy, DictProxy, NamespaceProxy, SyncManager, SharedMemoryManager
        from manyhands.compat.multiprocessing import managers
        print(BaseManager is managers.BaseManager, DictProxy is managers.DictProxy, Before is not BaseManager)
        with multiprocessing.Manager() as manager:
            print(type(manager.dict()) is DictProxy, manager.list([1])[:])
        with multiprocessing.get_context("fork").Manager() as manager:
            print(isinstance(manager, managers.SyncManager))
        old = SyncBefore(ctx=multiprocessing.get_context("fork"))
        old.start()
        d = old.dict(a=1)
        print(type(d) is DictBefore, d["a"], pickle.loads(pickle.dumps(DictBefore)) is DictBefore)
        del d
        old.shutdown()
        compat.uninstall("multiprocessing")
        from multiprocessing.managers import BaseManager
        print(BaseManager is Before, pickle.dumps(DictBefore).count(b"multiprocessing.managers"))
    """
    done = scripts.run(code)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["True True True", "True [1]", "True", "True 1 True", "True 1"]


def test_where_every_python_has_them_in_their_place(tmp_path):
    """Processes that managers are forked from have then loaded what shares objects: each manager is another owner all the same."""
    (tmp_path / "sitecustomize.py").write_text("from manyhands import compat; compat.install('multiprocessing')")
    code = """
        import multiprocessing
        with multiprocessing.Manager() as one, multiprocessing.Manager() as other:
            print(one.address != other.address, one.list([1])[:], other.list([2])[:])
    """
    done = scripts.run(code, PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    assert (done.stdout, done.stderr) == ("True [1] [2]\n", "")


def test_the_names_are_those_of_the_standard_library():
    for name in library.__all__:
        assert getattr(managers, name) is not None
    assert managers.RemoteError is library.RemoteError
    assert installing.name_before("multiprocessing.managers", "BaseProxy") is library.BaseProxy
