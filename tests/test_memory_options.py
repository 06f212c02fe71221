"""What may be said to ``Memory``, and what is refused at once."""

from __future__ import annotations

import datetime
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

import manyhands
from manyhands import Memory
from manyhands.compat.joblib import Memory as JoblibMemory
from manyhands.compat.joblib.memory import CacheWarning
from manyhands.errors import StoreRefused


def size_of(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())


# ------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("compress", "nonsense"),
        ("compress", 100),
        ("compress", -1),
        ("compress", 2.5),
        ("compress", ("zlib", 99)),
        ("compress", ("zlib", True)),
        ("compress", ("zlib", 1, 2)),
        ("mmap_mode", "zz"),
        ("size_limit", "200%"),
        ("size_limit", "-1"),
        ("size_limit", -1),
        ("size_limit", 2.5),
        ("key", 5),
        ("key", b"short"),
    ],
)
def test_what_memory_does_not_take_is_refused_by_name(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        Memory(tmp_path, **{name: value})


@pytest.mark.parametrize("value", ["zz", True, 5])
def test_what_cache_does_not_take_is_refused_by_name(tmp_path, value):
    with pytest.raises(ValueError, match=r"^mmap_mode="):
        Memory(tmp_path).cache(lambda x: x, mmap_mode=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("items_limit", -1), ("items_limit", 2.5), ("items_limit", "3"), ("age_limit", 3), ("age_limit", "3x"), ("bytes_limit", "101%")],
)
@pytest.mark.parametrize("location", [None, "cache"])
def test_what_reduce_size_does_not_take_is_refused_by_name(tmp_path, name, value, location):
    memory = Memory(location and tmp_path / location)
    with pytest.raises(ValueError, match=rf"^{name}="):
        memory.reduce_size(**{name: value})


def test_what_reduce_size_takes(tmp_path):
    memory = Memory(tmp_path)
    memory.cache(abs)(1)
    memory.reduce_size(items_limit=np.int64(1), age_limit=datetime.timedelta(days=1), bytes_limit="100%")
    assert memory.cache(abs).check_call_in_cache(1)
    memory.reduce_size(items_limit=0)
    assert not memory.cache(abs).check_call_in_cache(1)
    memory.close()


def test_joblib_s_memory_warns_of_a_compression_that_is_not_known(tmp_path):
    with pytest.warns(CacheWarning, match="compress='nonsense' is not allowed"):
        memory = JoblibMemory(tmp_path, compress="nonsense", verbose=0)
    assert memory.cache(abs)(-1) == memory.cache(abs)(-1) == 1
    memory.close()


# ------------------------------------------------------------ what counts


@pytest.mark.parametrize("of_array", [False, True])
def test_levels_count(tmp_path, of_array):
    numbers = np.random.default_rng(0).integers(0, 8, 300_000)
    sizes = []
    for level in (1, 9):
        memory = Memory(tmp_path / str(level), compress=("zlib", level))
        made = memory.cache(lambda: numbers if of_array else numbers.tolist())
        made()
        assert np.array_equal(made(), numbers)
        memory.close()
        sizes.append(size_of(tmp_path / str(level)))
    assert sizes[1] < sizes[0] * 0.95


