"""What people write travels: as a script, as a module, executed; under each start method."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import gc
import logging
import subprocess
import sys
import threading
import types
import warnings
import weakref
from pathlib import Path

import pytest
import scripts

import manyhands

FILE = Path(__file__).parent / "travellers.py"


def program(*arguments, stdin=None, **env):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        env=scripts.environment(**env),
        check=False,
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_from_a_script(start_method):
    assert program(FILE, MANYHANDS_START_METHOD=start_method) == ("0 of 62 failed", "")


def test_from_a_module():
    assert program("-c", "import travellers; travellers.main()") == ("0 of 62 failed", "")


def test_from_a_package_that_is_run():
    assert program("-m", "travellers") == ("0 of 62 failed", "")


def test_from_code_that_is_executed():
    code = """
        import manyhands
        space = {}
        exec('''
        import math
        LIMIT = 10
        def half(x): return math.floor(x / 2)
        def work(x): return half(x) + LIMIT if x > 1 else work(x + 2)
        class Thing:
            def __init__(self, x): self.x = x
            def get(self): return work(self.x)
        ''', space)
        print(manyhands.map(space["work"], [0, 4]), manyhands.map(lambda thing: thing.get(), [space["Thing"](4)]))
        [made] = manyhands.map(space["Thing"], [7])
        print(type(made) is space["Thing"], made.get())
    """
    done = scripts.run(code.replace("\n        ", "\n"))
    assert (done.stdout.splitlines(), done.stderr) == (["[11, 12] [12]", "True 13"], "")


def test_a_class_is_one_class_in_a_worker_and_itself_at_home():
    class Local:
        def __init__(self, x):
            self.x = x

        def __eq__(self, other):
            return type(self) is type(other) and self.x == other.x

        def __hash__(self):
            return hash(self.x)

    keep = []

    def remember(made):
        import sys

        known = sys.__dict__.setdefault("remembered", [])
        known.append(made)
        return len({type(one) for one in known}), isinstance(made, Local), type(made) is Local

    with manyhands.Executor(1) as executor:
        assert [executor.submit(remember, Local(x)).result() for x in range(3)] == [(1, True, True)] * 3
        made = executor.submit(lambda: Local(5)).result()
    assert type(made) is Local
    assert made == Local(5)
    assert keep == []


def test_a_class_that_has_changed_arrives_changed():
    class Local:
        rate = 1

        def get(self):
            return self.rate

    with manyhands.Executor(1) as executor:
        values = []
        for Local.rate in (1, 2, 1):
            values.append(executor.submit(lambda made: made.get(), Local()).result())
    assert values == [1, 2, 1]


def test_a_bound_method_is_that_of_the_class_whatever_its_object_has_under_its_name():
    class Runner:
        def run(self):
            return "of the class"

    class Proxy(Runner):
        def __getattribute__(self, name):
            return (lambda: "of nobody") if name == "run" else super().__getattribute__(name)

    runner, proxy = Runner(), Proxy()
    methods = [runner.run, Runner.run.__get__(proxy)]
    runner.run = lambda: "of the object"
    assert manyhands.map(lambda method: method(), methods) == ["of the class"] * 2
    assert manyhands.map(lambda runner: runner.run(), [runner]) == ["of the object"]


def test_what_decorators_of_a_project_make_needs_no_import_of_it(tmp_path):
    """A wrapper that uses nothing of its module comes without the module."""
    (tmp_path / "deco.py").write_text("def twice(f):\n    def wrapper(x):\n        return f(f(x))\n    return wrapper\n")
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import deco, manyhands
        @deco.twice
        def add(x):
            return x + 1
        def loaded(_):
            return add(1), "deco" in sys.modules
        print(manyhands.map(loaded, [1]))
    """
    assert scripts.run(code).stdout.strip() == "[(3, False)]"


def test_submodules_that_code_reaches_through_a_package():
    code = """
        import xml, xml.sax.saxutils, manyhands
        def escape(text):
            return xml.sax.saxutils.escape(text)
        print(manyhands.map(escape, ["<a>"]))
    """
    assert scripts.run(code).stdout.strip() == "['&lt;a&gt;']"


def test_the_newcomers_lock_is_told_of_once():
    code = """
        import threading, manyhands
        class Guarded:
            def __init__(self):
                self.lock = threading.Lock()
        print(len(manyhands.map(lambda guarded: guarded.lock.locked(), [Guarded() for _ in range(10)])))
    """
    done = scripts.run(code)
    assert done.stdout.strip() == "10"
    assert done.stderr.count("TravelWarning") == 1
    assert "<string>:6: TravelWarning: a lock travels as a new one: it does not exclude" in done.stderr


