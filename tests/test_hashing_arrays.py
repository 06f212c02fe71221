"""Digests of arrays, tables and tensors: of what is in them, however that lies in memory."""

from __future__ import annotations

import copy
import datetime
import pickle
import sys
import tracemalloc
import types

import numpy as np
import pytest

import manyhands
from manyhands._hashing import _algorithms, digest_of
from manyhands.errors import NotHashable


def differ(*values):
    digests = [digest_of(value) for value in values]
    return len(set(digests)) == len(digests)


def agree(*values):
    return len({digest_of(value) for value in values}) == 1


# ------------------------------------------------------------ numpy

A = np.arange(24.0).reshape(4, 6)


def test_how_an_array_lies_in_memory_does_not_count(tmp_path):
    mapped = np.memmap(tmp_path / "mapped", mode="w+", shape=A.shape, dtype=A.dtype)
    mapped[:] = A
    shared = manyhands.share_array(A)
    frozen = A.copy()
    frozen.flags.writeable = False
    assert agree(A, A.copy(), np.asfortranarray(A), np.repeat(A, 2, axis=1)[:, ::2], A[::-1].copy()[::-1], mapped, shared, frozen)
    assert agree(np.broadcast_to(np.int8(1), (3, 4)), np.ones((3, 4), np.int8))


@pytest.mark.parametrize(
    "shape", [(3 * _algorithms.BLOCK // 8 + 5,), (700, 801), (2, 300_001), (300_001, 2), (3, 2, 99_991), (1, 1, 700_000)]
)
def test_large_arrays(shape):
    array = np.random.default_rng(0).random(shape)
    twice = np.repeat(array, 2, axis=-1)[..., ::2]
    changed = array.copy()
    changed[(-1,) * len(shape)] += 1
    assert agree(array, np.asfortranarray(array), twice, array.T.copy().T)
    assert differ(array, changed, array.ravel() if len(shape) > 1 else array[:-1])


def test_large_strided_arrays_are_not_copied():
    array = np.zeros((4000, 2000))[:, ::2]
    digest_of(array)
    tracemalloc.start()
    try:
        digest_of(array)
        digest_of(array.T)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * _algorithms.BLOCK < array.nbytes


ARRAYS = [
    A, A.T, A.astype("f4"), A.astype(">f8"), A.astype(complex), A.reshape(6, 4), A.ravel(), A[:, :, None], A.tolist(), np.ma.array(A),
    A.astype("S4"), A.astype("U4"), A.astype(object), A.view("M8[s]"), A.view("M8[ms]"), A.view("m8[s]"), A.astype(bool), A + 1, -A,
    np.array(1.0), np.array([1.0]), np.array([[1.0]]), np.float64(1), np.float32(1), 1.0, np.int64(1), np.int32(1), 1, np.bool_(True), True,
    np.str_("a"), "a", np.array("a"), np.bytes_(b"a"), b"a", np.datetime64("2020"), np.datetime64("2020-01"), np.timedelta64(1, "s"),
    np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(3, "S0"), np.zeros(4, "S0"),
    np.zeros(3, [("a", "i1")]), np.zeros(3, [("b", "i1")]),
    np.zeros(3, [("a", "u1")]), np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)), np.zeros(3, [("a", "i1"), ("b", "f8")]),
    np.rec.array([(1, 2.0)], dtype=[("a", "i1"), ("b", "f8")]), np.zeros(3, "g"), np.ones(3, "g"), np.ones(3, "G"), np.void(b"a"),
    np.dtype("f8"), np.dtype("f4"), np.dtype([("a", "f8")]), np.dtype(("f8", 3)), np.float64, np.dtype("M8[s]"), np.dtype("O"),
    np.add, np.subtract, np.sum, np.mean, np.linalg.norm, np.random.default_rng(1), np.random.default_rng(2), np.random.RandomState(1),
    np.random.RandomState(2), np.random.SeedSequence(1), np.polynomial.Polynomial([1, 2]), np.s_[1:2], np.array([None, 1, "a"], object),
    np.array([[1], None], object), np.array(["a", "b"], np.dtypes.StringDType()),
    np.dtypes.StringDType(), np.dtypes.StringDType(na_object=None),
]  # fmt: skip


def test_whatever_differs_has_another_digest():
    found = {}
    for value in ARRAYS:
        found.setdefault(digest_of(value), []).append(value)
    assert [together for together in found.values() if len(together) > 1] == []


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{type(value).__name__}")
def test_a_copy_has_the_same_digest(value):
    unpickled = pickle.loads(pickle.dumps(value))
    swapped = getattr(value, "dtype", None) != getattr(unpickled, "dtype", None)  # numpy turns the order of bytes round
    assert agree(value, copy.deepcopy(value), value if swapped else unpickled)


