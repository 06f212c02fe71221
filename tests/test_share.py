"""Live objects that several processes have in common."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import fcntl
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections import Counter as Words
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver, resource_tracker

import numpy as np
import psutil
import pytest
import scripts
import shared_things
import waiting
from shared_things import Counter, Ending, Killable, LastWord, Machine, Plain, Step, Value

import manyhands
from manyhands import later, lock, share, snapshot
from manyhands.errors import LockAbandoned, NotSerializable, NotShared, OwnerDied
from manyhands.sharing import _asked, _folder, _iterating, _operations, _proxies, _serving, _table

pytestmark = pytest.mark.timeout(120)


class Elsewhere:
    """Runs functions in another process, one after the other."""

    def __init__(self):
        self._executor = manyhands.Executor(max_workers=1)

    def __call__(self, fn, *args):
        return self._executor.submit(fn, *args).result()

    def close(self):
        self._executor.shutdown()


@pytest.fixture
def there():
    """Another process."""
    elsewhere = Elsewhere()
    yield elsewhere
    elsewhere.close()


@pytest.fixture(params=["here", "there"])
def at(request):
    """Runs a function here, by the owner's own proxy, or in another process."""
    if request.param == "here":
        yield lambda fn, *args: fn(*args)
    else:
        elsewhere = Elsewhere()
        yield elsewhere
        elsewhere.close()


# ---------------------------------------------------------------- everything is passed on


PASSED_ON = {
    "an attribute": (lambda c: c.n, 3),
    "a private attribute": (lambda c: c._private, "mine"),
    "a property": (lambda c: c.double, 6),
    "setting a property": (lambda c: setattr(c, "double", 10) or c.n, 5),
    "a new attribute": (lambda c: setattr(c, "new", 1) or c.new, 1),
    "deleting": (lambda c: delattr(c, "n") or hasattr(c, "n"), False),
    "a method": (lambda c: c.inc(2), 5),
    "with a keyword": (lambda c: c.inc(k=2), 5),
    "a method that is kept": (lambda c: [inc() for inc in [c.inc] * 2], [4, 5]),
    "len": (lambda c: len(c), 0),
    "an operator": (lambda c: c + 1, 4),
    "its reflection": (lambda c: 1 + c, 4),
    "an operator in place": (lambda c: c.__iadd__(4) is c and c.n, 7),
    "a call": (lambda c: c(1), 4),
    "equality": (lambda c: (c == Value(3), Value(3) == c, c != Value(4), c == 3), (True, True, True, False)),
    "hash": (lambda c: hash(c), 3),
    "with": (lambda c: [inside.n for inside in [c.__enter__()]] + [c.__exit__(None, None, None), c.n], [4, None, 3]),
    "repr": (lambda c: repr(c), "Counter(3)"),
    "str": (lambda c: str(c), "Counter(3)"),
    "format": (lambda c: f"{c:03d}", "<003>"),
    "dir": (lambda c: "inc" in dir(c) and "items" in dir(c), True),
    "isinstance": (lambda c: (isinstance(c, Counter), isinstance(c, Plain)), (True, False)),
    "its module": (lambda c: c.__module__, "shared_things"),
    "what its class says": (lambda c: (c.__doc__, c.__annotations__), ("A counter that is wrong as soon as two are in it at once.", {})),
    "callable": (lambda c: (callable(c), callable(c.items)), (True, False)),
    "vars": (lambda c: c.__dict__["n"], 3),
    "an item": (lambda c: c.items.append(7) or c[0], 7),
    "no such item": (lambda c: [type(error) for error in _raised(lambda: c[0])], [IndexError]),
    "no such attribute": (lambda c: [type(error) for error in _raised(lambda: c.nothing)], [AttributeError]),
    "no such operator": (lambda c: [type(error) for error in _raised(lambda: c * 2)], [TypeError]),
}


def _raised(do):
    try:
        do()
    except Exception as error:
        return [error]
    return []


@pytest.mark.parametrize("name", PASSED_ON)
def test_everything_is_passed_on(at, name):
    do, expected = PASSED_ON[name]
    assert at(do, share(Counter(3))) == expected


