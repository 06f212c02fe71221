"""What results are found again by: code of arguments, what things of packages are set up with, what is declared and what is ignored."""

from __future__ import annotations

import contextlib
import sys
import sysconfig
import types

import projects
import pytest

from manyhands import Memory
from manyhands.memory._function_key import FunctionKey

LONG = ", ".join(map(str, range(20050)))


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


ARGUMENTS = {
    "an attribute of its class": (
        "class M:\n    k = 2\n    def go(self): return self.k\ndef f(m): return m.go()\ndef args(): return (M(),)",
        "k = 2",
    ),
    "one of a base": ("class B:\n    k = 2\nclass M(B): pass\ndef f(m): return m.k\ndef args(): return (M(),)", "k = 2"),
    "what its method uses": ("k = 2\nclass M:\n    def go(self): return k\ndef f(m): return m.go()\ndef args(): return (M(),)", "k = 2"),
    "what a callback uses": ("k = 2\ndef cb(): return k\ndef f(cb): return cb()\ndef args(): return (cb,)", "k = 2"),
    "what a callback finds in a table": (
        "t = {'k': 2}\ndef cb(): return t['k']\ndef f(cb): return cb()\ndef args(): return (cb,)",
        "'k': 2",
    ),
    "a partial": ("k = 2\ndef cb(x): return k\ndef f(cb): return cb()\ndef args(): return (functools.partial(cb, 1),)", "k = 2"),
    "a helper in its closure": (
        "k = 2\ndef h(): return k\ndef args():\n    g = h\n    return (lambda: g(),)\ndef f(cb): return cb()",
        "k = 2",
    ),
    "a class": ("class C:\n    k = 2\ndef f(c): return c.k\ndef args(): return (C,)", "k = 2"),
    "a class in a class": ("class C:\n    class D:\n        k = 2\ndef f(c): return c.D.k\ndef args(): return (C,)", "k = 2"),
    "a ClassVar": (
        "@dataclasses.dataclass\nclass P:\n    a: int = 1\n    k: typing.ClassVar[int] = 2\ndef f(p): return p.k\n"
        "def args(): return (P(),)",
        "= 2",
    ),
    "a method of an enumeration": (
        "k = 2\nclass E(enum.Enum):\n    A = 1\n    def go(self): return k\ndef f(e): return e.go()\ndef args(): return (E.A,)",
        "k = 2",
    ),
    "an attribute of a member": (
        "class E(enum.Enum):\n    A = 1\n    def __init__(self, _): self.k = 2\ndef f(e): return e.k\ndef args(): return (E.A,)",
        "k = 2",
    ),
    "a descriptor": (
        "k = 2\nclass D:\n    def __get__(self, *_): return k\nclass C:\n    d = D()\ndef f(c): return c.d\ndef args(): return (C(),)",
        "k = 2",
    ),
    "an object in a list": ("class C:\n    k = 2\ndef f(cs): return cs[0].k\ndef args(): return ([C()],)", "k = 2"),
    "its metaclass": (
        "class T(type):\n    @property\n    def k(cls): return 2\nclass C(metaclass=T): pass\n"
        "def f(c): return c.k\ndef args(): return (C,)",
        "return 2",
    ),
    "a cached function": (
        "def args():\n    @memory.cache(version=2)\n    def g(): return VERSION\n    return (g,)\nVERSION = 2\ndef f(g): return g()",
        "2",
    ),
    "a long literal in a callback": (f"def cb(): return [{LONG}, -2][-1]\ndef f(cb): return cb()\ndef args(): return (cb,)", "-2]"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_code_of_arguments(called, name):
    source, before = ARGUMENTS[name]
    projects.check(called, source, before, before.replace("2", "3"))


def test_a_callback_of_another_module(project, called):
    source = "import ops\ndef f(cb): return cb()\ndef args(): return (ops.cb,)"
    answers = []
    for rate in (2, 3):
        project.file("oth.py", f"rate = {rate}\ndef g(): return rate\n")
        project.file("ops.py", "def cb():\n    from oth import g\n    return g()\n")
        answers.append(called(source).cached)
    assert answers == [2, 3]


@pytest.mark.parametrize("how", ["args = lambda: (ops,)", "def args():\n    ops_ = ops\n    return (lambda: ops_.g(),)"])
def test_modules_in_arguments(project, called, how):
    answers = []
    for rate in (2, 3):
        project.file("ops.py", f"rate = {rate}\ndef g(): return rate\n")
        answers.append(called(f"import ops\ndef f(x): return x.g() if hasattr(x, 'g') else x()\n{how}").cached)
    assert answers == [2, 3]


def test_what_the_class_of_an_argument_does_not_use(called):
    source = "other = 2\nclass C:\n    k = 1\ndef f(c): return c.k\ndef args(): return (C(),)"
    called(source)
    assert called(source.replace("other = 2", "other = 3")).was_found


def test_a_change_of_an_arguments_class_in_the_same_process(project, memory):
    app = project.module("rate = 2\nclass C:\n    k = 1\n    def go(self): return self.k * rate\ndef f(c): return c.go()")
    cached, obj = memory.cache(app.f), app.C()
    answers = [cached(obj)]
    app.rate = 3
    answers.append(cached(obj))
    app.C.k = 2
    answers.append(cached(obj))
    app.C.go = lambda self: -1
    answers.append(cached(obj))
    assert answers == [2, 3, 6, -1]


# ------------------------------------------------------------ what is of packages

PACKAGE = """
import functools
def scaled(options):
    def decorator(function):
        @functools.wraps(function)
        def inner(*args): return function(*args) * options["k"]
        return inner
    return decorator
def kept(function, cache):
    @functools.wraps(function)
    def inner(x):
        if x not in cache:
            cache[x] = function(x)
        return cache[x]
    return inner
class Column:
    def __init__(self, choices): self.choices = choices
    def __get__(self, *_): return self.choices
class Task:
    def __init__(self, function, options): self.__wrapped__, self.options, self.done = function, options, []
    def __call__(self, *args):
        self.done.append(args)
        return self.__wrapped__(*args) * self.options["k"]
class Settings:
    def __init__(self, **named):
        import threading
        self.__dict__.update(named)
        self.lock = threading.Lock()
"""
OF_PACKAGES = {
    "a decorator": "@wares.scaled({'k': 2})\ndef g(x): return x\ndef f(): return g(3)",
    "a decorator of the function itself": "@wares.scaled({'k': 2})\ndef f(x=3): return x",
    "an object that is called": "g = wares.Task(lambda x: x, {'k': 2})\ndef f(): return g(3)",
    "a descriptor": "class M:\n    column = wares.Column([2])\ndef f(): return M().column",
    "an object with a lock": "settings = wares.Settings(k=2)\ndef f(): return settings.k",
}


@pytest.fixture
def wares(project):
    folder = project.folder / "site-packages"
    folder.mkdir()
    (folder / "wares.py").write_text(PACKAGE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.mark.parametrize("name", OF_PACKAGES)
def test_what_things_of_packages_are_set_up_with(called, wares, name):
    projects.check(called, f"import wares\n{OF_PACKAGES[name]}", "2", "3")


@pytest.mark.parametrize("source", ["g = wares.kept(lambda x: x, {})", "g = wares.Task(lambda x: x, {'k': 2})"])
def test_what_things_of_packages_keep_for_themselves(called, wares, source):
    assert called(f"import wares\n{source}\ndef f(): return g(3)").function.check_call_in_cache()


# ------------------------------------------------------------ what is declared, what is ignored


def test_what_a_cached_function_declares_counts_for_who_calls_it(project, memory, tmp_path, monkeypatch):
    file = tmp_path / "rates"
    app = project.module("import os, pathlib\ndef read(): return pathlib.Path(os.environ['RATES']).read_text() + os.environ['SCALE']")
    monkeypatch.setenv("RATES", str(file))
    monkeypatch.setenv("SCALE", "a")
    app.inner = memory.cache(app.read, files=[file], env=["SCALE"])
    exec("def f(): return inner()\ndef g(): return table['inner']()", app.__dict__)
    app.table = {"inner": app.inner}
    outer, of_table, handed = memory.cache(app.f), memory.cache(app.g), memory.cache(lambda function: function())
    file.write_text("1")
    answers = [(outer(), of_table(), handed(app.inner))]
    file.write_text("22")
    answers.append((outer(), of_table(), handed(app.inner)))
    monkeypatch.setenv("SCALE", "b")
    answers.append((outer(), of_table(), handed(app.inner)))
    assert answers == [("1a",) * 3, ("22a",) * 3, ("22b",) * 3]
    assert outer.check_call_in_cache()


def test_a_file_that_a_cached_function_needs_may_be_made_by_who_calls_it(project, memory, tmp_path):
    app = project.module(
        "import pathlib\ndef read(): return pathlib.Path(name).read_text()\n"
        "def f():\n    pathlib.Path(name).write_text('1')\n    return inner()"
    )
    app.name = str(tmp_path / "made")
    app.inner = memory.cache(app.read, files=[app.name])
    assert memory.cache(app.f)() == "1"


def test_another_version_of_a_cached_function_that_is_called(project, memory):
    app = project.module("def g(): return eval('k')\ndef f(): return inner()")
    answers = []
    for app.k in (1, 2):
        app.inner = memory.cache(app.g, version=app.k)
        answers.append(memory.cache(app.f)())
    assert answers == [1, 2]


@pytest.mark.parametrize("options", [{}, {"ignore": ["self"]}])
def test_the_class_of_an_object_whose_method_is_cached(called, options):
    source = "k = 2\nclass M:\n    def helper(self): return k\ndef f(self): return self.helper()\ndef args(): return (M(),)"
    projects.check(called, source, "k = 2", "k = 3", **options)


def test_the_state_of_what_is_ignored_does_not_count(called):
    source = "class M:\n    def __init__(self, k): self.k = k\ndef f(m): return 1\ndef args(): return (M(2),)"
    called(source, ignore=["m"])
    assert called(source.replace("M(2)", "M(3)"), ignore=["m"]).was_found


def test_which_names_are_ignored(project, memory):
    app = project.module("def f(x, y=None, z=None): return x, y, z")
    assert memory.cache(app.f, ignore=["y"])(1, 2, None) == (1, 2, None)
    assert memory.cache(app.f, ignore=["z"])(1, None, 2) == (1, None, 2)
    assert memory.cache(app.f)(1) == (1, None, None)


def test_the_default_of_what_is_ignored(called):
    source = "def f(x=1, jobs=2): return x"
    called(source, ignore=["jobs"])
    assert called(source.replace("jobs=2", "jobs=4"), ignore=["jobs"]).was_found


# ------------------------------------------------------------ modules in C


def test_another_build_of_an_extension_module(project, monkeypatch):
    file = project.folder / f"fast{sysconfig.get_config_var('EXT_SUFFIX')}"
    file.write_bytes(b"1")
    fast = types.ModuleType("fast")
    fast.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "fast", fast)
    source = "import fast\ndef f(): return fast"
    before = FunctionKey(project.module(source).f).digest()
    assert FunctionKey(project.module(source).f).digest() == before
    file.write_bytes(b"22")
    assert FunctionKey(project.module(source).f).digest() != before


@pytest.mark.parametrize(
    ("options", "what"),
    [({}, "argument m changed; argument m: class M changed"), ({"ignore": ["m"]}, "the class of an argument that is ignored changed")],
)
def test_why_a_call_whose_class_has_changed_is_computed(called, options, what):
    source = "k = 2\nclass M:\n    def go(self): return k\ndef f(m): return m.go()\ndef args(): return (M(),)"
    called(source, **options)
    again = called.project.module(source.replace("k = 2", "k = 3"))
    assert called.memory.cache(again.f, **options).why(again.M()) == f"it would be computed: {what}"
