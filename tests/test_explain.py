"""What cannot be sent is explained with its path and the mend; and the mends work."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading

import pytest
import scripts

import manyhands


class Model:
    def __init__(self):
        self.lock = threading.Lock()
        self.lock.acquire()
        self.cfg = {"callbacks": [1, 2, {"guard": (i for i in ())}]}

    @property
    def trap(self):
        raise AssertionError("a property was evaluated")

    def run(self, x):
        return x


def make_fit(model, connection):
    def fit(x):
        connection.execute("select 1")
        return model.run(x)

    return fit


def test_all_parts_in_one_pass():
    connection = sqlite3.connect(":memory:")
    fit = make_fit(Model(), connection)
    explanation = manyhands.explain(fit)
    assert not explanation
    assert [part.path for part in explanation.parts] == [
        "make_fit.<locals>.fit → variable 'connection'",
        "make_fit.<locals>.fit → variable 'model' .lock",
        "make_fit.<locals>.fit → variable 'model' .cfg['callbacks'][2]['guard']",
    ]
    database, lock, guard = explanation.parts
    assert (database.type_name, lock.type_name, guard.type_name) == ("sqlite3.Connection", "_thread.lock", "generator")
    assert "per_worker" in database.mend
    assert "somebody holds it" in lock.reason
    assert "pass the values" in guard.mend
    assert database.used_at.endswith('connection.execute("select 1")')
    assert guard.used_at.endswith("return model.run(x)")
    assert f"{__file__}:" in guard.used_at
    with pytest.raises(manyhands.NotSerializable) as caught:
        manyhands.map(fit, [1])
    assert len(caught.value.parts) == 3
    assert "3 parts stand in the way:\n  1. " in str(caught.value)
    connection.close()


def test_a_global_of_a_script():
    code = """
        import manyhands
        rows = (i for i in ())
        def total(x):
            return sum(rows) + x
        try:
            manyhands.map(total, [1])
        except manyhands.NotSerializable as error:
            print(error)
    """
    out = scripts.run(code).stdout
    assert out.startswith("total → global 'rows' (a generator) cannot be sent to another process: ")
    assert "Used in <string>:5" in out


def path_of(obj):
    [part] = manyhands.explain(obj).parts
    return part.path


def generator():
    yield 1


class Slotted:
    __slots__ = ("held",)


class Node:
    pass


class Listed(list):
    pass


class Stateful:
    def __getstate__(self):
        return {"made": generator()}


class Failing:
    def __reduce__(self):
        raise ZeroDivisionError("no")


class Odd:
    def __reduce__(self):
        return 5


def slotted():
    made = Slotted()
    made.held = generator()
    return made


def node(**attributes):
    made = Node()
    made.__dict__.update(attributes)
    return made


def cyclic():
    made = node(inner=node(held=generator()))
    made.inner.outer = made
    made.me = [made, {"me": made}]
    return made


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        (generator(), "generator"),
        ([1, [generator()]], "list[1][0]"),
        ({"a": (1, generator())}, "dict['a'][1]"),
        ({generator(): 1}, "dict.key("),
        ({generator()}, "set{...}"),
        (slotted(), "Slotted.held"),
        (node(a=node(b=[generator()])), "Node.a.b[0]"),
        (cyclic(), "Node.inner.held"),
        (Listed([1, generator()]), "Listed[1]"),
        (Stateful(), "Stateful.made"),
        (functools.partial(print, 1, generator()), "partial.args[1]"),
        (functools.partial(print, end=generator()), "partial.keywords['end']"),
        (node(run=node(held=generator()).__eq__), "Node.run"),
        (lambda x, y=generator(): x, "<lambda> → default of 'y'"),  # noqa: B008 - that is the point
        (ValueError("a", generator()), "ValueError.args[1]"),
        (Failing(), "Failing"),
        (Odd(), "Odd"),
    ],
)
def test_the_path(obj, path):
    found = path_of(obj)
    assert found.endswith(path) or found.startswith(path), found


@pytest.mark.parametrize(
    ("make", "mend"),
    [
        (ssl.create_default_context, "per_worker"),
        (lambda: open(os.devnull, "w"), "pass its path"),  # noqa: SIM115
        (lambda: threading.local(), "per_worker"),
        (lambda: threading.Thread(target=print), "start it inside the task"),
        (lambda: manyhands.Executor(1), "workers have a pool of their own"),
        (lambda: sys._getframe(), "leave it out"),
        (lambda: next(iter(list(os.scandir("/")))), "pass its path"),
        (lambda: __import__("re").match("a", "a"), "match.group()"),
    ],
)
def test_the_mend_fits_what_it_is(make, mend):
    with contextlib.ExitStack() as stack:
        obj = make()
        if hasattr(obj, "__exit__"):
            stack.enter_context(obj)
        [part] = manyhands.explain([obj]).parts
        assert mend in part.mend


def test_arrays_are_not_to_blame():
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"a": np.zeros(1000)})
    [part] = manyhands.explain({"array": np.zeros(10), "large": np.zeros(100_000), "frame": frame, "bad": generator()}).parts
    assert part.path == "dict['bad']"
    explanation = manyhands.explain(functools.partial(print, np.zeros(1_000_000)))
    assert [path for path, _ in explanation.heavy] == ["partial.args[0]"]


def test_depth_is_explained():
    deep = []
    for _ in range(20_000):
        deep = [deep]
    [part] = manyhands.explain(deep).parts
    assert "nested 20000 levels deep" in part.reason
    assert len(part.path) < 300
    while deep:
        deep = deep.pop()


def test_a_huge_graph_does_not_take_for_ever():
    [part] = manyhands.explain([[i, str(i)] for i in range(200_000)] + [generator()]).parts
    assert part.path == "list[200000]"


def test_many_parts_are_cut():
    parts = manyhands.explain([generator() for _ in range(1000)]).parts
    assert 10 <= len(parts) <= 100


def test_what_can_be_sent_and_what_it_weighs():
    explanation = manyhands.explain(len)
    assert explanation
    assert (explanation.parts, explanation.heavy, explanation.by_value) == ([], [], False)
    assert "can be sent to another process" in str(explanation)
    big = b"x" * 2_000_000
    explanation = manyhands.explain(lambda: big)
    assert explanation.by_value
    assert explanation.size > 2_000_000
    [(path, size)] = explanation.heavy
    assert path.endswith("<lambda> → variable 'big'")
    assert 2_000_000 <= size < 2_000_100
    assert "2.0 MB" in str(explanation)


class Unloadable:
    def __init__(self, a):
        self.a = a

    def __reduce__(self):
        return Unloadable, ()


class RefusesState:
    def __init__(self):
        self.a = 1

    def __setstate__(self, state):
        raise KeyError("a")


def test_the_side_that_loads_is_explained():
    [part] = manyhands.explain(Unloadable(1)).parts
    assert "Unloadable was called with ()" in part.reason
    [part] = manyhands.explain([RefusesState()]).parts
    assert "RefusesState was set ({'a': 1})" in part.reason


def test_a_worker_says_what_it_could_not_load():
    with pytest.raises(TypeError) as caught:
        manyhands.map(id, [Unloadable(1)])
    assert any("Unloadable was called with ()" in note for note in caught.value.__notes__)
    with pytest.raises(TypeError) as caught:
        manyhands.map(Unloadable, [1])
    assert any("Unloadable was called with ()" in note for note in caught.value.__notes__)


def test_the_command_line(tmp_path):
    (tmp_path / "train.py").write_text("rows = (i for i in ())\n\n\ndef total():\n    return sum(rows)\n\n\ngood = 5\n")

    def run(what):
        done = subprocess.run(
            [sys.executable, "-c", "from manyhands.cli import main; raise SystemExit(main())", "explain", what],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=50,
            env=scripts.environment(),
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    status, out, _ = run("train.py:rows")
    assert (status, "a generator) cannot be sent" in out) == (1, True)
    assert run("train.py:good")[0] == 0
    status, out, _ = run("train.py:total")
    explained, imported = out.splitlines()
    assert status == 1
    assert explained.startswith("total → global 'rows' (a generator) cannot be sent to another process: ")
    assert imported == "Imported from another file it can be sent: workers then import train.total by its name."
    assert run("train:total")[0] == 0
    (tmp_path / "unguarded.py").write_text("import manyhands\n\nrows = [i for i in ()]\nmanyhands.map(len, [(i for i in ())])\n")
    assert f"(line 4 of {tmp_path / 'unguarded.py'})" in run("unguarded.py:rows")[2].replace("\n", " ")
    status, _, err = run("train.py:missing")
    assert (status, "has no 'missing'" in err) == (2, True)


# ------------------------------------------------------------ the mend that is named most often


def test_each_worker_has_its_own_and_it_is_closed(tmp_path):
    log = tmp_path / "log"
    log.touch()

    class Connection:
        def __init__(self):
            with log.open("a") as file:
                file.write(f"open {os.getpid()}\n")

        def query(self, x):
            return os.getpid(), x

        def close(self):
            with log.open("a") as file:
                file.write(f"close {os.getpid()}\n")

    database = manyhands.per_worker(Connection)
    with manyhands.Executor(2) as executor:
        by = list(executor.map(lambda x: database().query(x), range(20)))
        assert executor.submit(lambda given: given() is database(), database).result()
    pids = {pid for pid, _ in by}
    assert sorted(log.read_text().split("\n")) == sorted(["", *(f"{word} {pid}" for pid in pids for word in ("open", "close"))])


def test_its_factory_may_be_a_context_manager_and_may_fail_once(tmp_path):
    log = tmp_path / "log"

    @contextlib.contextmanager
    def resource():
        yield 5
        log.write_text("left")

    shared = manyhands.per_worker(resource)
    tries = []

    def unsteady():
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        return len(tries)

    with manyhands.Executor(1) as executor:
        assert executor.submit(lambda: shared()).result() == 5
    assert log.read_text() == "left"
    here = manyhands.per_worker(unsteady)
    with pytest.raises(OSError, match="not yet"):
        here()
    assert (here(), here()) == (2, 2)
    with pytest.raises(TypeError, match="factory is 5"):
        manyhands.per_worker(5)


def test_a_socket_is_sent_in_arguments_and_not_in_functions():
    with socket.socket() as sock:
        assert manyhands.explain({"of": [sock]})
        for sent in (lambda: sock, sock.fileno):
            explained = manyhands.explain(sent)
            assert not explained
            assert "belongs to this process" in str(explained)
        assert not manyhands.explain([sock, (n for n in ())])
        assert sock.fileno() >= 0
