"""Exceptions travel as they are: raised by a task, returned by it, given to it."""

from __future__ import annotations

import copyreg
import dataclasses
import pickle
import socket
import sqlite3
import sys
import threading
import traceback

import pytest
import scripts
import tasks

import manyhands
from manyhands._codec import _failures
from manyhands.errors import RemoteTraceback

# ------------------------------------------------------------ classes as people write them


class MyOS(OSError):
    def __init__(self, *args):
        super().__init__(*args)
        self.mine = 1


class NeedsMore(OSError):
    def __init__(self, name, *, code):
        super().__init__(code, "not there", name)


class MyDecode(UnicodeDecodeError):
    def __init__(self, reason):
        super().__init__("utf-8", b"a\xffb", 1, 2, reason)


class MySyntax(SyntaxError):
    def __init__(self, line):
        super().__init__("bad line", ("f.py", line, 3, "x = = 1", line, 5))


class MyImport(ImportError):
    def __init__(self, name):
        super().__init__(f"no {name}", name=name, path=f"/{name}")


class MyAttribute(AttributeError):
    def __init__(self, name):
        super().__init__(f"no {name}", name=name, obj=threading.Lock())


class MyName(NameError):
    def __init__(self, name):
        super().__init__(f"no {name}", name=name)


class MyStop(StopIteration):
    def __init__(self, value, more):
        super().__init__(value)
        self.more = more


class MyKey(KeyError):
    def __init__(self, key, where):
        super().__init__(key)
        self.where = where


class Slots(Exception):
    __slots__ = ("__weakref__", "code", "none", "unset")

    def __init__(self, code):
        super().__init__("slots")
        self.code, self.none = code, None


class MoreSlots(Slots):
    __slots__ = ("__hidden", "obj")

    def __init__(self, code):
        super().__init__(code)
        self.obj, self.__hidden = "object", "hidden"


class SlotsOverC(OSError):
    __slots__ = ("code",)

    def __init__(self, code):
        super().__init__(code, "text", "file")
        self.code = code


class PlainSlots(Exception):
    __slots__ = ("code",)


class ForbidsAttributes(Exception):
    def __init__(self, code):
        super().__init__(code, code + 1)
        self.__dict__["code"] = code

    def __setattr__(self, name, value):
        raise TypeError("no attributes")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    where: str = "here"


class OwnNew(Exception):
    def __new__(cls, code, *, where):
        self = super().__new__(cls, code)
        self.where = where
        return self

    def __init__(self, code, *, where):
        super().__init__(f"{code} at {where}")


class OwnState(Exception):
    def __init__(self, code, extra):
        super().__init__(code)
        self.code = code

    def __setstate__(self, state):
        self.__dict__.update(state, restored=True)


class OwnReduce(Exception):
    def __init__(self, code, extra):
        super().__init__(code)
        self.extra = extra

    def __reduce__(self):
        return type(self), (self.args[0], self.extra), {"reduced": True}


class Registered(Exception):
    pass


copyreg.pickle(Registered, lambda error: (Registered, ("as registered", *error.args)))


class Property(OSError):
    def __init__(self, path):
        super().__init__(2, "gone", path)

    @property
    def filename(self):
        return "never asked"


class Group(ExceptionGroup):
    def __new__(cls, message, members, code):
        self = super().__new__(cls, message, members)
        self.code = code
        return self

    def __init__(self, message, members, code):
        super().__init__(message, members, code)

    def __str__(self):
        return f"group of {len(self.exceptions)} with code {self.code}"

    def derive(self, members):
        return Group(self.message, members, self.code)


class TextGroup(ExceptionGroup):
    def __str__(self):
        return "nothing (of the message) is in here"


def os_error():
    try:
        open("/nowhere/at all")  # noqa: SIM115 - it is not there
    except OSError as error:
        return error


def blocking():
    return BlockingIOError(11, "try again", 5)


def with_notes():
    error = ValueError("noted")
    error.add_note("a note")
    return error


def changed_args():
    error = MyKey("key", "where")
    error.args = ("other", "args")
    return error


