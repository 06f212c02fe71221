"""``Memory`` under joblib's name, with its parameters, its warnings, and stores of others."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import warnings
from pathlib import Path

import joblib
import joblib.compressor
import joblib.memory
import pytest
import scripts
import tasks

from manyhands._files import _compressors
from manyhands.compat import joblib as ours
from manyhands.compat.joblib.memory import AsyncMemorizedFunc, MemorizedFunc, NotMemorizedFunc

NAMES = (
    *("Memory", "MemorizedResult", "PrintTime", "Logger", "Parallel", "ParallelBackendBase", "StoreBackendBase", "cpu_count", "delayed"),
    *("dump", "effective_n_jobs", "expires_after", "hash", "load", "parallel_backend", "parallel_config", "register_compressor"),
    *("register_parallel_backend", "register_store_backend", "wrap_non_picklable_objects"),
)


def test_every_name_of_joblib_is_there():
    assert [name for name in NAMES if not hasattr(ours, name)] == []


@pytest.fixture
def memory(tmp_path):
    memory = ours.Memory(tmp_path, verbose=0)
    yield memory
    memory.close()


def test_a_cached_function(memory):
    calls = []
    f = memory.cache(lambda x, calls: calls.append(x) or x, ignore=["calls"])
    assert [f(1, calls), f(1, calls), f(2, calls)] == [1, 1, 2]
    assert calls == [1, 2]
    value, metadata = f.call(3, calls)
    assert value == 3
    assert metadata["input_args"] == {"x": "3"}


def test_what_it_prints(tmp_path, capsys):
    memory = ours.Memory(tmp_path)
    memory.cache(tasks.square)(5)
    assert "[Memory] Calling" in capsys.readouterr().out
    memory.close()


def test_a_result_that_cannot_be_stored_is_a_warning(memory):
    with pytest.warns(Warning, match="cannot be stored"):
        assert list(memory.cache(lambda n: (i for i in range(n)))(2)) == [0, 1]


def test_parameters_that_joblib_warns_of(tmp_path):
    with pytest.warns(UserWarning, match="memmapped"):
        ours.Memory(tmp_path, compress=True, mmap_mode="r")
    with pytest.warns(UserWarning, match="location"):
        assert ours.Memory(object()).location is None
    with pytest.raises(TypeError, match="nothing-known"):
        ours.Memory(tmp_path, backend="nothing-known")
    for name, backend in ((None, None), ("name", None), ("name", dict)):
        with pytest.raises(ValueError, match="Store backend"):
            ours.register_store_backend(name, backend)


@pytest.mark.parametrize("compress", [True, 3, ("gzip", 3), "lz4"])
def test_compressed(tmp_path, compress):
    memory = ours.Memory(tmp_path, verbose=0, compress=compress)
    f = memory.cache(lambda n: "word " * n)
    assert f(100_000) == f(100_000) == "word " * 100_000
    assert sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(tmp_path) for name in names) < 50_000
    memory.close()


class Files:
    """What a store of others may be like."""

    def __init__(self):
        self.location = None

    _open_item = staticmethod(open)
    _item_exists = staticmethod(os.path.exists)
    _move_item = staticmethod(os.replace)

    def create_location(self, location):
        os.makedirs(location, exist_ok=True)

    def clear_location(self, location):
        import shutil

        shutil.rmtree(location, ignore_errors=True)

    def get_items(self):
        return []

    def configure(self, location, verbose=0, backend_options=None):
        self.location = location
        self.mmap_mode = None
        self.compress = False
        os.makedirs(location, exist_ok=True)


def kinds_of_stores():
    from joblib._store_backends import StoreBackendBase as TheirBase
    from joblib._store_backends import StoreBackendMixin as TheirMixin

    from manyhands.compat.joblib._store_backends import StoreBackendMixin

    return {
        "ours": type("OurStore", (Files, ours.StoreBackendBase, StoreBackendMixin), {}),
        "theirs": type("TheirStore", (Files, TheirBase, TheirMixin), {"_concurrency_safe_write": TheirMixin._concurrency_safe_write}),
    }


@pytest.mark.parametrize(("register", "kind"), [(ours, "ours"), (ours, "theirs"), (joblib, "theirs")])
def test_stores_of_others(tmp_path, register, kind):
    name = f"files of {kind} by {register.__name__}"
    register.register_store_backend(name, kinds_of_stores()[kind])
    memory = ours.Memory(tmp_path, backend=name, verbose=0)
    calls = []
    f = memory.cache(lambda x, calls: calls.append(x) or [x], ignore=["calls"])
    assert [f(1, calls), f(1, calls)] == [[1], [1]]
    assert calls == [1]
    shelved = f.call_and_shelve(2, calls)
    assert shelved.get() == [2]
    assert shelved.metadata["duration"] >= 0
    assert any(name == "output.pkl" for _, _, names in os.walk(tmp_path) for name in names)
    memory.clear()
    assert not f.check_call_in_cache(1, calls)


@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_a_store_that_has_been_set_up(tmp_path, kind):
    store = kinds_of_stores()[kind]()
    store.configure(str(tmp_path / "here"))
    memory = ours.Memory(store, verbose=0)
    assert memory.store_backend is store
    square, other = memory.cache(tasks.square), memory.cache(tasks.identity)
    assert (square(3), other(3)) == (9, 3)
    assert store.contains_item([square.func_id, square._get_args_id(3)])
    assert os.listdir(tmp_path) == ["here"]
    square.clear()
    assert not square.check_call_in_cache(3)
    assert other.check_call_in_cache(3)
    assert other.why(3) == "it is stored"
    assert "does not tell" in other.why(4)


# ------------------------------------------------------------ what can be read off it


def test_the_store_with_joblibs_methods(memory):
    f = memory.cache(lambda x: "a" * 1000 + str(x))
    for i in range(10):
        f(i)
    store = memory.store_backend
    items = store.get_items()
    assert len(items) == 10
    assert all(os.path.getsize(item.path) == item.size > 1000 for item in items)
    assert sorted(items)[0].last_access.timestamp() > 0
    call = [f.func_id, f._get_args_id(3)]
    assert store.contains_item(call)
    assert store.load_item(call) == f(3)
    assert store.get_metadata(call)["input_args"] == {"x": "3"}
    assert os.path.exists(store.get_item_info(call)["location"])
    store.clear_item(call)
    assert not store.contains_item(call)
    assert store.get_metadata(call) == {}
    with pytest.raises(KeyError, match=f.func_id):
        store.load_item(call)
    store.enforce_store_limits("3K")
    assert 0 < len(store.get_items()) < 3
    store.clear_path([f.func_id])
    assert store.get_items() == []
    assert os.path.dirname(store.location) == memory.location
    assert store.location in repr(store)
    f(1)
    store.clear()
    assert store.get_items() == []


def test_what_a_cached_function_and_a_result_say(tmp_path):
    memory = ours.Memory(tmp_path, mmap_mode="r", verbose=3)
    f = memory.cache(tasks.square, ignore=["x"], verbose=0, cache_validation_callback=bool)
    assert (f.ignore, f.mmap_mode, f.compress, f.cache_validation_callback) == (["x"], "r", False, bool)
    assert f.store_backend.mmap_mode == "r"
    result = f.call_and_shelve(3)
    place = f.store_backend.location
    assert repr(memory) == f"Memory(location={place})"
    assert repr(f) == f"MemorizedFunc(func={tasks.square}, location={place})"
    assert repr(result) == f'MemorizedResult(location="{place}", func="{f.func_id}", args_id="{result.args_id}")'
    assert repr(ours.Memory(None)) == "Memory(location=None)"
    memory.close()


def test_cached_functions_and_results_as_joblib_makes_them(memory):
    assert isinstance(memory.cache(tasks.square), MemorizedFunc)
    for place in (memory.location, memory.store_backend, memory.store_backend.location):
        f = MemorizedFunc(tasks.square, place, verbose=0)
        assert f(3) == 9
        assert memory.cache(tasks.square).check_call_in_cache(3)
        result = pickle.loads(pickle.dumps(f.call_and_shelve(3)))
        assert isinstance(result, ours.MemorizedResult)
        assert ours.MemorizedResult(place, (result.func_id, result.args_id)).get() == 9
        f.store_backend.store.close()
    with pytest.raises(TypeError, match="NotMemorizedFunc"):
        MemorizedFunc(tasks.square, None)


def test_functions_whose_results_are_there_later(memory):
    async def later(x):
        return x + 1

    def counting(n):
        yield from range(n)

    cached = memory.cache(later)
    assert isinstance(cached, AsyncMemorizedFunc)
    assert asyncio.run(cached(1)) == asyncio.run(cached(1)) == 2
    assert isinstance(asyncio.run(cached.call_and_shelve(1)), ours.MemorizedResult)
    counted = memory.cache(counting)
    assert isinstance(counted, MemorizedFunc)
    assert list(counted(3)) == list(counted(3)) == [0, 1, 2]
    assert counted.check_call_in_cache(3)


def test_without_a_location():
    f = ours.Memory(None).cache(tasks.square)
    assert isinstance(f, NotMemorizedFunc)
    assert f.call(3) == (9, {})

    async def later(x):
        return x + 1

    assert asyncio.run(ours.Memory(None).cache(later).call(1)) == (2, {})


def test_a_call_that_the_function_does_not_take(memory):
    with pytest.raises(TypeError, match=r"square\(\) takes 1 positional argument but 2 were given"):
        memory.cache(tasks.square)(1, 2)


# ------------------------------------------------------------ in joblib's place


@pytest.fixture
def in_joblibs_place():
    from manyhands import compat

    compat.install("joblib")
    yield
    compat.uninstall("joblib")


@pytest.mark.parametrize("kind", [str, Path])
def test_what_joblib_has_pickled_is_loaded(tmp_path, request, kind):
    theirs = joblib.Memory(kind(tmp_path), verbose=0, mmap_mode="r")
    f = theirs.cache(tasks.square)
    pickled = pickle.dumps((theirs, f, f.call_and_shelve(5)))
    request.getfixturevalue("in_joblibs_place")
    memory, square, result = pickle.loads(pickled)
    assert (memory.location, memory.mmap_mode, memory.verbose) == (str(tmp_path), "r", 0)
    assert square(3) == 9
    assert memory.cache(tasks.square).check_call_in_cache(3)
    assert result.get() == 25  # from joblib's files
    for one in (memory.store_backend, square.store_backend):
        one.store.close()


def test_what_was_made_before_goes_on_as_it_was(tmp_path, request):
    """Its keys and files too: whoever has no manyhands finds what it has stored."""
    f = joblib.Memory(tmp_path, verbose=0).cache(tasks.square)
    assert f(3) == 9
    request.getfixturevalue("in_joblibs_place")
    assert f.check_call_in_cache(3)
    assert pickle.loads(pickle.dumps(f))(4) == 16
    assert pickle.loads(pickle.dumps(f.call_and_shelve(4))).get() == 16
    program = """
        import joblib, pathlib, sys
        print([joblib.load(path) for path in sorted(pathlib.Path(sys.argv[1]).rglob("output.pkl"), key=lambda path: path.stat().st_mtime)])
    """
    done = scripts.run(program, str(tmp_path))
    assert done.stdout == "[9, 16]\n", done.stderr


def test_what_was_made_before_knows_compressors_of_later(tmp_path, request, monkeypatch):
    for table in (joblib.compressor._COMPRESSORS, _compressors.METHODS):
        monkeypatch.setitem(table, "mine", None)  # so that it is what it was afterwards
        del table["mine"]
    memory = joblib.Memory(tmp_path, compress=("mine", 3), verbose=0)
    request.getfixturevalue("in_joblibs_place")
    joblib.register_compressor("mine", joblib.compressor.CompressorWrapper(joblib.compressor.BinaryZlibFile, prefix=b"mine"))
    f = memory.cache(tasks.square)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f(3) == 9
    assert f.check_call_in_cache(3)


def test_names_of_joblib_memory(tmp_path, in_joblibs_place):
    memory = joblib.Memory(tmp_path, verbose=0)
    f = memory.cache(tasks.square)
    assert isinstance(f, joblib.memory.MemorizedFunc)
    assert isinstance(f.call_and_shelve(2), joblib.memory.MemorizedResult)
    assert isinstance(joblib.Memory(None).cache(tasks.square), joblib.memory.NotMemorizedFunc)
    memory.close()


def test_it_takes_the_place_of_joblibs(tmp_path):
    from manyhands import compat

    compat.install("joblib")
    try:
        memory = joblib.Memory(tmp_path, verbose=0)
        assert isinstance(memory, ours.Memory)
        assert memory.cache(tasks.square)(3) == 9
        assert pickle.loads(pickle.dumps(memory)).cache(tasks.square).check_call_in_cache(3)
        memory.close()
    finally:
        compat.uninstall("joblib")
    assert not isinstance(joblib.Memory(None), ours.Memory)


def test_nothing_is_said_where_all_is_well(memory):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = memory.cache(tasks.square)
        threads = [threading.Thread(target=f, args=(i % 2,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (f(0), f(1)) == (0, 1)
