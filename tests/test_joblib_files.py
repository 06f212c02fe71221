"""What joblib's dump has written is read without joblib."""

from __future__ import annotations

import datetime
import gc
import glob
import gzip
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import tracemalloc
import warnings
import weakref
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib.numpy_pickle_compat import NDArrayWrapper

import manyhands
from manyhands._files import _joblib_files
from manyhands.errors import NotData, StoreCorrupt, UnknownFormat

DATA = Path(joblib.__file__).parent / "test" / "data"
OLD_FILES = sorted(path for path in glob.glob(f"{DATA}/joblib_*") if ".npy" not in path)
OLD_CONTENT = [
    np.arange(5, dtype="<i8"),
    np.arange(5, dtype="<f8"),
    np.array([1, "abc", {"a": 1, "b": 2}], dtype="O"),
    np.arange(256, dtype=np.uint8).tobytes(),
    np.array([[0, 1, 2]], dtype="<i8").view(np.matrix),
    "C'est l'\xe9t\xe9 !",
]

STRUCTURED = np.array([(1, 2.5, b"ab"), (3, 4.5, b"cd")], dtype=[("a", "i2"), ("b", "f8"), ("c", "S3")])
BASE = np.arange(24.0)
CONTENTS = {
    "nothing": None,
    "values": {"a": [1, 2.5, "\xe9\u20ac", b"bytes", (True, None)], "date": datetime.date(2020, 2, 29), "ordered": OrderedDict(z=1, a=2)},
    "large values": {"text": "x" * 200_000, "bytes": b"y" * 200_000, "many": [str(number) for number in range(20_000)]},
    "array": np.arange(10_000),
    "arrays": [np.arange(7).astype(kind) for kind in ("?", "i1", "u2", "f4", "c16", "f2", "M8[s]", "m8[D]", "U5", "S3")],
    "orders": [BASE.reshape(4, 6), BASE.reshape(4, 6).T, np.asfortranarray(BASE.reshape(2, 3, 4)), BASE[::2], BASE.reshape(4, 6)[1:, 2:4]],
    "shapes": [np.array(5.0), np.zeros((0, 3)), np.zeros(0), np.zeros((3, 0), order="F"), np.zeros(3, "U0"), np.ones((1, 1, 1))],
    "objects": [np.array([1, "a", None, {"k": BASE}], dtype=object), np.array([[{}, []]], dtype=object).T, BASE],
    "structured": [STRUCTURED, STRUCTURED["b"], np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")])],
    "other byte order": [BASE.astype(">f8"), np.arange(5, dtype="<i4"), STRUCTURED.astype(STRUCTURED.dtype.newbyteorder(">"))],
    "matrix": np.array([[1, 2], [3, 4]]).view(np.matrix),
    "the same twice": [BASE, BASE, {"again": BASE}],
    "scalars": [np.float32(1.5), np.int8(3), np.datetime64("2020-01-01"), np.dtype("f4"), np.float64],
    "masked": np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    "generator": np.random.default_rng(3),
}
COMPRESSIONS = [0, True, 1, ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)]
if importlib.util.find_spec("lz4") is not None:
    COMPRESSIONS.append(("lz4", 3))


def load(path, mmap_mode=None, **options):
    with open(path, "rb") as file:
        return _joblib_files.load(file, str(path), mmap_mode, **options)


def same(one, other):
    """Whether they are of equal types and values, but for the byte order of arrays."""
    if isinstance(other, np.ma.MaskedArray):
        return type(one) is type(other) and same(one.data, other.data) and same(one.mask, other.mask)
    if isinstance(other, np.ndarray):
        if other.dtype == object:
            return one.dtype == object and one.shape == other.shape and same(one.tolist(), other.tolist())
        return (
            (one.dtype == other.dtype or one.dtype == other.dtype.newbyteorder("="))
            and one.shape == other.shape
            and same(one.tolist(), other.tolist())
            and one.flags.c_contiguous == (other.flags.c_contiguous or not other.flags.f_contiguous)
        )
    if isinstance(other, np.random.Generator):
        return one.bit_generator.state == other.bit_generator.state
    if type(one) is not type(other):
        return False
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in other)
    if isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture
