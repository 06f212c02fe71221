"""Classes and tasks for the tests of managers."""

from __future__ import annotations

import os
import signal

from manyhands.compat.multiprocessing.managers import BaseManager, BaseProxy, NamespaceProxy


class Point:
    """Has an attribute, and methods that are exposed or not."""

    def __init__(self, x=100):
        self.x = x

    def set(self, x):
        self.x = x

    def get(self):
        return self.x

    def fail(self):
        raise KeyError(self.x)

    def hidden(self):
        return "hidden"

    def numbers(self):
        yield from range(self.x)


class Block:
    """Takes down how its ``with`` blocks have ended."""

    def __init__(self):
        self.ends = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.ends.append(None if error is None else f"{kind.__name__}: {error}")
        return isinstance(error, KeyError)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *args):
        return self.__exit__(*args)


class Unsendable(Exception):
    def __reduce__(self):
        raise TypeError("stays here")


class PointProxy(NamespaceProxy):
    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__", "set")

    def set(self, x):
        return self._callmethod("set", (x,))


class FiveOutcomes:
    """Methods of an object, of which its proxy knows some."""

    def only_here(self):
        return "only of the class"

    def on_both(self):
        return "of the class"

    def exposed(self):
        return "exposed"

    def not_exposed(self):
        return "never"

    def nested(self):
        return self.exposed()


class FiveOutcomesProxy(BaseProxy):
    _exposed_ = ("exposed", "nested")

    def on_both(self):
        return "of the proxy"

    def exposed(self):
        return self._callmethod("exposed")

    def not_exposed(self):
        return self._callmethod("not_exposed")

    def nested(self):
        return self._callmethod("nested")


class Managed(BaseManager):
    """What programs write."""


Managed.register("Point", Point)
Managed.register("Chosen", Point, exposed=("get", "set"))
Managed.register("Space", Point, PointProxy)
Managed.register("Five", FiveOutcomes, FiveOutcomesProxy)
Managed.register("numbers", Point, exposed=("numbers",), method_to_typeid={"numbers": "iterator"})
Managed.register("iterator", exposed=("__next__",), create_method=False)


def use_all(d, numbers, space, value, array, queue, lock, event):
    """As a child does that has been given one of each."""
    with lock:
        d[1], d["2"], d[0.25] = "1", 2, None
        numbers.reverse()
        space.x = 5
        value.value += 1
        array[0] = 7
        queue.put(os.getpid())
        event.set()


def keep(kept, told):
    told.put(os.getpid())
    signal.pause()
    del kept


marks: list = []


def mark(what):
    marks.append(what)


def marked():
    return list(marks)
