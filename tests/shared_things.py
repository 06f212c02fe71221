"""Classes and tasks for the tests of shared objects."""

from __future__ import annotations

import os
import signal
import threading
import time

import manyhands

kept: list = []


class Counter:
    """A counter that is wrong as soon as two are in it at once."""

    def __init__(self, n=0):
        self.n = n
        self.items = []
        self.table = {}
        self._private = "mine"
        self.squares = (i * i for i in range(1000))

    def inc(self, k=1):
        n = self.n
        self.n = n + k
        return self.n

    def slow_inc(self):
        n = self.n
        time.sleep(0)
        self.n = n + 1

    def itself(self):
        return self

    def given(self, value):
        return value

    def part(self):
        return self.items

    def parts(self):
        return [self.items, self.table]

    def copy_of_items(self):
        return list(self.items)

    def numbers(self):
        yield from range(5)

    def fail(self, what):
        raise ValueError(what)

    def lock(self):
        return threading.Lock()

    def same_as(self, other):
        return other is self

    def call(self, other):
        """Another object calls this one back."""
        return other.back(self)

    def back(self, first):
        return first.inc()

    @property
    def double(self):
        return 2 * self.n

    @double.setter
    def double(self, value):
        self.n = value // 2

    def __len__(self):
        return len(self.items)

    def __add__(self, other):
        return self.n + other

    def __radd__(self, other):
        return other + self.n

    def __iadd__(self, other):
        self.n += other
        return self

    def __call__(self, x):
        return x + self.n

    def __eq__(self, other):
        return isinstance(other, Counter) and other.n == self.n

    def __hash__(self):
        return self.n

    def __enter__(self):
        self.n += 1
        return self

    def __exit__(self, *_):
        self.n -= 1

    def __getitem__(self, index):
        return self.items[index]

    def __iter__(self):
        return iter(self.items)

    def __repr__(self):
        return f"Counter({self.n})"

    def __format__(self, spec):
        return f"<{self.n:{spec}}>"


class Value(Counter):
    """One that can be sent."""

    def __init__(self, n):
        self.n = n


class Plain:
    """Has nothing of its own."""

    def __init__(self):
        self.x = 100

    def set(self, x):
        self.x = x


async def awaited(what):
    return await what


def inc(counter, times=1):
    for _ in range(times):
        counter.inc()
    return os.getpid()


def locked_inc(counter, times):
    for _ in range(times):
        with manyhands.lock(counter):
            counter.n += 1


def draw(counter, count):
    return [next(counter.squares) for _ in range(count)]


def change_in_three_ways(obj):
    obj.x = 500
    obj.set(200)
    obj.x += 1
    return obj.x


def die_with_lock(counter):
    manyhands.lock(counter).__enter__()
    counter.n = -1
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_locks(counter):
    manyhands.lock(counter).__enter__()
    die_with_lock(counter)


def hold_and_die(*shared):
    for one in shared:
        repr(one)
    os.kill(os.getpid(), signal.SIGKILL)


def made_here(n):
    return manyhands.share(Counter(n))


def owner_of(shared):
    return shared.pid()


class Killable(Counter):
    def pid(self):
        return os.getpid()

    def wait(self):
        threading.Event().wait(60)


def call_back_in_a_transaction(theirs, mine):
    """In a transaction on theirs, theirs calls mine, which calls theirs again."""
    with manyhands.lock(theirs):
        theirs.n += 1
        return theirs.ask(mine, theirs), theirs.n


class Asking(Counter):
    def ask(self, other, proxy):
        return other.answer(proxy)

    def answer(self, proxy):
        return proxy.inc(10)


class LastWord(BaseException):
    """None that is caught by mistake."""


class Ending:
    """What it raises would end a program."""

    def __init__(self):
        self.n = 0

    def end(self, kind):
        self.n += 1
        raise kind("the end")

    async def end_in_a_loop(self, kind):
        self.end(kind)

    def count(self):
        return self.n


class Step:
    """Some of its kind have something of their own in the place of a method."""

    def __init__(self, size=None):
        if size is not None:
            self.size = size

    def size(self):
        return 1

    def resize(self, size):
        self.size = size


class Machine:
    """Its state is a method of its own, or none."""

    def __init__(self):
        self.state = self.begin

    def begin(self):
        self.state = None
        return "begun"