def path(tmp_path):
    return tmp_path / "object.pkl"


@pytest.mark.parametrize("original", OLD_FILES, ids=os.path.basename)
def test_files_of_old_versions(original, tmp_path):
    for part in glob.glob(original + "*"):
        (tmp_path / os.path.basename(part)).write_bytes(Path(part).read_bytes())
    for mmap_mode in (None, "r", "r+", "c"):
        check_old_file(str(tmp_path / os.path.basename(original)), mmap_mode)


def check_old_file(path, mmap_mode):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = load(path, mmap_mode)
    assert same(got, OLD_CONTENT)
    assert type(got[4]) is np.matrix
    is_old = "_0.8" in path or "_0.9" in path
    is_plain = path.endswith(".pkl")
    messages = sorted(str(warning.message).replace(path, "FILE") for warning in caught)
    expected = []
    if is_old:
        expected.append("The file 'FILE' has been generated with a joblib version less than 0.10. Please regenerate this pickle file.")
    if mmap_mode and is_plain:
        assert isinstance(got[0], np.memmap)
        if not is_old:
            expected += ["The memmapped array at byte"] * 3
    elif mmap_mode:
        expected.append(f'mmap_mode "{mmap_mode}" is not compatible with compressed file FILE. "{mmap_mode}" flag will be ignored.')
    assert len(messages) == len(expected)
    assert all(message.startswith(start) for message, start in zip(messages, sorted(expected), strict=True))
    assert {warning.filename for warning in caught} <= {__file__}


@pytest.mark.parametrize("content", CONTENTS)
def test_files_of_the_joblib_installed(content, path):
    value = CONTENTS[content]
    for compress in COMPRESSIONS:
        joblib.dump(value, path, compress=compress)
        got = load(path)
        assert same(got, value)
        assert all(array.flags.writeable for array in arrays(got))
        assert all(array.dtype.isnative for array in arrays(got))


def arrays(value):
    return [part for part in value if isinstance(part, np.ndarray)] if isinstance(value, list) else []


@pytest.mark.parametrize("content", CONTENTS)
def test_protocols(content, path):
    value = CONTENTS[content]
    for protocol in range(6):
        joblib.dump(value, path, protocol=protocol)
        assert _joblib_files.is_joblib_file(path.read_bytes()[:6])
        assert same(load(path), value)


@pytest.mark.parametrize("content", CONTENTS)
def test_mapped(content, path):
    value = CONTENTS[content]
    joblib.dump(value, path)
    before = path.read_bytes()
    for mode in ("r", "r+", "w+", "c"):
        got = load(path, mode)
        assert same(got, value)
        assert path.read_bytes() == before
        for array, written in zip(arrays(got), arrays(value), strict=True):
            assert isinstance(array, np.memmap) == (not written.dtype.hasobject and bool(written.nbytes))
            assert array.dtype == written.dtype


def test_what_is_written_to_a_map(path):
    for mode, is_kept in (("r+", True), ("w+", True), ("c", False)):
        joblib.dump([BASE, "end"], path)
        [array, _] = load(path, mode)
        array[3] = -1
        array.flush()
        assert (load(path)[0][3] == -1) == is_kept
    assert not load(path, "r")[0].flags.writeable


def test_a_map_is_of_the_file_that_was_opened(path):
    joblib.dump([BASE, BASE + 1], path)
    with open(path, "rb") as file:
        joblib.dump("another", f"{path}.new")
        os.replace(f"{path}.new", path)
        assert same(_joblib_files.load(file, str(path), "r"), [BASE, BASE + 1])
        file.seek(0)
        with pytest.raises(RuntimeError, match="was replaced by another file while it was read"):
            _joblib_files.load(file, str(path), "r+")