def test_a_location_is_the_folder_that_it_is_at_first(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    memory = Memory("cache")
    monkeypatch.chdir(tmp_path / "elsewhere")
    memory.cache(abs)(-1)
    assert memory.location == str(tmp_path / "cache")
    assert (tmp_path / "cache").is_dir()
    assert not (tmp_path / "elsewhere" / "cache").exists()
    memory.close()


# ------------------------------------------------------------ the key

KEY = b"a secret of more than sixteen bytes"


def test_no_result_and_no_file_has_the_key(tmp_path):
    memory = Memory(tmp_path / "cache", key=KEY)
    own = memory.cache(lambda x: x)
    shelved = memory.cache(lambda: [memory, own, own.call_and_shelve(3), lambda: memory])
    loaded = shelved()[0], shelved()[0]
    assert all(KEY not in path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert KEY not in pickle.dumps([memory, memory.cache(abs), own.call_and_shelve(3)])
    manyhands.dump([memory, lambda: memory], tmp_path / "dumped")
    assert KEY not in (tmp_path / "dumped").read_bytes()
    assert KEY.decode() not in repr(memory)
    assert loaded[1].cache(abs)(-1) == 1  # this process has it
    memory.close()


def test_a_pickle_that_has_gone_elsewhere_is_refused_without_the_key(tmp_path):
    memory = Memory(tmp_path / "cache", key=KEY)
    result = memory.cache(abs).call_and_shelve(-1)
    (tmp_path / "memory").write_bytes(pickle.dumps(memory))
    (tmp_path / "result").write_bytes(pickle.dumps(result))
    program = (
        "import pickle, sys\nfrom manyhands.errors import StoreRefused\n"
        "for use in (lambda: pickle.load(open('memory', 'rb')).cache(abs)(-1), lambda: pickle.load(open('result', 'rb')).get()):\n"
        "    try:\n        print(use())\n    except StoreRefused as error:\n        print('only tasks of manyhands' in str(error))\n"
        "from manyhands import Memory\nMemory('cache', key=sys.argv[1].encode())\n"
        "memory = Memory('cache', key=sys.argv[1].encode())\nmemory.cache(abs)\nprint(pickle.load(open('memory', 'rb')).cache(abs)(-1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, KEY], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["True", "True", "1"]
    memory.close()


@pytest.mark.parametrize("as_file", [False, True])
def test_tasks_have_the_key(tmp_path, monkeypatch, as_file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_bytes(KEY)
    memory = Memory(tmp_path / "cache", key="key" if as_file else KEY)
    double = memory.cache(lambda x: x * 2)
    assert manyhands.map(double, range(4), workers=2) == [0, 2, 4, 6]
    monkeypatch.chdir("/")
    assert all(map(double.check_call_in_cache, range(4)))
    results = manyhands.map(double.call_and_shelve, range(4), workers=2)
    assert [result.get() for result in results] == [0, 2, 4, 6]
    memory.close()


def test_the_path_of_a_key_travels(tmp_path):
    (tmp_path / "key").write_bytes(KEY)
    memory = Memory(tmp_path / "cache", key=tmp_path / "key")
    copy = pickle.loads(pickle.dumps(memory))
    assert copy.cache(abs)(-1) == 1
    assert memory.cache(abs).check_call_in_cache(-1)
    with pytest.raises(StoreRefused, match="it is signed with another key"):
        Memory(tmp_path / "cache", key=b"x" * 16).cache(abs)(-1)
    memory.close()


def test_no_pickle_has_what_opens_a_remote_store(tmp_path):
    pytest.importorskip("fsspec")
    memory = Memory(f"file://{tmp_path}/far", key=KEY, local=tmp_path / "near", storage_options={"word": "of nobody else"})
    shelved = memory.cache(abs).call_and_shelve(-1)
    pickled = pickle.dumps([memory, memory.cache(abs), shelved])
    assert KEY not in pickled
    assert b"of nobody else" not in pickled
    copy, function, result = pickle.loads(pickled)
    assert (copy.cache(abs).check_call_in_cache(-1), function(-1), result.get()) == (True, 1, 1)
    double = memory.cache(lambda x: x * 2)
    assert manyhands.map(double, range(3), workers=2) == [0, 2, 4]
    assert all(map(double.check_call_in_cache, range(3)))
    memory.close()


# ------------------------------------------------------------ who may write


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("size", [3, 20_000, 100_000])
def test_arrays_are_read_only_where_that_is_asked_for(tmp_path, size, compress):
    def made(size):
        strided = np.zeros(2 * size)[::2]
        return {
            "plain": np.zeros(size),
            "strided": strided,
            "objects": np.array([[size]], object),
            "masked": np.ma.zeros(size),
            "text": "x",
        }

    by_value = [*made(size).values(), lambda: 1]
    for mode, writable in (("r", False), (None, True)):
        memory = Memory(tmp_path / str(mode), mmap_mode=mode, compress=compress)
        plain = memory.cache(made)
        for result in (plain(size), plain(size)):
            assert {name: result[name].flags.writeable for name in result if name != "text"} == dict.fromkeys(
                ("plain", "strided", "objects", "masked"), writable
            )
            assert (result["objects"].tolist(), result["text"]) == ([[size]], "x")
        other = memory.cache(lambda: by_value)
        other()
        assert [array.flags.writeable for array in other()[:4]] == [writable] * 4
        memory.close()


# ------------------------------------------------------------ what it takes


def test_a_store_that_is_closed_is_within_its_limit(tmp_path):
    memory = Memory(tmp_path, size_limit=500_000)
    made = memory.cache(lambda number: os.urandom(20_000))
    for numbers in (range(22), range(22, 27)):  # it is looked at after the first, and each seventh: a quarter of the limit
        for number in numbers:
            made(number)
        memory.close()
    assert size_of(tmp_path / "manyhands" / "entries") <= 500_000


def test_objects_with_the_same_options_share_what_is_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    memories = [Memory(tmp_path) for _ in range(20)]
    for number, memory in enumerate(memories):
        memory.cache(abs)(number)
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    memories[0].close()
    assert memories[1].cache(abs)(-100) == 100
    assert memories[2].cache(abs).check_call_in_cache(-100)
    memories[1].close()