def test_containers(at):
    def use(numbers, table, chosen):
        numbers += [4]
        numbers[0] = 10
        numbers.sort(reverse=True)
        table["a"] = [1]
        table["a"].append(2)
        table.setdefault("b", {}).update(c=3)
        chosen |= {5}
        return (
            *(list(numbers), sorted(table), dict(table["b"]), 5 in chosen, len(chosen)),
            *(numbers == [10, 4, 3, 2], numbers == [10, 4, 3, 2], [*numbers, 1], sum(numbers), numbers[1:3]),
        )

    numbers, table, chosen = share([1, 2, 3]), share({}), share({1})
    expected = ([10, 4, 3, 2], ["a", "b"], {"c": 3}, True, 2, True, True, [10, 4, 3, 2, 1], 19, [4, 3])
    assert at(use, numbers, table, chosen) == expected
    assert snapshot(table) == {"a": [1, 2], "b": {"c": 3}}


def test_what_is_added_to_the_right_of_a_container(at):
    def use(numbers, pair, data, queue):
        return [0] + numbers, (0,) + pair, b"a" + data, deque([0]) + queue, _raised(lambda: 1 + numbers)[0].args  # noqa: RUF005 - that is it

    expected = ([0, 1], (0, 1), b"ab", deque([0, 1]), ("unsupported operand type(s) for +: 'int' and 'list'",))
    assert at(use, share([1]), share((1,)), share(bytearray(b"b")), share(deque([1]))) == expected


def test_numbers_in_a_box(at):
    def use(n, word):
        m = n
        m += 5
        m -= 1
        word += "!"
        return m is n, int(n), n + 1, n == 4, n < 5, f"{n:02d}", word.upper(), isinstance(n, int), [0, 1, 2, 3, 4, 5][n]

    n, word = share(0), share("hi")
    assert at(use, n, word) == (True, 4, 5, True, True, "04", "HI!", True, 4)
    assert (snapshot(n), snapshot(word)) == (4, "hi!")


def test_nothing_in_a_box(at):
    assert at(lambda n: (n == None, n != None, n == 0), share(None)) == (True, False, False)  # noqa: E711


def test_arrays_by_numpy(there):
    def use(a):
        a[0] = 5
        a += 1
        return float(np.sum(a)), np.asarray(a).tolist(), (a * 2).tolist(), a.shape, a.dtype == np.dtype("f8")

    holder = share(Plain())
    holder.x = np.zeros(3)
    assert there(use, holder.x) == (8.0, [6.0, 1.0, 1.0], [12.0, 2.0, 2.0], (3,), True)


# ---------------------------------------------------------------- value or reference


def test_what_is_read_is_a_part(at):
    def use(c):
        c.items.append([1])
        c.items[0].append(2)
        c.table["k"] = {}
        c.table["k"]["l"] = 3
        return c.items is c.items, c.items == [[1, 2]], c.table == {"k": {"l": 3}}

    c = share(Counter())
    assert at(use, c) == (True, True, True)
    assert snapshot(c.items) == [[1, 2]]


def test_what_a_method_returns(there):
    def use(c):
        c.items.append(1)
        c.part().append(2)  # a live part
        c.copy_of_items().append(3)  # made for the caller
        return c.itself() is c, c.part() is c.items, type(c.copy_of_items()) is list, [type(p) for p in c.parts()] == [list, dict]

    c = share(Counter())
    assert there(use, c) == (True, True, True, True)
    assert snapshot(c.items) == [1, 2]


def test_a_slice_of_a_list_is_a_copy(at):
    def use(rows):
        part = rows[:1]
        part.append("mine")
        rows[0].append(3)
        part[0].append(4)
        return type(part) is list, len(rows)

    rows = share([[1], [2]])
    assert at(use, rows) == (True, 2)
    assert rows[0][:2] == [1, 3]


def test_arguments_go_by_value_and_shared_ones_by_reference(there):
    def use(c, d, plain):
        c.items.append(plain)
        plain.append("lost")
        c.items.append(d)
        c.items[1]["x"] = 1
        return c.same_as(c), c.items[1] is d

    c, d = share(Counter()), share({})
    assert there(use, c, d, [1]) == (True, True)
    assert (snapshot(d), snapshot(c.items[0])) == ({"x": 1}, [1])


