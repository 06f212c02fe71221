"""Classes and tasks for the tests of calls that are not waited for."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from manyhands import share


class Log:
    """Notes what is done with it, and in which order."""

    def __init__(self):
        self.seen = []
        self.n = 0
        self.gate = threading.Event()

    def add(self, what):
        self.seen.append(what)
        return len(self.seen)

    def inc(self, k=1):
        n = self.n
        time.sleep(0)
        self.n = n + k
        return self.n

    def fail(self, text):
        raise ValueError(text)

    @share.concurrent
    def wait(self):
        return self.gate.wait(30)

    @share.concurrent
    def open(self):
        self.gate.set()

    def pid(self):
        return os.getpid()

    def __getitem__(self, index):
        return self.seen[index]


class Service:
    def __init__(self):
        self.n = 0
        self.running = 0
        self.most = 0
        self.seen = []

    async def fetch(self, x):
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.02)
        self.running -= 1
        return 2 * x

    async def fail(self):
        await asyncio.sleep(0)
        raise ValueError("on purpose")

    async def for_ever(self):
        self.seen.append("begun")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise

    async def numbers(self, count):
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    async def loop_id(self):
        return id(asyncio.get_running_loop())

    async def inc_in_steps(self):
        for _ in range(10):
            self.n += 1
            await asyncio.sleep(0)

    def inc(self):
        n = self.n
        time.sleep(0)
        self.n = n + 1

    def later_on(self):
        """Not a coroutine function, but returns a coroutine."""
        return self.fetch(21)

    async def call(self, other):
        return await other.fetch(1) + await other.fetch(2)

    async def __aenter__(self):
        self.seen.append("in")
        return self

    async def __aexit__(self, *_):
        self.seen.append("out")


async def transact(shared, times, lock):
    for _ in range(times):
        async with lock(shared):
            n = shared.n
            await asyncio.sleep(0)
            shared.n = n + 1


def in_a_loop(shared, times):
    from manyhands import lock

    async def main():
        await asyncio.gather(*(transact(shared, times, lock) for _ in range(3)))

    asyncio.run(main())


def fetch(shared, x):
    return asyncio.run(_fetch(shared, x))


async def _fetch(shared, x):
    return await shared.fetch(x)


def fetch_and_die(shared):
    async def main():
        task = asyncio.ensure_future(shared.for_ever())
        while not shared.seen:
            await asyncio.sleep(0)
        os.kill(os.getpid(), 9)
        await task

    asyncio.run(main())