CASES = {
    "OSError with a constructor": lambda: MyOS(2, "not there", "file", None, "other file"),
    "OSError, other signature": lambda: NeedsMore("file", code=13),
    "OSError of the interpreter": os_error,
    "BlockingIOError": blocking,
    "UnicodeDecodeError": lambda: MyDecode("bad"),
    "UnicodeEncodeError": lambda: UnicodeEncodeError("ascii", "aäb", 1, 2, "bad"),
    "SyntaxError": lambda: MySyntax(4),
    "ImportError with a constructor": lambda: MyImport("it"),
    "ImportError": lambda: ImportError("no", name="it", path="/it"),
    "AttributeError": lambda: AttributeError("no", name="it", obj=threading.Lock()),
    "AttributeError with a constructor": lambda: MyAttribute("it"),
    "NameError": lambda: NameError("no", name="it"),
    "NameError with a constructor": lambda: MyName("it"),
    "StopIteration": lambda: MyStop({"a": 1}, more=2),
    "KeyError": lambda: MyKey("key", "where"),
    "slots": lambda: Slots(5),
    "slots of two classes": lambda: MoreSlots(5),
    "slots over fields": lambda: SlotsOverC(5),
    "slots, no constructor": lambda: set_code(PlainSlots("text"), 6),
    "forbids attributes": lambda: ForbidsAttributes(3),
    "frozen dataclass": lambda: Frozen(4),
    "own __new__": lambda: OwnNew(1, where="w"),
    "own __setstate__": lambda: OwnState(1, 2),
    "own __reduce__": lambda: OwnReduce(1, 2),
    "copyreg": lambda: Registered("here"),
    "a property over a field": lambda: Property("file"),
    "notes": with_notes,
    "args that were changed": changed_args,
    "group": lambda: ExceptionGroup("message (odd)", [ValueError(1), MyOS(2, "a", "b")]),
    "group with own text": lambda: TextGroup("message (of it)", [ValueError(1)]),
    "group with own __new__": lambda: Group("message", [ValueError(1), MyKey("a", "b")], 5),
    "groups in groups": lambda: ExceptionGroup("outer", [Group("inner", [TextGroup("in", [KeyError(1)])], 6), TypeError()]),
}
C_FIELDS = (
    "errno strerror filename filename2 characters_written encoding object start end reason msg lineno offset text end_lineno end_offset "
    "name path value code none unset _MoreSlots__hidden obj message"
)


def set_code(error, code):
    error.code = code
    return error


def facts(error):
    """All that can be seen of an exception."""
    found = {name: getattr(error, name) for name in C_FIELDS.split() if hasattr(error, name)}
    if isinstance(error, AttributeError):
        del found["obj"]
    members = [facts(member) for member in error.exceptions] if isinstance(error, BaseExceptionGroup) else None
    args = [arg if members is None or not isinstance(arg, (list, tuple)) else len(arg) for arg in error.args]
    state = {name: held for name, held in vars(error).items() if name != "__notes__"}
    return type(error).__qualname__, str(error), args, state, found, members


def notes(error):
    return [note for note in getattr(error, "__notes__", []) if not note.startswith("raised by")]


def raise_it(make):
    raise make()


def return_it(make):
    return make()


def look_at_it(error):
    return facts(error), notes(error)


def raised(make):
    [failure] = manyhands.map(raise_it, [make], errors="return", workers=1)
    assert type(failure.error.__cause__) is RemoteTraceback
    return failure.error


def returned(make):
    [value] = manyhands.map(return_it, [make], workers=1)
    return value


# What plain pickle makes of them too, where their authors or the interpreter say how.
REDUCED = {"own __reduce__": {"extra": 2, "reduced": True}, "own __setstate__": {"code": 1, "restored": True}}


def expected(name):
    cls, text, args, state, found, members = facts(CASES[name]())
    if name == "copyreg":
        text, args = "('as registered', 'here')", ["as registered", "here"]
    return cls, text, args, REDUCED.get(name, state), found, members


