"""Files of others: loaded as data, and looked at."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import fractions
import io
import json
import math
import os
import pathlib
import pickle
import random
import subprocess
import sys
import uuid
import zoneinfo

import numpy as np
import pandas as pd
import pytest
import xxhash

from manyhands import NotData, StoreCorrupt, dump, load
from manyhands._files import _format, _sinks, _writing
from manyhands.errors import UnknownFormat
from manyhands.persistence import inspect, register_data


@register_data
@dataclasses.dataclass
class Point:
    x: float
    y: object = None


@register_data
@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: float
    y: object = None


@dataclasses.dataclass
class Unknown:
    x: int


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file.mh")


def same(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, Point):
        return same(one.x, other.x) and same(one.y, other.y)
    return one == other


_DATA = [
    *(1, -5, 2**70, 1.5, True, None, "é", b"y", bytearray(b"z"), 1j, range(3), slice(1, 2)),
    *([1, [2]], {1: {"a": 2}}, {1, 2}, frozenset([1]), (1, (2, 3), 4, 5)),
    datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
    datetime.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    *(datetime.date(2020, 1, 2), datetime.time(3), datetime.timedelta(1, 2, 3)),
    *(decimal.Decimal("1.50"), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.Path("/a/b")),
    *(collections.OrderedDict(b=1, a=2), collections.Counter("aab"), collections.defaultdict(list, {1: [2]}), collections.deque([1], 5)),
    *(np.float64(2), np.int8(3), np.bool_(True), np.datetime64("2020-01-02"), np.str_("a")),
    *(np.arange(12.0).reshape(3, 4), np.arange(12.0).reshape(3, 4).T, np.arange(10)[::2], np.array(5), np.zeros((0, 2))),
    *(np.arange(4, dtype=">i8"), np.array(["2020-01-01"], "M8[D]"), np.array(["a", "bc"]), np.zeros(2, [("a", "i4"), ("b", "f8", 2)])),
    *(np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)), np.array([[1, "a"], [None, 2.5]], object)),
    *(Point(1, [2]), Frozen(2, Point(3)), [Point(1, np.arange(3))] * 2),
]


@pytest.mark.parametrize("protocol", [None, 2, 4])
@pytest.mark.parametrize("value", _DATA, ids=lambda value: f"{type(value).__name__}")
def test_data(path, value, protocol):
    dump(value, path, protocol=protocol)
    found = load(path, safe=True)
    if isinstance(value, list) and isinstance(value[0], Point):
        assert found[0] is found[1]
        found, value = found[0], value[0]
    assert same(found, value)


_FRAME = pd.DataFrame(
    {
        "integers": [1, 2],
        "more": [3, 4],
        "numbers": [1.0, math.nan],
        "texts": ["x", None],
        "categories": pd.Categorical(["u", "v"], ordered=True),
        "dates": pd.to_datetime(["2020", "2021"]),
        "moments": pd.to_datetime(["2020", "2021"], utc=True),
        "spans": pd.to_timedelta([1, 2], unit="s"),
        "optional": pd.array([1, None], dtype="Int64"),
        "objects": pd.Series([{1: 2}, [3]], dtype=object),
    }
)


@pytest.mark.parametrize(
    "frame",
    [_FRAME, _FRAME[["integers"]], _FRAME.set_index("dates"), _FRAME.set_index(["integers", "texts"]), _FRAME.T, pd.DataFrame()],
    ids=["all", "one", "dates", "levels", "turned", "empty"],
)
def test_frames(path, frame):
    frame.attrs["made"] = 2020
    dump(frame, path, compress="zstd")
    found = load(path, safe=True)
    pd.testing.assert_frame_equal(found, frame)
    assert found.attrs == frame.attrs


@pytest.mark.parametrize("name", _FRAME)
def test_series_and_indices(path, name):
    dump([_FRAME[name], pd.date_range("2020", periods=3), pd.Timestamp("2020-01-02", tz="UTC"), pd.Timedelta(5)], path)
    series, dates, moment, span = load(path, safe=True)
    pd.testing.assert_series_equal(series, _FRAME[name])
    pd.testing.assert_index_equal(dates, pd.date_range("2020", periods=3), check_freq=True)
    assert (moment, span) == (pd.Timestamp("2020-01-02", tz="UTC"), pd.Timedelta(5))


def test_arrays_are_mapped(path):
    dump([np.arange(1000.0), 1], path)
    array, _ = load(path, "r", safe=True)
    assert same(array, np.arange(1000.0))
    assert not array.flags.writeable


class Evil:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> object:
        return self.call[0], self.call[1:]


_MARK: list[object] = []


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Evil(os.system, "true"), "posix.system"),
        ([1, {"a": (Evil(_MARK.append, 1),)}], "builtins.getattr"),
        (np.array([Evil(eval, "1")], object), "builtins.eval"),
        ({Evil(exec, "1"): 1}, "builtins.exec"),
        (Evil(getattr, 1, "real"), "builtins.getattr"),
        (Evil(collections.defaultdict, os.getcwd), "posix.getcwd"),
        (collections.defaultdict(Evil), "Evil"),
        (os.system, "posix.system"),
        (list, "builtins.list"),
        ([1, (int,)], "builtins.int"),
        (Point, "Point"),
        (Unknown(1), "Unknown"),
        (lambda: 1, "function"),
        (subprocess.Popen, "subprocess.Popen"),
        (Evil(list, range(10**15)), "builtins.list"),
        (Evil(bytearray, 10**15), "builtins.bytearray"),
        (io.TextIOWrapper, "TextIOWrapper"),
        (pd.Series([1]).rolling, "rolling"),
    ],
)
def test_what_is_no_data_is_refused_by_its_name(path, value, name):
    dump(value, path)
    with pytest.raises(NotData) as caught:
        load(path, safe=True)
    assert name in str(caught.value)
    assert not _MARK


def test_a_method_of_pickle_is_not_called(path):
    """A state for an object that wants none, items for what is no list, and fields that a dataclass has not."""
    raw = [
        b"\x80\x05\x8c\x01a}b.",
        b"\x80\x05\x8c\x01a(K\x01e.",
        pickle.dumps(Point(1), 5).replace(b"\x8c\x01x", b"\x8c\x01q"),
    ]
    for payload in raw:
        with pytest.raises(NotData):
            load(_with_pickle(path, payload), safe=True)
    for payload in (b"\x80\x05.", b"\x80\x05h\x07.", b"\x80\x05N", b"\x80\x05\x97."):
        with pytest.raises(StoreCorrupt):
            load(_with_pickle(path, payload), safe=True)


def _with_pickle(path: str, payload: bytes) -> str:
    """A file with a pickle that no pickler would make."""
    with open(path, "wb") as file:
        sink = _sinks.Sink(file.write)
        into = _writing._Whole(sink)
        into.write(payload)
        into.end(None, 0, 0)
        sink.write(_writing._format.pack_table([]))
        sink.write(_writing._format.pack_footer([], b"{}"))
        sink.flush()
    return path


def test_plain_pickles_are_refused(path):
    with open(path, "wb") as file:
        pickle.dump([1], file)
    with pytest.raises(NotData, match="can be loaded as data"):
        load(path, safe=True)


def test_no_pickle_machine(path):
    dump([np.arange(3), {"a": datetime.date(2020, 1, 2)}], path)
    script = (
        "import pickle, manyhands.persistence, manyhands._files._safe, numpy\n"
        "class Refuses:\n"
        "    def __init__(self, *args, **kwargs): raise SystemExit('pickle was used')\n"
        "pickle.Unpickler = pickle._Unpickler = pickle.loads = pickle.load = Refuses\n"
        f"print(manyhands.load({path!r}, safe=True))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[array([0, 1, 2]), {'a': datetime.date(2020, 1, 2)}]\n"


@pytest.mark.parametrize("cls", [int, type("Plain", (), {})])
def test_only_dataclasses_are_registered(cls):
    with pytest.raises(TypeError, match="is no dataclass"):
        register_data(cls)


# ------------------------------------------------------------ inspect


class Model:
    def __init__(self) -> None:
        self.weights = np.zeros((300, 400))
        self.names = ["a", "b"]

    def __setstate__(self, state: object) -> None:
        raise AssertionError("it was loaded")


@pytest.mark.parametrize(("compress", "whole", "part"), [(0, "", ""), ("zstd", "", "zstd"), ("gzip", "gzip", "")])
def test_inspect(path, compress, whole, part):
    dump({"model": Model(), "n": 3}, path, compress=compress)
    found = inspect(path)
    assert (found.format, found.compressor, found.size) == ("manyhands", whole, os.path.getsize(path))
    assert found.python == sys.version.split()[0]
    assert found.packages["numpy"] == np.__version__
    [array] = found.arrays
    assert (array.dtype, array.shape, array.size, array.compressor) == ("float64", (300, 400), 960_000, part)
    assert (array.stored < 1000) == bool(part)
    assert any(name.endswith("Model") for name in found.names)
    assert [line.strip() for line in found.outline] == [
        "dict of 2: {'model', 'n'}",
        f"['model']: {Model.__module__}.Model",
        ".weights: array float64 (300, 400)",
        ".names: list of 2: ['a', 'b']",
        "['n']: int 3",
    ]


def test_inspect_runs_nothing(path):
    dump([Evil(_MARK.append, 1), Evil(os._exit, 3), lambda: 1], path)
    assert "posix._exit" in inspect(path).names
    assert not _MARK


def test_inspect_of_a_pickle(path):
    with open(path, "wb") as file:
        pickle.dump([1], file)
    assert inspect(path).format == "pickle or joblib"


def test_the_command(path, tmp_path):
    dump({"a": np.arange(1000)}, path)
    done = subprocess.run([sys.executable, "-m", "manyhands", "inspect", path], capture_output=True, text=True, check=True)
    assert "int64 (1000,): 8,000 bytes" in done.stdout
    told = subprocess.run([sys.executable, "-m", "manyhands", "inspect", "--json", path], capture_output=True, check=True)
    assert json.loads(told.stdout)["arrays"][0]["shape"] == [1000]
    wrong = subprocess.run([sys.executable, "-m", "manyhands", "inspect", tmp_path / "none"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "No such file" in wrong.stderr


def with_other_pickle(raw, change):
    """The file, with another pickle in it that agrees with its checksum."""
    header = _format.Header.from_bytes(raw, "")
    start, end = _format.HEADER_SIZE, _format.HEADER_SIZE + header.length
    payload = bytearray(raw[start:end])
    change(payload)
    checksum = _format.Sum()
    checksum.update(payload)
    return _format.Header(0, len(payload), len(payload), checksum.result(), header.count).to_bytes() + payload + raw[end:]


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickles_that_make_no_sense_end_in_an_error_of_ours(tmp_path, protocol):
    path = tmp_path / "file"
    data = {"a": [1, 2.5, "x" * 50, b"y"], (1,): {2, 3}}
    value = [data, datetime.date(2020, 1, 2), Point(1.0), np.arange(300), pd.DataFrame({"a": [1, 2]})]
    dump(value, path, protocol=protocol)
    raw, rng = path.read_bytes(), random.Random(protocol)

    def change(payload):
        for _ in range(rng.choice([1, 2, 5])):
            payload[rng.randrange(len(payload))] = rng.choice(b"Rbc\x93\x81tdl]}(0.2hq\x94\x97\x98\x8b\x8c\x95\xff")

    ended = collections.Counter()
    for _ in range(300):
        path.write_bytes(with_other_pickle(raw, change))
        for read in (lambda: load(path, safe=True), lambda: inspect(path)):
            try:
                read()
            except (StoreCorrupt, NotData, MemoryError) as error:
                ended[type(error)] += 1
    assert ended[StoreCorrupt] > 50


def test_lengths_that_make_no_sense(tmp_path):
    path = tmp_path / "file"
    dump(np.zeros(5000), path, compress="zstd")
    raw = bytearray(path.read_bytes())
    at = _format.HEADER_SIZE + _format.Header.from_bytes(bytes(raw), "").stored
    row = raw[at : at + 16]
    row[:8] = b"\xff" * 8
    raw[at : at + 24] = row + xxhash.xxh3_64_intdigest(bytes(row)).to_bytes(8, "little")
    path.write_bytes(raw)
    with pytest.raises(StoreCorrupt, match="buffer 0 in it: its length makes no sense"):
        load(path)


@pytest.mark.parametrize("protocol", range(6))
def test_data_of_all_protocols(tmp_path, protocol):
    value = {"a": [1, 2.5, "x", b"y", (1, 2), True, None, 2**70], "d": datetime.date(2020, 1, 1), "s": {1}, "t": (1, 2, 3, 4), "e": {}}
    path = tmp_path / "file"
    dump([value, value], path, protocol=protocol)
    one, other = load(path, safe=True)
    assert one == value
    assert one is other
    assert inspect(path).outline[0] == "list of 2"


def test_files_of_another_kind_are_not_inspected(tmp_path):
    path = tmp_path / "file"
    for content, error in ((b"<html>", UnknownFormat), (b"", StoreCorrupt), (b"\x89MHF\n", StoreCorrupt)):
        path.write_bytes(content)
        with pytest.raises(error):
            inspect(path)


def test_tables_of_arrow(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / "file"
    words = pa.array(["a", None, "b", "a"])
    columns = {
        "number": pa.array([1, 2, None, 4]), "word": words, "coded": words.dictionary_encode(), "flag": pa.array([True, None, False, True]),
        "time": pa.array([1, 2, 3, None], pa.timestamp("us", "UTC")), "list": pa.array([[1], [2, 3], None, []]),
        "record": pa.array([{"x": 1, "y": "z"}, None, {"x": 2, "y": None}, {"x": 3, "y": ""}]),
        "bytes": pa.array([b"abc"] * 4, pa.binary(3)),
        "map": pa.array([[("k", 1)], [], None, [("l", 2)]], pa.map_(pa.string(), pa.int64())), "none": pa.nulls(4),
        "price": pa.array([decimal.Decimal("1.50")] * 4, pa.decimal128(5, 2)), "long": pa.array(["x" * 50] * 4, pa.large_string()),
    }  # fmt: skip
    table = pa.table(columns).replace_schema_metadata({"made": "here"})
    for value in (table, pa.concat_tables([table, table.slice(1, 2)]), table.to_batches()[0], table.slice(1), table.schema):
        dump(value, path)
        found = load(path, safe=True)
        assert found.equals(value)
        assert type(found) is type(value)


def test_arrays_with_masks(tmp_path):
    path = tmp_path / "file"
    structured = np.ma.array([(1, 2.0), (3, 4.0)], "i4, f8", mask=[(0, 1), (1, 0)])
    fortran = np.ma.array(np.asfortranarray(np.arange(6).reshape(2, 3)), mask=np.eye(2, 3, dtype=bool))
    for value in (np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=7), structured, fortran, np.ma.array([1.5, 2.5])):
        dump(value, path)
        found = load(path, safe=True)
        assert type(found) is np.ma.MaskedArray
        assert found.dtype == value.dtype
        assert found.tolist() == value.tolist()
        assert found.fill_value == value.fill_value