def test_bytes_that_say_nothing_do_not_count():
    aligned = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    unused = {aligned: slice(1, 8), np.dtype("g"): slice(10, 16), np.dtype([("x", "g", 2)]): slice(10, 16), np.dtype("G"): slice(26, 32)}
    for kind, part in unused.items():
        zeros, garbage = np.zeros(3, kind), np.zeros(3, kind)
        garbage.view("u1").reshape(3, -1)[:, part] = 255
        assert agree(zeros, garbage)
        assert agree(zeros[1], garbage[1])
        garbage.view("u1")[part.start - 1] = 1
        assert differ(zeros, garbage)


def test_arrays_of_objects():
    def made(order="C"):
        return np.array([[1, "a"], [None, {"x": {1, 2}}]], dtype=object, order=order)

    changed = made()
    changed[1, 1]["x"].add(3)
    assert agree(made(), made("F"))
    assert differ(made(), changed, made().T)
    with pytest.raises(NotHashable) as caught:
        digest_of({"a": np.array([1, (number for number in ())], dtype=object)}, "x")
    assert caught.value.path == "x['a'][1]"


class Tagged(np.ndarray):
    def __array_finalize__(self, source):
        self.unit = getattr(source, "unit", None)


def test_subclasses_and_masks():
    one, other = A.view(Tagged), A.view(Tagged)
    one.unit, other.unit = "m", "s"
    assert differ(A, A.view(Tagged), one, other)
    assert agree(np.ma.array(A, mask=A > 3), np.ma.array(np.asfortranarray(A), mask=A > 3))
    assert differ(np.ma.array(A, mask=A > 3), np.ma.array(A, mask=A > 4), np.ma.array(A), np.ma.array(A, fill_value=7))


def test_what_is_behind_a_mask_does_not_count():
    mask = [False, True, False]
    assert agree(np.ma.array([1, 2, 3], mask=mask), np.ma.array([1, 9, 3], mask=mask))
    assert differ(np.ma.array([1, 2, 3], mask=mask), np.ma.array([1, 2, 4], mask=mask), np.ma.array([1, 0, 3]))
    one, other = (np.ma.array([(1, number), (number, 2)], "i4, f8", mask=[(0, 1), (1, 0)]) for number in (5, 6))
    assert agree(one, other)
    assert digest_of(np.ma.masked) != digest_of(np.ma.array(0.0))
    value = np.ma.array([1, 2, 3], mask=mask)
    digest_of(value)
    assert value.data[1] == 2


class Scale:
    weights = np.ones(3)


def test_an_array_of_a_class_counts_for_its_objects():
    before = digest_of(Scale())
    Scale.weights[1] = 5
    assert digest_of(Scale()) != before
    Scale.weights[1] = 1
    assert digest_of(Scale()) == before


def test_labels_that_no_row_of_a_multi_index_has_do_not_count():
    pd = pytest.importorskip("pandas")
    index = pd.MultiIndex.from_product([["b", "a"], [1, 2], pd.date_range("2020", periods=2)])
    few = pd.MultiIndex.from_tuples(list(index[2:5]))
    assert agree(index[2:5], few, few.remove_unused_levels(), few[::-1][::-1])
    assert differ(index[2:5], index[2:6], index[2:5][::-1], few.set_names(["x", "y", "z"]))
    frame = pd.DataFrame({"x": range(8)}, index=index)
    assert agree(frame.loc[["a"]], pd.DataFrame({"x": range(4, 8)}, index=pd.MultiIndex.from_tuples(list(index[4:]))))
    none = pd.MultiIndex.from_tuples([("a", None), (None, "b")])
    assert agree(none, none.append(none)[:2])
    assert differ(none, pd.MultiIndex.from_tuples([("a", "b"), (None, "b")]))


def test_functions_that_draw_from_the_generator_of_the_process():
    before = digest_of(np.random.normal)
    np.random.normal()
    assert digest_of(np.random.normal) == before
    assert differ(np.random.normal, np.random.uniform, np.random.RandomState(3).normal)


# ------------------------------------------------------------ pandas


def table(pd):
    return pd.DataFrame(
        {
            "int": [1, 2, 3],
            "float": [1.0, None, 3.0],
            "text": ["x", None, "z"],
            "category": pd.Categorical(["u", "v", "w"]),
            "time": pd.date_range("2020", periods=3, tz="Europe/Berlin"),
            "delta": pd.to_timedelta([1, 2, 3], unit="s"),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "period": pd.period_range("2020", periods=3, freq="D"),
            "interval": pd.interval_range(0, 3),
            "sparse": pd.arrays.SparseArray([0, 1, 0]),
            "object": [[1], {2}, None],
        }
    )


