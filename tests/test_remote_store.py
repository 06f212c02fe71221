"""Results that machines share: a machine is a local folder here."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import pickle
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import buckets
import numpy as np
import pytest
import scripts
import tasks
import waiting

from manyhands import BackendMissing, Memory, Parallel, delayed, errors
from manyhands.memory import _remote_files, _remote_store
from manyhands.memory._entry import LARGE

fsspec_asyn = pytest.importorskip("fsspec.asyn")

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


@pytest.fixture(scope="module", autouse=True)
def server():
    """An S3, if it can be had, and fsspec's threads: they are there before the first test, and stay."""
    loop = fsspec_asyn.get_loop()
    fsspec_asyn.sync(loop, loop.run_in_executor, None, int)
    with buckets.s3_server() as address:
        yield address


@pytest.fixture
def s3(server):
    if server is None:
        pytest.skip("s3fs, or moto, is not installed")
    return server


@pytest.fixture(params=["memory", "file", "s3"])
def place(request, tmp_path):
    kind = request.param
    made = buckets.InMemory() if kind == "memory" else buckets.Folder(tmp_path / "far") if kind == "file" else None
    made = made or buckets.Bucket(request.getfixturevalue("s3"))
    yield made
    made.end()


@pytest.fixture
def bucket(s3):
    return buckets.Bucket(s3)


@pytest.fixture
def machine(tmp_path, request):
    """Makes the Memory of a machine."""
    if "place" in request.fixturenames:
        request.getfixturevalue("place")  # which ends after them
    made = []

    def make(place, name="one", **options):
        options = {"key": KEY, "storage_options": place.options, **options}
        made.append(Memory(f"{place.url}/prefix", local=tmp_path / name, **options))
        return made[-1]

    yield make
    for memory in made:
        memory.close()
    _remote_store._stores.clear()
    made.clear()
    gc.collect()


def entries(place):
    return [name for name in place.names() if "/entries/" in name]


def large_buffers(place):
    return [name for name in place.names() if "/buffers/" in name]


def outbox(memory):
    folder = os.path.join(memory._place, "manyhands", "outbox")
    return os.listdir(folder) if os.path.isdir(folder) else []


def on_both(machine, place, function, **options):
    """``function``, cached on two machines."""
    return [machine(place, name, **options).cache(function, ignore=["notes"]) for name in ("one", "two")]


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def ran(notes):
    """How many calls have been computed."""
    return len([path for path in notes.iterdir() if not path.name.endswith(".part")])


def noting(x, notes):
    tasks.note(notes, "ran")
    return {"x": x}


def array_of(size, notes, fill=1):
    tasks.note(notes, "ran")
    return np.full(size, fill, np.uint8)


# ------------------------------------------------------------ two machines


def test_what_one_machine_has_computed_another_one_loads(machine, place, notes):
    one, two = on_both(machine, place, noting)
    assert one(3, notes) == {"x": 3}
    machine(place, "one").close()
    assert two(3, notes) == {"x": 3}
    assert two(4, notes) == {"x": 4}
    assert ran(notes) == 2
    machine(place, "two").close()
    assert one(4, notes) == {"x": 4}
    assert ran(notes) == 2


def test_what_has_been_brought_here_is_here(machine, place, notes):
    one, two = on_both(machine, place, noting)
    one(3, notes)
    machine(place, "one").close()
    two(3, notes)
    for name in place.names():
        place.remove(name)
    assert two(3, notes) == {"x": 3}
    assert ran(notes) == 1


