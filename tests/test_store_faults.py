"""What goes wrong with a store: writers that are killed, full disks, damaged files, folders of others."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import warnings

import numpy as np
import pytest
import store_writers

from manyhands import errors
from manyhands.memory import _folder
from manyhands.memory._buffers import Buffers
from manyhands.memory._entry import LARGE, Meta
from manyhands.memory._store import Store

KEY, OTHER = b"a" * 16, b"b" * 16
SECRET = bytes(range(32))


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path))
    yield store
    store.close()


def meta():
    return Meta("module.f")


def files(store, *parts):
    found = []
    for part in parts or ("entries", "buffers", "staging", "locks"):
        for folder, _, names in os.walk(os.path.join(store.folder.path, part)):
            found += [os.path.join(folder, name) for name in names]
    return found


def overwrite(path, change):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    data = change(data)
    os.chmod(path, 0o600)
    with open(path, "wb") as file:
        file.write(data)


# ---------------------------------------------------------------- writers that are killed


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("writers", [1, 3])
def test_killed_writers_leave_no_bad_entry_and_no_litter(tmp_path, nameless, writers):
    for seed in range(8):
        store_writers.kill_in_the_midst(str(tmp_path), seed, writers=writers, nameless=nameless)
        store_writers.write_next(str(tmp_path), nameless=nameless)
        assert store_writers.problems(str(tmp_path)) == []


class Crash(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("before", ["nothing", "small", "large"])
@pytest.mark.parametrize("value", ["small", "large"])
def test_killed_at_each_step_of_a_write(tmp_path, nameless, before, value):
    """At each call of the system that changes something, in a child of this process."""
    values = {"small": "s", "large": np.zeros(LARGE), "nothing": None}
    for step in range(1, 100):
        location = str(tmp_path / str(step))
        if before != "nothing":
            first = store_writers.open_store(location, nameless=nameless)
            first.put(KEY, values[before], meta())
            first.close()
        if not dies_at(step, location, values[value], nameless=nameless):
            break
        store_writers.write_next(location, nameless=nameless)
        assert store_writers.problems(location) == []
        shutil.rmtree(location)
    assert step > 8


STEPS = ["mkdir", "open", "write", "writev", "pwrite", "link", "rename", "replace", "unlink", "ftruncate"]


def dies_at(step, location, value, *, nameless):
    """Whether a child that puts ``value`` has got to the call of that number, and died there."""
    pid = os.fork()
    if not pid:
        left = [step]

        def counted(call):
            def wrapper(*args, **options):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **options)

            return wrapper

        store = store_writers.open_store(location, nameless=nameless)
        store._upkeep.poke = lambda _: None
        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        store.put(KEY, value, meta())
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def test_killed_after_its_journal_was_made_part_of_the_base(tmp_path):
    """What it was in the midst of is still known."""
    pid = os.fork()
    if not pid:
        store = Store(str(tmp_path))
        attach = Buffers.attach

        def killed(*args):
            with store.journal() as journal:
                journal.compact()
            attach(*args)
            os.kill(os.getpid(), signal.SIGKILL)

        Buffers.attach = killed
        store.put(KEY, np.zeros(LARGE), meta())
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    store_writers.write_next(str(tmp_path))
    assert store_writers.problems(str(tmp_path)) == []


# ---------------------------------------------------------------- no room, no right


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("value", [b"x" * 100_000, np.zeros(LARGE)], ids=["entry", "buffer"])
def test_a_file_that_is_too_large_leaves_nothing(tmp_path, nameless, value):
    store = store_writers.open_store(str(tmp_path), nameless=nameless)
    store.put(OTHER, 1, meta())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            store.put(KEY, value, meta())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.get(KEY) is None
    assert len(files(store)) == 1
    assert [entry.key for entry in store.entries()] == [OTHER]
    store.put(KEY, value, meta())
    assert store.has(KEY)
    store.close()


@pytest.mark.parametrize("at", ["writev", "link", "replace"])
def test_a_full_disk_leaves_what_was_there(store, monkeypatch, at):
    store.put(KEY, np.zeros(LARGE), meta())

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, at, full)
    with pytest.raises(OSError, match="No space left"):
        store.put(KEY, np.ones(LARGE), meta())
    monkeypatch.undo()
    assert store.get(KEY).value[0] == 0
    assert len(files(store)) == 3


def test_a_full_disk_of_notes_alone_does_not_matter(store, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    store.put(KEY, 1, meta())
    assert store.get(KEY).value == 1
    monkeypatch.undo()
    assert [entry.key for entry in store.entries()] == [KEY]


def as_nobody(work):
    """Whether ``work`` does what it should as a user without rights."""
    pid = os.fork()
    if not pid:
        try:
            os.setgid(65534)
            os.setuid(65534)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_folder(tmp_path):
    """One that other users get into."""
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder) not in {"/", "/tmp"}:
            os.chmod(folder, os.stat(folder).st_mode | 0o755)
    return str(tmp_path)


@needs_root
def test_a_folder_of_another_user_is_refused(open_folder):
    Store(open_folder).put(KEY, 1, meta())
    os.chmod(os.path.join(open_folder, "manyhands"), 0o755)

    def refused():
        with pytest.raises(PermissionError, match=r"belongs to user 0, and this is user 65534.*To mend it: give a location of your own"):
            Store(open_folder)

    assert as_nobody(refused)


@needs_root
def test_a_folder_that_is_only_for_reading_is_read(open_folder):
    def fill():
        store = Store(open_folder)
        for key in (KEY, OTHER):
            store.put(key, np.zeros(LARGE), meta())
        store.close()
        for folder, _, _ in os.walk(store.folder.path):
            os.chmod(folder, 0o500)

    def read():
        store = Store(open_folder)
        assert store.get(KEY).value[0] == 0
        assert len(list(store.entries())) == 2
        with pytest.raises(PermissionError):
            store.put(b"c" * 16, 1, meta())
        with pytest.raises(PermissionError):
            store.put(b"c" * 16, np.ones(LARGE), meta())
        with pytest.raises(PermissionError):
            store.delete(KEY)
        store.close()

    os.chmod(open_folder, 0o777)
    assert as_nobody(fill)
    assert as_nobody(read)


def test_a_folder_that_others_may_write_to_is_refused(store):
    store.put(KEY, 1, meta())
    os.chmod(store.folder.path, 0o777)
    with pytest.raises(errors.StoreRefused, match="other users may write to it"):
        Store(store.location)


def test_the_folder_is_private(store):
    store.put(KEY, 1, meta())
    assert os.stat(store.folder.path).st_mode & 0o777 == 0o700
    assert os.stat(store.folder.entry(KEY)).st_mode & 0o777 == 0o400


# ---------------------------------------------------------------- damaged files

DAMAGES = {
    "flipped at the start": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "flipped in the midst": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
    "flipped at the end": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut": lambda data: data[: len(data) // 2],
    "cut short": lambda data: data[:5],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "too long": lambda data: data + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_set_aside_and_said_once(store, damage):
    for key in (KEY, OTHER):
        store.put(key, {"numbers": list(range(100))}, meta())
        overwrite(store.folder.entry(key), DAMAGES[damage])
    with pytest.warns(errors.StoreWarning, match="a stored result was damaged"):
        assert store.get(KEY) is None
    assert store.get(OTHER) is None  # a second warning would be an error
    assert len(os.listdir(store.folder.damaged)) == 2
    assert files(store) == []
    store.put(KEY, 2, meta())
    assert store.get(KEY).value == 2


@pytest.mark.parametrize("codec", [None, "zlib", "lz4", "zstd"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_buffer_is_set_aside_with_its_entry(tmp_path, damage, codec):
    if codec is not None and damage == "too long":
        pytest.skip("what is unpacked is what was stored")
    first = Store(str(tmp_path), codec=codec)
    first.put(KEY, np.arange(LARGE), meta())
    [path] = files(first, "buffers")
    overwrite(path, DAMAGES[damage])
    first.close()
    store = Store(str(tmp_path))
    with pytest.warns(errors.StoreWarning, match="a stored result was damaged"):
        assert store.get(KEY) is None
    assert files(store) == []
    store.put(KEY, np.arange(LARGE), meta())
    assert store.get(KEY).value[5] == 5
    store.close()


def test_an_entry_under_the_name_of_another_is_none(store):
    store.put(KEY, 1, meta())
    store.put(OTHER, 2, meta())
    os.replace(store.folder.entry(KEY), store.folder.entry(OTHER))
    with pytest.warns(errors.StoreWarning, match="the entry of another key"):
        assert store.get(OTHER) is None


def test_a_buffer_that_is_gone_is_a_miss(store):
    store.put(KEY, np.zeros(LARGE), meta())
    for path in files(store):
        if "." in os.path.basename(path):
            os.unlink(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.get(KEY) is None
    assert not store.has(KEY)


def test_only_the_last_damaged_files_are_kept(store):
    for number in range(30):
        key = bytes([number]) * 16
        store.put(key, 1, meta())
        overwrite(store.folder.entry(key), DAMAGES["empty"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store.get(key)
    assert len(os.listdir(store.folder.damaged)) == _folder._MOST_DAMAGED


def test_verify_finds_what_is_damaged(store):
    for key in (KEY, OTHER):
        store.put(key, np.full(LARGE, key[0]), meta())
    overwrite(files(store, "buffers")[0], DAMAGES["cut"])
    with pytest.warns(errors.StoreWarning):
        assert len(list(store.verify())) == 1
    assert len(list(store.entries())) == 1


# ---------------------------------------------------------------- signed


class Dangerous:
    loaded = False

    def __reduce__(self):
        return mark, ()


def mark():
    Dangerous.loaded = True


@pytest.mark.parametrize("key", [None, bytes(32)], ids=["not signed", "signed by another"])
def test_what_is_not_signed_with_the_key_is_refused_before_it_is_unpickled(tmp_path, key):
    Store(str(tmp_path), key=key).put(KEY, Dangerous(), meta())
    store = Store(str(tmp_path), key=SECRET)
    with pytest.raises(errors.StoreRefused, match=r"signed.*To mend it: open the store with the key"):
        store.get(KEY)
    assert not Dangerous.loaded
    assert store.meta(KEY) is None


def test_signed_results_come_back(tmp_path):
    store = Store(str(tmp_path), key=SECRET)
    store.put(KEY, [1, np.zeros(LARGE)], meta())
    assert Store(str(tmp_path), key=SECRET).get(KEY).value[1][3] == 0
    assert list(store.verify()) == []
    store.close()


def test_a_signed_entry_refers_to_no_other_content(tmp_path):
    """Whoever can write to the folder, but has not the key, cannot exchange an array."""
    store = Store(str(tmp_path), key=SECRET)
    store.put(KEY, np.zeros(LARGE, np.uint8), meta())
    [path] = [path for path in files(store, "entries") if "." in os.path.basename(path)]
    overwrite(path, lambda data: b"\1" * len(data))
    with pytest.warns(errors.StoreWarning, match="checksum of a large buffer"):
        assert Store(str(tmp_path), key=SECRET).get(KEY) is None


@needs_root
def test_with_a_key_the_folder_may_be_another_users(open_folder):
    first = Store(open_folder, key=SECRET)
    first.put(KEY, 1, meta())
    for folder, _, names in os.walk(first.folder.path):
        os.chmod(folder, 0o755)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o644)

    def read():
        assert Store(open_folder, key=SECRET).get(KEY).value == 1

    assert as_nobody(read)


def test_a_short_key_and_an_unknown_codec_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Store(str(tmp_path), key=b"short")
    with pytest.raises(ValueError, match="codec='brotli': it is one of None, 'zlib', 'lz4', 'zstd'"):
        Store(str(tmp_path), codec="brotli")
