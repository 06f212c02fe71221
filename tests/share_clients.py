"""Processes that do with shared objects what they are told, one thing after the other; what they do is also done to a model."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import operator
import os
import signal
import time
import warnings
import weakref

import waiting

from manyhands import lock, share, snapshot
from manyhands.errors import LockAbandoned
from manyhands.sharing import _proxies, _serving, _table

_PATIENCE = 60.0


class Tally:
    """Has a number, parts, and numbers that are given out once."""

    def __init__(self):
        self.n = 0
        self.items = []
        self.table = {}
        self.numbers = iter(_numbers())

    def inc(self, k=1):
        n = self.n
        self.n = n + k
        return self.n


def _numbers():
    yield from range(10**6)


@share.record
class Point:
    x: int
    y: float


class Box:
    """What stands for a shared number in a model."""

    def __init__(self, value):
        self.value = value

    def __iadd__(self, k):
        self.value += k
        return self

    def __int__(self):
        return self.value


class PointOfModel:
    """What stands for a record in a model."""

    def __init__(self):
        self.x = 0
        self.y = 0.0


MADE = {
    "dict": (lambda: share({}), dict),
    "list": (lambda: share([]), list),
    "set": (lambda: share(set()), set),
    "box": (lambda: share(0), lambda: Box(0)),
    "tally": (lambda: share(Tally()), Tally),
    "point": (Point, PointOfModel),
}


def kind_of(thing):
    """Of a proxy as of what stands for its object in a model."""
    for kind, cls in (("dict", dict), ("list", list), ("set", set), ("tally", Tally), ("point", Point | PointOfModel)):
        if isinstance(thing, cls):
            return kind
    return "box" if isinstance(thing, Box) or (isinstance(thing, int) and _proxies.reference_of(thing) is not None) else "value"


# ---------------------------------------------------------------- what is done, to proxies and to the model alike


def _put(d, key, value):
    d[key] = value


def _extend(items, value):
    items += [value]


def _move(point, k):
    point.x += k
    point.y = point.x / 2


DONE = {
    "dict": {
        "put": _put,
        "pop": lambda d, key, _: plain(d.pop(key, None)),
        "nest": lambda d, key, value: plain(d.setdefault(key, {"in": [value]})),
        "update": lambda d, key, value: d.update({key: value}),
        "count": lambda d, key, _: (len(d), key in d, sorted(d)),
        "clear": lambda d, _, __: d.clear(),
    },
    "list": {
        "append": lambda items, _, value: items.append(value),
        "extend": lambda items, _, value: _extend(items, value),
        "nest": lambda items, _, value: items.append([value]),
        "pop": lambda items, _, __: plain(items.pop()) if len(items) else None,
        "slice": lambda items, _, __: plain(items[:2]),
        "clear": lambda items, _, __: items.clear(),
    },
    "set": {
        "add": lambda chosen, _, value: chosen.add(value),
        "discard": lambda chosen, _, value: chosen.discard(value),
        "has": lambda chosen, _, value: (value in chosen, len(chosen)),
    },
    "box": {"add": lambda box, _, value: int(operator.iadd(box, value))},
    "tally": {
        "inc": lambda tally, _, value: tally.inc(value),
        "set": lambda tally, _, value: setattr(tally, "n", value),
        "draw": lambda tally, _, __: next(tally.numbers),
        "append": lambda tally, _, value: tally.items.append(value),
    },
    "point": {"move": lambda point, _, value: _move(point, value)},
}


def do(thing, name, key, value):
    return DONE[kind_of(thing)][name](thing, key, value)


def plain(thing):
    """All that can be seen of it, as numbers and texts in containers of this process."""
    kind = kind_of(thing)
    if kind == "dict":
        return {key: plain(value) for key, value in thing.items()}
    if kind == "list":
        return [plain(value) for value in thing]
    if kind == "set":
        return set(thing)
    if kind == "tally":
        return {"n": thing.n, "items": plain(thing.items), "table": plain(thing.table)}
    if kind == "point":
        return thing.x, thing.y
    return int(thing) if kind == "box" else thing


def plain_copy(thing):
    """The same, by ``snapshot``: of what is shared in it there are proxies in that."""
    copied = snapshot(thing)
    if isinstance(copied, dict):
        return {key: plain(value) for key, value in copied.items()}
    return [plain(value) for value in copied] if isinstance(copied, list) else copied


def parts(thing):
    """What can be read of a model's object that is a part of it, by how it is read."""
    if isinstance(thing, Tally):
        return {"items": thing.items, "table": thing.table}
    found = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    return {key: part for key, part in found if kind_of(part) != "value"}


