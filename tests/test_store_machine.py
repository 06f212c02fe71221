"""A store against a dictionary, with writers that die at any step."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import warnings

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_writers import problems
from test_store_faults import STEPS

from manyhands.memory import _eviction
from manyhands.memory._entry import LARGE, Meta
from manyhands.memory._index import EntryInfo
from manyhands.memory._store import Store

KEYS = st.integers(20, 23).map(lambda n: bytes([n]) * 16)
VALUES = st.tuples(st.sampled_from(["small", "large", "both"]), st.integers(0, 2))


def made(value):
    kind, number = value
    large = np.full(LARGE, number, np.uint8)
    return {"small": number, "large": large, "both": [large, np.full(LARGE + 1, number, np.uint8), number]}[kind]


def is_same(found, value):
    wanted = made(value)
    if isinstance(wanted, list):
        return all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))
    return np.array_equal(found, wanted)


class Machine(RuleBasedStateMachine):
    """``model`` has, for each key, the values that may be there: more than one after a writer has died, and None for no entry."""

    def __init__(self):
        super().__init__()
        self.location = tempfile.mkdtemp(prefix="store-machine-")
        self.model = {}
        self.died = False
        self.store = Store(self.location)

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.location)

    @rule(key=KEYS, value=VALUES)
    def put(self, key, value):
        self.store.put(key, made(value), Meta("f"))
        self.model[key] = {value}

    @rule(key=KEYS)
    def get(self, key):
        hit = self.store.get(key)
        allowed = self.model.get(key, {None})
        if hit is None:
            assert None in allowed
            self.model[key] = {None}
        else:
            [value] = [value for value in allowed if value is not None and is_same(hit.value, value)]
            self.model[key] = {value}

    @rule(key=KEYS)
    def delete(self, key):
        self.store.delete(key)
        self.model[key] = {None}

    @rule()
    def reopen(self):
        self.store.close()
        self.store = Store(self.location)

    @rule(data=st.data(), key=KEYS)
    def damage(self, data, key):
        path = self.store.folder.entry(key)
        if not os.path.exists(path):
            return
        os.chmod(path, 0o600)
        size = os.path.getsize(path)
        at = data.draw(st.integers(0, size - 1))
        with open(path, "r+b") as file:
            if data.draw(st.booleans()):
                file.truncate(at)
            else:
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ data.draw(st.integers(1, 255))]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert self.store.get(key) is None
        assert not os.path.exists(path)
        self.model[key] = {None}

    @rule(key=KEYS, value=VALUES, step=st.integers(1, 30), deletes=st.booleans())
    def die(self, key, value, step, deletes):
        """Another process writes, or deletes, and dies in the midst, if it gets to so many steps."""
        pid = os.fork()
        if not pid:
            steps = itertools.count(1)

            def counted(call):
                def wrapper(*args, **options):
                    if next(steps) == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return call(*args, **options)

                return wrapper

            store = Store(self.location)
            for name in STEPS:
                setattr(os, name, counted(getattr(os, name)))
            if deletes:
                store.delete(key)
            else:
                store.put(key, made(value), Meta("f"))
            os._exit(0)
        died = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        after = None if deletes else value
        self.model[key] = self.model.get(key, {None}) | {after} if died else {after}
        self.died = True

    @precondition(lambda self: self.model)
    @rule(left=st.integers(0, 3))
    def evict(self, left):
        self.store.evict(items_limit=left)
        assert len(list(self.store.entries())) <= left or self.died
        for key in self.model:
            self.model[key] = self.model[key] | {None}

    @invariant()
    def nothing_is_left_over(self):
        if self.died:
            writer = Store(self.location)
            writer.put(b"next" * 4, 1, Meta("f"))
            writer.close()
            writer.delete(b"next" * 4)
            writer.close()
            self.died = False
        if os.path.isdir(self.store.folder.entries):
            assert problems(self.location) == []


Machine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestMachine = Machine.TestCase


# ---------------------------------------------------------------- which entries go

ENTRIES = st.lists(
    st.builds(
        EntryInfo,
        key=st.binary(min_size=16, max_size=16),
        function=st.just("f"),
        size=st.integers(0, 10**6),
        large=st.integers(0, 10**9),
        seconds=st.floats(0, 1e5),
        created=st.just(0.0),
        used=st.floats(0, 1e6),
        uses=st.integers(0, 1000),
    ),
    max_size=20,
)


def entry(**known):
    return EntryInfo(
        **{"key": b"k", "function": "f", "size": 1000, "large": 0, "seconds": 1.0, "created": 0.0, "used": 0.0, "uses": 0} | known
    )


def first_to_go(*entries, now=1e5):
    return _eviction.victims(entries, now=now, items_limit=len(entries) - 1)[0]


def test_what_is_cheap_large_old_or_seldom_used_goes_first():
    assert first_to_go(entry(seconds=100.0), entry(seconds=1.0)).seconds == 1.0
    assert first_to_go(entry(large=10**6), entry()).large == 10**6
    assert first_to_go(entry(used=9e4), entry(used=1e4)).used == 1e4
    assert first_to_go(entry(uses=5), entry(uses=1)).uses == 1


def test_limits():
    entries = [entry(key=bytes([n]), used=float(n)) for n in range(10)]
    assert _eviction.victims(entries, now=10.0, stored=10_000) == []
    assert len(_eviction.victims(entries, now=10.0, stored=10_000, bytes_limit=5_000)) == 5
    assert [gone.key[0] for gone in _eviction.victims(entries, now=10.0, age_limit=7.0)] == [0, 1, 2]
    assert len(_eviction.victims(entries, now=10.0, items_limit=0)) == 10
