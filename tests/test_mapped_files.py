"""Arrays over mapped files go by path: what a task writes is in the file."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import manyhands
from manyhands import Parallel, delayed

SHAPE = 60, 40


def put(out, index):
    out[index] = index * 10


def described(array):
    return isinstance(array, np.memmap), getattr(array, "mode", None), array.flags.writeable, array.strides, array.tolist()


@pytest.fixture
def mapped(tmp_path):
    array = np.memmap(tmp_path / "data", dtype="i4", mode="w+", shape=SHAPE, offset=12)
    array[:] = np.arange(array.size).reshape(SHAPE)
    yield array
    array._mmap.close()


def test_what_tasks_write_is_in_the_file(tmp_path):
    out = np.memmap(tmp_path / "out", dtype="f8", mode="w+", shape=5)
    Parallel(n_jobs=2)(delayed(put)(out, index) for index in range(5))
    assert out.tolist() == [0, 10, 20, 30, 40]
    assert manyhands.explain(out).size < 1000


def test_a_function_and_an_object_hold_one(tmp_path):
    out = np.memmap(tmp_path / "out", dtype="f8", mode="w+", shape=4)

    class Holder:
        held = None

    holder = Holder()
    holder.held = out

    def work(index, given):
        (out if index % 2 else given.held)[index] = index

    manyhands.map(work, range(4), [holder] * 4, workers=2)
    assert out.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "part",
    [np.s_[:], np.s_[1:4], np.s_[::-1], np.s_[::2, 1:], np.s_[2:3, ::-2], np.s_[5], np.s_[3:3]],
    ids=["all", "rows", "backwards", "steps", "both", "row", "empty"],
)
def test_parts(mapped, part):
    for array in (mapped[part], mapped[part].T):
        [got] = manyhands.map(described, [array])
        is_mapped, _, writeable, strides, values = got
        assert (writeable, values) == (True, array.tolist())
        assert (is_mapped, strides) == (True, array.strides) or not array.size  # what is empty is of no file


def test_one_comes_home(mapped):
    def part(array):
        return array[2:4]

    [got] = manyhands.map(part, [mapped])
    got[:] = 7
    assert mapped[2:4].tolist() == got.tolist()


def test_for_reading(mapped, tmp_path):
    mapped.flush()
    array = np.memmap(tmp_path / "data", dtype="i4", mode="r", shape=(10, 2), offset=12)
    [(_, mode, writeable, _, values)] = manyhands.map(described, [array])
    assert (mode, writeable, values) == ("r", False, array.tolist())


def test_a_copy_on_write_goes_by_value(mapped, tmp_path):
    mapped.flush()
    array = np.memmap(tmp_path / "data", dtype="i4", mode="c", shape=10, offset=12)
    array[0] = -1
    [values] = manyhands.map(np.ndarray.tolist, [array])
    assert values == array.tolist()


@pytest.mark.parametrize("replaced", [False, True])
def test_whose_file_is_gone_goes_by_value_and_says_so(mapped, tmp_path, replaced):
    values = mapped.tolist()
    (tmp_path / "data").unlink()
    if replaced:
        np.memmap(tmp_path / "data", dtype="i4", mode="w+", shape=SHAPE, offset=12)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        manyhands._codec._mended._noted.clear()
        assert manyhands.map(np.ndarray.tolist, [mapped]) == [values]
    assert ["travels as a copy" in str(one.message) for one in told if one.category is manyhands.TravelWarning] == [True]
