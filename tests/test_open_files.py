"""Open files as arguments: opened again where that gives the same, refused where it would not."""

from __future__ import annotations

import bz2
import contextlib
import gc
import gzip
import io
import lzma
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import manyhands


def rest(file):
    return file.read()


def lines(file):
    file.seek(0)
    return list(file)


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
def test_line_ends_are_those_of_the_file_that_was_opened(tmp_path, newline):
    path = tmp_path / "lines"
    path.write_bytes(b"a\r\nb\rc\n")
    for already in (0, 1, 5):
        with path.open(encoding="utf-8", newline=newline) as file:
            for _ in range(already):
                file.readline()
            [there] = manyhands.map(rest, [file])
            assert there == file.read()
            assert manyhands.map(lines, [file]) == [lines(file)]


def test_a_file_goes_on_where_it_stood_and_is_left_there(tmp_path):
    path = tmp_path / "text"
    path.write_text("één\ntwee\ndrie\n" * 5000, encoding="utf-16")
    with path.open(encoding="utf-16") as file:
        file.readline()
        [there] = manyhands.map(rest, [file])
        assert there == file.read()
    with path.open("rb") as file:
        file.read(7)
        assert manyhands.map(rest, [file]) == [path.read_bytes()[7:]]
        assert file.tell() == 7


def opened(tmp_path):
    for name, module in (("gz", gzip), ("bz2", bz2), ("xz", lzma)):
        with module.open(tmp_path / name, "wb") as file:
            file.write(b"abc\n")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("member", "abc\n")
    archive = zipfile.ZipFile(tmp_path / "zip")
    return {
        "gzip text": gzip.open(tmp_path / "gz", "rt", encoding="latin-1"),
        "gzip": gzip.open(tmp_path / "gz"),
        "bz2 text": bz2.open(tmp_path / "bz2", "rt", encoding="latin-1"),
        "bz2": bz2.open(tmp_path / "bz2"),
        "lzma text": lzma.open(tmp_path / "xz", "rt", encoding="latin-1"),
        "lzma": lzma.open(tmp_path / "xz"),
        "member text": io.TextIOWrapper(archive.open("member")),
        "member": archive.open("member"),
        "zip": archive,
        "bytes": io.TextIOWrapper(io.BytesIO(b"abc\n")),
    }


@pytest.mark.parametrize(
    ("kind", "reason", "mend"),
    [
        ("gzip text", "it goes by way of a gzip.GzipFile, and only plain files can be opened again", "(gzip.open)"),
        ("gzip", "its position in what it decompresses belongs to this process", "(gzip.open)"),
        ("bz2 text", "it goes by way of a bz2.BZ2File, and only plain files can be opened again", "(bz2.open)"),
        ("bz2", "its position in what it decompresses belongs to this process", "(bz2.open)"),
        ("lzma text", "it goes by way of a lzma.LZMAFile, and only plain files can be opened again", "(lzma.open)"),
        ("lzma", "its position in what it decompresses belongs to this process", "(lzma.open)"),
        ("member text", "it goes by way of a zipfile.ZipExtFile, and only plain files can be opened again", "open both inside"),
        ("member", "its position in what it decompresses belongs to this process", "open both inside the task"),
        ("zip", "its file is open in this process", "pass its path, and open it inside the task"),
        ("bytes", "it goes by way of a _io.BytesIO, and only plain files can be opened again", "pass its text or its bytes"),
    ],
)
def test_what_is_read_by_way_of_something_else_is_refused(tmp_path, kind, reason, mend):
    files = opened(tmp_path)
    with pytest.raises(manyhands.NotSerializable) as caught:
        manyhands.map(rest, [files[kind]])
    [part] = caught.value.parts
    assert part.reason == reason
    assert mend in part.mend
    for file in files.values():
        file.close()


def shown(view):
    return view.format, view.shape, view.tolist()


@pytest.mark.parametrize(
    "array",
    [np.arange(6, dtype="i4"), np.zeros((2, 3)), np.arange(12).reshape(3, 4)[:, ::2], np.zeros(0, "i4"), np.array(5), np.zeros(3, "?")],
    ids=repr,
)
def test_views_arrive_with_what_they_show(array):
    view = memoryview(array)
    assert manyhands.map(shown, [view]) == [shown(view)]


@pytest.mark.parametrize("array", [np.zeros(3, ">i4"), np.zeros(3, complex), np.zeros(2, "i4,f8"), np.zeros((0, 3))], ids=repr)
def test_views_that_cannot_be_made_anew_are_refused_before_they_are_sent(array):
    [part] = manyhands.explain(memoryview(array)).parts
    assert part.reason.endswith("cannot be made anew")
    assert part.mend == "pass what it shows: the array itself, or view.tobytes()"


def test_a_temporary_file_that_is_open_for_reading(tmp_path):
    with tempfile.NamedTemporaryFile("r", dir=tmp_path) as file:
        Path(file.name).write_text("abc")
        file.read(1)
        assert manyhands.explain(file)
        assert manyhands.map(lambda given: given.read(), [file, file]) == ["bc", "bc"]
        gc.collect()
        assert Path(file.name).exists()
        assert file.read() == "bc"


@pytest.mark.parametrize("how", ["without a name", "of a pipe", "elsewhere", "replaced"])
def test_the_mend_fits_the_file(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data.txt"
    path.write_text("abc")
    with contextlib.ExitStack() as stack:
        if how == "without a name":
            file = stack.enter_context(tempfile.TemporaryFile("w+"))
        elif how == "of a pipe":
            reading, writing = os.pipe()
            stack.callback(os.close, writing)
            file = stack.enter_context(os.fdopen(reading))
        else:
            file = stack.enter_context(Path("data.txt").open())
        if how == "elsewhere":
            monkeypatch.chdir("/")
        elif how == "replaced":
            (tmp_path / "other").write_text("x")
            os.replace(tmp_path / "other", path)
        text = str(manyhands.explain(file))
    expected = {
        "without a name": "pass what is in it",
        "of a pipe": "has no name. To mend it: read it here, and pass what was read",
        "elsewhere": "seen from /. To mend it: read it here",
        "replaced": "there is another file by now. To mend it: read it here",
    }
    assert expected[how] in text
    assert "pass its path" not in text


def test_a_compressed_file_that_is_written(tmp_path):
    with gzip.open(tmp_path / "x.gz", "wb") as file:
        assert "it is open for writing" in str(manyhands.explain(file))