def all_raised():
    return [failure.error for failure in manyhands.map(raise_it, CASES.values(), errors="return", workers=1)]


def all_returned():
    return manyhands.map(return_it, CASES.values(), workers=1)


def all_raised_in_an_executor():
    with manyhands.Executor(1) as executor:
        return [future.exception() for future in [executor.submit(raise_it, make) for make in CASES.values()]]


@pytest.mark.parametrize("way", [all_raised, all_returned, all_raised_in_an_executor], ids=lambda way: way.__name__)
def test_exceptions_come_home_as_they_were(way):
    for name, error in zip(CASES, way(), strict=True):
        assert (name, facts(error), notes(error)) == (name, expected(name), notes(CASES[name]()))


def test_exceptions_arrive_as_they_were():
    seen = manyhands.map(look_at_it, [make() for make in CASES.values()], workers=1)
    for name, what in zip(CASES, seen, strict=True):
        assert (name, *what) == (name, expected(name), notes(CASES[name]()))


def test_exceptions_are_shown_as_they_are_made():
    given = [MyName("it"), KeyError(1), Frozen(4), Group("m", [KeyError(1)], 5)]
    given[1].__cause__ = ValueError(2)
    failures = manyhands.map(len, given, errors="return", workers=1)
    shown = [failure.error.__notes__[0].partition("len(")[2].rpartition(" in worker")[0] for failure in failures]
    assert shown == [
        "MyName('no it', name='it'))",
        "KeyError(1))",
        "Frozen(4, code=4, where='here'))",
        "Group('m', [KeyError(1)], 5, code=5))",
    ]


def test_what_cannot_be_asked_of_an_attribute_error_is_left_out():
    assert returned(CASES["AttributeError"]).obj is None


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_would_end_the_program_comes_home_as_a_value_only(kind):
    error = returned(lambda: kind(3))
    assert (type(error), error.args) == (kind, (3,))
    assert kind is not SystemExit or error.code == 3
    error = raised(lambda: kind(3))
    assert isinstance(error, manyhands.RemoteError)
    assert (error.type_name, error.text) == (kind.__name__, "3")
    assert "must not end the program" in error.__notes__[0]


def test_a_group_that_would_end_the_program():
    def make():
        return BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError(1)])

    assert facts(returned(make)) == facts(make())
    error = raised(make)
    assert isinstance(error, manyhands.RemoteError)
    assert error.type_name == "BaseExceptionGroup"


def test_a_group_can_be_split_at_home():
    error = raised(CASES["group with own __new__"])
    matching, rest = error.split(ValueError)
    assert (type(matching), matching.code, len(rest.exceptions)) == (Group, 5, 1)
    with pytest.raises(Group) as caught:
        raise error
    assert caught.group_contains(MyKey)


def test_a_state_that_leads_back_to_its_exception():
    class Job:
        pass

    class JobFailed(Exception):
        def __init__(self, job):
            super().__init__(job)
            self.job = job
            job.error = self

    def look(error):
        return error.args[0] is error.job is error.job.error.job

    def fail(_):
        raise JobFailed(Job())

    error = returned(lambda: JobFailed(Job()))
    assert error.job.error is error
    assert error.args == (error.job,)
    assert manyhands.map(look, [JobFailed(Job())]) == [True]
    [failure] = manyhands.map(fail, [0], errors="return")
    assert type(failure.error) is JobFailed
    assert failure.error.args == (failure.error.job,)


# ------------------------------------------------------------ what led to it


class Wrapper(Exception):
    def __init__(self, original, depth=0):
        super().__init__(f"wrapped {depth}")
        self.original = original


def fail_in_steps(x):
    try:
        try:
            {}[x]
        except KeyError as error:
            raise MyOS(2, "not there", "file") from error
    except MyOS as error:
        raise Wrapper(error) from error


def give_in_steps(x):
    try:
        fail_in_steps(x)
    except Wrapper as error:
        return error


