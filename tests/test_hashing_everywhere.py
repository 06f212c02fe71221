"""A digest is the same in each process, whatever its hash seed, and in each version of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

VALUES = """
import collections, datetime, decimal, enum, fractions, functools, operator, os, pathlib, re, sys, types, uuid, zoneinfo
import manyhands

class Own:
    def __init__(self, **attributes):
        vars(self).update(attributes)

names = [f"name {number}" for number in range(40)]
own = []
own.append(own)
VALUES = [
    ((1, "x", 2.5, None, True, 3j, 2**70, -1.5e300, "\\u00e9\\udc80"), {"key": b"value", "a": ...}),
    set(names), frozenset(names), {name: {name} for name in names}, {1: 2, "a": 3, None: 4, (1, "x"): 5}, {1.5, "a", b"b", None, (1,)},
    {datetime.date(2020, 1, day): day for day in range(1, 20)}, {decimal.Decimal(number): 1 for number in range(30)},
    collections.OrderedDict(a=1, b=2), collections.Counter(names), collections.defaultdict(list, {name: [name] for name in names}),
    collections.deque(names, 50), collections.ChainMap({"a": 1}), types.SimpleNamespace(b=1, a=2), types.MappingProxyType({1: 2}),
    pathlib.Path("a/b"), pathlib.PureWindowsPath("a/b"), re.compile("a+", re.I), range(5), slice(1, None), uuid.UUID(int=5),
    datetime.datetime(2020, 1, 1, 2, 3, 4, 5, datetime.UTC), datetime.time(1, fold=1), zoneinfo.ZoneInfo("Europe/Berlin"),
    datetime.timezone(datetime.timedelta(hours=1)), fractions.Fraction(1, 3), operator.itemgetter(1), functools.partial(print, 1, sep=""),
    len, str.upper, "a".upper, os.path.join, int, list[int], ValueError("x"), b"x" * 5000, bytearray(b"x"), memoryview(b"x"), own,
    b"x" * (1 << 21), io if (io := __import__("io")) is None else io.StringIO("a"), enum.Enum, sys, types.SimpleNamespace,
    re.I, int | str,
]
"""
LOOK = """
for value in VALUES:
    print(type(value).__name__, manyhands.hash(value), manyhands.hash(value, "sha256"))
print(manyhands.hash([Own(a=1, b=set(names)), Own]) if len(sys.argv) > 1 else "")
print(manyhands.hash(lambda x, y={"a", "b"}: x in {"c", "d", "e"}) if len(sys.argv) > 1 else "")
"""
PROGRAM = VALUES + LOOK


def printed(python, **extra):
    done = subprocess.run(
        [python, "-c", PROGRAM, *extra.pop("args", ())],
        capture_output=True,
        text=True,
        timeout=50,
        env=scripts.environment(**extra),
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_digest_does_not_depend_on_the_hash_seed():
    first = printed(sys.executable, PYTHONHASHSEED="0", args=["all"])
    assert first.count("\n") > 45
    for seed in range(1, 20):
        assert printed(sys.executable, PYTHONHASHSEED=str(seed), args=["all"]) == first


def pythons():
    """Other versions of Python on this machine that have what manyhands needs."""
    folders = [Path.home() / ".pyenv" / "versions", Path(os.environ.get("PYENV_ROOT", "/nowhere")) / "versions"]
    found = [str(path) for folder in folders for path in folder.glob("3.*/bin/python")]
    found += [path for minor in range(11, 16) if (path := shutil.which(f"python3.{minor}"))]
    # The suite runs on each supported Python at once, and each has an environment here, from some time on.
    found += [str(mark.parent / "bin" / "python") for mark in Path(__file__).parent.parent.glob(".venv*/installed")]
    found += os.environ.get("MANYHANDS_TEST_PYTHONS", "").split()
    others = {}
    for python in sorted(found):
        ask = "import sys, xxhash; print(*sys.version_info[:2])"
        told = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False).stdout.split()
        version = tuple(map(int, told))
        if (3, 11) <= version != sys.version_info[:2]:
            others[version] = python
    return list(others.values())


def test_a_digest_does_not_depend_on_the_version_of_python():
    others = pythons()
    if not others:
        pytest.skip("no other Python here has xxhash")
    expected = printed(sys.executable)
    for python in others:
        assert printed(python) == expected


def test_a_digest_is_what_it_was():
    """Who stores them must know when they change."""
    done = scripts.run("""
        import collections
        import manyhands
        value = {"a": [1, 2.5, None, ("x", b"y")], "b": {1, 2}, "c": collections.OrderedDict(d=[range(3)])}
        print(manyhands.hash(value), manyhands.hash(((1, "x", 2.5), {})))
    """)
    assert done.stdout.split() == ["55b2e9fe68e16e51e08700a1aa159bc7", "1a0b82da188efdd51cc27273dd1b7a5a"]
