"""What other processes do with locks, queues and barriers in their tests."""

from __future__ import annotations

import os
import signal
import threading
import time

from manyhands import later


def take(thing, told):
    """Acquire it, and keep it."""
    thing.acquire()
    told.put(os.getpid())
    signal.pause()


def take_many(semaphore, count, told):
    for _ in range(count):
        semaphore.acquire()
    told.put(os.getpid())
    signal.pause()


def take_and_end(thing):
    thing.acquire()


def get(queue, told):
    told.put(os.getpid())
    told.put(queue.get())


def get_later(queue, told):
    future = later(queue).get()
    told.put(os.getpid())
    told.put(future.result())


def put(queue, item, told):
    told.put(os.getpid())
    queue.put(item)


def wait_in(condition, told):
    with condition:
        told.put(os.getpid())
        condition.wait()
        told.put("notified")


def wait_at(barrier, told):
    told.put(os.getpid())
    told.put(barrier.wait())


def increment(lock, shared, times):
    for _ in range(times):
        with lock:
            n = shared["n"]
            time.sleep(0)
            shared["n"] = n + 1


def produce(queue, items):
    for item in items:
        queue.put(item)


def consume(queue, taken, count):
    for _ in range(count):
        taken.put(queue.get(timeout=30))


def drain(queue, taken):
    """Take items until it is killed; each is told of as soon as it is there."""
    while True:
        taken.put(queue.get())


def in_thread(fn, *args):
    thread = threading.Thread(target=fn, args=args)
    thread.start()
    return thread
