"""Classes of a script arrive as they are: nothing that made them runs again, and what has changed since they were sent is seen."""

from __future__ import annotations

import abc
import enum
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import scripts

import manyhands
from manyhands._codec import _identity, _making, _pickling

FILE = Path(__file__).parent / "class_travellers.py"


def said(code, *arguments):
    done = scripts.run(code, *arguments)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_from_a_script(start_method):
    environment = scripts.environment(MANYHANDS_START_METHOD=start_method)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FILE)], capture_output=True, text=True, timeout=50, env=environment, check=False
    )
    assert (done.stdout, done.stderr) == ("0 of 189 failed\n", "")


def test_nothing_that_made_a_class_runs_again():
    code = """
        import enum, manyhands
        class Meta(type):
            def __prepare__(name, bases): print("prepare"); return {}
            def __new__(mcs, *args): print("new"); return super().__new__(mcs, *args)
            def __init__(cls, *args): print("init"); super().__init__(*args)
            def __setattr__(cls, name, value): print("set", name); super().__setattr__(name, value)
        class Learns:
            def __set_name__(self, owner, name): print("set name")
        class Base(metaclass=Meta):
            learns = Learns()
            def __init_subclass__(cls): print("init subclass")
        class Derived(Base):
            learns = Learns()
        class Members(enum.Enum):
            def __new__(cls, value):
                print("new member")
                made = object.__new__(cls)
                made._value_ = value
                return made
            def __init__(self, value): print("init member")
            A = 1
            B = 1
        print("sent")
        def use(_):
            return Derived().learns is Derived.learns, Members.A is Members.B
        with manyhands.Executor(1) as executor:
            print(list(executor.map(use, range(2))))
    """
    assert said(code)[-2:] == ["sent", "[(True, True), (True, True)]"]


def test_a_class_that_another_thread_defines_meanwhile_is_announced():
    announced = []

    class Base:
        def __init_subclass__(cls, **options):
            announced.append((cls.__name__, options))

    with _making._quiet((Base,)):
        type("Quiet", (Base,), {})
        thread = threading.Thread(target=lambda: type("Loud", (Base,), {}, loud=True))
        thread.start()
        thread.join()
    type("Later", (Base,), {})
    assert announced == [("Loud", {"loud": True}), ("Later", {})]


def has(cls, *names):
    return [name in vars(cls) for name in names]


def test_what_was_taken_from_a_class_is_taken_from_it_there():
    class Local:
        kept = gone = 1

        def method(self):
            pass

    def add(cls):
        cls.added = 1

    names = ("kept", "gone", "method", "added")
    with manyhands.Executor(1) as executor:
        assert executor.submit(has, Local, *names).result() == [True, True, True, False]
        executor.submit(add, Local).result()
        del Local.gone, Local.method
        assert executor.submit(has, Local, *names).result() == [True, False, False, True]  # what a task has added is the task's
        Local.gone = 2
        assert executor.submit(lambda cls: cls.gone, Local).result() == 2


def test_a_property_that_hides_what_a_class_is_comes_and_goes():
    class Local:
        pass

    def named(cls):
        return [getattr(cls(), name, None) for name in ("__name__", "__module__")], cls.__name__

    with manyhands.Executor(1) as executor:
        here = __name__
        assert executor.submit(named, Local).result() == ([None, here], "Local")
        Local = type("Local", (), {"__name__": property(lambda self: "mine"), "__module__": property(lambda self: "my module")})
        assert executor.submit(named, Local).result() == (["mine", "my module"], "Local")


def test_bases_metaclass_and_name_may_change():
    class Meta(type):
        def hello(cls):
            return "hello"

    class Other(type):
        def hello(cls):
            return "other"

    class One(metaclass=Meta):
        def get(self):
            return 1

    class Two(One):
        def get(self):
            return 2

    class Child(One):
        pass

    def look(cls):
        return cls.__name__, cls.hello(), cls().get(), issubclass(cls, Two)

    with manyhands.Executor(1) as executor:
        assert executor.submit(look, Child).result() == ("Child", "hello", 1, False)
        Child.__bases__ = (Two,)
        assert executor.submit(look, Child).result() == ("Child", "hello", 2, True)
        Child.__name__ = "Renamed"
        for cls in (One, Two, Child):
            cls.__class__ = Other
        assert executor.submit(look, Child).result() == ("Renamed", "other", 2, True)
        assert type(executor.submit(lambda cls: cls(), Child).result()) is Child


