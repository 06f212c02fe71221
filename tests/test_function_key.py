"""What a function is, for a result on disk: what makes it another, what does not, and what is said about it."""

from __future__ import annotations

import contextlib
import pickle
import sys

import numpy  # not in the midst of a test: it starts threads
import projects
import pytest
import scripts

from manyhands.memory._function_key import FunctionKey
from manyhands.memory._why import differences


@pytest.fixture
def project(tmp_path, monkeypatch):
    yield from projects.in_folder(tmp_path, monkeypatch)


BASE = '''
import functools, logging, math, threading
RATE = 2
config = {"a": 1}
limit = 5
log = logging.getLogger("app")
def helper(x):
    return x + 1
def f(x, scale=2):
    """Doc."""
    total = math.floor(x)
    log.debug("x")
    return helper(x) * scale * RATE + config["a"] + limit
'''

SAME = {
    "a comment": ("def f(", "# a comment\n\n\ndef f("),
    "a docstring": ('"""Doc."""', '"""Other words."""'),
    "no docstring": ('    """Doc."""\n', ""),
    "annotations": ("def f(x, scale=2):", "def f(x: int, scale: float = 2) -> float:"),
    "layout": ("    return x + 1", "    return (x\n            + 1)"),
    "what it does not use": ("limit = 5", "limit = 5\nother = 7\ndef unused(): return other"),
    "the order of a dict": ('{"a": 1}', 'dict(reversed({"a": 1}.items()))'),
    "another logger": ('getLogger("app")', 'getLogger("app").getChild("b").parent'),
    "the order of definitions": ("RATE = 2\nconfig = {'a': 1}\n", "config = {'a': 1}\nRATE = 2\n"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_changes_nothing(project, name):
    before, after = SAME[name]
    assert before in BASE or name == "the order of definitions"
    assert project.digest(BASE.replace(before, after)) == project.digest(BASE)


OTHER = {
    "its code": ("* scale * RATE", "* scale + RATE"),
    "a default": ("scale=2", "scale=3"),
    "a default of another type": ("scale=2", "scale=2.0"),
    "a helper": ("x + 1", "x + 2"),
    "a helper's constant of another type": ("x + 1", "x + 1.0"),
    "a constant": ("RATE = 2", "RATE = 3"),
    "a constant of another type": ("RATE = 2", "RATE = 2.0"),
    "a global": ("limit = 5", "limit = 6"),
    "a container": ('"a": 1', '"a": 2'),
    "what a container's parts are": ('"a": 1', '"a": True'),
    "a helper that is decorated": ("def helper", "@functools.lru_cache\ndef helper"),
    "a shadowed builtin": ("limit = 5", "limit = 5\nmath = type('M', (), {'floor': staticmethod(lambda x: 0)})"),
    "a generator instead": ("return helper", "yield helper"),
    "a coroutine instead": ("def f(", "async def f("),
}


@pytest.mark.parametrize("name", OTHER)
def test_what_makes_it_another_function_and_that_undoing_it_gives_the_old_one(project, name):
    before, after = OTHER[name]
    assert before in BASE
    first = project.digest(BASE)
    assert project.digest(BASE.replace(before, after)) != first
    assert project.digest(BASE) == first


HEADER = "import abc, dataclasses, datetime, enum, functools, logging, math, operator, pathlib, random, re, threading, numpy\n"

# What f uses: how it is made, and the same made otherwise.
REACHED = {
    "a dict": ("used = {'a': [1, {'b': 2}]}\ndef f(x): return used", "'b': 2", "'b': 3"),
    "an array": ("used = numpy.arange(4)\ndef f(x): return used", "arange(4)", "arange(1, 5)"),
    "an instance": (
        "class K:\n    def __init__(self, k): self.k = k\nused = K([1])\ndef f(x): return used.k",
        "K([1])",
        "K([2])",
    ),
    "a method of an instance": ("class K:\n    def m(self): return 1\nused = K()\ndef f(x): return used.m()", "return 1", "return 2"),
    "a setting that a method of an instance reads": (
        "rate = 1\nclass K:\n    def m(self): return rate\nused = K()\ndef f(x): return used.m()",
        "rate = 1",
        "rate = 2",
    ),
    "functions in a table": ("def a(x): return 1\nused = {'a': [a]}\ndef f(x): return used['a'][0](x)", "return 1", "return 2"),
    "a setting of a function in a table": (
        "rate = 1\ndef a(x): return rate\nused = {'a': a}\ndef f(x): return used['a'](x)",
        "rate = 1",
        "rate = 2",
    ),
    "an attribute of a class": ("class K:\n    rate = 1\ndef f(x): return K.rate", "rate = 1", "rate = 2"),
    "a list of a class": ("class K:\n    rates = [1]\ndef f(x): return K.rates", "[1]", "[2]"),
    "an attribute of a function": ("def f(x): return f.rate * x\nf.rate = 1", "f.rate = 1", "f.rate = 2"),
    "what a callable object holds": (
        "class K:\n    def __init__(self, k): self.k = k\n    def __call__(self, x): return self.k\nused = K(1)\ndef f(x): return used(x)",
        "K(1)",
        "K(2)",
    ),
    "what a callable object has in a slot": (
        "class K:\n    __slots__ = ('k',)\n    def __init__(self, k): self.k = k\n    def __call__(self, x): return self.k\n"
        "used = K([1])\ndef f(x): return used(x)",
        "K([1])",
        "K([2])",
    ),
    "the object of a bound method": (
        "class K:\n    def __init__(self, k): self.k = k\n    def m(self): return self.k\nused = K(1).m\ndef f(x): return used()",
        "K(1)",
        "K(2)",
    ),
    "the object of a built-in method": ("used = {'a': 1}.get\ndef f(x): return used('a')", "'a': 1", "'a': 2"),
    "an argument of a partial": ("def add(x, y): return x\nf = functools.partial(add, [1])", "[1]", "[2]"),
    "the code of a partial": ("def add(x, y): return x\nf = functools.partial(add, [1])", "return x", "return y"),
    "a method of a partial": ("used = functools.partial(str.upper)\ndef f(x): return used(x)", "upper", "lower"),
    "a function in C": ("from math import sin as used\ndef f(x): return used(x)", "import sin", "import cos"),
    "a getter": ("used = operator.itemgetter(1)\ndef f(x): return used(x)", "(1)", "(2)"),
    "a ufunc": ("used = numpy.sin\ndef f(x): return used(x)", "numpy.sin", "numpy.cos"),
    "a polynomial": ("used = numpy.poly1d([1, 2])\ndef f(x): return used(x)", "[1, 2]", "[1, 3]"),
    "a function that numpy calls": ("used = numpy.vectorize(lambda x: 1)\ndef f(x): return used(x)", "x: 1", "x: 2"),
    "what is cached": ("@functools.lru_cache\ndef used(x): return 1\ndef f(x): return used(x)", "return 1", "return 2"),
    "what a cached function reads": (
        "rate = 1\n@functools.lru_cache\ndef used(x): return rate\ndef f(x): return used(x)",
        "rate = 1",
        "rate = 2",
    ),
    "an implementation by type": (
        "@functools.singledispatch\ndef f(x): return x\n@f.register\ndef _(x: int): return 1",
        "return 1",
        "return 2",
    ),
    "what a decorator does": (
        "def deco(fn):\n    @functools.wraps(fn)\n    def wrapper(x): return fn(x) + 1\n    return wrapper\n@deco\ndef f(x): return x",
        "fn(x) + 1",
        "fn(x) + 2",
    ),
    "what is decorated": (
        "def deco(fn):\n    @functools.wraps(fn)\n    def wrapper(x): return fn(x) + 1\n    return wrapper\n"
        "@deco\n@deco\ndef f(x): return x",
        "return x",
        "return -x",
    ),
    "what is decorated without wraps": (
        "def deco(fn):\n    def wrapper(*args): return fn(*args)\n    return wrapper\n@deco\ndef f(x, y): return x + y",
        "x + y",
        "x * y",
    ),
    "an argument of a decorator": (
        "def deco(k):\n    def outer(fn):\n        def wrapper(x): return fn(x) + k\n        return wrapper\n    return outer\n"
        "@deco(1)\ndef f(x): return x",
        "deco(1)",
        "deco(2)",
    ),
    "a list in a closure": ("def make(k):\n    return lambda x: k\nf = make([1])", "[1]", "[2]"),
    "a closure that binds what it has": (
        "def make(k):\n    def f(x):\n        nonlocal k\n        k += x\n        return k\n    return f\nf = make(1)",
        "make(1)",
        "make(2)",
    ),
    "a module in a closure": (
        "import math, cmath\ndef make(m):\n    return lambda x: m.sqrt(x)\nf = make(math)",
        "make(math)",
        "make(cmath)",
    ),
    "a class that it makes": ("class K:\n    def m(self): return 1\ndef f(x): return K().m()", "return 1", "return 2"),
    "a base of a class": ("class B:\n    def m(self): return 1\nclass K(B): pass\ndef f(x): return K().m()", "return 1", "return 2"),
    "a field of a dataclass": ("@dataclasses.dataclass\nclass K:\n    k: int = 1\ndef f(x): return K()", "= 1", "= 2"),
    "a type in a class": ("class K(abc.ABC):\n    k: int\ndef f(x): return K", "k: int", "k: float"),
    "a member of an enumeration": ("class K(enum.Enum):\n    A = 1\ndef f(x): return K.A", "A = 1", "A = 2"),
    "a pattern": ("used = re.compile('a')\ndef f(x): return used", "'a'", "'b'"),
    "a date": ("used = datetime.date(2020, 1, 1)\ndef f(x): return used", "2020", "2021"),
    "a static method": ("class K:\n    @staticmethod\n    def m(): return 1\ndef f(x): return K.m()", "return 1", "return 2"),
    "a property": ("class K:\n    @property\n    def m(self): return 1\ndef f(x): return K().m", "return 1", "return 2"),
    "what is beside what cannot be hashed": ("used = {'lock': threading.Lock(), 'k': 1}\ndef f(x): return used['k']", "'k': 1", "'k': 2"),
    "a default that is a list": ("def f(x, y=[1]): return y", "[1]", "[2]"),
    "an inner function": ("def f(x):\n    def g(): return 1\n    return g()", "return 1", "return 2"),
    "its own file": ("def f(x): return __file__, 1", ", 1", ", 2"),
}


@pytest.mark.parametrize("name", REACHED)
def test_whatever_it_uses_counts(project, name):
    source, before, after = REACHED[name]
    assert before in source
    first = project.digest(HEADER + source)
    assert project.digest(HEADER + source) == first
    assert project.digest(HEADER + source.replace(before, after)) != first
    assert project.digest(HEADER + source) == first


UNSEEN = {
    "a lock": ("used = threading.Lock()\ndef f(x): return used", "threading.Lock()", "(0, threading.Lock())[1]"),
    "a logger's level": ("used = logging.getLogger('a')\nused.setLevel(10)\ndef f(x): return used", "(10)", "(20)"),
    "an attribute of a function that no code names": ("def f(x): return x\nf.mark = 1", "= 1", "= 2"),
    "the state of a generator of random numbers": (
        "from random import random, choice\nrandom()\ndef f(x): return random() + choice(x)",
        "random()\n",
        "random(), random()\n",
    ),
    "what is in a cache": ("@functools.lru_cache\ndef f(x): return x\nf(1)", "f(1)", "f(2), f(3)"),
    "what a singledispatch has looked up": ("@functools.singledispatch\ndef f(x): return x\nf(1)", "f(1)", "f(''), f([])"),
    "a global that it binds": ("n = 0\ndef f(x):\n    global n\n    n += 1\n    return x", "n = 0", "n = 5"),
    "the order of a set": ("used = {'a', 'b', 'c'}\ndef f(x): return used", "'a', 'b', 'c'", "'c', 'b', 'a'"),
    "the name of a logger's module": ("log = logging.getLogger(__name__)\ndef f(x): return log", "__name__", "'app'"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_does_not_count(project, name):
    source, before, after = UNSEEN[name]
    assert before in source
    assert project.digest(HEADER + source) == project.digest(HEADER + source.replace(before, after, 1))


def test_functions_that_look_alike(project):
    source = """
    def deco(fn):
        def wrapper(*args):
            return fn(*args)
        return wrapper
    @deco
    def add(x, y): return x + y
    @deco
    def mul(x, y): return x * y
    def make(k):
        return lambda x: x + k
    two, three = make(2), make(3)
    one, other = (lambda x: x + 1), (lambda x: x + 2)
    class A:
        def m(self): return 1
        @classmethod
        def c(cls): return cls()
    class B(A):
        pass
    def p(x): return x
    def q(x): return x
    """
    app = project.module("\n".join(line.removeprefix("    ") for line in source.splitlines()))
    functions = [app.add, app.mul, app.two, app.three, app.one, app.other, app.A.m, app.A.c, app.B.c, app.A, app.B, app.p, app.q, len, max]
    assert len({FunctionKey(function).digest() for function in functions}) == len(functions)


def test_of_a_method_the_object_is_an_argument(project):
    app = project.module("class K:\n    def __init__(self, k): self.k = k\n    def m(self): return self.k\n    s = staticmethod(lambda: 1)")
    assert FunctionKey(app.K(1).m).digest() == FunctionKey(app.K(2).m).digest() == FunctionKey(app.K.m).digest()
    assert FunctionKey(app.K.s).digest() == FunctionKey(vars(app.K)["s"]).digest()
    assert FunctionKey(app.K(1).m).name == "app.K.m"


def test_the_same_function_of_two_modules_and_a_class_of_each(project):
    """What it does is the same; but an instance of one class is none of the other."""
    plain, made = "def f(x): return x", "class K: pass\ndef f(x): return K()"
    keys = [FunctionKey(project.module(source, name).f) for source in (plain, made) for name in ("app", "shop.app")]
    digests = [key.digest() for key in keys]
    assert digests[0] == digests[1]
    assert digests[2] != digests[3]
    assert [key.name for key in keys] == ["app.f", "shop.app.f"] * 2


# ------------------------------------------------------------ while a program runs

NOTICED = {
    "a helper bound anew": ("def helper(x): return x\ndef f(x): return helper(x)", "helper = lambda x: 2"),
    "a number bound anew": ("n = 1\ndef f(x): return n", "n = 2"),
    "a list that grows": ("n = [1]\ndef f(x): return n", "n.append(2)"),
    "a dict that changes deep inside": ("n = {'a': {'b': 1}}\ndef f(x): return n", "n['a']['b'] = 2"),
    "a number in a list": ("n = [1, 2.0]\ndef f(x): return n", "n[1] = 3.0"),
    "an array that changes": ("import numpy\nn = numpy.zeros(3)\ndef f(x): return n", "n[0] = 1"),
    "a closure's variable": (
        "def make():\n    k = 1\n    def f(x): return k\n    def step():\n        nonlocal k\n        k = 2\n    return f, step\n"
        "f, step = make()",
        "step()",
    ),
    "a closure's list": ("def make(k): return lambda x: k\nn = []\nf = make(n)", "n.append(1)"),
    "an attribute of an object that is called": (
        "class K:\n    k = 1\n    def __call__(self, x): return self.k\nused = K(); used.k = 1\ndef f(x): return used(x)",
        "used.k = 2",
    ),
    "an attribute of a class": ("class K:\n    k = 1\ndef f(x): return K.k", "K.k = 2"),
    "a method put in": ("class K: pass\ndef f(x): return K().m()", "K.m = lambda self: 1"),
    "a default": ("def f(x=1): return x", "f.__defaults__ = (2,)"),
    "a list that is a default": ("n = []\ndef f(x=n): return x", "n.append(1)"),
    "a builtin that is shadowed": ("def f(x): return len(x)", "len = lambda x: 0"),
    "an implementation by type": (
        "import functools\n@functools.singledispatch\ndef f(x): return x",
        "f.register(int)(lambda x: 1)",
    ),
    "a function put into a table": ("used = {}\ndef f(x): return used[x]", "used['a'] = lambda: 1"),
    "an attribute of the function": ("def f(x): return f.k\nf.k = 1", "f.k = 2"),
}


@pytest.mark.parametrize("name", NOTICED)
def test_a_change_is_noticed(project, name):
    source, change = NOTICED[name]
    module = project.module(source)
    key = FunctionKey(module.f)
    before = key.digest()
    assert key.digest() == before
    exec(change, module.__dict__)
    after = key.digest()
    assert after != before
    assert FunctionKey(module.f).digest() == after


def test_what_comes_back_is_the_old_function(project):
    app = project.module("n = [1]\ndef helper(x): return x\ndef f(x): return helper(x), n")
    key, helper = FunctionKey(app.f), app.helper
    before = key.digest()
    app.helper = lambda x: 2
    app.n.append(2)
    assert key.digest() != before
    app.helper = helper
    app.n.pop()
    assert key.digest() == before


def test_equal_values_are_no_change(project):
    app = project.module("n = [1.5, 'a']\nk = 1000\ndef f(x): return n, k")
    key = FunctionKey(app.f)
    before = key.digest()
    app.n[:] = [3.0 / 2, "".join(["a"])]
    app.k = int("1000")
    assert key.digest() == before


# ------------------------------------------------------------ what a call changes

CHANGING = {
    "a memo": "memo = {}\ndef f(x):\n    memo[x] = x\n    return memo[x]",
    "a connection opened at the first call": "import app\nconnection = None\ndef f(x):\n"
    "    app.connection = [1]\n    return app.connection",
    "a memo in a closure": (
        "def make():\n    memo = {}\n    def f(x):\n        memo[x] = x\n        return len(memo)\n    return f\nf = make()"
    ),
    "a counter that it looks at": "count = 0\ndef f(x):\n    global count\n    count += 1\n    return count",
    "what comes of a method": "seen = [1, 2]\ndef f(x):\n    return seen.append(x) or len(seen)",
    "the same in an inner function": "seen = []\ndef f(x):\n    seen.append(x)\n    return (lambda: len(seen))()",
    "whatever there is": "seen = []\ndef f(x):\n    seen.append(x)\n    return eval('len(seen)')",
    "an object of its own that adds": (
        "class K:\n    n = 0\n    def __iadd__(self, x):\n        self.n += x\n        return self\n"
        "k = K()\ndef f(x):\n    global k\n    k += x\n    return x"
    ),
    "two names of one": "seen = []\ndef f(x):\n    mine = seen\n    mine.append(x)\n    return len(mine)",
    "an item's own": "table = {1: []}\ndef f(x):\n    table[1].append(x)\n    return x",
    "a choice": "seen, other = [], []\ndef f(x):\n    (seen if x else other).append(x)\n    return x",
    "a default that collects": "def f(x, seen=[]):\n    seen.append(x)\n    return x",
    "an attribute of the function": "def f(x):\n    f.calls += 1\n    return x\nf.calls = 0",
    "a list of a class": "class K:\n    made = []\ndef f(x):\n    K.made.append(x)\n    return x",
    "one instance of a class": "class K:\n    pass\ndef f(x):\n    if not hasattr(K, 'one'):\n        K.one = [K()]\n    return x",
    "what an object that is called has counted": (
        "class K:\n    def __init__(self): self.calls = 0\n    def __call__(self, x):\n        self.calls += 1\n        return x\nf = K()"
    ),
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_a_call_changes_counts_as_it_is(project, name):
    app = project.module(CHANGING[name])
    key = FunctionKey(app.f)
    before = key.digest()
    assert key.digest() == before
    app.f(1)
    assert key.digest() != before
    assert FunctionKey(project.module(CHANGING[name]).f).digest() == before  # in the next process


def test_a_call_that_changes_nothing(project):
    app = project.module("n = [1]\nk = 2\ndef f(x): return n[0] + k")
    key = FunctionKey(app.f)
    before = key.digest()
    app.f(1)
    assert key.digest() == before


def test_two_functions_of_one_factory_that_change_what_they_have(project):
    app = project.module(
        "def make(k):\n    def f(x):\n        k.sort()\n        return k\n    return f\ntwo, three = make([2, 1]), make([3, 1])"
    )
    for function in (app.two, app.three):
        function(1)
    assert FunctionKey(app.two).digest() != FunctionKey(app.three).digest()


ONLY_CHANGED = {
    "a list": "seen = []\ndef f(x):\n    seen.append((x, [1, *range(x)]))\n    return x",
    "a list with keywords": "seen = {}\ndef f(x):\n    seen.update(key=x, other=[x])\n    return x",
    "a counter": "count = 0\ndef f(x):\n    global count\n    count += 1\n    return x",
    "a counter, otherwise": "count = 0\ndef f(x):\n    global count\n    count = count + max(x, 1) * 2\n    return x",
    "counters by name": (
        "from collections import Counter\ncount = Counter()\ndef f(x):\n"
        "    count[str(x)] += abs(-x)\n    count[len('a')] -= 1\n    return x"
    ),
    "a table": "seen = {}\ndef f(x):\n    seen[str(x).upper(), 2] = [x, max(x, x)]\n    return x",
    "a table of functions": "used = {}\nRATE = 2\ndef late(): return RATE\ndef f(x):\n    used[x] = late\n    return x",
    "a variable of a closure": (
        "def make():\n    n = 0\n    def f(x):\n        nonlocal n\n        n += 1\n        return x\n    return f\nf = make()"
    ),
    "the last of all": (
        "def make():\n    last = 0\n    def f(x):\n        nonlocal last\n        last = x\n        return x\n    return f\nf = make()"
    ),
    "in an inner function": (
        "def make():\n    seen = []\n    def f(x):\n        def note():\n"
        "            seen.append(x)\n        note()\n        return x\n    return f\nf = make()"
    ),
    "in a helper": "seen = []\ndef note(x):\n    seen.append(x)\ndef f(x):\n    note(x)\n    return x",
}


@pytest.mark.parametrize("name", ONLY_CHANGED)
def test_what_a_call_only_changes_does_not_count(project, name):
    app = project.module(ONLY_CHANGED[name])
    key = FunctionKey(app.f)
    before = key.digest()
    app.f(1)
    assert key.digest() == before
    assert FunctionKey(app.f).digest() == before


def test_what_a_call_only_changes_and_another_class_that_is_put_there(project):
    app = project.module("seen = []\nclass K:\n    def append(self, x): raise ValueError\ndef f(x):\n    seen.append(x)\n    return x")
    key = FunctionKey(app.f)
    before = key.digest()
    app.seen = app.K()
    assert key.digest() != before


def test_what_the_first_call_sets_up_counts_from_then_on(project):
    app = project.module(
        "model = None\ndef load():\n    global model\n    model = lambda x: x\n"
        "def f(x):\n    if model is None:\n        load()\n    return model(x)"
    )
    key = FunctionKey(app.f)
    digests = [key.digest()]
    for _ in range(2):
        app.f(1)
        digests.append(key.digest())
    assert digests[0] != digests[1] == digests[2]


# ------------------------------------------------------------ modules, packages


def test_what_it_uses_of_other_modules(project):
    project.module("rate = 1\ntable = [1]\ndef scale(x): return x * rate\nclass K:\n    def m(self): return 1\n", "ops")
    source = "import ops\ndef f(x): return ops.scale(x) + ops.table[0] + ops.K().m()"
    key = project.key(source)
    before = key.digest()
    assert {"helper scale() in ops.py", "global rate in ops.py", "global table in ops.py", "class K in ops.py"} <= key.parts().keys()
    for name, value in {"rate": 2, "table": [2], "scale": lambda x: x}.items():
        old = getattr(sys.modules["ops"], name)
        setattr(sys.modules["ops"], name, value)
        assert key.digest() != before
        setattr(sys.modules["ops"], name, old)
        assert key.digest() == before


@pytest.mark.parametrize(
    "line", ["import lazy", "from lazy import g", "import pack.lazy", "from pack import lazy", "from pack.lazy import g as h"]
)
def test_what_it_imports_when_it_runs(project, line):
    body = {
        "import lazy": "lazy.g()",
        "from lazy import g": "g()",
        "import pack.lazy": "pack.lazy.g()",
        "from pack import lazy": "lazy.g()",
    }
    source = f"def f(x):\n    {line}\n    return {body.get(line, 'h()')}"
    digests = []
    for step in (1, 2, 1):
        for name in ("pack.lazy", "pack", "lazy"):
            sys.modules.pop(name, None)
        project.file("pack/__init__.py", "")
        project.file("pack/lazy.py", f"k = {step}\ndef g(): return k\n")
        project.file("lazy.py", f"k = {step}\ndef g(): return k\n")
        key = project.key(source)
        digests.append(key.digest())
        with contextlib.suppress(NameError):
            sys.modules["app"].f(1)
        assert key.digest() == digests[-1]
    assert digests[0] == digests[2] != digests[1]


def test_which_of_two_functions_is_called_first(project):
    """They have the same name, and both are used, whichever way round."""
    source = "def pick(): return (lambda x: x + 1), (lambda x: x + 2)\na, b = pick()\ndef f(x): return a(b(x)) * a(x)"
    assert project.digest(source) != project.digest(source.replace("a, b =", "b, a ="))
    source = source.replace("return (", "return wrap(").replace(", (", ", wrap(") + "\ndef wrap(g): return lambda x: g(x)"
    source = source.replace("a, b = pick()", "") + "\na, b = pick()"
    assert project.digest(source) != project.digest(source.replace("a, b =", "b, a ="))


def test_functions_that_call_one_another(project):
    source = "def a(x): return b(x)\ndef b(x): return c(x)\ndef c(x): return a(x) + 1\ndef f(x): return a(x)"
    assert project.digest(source) != project.digest(source.replace("+ 1", "+ 2"))
    chain = "\n".join(f"def f{i}(x): return f{i + 1}(x)" for i in range(2000)) + "\ndef f2000(x): return 1\ndef f(x): return f0(x)"
    assert project.digest(chain) != project.digest(chain.replace("return 1\n", "return 2\n"))


def test_imports_relative_to_a_package(project):
    digests = []
    for step in (1, 2, 1):
        for name in ("pack.lazy", "pack"):
            sys.modules.pop(name, None)
        project.file("pack/__init__.py", "")
        project.file("pack/lazy.py", f"def g(): return {step}\n")
        module = project.module("def f(x):\n    from .lazy import g\n    from . import lazy\n    return g()", "pack.app")
        digests.append(FunctionKey(module.f).digest())
    assert digests[0] == digests[2] != digests[1]


def test_an_import_that_fails_is_the_functions_own_affair(project):
    project.file("broken.py", "1 / 0")
    project.digest("def f(x):\n    try:\n        import broken\n    except ZeroDivisionError:\n        import not_there_at_all\n")


WARES = """
def g(x): return x
class K: pass
class Cached:
    def __init__(self, fn): self.__wrapped__, self.calls = fn, 0
    def __call__(self, x):
        self.calls += 1
        return self.__wrapped__(x)
"""


@pytest.fixture
def package(project):
    """An installed one."""

    def install(version, *, says_so=True):
        folder = project.folder / "site-packages"
        project.monkeypatch.syspath_prepend(str(folder))
        (folder / "wares").mkdir(parents=True, exist_ok=True)
        (folder / "wares" / "__init__.py").write_text(f"__version__ = {version!r}\n" * says_so + WARES)
        for old in folder.glob("*.dist-info"):
            (old / "METADATA").unlink()
            old.rmdir()
        info = folder / f"wares-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: wares\nVersion: {version}\n")
        sys.modules.pop("wares", None)
        from manyhands.memory import _packages

        _packages._version.cache_clear()

    yield install
    sys.modules.pop("wares", None)


def test_a_function_that_a_package_has_wrapped(project, package):
    package("1.2")
    source = "import wares\nrate = 1\n@wares.Cached\ndef f(x): return x * rate"
    app = project.module(source)
    key = FunctionKey(app.f)
    before = key.digest()
    app.f(1)
    assert key.digest() == before
    assert project.digest(source.replace("= 1", "= 2")) != before


@pytest.mark.parametrize("says_so", [True, False])
@pytest.mark.parametrize(
    "source",
    [
        "import wares\ndef f(x): return wares.g(x)",
        "from wares import g\ndef f(x): return g(x)",
        "import wares\nk = wares.K()\ndef f(x): return k",
        "import wares\nclass K(wares.K): pass\ndef f(x): return K()",
        "import wares\nk = [{'a': wares.K()}]\ndef f(x): return k",
        "def f(x):\n    import wares\n    return wares.g(x)",
        "from wares import g as f",
        "import wares\n@wares.Cached\ndef f(x): return x",
    ],
)
def test_versions_of_packages(project, package, source, says_so):
    package("1.2", says_so=says_so)
    old = project.key(source)
    before, parts = old.digest(), old.parts()
    assert "package wares 1.2" in parts
    package("1.3", says_so=says_so)
    new = project.key(source)
    assert new.digest() != before
    assert differences(parts, new.parts()) == ["package wares 1.2 is now 1.3"]


def test_a_package_is_told_by_its_version_alone(project):
    parts = project.key(BASE.replace("math.floor", "numpy.floor").replace("import ", "import numpy, ")).parts()
    assert f"package numpy {numpy.__version__}" in parts
    assert not any("site-packages" in label or "floor" in label for label in parts)


# ------------------------------------------------------------ what is declared


def test_what_the_author_declares(project, tmp_path, monkeypatch):
    data = tmp_path / "data.csv"
    data.write_text("1")
    monkeypatch.delenv("MODEL", raising=False)
    app = project.module("def f(x): return x\ndef g(x): return 1")
    other = project.module("k = 1\ndef h(): return k", "other")
    key = FunctionKey(app.f, version=1, deps=(app.g, other, [1]), files=(data,), env=("MODEL",))
    parts, seen = key.parts(), {key.digest(), FunctionKey(app.f).digest(), FunctionKey(app.f, version=2).digest()}
    assert {"helper g() in app.py", "global k in other.py", "deps[2]", f"file {data}", "variable MODEL", "version"} <= parts.keys()
    assert len(seen) == 3

    def changed():
        digest = key.digest()
        assert digest not in seen
        seen.add(digest)
        return differences(parts, key.parts())

    data.write_text("2")
    assert changed() == [f"file {data} changed"]
    monkeypatch.setenv("MODEL", "")
    assert changed() == ["variable MODEL changed", f"file {data} changed"]
    other.k = 2
    assert changed()[0] == "global k in other.py changed"
    app.g.__defaults__ = (2,)
    assert changed()[0] == "helper g() in app.py changed"


def test_a_file_that_is_read_again_only_when_it_has_changed(project, tmp_path, monkeypatch):
    import os

    from manyhands.memory import _declared

    data = tmp_path / "data.csv"
    data.write_text("1")
    os.utime(data, (1, 1))
    monkeypatch.setattr(_declared, "_SETTLED", -1e9)
    key = project.key("def f(x): return x", files=[str(data)])
    before, read = key.digest(), []
    monkeypatch.setattr(_declared, "_of_file", lambda name: read.append(name) or b"0")
    assert key.digest() == before
    assert read == []
    data.write_text("2")
    assert key.digest() != before
    assert read == [str(data)]


def test_a_file_that_is_moved_with_the_project_is_the_same(project, tmp_path):
    digests = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.csv").write_text("1")
        digests.append(project.digest("def f(x): return x", files=(tmp_path / folder / "data.csv",)))
    assert digests[0] == digests[1]


REFUSED = [
    ({"files": "data.csv"}, TypeError, "files="),
    ({"files": [3]}, TypeError, "files[0]"),
    ({"files": ["."]}, IsADirectoryError, "files[0]"),
    ({"env": "MODEL"}, TypeError, "env="),
    ({"env": [3]}, TypeError, "env[0]"),
    ({"deps": len}, TypeError, "deps="),
    ({"deps": [1, (i for i in ())]}, TypeError, "deps[1]"),
    ({"version": (i for i in ())}, TypeError, "version"),
]


@pytest.mark.parametrize(("declared", "error", "text"), REFUSED)
def test_a_refusal_names_the_argument(declared, error, text):
    with pytest.raises(error) as caught:
        FunctionKey(len, **declared)
    assert text in str(caught.value)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="fn is 3"):
        FunctionKey(3)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError) as caught:
        FunctionKey(len, files=["/no/such/file.csv"]).digest()
    assert "files=" in caught.value.__notes__[0]


# ------------------------------------------------------------ in other processes

SCRIPT = """
import sys
from manyhands.memory._function_key import FunctionKey
rate, table, names = 2, {"b": 1, "a": 2}, {"x", "y", "z"}
def helper(x):
    return x * rate
def make(k):
    def inner(x):
        return helper(x) + k
    return inner
closure = make(3)
def f(x):
    return helper(x), table, names
class Model:
    kind = "plain"
    def run(self, x):
        return helper(x)
def g(x):
    return Model().run(x)
functions = [f, closure, (lambda x: x + rate), Model.run]
def say(*also):
    keys = [FunctionKey(function) for function in [*functions, *also]]
    print(*[key.digest().hex() for key in keys], keys[0].name)
"""


def printed(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_is_the_same_wherever_and_however_the_program_runs(tmp_path):
    """As a script, as a module, imported; other folders, other hash seeds."""
    seen = []
    for seed, folder in enumerate(("a", "b/c")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "job.py").write_text(SCRIPT + "if __name__ == '__main__':\n    say()\n")
        for line in (
            "runpy.run_path('job.py', run_name='__main__')",
            "runpy.run_module('job', run_name='__main__', alter_sys=True)",
            "import job; job.say()",
        ):
            code = f"import os, sys, runpy; os.chdir({str(tmp_path / folder)!r}); sys.path.insert(0, os.getcwd()); {line}"
            seen.append(printed(scripts.run(code, PYTHONHASHSEED=str(seed))))
    assert len({tuple(line) for line in seen}) == 1
    assert seen[0][-1] == "job.f"


def test_a_class_of_a_script_is_not_that_of_a_module(tmp_path):
    """The results would be instances of another class."""
    (tmp_path / "job.py").write_text(SCRIPT + "if __name__ == '__main__':\n    say(g)\n")
    start = f"import os, sys, runpy; os.chdir({str(tmp_path)!r}); sys.path.insert(0, os.getcwd()); "
    script = printed(scripts.run(start + "runpy.run_module('job', run_name='__main__', alter_sys=True)"))
    again = printed(scripts.run(start + "runpy.run_module('job', run_name='__main__', alter_sys=True)"))
    module = printed(scripts.run(start + "import job; job.say(job.g)"))
    assert script == again
    assert script[:3] == module[:3]
    assert script[-2] != module[-2]


WORKERS = (
    SCRIPT
    + """
import dataclasses, enum, functools
class Kind(enum.Enum):
    A = 1
@dataclasses.dataclass
class Point:
    x: int = 0
    tags: list = dataclasses.field(default_factory=list)
    def shifted(self): return Point(self.x + rate)
@functools.lru_cache
def cached(x): return helper(x)
@functools.singledispatch
def kinds(x): return x
@kinds.register
def _(x: int): return helper(x)
def points(x): return Point(x).shifted(), Kind.A, cached(x), kinds(x)
class Scaler:
    def __init__(self, k): self.k = k
    def __call__(self, x): return x * self.k
functions += [points, Scaler(3), functools.partial(f, 1), cached, g, kinds]
def digest(function):
    key = FunctionKey(function)
    return key.digest().hex(), sorted(key.parts()), key.name
"""
)


@pytest.mark.parametrize("how", ["script", "module"])
def test_workers_compute_the_same(tmp_path, how):
    (tmp_path / "job.py").write_text(WORKERS)
    (tmp_path / "run.py").write_text("from job import *\nfrom job import f, digest\n" if how == "module" else WORKERS)
    code = f"""
        import os, sys
        os.chdir({str(tmp_path)!r}); sys.path.insert(0, os.getcwd())
        program = compile(open("run.py").read() + PROGRAM, os.path.abspath("run.py"), "exec")
        exec(program)
    """
    program = (
        "import manyhands\\n"
        "here = [digest(function) for function in functions]\\n"
        "there = manyhands.map(lambda i, fs=functions: digest(fs[i]), range(len(functions)), workers=2)\\n"
        "alone = [manyhands.map(digest, [function], workers=1)[0] for function in functions]\\n"
        "print(here == there, here == alone)\\n"
        "[print(a, b, c, sep='\\\\n') for a, b, c in zip(here, there, alone) if not a == b == c]\\n"
    )
    done = scripts.run(code.replace("PROGRAM", f'"{program}"'))
    assert done.stdout.split() == ["True", "True"], (done.stdout, done.stderr)


def test_cells_of_a_notebook():
    from test_notebook import answers

    define = "def helper(x): return x * k\ndef f(x):\n    {}\n    return helper(x)\n"
    cells = [
        "from manyhands.memory._function_key import FunctionKey\nk = 2\n" + define.format("'A docstring.'") + "key = FunctionKey(f)",
        "key.digest().hex(), sorted(key.parts()), key.name",
        "# The cell is run again.\n" + define.format("") + "FunctionKey(f).digest().hex()",
        "k = 3\n(key.digest() == FunctionKey(f).digest(), FunctionKey(f).digest().hex())",
        "import manyhands\nmanyhands.map(lambda g: FunctionKey(g).digest(), [f], workers=1) == [FunctionKey(f).digest()]",
    ]
    first, second = answers(*cells), answers(*cells)
    assert first == second
    digest, parts, name = eval(first[1][0])
    assert name == "__main__.f"
    assert "helper helper() in __main__" in parts
    assert first[2] == [repr(digest)]
    assert first[3][0].startswith("(True, ")
    assert digest not in first[3][0]
    assert first[4] == ["True"]


def test_a_key_travels_with_what_is_declared(project):
    key = project.key("n = []\ndef f(x): return n", version=3, env=("HOME",))
    assert pickle.loads(pickle.dumps(key)).digest() == key.digest()


# ------------------------------------------------------------ in words


def test_what_is_said_about_a_change(project):
    project.module("rate = 1\ndef scale(x): return x * rate", "ops")
    source = "import ops\nRATE = 1\ngone = 1\ndef f(x): return ops.scale(x) + RATE + gone"
    before = project.key(source).parts()
    assert before.keys() >= {"function f() in app.py", "helper scale() in ops.py", "constant RATE in app.py", "global rate in ops.py"}
    assert differences(before, before) == []
    project.module("rate = 2\ndef scale(x): return x + rate", "ops")
    after = project.key(source.replace("gone", "come")).parts()
    assert differences(before, after) == [
        "function f() in app.py changed",
        "helper scale() in ops.py changed",
        "global come in app.py is new",
        "global gone in app.py is gone",
        "global rate in ops.py changed",
    ]


def test_an_edit_of_a_helper_is_no_change_of_who_calls_it(project):
    source = "def a(x): return 1\ndef b(x): return a(x)\ndef f(x): return b(x)"
    before, after = project.key(source).parts(), project.key(source.replace("return 1", "return 2")).parts()
    assert differences(before, after) == ["helper a() in app.py changed"]


def test_a_function_in_c_has_a_name(project):
    source = "from math import sin as used\ndef f(x): return used(x)"
    before, after = project.key(source).parts(), project.key(source.replace("sin", "cos")).parts()
    assert differences(before, after) == ["function math.cos is new", "function math.sin is gone"]


def test_another_python_says_nothing_about_functions():
    before = {"function f() in app.py": b"1", "constant K in app.py": b"1", "Python 3.11": b"", "package numpy 1": b""}
    after = {"function f() in app.py": b"2", "constant K in app.py": b"2", "Python 3.13": b"", "package numpy 1": b""}
    assert differences(before, after) == ["constant K in app.py changed", "Python 3.11 is now 3.13"]