def test_byte_orders_that_are_asked_for(path):
    foreign = BASE.astype(">f8")
    joblib.dump(foreign, path)
    assert load(path).dtype == np.dtype("=f8")
    assert load(path, native_byte_order=False).dtype == foreign.dtype
    assert load(path, "r").dtype == foreign.dtype
    with pytest.raises(ValueError, match="Native byte ordering can only be enforced if 'mmap_mode' parameter is set to None"):
        load(path, "r", native_byte_order=True)


def test_several_objects_in_one_file(path):
    values = [BASE, None, {"a": BASE.reshape(4, 6).T}, np.array([None, 1], object), 5]
    with open(path, "wb") as file:
        for value in values:
            joblib.dump(value, file)
    memory = io.BytesIO(path.read_bytes())
    with open(path, "rb") as file, open(path, "rb", buffering=0) as raw:
        for value in values:
            for each in (file, raw, memory):
                assert same(_joblib_files.load(each), value)
        with pytest.raises(EOFError):
            _joblib_files.load(file)


class Pipe:
    """A file that can be read once, forward, and gives a little at a time."""

    def __init__(self, content):
        self.rest = content

    def read(self, size=-1):
        size = len(self.rest) if size < 0 else min(size, 1000)
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

    def readline(self):
        line, end, self.rest = self.rest.partition(b"\n")
        return line + end


@pytest.mark.parametrize("compress", COMPRESSIONS, ids=str)
def test_a_file_that_can_be_read_once(compress, path):
    value = ["a", BASE, "b" * 100_000]
    joblib.dump(value, path, compress=compress)
    assert same(_joblib_files.load(Pipe(path.read_bytes())), value)


def test_maps_of_what_is_no_file(path):
    joblib.dump(BASE, path)
    with pytest.warns(UserWarning, match="In memory persistence is not compatible with mmap_mode"):
        assert same(_joblib_files.load(io.BytesIO(path.read_bytes()), "", "r"), BASE)
    with pytest.warns(UserWarning, match="is not a raw file, mmap_mode"):
        assert same(_joblib_files.load(Pipe(path.read_bytes()), "", "r"), BASE)


def wrappers_in_a_frame(path, value):
    np.save(f"{path}_01.npy", value)
    name = f"{path.name}_01.npy"
    path.write_bytes(pickle.dumps([1, NDArrayWrapper(name, np.ndarray), NDArrayWrapper(name, np.matrix), 2], protocol=4))


@pytest.mark.parametrize("behind", [[], ["x" * 100_000] * 3], ids=["end", "more frames"])
def test_one_wrapper_in_a_frame(behind, path):
    np.save(f"{path}_01.npy", BASE)
    path.write_bytes(pickle.dumps([NDArrayWrapper(f"{path.name}_01.npy", np.ndarray), 1, *behind], protocol=4))
    with pytest.warns(DeprecationWarning, match=r"joblib version less than 0\.10"):
        assert same(load(path), [BASE, 1, *behind])


def test_wrappers_in_a_frame(path):
    wrappers_in_a_frame(path, BASE.reshape(4, 6))
    with pytest.warns(DeprecationWarning, match=r"joblib version less than 0\.10"):
        got = load(path)
    assert same(got, [1, BASE.reshape(4, 6), BASE.reshape(4, 6).view(np.matrix), 2])


def test_a_file_beside_it_is_missing(path):
    wrappers_in_a_frame(path, BASE)
    os.remove(f"{path}_01.npy")
    with pytest.raises(FileNotFoundError, match=r"_01\.npy is missing: an array of .* is in it"):
        load(path)


PYTHON_2 = {
    b"\x80\x02]q\x00(U\x05plainq\x01U\x04caf\xe9q\x02e.": ["plain", b"caf\xe9"],
    b"(lp0\nS'plain'\np1\naS'caf\\xe9'\np2\na.": ["plain", b"caf\xe9"],
    b"\x80\x02c__builtin__\nset\nq\x00]q\x01U\x01aq\x02a\x85q\x03Rq\x04.": {"a"},
}


