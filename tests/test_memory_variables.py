"""What a function uses: after each edit of it, and each change, the cache gives what the function gives now."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import weakref

import numpy as np
import projects
import pytest

import manyhands
from manyhands import Memory


@pytest.fixture
def project(tmp_path, monkeypatch):
    yield from projects.in_folder(tmp_path, monkeypatch)


@pytest.fixture
def memory(tmp_path):
    with contextlib.closing(Memory(tmp_path / "cache")) as memory:
        yield memory


@pytest.fixture
def called(project, memory):
    return projects.Caller(project, memory)


# ------------------------------------------------------------ what a function uses

LOCK = "threading.Lock()"
LONG = ", ".join(map(str, range(20050)))
USED = {
    "the end of a long literal": (f"def f(): return [{LONG}, -2][-1]", "-2]", "-3]"),
    "what comes after a long literal": (
        f"def a(): return [{LONG}]\ndef b(): return (1, -2)\ndef f():\n    a()\n    return sum(b())",
        "-2)",
        "-3)",
    ),
    "a set after a long literal": (f"def a(): return [{LONG}]\ndef f():\n    a()\n    return 'c' in {{'a', 'b'}}", "'b'", "'c'"),
    "a member of a long set": (f"def f(): return -2 in {{{LONG}, -2}}", "-2}", "-3}"),
    "a function in a long table": (
        "k = 2\ndef h(): return k\nD = {i: None for i in range(30000)}\nD['h'] = h\ndef f(): return D['h']()",
        "k = 2",
        "k = 3",
    ),
    "beside a lock, in a list": (f"C = [2, {LOCK}]\ndef f(): return C[0]", "2,", "3,"),
    "beside a lock, in a deque": (f"C = collections.deque([2, {LOCK}])\ndef f(): return C[0]", "2,", "3,"),
    "beside a lock, in a UserDict": (f"C = collections.UserDict(k=2, lock={LOCK})\ndef f(): return C['k']", "k=2", "k=3"),
    "beside a lock, in a ChainMap": (f"C = collections.ChainMap(dict(k=2), dict(lock={LOCK}))\ndef f(): return C['k']", "k=2", "k=3"),
    "beside a lock, in a namespace": (f"C = types.SimpleNamespace(k=2, lock={LOCK})\ndef f(): return C.k", "k=2", "k=3"),
    "beside a lock, in an array": (f"C = np.array([2, {LOCK}], dtype=object)\ndef f(): return C[0]", "2,", "3,"),
    "beside a file": ("import sys\nC = argparse.Namespace(k=2, out=sys.stdout)\ndef f(): return C.k", "k=2", "k=3"),
    "beside a lock, in an object": (
        f"class C:\n    def __init__(self): self.lock, self.parts = {LOCK}, [2]\nc = C()\ndef f(): return c.parts[0]",
        "[2]",
        "[3]",
    ),
    "what __reduce__ does not tell": (
        "class C:\n    def __init__(self): self.k = 2\n    def __reduce__(self): return (C, ())\nc = C()\nc.k = 2\ndef f(): return c.k",
        "c.k = 2",
        "c.k = 3",
    ),
    "what __getstate__ does not tell": (
        "class C:\n    def __getstate__(self): return {}\nc = C()\nc.k = 2\ndef f(): return c.k",
        "c.k = 2",
        "c.k = 3",
    ),
    "how far an iterator is": ("C = iter([2, 3, 2, 3])\ndef f(): return C.__length_hint__()", "3, 2, 3]", "3]"),
    "the order of a dict": ("C = {'a': 2, 'b': 2}\ndef f(): return list(C)", "'a': 2, 'b': 2", "'b': 2, 'a': 2"),
    "the order of a dict in a dict": ("C = {'x': {'a': 2, 'b': 2}}\ndef f(): return list(C['x'])", "'a': 2, 'b': 2", "'b': 2, 'a': 2"),
    "the order of a dict of a class": (
        "class K:\n    c = {'a': 2, 'b': 2}\ndef f(): return list(K.c)",
        "'a': 2, 'b': 2",
        "'b': 2, 'a': 2",
    ),
    "the order of a dict around it": (
        "def make():\n    c = {'a': 2, 'b': 2}\n    return lambda: list(c)\nf = make()",
        "'a': 2, 'b': 2",
        "'b': 2, 'a': 2",
    ),
    "the order of annotations": (
        "class K:\n    a: int\n    b: int\ndef f(): return list(K.__annotations__)",
        "    a: int\n    b: int\n",
        "    b: int\n    a: int\n",
    ),
    "a metaclass": ("class T(type):\n    @property\n    def k(cls): return 2\nclass C(metaclass=T): pass\ndef f(): return C.k", "2", "3"),
    "a dunder of a class": ("class T:\n    __table_args__ = {'k': 2}\ndef f(): return T.__table_args__['k']", "2", "3"),
    "metadata of a field": (
        "@dataclasses.dataclass\nclass P:\n    a: int = dataclasses.field(default=1, metadata={'k': 2})\n"
        "def f(): return dataclasses.fields(P)[0].metadata['k']",
        "2",
        "3",
    ),
    "what an enumeration makes of other values": (
        "class E(enum.Enum):\n    A = 1\n    B = 2\n    @classmethod\n    def _missing_(cls, x): return cls.A\ndef f(): return E(5).name",
        "return cls.A",
        "return cls.B",
    ),
    "a hint of a class": (
        "class P:\n    a: typing.Literal['x']\ndef f(): return typing.get_args(P.__annotations__['a'])",
        "'x'",
        "'y'",
    ),
    "a hint with something beside": (
        "class P:\n    a: typing.Annotated[int, 2]\ndef f(): return typing.get_type_hints(P, include_extras=True)['a'].__metadata__",
        "int, 2",
        "int, 3",
    ),
    "a hint of a function, where it is read": (
        "def g(x: int): return x\ndef f(): return typing.get_type_hints(g)['x']('3')",
        "x: int",
        "x: str",
    ),
    "a hint that a decorator reads": (
        "def coerced(fn):\n    @functools.wraps(fn)\n    def inner(**named):\n"
        "        return fn(**{k: fn.__annotations__[k](v) for k, v in named.items()})\n"
        "    return inner\n@coerced\ndef g(x: int): return x\ndef f(): return g(x='3')",
        "x: int",
        "x: str",
    ),
    "a docstring, where it is read": ("def g():\n    'x'\ndef f(): return g.__doc__", "'x'", "'y'"),
    "that of an inner class": ("def f():\n    class C:\n        'x'\n    return C.__doc__", "'x'", "'y'"),
    "a variable by its text": ("import sys\nk = 2\ndef f(): return getattr(sys.modules[__name__], 'k', globals()['k'])", "k = 2", "k = 3"),
    "where a change may fail": (
        "q = [2]\ndef f():\n    try:\n        q.remove(2)\n        q.append(2)\n    except ValueError:\n"
        "        return 'none'\n    return 'one'",
        "q = [2]",
        "q = [3]",
    ),
    "where there may be no such item": (
        "q = [2]\ndef f():\n    try:\n        q[1] = 2\n    except IndexError:\n        return 'none'\n    return 'one'",
        "q = [2]",
        "q = [2, 2]",
    ),
}


@pytest.mark.parametrize("name", USED)
def test_what_a_function_uses(called, name):
    projects.check(called, *USED[name])


def test_a_name_that_a_module_makes_when_it_is_asked_for(project, called):
    answers = []
    for rate in (2, 3):
        project.file("ops.py", f"def __getattr__(name): return {rate}\n")
        answers.append(called("import ops\ndef f(): return ops.rate").cached)
    assert answers == [2, 3]


# ------------------------------------------------------------ changes in one process


CHANGES = {
    "an attribute of an object that is called": (
        "class C:\n    k = 2\n    def __call__(self): return self.k\nc = C()\ndef f(): return c()",
        lambda app: setattr(app.c, "k", 3),
    ),
    "that of a helper": ("def h(): return getattr(h, 'k', 2)\ndef f(): return h()", lambda app: setattr(app.h, "k", 3)),
    "a slot": (
        "class C:\n    __slots__ = ('k',)\n    def __init__(self): self.k = 2\n"
        "    def __call__(self): return self.k\nc = C()\ndef f(): return c()",
        lambda app: setattr(app.c, "k", 3),
    ),
    "a default": ("def h(*, k=2): return k\ndef f(): return h()", lambda app: app.h.__kwdefaults__.update(k=3)),
    "a keyword of a partial": ("p = functools.partial(lambda k: k, k=2)\ndef f(): return p()", lambda app: app.p.keywords.update(k=3)),
    "an attribute of a member": (
        "class E(enum.Enum):\n    A = 1\nE.A.k = 2\ndef f(): return E.A.k",
        lambda app: setattr(app.E.A, "k", 3),
    ),
    "a new attribute of a member": (
        "class E(enum.Enum):\n    A = 1\ndef f(): return getattr(E.A, 'k', 2)",
        lambda app: setattr(app.E.A, "k", 3),
    ),
    "a new attribute of a descriptor": (
        "class D:\n    def __get__(self, *_): return getattr(self, 'k', 2)\nclass C:\n    d = D()\ndef f(): return C().d",
        lambda app: setattr(vars(app.C)["d"], "k", 3),
    ),
    "a context variable": ("v = contextvars.ContextVar('v', default=2)\ndef f(): return v.get()", lambda app: app.v.set(3)),
    "what a thread has": ("t = threading.local()\nt.k = 2\ndef f(): return t.k", lambda app: setattr(app.t, "k", 3)),
    "the order of a dict": (
        "d = {'a': 1, 'b': 1}\ndef f(): return ''.join(d)",
        lambda app: app.d.update(a=app.d.pop("a")),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_in_one_process(called, name):
    source, change = CHANGES[name]
    before, _, function, _ = called(source)
    app = sys.modules["app"]
    contextvars.copy_context().run(_changed, change, app, function, before)


def _changed(change, app, function, before):
    change(app)
    assert function() == app.f() != before


def test_what_weak_references_lead_to(called):
    source = "class H:\n    def __init__(self, k): self.k = k\na, b = H(2), H(3)\nref = weakref.ref(a)\ndef f(): return ref().k"
    _, _, function, _ = called(f"import weakref\n{source}")
    app = sys.modules["app"]
    answers = [function()]
    app.ref = weakref.ref(app.b)
    answers.append(function())
    app.b.k = 4
    answers.append(function())
    assert answers == [2, 3, 4]


def test_a_shared_array(called):
    _, _, function, _ = called("array = None\ndef f(): return None if array is None else float(array.sum())")
    app = sys.modules["app"]
    app.array = manyhands.share_array(np.zeros(2))
    answers = [function()]
    app.array[0] = 5
    answers.append(function())
    app.array = None
    assert answers == [0.0, 5.0]