def test_how_a_frame_is_kept_does_not_count():
    pd = pytest.importorskip("pandas")
    frame = table(pd)
    by_column = pd.DataFrame(index=frame.index)
    for name in frame:
        by_column[name] = frame[name]
    joined = pd.concat([frame.iloc[:, :2], frame.iloc[:, 2:]], axis=1)
    assert agree(frame, by_column, joined, frame.copy(), pickle.loads(pickle.dumps(frame)))
    assert agree(frame["int"], frame.copy()["int"], by_column["int"])


def test_each_column_and_label_of_a_frame_counts():
    pd = pytest.importorskip("pandas")
    frame = table(pd)
    others = [frame]
    for name in frame:
        changed = frame.copy()
        changed[name] = frame[name].array.take([1, 0, 2])
        others += [changed, frame.drop(columns=name), frame.rename(columns={name: "other"}), frame[name], frame[name].rename("other")]
    attributed = frame.copy()
    attributed.attrs["source"] = "here"
    others += [attributed, frame.set_index("int"), frame.set_index(["int", "text"]), frame[:2], frame[1:], frame.astype({"int": "int8"})]
    others += [frame.index, pd.Index([0, 1, 2]), pd.Index([0, 1, 2], name="a"), frame.columns, frame.set_index(["int", "text"]).index]
    assert differ(*others)


def test_what_is_behind_a_missing_value_does_not_count():
    pd = pytest.importorskip("pandas")
    one, other = pd.array([1, None, 3], dtype="Int64"), pd.array([1, 99, 3], dtype="Int64")
    other[1] = None
    other._data[1] = 99
    assert agree(one, other)
    assert differ(one, pd.array([1, 1, 3], dtype="Int64"), pd.array([None, 1, 3], dtype="Int64"), pd.array([1, None, 3], dtype="Int32"))


def test_frames_backed_by_arrow():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = table(pd)[["int", "float", "text"]].convert_dtypes(dtype_backend="pyarrow")
    chunked = pd.concat([frame[:1], frame[1:]])
    assert agree(frame, chunked, frame.copy())
    assert differ(frame, frame[::-1], frame[:2], table(pd)[["int", "float", "text"]])


def test_a_part_of_a_frame_that_cannot_be_hashed_is_named():
    pd = pytest.importorskip("pandas")
    frame = table(pd)
    frame["bad"] = [None, (number for number in ()), None]
    with pytest.raises(NotHashable, match=r"x\[0\]\['bad'\]\[1\] \(a generator\)"):
        digest_of([frame], "x")


# ------------------------------------------------------------ pyarrow


def columns(pa):
    return {
        "int": pa.array([1, None, 3]),
        "text": pa.array(["x", None, "zz"]),
        "large": pa.array(["x", None, "zz"], pa.large_string()),
        "view": pa.array(["x", None, "zz"], pa.string_view()),
        "bytes": pa.array([b"x", b"", None]),
        "fixed": pa.array([b"xy", None, b"zz"], pa.binary(2)),
        "list": pa.array([[1, 2], [], None]),
        "pair": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
        "flag": pa.array([True, None, False]),
        "struct": pa.array([{"a": 1}, None, {"a": None}]),
        "dictionary": pa.array(["u", "v", None]).dictionary_encode(),
        "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int8())),
        "decimal": pa.array([1, 2, None], pa.decimal128(5, 2)),
        "date": pa.array([datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 2)]),
        "ends": pa.compute.run_end_encode(pa.array([1, 1, 2])),
    }


def test_how_arrow_divides_a_column_does_not_count():
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.compute")
    seen = []
    for name, column in columns(pa).items():
        whole = pa.chunked_array([column])
        divided = pa.chunked_array([column[:1], column[1:1], column[1:]])
        assert agree(whole, divided), name
        assert agree(column, pa.concat_arrays([column, column])[3:], column[:2] if len(column) < 3 else column), name
        seen += [column, whole, column[:2], column[1:], pa.concat_arrays([column[1:], column[:1]])]
    assert differ(*seen)
    both = pa.table(columns(pa))
    divided = pa.concat_tables([both[:1], both[1:]])
    assert agree(both, divided, divided.combine_chunks())
    assert differ(both, both[:2], both.rename_columns([*both.column_names[:-1], "other"]), both.replace_schema_metadata({"a": "b"}))


def test_what_is_behind_a_missing_value_of_arrow_does_not_count():
    pa = pytest.importorskip("pyarrow")
    mask = np.array([False, True, False])
    assert agree(pa.array([1, 2, 3], mask=mask), pa.array([1, None, 3]), pa.array(np.array([1, 7, 3]), mask=mask))


# ------------------------------------------------------------ polars


