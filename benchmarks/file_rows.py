"""Rows about files: objects stored and loaded again. ``bare`` is ``numpy.save`` and ``numpy.load`` for arrays, ``pickle`` for objects.

Files are new each time, in the page cache: what is measured is not the disk.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import pickle
import statistics
import tempfile
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import Absent, Contender
from benchmarks.data_rows import MB, Record
from benchmarks.measuring import BARE, MEGA, MILLI, OWN, Metric, Row, Target, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.measuring import Figures

_REPEATS = 5


def _library(contender: type[Contender]) -> tuple[Any, Any]:
    """What has dump and load, and how it compresses fastest."""
    if contender.label == OWN:
        import manyhands

        return manyhands, "zstd"
    if contender.label == "joblib":
        import joblib

        return joblib, "lz4"
    raise Absent


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="benchmark-files-") as folder:
        yield os.path.join(folder, "file.npy")


def _times(write: Callable[[str], object], read: Callable[[str], object], path: str) -> tuple[float, float]:
    """Medians: of writing a file that is not there, of reading it."""
    writing, reading = [], []
    for _ in range(_REPEATS):
        if os.path.exists(path):
            os.unlink(path)
        gc.collect()
        writing.append(seconds_of(lambda: write(path)))
        reading.append(seconds_of(lambda: read(path)))
    return MILLI * statistics.median(writing), MILLI * statistics.median(reading)


def _array(kind: str, megabytes: int) -> Any:
    import numpy as np

    count = megabytes * MB
    if kind == "random":
        return np.random.default_rng(0).random(count)
    if kind == "smooth":
        return np.sin(np.linspace(0, 1000, count))
    return np.random.default_rng(0).integers(0, 1000, count)


def stored_array(contender: type[Contender], megabytes: int, *, kind: str) -> Figures:
    """One array, as it is and compressed."""
    library, fastest = _library(contender)
    array = _array(kind, megabytes)
    with _folder() as path:
        dump, load = _times(lambda path: library.dump(array, path), library.load, path)
        assert (library.load(path) == array).all()
        mapped = MILLI * seconds_of(lambda: library.load(path, mmap_mode="c"))
        packed, unpacked = _times(lambda path: library.dump(array, path, compress=fastest), library.load, path)
        size = MEGA * os.path.getsize(path)
    return {"dump": dump, "load": load, "mapped": mapped, "packed": packed, "unpacked": unpacked, "size": size}


def numpy_array(megabytes: int, *, kind: str) -> Figures:
    """The same with ``numpy.save`` and ``numpy.load``."""
    import numpy as np

    array = _array(kind, megabytes)
    with _folder() as path:
        dump, load = _times(lambda path: np.save(path, array), np.load, path)
        return {"dump": dump, "load": load, "mapped": MILLI * seconds_of(lambda: np.load(path, mmap_mode="c"))}


def stored_records(contender: type[Contender], count: int) -> Figures:
    """Many dataclasses."""
    library, _ = _library(contender)
    records = _records(count)
    with _folder() as path:
        dump, load = _times(lambda path: library.dump(records, path), library.load, path)
        assert library.load(path) == records
    return {"dump": dump, "load": load}


def pickled_records(count: int) -> Figures:
    """The same with ``pickle``."""
    records = _records(count)

    def write(path: str) -> None:
        with open(path, "wb") as file:
            pickle.dump(records, file, 5)

    def read(path: str) -> Any:
        with open(path, "rb") as file:
            return pickle.load(file)

    with _folder() as path:
        dump, load = _times(write, read, path)
    return {"dump": dump, "load": load}


def _records(count: int) -> list[Record]:
    return [Record(number, number / 2, str(number)) for number in range(count)]


_AS_NUMPY = Target("≤ bare (numpy)", lambda m: m[OWN] <= 1.05 * m[BARE])
_TEN_TIMES = Target("joblib ≥ 10x", lambda m: m["joblib"] >= 10 * m[OWN])


def _row_of_arrays(kind: str, title: str) -> Row:
    return Row(
        f"dump-{kind}",
        (
            Metric("dump", f"dump 500 MB of {title}", "ms", _AS_NUMPY),
            Metric("load", "load them", "ms", _AS_NUMPY),
            Metric("mapped", "load them mapped", "ms"),
            Metric("packed", "dump them compressed (zstd; joblib: lz4)", "ms"),
            Metric("unpacked", "load them", "ms"),
            Metric("size", "size of the compressed file", "MB"),
        ),
        functools.partial(stored_array, kind=kind),
        size=500,
        quick=50,
        timeout=180,
        rounds=3,
        bare=functools.partial(numpy_array, kind=kind),
    )


FILE_ROWS: tuple[Row, ...] = (
    _row_of_arrays("random", "random numbers"),
    _row_of_arrays("smooth", "a smooth curve"),
    _row_of_arrays("integers", "integers below 1000"),
    Row(
        "dump-records",
        (Metric("dump", "dump 20k dataclasses", "ms", _TEN_TIMES), Metric("load", "load them", "ms", _TEN_TIMES)),
        stored_records,
        size=20_000,
        quick=2000,
        bare=pickled_records,
    ),
)