@pytest.mark.parametrize("compress", [False, "zstd"])
def test_large_arrays_are_there_once_and_come_writable(machine, place, notes, compress, monkeypatch):
    one, two = on_both(machine, place, array_of, compress=compress)
    sent = []
    do = _remote_files.RemoteFiles._do
    monkeypatch.setattr(_remote_files.RemoteFiles, "_do", lambda self, method, *a, **o: sent.append(method) or do(self, method, *a, **o))
    for _ in range(2):
        one(LARGE, notes)
    machine(place, "one", compress=compress).cache(lambda: [np.full(LARGE, 1, np.uint8), "the same content"])()
    machine(place, "one", compress=compress).close()
    assert len(entries(place)) == 2
    assert (len(large_buffers(place)), sent.count("put_file")) == (1, 1)
    for _ in range(2):
        found = two(LARGE, notes)
        assert found.sum() == LARGE
        found[:] = 7
    assert ran(notes) == 1


def test_a_large_array_is_mapped_from_the_folder_of_this_machine(machine, place, notes):
    one, two = on_both(machine, place, array_of)
    size = 3 * _remote_files._PIECE + 5
    one(size, notes)
    machine(place, "one").close()
    found = two(size, notes)
    assert len(found) == found.sum() == size
    with open("/proc/self/maps") as maps:
        assert [line for line in maps if f"{machine(place, 'two')._place}/manyhands" in line]


def test_an_entry_of_several_pieces(machine, place):
    value = ["x" * 60_000 + str(n) for n in range(300)]
    one, two = (machine(place, name).cache(lambda: value) for name in ("one", "two"))
    assert one() == value
    machine(place, "one").close()
    assert two.check_call_in_cache()
    assert two() == value


def test_results_that_stay_in_the_store(machine, place, notes):
    one, two = on_both(machine, place, noting)
    shelved = one.call_and_shelve(3, notes)
    machine(place, "one").close()
    there = two.call_and_shelve(3, notes)
    assert there.get() == shelved.get() == {"x": 3}
    assert there.duration is not None
    assert two.why(3, notes) == "it is stored"
    there.clear()
    with pytest.raises(KeyError):
        there.get()
    assert entries(place) == []
    assert ran(notes) == 1


def test_coroutines_and_generators(machine, place, notes):
    async def later(x, notes):
        tasks.note(notes, "ran")
        return x

    def items(x, notes):
        tasks.note(notes, "ran")
        yield from range(x)

    async def items_later(x, notes):
        tasks.note(notes, "ran")
        for item in range(x):
            yield item

    async def read(function):
        return [item async for item in function(3, notes)]

    for name in ("one", "two"):
        memory = machine(place, name)
        cached = [memory.cache(function, ignore=["notes"]) for function in (later, items, items_later)]
        assert asyncio.run(cached[0](3, notes)) == 3
        assert list(cached[1](3, notes)) == [0, 1, 2]
        assert asyncio.run(read(cached[2])) == [0, 1, 2]
        memory.close()
    assert ran(notes) == 3


