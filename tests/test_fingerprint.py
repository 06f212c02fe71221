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


@pytest.fixture
def digest(monkeypatch):
    """The digests of f and Model in a module with that source."""
    monkeypatch.setattr(_naming, "_is_own", lambda name, file: True)

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
