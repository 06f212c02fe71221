"""Objects in files: what comes back, how files are replaced, and what is said of damaged ones."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import os
import pickle
import signal
import socket
import stat
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pandas as pd
import pytest

import manyhands
from manyhands import NotSerializable, StoreCorrupt, dump, load
from manyhands._files import _replacing
from manyhands.persistence import inspect

COMPRESSED = (1, True, "zlib", "gzip", "bz2", "xz", "lzma", "lz4", ("gzip", 9), "zstd", ("zstd", 9), "zlib-blocks", "lz4-blocks")
OWN = ("zstd", "zlib-blocks", "lz4-blocks")
LARGE = np.arange(3_000_000.0)  # several blocks


@dataclasses.dataclass
class Record:
    number: int
    array: np.ndarray


ARRAYS = {
    "c": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(24.0).reshape(4, 6)[::2, ::-1],
    "strided, of blocks": np.arange(2_000_000.0).reshape(1000, 2000)[:, :1999],
    "no axis": np.array(5),
    "empty": np.zeros((0, 3)),
    "big-endian": np.arange(5, dtype=">i8"),
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "records": np.zeros(3, [("a", "i4"), ("b", "f8")]),
    "texts": np.array(["a", "bc"]),
    "objects": np.array([1, "a", None], object),
    "odd size": np.frombuffer(b"abc" * 3_000_001, "S3"),
    "large": LARGE,
}


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return type(one) is type(other) and one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    return type(one) is type(other) and one == other


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file.mh")


@pytest.mark.parametrize("compress", [0, "gzip", *OWN])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back(path, name, compress):
    array = ARRAYS[name]
    assert dump({"a": [array, array]}, path, compress=compress) == [path]
    one, other = load(path)["a"]
    assert same(one, array)
    assert one is other
    assert one.flags.writeable


@pytest.mark.parametrize("compress", COMPRESSED, ids=str)
def test_compressed_files(path, compress):
    value = [Record(1, np.zeros(100_000)), "é" * 100_000, b"x" * 100_000]
    dump(value, path, compress=compress)
    assert os.path.getsize(path) < 100_000
    [record, *rest] = load(path)
    assert record.number == 1
    assert same(record.array, value[0].array)
    assert rest == value[1:]


@pytest.mark.parametrize("kind", [io.BytesIO, "file", "gzip"])
def test_several_objects_in_one_file_object(path, kind):
    values = [1, LARGE[:1000], {"a": LARGE[:10]}, "text"]
    if kind is io.BytesIO:
        file = io.BytesIO()
        for value in values:
            assert dump(value, file) is None
        file.seek(0)
        found = [load(file) for _ in values]
    else:
        opener = open if kind == "file" else gzip.open
        with opener(path, "wb") as file:
            for value in values:
                dump(value, file)
        with opener(path, "rb") as file:
            found = [load(file) for _ in values]
    assert same(found[1], values[1])
    assert same(found[2]["a"], values[2]["a"])
    assert [found[0], found[3]] == [1, "text"]


def test_what_is_sent_through_a_socket_is_read_up_to_its_end():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("wb") as writer, theirs.makefile("rb") as reader:
        for value in (LARGE[:5000], "next"):
            dump(value, writer)
            writer.flush()
            assert same(load(reader), value)


class OnlyReads:
    def __init__(self, raw):
        self.raw = io.BytesIO(raw)

    def read(self, size=-1):
        return self.raw.read(min(size, 1000) if size > 0 else size)


@pytest.mark.parametrize("write", [dump, lambda value, file: pickle.dump(value, file)], ids=["ours", "pickle"])
def test_what_can_neither_look_ahead_nor_go_back(write):
    file = io.BytesIO()
    write({"a": LARGE[:5000], "b": "x"}, file)
    assert same(load(OnlyReads(file.getvalue()))["a"], LARGE[:5000])
    packed = io.BytesIO(gzip.compress(file.getvalue()))
    assert same(load(OnlyReads(packed.getvalue()))["a"], LARGE[:5000])


def test_a_pipe_without_a_buffer():
    reading, writing = os.pipe()

    def write():
        with open(writing, "wb", buffering=0) as file:
            dump(LARGE, file)
            dump("second", file)

    thread = threading.Thread(target=write)
    thread.start()
    with open(reading, "rb", buffering=0) as file:
        assert same(load(file), LARGE)
        assert load(file) == "second"
    thread.join()


def test_standard_output():
    code = "import manyhands; manyhands.dump([1, 2], '/dev/stdout')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    assert load(io.BytesIO(done.stdout)) == [1, 2]


@pytest.mark.parametrize("mode", ["r", "rb", "w", "w+b"])
@pytest.mark.parametrize("wrap", [lambda file: file, lambda file: {"log": [file]}], ids=["it", "in something"])
def test_open_files_are_not_data(path, tmp_path, mode, wrap):
    """As with pickle: there is nothing of a file in its object."""
    (tmp_path / "data").write_text("text")
    with open(tmp_path / "data", mode) as file, pytest.raises(NotSerializable, match=r"cannot be stored in a file: it is .*open"):
        dump(wrap(file), path)
    assert not os.path.exists(path)


def test_files_that_are_open_for_text(path):
    with open(path, "w") as file, pytest.raises(TypeError, match="open it with 'wb'"):
        dump(1, file)
    with open(path) as file, pytest.raises(TypeError, match="open it with 'rb'"):
        load(file)


def test_no_name_at_all():
    with pytest.raises(FileNotFoundError):
        dump(1, "")


def test_a_level_that_is_a_number_of_numpy(path):
    dump([1, 2], path, compress=np.int64(3))
    assert load(path) == [1, 2]
    dump([1, 2], path, compress=("zstd", np.int32(3)))
    assert load(path) == [1, 2]


def test_of_several_objects_a_path_gives_the_first(path):
    with open(path, "wb") as file:
        dump("first", file)
        dump("second", file)
    assert load(path) == "first"


@pytest.mark.parametrize("compress", OWN)
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<i2", "<f4", "<c16", "<M8[us]", "<g", "<i8, <i4", "<U3", "|b1"])
def test_numbers_of_all_sizes_in_several_blocks(path, compress, dtype):
    plain = (np.arange(300_007) // 9).astype("<i8")
    array = np.zeros(len(plain), dtype)
    if array.dtype.names:
        array["f0"], array["f1"] = plain, plain
    else:
        array[:] = plain.astype(dtype)
    dump([array, array[::3]], path, compress=compress)
    assert os.path.getsize(path) < array.nbytes * 0.8
    assert all(map(same, load(path), [array, array[::3]]))
    assert all(map(same, load(path, safe=True), [array, array[::3]]))


def test_numbers_get_smaller_than_their_bytes_in_a_row(path):
    near = np.sin(np.linspace(0, 1000, 100_000))
    dump(near, path, compress="zstd")
    assert os.path.getsize(path) < 0.75 * near.nbytes
    few = np.random.default_rng(0).choice(np.random.default_rng(1).random(50), 100_000)
    dump(few, path, compress="zstd")
    assert os.path.getsize(path) < 0.3 * few.nbytes  # whole numbers are what is alike
    assert same(load(path), few)


@pytest.mark.parametrize("mode", ["r", "c", "r+", "w+"])
def test_mapped_arrays(path, mode):
    dump([LARGE, LARGE[:3], LARGE[:0]], path)
    arrays = load(path, mmap_mode=mode)
    assert all(type(array) is np.ndarray for array in arrays)
    assert same(arrays[0], LARGE)
    assert arrays[0].ctypes.data % 4096 == 0
    assert arrays[1].ctypes.data % 64 == 0
    if mode == "r":
        with pytest.raises(ValueError, match="read-only"):
            arrays[0][0] = 7
        return
    arrays[0][0] = arrays[1][0] = 7
    found = [array[0] for array in load(path)[:2]]
    assert found == ([0, 0] if mode == "c" else [7, 7])


def test_mapping_reads_no_array(path):
    dump(LARGE, path)
    tracemalloc.start()
    try:
        load(path, mmap_mode="c")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("compress", "said"), [("gzip", "compressed file"), ("zstd", "compressed arrays")])
def test_what_cannot_be_mapped_is_said(path, compress, said):
    dump(LARGE, path, compress=compress)
    with pytest.warns(UserWarning, match=said) as told:
        assert same(load(path, mmap_mode="r"), LARGE)
    assert told[0].filename == __file__


def test_arrays_that_do_not_get_smaller_are_mapped_in_a_compressed_file(path):
    noise = np.random.default_rng(0).integers(0, 256, 1_000_000, np.uint8)
    dump(noise, path, compress="zstd")
    assert same(load(path, mmap_mode="r"), noise)  # and no warning


def test_a_wrong_mode(path):
    with pytest.raises(ValueError, match="mode must be one of"):
        load(path, mmap_mode="rw")


def test_functions_that_pickle_cannot_store(path):
    factor = 3
    dump([lambda x: x * factor, LARGE], path)
    function, array = load(path)
    assert function(2) == 6
    assert same(array, LARGE)


def test_functions_and_objects_of_a_script_in_another_program(tmp_path):
    script = "import manyhands, dataclasses\ndef double(x):\n    return 2 * x\nmanyhands.dump(double, 'f.mh')\n"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert load(tmp_path / "f.mh")(4) == 8


def test_what_cannot_be_stored_is_named_and_leaves_nothing(path, tmp_path):
    dump("old", path)
    with pytest.raises(NotSerializable, match=r"\['b'\]\[0\].*cannot be stored in a file"):
        dump({"a": LARGE, "b": [(x for x in "ab")]}, path)
    assert load(path) == "old"
    assert os.listdir(tmp_path) == ["file.mh"]


@pytest.mark.parametrize("protocol", [2, 4, 5, -1])
def test_protocols(path, protocol):
    dump([LARGE, {"a": 1}], path, protocol=protocol)
    array, rest = load(path)
    assert same(array, LARGE)
    assert rest == {"a": 1}


def test_frames_and_their_buffers(path):
    frame = pd.DataFrame({"a": np.arange(10_000), "b": ["x"] * 10_000, "c": pd.Categorical(["u", "v"] * 5000)})
    dump(frame, path)
    for mode in (None, "c", "r"):
        pd.testing.assert_frame_equal(load(path, mmap_mode=mode), frame)


def test_plain_pickles_are_read(path):
    with open(path, "wb") as file:
        pickle.dump({"a": [1, 2]}, file)
    assert load(path) == {"a": [1, 2]}


def test_shared_arrays_are_stored_by_value(path):
    shared = manyhands.share_array(LARGE[:100])
    dump(shared, path)
    assert same(load(path), LARGE[:100])


# ------------------------------------------------------------ writing


@pytest.mark.parametrize("compress", [0, "zstd"])
def test_an_array_that_others_write_to_meanwhile(path, compress):
    shared = manyhands.share_array(LARGE)
    writing = threading.Event()
    ended = threading.Event()

    def write():
        while not ended.is_set():
            shared[:] += 1
            writing.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        writing.wait()
        for _ in range(5):
            dump(shared, path, compress=compress)
            assert load(path).shape == LARGE.shape
    finally:
        ended.set()
        thread.join()


def test_writing_needs_no_second_copy(path):
    array = np.ones(8_000_000)
    for compress in (0, "zstd"):
        for value in (array, array.reshape(2000, 4000)[:, :3999], {"bytes": array.tobytes()}):
            tracemalloc.start()
            try:
                dump(value, path, compress=compress)
                assert tracemalloc.get_traced_memory()[1] < 0.8 * array.nbytes
            finally:
                tracemalloc.stop()


def test_a_file_keeps_its_mode_and_a_link_its_place(path, tmp_path):
    dump(1, path)
    os.chmod(path, 0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    dump(2, link)
    assert load(path) == 2
    assert link.is_symlink()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        dump(1, tmp_path / "none" / "file")
    assert caught.value.filename == str(tmp_path / "none" / "file")


def test_into_a_pipe_that_has_a_name(tmp_path):
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(load(pipe)))
    reader.start()
    dump([1, LARGE], pipe)
    reader.join()
    assert same(found[0][1], LARGE)


_KILLED = """
import sys, os, threading, signal, numpy, manyhands
from manyhands._files import _replacing
from manyhands.persistence import inspect
if sys.argv[2] == "named":
    _replacing._Unnamed = _replacing._Named