def test_what_cannot_be_sent_is_given_by_reference(there):
    def use(c):
        numbers = c.numbers()
        held = c.lock()
        return next(numbers), list(numbers), held.acquire(), held.locked(), held.release()

    assert there(use, share(Counter())) == (0, [1, 2, 3, 4], True, True, None)


def test_an_argument_that_cannot_be_sent_is_said_with_its_path(there):
    def use(c):
        try:
            c.items.append({"key": [1, (i for i in range(3))]})
        except NotSerializable as error:
            return error.path, "share()" in "".join(error.__notes__)
        return None

    path, is_advised = there(use, share(Counter()))
    assert "['key'][1]" in path
    assert is_advised


def test_a_copy(at):
    def use(c):
        return [type(one) is Value and one.n for one in (snapshot(c), copy.copy(c), copy.deepcopy(c))]

    assert at(use, share(Value(3))) == [3, 3, 3]


def test_one_proxy_per_object_and_process(there):
    def use(c, again, table):
        return c is again, table["c"] is c, table["c"] == c

    c = share(Counter())
    assert share(c) is c
    assert there(use, c, c, share({"c": c})) == (True, True, True)


# ---------------------------------------------------------------- one at a time


def test_every_operation_is_atomic():
    c = share(Counter())
    manyhands.map(shared_things.inc, [c] * 8, [200] * 8, workers=4)
    assert c.n == 1600


def test_a_transaction():
    c = share(Counter())
    manyhands.map(shared_things.locked_inc, [c] * 8, [50] * 8, workers=4)
    assert c.n == 400


