"""``manyhands cache``, as a user runs it: in processes of its own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from manyhands import Memory
from manyhands.memory import _index
from manyhands.memory._entry import Meta

WORK = """
import manyhands

memory = manyhands.Memory("cache")
RATE = 2

def scale(x):
    return x * RATE

@memory.cache
def area(x, y=1):
    return scale(x) * y

@memory.cache(ignore=["log"])
def zeros(count, log=None):
    return bytes(count)

def plain(x):
    return [x]
"""

FILL = """
from work import area, zeros, plain, memory
area(1), area(2), area(3), area(3), area(3)
zeros(400_000)
memory.cache(plain)("text")
"""


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("MANYHANDS_")}


def python(folder, code, **more):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=50, check=True, env=environment() | more
    ).stdout


def run(folder, *args, **more):
    command = [sys.executable, "-m", "manyhands", "cache", *map(str, args)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=50, stdin=subprocess.DEVNULL, env=environment() | more
    )


def told(folder, *args):
    """What a command prints that has to go well."""
    done = run(folder, *args)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def listed(folder, *args):
    return json.loads(run(folder, "ls", *args, "--json").stdout)


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path):
    """One with ``work.py``, and ``cache`` with five results of three functions."""
    (tmp_path / "work.py").write_text(WORK)
    python(tmp_path, FILL)
    return tmp_path


# ---------------------------------------------------------------- ls, info


def test_functions_are_listed_the_largest_first(folder):
    found = listed(folder, "cache")
    assert [(one["function"], one["entries"], one["uses"]) for one in found] == [
        ("work.zeros", 1, 0),
        ("work.area", 3, 2),
        ("work.plain", 1, 0),
    ]
    assert found[0]["bytes"] > 400_000
    assert found[1]["saved"] == pytest.approx(found[1]["seconds"] * 2 / 3, rel=20)
    heads, *lines = told(folder, "ls", "cache").splitlines()
    assert heads.split() == ["results", "size", "computed", "in", "uses", "saved", "last", "used", "function"]
    assert [line.split()[0] for line in lines] == ["1", "3", "1"]
    assert [line.split()[-1] for line in lines] == ["work.zeros", "work.area", "work.plain"]
    assert lines[0].split()[1:3] == ["391", "KiB"]


@pytest.mark.parametrize(("sort", "first"), [("size", "work.zeros"), ("uses", "work.area"), ("cost", "work.plain"), ("age", "work.area")])
def test_what_is_sorted_by(tmp_path, sort, first):
    store = Memory(tmp_path / "cache").store
    store.put(b"1" * 16, 1, Meta("work.area", seconds=1.0))
    store.put(b"2" * 16, bytes(10_000), Meta("work.zeros", seconds=2.0))
    store.put(b"3" * 16, 3, Meta("work.plain", seconds=3.0))
    if sort == "uses":
        store.get(b"1" * 16)
    store.close()
    assert listed(tmp_path, "cache", "--sort", sort)[0]["function"] == first
    assert listed(tmp_path, "cache", "-l", "--sort", sort, "--limit", 1)[0]["function"] == first


def test_single_results_with_their_arguments(folder):
    text = told(folder, "ls", "cache", "-l", "--function", "area")
    assert {line.split("  ")[-1] for line in text.splitlines()[1:]} == {f"work.area(x={x}, y=1)" for x in (1, 2, 3)}
    [used] = [one for one in listed(folder, "cache", "--long") if one["uses"]]
    assert (used["function"], used["arguments"], used["uses"]) == ("work.area", {"x": "3", "y": "1"}, 2)
    done = run(folder, "ls", "cache", "-l", "--limit", 2)
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == "and 3 results more; --limit N shows more\n"


def test_info(folder):
    facts = json.loads(told(folder, "info", "cache", "--json"))
    assert (facts["entries"], facts["functions"], facts["uses"], facts["damaged"]) == (5, 3, 2, 0)
    assert facts["folder"] == str(folder / "cache" / "manyhands")
    assert facts["versions"] == {"Python": [".".join(map(str, sys.version_info[:2]))]}
    assert 400_000 < facts["bytes"] < 410_000
    text = told(folder, "info", folder / "cache" / "manyhands")
    for line in ("results      5 of 3 functions", "uses         2, which saved ", "damaged      nothing", "10% of the disk"):
        assert line in text


def test_a_hundred_thousand_results_are_listed_at_once(tmp_path):
    memory = Memory(tmp_path / "cache")
    memory.store.put(b"key", 1, Meta("a.first"))
    index, number = _index.Index(), _index.name_number("b.many")
    index.names[number] = "b.many"
    for key in range(100_000):
        index.entries[key.to_bytes(16)] = (100, 0, 0.5, number, 1.0, 2.0, 3)
    memory.store._ledger.replace(index)  # as if they were there
    memory.close()
    before = time.perf_counter()
    [summary] = memory.store.functions()
    assert time.perf_counter() - before < 5
    assert (summary.entries, summary.uses, summary.saved) == (100_000, 300_000, 150_000.0)


# ---------------------------------------------------------------- which folder


@pytest.mark.parametrize("command", ["ls", "info", "verify", "clear"])
def test_a_location_where_nothing_is_stored(tmp_path, command):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "of_joblib" / "joblib").mkdir(parents=True)
    for name, said in {
        "nowhere": "there is no folder 'nowhere'",
        "file": "'file' is no folder",
        "empty": "nothing is stored in 'empty'",
        "of_joblib": "`manyhands cache import-joblib of_joblib of_joblib`",
    }.items():
        done = run(tmp_path, command, name)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stdout == ""
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "of_joblib"]
    assert os.listdir(tmp_path / "empty") == []


def test_a_folder_that_others_may_write_to(folder):
    (folder / "cache" / "manyhands").chmod(0o777)
    done = run(folder, "ls", "cache")
    assert done.returncode == 2
    assert "other users may write to it" in done.stderr


def test_which_function_is_meant(folder):
    (folder / "work2.py").write_text(WORK.replace("RATE = 2", "RATE = 3"))
    python(folder, FILL.replace("work", "work2"))
    assert [one["function"] for one in listed(folder, "cache", "--function", "work.area")] == ["work.area"]
    for name, said in {
        "area": "'area' may be work.area, work2.area",
        "aera": "is it work.area or work2.area?",
        "nothing": "no results of 'nothing'",
    }.items():
        done = run(folder, "ls", "cache", "--function", name)
        assert done.returncode == 2
        assert said in done.stderr


def test_looking_changes_nothing(folder):
    before = files(folder / "cache")
    for command in (["ls", "cache", "-l"], ["info", "cache"], ["verify", "cache"], ["prune", "cache", "--items", "1", "--dry-run"]):
        told(folder, *command)
    assert files(folder / "cache") == before


# ---------------------------------------------------------------- why


def test_why(folder):
    assert told(folder, "why", "cache", "work.py:area", 3) == "it is stored\n"
    assert told(folder, "why", "cache", "work:area", "x=3", "y=1") == "it is stored\n"
    assert told(folder, "why", "cache", "work:zeros", 400_000, "log=-1") == "it is stored\n"  # its options count
    assert told(folder, "why", "cache", "work:plain", "'text'") == "it is stored\n"  # it is not decorated
    done = run(folder, "why", "cache", "work.py:area", -3)
    assert (done.returncode, done.stdout) == (1, "it would be computed: argument x changed\n")
    (folder / "work.py").write_text(WORK.replace("x * RATE", "x * RATE + 1"))
    done = run(folder, "why", "cache", "work.py:area", 3)
    assert (done.returncode, done.stdout) == (1, "it would be computed: helper scale() in work.py changed\n")


def test_why_looks_at_the_location_that_is_given(folder):
    os.rename(folder / "cache", folder / "elsewhere")
    assert told(folder, "why", "elsewhere", "work.py:area", 3) == "it is stored\n"
    assert not (folder / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["work:area", "text"], "\"'text'\""),
        (["work:area", "x=1", "2"], "after one that has a name"),
        (["work:area", "1", "2", "3"], "it cannot be called like that"),
        (["work:nothing"], "has no 'nothing'"),
        (["area"], "names no function"),
    ],
)
def test_why_of_what_cannot_be_called(folder, arguments, said):
    done = run(folder, "why", "cache", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


# ---------------------------------------------------------------- prune, clear


def test_prune(folder):
    assert run(folder, "prune", "cache").returncode == 2
    would = told(folder, "prune", "cache", "--size", "100K", "--dry-run")
    assert would == "1 result would be removed, 391 KiB; 4 left\n"
    assert told(folder, "prune", "cache", "--size", "100K") == "1 result removed, 391 KiB; 4 left\n"
    assert {one["function"] for one in listed(folder, "cache")} == {"work.area", "work.plain"}
    assert told(folder, "prune", "cache", "--items", 1, "--function", "area").startswith("2 results removed")
    assert {one["function"]: one["entries"] for one in listed(folder, "cache")} == {"work.area": 1, "work.plain": 1}
    assert told(folder, "prune", "cache", "--older", "1h").startswith("0 results removed")
    assert told(folder, "prune", "cache", "--older", "0s").endswith("0 left\n")


@pytest.mark.parametrize(
    ("option", "value"), [("--size", "10X"), ("--size", ""), ("--older", "30"), ("--older", "-1d"), ("--items", "-1"), ("--older", "soon")]
)
def test_limits_that_are_none(folder, option, value):
    done = run(folder, "prune", "cache", option, value)
    assert done.returncode == 2
    assert value in done.stderr
    assert "datetime" not in done.stderr
    assert len(listed(folder, "cache")) == 3


def test_clear_needs_a_yes_where_nobody_can_be_asked(folder):
    done = run(folder, "clear", "cache")
    assert done.returncode == 2
    assert "5 results of 3 functions would be removed" in done.stderr
    assert "--yes" in done.stderr
    assert told(folder, "clear", "cache", "--function", "area", "--yes") == "3 results of work.area removed\n"
    assert {one["function"] for one in listed(folder, "cache")} == {"work.zeros", "work.plain"}
    assert told(folder, "clear", "cache", "-y") == "2 results of 2 functions removed\n"
    assert listed(folder, "cache") == []


@pytest.mark.parametrize(("answer", "status", "left"), [("y", 0, 0), ("n", 1, 3)])
def test_clear_asks_at_a_terminal(folder, answer, status, left):
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        command = [sys.executable, "-m", "manyhands", "cache", "clear", "cache"]
        done = subprocess.run(command, cwd=folder, stdin=theirs, capture_output=True, text=True, timeout=50, env=environment(), check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == status
    assert f"Remove 5 results of 3 functions from {folder}/cache?" in done.stderr + done.stdout
    assert len(listed(folder, "cache")) == left


# ---------------------------------------------------------------- verify, keys


def test_verify(folder):
    assert told(folder, "verify", "cache") == "5 results checked; nothing is damaged\n"
    [path] = [path for path in files(folder / "cache" / "manyhands" / "entries") if b"text" in path.read_bytes()]
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(data[:20] + b"?" + data[21:])
    done = run(folder, "verify", "cache")
    assert (done.returncode, done.stderr) == (1, "")
    assert "work.plain: its checksum is wrong\n" in done.stdout
    assert f"1 of 5 results cannot be used; damaged ones are in {folder}/cache/manyhands/damaged" in done.stdout
    assert told(folder, "verify", "cache") == "4 results checked; nothing is damaged\n"
    assert "damaged      1 file set aside\n" in told(folder, "info", "cache")


@pytest.fixture
def signed(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(32)))
    (tmp_path / "other").write_bytes(bytes(32))
    (tmp_path / "work.py").write_text(WORK.replace('"cache"', '"cache", key="secret"'))
    python(tmp_path, FILL)
    return tmp_path


def test_signed_results(signed):
    assert told(signed, "verify", "cache", "--key-file", "secret") == "5 results checked; nothing is damaged\n"
    assert told(signed, "why", "cache", "work:area", 3, "--key-file", "secret") == "it is stored\n"
    assert listed(signed, "cache", "-l", "--function", "plain", "--key-file", "secret")[0]["arguments"] == {"x": "'text'"}
    done = run(signed, "verify", "cache", "--key-file", "other")
    assert done.returncode == 1
    assert done.stdout.count("it is signed with another key") == 5


def test_signed_results_are_not_taken_for_damaged_without_the_key(signed):
    """A large buffer is named by a digest that is made with the key."""
    done = run(signed, "verify", "cache")
    assert done.returncode == 2
    assert "--key-file" in done.stderr
    assert told(signed, "verify", "cache", "--key-file", "secret") == "5 results checked; nothing is damaged\n"


def test_a_key_file_that_is_none(folder):
    (folder / "short").write_bytes(b"x")
    assert "No such file" in run(folder, "ls", "cache", "--key-file", "nowhere").stderr
    done = run(folder, "ls", "cache", "--key-file", "short")
    assert done.returncode == 2
    assert "at least 16 bytes" in done.stderr


# ---------------------------------------------------------------- import-joblib

SHOP = """
import os
if os.environ.get("OURS"):
    from manyhands import Memory
    memory = Memory("cache")