value = numpy.full(200_000, 7.0)
print("ready", flush=True)
while True:
    manyhands.dump(value, sys.argv[1])
"""


@pytest.mark.parametrize("how", ["unnamed", "named"])
def test_killed_while_it_writes(tmp_path, how, monkeypatch):
    path = tmp_path / "file.mh"
    dump(np.full(200_000, 7.0), path)
    for delay in range(1, 9):
        writer = subprocess.Popen([sys.executable, "-c", _KILLED, path, how], stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"ready\n"
        for _ in range(delay):
            assert (load(path) == 7.0).all()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert (load(path) == 7.0).all()
        assert len(os.listdir(tmp_path)) <= 2  # at most what the next one takes over
    if how == "named":
        monkeypatch.setattr(_replacing, "_Unnamed", _replacing._Named)
    dump(1, path)
    assert os.listdir(tmp_path) == ["file.mh"]


def test_many_that_write_to_one_path(tmp_path):
    path = tmp_path / "file.mh"
    errors = []

    def write(number: int) -> None:
        try:
            for _ in range(50):
                dump([number] * 1000, path)
                assert len(set(load(path))) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert os.listdir(tmp_path) == ["file.mh"]


def test_what_a_killed_program_has_left_is_taken_away(tmp_path):
    path = tmp_path / "file.mh"
    dump(1, path)
    (tmp_path / ".file.mh.manyhands").write_bytes(b"half")
    dump(2, path)
    assert os.listdir(tmp_path) == ["file.mh"]


# ------------------------------------------------------------ damage


@pytest.mark.parametrize("compress", [0, "zstd"])
def test_every_damaged_byte_is_found(path, compress):
    value = {"a": np.arange(300), "b": "text", "c": np.arange(100)[::2]}
    dump(value, path, compress=compress)
    with open(path, "rb") as file:
        whole = file.read()
    for place in range(8, len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        with contextlib.suppress(StoreCorrupt):
            found = load(io.BytesIO(damaged))
            # Between the parts; a flag that says that checksums do not hold; a bit that zstd does not look at.
            assert found["b"] == "text", place
            assert same(found["a"], value["a"]), place
            assert same(found["c"], value["c"]), place


def test_each_file_that_is_cut_short_is_told(path):
    dump({"a": np.arange(300), "b": "text"}, path)
    with open(path, "rb") as file:
        whole = file.read()
    for size in range(8, len(whole), 7):
        with open(path, "wb") as file:
            file.write(whole[:size])
        for mode in (None, "c"):
            with pytest.raises(StoreCorrupt):
                load(path, mmap_mode=mode)
        with pytest.raises(StoreCorrupt):
            load(io.BytesIO(whole[:size]))


def test_damage_names_file_and_part(path):
    dump([LARGE, "x"], path)
    with open(path, "r+b") as file:
        file.seek(5_000_000)
        file.write(b"damage")
    with pytest.raises(StoreCorrupt, match="is damaged: buffer 0") as caught:
        load(path)
    assert isinstance(caught.value, pickle.UnpicklingError)


class Moody:
    fails = False

    def __setstate__(self, state: object) -> None:
        if Moody.fails:
            raise KeyError("renamed")


@pytest.mark.parametrize("how", ["changed", "cut short"])
def test_damage_in_what_threads_read(path, how):
    dump({"first": LARGE, "second": b"x" * 5000, "third": LARGE + 1}, path)
    assert same(load(path)["third"], LARGE + 1)
    with open(path, "r+b") as file:
        assert file.read().endswith(b"MHF.end\n")  # no more room than was needed
        if how == "cut short":
            file.truncate(20_000_000)
        else:
            file.seek(20_000_000)
            file.write(b"?")
    with pytest.raises(StoreCorrupt, match="buffer 0"):
        load(path)


def test_a_load_that_fails_names_versions(path, monkeypatch):
    moody = Moody()
    moody.frame = pd.DataFrame({"a": [1]})
    monkeypatch.setattr(pd, "__version__", "0.9")
    dump(moody, path)
    monkeypatch.undo()
    monkeypatch.setattr(Moody, "fails", True)
    with pytest.raises(KeyError) as caught:
        load(path)
    [note] = caught.value.__notes__
    assert f"pandas 0.9 (here: {pd.__version__})" in note
    assert f"Python {sys.version.split()[0]}," in note


# ------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("compress", "said"),
    [
        (-1, "Non valid compress level"),
        (10, "Non valid compress level"),
        ("none", "Non valid compression method"),
        (("zlib", 3, 4), "exactly 2 elements"),
        (("zstd", 99), "Possible values are -7 to 22"),
    ],
)
def test_wrong_ways_to_compress(path, compress, said):
    with pytest.raises(ValueError, match=said):
        dump(1, path, compress=compress)
    assert not os.path.exists(path)


def test_arguments_in_the_wrong_order():
    with pytest.raises(ValueError, match="Second argument should be a filename"):
        dump("name", {"value": 1})


@pytest.mark.parametrize(
    ("extension", "begin"),
    [
        (".gz", b"\x1f\x8b"),
        (".gzip", b"\x1f\x8b"),
        (".z", b"\x78"),
        (".zlib", b"\x78"),
        (".bz2", b"BZ"),
        (".xz", b"\xfd7zXZ"),
        (".zst", b"\x28\xb5\x2f\xfd"),
        (".zstd", b"\x28\xb5\x2f\xfd"),
        ("", b"\x89MHF"),
    ],
)
def test_extensions(path, extension, begin):
    for compress in (0, 5):
        assert dump(["x", LARGE[:1000]], path + extension, compress=compress) == [path + extension]
        with open(path + extension, "rb") as file:
            assert compress == 5 or file.read(len(begin)) == begin
        one, other = load(path + extension)
        assert one == "x"
        assert same(other, LARGE[:1000])


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "xz", "lzma", "lz4", "zst"])
def test_damage_in_files_that_are_compressed_as_a_whole(path, method):
    value = [list(range(1000)), np.arange(3000)]
    dump(value, path, compress=method)
    with open(path, "rb") as file:
        raw = bytearray(file.read())
    for place in range(7, len(raw), len(raw) // 40):
        changed = raw.copy()
        changed[place] ^= 4
        for content in (raw[:place], changed):
            with open(path, "wb") as file:
                file.write(content)
            for read in (load, inspect, lambda path: load(path, safe=True)):
                found = value  # inspect does not read the array; a bit may be one that says nothing
                with contextlib.suppress(StoreCorrupt):
                    found = read(path)
                assert read is inspect or same(found[1], value[1])


def test_a_file_of_which_the_beginning_is_left(path):
    dump("x", path)
    with open(path, "rb") as file:
        raw = file.read()
    for content in (raw[:5], raw.replace(b"\r\n", b"\n")):
        with open(path, "wb") as file:
            file.write(content)
        with pytest.raises(StoreCorrupt, match="is damaged: its beginning"):
            load(path)