def test_the_cause_of_what_a_task_raised_is_kept():
    with pytest.raises(Wrapper) as caught:
        manyhands.map(fail_in_steps, [3], workers=1)
    remote = caught.value.__cause__
    assert type(remote) is RemoteTraceback
    cause = remote.cause
    assert (type(cause), cause.filename, type(cause.__cause__), cause.__cause__.args) == (MyOS, "file", KeyError, (3,))
    assert cause.__cause__.__cause__ is None


def test_the_cause_is_not_printed_twice():
    code = """
        import manyhands
        def fail(x):
            try:
                x / 0
            except ArithmeticError as error:
                raise ValueError("because of it") from error
        manyhands.map(fail, [3], workers=1)
    """
    printed = scripts.run(code).stderr
    assert printed.count("ZeroDivisionError: division by zero") == 1
    assert printed.count("ValueError: because of it") == 2  # in the worker, and here
    assert printed.count("direct cause") == 2


def test_a_cause_outlasts_two_ways_home():
    def outer(x):
        manyhands.map(fail_in_steps, [x], workers=1, timeout=50)

    with pytest.raises(Wrapper) as caught:
        manyhands.map(outer, [3], workers=1)
    assert type(caught.value.__cause__.cause) is MyOS
    [again] = manyhands.map(tasks.identity, [caught.value])
    assert again.__cause__.text == caught.value.__cause__.text
    assert type(again.__cause__.cause.__cause__) is KeyError


def look_at_causes(error):
    return error.original is error.__cause__, error.__cause__.filename, error.__cause__.__cause__.args, error.__suppress_context__


def test_values_have_their_causes():
    expected = (True, "file", (3,), True)
    [error] = manyhands.map(give_in_steps, [3], workers=1)
    assert look_at_causes(error) == expected
    assert manyhands.map(look_at_causes, [error]) == [expected]


@pytest.mark.parametrize("name", ["own __reduce__", "copyreg", "slots", "notes"])
def test_the_cause_of_any_value(name):
    def make():
        error = CASES[name]()
        error.__cause__ = KeyError(1)
        return error

    for value in (returned(make), returned(lambda: [make()])[0]):
        assert facts(value) == expected(name)
        assert (type(value.__cause__), value.__cause__.args) == (KeyError, (1,))


def test_contexts_and_their_absence():
    def fail(_):
        try:
            tasks.square(None)
        except TypeError:
            raise ValueError(1)  # noqa: B904 - that is the point

    def give(_):
        try:
            fail(0)
        except ValueError as error:
            return error

    def give_from_none(_):
        try:
            tasks.square(None)
        except TypeError:
            try:
                raise ValueError(1) from None
            except ValueError as error:
                return error

    [failure] = manyhands.map(fail, [0], errors="return")
    assert type(failure.error.__context__) is TypeError
    [value] = manyhands.map(give, [0])
    assert (type(value.__context__), value.__cause__, value.__suppress_context__) == (TypeError, None, False)
    [value] = manyhands.map(give_from_none, [0])
    assert value.__suppress_context__


def chained(count):
    error = ValueError(0)
    for number in range(1, count):
        before, error = error, Wrapper(error if count < 200 else None, number)
        error.__cause__ = before
        error.__context__ = before
        error.__suppress_context__ = False
    return error


@pytest.mark.parametrize("way", [raised, returned])
@pytest.mark.parametrize("count", [10, 40, 150, 1000])
def test_a_long_chain(way, count):
    """There are two ways from each to the next; as much of it as one can look through comes home."""
    error = way(lambda: chained(count))
    for number in range(count - 1, max(count - 6, 0), -1):  # what is looked through in a second, on a busy machine as well
        assert str(error) == f"wrapped {number}"
        assert count > 200 or error.original.args == ((f"wrapped {number - 1}",) if number > 1 else (0,))
        error = error.__cause__.cause if type(error.__cause__) is RemoteTraceback else error.__cause__


def test_a_chain_that_has_no_end():
    def make():
        error, other = ValueError(1), Wrapper(None)
        error.__cause__, other.__cause__ = other, error
        return error

    assert str(raised(make).__cause__.cause) == "wrapped 0"
    error = returned(make)
    assert str(error.__cause__) == "wrapped 0"
    assert error.__cause__.__cause__ is error