else:
    from joblib import Memory
    memory = Memory("old", verbose=0)

def logged(function):
    import functools
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper

class Own:
    pass

RATE = 2

def helper(x):
    return x * RATE

@memory.cache
def price(x, *rest, y=1, **more):
    print("computing price")
    return [x, rest, y, more]

@memory.cache(ignore=["log"])
def scaled(array, log=None):
    print("computing scaled")
    return helper(array)

class Shop:
    @staticmethod
    @memory.cache
    def total(items):
        print("computing total")
        return sum(items)

@memory.cache
@logged
def decorated(x):
    print("computing decorated")
    return x

@memory.cache
def nameless(x):
    print("computing nameless")
    return 5
"""

TRAIN = """
import numpy as np
from shop import *

@memory.cache
def fit(n):
    print("computing fit")
    return np.arange(n)

if __name__ == "__main__":
    price(1), price("a", 2, y={"k": {1, 2}}, z=None), Shop.total([1, 2])
    scaled(np.arange(6.0).reshape(2, 3), log=print)
    fit(100_000), decorated(3), nameless(Own())
"""


@pytest.fixture
def old(tmp_path):
    """A folder with ``train.py`` and ``shop.py``, and what joblib has remembered of them in ``old``."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "train.py").write_text(TRAIN)
    assert len(train(tmp_path, OURS="")) == 7
    assert train(tmp_path, OURS="") == []
    return tmp_path