def polars_frame(pl):
    return pl.DataFrame(
        {
            "int": [1, None, 3],
            "text": ["x", None, "zz"],
            "list": [[1, 2], [], None],
            "nested": [[["a"], []], None, [[None, "b"]]],
            "flag": [True, None, False],
            "struct": [{"a": 1}, None, {"a": 3}],
            "date": [datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 2)],
            "time": [datetime.datetime(2020, 1, 1), None, datetime.datetime(2020, 1, 2)],
            "category": pl.Series(["u", "v", "w"], dtype=pl.Categorical),
            "enum": pl.Series(["u", "v", "w"], dtype=pl.Enum(["u", "v", "w"])),
            "pair": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int8, 2)),
            "bytes": [b"1", b"", None],
            "none": [None] * 3,
            "decimal": pl.Series(["1.2", "3", "4"]).cast(pl.Decimal(5, 2)),
            "object": pl.Series([{1}, [2], None], dtype=pl.Object),
        }
    )


@pytest.fixture(scope="module")
def pl():
    found = pytest.importorskip("polars")
    digest_of(polars_frame(found))  # its threads stay
    return found


def test_how_polars_divides_a_frame_does_not_count(pl):
    frame = polars_frame(pl)
    plain = frame.drop("object")
    divided = pl.concat([plain[:1], plain[1:2], plain[2:]], rechunk=False)
    assert divided.n_chunks() == 3
    assert agree(plain, divided, divided.rechunk(), pl.concat([plain, plain])[3:])
    assert agree(frame, frame.clone())
    seen = [frame, plain, frame[:2], frame.rename({"int": "other"})]
    for name in frame.columns:
        column = frame[name]
        seen += [column, column.rename("other"), column[:2]] + ([column[[2, 0, 1]]] if name not in ("none", "object") else [])
    assert differ(*seen)


# ------------------------------------------------------------ torch, as far as its surface goes


class Tensor:
    """What is used of a tensor, over numpy."""

    __module__ = "torch"

    def __init__(self, array, device="cpu", requires_grad=False):
        self.array = np.asarray(array)
        self.device = types.SimpleNamespace(type=device)
        self.requires_grad = requires_grad
        self.layout = "torch.strided"
        self.is_quantized = False

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: f"torch.{self.array.dtype}")

    def detach(self):
        return self

    cpu = resolve_conj = resolve_neg = detach

    def contiguous(self):
        return Tensor(np.ascontiguousarray(self.array))

    def reshape(self, *shape):
        return Tensor(self.array.reshape(*shape))

    def view(self, kind):
        return Tensor(self.array.view(kind))

    def numpy(self):
        return self.array


Tensor.__qualname__ = "Tensor"


def test_tensors(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(uint8=np.uint8))
    assert agree(Tensor(A), Tensor(A.copy()), Tensor(np.asfortranarray(A)))
    assert differ(
        Tensor(A),
        Tensor(A.T),
        Tensor(A + 1),
        Tensor(A.astype("f4")),
        Tensor(A.view("i8")),
        Tensor(A, requires_grad=True),
        Tensor(A, "cuda"),
        A,
    )
    sparse = Tensor(A)
    sparse.layout = "torch.sparse_csr"
    with pytest.raises(NotHashable, match=r"torch\.sparse_csr"):
        digest_of(sparse)


# ------------------------------------------------------------ as joblib has it


def test_joblib_hash(tmp_path):
    from manyhands.compat import joblib

    mapped = np.memmap(tmp_path / "mapped", mode="w+", shape=A.shape, dtype=A.dtype)
    mapped[:] = A
    assert joblib.hash(A) == joblib.hash(A.copy()) != joblib.hash(np.asfortranarray(A))
    assert joblib.hash(mapped) != joblib.hash(A)
    assert joblib.hash(mapped, coerce_mmap=True) == joblib.hash(A)
    assert len(joblib.hash(A)) == 32
    assert len(joblib.hash(A, "sha1")) == 40
    assert joblib.hash({1: 2, "a": {3}}) == joblib.hash({"a": {3}, 1: 2})
    with pytest.raises(ValueError, match=r"Valid options for 'hash_name' are \('md5', 'sha1'\). Got hash_name='xxh' instead."):
        joblib.hash(1, "xxh")
    with pytest.raises(pickle.PicklingError) as caught:
        joblib.hash({"a": (number for number in ())})
    assert isinstance(caught.value, NotHashable)
    assert isinstance(caught.value, TypeError)


def test_tables_are_the_same_however_pandas_gives_their_columns(monkeypatch):
    pd = pytest.importorskip("pandas")
    times = pd.to_datetime(["2020", "2021"])
    columns = {"a": [1, 2], "b": ["x", None], "c": times, "d": pd.Categorical(["a", "b"]), "e": pd.array([1, None], dtype="Int64")}
    table = pd.DataFrame({**columns, "f": times.tz_localize("UTC"), "g": times.to_period("D"), "h": [0.5, 1]})
    before = digest_of(table)
    monkeypatch.delattr(pd.DataFrame, "_iter_column_arrays")
    assert digest_of(table) == before
