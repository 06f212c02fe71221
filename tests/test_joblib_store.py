"""What joblib.Memory has remembered is read without joblib."""

from __future__ import annotations

import os
import runpy
import shutil
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

from manyhands.errors import StoreCorrupt
from manyhands.memory._joblib_store import joblib_cache_entries


def add(a, b=2):
    return a + b


def scaled(array, factor=1.0):
    return array * factor


class Model:
    @staticmethod
    def fit(x):
        return {"fitted": x}


def outer():
    def inner(x):
        return [x]

    return inner


@pytest.fixture
def location(tmp_path):
    return tmp_path / "cache"


def filled(location, **options):
    joblib.memory._FUNCTION_HASHES.clear()  # of functions in there, a second folder would get no source
    memory = joblib.Memory(str(location), verbose=0, **options)
    cached = memory.cache(add)
    cached(1)
    cached(3, b=4)
    memory.cache(Model.fit)("text")
    memory.cache(outer())(5)
    memory.cache(scaled, ignore=["factor"])(np.arange(4.0), factor=2)


def by_name(location):
    found = {}
    for entry in joblib_cache_entries(location):
        found.setdefault(entry.function.name, []).append(entry)
    return found


@pytest.mark.parametrize("options", [{}, {"compress": 3}, {"mmap_mode": "r"}], ids=str)
@pytest.mark.parametrize("given", ["", "joblib"])
def test_all_entries(options, given, location):
    before = time.time()
    filled(location, **options)
    found = by_name(location / given)
    assert {name: len(entries) for name, entries in found.items()} == {"add": 2, "fit": 1, "inner": 1, "scaled": 1}
    first, second = sorted(found["add"], key=lambda entry: entry.arguments["a"])
    assert first.arguments == {"a": "1", "b": "2"}
    assert (first.load(), second.load()) == (3, 7)
    assert first.function == second.function
    assert first.function.module == __name__
    assert first.function.source == "def add(a, b=2):\n    return a + b\n"
    assert first.function.first_line == add.__code__.co_firstlineno
    assert first.function.script == ""
    assert 0 < first.duration < 60
    assert before - 1 <= first.time <= time.time()
    assert first.size == sum(file.stat().st_size for file in Path(first.folder).iterdir())
    [fitted] = found["fit"]
    assert (fitted.function.module, fitted.load()) == (f"{__name__}.Model", {"fitted": "text"})
    [inner] = found["inner"]
    assert (inner.function.module, inner.load()) == (f"{__name__}.outer.<locals>", [5])
    [array] = found["scaled"]
    assert array.arguments == {"array": "array([0., 1., 2., 3.])"}
    assert array.load().tolist() == [0, 2, 4, 6]


def test_results_are_mapped(location):
    filled(location)
    [entry] = by_name(location)["scaled"]
    array = entry.load("r")
    assert isinstance(array, np.memmap)
    assert array.tolist() == [0, 2, 4, 6]


def test_functions_of_a_program(location, tmp_path):
    program = tmp_path / "my-program.py"
    program.write_text(
        f"import joblib\n\nmemory = joblib.Memory({str(location)!r}, verbose=0)\n\n\n"
        "@memory.cache\ndef double(x):\n    return 2 * x\n\n\ndouble(4)\n"
    )
    runpy.run_path(str(program), run_name="__main__")
    [entry] = joblib_cache_entries(location)
    assert entry.function.name == "double"
    if "." not in str(program.with_suffix("")):  # joblib's folders do not tell it from that between modules
        assert entry.function.module == "__main__"
        assert entry.function.script == str(program).removesuffix(".py").replace(os.sep, "-")
    assert entry.function.first_line == 6
    assert entry.load() == 8


def test_entries_that_are_not_whole(location):
    filled(location)
    add_1, add_2 = by_name(location)["add"]
    Path(add_1.folder, "metadata.json").write_text('{"duration": 0.')
    Path(add_2.folder, "output.pkl").unlink()
    [inner] = by_name(location)["inner"]
    Path(inner.folder, "..", "func_code.py").unlink()
    Path(inner.folder, "metadata.json").unlink()
    found = by_name(location)
    [entry] = found["add"]
    assert (entry.folder, entry.arguments, entry.duration) == (add_1.folder, None, None)
    assert entry.load() == add_1.load()
    [entry] = found["inner"]
    assert (entry.function.source, entry.function.first_line) == ("", None)
    assert entry.time == os.stat(Path(entry.folder, "output.pkl")).st_mtime


def test_a_damaged_result(location):
    filled(location)
    [entry] = by_name(location)["fit"]
    output = Path(entry.folder, "output.pkl")
    output.write_bytes(output.read_bytes()[:-3])
    with pytest.raises(StoreCorrupt, match=r"output\.pkl is damaged"):
        entry.load()
    shutil.rmtree(entry.folder)
    with pytest.raises(FileNotFoundError):
        entry.load()


def test_folders_that_hold_none(location):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        list(joblib_cache_entries(location))
    location.mkdir()
    assert list(joblib_cache_entries(location)) == []