def train(folder, **more):
    """The functions that a run of the program computes."""
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        env=environment() | {"OURS": "1"} | more,
        check=False,
    )
    assert done.stderr == ""
    return [line.removeprefix("computing ") for line in done.stdout.splitlines()]


def imported(folder, *modules, **more):
    """With joblib out of reach."""
    code = "import sys; sys.modules['joblib'] = None; from manyhands.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "cache", "import-joblib", "old", "cache", *modules]
    variables = environment() | {"OURS": "1"} | more
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, env=variables, check=False)


def test_results_of_joblib_are_found_by_the_calls_that_made_them(old):
    before = files(old / "old")
    done = imported(old, "train.py", "shop")
    assert (done.returncode, done.stderr) == (0, "")
    assert "shop.price: 2 of 2 results\n" in done.stdout
    assert "shop.decorated: 0 of 1 result (it is decorated" in done.stdout
    assert "train.fit: 1 of 1 result\n" in done.stdout
    assert done.stdout.endswith("6 of 7 results imported\n")
    assert files(old / "old") == before
    assert train(old) == ["decorated", "nameless"]  # Own() is known to joblib by the name of its class alone
    assert run(old, "verify", "cache").returncode == 0
    found = {one["function"]: one for one in listed(old, "cache", "-l", "--sort", "uses")}
    assert found["shop.scaled"]["arguments"] == {"array": "ndarray(shape=(2, 3), dtype=float64)"}
    assert run(old, "why", "cache", "shop:price", 2, OURS="1").stdout == "it would be computed: argument x changed\n"