def test_bases_that_the_interpreter_refuses_make_another_class():
    class Small:
        __slots__ = ("a",)

    class Large:
        __slots__ = ("a", "b")

    token = b"elsewhere" * 2
    sent = type, "Child", (Small,), {"__qualname__": "Child"}, token
    first = _making.new_class(*sent)
    assert _making.new_class(*sent) is first
    second = _making.new_class(type, "Child", (Large,), {"__qualname__": "Child"}, token)
    assert (first.__bases__, second.__bases__) == ((Small,), (Large,))
    del first
    assert _identity.known(token) is second


def test_a_cell_of_a_notebook_that_runs_again_makes_another_class():
    code = """
        import manyhands
        source = "class Cell:\\n    number = {}\\n    def get(self): return self.number, __class__ is Cell"
        with manyhands.Executor(1) as executor:
            made = []
            for number in (1, 2):
                exec(source.format(number))
                made.append(Cell())
                print(executor.submit(lambda: Cell().get()).result())
            same = executor.submit(lambda *made: made, *made).result()
            print([type(new) is type(old) for new, old in zip(same, made)], [one.number for one in same], type(made[1]) is Cell)
    """
    assert said(code) == ["(1, True)", "(2, True)", "[True, True] [1, 2] True"]


def test_a_subclass_that_is_registered_after_its_class_was_sent():
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...

    class Square:
        pass

    with manyhands.Executor(1) as executor:
        assert not executor.submit(isinstance, Square(), Shape).result()
        Shape.register(Square)
        assert executor.submit(isinstance, Square(), Shape).result()


@pytest.mark.parametrize("start_method", ["zygote", "fork"])
def test_through_a_pool_in_a_pool(start_method):
    code = """
        import enum, sys, manyhands
        class Meta(type):
            made = 0
            def __new__(mcs, *args):
                Meta.made += 1
                made = super().__new__(mcs, *args)
                made.number = Meta.made
                return made
        class Point(metaclass=Meta):
            def __init__(self, x): self.x = x
            @property
            def __name__(self): return "a point"
        class Text(str, enum.Enum):
            def __new__(cls, number, text):
                made = str.__new__(cls, text)
                made._value_ = number
                return made
            A = 1, "a"
        class Flags(enum.Flag):
            A = 1
            B = 2
        def inner(point, text, flags):
            return point, text, flags, flags | Flags.B, Meta.made
        def same(point, text, flag, both, made):
            return [type(point) is Point, text is Text.A, flag is Flags.A, both is Flags.A | Flags.B, Point.number, made, point.__name__]
        def outer(*given):
            got = manyhands.map(inner, *[[one] for one in given], timeout=30)[0]
            return got, same(*got)
        with manyhands.options(start_method=sys.argv[1]):
            got, there = manyhands.map(outer, [Point(1)], [Text.A], [Flags.A])[0]
        print(there, same(*got) == there)
    """
    assert said(code, start_method) == ["[True, True, True, True, 1, 1, 'a point'] True"]


class Fruit(enum.Flag):
    """Goes by name."""

    APPLE = 1
    PEAR = 2


def test_members_of_what_goes_by_name_go_by_value():
    assert b"new_member" not in _pickling.encode_whole([Fruit.APPLE, Fruit.APPLE | Fruit.PEAR])
    assert manyhands.map(lambda fruit: fruit is Fruit.PEAR, [Fruit.APPLE, Fruit.PEAR]) == [False, True]


