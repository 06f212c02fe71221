"""What is in the store, as it is told: damaged entries, entries that a callback does not let pass."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from manyhands import Memory
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
    with pytest.warns(StoreWarning, match="damaged"):
        assert ask(memory.cache(filled)) == answer
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
