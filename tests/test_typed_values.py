"""``Value``, ``Array``, ``RawValue`` and ``RawArray`` of compat.multiprocessing: the standard library's, which travel at any time."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import threading
from multiprocessing import sharedctypes

import pytest

import manyhands
from manyhands.compat.multiprocessing import Array, Pool, RawArray, RawValue, Value


class Pair(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_double))


def scenario(value, array):
    """What every introduction to multiprocessing does in a child."""
    value.value = 3.25
    for i in range(len(array)):
        array[i] = -array[i]


@pytest.mark.parametrize("method", ["fork"])
def test_a_child_sets_what_its_parent_sees(method):
    number, array = Value("d", 0.0), Array("i", range(10))
    process = multiprocessing.get_context(method).Process(target=scenario, args=(number, array))
    process.start()
    process.join()
    assert number.value == 3.25
    assert array[:] == [-i for i in range(10)]


def add(value, times=1):
    for _ in range(times):
        with value.get_lock():
            value.value += 1
    return value


def test_they_go_where_those_of_the_standard_library_do_not():
    number = Value("q", 0)
    with Pool(2) as pool:
        pool.map(add, [number] * 4)
        assert pool.apply(add, (number,)).value == 5
    manyhands.map(lambda i: add(number), range(2))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(add, [number] * 3)
    assert number.value == 10
    again = pickle.loads(pickle.dumps(number))
    again.value = 50
    assert number.value == 50


def test_all_kinds():
    number, flags = RawValue("i", 7), RawArray("B", 5)
    assert (number.value, list(flags), type(number).__name__) == (7, [0] * 5, "c_int")
    assert isinstance(number, ctypes.c_int)
    pair, text, pairs = Value(Pair, 1, 2.5), Array("c", b"abc"), RawArray(Pair, [(1, 2.0), (3, 4.0)])
    assert (pair.x, pair.y, text.value, text.raw, pairs[1].y) == (1, 2.5, b"abc", b"abc", 4.0)

    def change(number, flags, pair, text, pairs):
        number.value = 8
        flags[1:3] = [1, 2]
        pair.x = 9
        text.value = b"xyz"
        pairs[0].x = 5

    manyhands.map(change, [number], [flags], [pair], [text], [pairs])
    assert (number.value, list(flags), pair.x, text.value, pairs[0].x) == (8, [0, 1, 2, 0, 0], 9, b"xyz", 5)
    assert isinstance(text, sharedctypes.SynchronizedString)
    assert isinstance(pair, sharedctypes.SynchronizedBase)
    assert text.get_obj().value == b"xyz"


def test_locks_of_other_kinds():
    assert isinstance(Value("i", 3, lock=False), ctypes.c_int)
    own = threading.RLock()
    assert Value("i", 3, lock=own).get_lock() is own
    assert Array("i", 2, lock=True).get_lock().acquire(block=False)
    with pytest.raises(AttributeError, match="has no method 'acquire'"):
        Value("i", 3, lock="lock")
    with pytest.raises(TypeError):
        Value("i", "text")


def in_thread(fn, *args):
    done = []
    thread = threading.Thread(target=lambda: done.append(fn(*args)))
    thread.start()
    return thread, done


def test_who_reads_waits_for_who_changes():
    number, array = Value("i", 1), Array("i", [1, 2])
    with number.get_lock(), array.get_lock():
        number.value = array[0] = 100  # nobody is to see this
        readers = [in_thread(lambda: number.value), in_thread(lambda: array[0]), in_thread(lambda: array[:])]
        assert not number.get_lock().acquire(False) or number.get_lock().release() is None  # its holder may take it again
        taken = in_thread(lambda: number.get_lock().acquire(timeout=0.01))
        taken[0].join()
        assert taken[1] == [False]
        number.value = array[0] = 2
    for thread, _ in readers:
        thread.join()
    assert [done for _, done in readers] == [[2], [2], [[2, 2]]]


def test_processes_lose_nothing():
    number = Value("q", 0)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=add, args=(number, 200)) for _ in range(8)]
    for process in processes:
        process.start()
    add(number, 200)
    for process in processes:
        process.join()
    assert number.value == 1800


def die_with(value):
    value.get_lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_the_dead_is_free():
    number = Value("i", 1)
    process = multiprocessing.get_context("fork").Process(target=die_with, args=(number,))
    process.start()
    process.join()
    assert number.get_lock().acquire(timeout=30)
    number.get_lock().release()
    assert number.value == 1
