"""The digest of code: what changes it, and what does not."""

from __future__ import annotations

import itertools
import sys
import types

import pytest
import scripts

from manyhands._codec import _naming
from manyhands._codec._fingerprint import Code

BASE = """
LIMIT = 5
table = {}
def helper(x):
    return x + 1
def f(x, scale=2):
    total = 0
    for value in (1, 2.5, "a", frozenset({"x", "y", "z"})):
        total += 1
    return helper(x) * scale + LIMIT + len(table)
class Model:
    KIND = "plain"
    def run(self, x):
        return helper(x)
    @property
    def size(self):
        return 3
    @classmethod
    def make(cls):
        return cls()
"""

numbers = itertools.count()


def own_are(monkeypatch, *names):
    monkeypatch.setattr(_naming, "_projects", {})
    monkeypatch.setattr(_naming, "_is_own", lambda name, file: name in names)


@pytest.fixture
def digest(monkeypatch):
    """The digests of f and Model in a module with that source."""
    own_are(monkeypatch, "fingerprinted")

    def compute(source):
        name = "fingerprinted"
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(source, f"file{next(numbers)}.py", "exec"), module.__dict__)
        return Code(module.f).digest, Code(module.Model).digest

    return compute


SAME = [
    ("def f(x, scale=2):", "# a comment\n\n\ndef f(x, scale=2):"),
    ("def f(x, scale=2):", 'def f(x, scale=2):\n    """Says what it does."""'),
    ("def f(x, scale=2):", "def f(x: int, scale: float = 2) -> float:"),
    ("class Model:", 'class Model:\n    """A model."""'),
    ("    return x + 1", "    return (x\n            + 1)"),
    ("table = {}", "table = {1: 2}"),
    ("table = {}", "table = {}\nunused = 5\ndef other(): pass"),
]


@pytest.mark.parametrize(("before", "after"), SAME)
def test_what_is_the_same_code(digest, before, after):
    assert before in BASE
    assert digest(BASE.replace(before, after)) == digest(BASE)


# Which of the two it changes.
DIFFERENT = [
    ("x + 1", "x + 2", "both"),
    ("x + 1", "x + 1.0", "both"),
    ("x + 1", "x + True", "both"),
    ("x + 1", "x - 1", "both"),
    ("scale=2", "scale=3", "f"),
    ("scale=2", "scale=2.0", "f"),
    ("scale=2", "*, scale=2", "f"),
    ("LIMIT = 5", "LIMIT = 6", "f"),
    ("LIMIT = 5", "LIMIT = 5.0", "f"),
    ('"z"', '"w"', "f"),
    ("len(table)", "len(LIMITS)", "f"),
    ('"plain"', '"other"', "Model"),
    ("@property", "@staticmethod", "Model"),
    ("return 3", "return 4", "Model"),
    ("class Model:", "class Model(dict):", "Model"),
    ("def helper(x):", "def helper(x, y=0):", "both"),
    ("def helper(x):", "import functools\n@functools.lru_cache\ndef helper(x):", "both"),
]


@pytest.mark.parametrize(("before", "after", "which"), DIFFERENT)
def test_what_is_other_code(digest, before, after, which):
    assert before in BASE
    old, new = digest(BASE), digest(BASE.replace(before, after))
    assert (old[0] != new[0], old[1] != new[1]) == (which in {"f", "both"}, which in {"Model", "both"})


