"""Lost updates are found: ``share.debug()``."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings

import pytest

from manyhands import errors, lock, share


class Thing:
    def __init__(self):
        self.n = 0
        self.table = {"a": 0}


@pytest.fixture(autouse=True)
def debugging():
    share.debug()
    yield
    share.debug(False)


def _in_turn(change, shared):
    """``change(shared, between)`` in two threads: both read before either writes."""
    met = threading.Barrier(2)
    caught = []

    def run():
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            change(shared, lambda: met.wait(20))
            caught.extend(found)

    threads = [threading.Thread(target=run) for _ in range(2)]
    with warnings.catch_warnings(record=True) as outside:
        warnings.simplefilter("always")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {str(one.message): one for one in [*caught, *outside] if one.category is errors.LostUpdate}


@pytest.mark.parametrize("make", [share, lambda thing: share.new(Thing)], ids=["here", "there"])
def test_a_lost_update_of_an_attribute_is_said_once_with_both_places(make):
    thing = make(Thing())

    def change(thing, between):
        n = thing.n
        between()
        thing.n = n + 1

    found = _in_turn(change, thing)
    (message,) = found
    assert message.count(f"{__file__}:") == 2
    assert "n of the shared Thing" in message
    assert f"process {os.getpid()}" in message
    assert found[message].filename == __file__
    assert thing.n == 1
    assert not _in_turn(change, thing)  # once


def test_a_lost_update_of_an_item_is_said():
    table = share({"b": 0})

    def change(table, between):
        n = table["b"]
        between()
        table["b"] = n + 1

    (message,) = _in_turn(change, table)
    assert "an item of the shared dict" in message


def test_a_transaction_loses_nothing():
    thing = share(Thing())

    def change(thing, between):
        between()
        for _ in range(20):
            with lock(thing):
                thing.n += 1

    assert not _in_turn(change, thing)
    assert thing.n == 40


def test_who_reads_elsewhere_may_write():
    thing = share(Thing())

    def read(thing):
        return thing.n

    def change(thing, between):
        read(thing)
        between()
        thing.n = 5

    assert not _in_turn(change, thing)


def test_nothing_is_looked_for_unless_it_is_asked_for():
    share.debug(False)
    assert "MANYHANDS_SHARE_DEBUG" not in os.environ
    thing = share(Thing())

    def change(thing, between):
        n = thing.n
        between()
        thing.n = n + 1

    assert not _in_turn(change, thing)


def test_the_environment_asks_for_it_in_all_processes():
    code = """
import warnings
warnings.simplefilter("always")
from manyhands import share, Process
import threading

def change(shared, met):
    n = shared.n
    met.wait(20)
    shared.n = n + 1

class Thing:
    n = 0

thing = share(Thing())
met = share(threading.Barrier(2))
processes = [Process(target=change, args=(thing, met)) for _ in range(2)]
for process in processes: process.start()
for process in processes: process.join()
"""
    environment = os.environ | {"MANYHANDS_SHARE_DEBUG": "1"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stderr.count("LostUpdate") == 1
    assert ended.stderr.count("process ") == 2