def test_without_modules_those_that_joblib_names_are_looked_at(old):
    done = imported(old)
    assert "fit: 0 of 1 result (it is of a script, whose file was not named)\n" in done.stdout
    assert "shop.Shop.total: 1 of 1 result\n" in done.stdout
    assert sorted(train(old)) == ["decorated", "fit", "nameless"]


def test_the_values_are_joblibs(old):
    imported(old, "train.py")
    imported(old, "shop")
    calls = "price('a', 2, y={'k': {2, 1}}, z=None), scaled(np.arange(6.0).reshape(2, 3)).tolist(), fit(100_000).sum()"
    expected = "['a', (2,), {'k': {1, 2}}, {'z': None}] [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]] 4999950000\n"
    assert python(old, f"from train import *; print({calls})", OURS="1") == expected


def test_a_function_that_has_changed_is_not_imported(old):
    (old / "shop.py").write_text(SHOP.replace("return sum(items)", "return -sum(items)"))
    done = imported(old)
    assert "shop.Shop.total: 0 of 1 result (its code is other than it was)\n" in done.stdout
    assert "total" in train(old)


def test_what_changes_after_the_import_counts(old):
    imported(old)
    (old / "shop.py").write_text(SHOP.replace("RATE = 2", "RATE = 30"))
    computed = train(old)
    assert "scaled" in computed
    assert "price" not in computed


def test_a_damaged_result_of_joblibs(old):
    [output] = (old / "old" / "joblib" / "shop" / "Shop" / "total").rglob("output.pkl")
    output.write_bytes(b"\x80garbage")
    done = imported(old)
    assert "shop.Shop.total: 0 of 1 result (a result cannot be loaded: " in done.stdout
    assert done.returncode == 0


def test_importing_from_nowhere(tmp_path):
    done = imported(tmp_path)
    assert done.returncode == 2
    assert "there is no folder old" in done.stderr
    (tmp_path / "old").mkdir()
    done = imported(tmp_path, "no_such_module")
    assert done.returncode == 2
    assert "there is no module 'no_such_module'" in done.stderr
    assert imported(tmp_path).returncode == 1
    assert os.listdir(tmp_path) == ["old"]


def test_a_module_that_needs_joblib_says_so(old):
    done = imported(old, OURS="")
    assert done.returncode == 1
    assert "warning: importing 'shop' failed" in done.stderr


# ---------------------------------------------------------------- help


def test_every_command_has_help_with_an_example(tmp_path):
    for name in ("clear", "import-joblib", "info", "ls", "prune", "verify", "why"):
        text = run(tmp_path, name, "--help").stdout
        assert f"    manyhands cache {name} " in text
    done = run(tmp_path, "list")
    assert done.returncode == 2
    assert "there is no command 'list'; commands are clear, import-joblib, info, ls, prune, verify, why" in done.stderr