@pytest.mark.parametrize("content", PYTHON_2)
def test_strings_of_python_2(content):
    assert _joblib_files.load(io.BytesIO(content)) == PYTHON_2[content]


@pytest.mark.parametrize(
    "module", ["joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle", "another.externals.joblib.numpy_pickle"]
)
def test_joblib_inside_of_another_package(module, path):
    joblib.dump([BASE], path, protocol=2)
    path.write_bytes(path.read_bytes().replace(b"joblib.numpy_pickle", module.encode()))
    assert same(load(path), [BASE])


@pytest.mark.parametrize("where", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_names_of_numpy_1_and_2(where, path):
    content = pickle.dumps(np.float32(1.5), protocol=2).replace(b"numpy._core.multiarray", where.encode())
    content = content.replace(b"numpy.core.multiarray", where.encode())
    assert _joblib_files.load(io.BytesIO(content)) == np.float32(1.5)


def test_a_package_that_is_not_there(path):
    path.write_bytes(b"\x80\x02cno_such_package\nThing\n.")
    with pytest.raises(ModuleNotFoundError) as caught:
        load(path)
    assert caught.value.__notes__ == [f"{path} holds an object of no_such_package.Thing: it needs that package"]


@pytest.mark.parametrize("compress", COMPRESSIONS, ids=str)
def test_cut_off_anywhere(compress, path):
    joblib.dump([1, BASE[:3], "text", np.array([None, 2], object), BASE[:4].reshape(2, 2)], path, compress=compress)
    content = path.read_bytes()
    for size in range(1, len(content), 3 if compress == 0 else 11):
        path.write_bytes(content[:size])
        for mode in (None,) if compress else (None, "r", "r+"):
            with pytest.raises(StoreCorrupt, match=r"object\.pkl is damaged: "):
                load(path, mode)
        assert path.stat().st_size == size


def test_an_empty_file(path):
    path.write_bytes(b"")
    with pytest.raises(EOFError, match="cut off, or not written to its end"):
        load(path)


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3)], ids=str)
def test_bytes_that_are_not_right(compress, path):
    joblib.dump(np.arange(5000), path, compress=compress)
    content = bytearray(path.read_bytes())
    for position in range(20, len(content), len(content) // 40):
        content[position] ^= 0x10
        path.write_bytes(content)
        with pytest.raises(StoreCorrupt, match=r"object\.pkl is damaged: "):
            load(path)
        content[position] ^= 0x10


def test_a_checksum_far_behind_the_object_is_compared():
    content = bytearray(gzip.compress(pickle.dumps("first") + pickle.dumps(bytes(5_000_000))))
    assert _joblib_files.load(io.BytesIO(content)) == "first"
    content[-6] ^= 1
    with pytest.raises(StoreCorrupt, match="its compressed data"):
        _joblib_files.load(io.BytesIO(content))


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "xz"])
def test_checksums_are_compared_before_anything_is_believed(method, path):
    value = np.zeros(500_001)
    joblib.dump(value, path, compress=(method, 1))
    content = bytearray(path.read_bytes())
    for position in range(1, 40):
        content[-position] ^= 1
        try:
            got = _joblib_files.load(io.BytesIO(content))
        except StoreCorrupt:
            continue
        finally:
            content[-position] ^= 1
        assert got.tobytes() == value.tobytes()  # bits that fill up the last byte