def test_members_of_a_group_with_one_cause():
    def make():
        cause = KeyError(1)
        members = [ValueError(1), ValueError(2)]
        for member in members:
            member.__cause__ = cause
        return ExceptionGroup("group", members)

    for error in (raised(make), returned(make)):
        assert error.exceptions[0].__cause__ is error.exceptions[1].__cause__
        assert error.exceptions[0].__cause__.args == (1,)


def test_a_cause_that_cannot_be_sent_is_told():
    def make():
        error, cause = ValueError(1), KeyError(x for x in ())
        error.__cause__, cause.__cause__ = cause, TypeError(2)
        return error

    value = returned(make)
    assert type(value.__cause__) is manyhands.RemoteError
    assert value.__cause__.type_name == "KeyError"
    assert "cannot pickle 'generator' object" in value.__cause__.reason


# ------------------------------------------------------------ what cannot be sent


class DbError(Exception):
    def __init__(self, message, connection):
        super().__init__(message, connection)
        self.connection = connection


class OnlyItsConnection(Exception):
    def __init__(self, connection):
        self.connection = connection

    def __str__(self):
        return f"lost {self.connection!r}"


class InSlots(Exception):
    __slots__ = ("sock",)


class UsesWhatIsGone(Exception):
    def __init__(self, sock):
        super().__init__("no reply")
        self.sock = sock

    def __str__(self):
        return f"no reply to {self.sock.fileno()}"


def fail_holding(kind):
    if kind is DbError:
        raise DbError("no table", {"main": sqlite3.connect(":memory:")})
    if kind is OnlyItsConnection:
        raise OnlyItsConnection(sqlite3.connect(":memory:"))
    with socket.socket() as sock:
        error = kind("text") if kind is not UsesWhatIsGone else kind(sock)
        error.sock = sock
        raise error


def failure_holding(kind):
    [failure] = manyhands.map(fail_holding, [kind], errors="return", workers=1)
    return failure.error


def test_an_argument_that_cannot_be_sent_costs_its_exception_nothing_else():
    error = failure_holding(DbError)
    assert type(error) is DbError
    assert error.args[0] == "no table"
    assert error.args[1].startswith("{'main': <sqlite3.Connection object at")
    assert error.connection == error.args[1]
    [note] = notes(error)
    assert note.startswith(
        "DbError.args[1]['main'] and DbError.connection['main'] (a sqlite3.Connection) cannot be sent to another process"
    )
    assert "To mend it: give each worker its own" in note
    assert note.endswith("DbError.args[1] and DbError.connection came as the text of repr() instead.")


def test_a_text_that_shows_what_cannot_be_sent():
    error = failure_holding(OnlyItsConnection)
    assert type(error) is OnlyItsConnection
    assert "<sqlite3.Connection object at" in str(error)


@pytest.mark.parametrize("kind", [ValueError, InSlots])
def test_an_attribute_that_cannot_be_sent_is_told(kind):
    error = failure_holding(kind)
    assert (type(error), error.args) == (kind, ("text",))
    assert error.sock.startswith("<socket.socket")
    [note] = notes(error)
    assert note.startswith(f"{kind.__name__}.sock (a socket.socket) cannot be sent to another process: ")


def test_why_an_exception_has_not_come_back_as_itself():
    error = failure_holding(UsesWhatIsGone)
    assert isinstance(error, manyhands.RemoteError)
    assert "AttributeError: 'str' object has no attribute 'fileno', raised when it was rebuilt" in error.reason
    assert "UsesWhatIsGone.sock (a socket.socket) cannot be sent" in error.reason
    assert f"it has not come back as itself: {error.reason}" in error.__notes__


def test_a_class_that_cannot_be_sent():
    def fail(_):
        with socket.socket() as sock:

            class Local(Exception):
                held = sock

            raise Local("text")

    [failure] = manyhands.map(fail, [0], errors="return")
    assert isinstance(failure.error, manyhands.RemoteError)
    assert failure.error.text == "text"
    assert "Local.held (a socket.socket) cannot be sent" in failure.error.reason
    assert pickle.loads(pickle.dumps(failure.error)).reason == failure.error.reason