def test_a_heavy_function_is_told_of_once():
    code = """
        import manyhands
        big = b"x" * 16_000_000
        def train(x):
            return len(big) + x
        for _ in range(3):
            print(manyhands.map(train, [1, 2]))
    """
    done = scripts.run(code)
    assert done.stdout.splitlines() == ["[16000001, 16000002]"] * 3
    assert done.stderr.count("TravelWarning") == 1
    assert "train() takes 16.0 MB to each worker, and again whenever it has changed: global 'big', 16.0 MB" in done.stderr


def test_files_that_cannot_be_opened_again(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("abc")
    with path.open("a") as writing, pytest.raises(manyhands.NotSerializable, match="open for writing"):
        manyhands.map(id, [[writing]])
    with path.open() as gone:
        path.unlink()
        with pytest.raises(manyhands.NotSerializable, match="no file under its name"):
            manyhands.map(id, [[gone]])
    with pytest.raises(manyhands.NotSerializable, match="it is closed"):
        manyhands.map(id, [[gone]])


def test_a_file_that_is_open_for_reading_goes_on_where_it_was(tmp_path):
    path = tmp_path / "data.txt"
    path.write_bytes(b"abcdef")
    for mode, expected in (("r", "cde"), ("rb", b"cde")):
        with path.open(mode) as file:
            file.read(2)
            assert manyhands.map(lambda given: given[0].read(3), [[file]]) == [expected]
            assert file.read(1) in {"c", b"c"}
    with path.open("rb", buffering=0) as raw:
        raw.read(1)
        assert manyhands.map(lambda given: given[0].read(2), [[raw]]) == [b"bc"]


def test_a_user_tells_how_a_class_travels():
    class Handle:
        def __init__(self, name):
            self.name, self.stream = name, (i for i in ())

    class Special(Handle):
        pass

    with pytest.raises(manyhands.NotSerializable):
        manyhands.map(lambda handle: handle.name, [Handle("a")])
    manyhands.register_reducer(Handle, lambda handle: (type(handle), (handle.name + "!",)))
    assert manyhands.map(lambda handle: (type(handle).__name__, handle.name), [Handle("a"), Special("b")]) == [
        ("Handle", "a!"),
        ("Special", "b!"),
    ]
    with pytest.raises(TypeError, match="cls is 5; it must be a class"):
        manyhands.register_reducer(5, str)
    with pytest.raises(TypeError, match="reduce is 'x'; it must be a function"):
        manyhands.register_reducer(Handle, "x")


# ------------------------------------------------------------ classes of a program, again and again


def test_a_class_of_a_program_is_described_to_each_worker_once(tmp_path):
    program = """
        import dataclasses, enum, typing
        import manyhands
        from manyhands._codec import _pickling

        @dataclasses.dataclass
        class Point:
            x: int
            note: str = "n"
            def double(self):
                return self.x * FACTOR
        class Kind(enum.Enum):
            LOW = 1
        class Pair(typing.NamedTuple):
            a: int
            b: int
        FACTOR = 2
        def look(p, k, t):
            return p.double(), k is Kind.LOW, t.b, type(p).__name__
        def give(i):
            return Point(i), Kind.LOW, Pair(i, i)
        print(manyhands.map(look, [Point(i) for i in range(3)], [Kind.LOW] * 3, [Pair(i, i) for i in range(3)]))
        given = manyhands.map(give, range(3))
        print(all((type(p), k, type(t)) == (Point, Kind.LOW, Pair) for p, k, t in given), given[2])
        print(max(len(_pickling.encode_views(p, "send", _pickling.KNOWN)[0]) for p in (Point(1), Kind.LOW, Pair(1, 2))) < 400)
        # What changes is seen, at once and where it was sent before.
        FACTOR = 10
        print(manyhands.map(Point.double, [Point(1)] * 2))
        Point.double = lambda self: "another"
        print(manyhands.map(Point.double, [Point(1)] * 2), manyhands.map(lambda p: p.double(), [Point(1)] * 2))
        Point.note = ["a list"]
        print(manyhands.map(lambda p: type(p).note, [Point(1)]))
        Point.note.append("longer")
        print(manyhands.map(lambda p: type(p).note, [Point(1)]))
        with manyhands.Executor(1) as executor:
            futures = []
            for step in range(3):
                Point.step = step
                futures.append(executor.submit(lambda p: p.step, Point(1)))
            print([future.result() for future in futures])
    """
    assert scripts.run(program).stdout.splitlines() == [
        "[(0, True, 0, 'Point'), (2, True, 1, 'Point'), (4, True, 2, 'Point')]",
        "True (Point(x=2, note='n'), <Kind.LOW: 1>, Pair(a=2, b=2))",
        "True",
        "[10, 10]",
        "['another', 'another'] ['another', 'another']",
        "[['a list']]",
        "[['a list', 'longer']]",
        "[0, 1, 2]",
    ]


def test_a_class_that_is_defined_anew_while_results_of_the_old_are_under_way():
    program = """
        import gc, manyhands
        def define(n):
            class Record:
                def __init__(self, x):
                    self.x = x
                def get(self):
                    return self.x * n
            return Record
        Record = define(1)
        with manyhands.Executor(1) as executor:
            old = [executor.submit(lambda r: r, Record(i)) for i in range(3)]
            Record = define(2)
            gc.collect()
            new = [executor.submit(lambda r: r, Record(i)) for i in range(3)]
            print([f.result().get() for f in old + new], type(new[0].result()) is Record)
    """
    assert scripts.run(program).stdout.splitlines() == ["[0, 1, 2, 0, 2, 4] True"]


def test_a_class_that_is_defined_in_a_worker_of_a_worker():
    program = """
        import manyhands
        def inner(x):
            class Made:
                def __init__(self, x):
                    self.x = x
                def get(self):
                    return self.x + 1
            return Made(x)
        def outer(x):
            (made,) = manyhands.map(inner, [x], timeout=30)  # with a time-out it gets a process of its own
            return made, made.get()
        made, got = manyhands.map(outer, [1])[0]
        print(type(made).__name__, made.get(), got)
        print([again.get() for again in manyhands.map(lambda given: given, [made] * 2)])
    """
    assert scripts.run(program).stdout.splitlines() == ["Made 2 2", "[2, 2]"]


def test_threads_send_a_class_together():
    program = """
        import threading, manyhands
        class Point:
            def __init__(self, x):
                self.x = x
            def get(self):
                return self.x
        wrong = []
        with manyhands.Executor(2) as executor:
            def work(start):
                for i in range(start, start + 50):
                    if executor.submit(Point.get, Point(i)).result() != i:
                        wrong.append(i)
            threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        print(wrong)
    """
    done = scripts.run(program)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_class_of_a_program_that_changes_again_and_again():
    program = """
        import manyhands
        class Item:
            made = 0
            def __init__(self, i):
                self.i = i
                Item.made += 1
        class Toggled:
            k = 1
        class Watched:
            def m(self, x=1):
                return x
        class Tagged(int):
            pass
        def get_k(given):
            return given.k
        def uses(_):
            return Toggled.k
        def look(given):
            return getattr(given, "__version__", 0), given.m(), getattr(getattr(given, "n", None), "tag", None)
        with manyhands.Executor(2) as executor:
            futures = [executor.submit(lambda item: item.i, Item(i)) for i in range(700)]
            print([future.result() for future in futures] == list(range(700)))
        with manyhands.Executor(1) as executor:
            run = lambda *call: executor.submit(*call).result()
            seen = [run(get_k, Toggled())]
            Toggled.k = 2
            seen.append(run(uses, 0))
            Toggled.k = 1
            print([*seen, run(get_k, Toggled())])
            seen = [run(look, Watched())]
            Watched.__version__ = 2
            seen.append(run(look, Watched()))
            Watched.m.__defaults__ = (5,)
            seen.append(run(look, Watched()))
            Watched.m.__code__ = (lambda self, x=1: -x).__code__
            seen.append(run(look, Watched()))
            Watched.n = Tagged(3)
            for Watched.n.tag in "ab":
                seen.append(run(look, Watched()))
            print(seen)
    """
    assert scripts.run(program).stdout.splitlines() == [
        "True",
        "[1, 2, 1]",
        "[(0, 1, None), (2, 1, None), (2, 5, None), (2, -5, None), (2, -5, 'a'), (2, -5, 'b')]",
    ]


def test_classes_that_refer_to_one_another_in_arguments():
    program = """
        import manyhands
        class A:
            def other(self):
                return B()
        class B:
            def other(self):
                return A()
        print([type(x).__name__ for x in manyhands.map(lambda given: given.other(), [A(), B(), A()])])
        def uses(_):
            return type(A().other()).__name__
        print(manyhands.map(uses, [A()]))
    """
    assert scripts.run(program).stdout.splitlines() == ["['B', 'A', 'B']", "['B']"]


# ------------------------------------------------------------ what refers weakly


class Parent:
    pass


class Child:
    def __init__(self, parent):
        self.parent = weakref.ref(parent)


def test_what_is_referred_to_weakly_arrives():
    root = Parent()
    child = Child(root)
    values = weakref.WeakValueDictionary(a=root)
    keys, members = weakref.WeakKeyDictionary({root: 1}), weakref.WeakSet([root])

    def look(given):
        gc.collect()
        return type(given.parent()).__name__, list(values), list(keys.values()), len(members)

    assert manyhands.map(look, [child]) == [("Parent", ["a"], [1], 1)]
    [home] = manyhands.map(lambda given: given, [child])
    assert isinstance(home.parent(), Parent)
    assert copy.deepcopy(home).parent() is home.parent()


def test_what_is_dead_arrives_dead():
    child = Child(Parent())
    gc.collect()
    assert manyhands.map(lambda given: given.parent(), [child]) == [None]


# ------------------------------------------------------------ what somebody holds


def test_semaphores_that_somebody_has_taken():
    semaphore = threading.Semaphore(1)
    bounded = threading.BoundedSemaphore(2)
    for one in (semaphore, bounded):
        with one, pytest.raises(manyhands.NotSerializable, match="somebody has taken it"):
            manyhands.map(id, [[one]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", manyhands.TravelWarning)
            assert manyhands.map(lambda held: held[0].acquire(timeout=1), [[one]]) == [True]


def test_locks_of_asyncio():
    async def hold(one):
        async with one:
            return str(manyhands.explain(one))

    async def take(one):
        async with one:
            return True

    for one in (asyncio.Lock(), asyncio.Semaphore(1), asyncio.BoundedSemaphore(1)):
        assert "somebody holds it" in asyncio.run(hold(one))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", manyhands.TravelWarning)
            assert manyhands.map(lambda given: asyncio.run(take(given)), [one]) == [True]


class Cached:
    @functools.cached_property
    def five(self):
        return 5


def test_locks_that_nobody_wrote_are_not_told_of():
    handler = logging.NullHandler()
    with warnings.catch_warnings():
        warnings.simplefilter("error", manyhands.TravelWarning)
        assert manyhands.map(lambda given: given.five, [Cached()]) == [5]
        manyhands.map(lambda given: given.level, [handler])


# ------------------------------------------------------------ contexts


@contextlib.contextmanager
def five():
    yield 5


def test_contexts():
    fresh = five()

    def use(x):
        with fresh as value:
            return value + x

    @five()
    def decorated(x):
        return x + 1

    assert manyhands.map(use, [1, 2]) == [6, 7]
    assert manyhands.map(decorated, [1, 2]) == [2, 3]
    entered = five()
    with entered, pytest.raises(manyhands.NotSerializable, match="it has been entered"):
        manyhands.map(id, [[entered]])


# ------------------------------------------------------------ where modules are looked for


def test_a_module_that_the_program_has_put_together(tmp_path):
    module = types.ModuleType("put_together")
    module.RATE = 3
    exec("def price(x):\n    return x * RATE\nclass Good:\n    def price(self):\n        return price(2)", module.__dict__)
    sys.modules["put_together"] = module
    try:
        assert manyhands.map(module.price, [1, 2]) == [3, 6]
        assert manyhands.map(lambda good: good.price(), [module.Good()]) == [6]
        assert manyhands.map(lambda x: module.price(x), [1]) == [3]
        [home] = manyhands.map(lambda good: good, [module.Good()])
        assert type(home) is module.Good
    finally:
        del sys.modules["put_together"]


def test_workers_look_for_modules_where_the_program_does_by_now(tmp_path):
    done = program(
        "-c",
        """
import os, sys, manyhands
folder = sys.argv[1]
def init():
    sys.path.insert(0, "/of/the/initializer")
with manyhands.Executor(1, initializer=init) as executor:
    executor.submit(abs, 1).result()
    for number in range(3):
        with open(os.path.join(folder, f"late{number}.py"), "w") as file:
            file.write(f"NUMBER = {number}")
        if not number:
            sys.path.insert(0, folder)
        def work():
            module = __import__(f"late{number}")
            return module.NUMBER, sys.path[:2] == ["/of/the/initializer", folder]
        print(executor.submit(work).result())
    sys.path.remove(folder)
    print(executor.submit(lambda: folder in sys.path).result())
""",
        tmp_path,
    )
    assert done == ("(0, True)\n(1, True)\n(2, True)\nFalse", "")
