"""What is in the store, as it is told: damaged entries, entries that a callback does not let pass."""

from __future__ import annotations

import functools
import pathlib
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

import manyhands
from manyhands import Memory, NotStored
from manyhands.errors import StoreWarning


@pytest.fixture
def memory(tmp_path):
    memory = Memory(tmp_path)
    yield memory
    memory.close()


def damage(memory, part):
    for path in pathlib.Path(memory.location, "manyhands", "entries").glob("*/*"):
        if ("." in path.name) == (part == "large buffer"):
            path.chmod(0o600)
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 255
            path.write_bytes(data)


@pytest.mark.parametrize("part", ["entry", "large buffer"])
@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda function: function.check_call_in_cache(7), False),
        (lambda function: function.why(7).partition(":")[0], "it would be computed"),
        (lambda function: function.call_and_shelve(7).get()[0], 7),
    ],
)
def test_a_damaged_entry_is_not_there(tmp_path, part, ask, answer):
    def filled(x):
        return np.full(100_000, x)

    before = Memory(tmp_path)
    before.cache(filled)(7)
    before.close()
    damage(before, part)
    memory = Memory(tmp_path)
    with pytest.warns(StoreWarning, match="damaged") as said:
        assert ask(memory.cache(filled)) == answer
    assert said[0].filename == __file__
    memory.close()


def test_asking_removes_nothing_that_a_callback_rejects(memory):
    accepted = []
    function = memory.cache(lambda x: [x], cache_validation_callback=lambda metadata: bool(accepted))
    function(1)
    assert not function.check_call_in_cache(1)
    assert function.why(1) == "it would be computed: it is stored, but cache_validation_callback does not let it pass"
    accepted.append(True)
    assert function.check_call_in_cache(1)
    assert function.why(1) == "it is stored"


def test_what_a_callback_rejects_is_computed_and_shelved_anew(memory):
    calls = []

    def function(x):
        calls.append(x)
        return [x]

    cached = memory.cache(function, cache_validation_callback=lambda metadata: False)
    assert cached(1) == cached(1) == cached.call_and_shelve(1).get() == [1]
    assert calls == [1, 1, 1]


# ------------------------------------------------------------ what would be stored is only a reference


def shared_memory():
    """One that is not there: making one would start a process that stays."""
    memory = SharedMemory.__new__(SharedMemory)
    memory._name, memory._size = "/none", 8
    return memory


@pytest.mark.parametrize(
    ("make", "mend"),
    [
        (lambda path: path.open(), "return its path, or what is to be read from it"),
        (lambda path: path.open("rb", buffering=0), "return its path, or what is to be read from it"),
        (lambda _: manyhands.shared_array((3,)), "return a copy of it"),
        (lambda _: manyhands.shared_array((300_000,))[::2], "return a copy of it"),
        (lambda _: shared_memory(), "return its bytes"),
    ],
)
@pytest.mark.parametrize("beside", [None, lambda: 1], ids=["plain", "by value"])
def test_references_are_not_stored(memory, tmp_path, make, mend, beside):
    path = tmp_path / "text"
    path.write_text("text")

    @memory.cache(ignore=["path"])
    def made(path):
        return {"made": make(path), "beside": beside}

    with pytest.raises(NotStored, match=rf"^.*\n *dict\['made'\] \(.*{mend}") as raised:
        made(path)
    getattr(raised.value.result["made"], "close", int)()
    assert not made.check_call_in_cache(path)


def test_a_reference_that_a_generator_yields_is_not_stored(tmp_path):
    path = tmp_path / "text"
    path.write_text("text")

    def lines(path):
        yield 1
        with path.open() as file:
            yield file
        yield 3

    strict, lenient = Memory(tmp_path / "cache").cache(lines), Memory(tmp_path / "cache", on_not_stored="warn").cache(lines)
    given = strict(path)
    assert next(given) == 1
    with pytest.raises(NotStored, match=r"it is an open file.*: return its path"):
        next(given)
    with pytest.warns(RuntimeWarning, match="it is an open file"):
        assert [item for item in lenient(path) if isinstance(item, int)] == [1, 3]
    assert not lenient.check_call_in_cache(path)