@pytest.mark.parametrize("content", [b"\x80\x05\xff\xff", b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00Jab."])
def test_what_is_no_pickle_any_more(content, path):
    path.write_bytes(content)
    for error in (StoreCorrupt, pickle.UnpicklingError, ValueError, EOFError):
        with pytest.raises(error, match="is damaged"):
            load(path)


OTHER_FILES = {
    "csv": (b"name,value\n1,2\n", ""), "html": (b"<html>", ""), "text": (b"I am a text", ""), "json": (b'{"a": 1}', "json.load"),
    "npy": (b"\x93NUMPY\x01\x00v\x00{'descr'", "numpy.load"), "npz": (b"PK\x03\x04\x14\x00", "numpy.load"), "zeros": (bytes(100), ""),
    "parquet": (b"PAR1\x15\x04", "read_parquet"), "png": (b"\x89PNG\r\n\x1a\n", ""), "number": (b"123\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", OTHER_FILES)
def test_files_of_another_kind_are_not_called_damaged(name, packed, path):
    content, reader = OTHER_FILES[name]
    path.write_bytes(gzip.compress(content) if packed else content)
    for safe in (False, True):
        with pytest.raises(UnknownFormat if content[:1] != b"I" or not safe else NotData) as caught:
            manyhands.load(path, safe=safe)
        assert "damaged" not in str(caught.value)
        assert str(path) in str(caught.value)
        assert reader in str(caught.value) or isinstance(caught.value, NotData)
    if not packed:
        with pytest.raises(StoreCorrupt, match="no file of"):
            manyhands.load(io.BytesIO(content))


def test_a_file_of_joblib_that_is_to_be_loaded_as_data(path, tmp_path):
    joblib.dump(BASE, path)
    with pytest.raises(NotData, match=r"manyhands\.dump\(manyhands\.load\(path\), new\)"):
        manyhands.load(path, safe=True)
    new = tmp_path / "new"
    manyhands.dump(manyhands.load(path), new)
    assert (manyhands.load(new, safe=True) == BASE).all()


def test_a_newer_protocol(path):
    path.write_bytes(b"\x80\x63N.")
    with pytest.raises(ValueError, match="unsupported pickle protocol: 99") as caught:
        load(path)
    assert not isinstance(caught.value, StoreCorrupt)


def refuse():
    raise ValueError("this version is too old")


class Refusing:
    def __reduce__(self):
        return refuse, ()


def test_errors_of_classes_stay(path):
    joblib.dump([BASE, Refusing()], path)
    with pytest.raises(ValueError, match="this version is too old") as caught:
        load(path)
    assert not isinstance(caught.value, StoreCorrupt)


def test_what_may_be_such_a_file():
    assert not _joblib_files.is_joblib_file(b"")
    assert not _joblib_files.is_joblib_file(b"\x93NUMPY")
    assert not _joblib_files.is_joblib_file(b"\x89HDF")
    for path in OLD_FILES:
        assert _joblib_files.is_joblib_file(Path(path).read_bytes()[:6])


def test_what_was_loaded_is_freed(path):
    class_count = len(_joblib_files.WRAPPERS["NumpyArrayWrapper"].__subclasses__())
    joblib.dump([BASE, BASE], path)
    gc.disable()
    try:
        got = load(path)
        gone = weakref.ref(got[0])
        del got
        assert gone() is None
    finally:
        gc.enable()
    gc.collect()
    assert len(_joblib_files.WRAPPERS["NumpyArrayWrapper"].__subclasses__()) <= class_count


def test_memory_while_loading(path):
    size = 8_000_000
    joblib.dump(np.ones(size // 8), path)
    tracemalloc.start()
    try:
        load(path)
        assert tracemalloc.get_traced_memory()[1] < 1.2 * size
    finally:
        tracemalloc.stop()


def test_without_joblib_and_without_need_of_numpy(path):
    joblib.dump({"a": 1}, path)
    array = path.with_suffix(".array")
    joblib.dump(BASE, array)
    code = f"""
import sys
sys.modules["joblib"] = None
from manyhands._files import _joblib_files
for path in {[str(path), str(array)]}:
    with open(path, "rb") as file:
        value = _joblib_files.load(file, path)
    print(type(value).__name__, "numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dict", "False", "ndarray", "True"]