def test_machines_that_compute_one_key_at_once(machine, place, notes):
    """Each computes it; what is there is one whole result of theirs."""
    both = threading.Barrier(2)

    def slow(x, notes, both):
        both.wait(20)
        tasks.note(notes, "ran")
        return np.full(LARGE, x, np.uint8)

    functions = [machine(place, name).cache(slow, ignore=["notes", "both"]) for name in ("one", "two")]
    found = []
    threads = [threading.Thread(target=lambda f=f: found.append(f(5, notes, both).sum())) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("one", "two"):
        machine(place, name).close()
    assert (found, ran(notes)) == ([5 * LARGE] * 2, 2)
    assert len(entries(place)) == 1
    third = machine(place, "three").cache(slow, ignore=["notes", "both"])
    assert third(5, notes, both).sum() == 5 * LARGE
    assert ran(notes) == 2


def test_of_threads_that_want_what_is_there_one_brings_it(machine, place, notes, monkeypatch):
    one, two = on_both(machine, place, array_of)
    one(LARGE, notes)
    machine(place, "one").close()
    asked = []
    read = _remote_files.RemoteFiles.read
    monkeypatch.setattr(_remote_files.RemoteFiles, "read", lambda self, name: asked.append(name) or read(self, name))
    threads = [threading.Thread(target=two, args=(LARGE, notes)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(asked), ran(notes)) == (1, 1)


def test_what_is_too_old_here_may_be_younger_there(machine, place, notes):
    oldest = [0.0]  # that will do

    def is_good(about):
        return about["time"] >= oldest[0]

    one, two = (machine(place, name).cache(noting, ignore=["notes"], cache_validation_callback=is_good) for name in ("one", "two"))
    one(3, notes)
    machine(place, "one").close()
    two(3, notes)
    assert ran(notes) == 1
    oldest[0] = time.time()
    one(3, notes)
    machine(place, "one").close()
    assert ran(notes) == 2
    two(3, notes)
    assert ran(notes) == 2
    oldest[0] = time.time()
    two(3, notes)
    two(3, notes)
    assert ran(notes) == 3


def test_what_is_too_old_there_as_well_is_not_brought(machine, bucket, notes, monkeypatch):
    one, two = (
        machine(bucket, name).cache(array_of, ignore=["notes"], cache_validation_callback=lambda about: about["time"] >= oldest[0])
        for name in ("one", "two")
    )
    oldest = [0.0]
    one(LARGE, notes)
    machine(bucket, "one").close()
    two(LARGE, notes)
    oldest[0] = time.time()
    brought = []
    read_into = _remote_files.RemoteFiles.read_into
    monkeypatch.setattr(_remote_files.RemoteFiles, "read_into", lambda self, *what: brought.append(what) or read_into(self, *what))
    assert two(LARGE, notes).sum() == LARGE
    assert (brought, ran(notes)) == ([], 2)


# ------------------------------------------------------------ damage, strangers


def damage_middle(data):
    return data[: len(data) // 2] + b"?" + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize("change", [damage_middle, lambda data: data[:-5], lambda _: b"", lambda data: data + b"x"], ids=range(4))
@pytest.mark.parametrize("part", ["entries", "buffers"])
def test_what_is_damaged_is_said_once_and_computed_again(machine, place, notes, part, change):
    one, two = on_both(machine, place, array_of)
    one(LARGE, notes)
    machine(place, "one").close()
    (name,) = [name for name in place.names() if f"/{part}/" in name]
    place.write(name, change(place.read(name)))
    with pytest.warns(errors.StoreWarning, match="damaged") as said:
        assert two(LARGE, notes).sum() == LARGE
    assert len(said) == 1
    assert ran(notes) == 2
    machine(place, "two").close()
    third = machine(place, "three").cache(array_of, ignore=["notes"])
    assert third(LARGE, notes).sum() == LARGE
    assert ran(notes) == 2


def test_an_entry_under_another_name_is_none(machine, place, notes):
    one, two = on_both(machine, place, noting)
    one(3, notes)
    one(4, notes)
    machine(place, "one").close()
    first, second = entries(place)
    data = place.read(first), place.read(second)
    place.write(first, data[1])
    place.write(second, data[0])
    with pytest.warns(errors.StoreWarning, match="of another key"):
        assert [two(x, notes) for x in (3, 4)] == [{"x": 3}, {"x": 4}]


def test_a_large_part_that_has_expired(machine, place, notes):
    one, two = on_both(machine, place, array_of)
    one(LARGE, notes)
    machine(place, "one").close()
    place.remove(*large_buffers(place))
    assert two(LARGE, notes).sum() == LARGE
    machine(place, "two").close()
    assert (len(large_buffers(place)), ran(notes)) == (1, 2)


def test_where_files_can_be_seen_before_they_are_whole(machine, notes, tmp_path, monkeypatch):
    """A machine that dies while it writes to a shared folder leaves nothing under the names of entries."""
    from fsspec.implementations.local import LocalFileSystem

    def half(system, *args, **_):
        path, data = args if isinstance(args[1], bytes) else (args[1], Path(args[0]).read_bytes())
        Path(path).write_bytes(data[: len(data) // 2])
        raise ConnectionError("gone")

    for method in ("put_file", "pipe_file"):
        place = buckets.Folder(tmp_path / method)
        with monkeypatch.context() as patched:
            patched.setattr(LocalFileSystem, method, half)
            memory = machine(place)
            cached = memory.cache(array_of, ignore=["notes"])
            with pytest.warns(errors.StoreWarning, match="gone"):
                assert (len(cached(LARGE, notes)), memory.close()) == (LARGE, None)
        assert entries(place) == []
        assert len(large_buffers(place)) == (method == "pipe_file")
        assert len(outbox(memory)) == 1


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("options", [{"key": OTHER_KEY}, {"key": None, "trust_writers": True}], ids=["another key", "no key"])
def test_what_others_have_signed_is_refused_before_it_is_unpickled(machine, place, tmp_path, options):
    def work():
        return Bomb(tmp_path / "exploded")

    machine(place, "one", **options).cache(work)()
    machine(place, "one", **options).close()
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(errors.StoreRefused, match=f"{place.url}.*signed"):
        machine(place, "two").cache(work)()
    assert not (tmp_path / "exploded").exists()
    assert not list((tmp_path / "two").glob("manyhands/entries/*/*"))


def test_who_has_no_key_removes_nothing_that_is_signed(machine, place, notes):
    machine(place, "one").cache(array_of, ignore=["notes"])(LARGE, notes)
    machine(place, "one").close()
    there = place.names()
    with pytest.raises(errors.StoreRefused, match="without the key"):
        machine(place, "two", key=None, trust_writers=True).cache(array_of, ignore=["notes"])(LARGE, notes)
    assert place.names() == there


def test_a_remote_store_takes_a_key(tmp_path):
    with pytest.raises(errors.StoreRefused, match="key="):
        Memory("memory://b/p", local=tmp_path)
    Memory("memory://b/p", local=tmp_path, trust_writers=True).close()


# ------------------------------------------------------------ what can be wrong from the start


def test_a_protocol_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(BackendMissing, match="pip install gcsfs"):
        Memory("gs://bucket/x", key=KEY, local=tmp_path)
    with pytest.raises(ValueError, match="fsspec knows"):
        Memory("nosuch://bucket/x", key=KEY, local=tmp_path)
    monkeypatch.setitem(sys.modules, "fsspec.registry", None)
    with pytest.raises(BackendMissing, match=r"manyhands\[remote\]"):
        Memory("gs://bucket/x", key=KEY, local=tmp_path)


def test_a_bucket_that_is_not_there(bucket, tmp_path):
    with pytest.raises(errors.StoreRefused, match="no such bucket"):
        Memory("s3://not-there/x", key=KEY, local=tmp_path, storage_options=bucket.options)


def test_no_credentials(bucket, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    options = {name: value for name, value in bucket.options.items() if name not in {"key", "secret"}}
    with pytest.raises(errors.StoreRefused, match="credentials"):
        Memory(f"{bucket.url}/x", key=KEY, local=tmp_path, storage_options=options)


@pytest.mark.parametrize("option", [{"storage_options": {}}, {"local": "x"}, {"trust_writers": True}], ids=str)
def test_options_of_a_url_are_of_no_use_for_a_folder(tmp_path, option):
    with pytest.raises(ValueError, match="URL"):
        Memory(tmp_path, **option)


def test_without_a_url_nothing_of_fsspec_is_loaded(tmp_path):
    done = scripts.run(
        """
        import sys, manyhands
        assert manyhands.Memory(sys.argv[1]).cache(lambda x: x)(3) == 3
        assert not [name for name in sys.modules if name.startswith("fsspec")]
        """,
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr


def test_the_folder_of_a_machine_is_of_one_url_and_key(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = [Memory(f"memory://b/{url}", key=key) for url in "xy" for key in (KEY, OTHER_KEY)]
    assert len({memory._place for memory in made}) == 4
    assert all(memory._place.startswith(f"{tmp_path}/manyhands/remote/") for memory in made)


# ------------------------------------------------------------ networks


@pytest.fixture
def closed_port():
    with socket.socket() as bound:  # not listening: it refuses
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def silent_port():
    with socket.socket() as listening:  # and never answers
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


class Nowhere:
    url = "s3://bucket"

    def __init__(self, server):
        self.options = buckets.options_of(server)


@pytest.mark.parametrize("port", ["closed_port", "silent_port"])
def test_without_a_network_the_local_store_does(machine, s3, notes, request, port, monkeypatch):
    monkeypatch.setattr(_remote_files, "PATIENCE", 0.5)
    nowhere = Nowhere(request.getfixturevalue(port))
    with pytest.warns(errors.StoreWarning, match="cannot be reached") as said:
        memory = machine(nowhere)
    cached = memory.cache(noting, ignore=["notes"])
    for _ in range(2):
        assert [cached(x, notes) for x in range(5)] == [{"x": x} for x in range(5)]
    memory.close()
    assert len(said) == 1
    assert ran(notes) == 5
    assert len(outbox(memory)) == 5


def test_what_could_not_be_sent_is_sent_when_it_can_be(machine, bucket, notes, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(_remote_files.time, "monotonic", lambda: now[0])
    memory = machine(bucket)
    cached = memory.cache(noting, ignore=["notes"])
    do = _remote_files.RemoteFiles._do

    def fail(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(_remote_files.RemoteFiles, "_do", fail)
    with pytest.warns(errors.StoreWarning, match="cannot be reached .ConnectionError: no network") as said:
        cached(3, notes)
    memory.close()
    assert len(said) == 1
    now[0] += _remote_files.LONGEST_PAUSE
    cached(4, notes)  # the same outage
    monkeypatch.setattr(_remote_files.RemoteFiles, "_do", do)
    cached(5, notes)  # it is not tried again at once
    memory.close()
    assert entries(bucket) == []
    now[0] += _remote_files.LONGEST_PAUSE
    cached(6, notes)
    memory.close()
    assert len(entries(bucket)) == 4
    assert outbox(memory) == []


def test_the_next_run_sends_what_is_left(machine, bucket, notes, tmp_path):
    memory = machine(bucket)
    memory.cache(noting, ignore=["notes"])(3, notes)
    memory.close()
    (name,) = entries(bucket)
    bucket.remove(name)
    key = "".join(name.split("/")[-2:])
    (tmp_path / "one" / "manyhands" / "outbox" / key).touch()
    _remote_store._stores.clear()
    again = machine(bucket)
    waiting.until(lambda: entries(bucket) == [name])
    again.close()
    assert outbox(again) == []


def test_who_may_only_read(machine, bucket, notes, monkeypatch):
    one, two = on_both(machine, bucket, noting)
    one(3, notes)
    machine(bucket, "one").close()
    do = _remote_files.RemoteFiles._do

    def refuse(self, method, *args, **options):
        if method == "pipe":
            raise PermissionError("Access Denied")
        return do(self, method, *args, **options)

    monkeypatch.setattr(_remote_files.RemoteFiles, "_do", refuse)
    with pytest.warns(errors.StoreWarning, match="may not be written to .PermissionError: Access Denied") as said:
        found = [*(two(x, notes) for x in (4, 5, 3)), machine(bucket, "two").close()]
    assert found == [{"x": 4}, {"x": 5}, {"x": 3}, None]
    assert (len(said), ran(notes)) == (1, 3)


def test_a_bucket_that_is_removed_meanwhile(machine, bucket, notes):
    memory = machine(bucket)
    bucket.remove_itself()
    cached = memory.cache(noting, ignore=["notes"])
    with pytest.warns(errors.StoreWarning, match="bucket does not exist"):
        assert (cached(3, notes), memory.close()) == ({"x": 3}, None)
    assert len(outbox(memory)) == 1


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FileNotFoundError(2, "No such folder")], ids=str)
def test_a_result_that_the_disk_has_no_room_for_is_computed(machine, bucket, notes, monkeypatch, error):
    one, two = on_both(machine, bucket, array_of)
    one(LARGE, notes)
    machine(bucket, "one").close()
    there = bucket.names()

    def fail(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(_remote_files.os, "pwrite", fail)
        with pytest.warns(errors.StoreWarning, match="could not be brought") as said:
            assert two(LARGE, notes).sum() == LARGE
    assert (len(said), ran(notes)) == (1, 2)
    assert bucket.names() == there


# ------------------------------------------------------------ removing


def test_clear_removes_all_here_and_there(machine, place, notes):
    one, two = on_both(machine, place, array_of)
    one(LARGE, notes)
    machine(place, "one").close()
    machine(place, "one").clear(warn=False)
    assert place.names() == []
    assert not one.check_call_in_cache(LARGE, notes)
    two(LARGE, notes)
    assert ran(notes) == 2


def test_clear_removes_the_results_of_one_function(machine, place, notes):
    memory = machine(place)
    cached = memory.cache(noting, ignore=["notes"])
    other = memory.cache(array_of, ignore=["notes"])
    for x in range(3):
        cached(x, notes)
    other(LARGE, notes)
    other(10, notes)
    memory.close()
    cached.clear(warn=False)
    assert len(entries(place)) == 2
    two = machine(place, "two")
    assert not two.cache(noting, ignore=["notes"]).check_call_in_cache(1, notes)
    assert two.cache(array_of, ignore=["notes"]).check_call_in_cache(LARGE, notes)


def test_clear_says_that_it_could_not(machine, bucket, notes, monkeypatch):
    memory = machine(bucket)
    memory.cache(noting, ignore=["notes"])(3, notes)
    memory.close()

    def fail(*_, **__):
        raise ConnectionError("no network")

    with monkeypatch.context() as patched:
        patched.setattr(_remote_files.RemoteFiles, "_do", fail)
        with pytest.raises(ConnectionError, match="but not from s3://"):
            memory.clear(warn=False)
    assert memory.store._files.faults()


def test_reduce_size_is_about_this_machine(machine, place, notes):
    one, two = on_both(machine, place, noting)
    one(3, notes)
    memory = machine(place, "one")
    memory.close()
    memory.reduce_size(items_limit=0)
    assert not memory.store.has(bytes.fromhex("".join(entries(place)[0].split("/")[-2:])))
    assert one(3, notes) == two(3, notes) == {"x": 3}
    assert ran(notes) == 1


# ------------------------------------------------------------ processes


def test_workers_share_what_is_there(machine, bucket, notes):
    one, two = on_both(machine, bucket, noting)
    xs = list(range(6)) * 2
    assert Parallel(n_jobs=2)(delayed(one)(x, notes) for x in xs) == [{"x": x} for x in xs]
    machine(bucket, "one").close()
    assert len(entries(bucket)) == 6
    assert Parallel(n_jobs=2)(delayed(two)(x, notes) for x in xs) == [{"x": x} for x in xs]
    assert ran(notes) == 6
    copy = pickle.loads(pickle.dumps(two))
    assert copy(3, notes) == {"x": 3}


def test_workers_that_are_forked(machine, bucket, notes):
    one, two = on_both(machine, bucket, noting)
    one(0, notes)
    machine(bucket, "one").close()
    two(0, notes)  # connections are open here
    from manyhands import Executor

    with Executor(2, start_method="fork") as executor:
        assert [future.result() for future in [executor.submit(two, x, notes) for x in range(4)]] == [{"x": x} for x in range(4)]
    assert two(9, notes) == {"x": 9}
    machine(bucket, "two").close()
    assert len(entries(bucket)) == 5


def test_close_waits_for_what_another_process_is_sending(machine, bucket, notes, monkeypatch):
    """And sends it itself if that process has ended in the midst of it."""
    memory = machine(bucket)
    monkeypatch.setattr(memory.store._uploads._background, "poke", lambda: None)
    memory.cache(noting, ignore=["notes"])(3, notes)
    (name,) = outbox(memory)
    path = os.path.join(memory._place, "manyhands", "outbox", name)
    with open(path) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        closing = threading.Thread(target=memory.close)
        closing.start()
        inode = f":{os.stat(path).st_ino} "
        waiting.until(lambda: [line for line in Path("/proc/locks").read_text().splitlines() if "->" in line and inode in line])
        assert entries(bucket) == []
    closing.join()
    assert len(entries(bucket)) == 1
    assert outbox(memory) == []


PROGRAM = """
    import sys
    import numpy as np
    from manyhands import Memory
    import buckets

    def work(x):
        return np.full(x, 3, np.uint8)

    url, server, local, *numbers = sys.argv[1:]
    memory = Memory(url, key=b"k" * 32, storage_options=buckets.options_of(server), local=local)
    cached = memory.cache(work)
    """


def test_the_end_of_a_program_waits_for_what_is_to_be_sent(bucket, s3, tmp_path):
    code = (
        PROGRAM
        + """
    memory.store._uploads._background.poke = lambda: None  # as if all of it came late
    for x in map(int, numbers):
        cached(x)
    memory.store._files.close()
    """
    )
    numbers = [str(LARGE + n) for n in range(4)] + ["1", "2"]
    # A name, not a number: to look it up takes a thread, which cannot be started any more late in the end of a program.
    done = scripts.run(code, f"{bucket.url}/p", s3.replace("127.0.0.1", "localhost"), str(tmp_path / "one"), *numbers)
    assert (done.returncode, done.stderr) == (0, "")
    assert (len(entries(bucket)), len(large_buffers(bucket))) == (6, 4)
    assert os.listdir(tmp_path / "one" / "manyhands" / "outbox") == []


def test_killed_in_the_midst_of_sending(bucket, s3, tmp_path):
    """No bad entry is there, and the next run sends what is left."""
    code = (
        PROGRAM
        + """
    import os, signal
    from manyhands.memory import _remote_files
    do, count, most = _remote_files.RemoteFiles._do, [0], int(numbers[0])

    def dying(self, method, *args, **options):
        if method in {"put_file", "pipe"}:
            count[0] += 1
            if count[0] == most:
                method = "info"  # for the time that a request takes
                try:
                    do(self, method, *args[1:2] or args, **options)
                finally:
                    os.kill(os.getpid(), signal.SIGKILL)
        return do(self, method, *args, **options)

    if most:
        _remote_files.RemoteFiles._do = dying
    for x in (300_000, 5, 300_001):
        cached(x)
    memory.close()
    """
    )
    for most in (1, 2, 3):
        local, url = str(tmp_path / str(most)), f"{bucket.url}/p{most}"
        done = scripts.run(code, url, s3, local, str(most))
        assert done.returncode == -signal.SIGKILL, done.stderr
        seen = [name for name in bucket.names() if name.startswith(f"p{most}/")]
        assert len([name for name in seen if "entries" in name]) < 3
        check = (
            PROGRAM
            + """
    for key in {name.split("/entries/")[1].replace("/", "") for name in numbers}:
        assert memory.store.fetch(bytes.fromhex(key)), key
        assert memory.store.get(bytes.fromhex(key)).value.sum() > 0
    """
        )
        done = scripts.run(check, url, s3, str(tmp_path / f"{most}b"), *[name for name in seen if "entries" in name])
        assert (done.returncode, done.stderr) == (0, "")
        done = scripts.run(code, url, s3, local, "0")
        assert (done.returncode, done.stderr) == (0, "")
        assert len([name for name in bucket.names() if name.startswith(f"p{most}/") and "entries" in name]) == 3
        assert os.listdir(f"{local}/manyhands/outbox") == []