def test_threads_of_one_process():
    c = share(Counter())
    threads = [threading.Thread(target=shared_things.locked_inc, args=(c, 100)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert c.n == 400


def test_a_transaction_within_another(at):
    def use(c):
        with lock(c), lock(c):
            c.n += 1
            with lock(c.items):  # of the same root
                c.items.append(1)
        return c.n

    c = share(Counter())
    assert at(use, c) == 1
    with lock(c, timeout=5):
        assert c.items == [1]


def test_who_waits_too_long(there):
    def try_it(c):
        try:
            with lock(c, timeout=0.01):
                return "had it"
        except TimeoutError as error:
            return str(error)

    c = share(Counter())
    with lock(c):
        assert "not free for 0.01 s" in there(try_it, c)
    assert there(try_it, c) == "had it"


def test_a_function_run_where_the_object_is(at):
    def use(c):
        return lock.run(c, lambda counter, k, j: [counter.inc(k), counter.inc(j), type(counter) is Counter], 2, j=3)

    assert at(use, share(Counter())) == [2, 5, True]


def test_calls_in_a_circle_end(there):
    """The first process calls the second, which calls the first back, where the first call holds the monitor."""

    def made():
        return share(Counter())

    mine, theirs = share(Counter()), there(made)
    assert mine.call(theirs) == 1
    assert theirs.call(mine) == 1
    assert (mine.n, theirs.n) == (1, 1)


def test_calls_in_a_circle_in_a_transaction(there):
    def made():
        return share(shared_things.Asking())

    theirs, mine = there(made), share(shared_things.Asking())
    assert shared_things.call_back_in_a_transaction(theirs, mine) == (11, 11)
    with lock(theirs, timeout=5):
        assert theirs.n == 11


@pytest.mark.parametrize("die", [shared_things.die_with_lock, shared_things.die_with_locks])
def test_a_holder_that_dies_lets_go_and_the_next_is_told_once(die):
    c = share(Counter())
    with pytest.raises(manyhands.WorkerDied):
        manyhands.map(die, [c], workers=2)
    with pytest.warns(LockAbandoned, match="shared Counter"), lock(c, timeout=20):
        assert c.n == -1
    with lock(c, timeout=20):
        pass


def test_where_that_warning_is_an_error_the_lock_is_free():
    c = share(Counter())
    with pytest.raises(manyhands.WorkerDied):
        manyhands.map(shared_things.die_with_lock, [c], workers=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LockAbandoned), lock(c, timeout=20):
            pass
    assert _table.here.table.snapshot()[0].monitor.holder is None


# ---------------------------------------------------------------- generators, iteration


def test_a_shared_generator_gives_each_item_once():
    c = share(Counter())
    drawn = manyhands.map(shared_things.draw, [c] * 4, [50] * 4, workers=2)
    assert sorted(x for part in drawn for x in part) == [i * i for i in range(200)]
    assert next(c.squares) == 200 * 200


def test_a_generator_is_driven_from_elsewhere(there):
    class Holder:
        def __init__(self):
            self.g = self.run()

        def run(self):
            got = yield 1
            try:
                yield got * 2
            except KeyError:
                yield "caught"

    def use(h):
        g = h.g
        said = [next(g), g.send(21), g.throw(KeyError("x"))]
        g.close()
        return said, list(g), _raised(lambda: next(g))[0].__class__

    assert there(use, share(Holder())) == ([1, 42, "caught"], [], StopIteration)


def test_iterating_over_a_container(at):
    def use(numbers, table):
        return list(numbers) == list(range(5000)), sorted(table), sorted(table.items()), list(reversed(numbers))[:2]

    assert at(use, share(list(range(5000))), share({"a": 1, "b": 2})) == (True, ["a", "b"], [("a", 1), ("b", 2)], [4999, 4998])


def test_items_that_can_be_changed_are_parts(at):
    def use(rows):
        for row in rows:
            row.append("seen")

    rows = share([[1], [2]])
    at(use, rows)
    assert snapshot(rows) == [[1, "seen"], [2, "seen"]]


def test_a_dictionary_that_changes_meanwhile(at):
    def use(table):
        for key in table:
            table[f"{key}+"] = 1

    with pytest.raises(RuntimeError, match="changed size during iteration"):
        at(use, share({str(i): i for i in range(100)}))


def _grow(items):
    seen = []
    for item in items:
        seen.append(item)
        if len(items) < 40:
            items.append(len(items))
    return seen


def _add(chosen):
    return [chosen.add(f"{each}+") for each in chosen]


def _put_at_the_end(table):
    return [table.__setitem__("new", 1) for key in table if key == len(table) - 1]


def _rotate(queue):
    return [queue.rotate() for _ in queue]


def _clear(table):
    return [table.clear() for _ in table]


def _late(items):
    iterator = iter(items)
    items.append("late")
    return list(iterator)


LOOPS = {
    "a list that grows": (_grow, lambda: [0]),
    "a longer one that grows": (_grow, lambda: list(range(17))),
    "a list that has grown before the first": (_late, lambda: [0]),
    "a dict that grows": (_put_at_the_end, lambda: dict.fromkeys(range(3))),
    "in its last chunk": (_put_at_the_end, lambda: dict.fromkeys(range(20))),
    "a dict that shrinks": (_clear, lambda: {1: 1}),
    "a set": (_add, lambda: {1, 2}),
    "a queue": (_rotate, lambda: deque([1, 2])),
    "something of one's own": (_grow, lambda: Own([0])),
    "nothing": (_grow, list),
}


class Own:
    def __init__(self, items):
        self._items = items

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)

    def append(self, item):
        self._items.append(item)


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_sees_what_it_does(at, name):
    """As one over the container itself does."""

    def loop(do, container):
        try:
            return do(container)
        except RuntimeError as error:
            return str(error)

    do, make = LOOPS[name]
    expected = loop(do, make())
    assert at(loop, do, share(make())) == expected


def test_a_loop_that_changes_nothing_asks_once(there, monkeypatch):
    """As long as it takes no longer than a message."""

    asked = []
    monkeypatch.setitem(_operations.DOING, _asked.ITERATE, lambda *args: asked.append(args) or _iterating.iterate(*args))

    def quick(items):
        _iterating._NS = 10**10
        return list(items)

    assert there(quick, share([1, 2, 3])) == [1, 2, 3]
    assert there(quick, share({1: 2})) == [1]
    assert len(asked) == 2


# ---------------------------------------------------------------- errors


def test_an_error_is_the_objects_own_with_its_traceback(there):
    def use(c):
        c.fail("no good")

    with pytest.raises(ValueError, match="no good") as caught:
        there(use, share(Counter()))
    assert "in fail" in str(caught.value.__cause__)


ENDS = {
    "a call": lambda c, kind: c.end(kind),
    "later": lambda c, kind: later(c).end(kind).result(10),
    "await": lambda c, kind: asyncio.run(shared_things.awaited(c.end_in_a_loop(kind))),
    "a coroutine, later": lambda c, kind: later(c).end_in_a_loop(kind).result(10),
    "in a batch": lambda c, kind: in_a_batch(c, kind),
}


def in_a_batch(c, kind):
    with manyhands.batch(c) as b:
        counted = b.count()
        b.end(kind)
    return counted


@pytest.mark.parametrize("where", ["here", "there"])
@pytest.mark.parametrize("way", ENDS)
def test_what_would_end_a_program_is_raised_at_the_caller(way, where):
    with share.keeper() if where == "there" else contextlib.nullcontext() as keeper:
        c = keeper.new(Ending) if keeper else share(Ending())
        for kind in (KeyboardInterrupt, SystemExit, LastWord):
            with pytest.raises(kind, match="the end") as caught:
                ENDS[way](c, kind)
            assert type(caught.value) is kind
            assert where == "here" or "in end" in str(caught.value.__cause__)
        assert c.count() == 3


def test_how_a_task_shows_its_proxies():
    with pytest.raises(ValueError, match="no") as caught:
        manyhands.map(Counter.fail, [share(Counter())], ["no"], workers=2)
    assert "(share(Counter()), 'no')" in caught.value.__notes__[-1]


def test_the_owner_gone(there):
    c = there(shared_things.made_here, 5)
    assert c.n == 5
    there.close()
    with pytest.raises(OwnerDied):
        c.inc()
    with pytest.raises(OwnerDied):
        repr(c.n)


def test_the_owner_killed_in_the_midst_of_a_call(there):
    def made():
        return share(Killable())

    c = there(made)
    pid = c.pid()
    caught = []

    def wait():
        try:
            c.wait()
        except OwnerDied as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    os.kill(pid, signal.SIGKILL)
    thread.join(20)
    assert len(caught) == 1


def test_only_what_is_exposed(there):
    def use(c):
        return c.inc(), [str(error) for error in _raised(lambda: c.n)]

    done, said = there(use, share(Counter(), expose=["inc"]))
    assert done == 1
    assert said == ["n of Counter is not exposed; what may be used is inc"]


def test_interrupted_calls_spoil_nothing():
    code = """
        import os, signal, threading
        import manyhands, shared_things

        def use(c, done):
            for i in range(30):
                timer = threading.Timer(0.001 * (i % 5), os.kill, (os.getpid(), signal.SIGINT))
                try:
                    timer.start()
                    while True:
                        got = c.inc(0)
                        if got != c.n or got != 7:
                            done.append(f"wrong: {got}")
                except KeyboardInterrupt:
                    timer.join()
            done.append("ok")

        if __name__ == "__main__":
            import multiprocessing
            c, done = manyhands.share(shared_things.Counter(7)), manyhands.share([])
            p = multiprocessing.get_context("fork").Process(target=use, args=(c, done))
            p.start(); p.join()
            print(manyhands.snapshot(done))
    """
    ran = scripts.run(code)
    assert ran.stdout.strip() == "['ok']", ran.stderr


# ---------------------------------------------------------------- who has it


def entries():
    return list(_table.here.table.entries.values())


def holds_of(obj):
    entry = _table.here.table.by_id.get(id(obj))
    return 0 if entry is None else entry.holds


def test_an_object_is_kept_as_long_as_somebody_has_a_proxy():
    before = len(entries())
    c = share(Counter())
    c.items.append(1)
    assert len(entries()) == before + 1
    del c
    assert len(entries()) == before


def test_ten_thousand_proxies_leave_nothing(there):
    def use(rows):
        return sum(len(row) for row in rows)

    rows = share([[i] for i in range(10_000)])
    assert there(use, rows) == 10_000
    waiting.until(lambda: len(entries()) == 1)


def test_those_that_are_killed_leave_nothing(monkeypatch):
    monkeypatch.setattr(_table, "LEASE", 0.0)
    counter, table = Counter(), {}
    c, d = share(counter), share(table)
    for _ in range(3):
        with pytest.raises(manyhands.WorkerDied):
            manyhands.map(shared_things.hold_and_die, [c], [d], workers=2)
    waiting.until(lambda: holds_of(counter) == 1 and holds_of(table) == 1)
    del c, d
    gc.collect()  # the errors' tracebacks
    waiting.until(lambda: not holds_of(counter) and not holds_of(table))


def test_a_goodbye_that_is_read_before_what_it_is_for():
    """They come by two connections, which two threads read."""
    counter = Counter()
    c = share(counter)
    client = _serving.Session(b"client")
    number = _table.here.table.by_id[id(counter)].number
    client.let_go([(number, 1, 0)])
    client.hold_again([number])
    assert holds_of(counter) == 1
    client.hold_again([number])
    assert holds_of(counter) == 2
    client.end()
    assert (holds_of(counter), c.n) == (1, 0)


def test_a_goodbye_that_is_read_before_the_word_of_a_pickle():
    """The same: whoever reads the pickle is to find the object."""
    counter = Counter()
    c = share(counter)
    client = _serving.Session(b"client")
    number = _table.here.table.by_id[id(counter)].number
    client.hold_again([number])
    del c
    client.let_go([(number, 1, 1)])
    assert holds_of(counter) == 1
    client.lease(number, ticket=5)
    assert holds_of(counter) == 1
    assert share(counter).n == 0
    _table.here.table.redeem(5)
    assert not holds_of(counter)


def test_a_forked_child_counts_a_proxy_once():
    counter = Counter()
    c = share(counter)
    pid = os.fork()
    if not pid:
        os._exit(sum(proxy is c for proxy in _proxies.known.values()) - 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert c.n == 0


def test_a_pickle_keeps_it_for_a_while(there):
    c = share(Counter(4))
    data = pickle.dumps(c)
    del c

    def use(data):
        c = pickle.loads(data)
        return c.inc()

    assert there(use, data) == 5
    assert pickle.loads(data).n == 5


def test_a_pickle_that_comes_too_late_says_so(monkeypatch):
    monkeypatch.setattr(_table, "LEASE", 0.0)
    data = pickle.dumps(share(Counter(4)))
    waiting.until(lambda: not entries())
    with pytest.raises(NotShared):
        pickle.loads(data)


def test_what_a_process_has_is_kept_for_it(there):
    def keep(c):
        shared_things.kept.append(c)

    def use():
        return shared_things.kept.pop().inc()

    counter = Counter()
    c = share(counter)
    there(keep, c)
    assert holds_of(counter) >= 2
    del c
    assert there(use) == 1
    waiting.until(lambda: not holds_of(counter))


# ---------------------------------------------------------------- other ways to other processes


@pytest.fixture(autouse=True, scope="module")
def helpers_of_multiprocessing():
    """Its processes that stay: they are there before the first test."""
    resource_tracker.ensure_running()
    forkserver.ensure_running()
    yield
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_the_standard_library(method):
    c = share(Counter())
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        assert len({*executor.map(shared_things.inc, [c] * 4, [10] * 4)}) <= 2
    assert c.n == 40


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_of_the_standard_library(method):
    context = multiprocessing.get_context(method)
    obj, queue = share(Plain()), context.Queue()
    queue.put(obj)
    process = context.Process(target=shared_things.change_in_three_ways, args=(obj,))
    process.start()
    process.join()
    assert (process.exitcode, obj.x, queue.get() is obj) == (0, 201, True)
    queue.close()
    queue.join_thread()


def test_a_method_kept_in_an_attribute_is_what_it_is_at_the_moment(at):
    def begin(machine):
        return machine.state(), machine.state

    assert at(begin, share(Machine())) == ("begun", None)


def test_an_attribute_in_the_place_of_a_method_is_an_attribute(at):
    def use(plain, sized, changed):
        first = plain.size(), sized.size, changed.size()
        changed.size = 3
        return *first, plain.size(), sized.size, changed.size, plain.size()

    plain, sized, changed = share(Step()), share(Step(2)), share(Step())
    assert plain.size() == 1
    assert at(use, plain, sized, changed) == (1, 2, 1, 1, 2, 3, 1)
    assert (plain.size(), sized.size) == (1, 2)
    assert at(lambda changed: changed.size, changed) == 3


def test_a_box_is_what_is_in_it(at):
    def use(n, later):
        m = n
        first = isinstance(m, int), m + 1, m & 1
        m /= 2
        share.assign(later, "text")
        return *first, m is n, isinstance(m, float), isinstance(m, int), repr(m), m * 2, m.is_integer(), len(later), later[1:]

    n, later = share(3), share(None)
    assert n.bit_length() == 2
    assert at(use, n, later) == (True, 4, 1, True, True, False, "1.5", 3.0, False, 4, "ext")
    assert (isinstance(n, float), isinstance(n, int), n / 3, f"{n:.2f}") == (True, False, 0.5, "1.50")
    assert (later + "s", [*later], len(later), isinstance(later, str), later.upper()) == ("texts", ["t", "e", "x", "t"], 4, True, "TEXT")
    share.assign(n, (1, 2))
    assert (n[0], len(n), (*n, 3), isinstance(n, tuple), n.count(1)) == (1, 2, (1, 2, 3), True, 1)


def test_instances_of_a_shared_class_are_sent(there):
    assert there(lambda cls: cls(7).n, share(Value)) == 7


def test_the_name_of_who_was_killed_is_not_told_as_one_that_there_is():
    program = """
        import threading, manyhands
        kept = manyhands.share([], name="of one that dies")
        print("shared", flush=True)
        threading.Event().wait()
    """
    with scripts.started(program) as owner:
        owner.stdout.readline()
        assert share.get("of one that dies", timeout=10) == []
        owner.kill()
        owner.wait()
    with pytest.raises(manyhands.errors.NameUnknown) as caught:
        share.get("of one that dies")
    assert str(caught.value).count("of one that dies") == 1


def test_who_looks_whether_an_owner_lives_does_not_look_like_it():
    program = """
        import os, signal, manyhands
        kept = manyhands.share([], name="of one that died")
        print(manyhands.sharing._table.here.address, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with scripts.started(program) as owner:
        folder = owner.stdout.readline().strip()
        owner.wait()
    with open(os.path.join(folder, _folder._LOCK), "rb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)  # as whoever looks does for a moment
        assert not _folder.is_lived_in(folder)


def test_nobody_forks_while_a_new_client_is_asked_for_the_key():
    """OpenSSL's locks, which a thread may hold just then, would be held for ever in the child."""
    program = """
        import hmac, os, sys, threading
        from multiprocessing import get_context
        import manyhands

        digest, is_proving, proving, forking = hmac.digest, [False], threading.Event(), threading.Event()

        def slow_digest(*args):
            if os.getpid() != owner:
                return digest(*args)
            is_proving[0] = True
            proving.set()
            forking.wait(5)
            sum(range(10**6))
            is_proving[0] = False
            return digest(*args)

        def use(shared):
            shared.append(1)

        owner, hmac.digest = os.getpid(), slow_digest
        shared = manyhands.share([])
        os.register_at_fork(before=lambda: proving.is_set() and forking.set())
        child = get_context("fork").Process(target=use, args=(shared,))
        child.start()
        proving.wait(10)
        if (pid := os.fork()) == 0:
            os._exit(is_proving[0])
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        child.join(10)
        print(child.exitcode, shared)
    """
    ran = scripts.run(program)
    assert ran.stdout.split("\n")[:2] == ["0", "0 [1]"], ran.stderr


def test_a_forked_child_has_connections_of_its_own():
    c = share(Counter())
    elsewhere = Elsewhere()
    theirs = elsewhere(shared_things.made_here, 0)
    theirs.inc()
    pids = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                for _ in range(50):
                    c.inc()
                    theirs.inc()
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    for _ in range(50):
        c.inc()
        theirs.inc()
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    assert (c.n, theirs.n) == (200, 201)
    elsewhere.close()


def test_in_a_function_that_travels():
    words = share(Words())

    def count(text):
        words.update(text.split())

    manyhands.map(count, ["a b", "b c b"], workers=2)
    assert (words["b"], len(words), words.most_common(1)) == (3, 3, [("b", 3)])


def test_threads_of_a_worker_call_at_once(there):
    def use(c):
        threads = [threading.Thread(target=shared_things.inc, args=(c, 50)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    c = share(Counter())
    there(use, c)
    assert c.n == 400


# ---------------------------------------------------------------- who may


def test_the_folder_is_private():
    pickle.dumps(share(Counter()))
    folder = os.environ["MANYHANDS_RUNTIME_DIR"]
    assert os.stat(folder).st_mode & 0o777 == 0o700
    ours = _table.here.address
    assert os.path.dirname(ours) == folder
    assert os.stat(ours).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(ours, "key")).st_mode & 0o777 == 0o600


def test_a_folder_that_others_can_look_into_is_refused(tmp_path, monkeypatch):
    os.chmod(tmp_path, 0o755)
    monkeypatch.setenv("MANYHANDS_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(manyhands.errors.ShareRefused, match="MANYHANDS_RUNTIME_DIR"):
        pickle.dumps(share(Counter()))


def test_no_key_no_connection(tmp_path):
    pickle.dumps(share(Counter()))
    address = _table.here.address
    from manyhands.sharing import _folder, _handshake

    connected, key = _folder.connect(address)
    with connected, pytest.raises(manyhands.errors.ShareRefused):
        _handshake.as_client(connected, bytes(len(key)), b"12345678")
    connected, _ = _folder.connect(address)
    with connected:
        connected.sendall(b"GET / HTTP/1.1\r\n" + bytes(200))
        with contextlib.suppress(ConnectionResetError):
            assert connected.recv(100) == b""


def test_the_key_is_not_in_a_pickle():
    data = pickle.dumps(share(Counter()))
    with open(os.path.join(_table.here.address, "key"), "rb") as file:
        assert file.read() not in data


def test_a_long_path(tmp_path, monkeypatch, there):
    folder = tmp_path / ("x" * 120)
    monkeypatch.setenv("MANYHANDS_RUNTIME_DIR", str(folder))
    c = share(Counter())
    assert there(shared_things.inc, c, 3) != os.getpid()
    assert c.n == 3


def test_what_dead_processes_have_left_is_removed(there):
    def owner():
        made = share(Killable())
        pickle.dumps(made)
        return made, _table.here.address

    c, folder = there(owner)
    psutil.Process(c.pid()).kill()
    waiting.until(lambda: not _folder.is_lived_in(folder))  # its threads end after its main thread
    pickle.dumps(share(Counter()))
    assert not os.path.exists(folder)


def test_what_a_process_killed_while_it_left_has_left_is_removed():
    folder = os.path.join(_folder.base(), "0123456789abcdef")
    os.mkdir(folder, 0o700)
    open(os.path.join(folder, "s"), "w").close()  # its lock is gone already
    pickle.dumps(share(Counter()))
    assert not os.path.exists(folder)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 1, 1.0, -0.0, float("inf"), 1j, 1 << 5000, -(1 << 64), "", "\ud800", "\0", "é€🙂", b"", b"\xff" * 9),
        *(n * kind for kind in ("x", b"c", b"\xff") for n in (65_500, 65_536, 65_537, 1_000_000)),
        *([1], {"a": b"\x80"}, (1, (2.5, "x")), [[1], {2: [3]}], "x" * 70_000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_arrive_as_they_are(there, value):
    c = share(Counter())

    def echo(c):
        c.n = value
        got = c.given(value)
        return repr(c.n), type(got), repr(got)

    assert there(echo, c) == (repr(value), type(value), repr(value))
    assert repr(c.n) == repr(value)


def test_what_can_be_asked_is_told_apart_by_number():
    numbers = [value for name, value in vars(_asked).items() if name.isupper() and type(value) is int and name != "ONE_WAY"]
    assert len(numbers) == len(set(numbers))


def test_a_timeout_that_is_no_number():
    with pytest.raises(ValueError, match=r"timeout='5' is not allowed; timeout is a number of seconds, or None"):
        manyhands.lock(share(Counter()), timeout="5")
