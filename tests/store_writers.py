"""Writers of a store that can be killed, and what must hold of what they leave."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback

from manyhands.memory._buffers import link_of
from manyhands.memory._entry import Entry, Meta
from manyhands.memory._store import Store
from manyhands.memory._survey import contents

KEYS = [bytes([n]) * 16 for n in range(12)]
LARGE = 300_000


def value_of(key: bytes, version: int) -> object:
    """Small for some keys, large for others; some large ones have the same content as others."""
    if key[0] % 3 == 0:
        return {"key": key, "version": version, "numbers": list(range(key[0]))}
    fill = key[0] % 2 if key[0] % 3 == 1 else version % 7
    return [key, version, bytearray([fill]) * LARGE, bytearray([version % 3]) * (LARGE + 1)]


def is_right(key: bytes, value: object) -> bool:
    version = value["version"] if isinstance(value, dict) else value[1]
    return value == value_of(key, version)


def open_store(location: str, *, nameless: bool = True, **options: object) -> Store:
    store = Store(location, **options)
    if not nameless:
        store.folder._nameless = False
    return store


def write_forever(location: str, seed: int, *, nameless: bool = True) -> None:
    store = open_store(location, nameless=nameless)
    dice = random.Random(seed)
    while True:
        key = dice.choice(KEYS)
        what = dice.random()
        if what < 0.75:
            store.put(key, wrap(value_of(key, dice.randrange(100))), Meta("writers.f", seconds=1.0))
        elif what < 0.9:
            store.delete(key)
        else:
            store.get(key)


def wrap(value: object) -> object:
    """With numpy arrays for bytearrays, which pickle writes out of band."""
    if isinstance(value, list):
        import numpy as np

        return [np.frombuffer(part, np.uint8) if isinstance(part, bytearray) else part for part in value]
    return value


def unwrap(value: object) -> object:
    return [bytearray(part.tobytes()) if hasattr(part, "tobytes") else part for part in value] if isinstance(value, list) else value


def kill_in_the_midst(location: str, seed: int, *, writers: int = 1, nameless: bool = True) -> None:
    """Start writers, and kill them some milliseconds later. They get the better of nobody's locks."""
    pids = []
    for number in range(writers):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            os.write(write, b"x")
            os.close(write)
            try:
                write_forever(location, seed * 10 + number, nameless=nameless)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(write)
        os.read(read, 1)
        os.close(read)
        pids.append(pid)
    time.sleep(random.Random(seed).uniform(0.002, 0.03))  # not to wait for anything: this is when they die
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def write_next(location: str, *, nameless: bool = True) -> None:
    """What sweeps what the dead have left."""
    store = open_store(location, nameless=nameless)
    store.put(b"next" * 4, 1, Meta("writers.next"))
    store.close()


def problems(location: str) -> list[str]:
    """Bad entries and litter."""
    store = Store(location)
    folder = store.folder
    found = []
    wanted = set()
    links = set()
    for shard in os.listdir(folder.entries):
        for name in os.listdir(f"{folder.entries}/{shard}"):
            path = f"{folder.entries}/{shard}/{name}"
            if "." in name:
                links.add(path)
                continue
            key = bytes.fromhex(shard + name)
            wanted |= {link_of(path, reference) for reference in Entry(contents(path), key).references()}
            hit = store.get(key)
            if hit is None:
                found.append(f"bad entry {key!r}")
            elif key in KEYS and not is_right(key, unwrap(hit.value)):
                found.append(f"wrong value for {key!r}")
    found += [f"litter {path}" for path in links - wanted]
    found += [f"missing {path}" for path in wanted - links]
    for shard in os.listdir(folder.buffers):
        for name in os.listdir(f"{folder.buffers}/{shard}"):
            if os.stat(f"{folder.buffers}/{shard}/{name}").st_nlink < 2:
                found.append(f"buffer of nobody {name}")
    found += [f"litter {part}/{name}" for part in (folder.staging, folder.locks) for name in os.listdir(part)]
    listed = {entry.key for entry in store.entries()}
    noted = set(store.index().entries)
    if listed - noted:
        found.append(f"not in the index: {listed - noted}")
    store.close()
    return found