def test_arrays_of_files_and_of_shared_ones_are_stored_by_value(memory, tmp_path):
    mapped = memory.cache(lambda path: [np.memmap(path, mode="w+", shape=(5,)), lambda: 1])
    mapped(tmp_path / "map")
    (tmp_path / "map").write_bytes(b"12345")
    assert mapped(tmp_path / "map")[0].tolist() == [0] * 5
    computed = memory.cache(lambda: manyhands.shared_array((3,)) + 1)
    assert computed().tolist() == computed().tolist() == [1, 1, 1]
    assert computed.check_call_in_cache()


# ------------------------------------------------------------ clear() of one function


def scaled_by(factor, offset=0):
    def scaled(x, offset=offset):
        return factor * x + offset

    return scaled


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x + 1, lambda x: x + 2),
        (scaled_by(2), scaled_by(3)),
        (scaled_by(2), scaled_by(2, offset=[1][0])),
        (functools.partial(scaled_by, 2), functools.partial(scaled_by, 3)),
        (Scaled(2), Scaled(3)),
    ],
)
def test_clearing_a_function_leaves_those_of_the_same_name(memory, one, other):
    first, second = memory.cache(one), memory.cache(other)
    assert first.key.name == second.key.name
    first.call_and_shelve(1)
    first.call_and_shelve(2)
    second.call_and_shelve(1)
    Memory(memory.location).cache(one).clear()
    assert [first.check_call_in_cache(1), first.check_call_in_cache(2), second.check_call_in_cache(1)] == [False, False, True]


def test_clearing_a_function_removes_what_it_had_with_other_helpers(memory, monkeypatch):
    monkeypatch.setitem(globals(), "RATE", 1)
    rated = memory.cache(lambda x: x * RATE)  # noqa: F821 - above
    rated(1)
    monkeypatch.setitem(globals(), "RATE", 2)
    rated(1)
    rated.clear()
    assert not rated.check_call_in_cache(1)
    monkeypatch.setitem(globals(), "RATE", 1)
    assert not rated.check_call_in_cache(1)


def doubled(x):
    return 2 * x


def test_clearing_a_function_with_a_name_removes_its_former_versions(memory):
    versions = [memory.cache(doubled, version=version) for version in (1, 2)]
    other = memory.cache(abs)
    for function in (*versions, other):
        function(1)
    versions[0].clear()
    assert [function.check_call_in_cache(1) for function in (*versions, other)] == [False, False, True]


# ------------------------------------------------------------ why, where the code of an argument was edited


def edited(version):
    """The same names, as they are before and after an edit."""
    if version == 1:

        class Config:
            def rate(self):
                return 1

        def by(x):
            return x
    else:

        class Config:
            def rate(self):
                return 2

        def by(x):
            return -x

    return Config, by


def test_why_names_the_code_of_an_argument_that_has_changed(memory):
    (old_config, old_by), (new_config, new_by) = edited(1), edited(2)
    function = memory.cache(lambda config, by, number: 1)
    function(old_config(), old_by, 1)
    assert function.why(new_config(), old_by, 1) == (
        "it would be computed: argument config changed; argument config: class edited.<locals>.Config changed"
    )
    assert function.why(old_config(), new_by, 1) == (
        "it would be computed: argument by changed; argument by: function edited.<locals>.by changed"
    )
    assert function.why(5, old_by, 2) == "it would be computed: argument config changed; argument number changed"


def test_proxies_are_not_stored(memory):
    @memory.cache
    def made():
        return {"made": manyhands.share([1])}

    with pytest.raises(NotStored, match="it stands for an object of a process"):
        made()