def part(thing, key):
    return getattr(thing, key) if isinstance(thing, Tally) else thing[key]


# What several do at once, each so many times; what comes of it does not depend on who is first, or tells who was.
AT_ONCE = {
    "dict": lambda d, me, i: d.update({f"{me} {i}": i}),
    "list": lambda items, me, i: items.append(f"{me} {i}"),
    "set": lambda chosen, me, i: chosen.add(1000 + 100 * me + i),
    "box": lambda box, _, __: operator.iadd(box, 1) and None,
    "tally": lambda tally, _, __: next(tally.numbers) if tally.inc() else None,
    "point": lambda point, _, __: _moved_alone(point),
}


def _moved_alone(point):
    with lock(point) if isinstance(point, Point) else contextlib.nullcontext():
        point.x += 1
        point.y = point.x / 2


def several_times(thing, me, count):
    step = AT_ONCE[kind_of(thing)]
    return [step(thing, me, i) for i in range(count)]


# ---------------------------------------------------------------- those who do it


_all = weakref.WeakSet()


class Hands:
    """One who has proxies, by number."""

    def __init__(self):
        _all.add(self)
        self.held = {}
        self._locked = contextlib.ExitStack()

    def make(self, handle, kind):
        self.held[handle] = MADE[kind][0]()

    def take(self, handle, thing):
        self.held[handle] = thing

    def give(self, handle):
        return self.held[handle]

    def length(self, handle):
        return len(self.held[handle])

    def shorten(self, handle, length):
        del self.held[handle][length:]

    def read(self, handle, key, into):
        self.held[into] = part(self.held[handle], key)

    def store(self, handle, key, other):
        thing = self.held[handle]
        if isinstance(thing, list):
            thing.append(self.held[other])
        else:
            thing[key] = self.held[other]

    def drop(self, handle):
        del self.held[handle]

    def do(self, handle, name, key, value):
        return do(self.held[handle], name, key, value)

    def look(self, handle):
        return plain(self.held[handle])

    def copy(self, handle):
        return plain_copy(self.held[handle])

    def lock(self, handle, timeout=None):
        """Whether it was free; and whether its last holder had died."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                self._locked.enter_context(lock(self.held[handle], timeout))
            except TimeoutError:
                return False, False
        return True, any(issubclass(one.category, LockAbandoned) for one in told)

    def unlock(self):
        self._locked.close()

    def several_times(self, handle, me, count):
        return several_times(self.held[handle], me, count)

    def clear(self):
        self.unlock()
        self.held.clear()
        gc.collect()


class Client:
    """Another process that does the same, when it is told."""

    def __init__(self):
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(self._pipe, theirs))
        self._process.start()
        theirs.close()
        self.pid = self._process.pid
        self.token = self("token")

    def __getattr__(self, name):
        return lambda *args: self(name, *args)

    def __call__(self, *what):
        self.begin(*what)
        return self.end()

    def begin(self, *what):
        self._pipe.send(what)

    def end(self):
        assert self._pipe.poll(_PATIENCE), "no answer"
        is_good, said = self._pipe.recv()
        assert is_good, said
        return said

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self._gone()

    def close(self):
        self._pipe.send(None)  # those that were started after it have its end of the pipe as well: closing it would tell nothing
        self._gone()

    def _gone(self):
        self._pipe.close()
        self._process.join()
        self._process.close()


def _obey(other_end, pipe):
    other_end.close()
    signal.alarm(600)  # whoever started it may have been killed
    for parents in _all:
        parents.held.clear()  # a forked process has what its parent had
    hands = Hands()
    while True:
        if (told := pipe.recv()) is None:
            os._exit(0)
        name, *args = told
        told = None
        try:
            said = True, _table.here.token if name == "token" else getattr(hands, name)(*args)
        except BaseException as error:
            said = False, f"{name}{args}: {error!r}"
        args = None  # what is dropped is to be gone
        pipe.send(said)
        said = None


# ---------------------------------------------------------------- what the owner has


def sessions():
    server = _serving._state.server
    return () if server is None else server._sessions


def nothing_is_kept():
    """No object is, without its lease."""
    gc.collect()

    def is_empty():
        table = _table.here.table
        with table.lock:
            for entry in table._leased.values():
                entry.leased = time.monotonic()
            for ticket in list(table._promised):  # of those that were killed before they had read what bears it
                table.redeem(ticket)
        table.next_end()
        return not table.entries

    try:
        waiting.until(is_empty)
    except AssertionError:
        kept = [(entry.obj, entry.holds, entry.leased) for entry in _table.here.table.snapshot()]
        raise AssertionError(f"still kept: {kept}; {[(s.token, s.holds) for s in sessions().values()]}") from None
