"""Files that are compressed as a whole."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zlib

import pytest

from manyhands._files import _compressors
from manyhands._files._compressors import METHODS, CompressorWrapper, detect, for_extension, reader, register_compressor, writer
from manyhands._files._zlib_file import BinaryGzipFile, BinaryZlibFile

try:
    import lz4.frame as lz4
except ImportError:
    lz4 = None

DATA = b"some words, and again some words " * 30_000 + bytes(range(256))
DECOMPRESS = {"zlib": zlib.decompress, "gzip": gzip.decompress, "bz2": bz2.decompress, "lzma": lzma.decompress, "xz": lzma.decompress}
if lz4 is not None:
    DECOMPRESS["lz4"] = lz4.decompress
BUILT_IN = pytest.mark.parametrize("method", DECOMPRESS)


@pytest.fixture(autouse=True)
def methods_as_before():
    before = dict(METHODS)
    yield
    METHODS.clear()
    METHODS.update(before)


def compressed(method, data=DATA, level=None):
    raw = io.BytesIO()
    with writer(raw, method, level) as file:
        file.write(data)
    return raw.getvalue()


@BUILT_IN
@pytest.mark.parametrize("level", [None, 1, 9])
def test_there_and_back(method, level, tmp_path):
    path = tmp_path / f"file{METHODS[method].extension}"
    with open(path, "wb") as raw, writer(raw, method, level) as file:
        file.write(DATA[:10])
        file.write(memoryview(DATA)[10:])
    content = path.read_bytes()
    assert len(content) < len(DATA) / 10
    assert DECOMPRESS[method](content) == DATA
    assert detect(content[: _compressors.prefix_size()]) == method
    assert for_extension(path) == for_extension(str(path)) == method
    with open(path, "rb") as raw:
        with reader(raw, method) as file:
            assert file.read(7) == DATA[:7]
            rest = bytearray(len(DATA) - 7)
            assert file.readinto(rest) == len(rest)
            assert rest == DATA[7:]
            assert file.read(1) == b""
        assert not raw.closed


@BUILT_IN
def test_what_is_cut_off_is_an_error(method):
    content = compressed(method)
    with pytest.raises(EOFError), reader(io.BytesIO(content[: len(content) // 2]), method) as file:
        file.read()


@pytest.mark.parametrize("method", ["zlib", "gzip"])
def test_what_is_cut_off_in_its_checksum_is_an_error(method):
    with pytest.raises(EOFError), reader(io.BytesIO(compressed(method)[:-1]), method) as file:
        file.read()


def test_plain_data_is_none_of_them():
    assert detect(b"\x80\x05") is None
    assert detect(b"") is None
    assert for_extension("model.pkl") is None


def test_equal_data_make_equal_gzip_files(tmp_path):
    for name in ("a.gz", "b.gz"):
        with writer(str(tmp_path / name), "gzip") as file:
            file.write(DATA)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_gzip_files_one_after_another():
    content = gzip.compress(DATA) + gzip.compress(b"more")
    with reader(io.BytesIO(content), "gzip") as file:
        assert file.read() == DATA + b"more"


def test_what_follows_a_stream_is_left_alone():
    with reader(io.BytesIO(zlib.compress(DATA) + b"something else"), "zlib") as file:
        assert file.read() == DATA


@pytest.mark.parametrize("kind", [BinaryZlibFile, BinaryGzipFile])
def test_a_stream_as_a_file(kind, tmp_path):
    path = tmp_path / "stream"
    with kind(str(path), "wb", compresslevel=5) as file:
        assert (file.writable(), file.readable(), file.seekable()) == (True, False, False)
        assert file.write(DATA) == file.tell() == len(DATA)
        with pytest.raises(io.UnsupportedOperation):
            file.read()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.write(b"")
    with kind(path) as file:
        assert file.seek(-5, 2) == len(DATA) - 5
        assert file.read(100) == DATA[-5:]
        assert file.seek(10) == 10
        assert file.seek(5, 1) == file.tell() == 15
        assert file.read() == DATA[15:]
        assert file.read() == b""
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"")


@pytest.mark.parametrize("level", [0, 10, -1, "a", ()])
def test_levels_that_there_are_not(level, tmp_path):
    with pytest.raises(ValueError, match="must be an integer between 1 and 9"):
        BinaryZlibFile(str(tmp_path / "file"), "wb", compresslevel=level)
    assert not (tmp_path / "file").exists()


def test_modes_and_names_that_there_are_not(tmp_path):
    with pytest.raises(ValueError, match="Invalid mode"):
        BinaryZlibFile(str(tmp_path / "file"), "w")
    with pytest.raises(TypeError, match="filename must be a str or bytes object, or a file"):
        BinaryZlibFile(1)


class Reversing(io.BytesIO):
    """Each byte inverted."""

    def __init__(self, file, mode, compresslevel=0):
        super().__init__(bytes(255 - byte for byte in file.read()[3:]) if mode == "rb" else b"")
        self.out = file if mode == "wb" else None
        self.level = compresslevel

    def close(self):
        if self.out is not None:
            self.out.write(b"inv" + bytes(255 - byte for byte in self.getvalue()))
            self.out = None
        super().close()


def test_a_method_of_ones_own():
    register_compressor("inverted", CompressorWrapper(Reversing, prefix=b"inv", extension=".inv"))
    content = compressed("inverted", b"abc")
    assert content == b"inv" + bytes(255 - byte for byte in b"abc")
    assert detect(content) == "inverted"
    assert for_extension("a.inv") == "inverted"
    with reader(io.BytesIO(content), "inverted") as file:
        assert file.read() == b"abc"


def test_a_method_without_prefix_and_extension_is_that_of_no_file():
    register_compressor("nameless", CompressorWrapper(Reversing))
    assert detect(b"anything") is None
    assert for_extension("anything") is None


def test_the_longest_prefix_counts():
    register_compressor("mine", CompressorWrapper(Reversing, prefix=b"x-mine"))
    assert detect(b"x-mine") == "mine"
    assert detect(b"x\x9c") == "zlib"


def test_names_that_are_taken():
    with pytest.raises(ValueError, match=r"Compressor 'zlib' already registered\."):
        register_compressor("zlib", CompressorWrapper(Reversing))
    register_compressor("zlib", CompressorWrapper(Reversing, prefix=b"inv"), force=True)
    assert compressed("zlib", b"").startswith(b"inv")


@pytest.mark.parametrize("name", [1, (), None])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="Compressor name should be a string"):
        register_compressor(name, CompressorWrapper(Reversing))


def test_what_is_no_compressor():
    with pytest.raises(ValueError, match="should implement the CompressorWrapper interface"):
        register_compressor("mine", Reversing)
    with pytest.raises(ValueError, match="'fileobj_factory' attribute should implement the file object interface"):
        register_compressor("mine", CompressorWrapper(object))


def test_a_method_that_is_not_known():
    with pytest.raises(ValueError, match='Non valid compression method given: "zip"'):
        writer(io.BytesIO(), "zip")


def test_without_lz4(monkeypatch):
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(ValueError, match=r"LZ4 is not installed.*pip install lz4"):
        writer(io.BytesIO(), "lz4")


def test_only_what_is_used_is_imported():
    code = "import sys; import manyhands._files._compressors; print({'bz2', 'lzma', 'lz4', 'gzip', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