def test_it_is_the_same_in_every_process(tmp_path):
    (tmp_path / "app.py").write_text(BASE)
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import app
        from manyhands._codec._fingerprint import Code
        print(Code(app.f).digest.hex(), Code(app.Model).digest.hex())
    """
    assert len({scripts.run(code, PYTHONHASHSEED=str(seed)).stdout for seed in (1, 2, 3)}) == 1


def test_pickling_an_instance_is_no_change(tmp_path):
    """copyreg notes something on the class."""
    (tmp_path / "app.py").write_text(BASE)
    code = f"""
        import pickle, sys
        sys.path.insert(0, {str(tmp_path)!r})
        import app
        from manyhands._codec._fingerprint import Code
        before = Code(app.Model).digest
        pickle.dumps(app.Model())
        print(Code(app.Model).digest == before, "__slotnames__" in vars(app.Model))
    """
    assert scripts.run(code).stdout.strip() == "True True"


def test_a_long_chain_of_functions_and_recursion(digest):
    chain = "\n".join(f"def f{i}(x): return f{i + 1}(x)" for i in range(3000))
    source = BASE + chain + "\ndef f3000(x): return f(x)\ndef f(x): return f0(x)\n"
    assert digest(source)[0] != digest(source.replace("def f3000(x): return f(x)", "def f3000(x): return x"))[0]


# What f uses: how it is made, and the same made otherwise.
REACHED = {
    "a cached helper": ("@functools.lru_cache\ndef used(x): return x + 1", "x + 1", "x + 2"),
    "a partial": ("def add(x, y): return x + y\nused = functools.partial(add, 1)", "add, 1", "add, 2"),
    "a partial of changed code": ("def add(x, y): return x + y\nused = functools.partial(add, 1)", "x + y", "x - y"),
    "a decorator's object": (
        "class Deco:\n    def __init__(self, fn): self.fn = fn\n    def __call__(self, x): return self.fn(x)\n"
        "@Deco\ndef used(x): return x + 1",
        "x + 1",
        "x + 2",
    ),
    "the class of a decorator's object": (
        "class Deco:\n    __slots__ = ('fn',)\n    def __init__(self, fn): self.fn = fn\n    def __call__(self, x): return self.fn(x)\n"
        "used = Deco(len)",
        "self.fn(x)",
        "-self.fn(x)",
    ),
    "a bound method": ("class K:\n    def m(self, x): return x + 1\nused = K().m", "x + 1", "x + 2"),
    "an implementation behind singledispatch": (
        "@functools.singledispatch\ndef used(x): return x\n@used.register\ndef _(x: int): return x + 1",
        "x + 1",
        "x + 2",
    ),
    "a function in C": ("from math import sin as used", "import sin", "import cos"),
    "a method of a built-in class": ("used = str.upper", "upper", "lower"),
    "a ufunc": ("used = numpy.sin", "numpy.sin", "numpy.cos"),
    "a cached_property": ("class used:\n    @functools.cached_property\n    def p(self): return 1", "return 1", "return 2"),
    "a partialmethod": (
        "class used:\n    def m(self, x): return x\n    n = functools.partialmethod(m, 1)",
        "(m, 1)",
        "(m, 2)",
    ),
    "a descriptor": (
        "class D:\n    def __init__(self, fn): self.fn = fn\n    def __get__(self, obj, cls): return self.fn()\n"
        "class used:\n    d = D(lambda: 1)",
        "lambda: 1",
        "lambda: 2",
    ),
    "a value of an enum": ("class used(enum.Enum):\n    low = 1\n    high = 2", "low = 1", "low = 3"),
    "a value of a flag": ("class used(enum.IntFlag):\n    low = 1\n    high = 2", "high = 2", "high = 4"),
    **{
        f"a constant {before}": (f"USED = {before}\ndef used(x): return USED", before, after)
        for before, after in [
            ("{'a': 1}", "{'a': 2}"),
            ("[64, 64]", "[64, 128]"),
            ("{1, 2}", "{1, 3}"),
            ("(1, [2])", "(1, [3])"),
            ("re.compile('a')", "re.compile('b')"),
            ("pathlib.Path('a')", "pathlib.Path('b')"),
            ("decimal.Decimal(1)", "decimal.Decimal(2)"),
            ("datetime.date(2020, 1, 1)", "datetime.date(2021, 1, 1)"),
            ("numpy.arange(3)", "numpy.arange(1, 4)"),
            ("2", "2.0"),
            ("1", "True"),
            ("{'f': lambda x: x}", "{'f': lambda x: -x}"),
            ("slice(3)", "slice(4)"),
        ]
    },
}
HEADER = "import datetime, decimal, enum, functools, pathlib, re, numpy\ndef f(x): return used(x)\nclass Model: pass\n"


@pytest.mark.parametrize("name", REACHED)
def test_what_f_reaches_counts(digest, name):
    source, before, after = REACHED[name]
    assert before in source
    first = digest(HEADER + source)
    assert digest(HEADER + source) == first
    assert digest(HEADER + source.replace(before, after))[0] != first[0]


STATE = {
    "a global": ("used = 1", "used = 2"),
    "what an object holds": ("class S: pass\nused = S(); used.x = 1", "class S: pass\nused = S(); used.x = 2"),
    "a large table's contents": ("USED = list(range(30000)); used = USED.append", "USED = [0, *range(1, 30000)]; used = USED.append"),
    "an order in a set of functions": (
        "def a(): pass\ndef b(): pass\nUSED = frozenset({a, b})\ndef used(x): return USED",
        "def a(): pass\ndef b(): pass\nUSED = frozenset({b, a})\ndef used(x): return USED",
    ),
}


@pytest.mark.parametrize("name", STATE)
def test_what_is_state_does_not_count(digest, name):
    before, after = STATE[name]
    assert digest(HEADER + before) == digest(HEADER + after)


def test_what_holds_itself(digest):
    source = HEADER + "USED = [1]; USED.append(USED); USED.append({'again': USED})\ndef used(x): return USED"
    assert digest(source) == digest(source)


NOTICED = {
    "a default that can only be named": ("def f(*, k=1): return k", "f.__kwdefaults__ = {'k': 2}"),
    "a default": ("def f(k=1): return k", "f.__defaults__ = (2,)"),
    "code put in": ("def f(): return 1", "f.__code__ = (lambda: 2).__code__"),
    "a method added to a class": ("class Sub: pass\ndef f(): return Sub().m()", "Sub.m = lambda self: 1"),
    "a method taken from a class": ("class Sub:\n    def m(self): pass\ndef f(): return Sub().m()", "del Sub.m"),
    "other bases": ("class A: pass\nclass B: pass\nclass Sub(A): pass\ndef f(): return Sub()", "Sub.__bases__ = (B,)"),
    "a builtin that is shadowed": ("def f(x): return len(x)", "len = lambda x: 0"),
    "a constant of a class": ("class K:\n    LIMITS = (1, 2)\ndef f(): return K.LIMITS", "K.LIMITS = (3, 4)"),
    "a constant of another type": ("SCALE = 2\ndef f(): return SCALE", "SCALE = 2.0"),
    "a constant that is another list": ("SCALES = [2]\ndef f(): return SCALES", "SCALES = [3]"),
    "a hook that is set": ("hook = None\ndef f(x): return hook(x) if hook else x", "hook = lambda x: -x"),
    "a name that is gone": ("def helper(): pass\ndef f(): return helper()", "del helper"),
    "a name that has come": ("def f(): return helper()", "def helper(): pass"),
}


@pytest.mark.parametrize("name", NOTICED)
def test_a_change_is_noticed(monkeypatch, name):
    own_are(monkeypatch, "fingerprinted")
    source, change = NOTICED[name]
    module = types.ModuleType("fingerprinted")
    monkeypatch.setitem(sys.modules, "fingerprinted", module)
    exec(source, module.__dict__)
    code = Code(module.f)
    assert not code.changed()
    exec(change, module.__dict__)
    assert code.changed()
    assert Code(module.f).digest != code.digest


def test_an_object_that_stands_for_another_which_is_not_there(digest):
    """As proxies of web frameworks do outside a request."""
    source = "class Proxy:\n    __dict__ = property(lambda self: 1 / 0)\n    def __call__(self): pass\nused = Proxy()"
    assert digest(HEADER + source) == digest(HEADER + source)


def test_state_that_changes_is_no_change(monkeypatch):
    own_are(monkeypatch, "fingerprinted")
    module = types.ModuleType("fingerprinted")
    monkeypatch.setitem(sys.modules, "fingerprinted", module)
    exec("count = 0\nCACHE = {}\ndef f(): return count, CACHE", module.__dict__)
    code = Code(module.f)
    module.count = 7
    module.CACHE["a"] = 1
    assert not code.changed()


def test_long_patterns_and_texts_that_show_themselves_otherwise(digest):
    source = HEADER + "USED = re.compile('x' * 250 + 'A')\ndef used(x): return USED"
    assert digest(source) != digest(source.replace("'A'", "'B'"))
    source = HEADER + "class S(str):\n    __repr__ = lambda self: 'S'\nUSED = S('one')\ndef used(x): return USED"
    assert digest(source) != digest(source.replace("'one'", "'two'"))
