"""What a user reads when something cannot be sent, or cannot be rebuilt where it arrives."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sqlite3
import sys
import threading
import time

import pytest
import scripts

import manyhands
from manyhands._codec import _trace


@pytest.fixture
def connection():
    made = sqlite3.connect(":memory:")
    yield made
    made.close()


def text_of(obj):
    return str(manyhands.explain(obj))


def paths_of(obj):
    return [part.path for part in manyhands.explain(obj).parts]


def numbers():
    yield 1


# ------------------------------------------------------------ what a worker could not rebuild


class Proxy:
    def __init__(self, behind):
        self._behind = behind

    def __getattr__(self, name):
        return getattr(self._behind, name)


class Denied:
    def __init__(self):
        self.a = 1

    def __setstate__(self, state):
        raise PermissionError("not here")


class Unhashable:
    def __init__(self):
        self.a = 1

    def __hash__(self):
        return hash(self.a)


def test_a_proxy_that_passes_on_everything():
    proxy = Proxy([])
    with pytest.raises(RecursionError) as caught:
        manyhands.map(lambda i: proxy and i, [0])
    never, task = caught.value.__notes__
    line = Proxy.__getattr__.__code__.co_firstlineno + 1
    assert never.startswith(
        "the task never ran, since the function that was sent could not be rebuilt in the worker: "
        f"test_a_proxy_that_passes_on_everything.<locals>.<lambda> → variable 'proxy' (a {__name__}.Proxy): "
        f"the state of {__name__}.Proxy was set ({{'_behind': []}}), and that raised RecursionError: maximum recursion depth exceeded"
    )
    assert f"(raised at {__file__}:{line}). Used in {__file__}:" in never
    assert "To mend it: have __getattr__ raise AttributeError for names that begin with two underscores" in never
    assert task.startswith("raised by task 0: ")


def test_a_proxy_that_is_a_global_of_a_script():
    out = scripts.run("""
        import manyhands
        class Proxy:
            def __init__(self): self._behind = []
            def __getattr__(self, name): return getattr(self._behind, name)
        bar = [Proxy()]
        def work(i): return bar and i
        print(manyhands.explain(work))
        try: manyhands.map(work, [0])
        except RecursionError as error: print(error.__notes__[0])
    """).stdout
    explained, note = out.splitlines()
    assert explained.startswith(
        "work → global 'bar' [0] (a __main__.Proxy) cannot be sent to another process: a worker could not rebuild it: the state of"
    )
    assert "the function that was sent could not be rebuilt in the worker: work → global 'bar' [0] (a __main__.Proxy): the state of" in note


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda bad: manyhands.map(len, [{"a": [bad]}]), "what was sent to it could not be rebuilt in the worker: dict['a'][0] (a "),
        (lambda bad: manyhands.map(pow, [1], [[bad]]), "what was sent to it could not be rebuilt in the worker: argument 1 [0] (a "),
        (
            lambda bad: manyhands.map(lambda i: (i, bad), [1]),
            "the function that was sent could not be rebuilt in the worker: <lambda>.<locals>",
        ),
    ],
    ids=["argument", "arguments", "function"],
)
def test_a_state_that_is_refused_by_what_it_was_sent_to(call, what):
    with pytest.raises(PermissionError, match="not here") as caught:
        call(Denied())
    assert caught.value.__notes__[0].startswith(f"the task never ran, since {what}")
    assert f"the state of {__name__}.Denied was set ({{'a': 1}}), and that raised PermissionError: not here" in caught.value.__notes__[0]
    assert "To mend it: have __reduce__ or __getstate__ give what __init__ or __setstate__ takes" in caught.value.__notes__[0]


def test_a_result_that_cannot_be_rebuilt():
    with pytest.raises(PermissionError, match="not here") as caught:
        manyhands.map(lambda _: [Denied()], [1])
    assert caught.value.__notes__[0].startswith(f"the task ran, and its result could not be rebuilt here: list[0] (a {__name__}.Denied)")


def test_a_key_that_has_no_hash_yet():
    key = Unhashable()
    key.held = {key: 1}
    [part] = manyhands.explain({"a": key}).parts
    assert part.path == "dict['a'].held"
    assert part.type_name == "dict"
    assert "AttributeError: 'Unhashable' object has no attribute 'a'" in part.reason


def test_classes_that_are_not_the_users_have_another_mend():
    from manyhands._codec import _advice as advice

    assert "manyhands.register_reducer(" in advice.mend_of_loading(logging.StreamHandler, KeyError("a"))
    assert "have __reduce__ or __getstate__" in advice.mend_of_loading(Denied, KeyError("a"))
    assert "import" in advice.mend_of_loading(None, ModuleNotFoundError("x"))


# ------------------------------------------------------------ depth


class Link:
    pass


class Ring:
    def __init__(self):
        self.nodes = [Link() for _ in range(400)]
        for number, node in enumerate(self.nodes):
            node.parent, node.next = self, self.nodes[(number + 1) % 400]
        self.first, self.nodes = self.nodes[0], None


class SelfMade:
    def __init__(self, held=None):
        self.held = held or [self]

    def __reduce__(self):
        return SelfMade, (tuple(self.held),)


class Endless:
    def __init__(self, n=0):
        self.n = n

    def __getstate__(self):
        return {"more": Endless(self.n + 1)}


class Recursing:
    def __getstate__(self):
        return self.__getstate__()


def nested(function):
    return lambda x: function(x)


def closures():
    made = len
    for _ in range(3000):
        made = nested(made)
    return made


def limit_reached():
    """Whether pickling a chain of objects ends at the limit that Python programs can set."""
    return sys.version_info < (3, 12)


def test_a_ring_is_not_nested_zero_levels_deep():
    ring = Ring()
    if limit_reached():
        [part] = manyhands.explain([ring]).parts
        assert "pickle goes from one object to the next and would be " in part.reason
        assert f"too deep for it (the recursion limit is {sys.getrecursionlimit()})" in part.reason
        assert part.mend.startswith("pass tables of nodes and of edges")
        assert "sys.setrecursionlimit(), for results in the workers, too (initializer=)" in part.mend
        assert part.path.startswith("list[0].first.next.next")
        assert len(part.path) < 100


def test_a_reducer_that_contains_what_it_makes():
    [part] = manyhands.explain([SelfMade()]).parts
    assert part.path == "list[0]"
    assert part.reason.startswith("pickling it never ends: its __reduce__ gives, among the arguments that it is made of, the object itself")
    assert part.mend.startswith("have it give what leads back to the object as the state")


def test_a_getstate_that_calls_itself():
    [part] = manyhands.explain([Recursing()]).parts
    assert part.path == "list[0]"
    assert part.reason.startswith("RecursionError: maximum recursion depth exceeded")


def test_closures_in_closures():
    [part] = manyhands.explain(closures()).parts
    assert "would be 300" in part.reason
    assert part.mend == "make the functions inside the task, from a list of what each is to do"
    assert len(part.path) < 400


def test_what_has_no_end():
    [part] = manyhands.explain([Endless()]).parts
    assert "would be more than " in part.reason
    assert part.mend.startswith("look at what its __getstate__ or __reduce__ gives")


# ------------------------------------------------------------ much of it


def test_what_was_not_looked_at_is_said():
    text = text_of([numbers() for _ in range(50_000)])
    first, line = text.splitlines()
    assert (
        first
        == "list cannot be sent to another process; 20 parts stand in the way (there may be more: these are the first that were found):"
    )
    assert line.startswith(
        "  1. list[0] (a generator): TypeError: cannot pickle 'generator' object. To mend it: pass the values (a list), or "
    )
    assert line.endswith("The same holds for list[1], list[2], list[3] and 16 more.")


def test_when_all_are_told_there_are_no_more():
    explanation = manyhands.explain([numbers() for _ in range(20)])
    assert (len(explanation.parts), explanation.more) == (20, "")


def test_a_search_that_takes_too_long_says_so(monkeypatch):
    monkeypatch.setattr(_trace, "_SECONDS", 0.0)
    explanation = manyhands.explain([[numbers()]])
    assert explanation.more == "there may be more: the search was ended after 0 s"
    assert "(there may be more: the search was ended after 0 s)" in str(explanation)


def test_one_bad_part_among_very_many():
    many = [{"a": number, "b": "x"} for number in range(300_000)]
    many[200_000]["b"] = [numbers()]
    assert paths_of(many) == ["list[200000]['b'][0]"]
    assert paths_of({"rows": many}) == ["dict['rows'][200000]['b'][0]"]


def test_shared_arrays_are_not_to_blame():
    shared = manyhands.shared_array((3,), "f8")
    assert paths_of({"good": shared, "bad": numbers()}) == ["dict['bad']"]


def test_a_large_table_is_not_weighed_for_long():
    table = {number: f"v{number}" for number in range(300_000)}
    explanation = manyhands.explain(lambda: table)
    [(path, size)] = explanation.heavy
    assert path.endswith("<lambda> → variable 'table'")
    assert explanation.size - 2000 < size <= explanation.size


# ------------------------------------------------------------ tables, arrays, methods, arguments


def test_cells_of_tables_and_places_in_arrays(connection):
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"a": range(3), "conn": [1, connection, "x"]}, index=["i", "j", "k"])
    assert paths_of(frame) == ["DataFrame['conn']['j']"]
    assert paths_of(frame["conn"]) == ["Series['j']"]
    assert paths_of(pd.Index([1, connection])) == ["Index[1]"]
    assert paths_of(pd.DataFrame({connection: [1]})) == ["DataFrame.columns[0]"]
    table = np.empty((3, 6), object)
    table[2, 5] = connection
    assert paths_of(table) == ["array[2, 5]"]
    assert paths_of({"a": table[2]}) == ["dict['a'][5]"]


class Model:
    def __init__(self, db):
        self.db = db

    def predict(self, x):
        return self.db, x


def test_methods_lead_to_self(connection):
    assert paths_of(Model(connection).predict) == ["Model.predict → self.db"]


def test_no_class_property_is_evaluated(connection):
    class Masked:
        def __init__(self):
            self.held = connection

        @property
        def __class__(self):
            raise AssertionError("a property was evaluated")

    assert paths_of([Masked()]) == ["list[0].held", "list[0].__class__.__init__ → variable 'connection'"]


def two(first, second, *more, option=None):
    return first, second, more, option


def test_paths_begin_at_the_argument(connection):
    with pytest.raises(manyhands.NotSerializable) as caught:
        manyhands.map(two, [1], [{"conn": connection}])
    assert str(caught.value).startswith("argument 'second' ['conn'] (a sqlite3.Connection) cannot be sent to another process: TypeError")
    with pytest.raises(manyhands.NotSerializable) as caught:
        manyhands.map(pow, [1], [connection])
    assert caught.value.path == "argument 1"
    calls = [manyhands.delayed(two)(1, [connection], 3, connection)]
    with pytest.raises(manyhands.NotSerializable) as caught:
        manyhands.Parallel(n_jobs=2)(calls)
    assert caught.value.path == "argument 3"
    with manyhands.Executor(1) as executor:
        error = executor.submit(two, 1, option=[connection], second={"c": numbers()}).exception()
    assert sorted(part.path for part in error.parts) == ["argument 'option' [0]", "argument 'second' ['c']"]
    assert str(error).startswith("what two() is called with cannot be sent to another process; 2 parts stand in the way:")


def test_an_argument_that_all_tasks_have_in_common(connection):
    bad = {"conn": connection}
    failures = manyhands.map(two, [1, 2, 3], [bad] * 3, errors="return")
    assert [failure.error.path for failure in failures] == ["argument 'second' ['conn']"] * 3


def test_initializers_say_so(connection):
    with pytest.raises(manyhands.NotSerializable) as caught:
        manyhands.Executor(1, initializer=two, initargs=(1, connection))
    assert caught.value.path == "initargs[1]"
    with pytest.raises(manyhands.NotSerializable) as caught:
        manyhands.Executor(1, initializer=lambda: connection)
    assert caught.value.path == "initializer → variable 'connection'"
    with manyhands.Executor(1, initializer=two, initargs=(1, Denied())) as executor:
        cause = executor.submit(len, "a").exception().__cause__
    assert cause.__notes__[0].startswith(
        f"the initializer never ran, since what was sent could not be rebuilt in the worker: initargs[1] (a {__name__}.Denied): "
    )


# ------------------------------------------------------------ results


def cursor(_):
    return sqlite3.connect(":memory:").cursor()


@pytest.mark.parametrize(
    ("task", "mend"),
    [
        (lambda _: (i for i in range(3)), "return the values (a list)"),
        (cursor, "return the rows (cursor.fetchall())"),
        (lambda _: open(os.devnull, "w"), "return its path, or what is to be read from it"),  # noqa: SIM115
        (lambda _: threading.local(), "return what it holds (numbers, text, lists, arrays), or tell how it is rebuilt"),
    ],
    ids=["generator", "cursor", "file", "other"],
)
def test_results_have_mends_of_their_own(task, mend):
    with pytest.raises(manyhands.NotSerializable) as caught:
        manyhands.map(task, [1])
    assert re.match(r"the result of task 0 \(a \S+\) cannot be sent back: .* To mend it: " + re.escape(mend), str(caught.value))
    assert caught.value.__notes__[0].startswith("raised by task 0: ")
    assert caught.value.__cause__ is None


def test_a_part_of_a_result():
    results = manyhands.map(lambda x: {"values": numbers()} if x else 0, [0, 1], errors="return")
    assert str(results[1].error) == (
        "the result of task 1 cannot be sent back: dict['values'] (a generator): TypeError: cannot pickle 'generator' object. "
        "To mend it: return the values (a list)."
    )


def test_a_result_of_a_task_within_a_task_keeps_its_number():
    def outer(_):
        return manyhands.map(lambda x: numbers() if x == 2 else x, range(3), timeout=20)

    with pytest.raises(manyhands.NotSerializable, match=r"^the result of task 2 \(a generator\) cannot be sent back"):
        manyhands.map(outer, [1])


# ------------------------------------------------------------ C


def test_what_ctypes_has_made():
    library, pointer = ctypes.CDLL(None), ctypes.pointer(ctypes.c_int(1))

    def root(_):
        return library, pointer

    parts = {part.path.partition("→ ")[2]: part for part in manyhands.explain(root).parts}
    assert sorted(parts) == ["variable 'library'", "variable 'pointer'"]
    assert "per_worker(lambda: ctypes.CDLL(name))" in parts["variable 'library'"].mend
    assert parts["variable 'pointer'"].reason == "it points into the memory of this process"
    assert all("return library, pointer" in part.used_at for part in parts.values())
    assert manyhands.map(lambda number: number.value, [ctypes.c_int(5)]) == [5]
    assert manyhands.map(list, [(ctypes.c_double * 3)(1, 2, 3)]) == [[1, 2, 3]]


# ------------------------------------------------------------ no more than is of use


def test_a_script_that_fails_shows_no_insides():
    err = scripts.run("""
        import manyhands
        rows = (i for i in ())
        manyhands.map(len, [[rows], [rows], [rows], [1]], chunk=4)
    """).stderr
    assert len(err.splitlines()) <= 9
    assert "During handling" not in err
    assert "direct cause" not in err
    assert err.splitlines()[-3].startswith("manyhands.errors.NotSerializable: list[0] (a generator) cannot be sent to another process: ")
    assert err.splitlines()[-2:] == ["so task 0 could not be sent", "tasks 1, 2 failed as well, with the same"]


def test_where_the_users_own_code_raised():
    class Failing:
        def __getstate__(self):
            raise ZeroDivisionError("no")

    line = Failing.__getstate__.__code__.co_firstlineno + 1
    assert f"ZeroDivisionError: no (raised at {__file__}:{line})." in text_of([Failing()])


def test_what_has_been_said_is_not_said_again():
    def fail(x):
        raise ValueError("odd" if x < 3 else f"number {x}")

    with pytest.raises(ValueError, match="odd") as caught:
        manyhands.map(lambda x: time.sleep(0.01 * (x < 1)) or fail(x), range(4), workers=2, chunk=4)
    assert not any("ValueError: odd" in note for note in caught.value.__notes__)


# ------------------------------------------------------------ what is not used as it is meant to be


class Handle:
    def __init__(self):
        self.rows = numbers()


class OtherHandle(Handle):
    pass


def test_reducers_that_do_not_do():
    manyhands.register_reducer(Handle, lambda handle: handle.rows)
    [part] = manyhands.explain([OtherHandle()]).parts
    assert part.reason.startswith("the reducer registered for Handle gives <generator object numbers at ")
    assert part.mend == "have it return what __reduce__ would: a callable, and a tuple of its arguments"
    manyhands.register_reducer(Handle, lambda handle: handle.missing)
    [part] = manyhands.explain([Handle()]).parts
    assert part.reason.startswith("the reducer registered for Handle raised AttributeError: 'Handle' object has no attribute 'missing'")
    manyhands.register_reducer(Handle, lambda handle: (Handle, ()))
    assert manyhands.explain([Handle()])


def test_results_as_an_argument():
    with manyhands.imap(abs, [1, 2]) as results:
        assert text_of([results]) == (
            "list[0] (a manyhands.mapping.Results) cannot be sent to another process: its results come to this process. "
            "To mend it: pass list(results)."
        )


def test_what_per_worker_returns_is_to_be_called():
    database = manyhands.per_worker(dict)
    with pytest.raises(AttributeError, match=r"has no attribute 'execute'; call it for the object of this process.*database\(\)\.execute"):
        database.execute  # noqa: B018
    assert not hasattr(database, "__len__")


def test_the_program_itself_as_a_module():
    err = scripts.run("""
        import manyhands, __main__
        limit = 3
        def work(i): return __main__.limit
        manyhands.map(work, [1])
    """).stderr
    assert "TravelWarning: the module __main__ is that of the worker there, with no more than what is sent: name what you need" in err
    assert "(this one is work → global '__main__')" in err


def test_a_heavy_function_is_told_with_what_to_do():
    rows = {number: f"v{number}" for number in range(700_000)}
    with pytest.warns(manyhands.errors.TravelWarning) as caught:
        manyhands.map(lambda i: len(rows), [1])
    [warning] = caught
    assert re.search(
        r"<lambda>\(\) takes 10\.. MB to each worker, and again whenever it has changed: variable 'rows', 10\.. MB. "
        r"To mend it: let each worker load it \(manyhands.per_worker, with the path of its file\); arrays can also be shared",
        str(warning.message),
    )


def test_what_can_be_sent_is_told_in_plain_words():
    assert text_of(len) == "len can be sent to another process; it takes 31 bytes. Workers import it by its name."
    assert text_of([1]) == "list can be sent to another process; it takes 17 bytes."
    assert text_of(lambda: 1).endswith(" Functions or classes in it are sent with their code, since a worker could not import them.")


# ------------------------------------------------------------ all of it at once


class NeedsMore:
    def __init__(self, a):
        self.a = a

    def __reduce__(self):
        return NeedsMore, ()


def test_all_that_could_not_be_rebuilt():
    assert paths_of([Denied(), NeedsMore(1)]) == ["list[0]", "list[1]"]


def test_what_could_not_be_rebuilt_beside_what_cannot_be_pickled():
    assert paths_of([Denied(), NeedsMore(1), numbers()]) == ["list[2]", "list[0]", "list[1]"]


def test_an_object_in_several_places(connection):
    first, second = Model(connection), Model(connection)

    def work(x):
        return first.db, second.db

    paths = [f"{work.__qualname__} → variable '{name}' .db" for name in ("first", "second")]
    assert paths_of(work) == paths
    assert f"The same holds for {paths[1]}." in text_of(work)
    shared = numbers()
    assert paths_of([shared, shared, {"a": shared}]) == ["list[0]", "list[1]", "list[2]['a']"]


class Leaves:
    def __init__(self):
        self.a = 1

    def __setstate__(self, state):
        raise SystemExit(2)


def test_an_object_that_would_end_the_program():
    assert "SystemExit: 2" in text_of(Leaves())


class Wordy:
    def __init__(self):
        self.a = 1

    def __setstate__(self, state):
        raise ValueError("x" * 50_000)


def test_a_long_text_is_cut():
    assert len(text_of(Wordy())) < 1000


class Scratch:
    removed = 0

    def __del__(self):
        Scratch.removed += 1


def test_no_finalizer_of_a_copy_runs():
    scratch = Scratch()
    text = text_of([scratch])
    assert Scratch.removed == 0
    assert "Scratch has a __del__" in text


def test_what_is_said_of_code():
    with_code, without = "sent with their code", "Workers import it by its name"
    assert with_code in text_of(lambda: 1)
    assert without in text_of(os.path.join)
    for value in (os, sys.stdout, {1: 2}.keys(), 5):
        assert with_code not in text_of(value)
        assert without not in text_of(value)


class OfAPackage:
    def __init__(self, a):
        self.a = a


def test_a_reducer_that_gives_too_little():
    manyhands.register_reducer(OfAPackage, lambda value: (OfAPackage, ()))
    assert "have the reducer registered for OfAPackage give what OfAPackage takes" in text_of(OfAPackage(1))


def test_a_factory_that_holds_what_it_should_make(connection):
    database = manyhands.per_worker(lambda: connection)
    assert "make it inside the factory" in text_of(lambda: database())


class OfChain:
    def __init__(self, following):
        self.following = following


@pytest.mark.parametrize("length", [2_000, 20_000, 150_000])
def test_a_chain(length):
    head = None
    for _ in range(length):
        head = OfChain(head)
    text = text_of(head)
    while head is not None:  # or the interpreter would go all the way down
        head = head.following
    counts_calls_in_c = sys.version_info >= (3, 12)  # and may go as deep as this, whatever the recursion limit
    is_sent = length <= 5_000 and counts_calls_in_c and "can be sent" in text
    assert is_sent or "pass tables of nodes and of edges" in text
    assert ("setrecursionlimit" in text) == (length <= 5_000 and not counts_calls_in_c)
    assert "no end of it" not in text