def test_combinations_of_flags_stay_what_they_are_when_their_class_comes_again():
    class Local(enum.Flag):
        A = 1
        B = 2

    def keep(cls):
        sys.kept = cls.A | cls.B

    def look(cls):
        return sys.kept is cls.A | cls.B, cls.A.label

    Local.A.label = "first"
    with manyhands.Executor(1) as executor:
        executor.submit(keep, Local).result()
        Local.A.label = "second"
        assert executor.submit(look, Local).result() == (True, "second")
        assert executor.submit(lambda cls: ~cls.A, Local).result() is Local.B


def test_an_enumeration_of_the_project_that_has_changed(tmp_path):
    (tmp_path / "kinds.py").write_text(
        "import enum\n"
        "class Kind(int, enum.Enum):\n"
        "    def __new__(cls, value, label):\n"
        "        made = int.__new__(cls, value * 10)\n"
        "        made._value_, made.label = value, label\n"
        "        return made\n"
        "    A = 1, 'a'\n"
        "    B = 2, 'b'\n"
    )
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import kinds, manyhands
        kinds.Kind.told = lambda self: self.label * 2
        def use(kind):
            return kind, kind.told(), kind + 1, kinds.Kind.B.told(), type(kind)(2) is kinds.Kind.B
        [got] = manyhands.map(use, [kinds.Kind.A])
        print(got[0] is kinds.Kind.A, got[1:])
    """
    assert said(code) == ["True ('aa', 11, 'bb', True)"]


def test_what_a_member_holds_is_found():
    class Local(enum.Enum):
        A = 1

    Local.A.held = {"deep": [(n for n in range(3))]}
    with pytest.raises(manyhands.NotSerializable, match=r"Local\.A\.held\['deep'\]\[0\] \(a generator\)"):
        manyhands.map(id, [Local])


def test_a_member_whose_task_has_killed_its_worker_is_shown():
    class Local(enum.Enum):
        A = 1

    def die(_):
        import os

        os.kill(os.getpid(), 9)

    with pytest.raises(manyhands.WorkerDied, match=r"Local\('A'\)"):
        manyhands.map(die, [Local.A])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a syntax of Python 3.12")
def test_classes_with_type_parameters():
    code = """
        import dataclasses, typing, manyhands
        class Box[T, *Ts, **P]:
            type Many = list[T]
            def __init__(self, item: T): self.item = item
            def get(self) -> T: return self.item
            def same[K](self, key: K) -> K: return key
        class IntBox(Box[int, str, [int]]): pass
        class Gets[T](typing.Protocol):
            def get(self) -> T: ...
        @dataclasses.dataclass(slots=True)
        class Data[T]:
            a: T
        class Pair[T](typing.NamedTuple):
            a: T
        class Table[T](typing.TypedDict):
            a: T
        class Bound[T: IntBox]: pass
        type Either[T] = Box[T, int, []] | Data[T]
        classes = [Box, IntBox, Gets, Data, Pair, Table, Bound]
        def use(*given):
            ours = [Box, IntBox, Gets, Data, Pair, Table, Bound]
            parameters = [(cls.__type_params__, cls.__parameters__, cls.__orig_bases__) for cls in ours if hasattr(cls, "__orig_bases__")]
            box = IntBox(5)
            data, pair = Data(box), Pair(1)
            same = [one is other for one, other in zip(given, ours)]
            bound = Bound.__type_params__[0].__bound__ is IntBox
            return same, parameters, (box.get(), box.same(2), bound, isinstance(box, Box)), data.a.item, pair, Data[int], Box.Many, Either
        there, here = manyhands.map(use, *[[cls, cls] for cls in classes])[0], use(*classes)
        print(there == here, all(here[0]), type(there[4]) is Pair, there[2])
    """
    assert said(code) == ["True True True (5, 2, True, True)"]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="a syntax of Python 3.13")
def test_defaults_of_type_parameters():
    code = """
        import manyhands
        class Box[T = int]: pass
        print(manyhands.map(lambda cls: cls.__type_params__[0].__default__, [Box]))
    """
    assert said(code) == ["[<class 'int'>]"]
