"""Classes and tasks for the tests of what ``share`` can do besides sharing."""

from __future__ import annotations

import os
import threading

from manyhands import lock, share


@share.cls
class Account:
    """Lives in the keeper."""

    rate = 7

    def __init__(self, balance=0):
        self.balance = balance

    def pay_in(self, amount):
        self.balance += amount
        return self.balance

    def pid(self):
        return os.getpid()

    def another(self):
        return Account(1)

    @classmethod
    def rich(cls):
        return cls(1_000_000)


class Savings(Account):
    def __init__(self, balance, interest):
        super().__init__(balance)
        self.interest = interest


class Shelf:
    def __init__(self):
        self.items = [1]
        self.opened = threading.Event()

    def by_reference(self):
        return share.ref(self.items)

    def by_value(self):
        return share.copy(self.items)

    def itself(self):
        return self.items

    def take(self, items):
        items.append("taken")
        return type(items).__name__

    @share.concurrent
    def wait(self, timeout=None):
        return self.opened.wait(timeout)

    def open(self):
        self.opened.set()


def named(name, timeout=0):
    return share.get(name, timeout).append(os.getpid())


def share_as(name, keep=False):
    shared = share([1, 2], name=name, keep=keep)
    return len(shared)


def kept_only():
    return share([1, 2], keep=True)


def append(items, value):
    items.append(value)


def set_to(box, value):
    share.assign(box, value)


def is_locked(shared):
    try:
        with lock(shared, timeout=0):
            return False
    except TimeoutError:
        return True


def try_names(shared):
    """What each use of an object comes to."""
    found = {}
    for name in ("allowed", "forbidden"):
        try:
            found[name] = getattr(shared, name)()
        except AttributeError as error:
            found[name] = str(error)
    return found
