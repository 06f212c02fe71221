"""``Memory`` under joblib's name, with its parameters, its warnings, and stores of others."""

from __future__ import annotations

import os
import pickle
import threading
import warnings

import joblib
import pytest
import tasks

from manyhands.compat import joblib as ours

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


@pytest.mark.parametrize("kind", ["ours", "theirs"])
def test_stores_of_others(tmp_path, kind):
    ours.register_store_backend(f"files of {kind}", kinds_of_stores()[kind])
    memory = ours.Memory(tmp_path, backend=f"files of {kind}", verbose=0)
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