class Picky(Exception):
    """Has an argument that cannot be unpickled at home."""

    def __init__(self, part):
        super().__init__("picky", part)


def test_an_argument_that_cannot_be_unpickled_costs_its_exception_nothing_else():
    def fail(_):
        raise Picky(tasks.NotInParent(1))

    [failure] = manyhands.map(fail, [0], errors="return")
    error = failure.error
    assert (type(error), error.args[0]) == (Picky, "picky")
    assert "Picky.args[1] could not be unpickled: RuntimeError: cannot be rebuilt here" in notes(error)


class Refuses(Exception):
    def __reduce__(self):
        raise TypeError("not to be pickled")


def test_an_exception_that_refuses_to_be_pickled_is_caught_by_its_class():
    def fail(_):
        raise Refuses("text")

    with pytest.raises(Refuses, match="text"):
        manyhands.map(fail, [0])


# ------------------------------------------------------------ never raises


NO_DESCRIPTOR = """
    import os, resource, sys, manyhands
    class MyOS(OSError):
        __slots__ = ("code",)
        def __init__(self, code):
            super().__init__(24, "too many", "/dev/null")
            self.code = code
    def use_up(kind):
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        used = []
        try:
            while True:
                used.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            if kind == "own class":
                raise MyOS(len(used)) from error
            raise
        finally:
            sys.modules.pop("traceback", None)
    if __name__ == "__main__":
        [failure] = manyhands.map(use_up, sys.argv[1:], errors="return", workers=1)
        error = failure.error
        print(type(error).__name__, error.errno, error.filename, getattr(error, "code", 1) > 0)
        print("Traceback" in error.__cause__.text, "in use_up" in error.__cause__.text, type(error.__cause__.cause))
        print(manyhands.map(len, ["abc"]))
"""


@pytest.mark.parametrize("kind", ["plain", "own class"])
@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_no_descriptor_left(kind, start_method):
    done = scripts.run(NO_DESCRIPTOR, kind, MANYHANDS_START_METHOD=start_method)
    name, cause = {"plain": ("OSError", None), "own class": ("MyOS", OSError)}[kind]
    assert done.stdout.splitlines() == [f"{name} 24 /dev/null True", f"True True {type(None) if cause is None else cause}", "[3]"], (
        done.stderr
    )


def use_up_memory(_):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (400 << 20, resource.getrlimit(resource.RLIMIT_AS)[1]))
    kept = sys.modules["builtins"].__dict__.setdefault("kept_for_good", [])
    size = 1 << 24
    while True:
        try:
            kept.append(bytearray(size))
        except MemoryError:
            if size < 512:
                raise
            size >>= 1


def test_no_memory_left():
    [failure] = manyhands.map(use_up_memory, [0], errors="return", workers=1)
    assert type(failure.error) is MemoryError


class NothingWorks(Exception):
    """All that is asked of it raises."""

    def __getattribute__(self, name):
        raise SystemExit(name)


def test_encoding_never_raises(monkeypatch):
    error = _failures.decode_failure(_failures.encode_failure(NothingWorks()))
    assert error.type_name.endswith("NothingWorks")

    def fail(*_):
        raise MemoryError

    for name in ("_in_full", "_in_brief"):
        monkeypatch.setattr(_failures, name, fail)
    error = _failures.decode_failure(_failures.encode_failure(ValueError(1)))
    assert error.type_name == "an exception"
    assert "could not tell more" in error.reason


def test_a_traceback_without_any_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "traceback", None)  # its import raises
    try:
        fail_in_steps(3)
    except Wrapper as error:
        text = _failures.decode_failure(_failures.encode_failure(error)).__cause__.text
    assert text.startswith(f'Traceback (most recent call last):\n  File "{__file__}", line ')
    assert text.endswith(f", in fail_in_steps\n{__name__}.Wrapper: wrapped 0\n")
    assert traceback
