"""What a store keeps, and how it gives it back."""

from __future__ import annotations

import fcntl
import functools
import os
import pickle
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import manyhands
from manyhands import errors
from manyhands.memory import _survey
from manyhands.memory._buffers import Buffers
from manyhands.memory._entry import LARGE, Meta
from manyhands.memory._store import Store

KEY, OTHER, THIRD = b"a" * 16, b"b" * 16, b"c" * 16
META = Meta("module.f", {"x": "1"}, seconds=2.0, versions={"python": "3"}, why={"code of f": b"1"})


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path))
    yield store
    store.close()


def meta(function="module.f", seconds=0.0):
    return Meta(function, seconds=seconds)


def files(store, *parts):
    found = []
    for part in parts or ("entries", "buffers", "staging", "locks"):
        for folder, _, names in os.walk(os.path.join(store.folder.path, part)):
            found += [os.path.join(folder, name) for name in names]
    return found


def same(one, other):
    return pickle.dumps(one) == pickle.dumps(other)


# ---------------------------------------------------------------- values


def test_its_folder_says_that_nothing_in_it_is_worth_keeping(tmp_path):
    """To git and to backups; also after it has been emptied."""
    store = Store(str(tmp_path))
    store.put(KEY, 1, meta())
    store.clear()
    assert (tmp_path / "manyhands" / ".gitignore").read_text().splitlines()[-1] == "*"
    assert (tmp_path / "manyhands" / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    store.close()


@pytest.mark.parametrize(
    "value",
    [None, 1, "text", {"a": [1, 2.5]}, (1, {2}), b"x" * (LARGE + 1), bytearray(b"y" * LARGE), "z" * 3_000_000, Meta("f"), ValueError("v")],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("codec", [None, "zlib", "lz4", "zstd"])
def test_values_come_back(tmp_path, value, codec):
    store = Store(str(tmp_path), codec=codec)
    store.put(KEY, value, meta())
    found = store.get(KEY).value
    assert type(found) is type(value)
    assert same(found, value)
    store.close()


@pytest.mark.parametrize("codec", [None, "zlib", "lz4", "zstd"])
@pytest.mark.parametrize("size", [10, 40_000, 200_000])
def test_arrays_come_back_writable_and_what_is_written_to_them_stays_here(tmp_path, codec, size):
    store = Store(str(tmp_path), codec=codec)
    array = np.arange(size)
    store.put(KEY, {"a": array, "b": array[::2], "f": np.asfortranarray(array.reshape(2, -1))}, meta())
    for _ in range(2):
        found = store.get(KEY).value
        assert np.array_equal(found["a"], array)
        assert np.array_equal(found["b"], array[::2])
        assert np.array_equal(found["f"], array.reshape(2, -1))
        found["a"][0] = 99
    store.close()


def test_read_only_arrays(store):
    store.put(KEY, np.zeros(LARGE), meta())
    with pytest.raises(ValueError, match="read-only"):
        store.get(KEY, "r").value[0] = 1


def test_what_plain_pickle_cannot_do_goes_by_value(store):
    n = 3
    store.put(KEY, [lambda x: x + n, functools.partial(lambda a, b: a + b, 1)], meta())
    first, second = store.get(KEY).value
    assert (first(1), second(1)) == (4, 2)


def test_missing(store):
    assert store.get(KEY) is None
    assert not store.has(KEY)
    assert store.meta(KEY) is None
    assert not store.delete(KEY)
    assert list(store.entries()) == []


def test_meta_comes_back(store):
    store.put(KEY, 1, META)
    found = store.get(KEY).meta
    assert (found.function, found.arguments, found.seconds, found.versions, found.why) == (
        "module.f",
        {"x": "1"},
        2.0,
        {"python": "3"},
        {"code of f": b"1"},
    )
    assert found.time > 1e9
    assert store.meta(KEY) == found


def test_a_new_result_takes_the_place_of_the_old_one(store):
    store.put(KEY, np.zeros(LARGE), meta())
    store.put(KEY, np.ones(LARGE), meta())
    assert store.get(KEY).value[0] == 1
    assert len(files(store)) == 3  # entry, its link, the content
    store.put(KEY, "small", meta())
    assert store.get(KEY).value == "small"
    assert len(files(store)) == 1


# ---------------------------------------------------------------- large buffers


def test_large_buffers_are_stored_once_by_content(store):
    for key in (KEY, OTHER):
        store.put(key, np.zeros(LARGE), meta())
    assert len(files(store, "buffers")) == 1
    assert len({os.stat(path).st_ino for path in files(store) if os.stat(path).st_size > LARGE}) == 1
    store.delete(KEY)
    assert store.get(OTHER).value[0] == 0
    store.delete(OTHER)
    assert files(store) == []


def test_an_entry_does_not_need_the_name_that_others_find_its_buffer_by(store):
    store.put(KEY, np.zeros(LARGE), meta())
    for path in files(store, "buffers"):
        os.unlink(path)
    assert store.get(KEY).value[0] == 0
    store.put(OTHER, np.zeros(LARGE), meta())
    assert store.get(OTHER).value[0] == 0


def test_mapped_results_outlive_their_entry_and_hold_no_descriptor(store):
    store.put(KEY, np.arange(LARGE), meta())
    store.close()
    before = len(os.listdir("/proc/self/fd"))
    found = [store.get(KEY).value for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before
    store.delete(KEY)
    assert all(array[-1] == LARGE - 1 for array in found)


def test_an_array_that_another_thread_changes_meanwhile_is_never_stored_under_the_wrong_name(store):
    array = np.zeros(2_000_000, np.uint8)
    over = threading.Event()

    def change():
        while not over.is_set():
            array[:] += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(10):
            try:
                store.put(KEY, array, meta())
            except RuntimeError:
                assert not store.has(KEY) or store.get(KEY)
    finally:
        over.set()
        thread.join()
    assert list(store.verify()) == []


# ---------------------------------------------------------------- what cannot be stored


def test_a_result_that_cannot_be_stored_leaves_nothing(store):
    with pytest.raises(errors.NotStorable, match=r"the result of module.f\(\) cannot be stored:\n.*list\[1\].*generator") as caught:
        store.put(KEY, [np.zeros(LARGE), (i for i in "abc")], meta())
    assert isinstance(caught.value, errors.NotSerializable)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    assert files(store) == []
    assert store.get(KEY) is None


class Refuses:
    def __reduce__(self):
        raise RuntimeError("not me")


def test_the_old_result_stays_where_the_new_one_cannot_be_stored(store):
    store.put(KEY, np.zeros(LARGE), meta())
    with pytest.raises(errors.NotStorable):
        store.put(KEY, [np.ones(LARGE), Refuses()], meta())
    assert store.get(KEY).value[0] == 0


class Moved:
    pass


def test_what_cannot_be_loaded_here_is_none_and_said_once(store, monkeypatch):
    store.put(KEY, Moved(), meta())
    monkeypatch.delattr(sys.modules[__name__], "Moved")
    with pytest.warns(errors.StoreWarning, match=r"a result of module\.f cannot be loaded here, and is computed again \(AttributeError"):
        assert store.get(KEY) is None
    assert store.get(KEY) is None
    monkeypatch.undo()
    assert isinstance(store.get(KEY).value, Moved)


# ---------------------------------------------------------------- what is known of entries


def test_entries_are_listed_with_what_is_known_of_them(store):
    store.put(KEY, np.zeros(LARGE), meta("m.f", seconds=3.0))
    store.put(OTHER, 2, meta("m.g"))
    for _ in range(3):
        store.get(OTHER)
    found = {entry.key: entry for entry in store.entries()}
    assert (found[KEY].function, found[KEY].seconds, found[KEY].large, found[KEY].uses) == ("m.f", 3.0, LARGE * 8, 0)
    assert (found[OTHER].function, found[OTHER].large, found[OTHER].uses) == ("m.g", 0, 3)
    assert found[OTHER].used > found[OTHER].created > 1e9
    assert found[OTHER].size == os.path.getsize(store.folder.entry(OTHER))


@pytest.mark.parametrize("damage", ["missing", "flipped", "cut", "empty"])
def test_the_index_is_only_a_hint(store, damage):
    for key in (KEY, OTHER):
        store.put(key, np.zeros(LARGE), meta("m.f", seconds=3.0))
    store.close()
    right = {(entry.key, entry.function, entry.size, entry.large, entry.seconds) for entry in store.entries()}
    stored = store.index().bytes_stored()
    [path] = files(store, "index")[:1] if damage == "none" else [path for path in files(store, "index") if path.endswith(".log")]
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        if damage == "flipped":
            data[100] ^= 1
        file.seek(0)
        file.truncate()
        file.write(b"" if damage == "empty" else data[: len(data) // 2] if damage == "cut" else data)
    if damage == "missing":
        os.unlink(path)
    again = Store(store.location)
    assert {(entry.key, entry.function, entry.size, entry.large, entry.seconds) for entry in again.entries()} == right
    assert again.index().bytes_stored() == stored
    assert again.evict(items_limit=0).entries == 2
    assert files(again) == []
    again.close()


def test_the_size_is_known_without_reading_the_index(store):
    store.put(KEY, np.zeros(LARGE), meta())
    store.put(OTHER, np.zeros(LARGE), meta())
    store.put(OTHER, "small", meta())
    store.put(THIRD, 1, meta())
    store.delete(THIRD)
    with store.journal() as journal:
        stored, count, _, _ = journal.estimate()
    assert count == 2
    assert stored == store.index().bytes_stored() == sum(os.path.getsize(store.folder.entry(key)) for key in (KEY, OTHER)) + LARGE * 8


def test_journals_of_programs_that_have_ended_are_taken_over(tmp_path):
    for number in range(5):
        with warnings.catch_warnings():
            store = Store(str(tmp_path))
            store.put(bytes([number]) * 16, number, meta())
            store.get(bytes([0]) * 16)
            store.close()
    assert len([path for path in files(store, "index") if path.endswith(".log")]) == 1
    assert [entry.uses for entry in store.entries()] == [5, 0, 0, 0, 0]


def test_a_new_base_is_made_of_what_has_been_noted(store):
    for number in range(20):
        store.put(bytes([number]) * 16, number, meta(f"m.f{number % 3}"))
    store.get(b"\0" * 16)
    before = sorted(store.entries())
    with store.journal() as journal:
        assert journal.compact()
    assert sorted(store.entries()) == before
    assert store.delete(b"\1" * 16)
    assert len(list(store.entries())) == 19


def test_hits_are_written_at_the_end_of_a_program(tmp_path):
    program = (
        "import sys; from manyhands.memory._store import Store; from manyhands.memory._entry import Meta\n"
        "store = Store(sys.argv[1]); store.put(b'a' * 16, 1, Meta('f'))\n"
        "for _ in range(3): store.get(b'a' * 16)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    [entry] = Store(str(tmp_path)).entries()
    assert entry.uses == 3


def hit(store, times):
    for _ in range(times):
        store.get(KEY)
    return os.getpid()


@pytest.mark.parametrize("start", ["zygote", "fork"])
def test_hits_of_workers_are_written_when_they_leave(store, start):
    store.put(KEY, 1, meta())
    store.get(KEY)
    with manyhands.Executor(2, start_method=start) as executor:
        assert os.getpid() not in set(executor.map(hit, [store] * 4, [5] * 4))
    [entry] = store.entries()
    assert entry.uses == 21


# ---------------------------------------------------------------- eviction


def test_beyond_the_limit_what_is_worth_least_goes_in_the_background(tmp_path):
    store = Store(str(tmp_path), size_limit=20_000)
    store.put(KEY, os.urandom(1000), meta(seconds=1000.0))
    for number in range(100):
        store.put(bytes([number]) * 16, os.urandom(1000), meta(seconds=0.001))
    store.close()
    assert sum(os.path.getsize(path) for path in files(store, "entries")) <= 20_000
    assert len(files(store, "entries")) > 5
    assert store.has(KEY)


def test_evict(store):
    for number in range(10):
        store.put(bytes([number]) * 16, number, meta(seconds=float(number)))
    assert store.evict(items_limit=4).entries == 6
    assert {entry.key[0] for entry in store.entries()} == {6, 7, 8, 9}
    assert store.evict(age_limit=3600).entries == 0
    assert store.evict(age_limit=-1).entries == 4
    assert store.evict(bytes_limit=0) == (0, 0)


def test_evicting_large_entries_gives_the_room_back(store):
    store.put(KEY, np.zeros(LARGE), meta())
    assert store.evict(bytes_limit=1000).bytes > LARGE * 8
    assert files(store) == []


def test_clear_forgets_what_others_have_noted(tmp_path, store):
    store.put(KEY, 1, meta())
    ended = Store(str(tmp_path))
    ended.put(OTHER, np.zeros(LARGE), meta())
    ended.close()
    third = Store(str(tmp_path))
    third.clear()
    assert list(third.index().infos()) == []
    assert third.index().bytes_stored() == 0
    store.put(KEY, 2, meta())  # it lives, and goes on
    assert [entry.key for entry in third.index().infos()] == [KEY]
    third.close()


def test_clear(store):
    store.put(KEY, np.zeros(LARGE), meta("m.f"))
    store.put(OTHER, 1, meta("m.g"))
    store.clear("m.g")
    assert [entry.key for entry in store.entries()] == [KEY]
    store.clear()
    assert list(store.entries()) == []
    assert files(store) == []
    store.put(KEY, 1, meta())
    assert store.get(KEY).value == 1


# ---------------------------------------------------------------- several at once


@pytest.fixture
def other(store):
    """The same folder, as another process has it."""
    other = Store(store.location)
    yield other
    other.close()


def overtake(store, monkeypatch, how):
    """Let ``how`` happen in another thread, as far as it gets, when ``store`` is about to give an entry its name."""
    publish, flock = store.folder.publish, fcntl.flock
    has_got_far = threading.Event()

    def overtaking():
        how()
        has_got_far.set()

    def telling(fd, operation):
        if operation == fcntl.LOCK_EX and threading.current_thread() is thread:
            try:
                flock(fd, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                has_got_far.set()
        flock(fd, operation)

    def overtaken(*args, **options):
        store.folder.publish = publish
        thread.start()
        assert has_got_far.wait(30)
        return publish(*args, **options)

    thread = threading.Thread(target=overtaking)
    monkeypatch.setattr(fcntl, "flock", telling)
    store.folder.publish = overtaken
    return thread


@pytest.mark.parametrize(
    "how",
    [
        lambda other: (other.put(KEY, 1, meta()), other.delete(KEY)),
        lambda other: (other.put(KEY, 1, meta()), other.evict(items_limit=0)),
        lambda other: other.clear(),
    ],
    ids=["delete", "evict", "clear"],
)
def test_what_is_stored_while_others_remove_is_in_the_index_if_it_is_there(store, other, monkeypatch, how):
    """Else it would never be evicted."""
    store.put(OTHER, 1, meta())
    thread = overtake(store, monkeypatch, lambda: how(other))
    store.put(KEY, 2, meta())
    thread.join()
    assert {entry.key for entry in store.entries()} == set(store.index().entries)


def test_what_is_stored_while_the_index_is_made_anew_is_in_it(store, monkeypatch):
    store.put(KEY, 1, meta("m.f"))
    [path] = [path for path in files(store, "index") if path.endswith(".log")]
    survey = _survey.buffers

    def late(folder):
        store.put(OTHER, 2, meta("m.f"))
        store.put(THIRD, 3, meta("m.g"))
        return survey(folder)

    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"?")
    monkeypatch.setattr(_survey, "buffers", late)
    store.index()
    monkeypatch.undo()
    index = store.index()
    assert {entry.key: entry.function for entry in index.infos()} == {KEY: "m.f", OTHER: "m.f", THIRD: "m.g"}
    with store.journal() as journal:
        assert journal.estimate()[:2] == (index.bytes_stored(), 3)


def test_a_result_that_takes_the_place_of_another_while_that_is_read_stays(store, monkeypatch):
    store.put(KEY, np.zeros(LARGE), meta())
    load = Buffers.load

    def late(*args, **options):
        monkeypatch.undo()
        store.put(KEY, np.ones(LARGE), meta())
        return load(*args, **options)

    monkeypatch.setattr(Buffers, "load", late)
    assert store.get(KEY) is None
    assert store.get(KEY).value[0] == 1


# ---------------------------------------------------------------- processes


def test_a_store_whose_folder_is_removed_goes_on(store, tmp_path):
    store.put(KEY, 1, meta())
    store.close()
    subprocess.run(["rm", "-r", store.folder.path], check=True)
    assert store.get(KEY) is None
    for value in (2, np.zeros(LARGE)):
        store.put(KEY, value, meta())
        assert same(store.get(KEY).value, value)
    assert len(list(store.entries())) == 1


def test_a_forked_child_has_a_journal_of_its_own(store):
    store.put(KEY, 1, meta())
    pid = os.fork()
    if not pid:
        store.put(OTHER, 2, meta())
        store.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    store.put(THIRD, 3, meta())
    assert {entry.key for entry in store.entries()} == {KEY, OTHER, THIRD}
    assert store.index().is_whole
    assert len([path for path in files(store, "index") if path.endswith(".log")]) == 2


def test_stores_that_come_with_tasks_are_one(store):
    one, other = (pickle.loads(pickle.dumps(store)) for _ in range(2))
    assert one is other
    assert one.location == store.location


def test_threads(store):
    def work(number):
        for n in range(50):
            key = bytes([n]) * 16
            store.put(key, np.full(40_000, n), meta())
            assert store.get(key).value[number] == n

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(store.entries())) == 50
    assert list(store.verify()) == []
    assert len(files(store)) == 150


def test_what_cannot_be_loaded_here_counts_as_not_there(store, monkeypatch):
    store.put(KEY, Moved(), meta())
    monkeypatch.delattr(sys.modules[__name__], "Moved")
    with pytest.warns(errors.StoreWarning):
        store.get(KEY)
    assert not store.has(KEY)
    store.put(KEY, 1, meta())
    assert store.has(KEY)
    assert store.get(KEY).value == 1


def test_numbers_of_numpy_are_numbers_in_what_is_known(store):
    store.put(KEY, 1, Meta("f", seconds=np.float64(2.5), time=np.float32(3.0)))
    assert (store.meta(KEY).seconds, store.meta(KEY).time) == (2.5, 3.0)


@pytest.mark.parametrize("key", [b"", b"x" * 33])
def test_keys_of_other_lengths_are_refused(store, key):
    with pytest.raises(ValueError, match="a key has 1 to 32 bytes"):
        store.put(key, 1, meta())
