"""What is asked of everybody who shares objects; and the floor, which shares none."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import select
import socket
import time
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NUMBERS = 100_000
_WARM = 50  # calls of a client before it is measured


class Counter:
    """What everybody shares."""

    def __init__(self) -> None:
        self.n = 0

    def inc(self, k: int = 1) -> int:
        """One more."""
        self.n += k
        return self.n


class Keeper:
    """Has one array, which it was given."""

    def __init__(self) -> None:
        self.array: Any = None

    def put(self, array: Any) -> None:
        """Keep it."""
        self.array = array

    def array_again(self) -> Any:
        """Give it back: a copy, as a method that computes it would."""
        return self.array.view()


class Contender:
    """One way to share objects, and one process that has some. What it cannot do raises NotImplementedError."""

    name: ClassVar[str]
    module: ClassVar[str]  # what must be installed
    calls: ClassVar[int] = 2000  # in a measurement
    needs_original: ClassVar[bool] = True  # an object is gone with its last proxy, also where there is a pickle of it
    is_atomic: ClassVar[bool] = False  # a method need not see to it that it runs alone

    def counter(self) -> Any:
        """A shared counter, in that process."""
        raise NotImplementedError

    def numbers(self) -> Any:
        """A shared list of 100 000 numbers, there."""
        raise NotImplementedError

    def keeper(self) -> Any:
        """A shared Keeper, there."""
        raise NotImplementedError

    def call(self, counter: Any) -> Any:
        return counter.inc()

    def get(self, counter: Any) -> Any:
        return counter.n

    def set(self, counter: Any) -> None:
        counter.n = 1

    def put(self, keeper: Any, array: Any) -> None:
        keeper.put(array)

    def take(self, keeper: Any) -> Any:
        return keeper.array_again()

    def handed_on(self, counter: Any) -> Callable[[], Any]:
        """What a process does that gets a proxy in a pickle."""
        data = pickle.dumps(counter)
        return lambda: pickle.loads(data)

    def another(self) -> Contender:
        """One more process that has objects."""
        return type(self)()

    def crowd(self, count: int) -> list[Any]:
        """One counter, as so many clients use it."""
        return [self.counter()] * count

    def reached(self, counter: Any) -> Any:
        """A counter, in a client that was forked."""
        return counter

    def race(self, counters: Sequence[Any]) -> float:
        """Calls in a second, all in all: a client process for each counter, all at once."""
        clients = [_Client(self, counter) for counter in counters]
        for client in clients:
            client.pipe.recv()  # it is warm
        for client in clients:
            client.pipe.send(None)
        return rate(self, [client.result() for client in clients])

    def close(self) -> None:
        """End the other process."""


def rate(contender: Contender, times: Sequence[tuple[float, float]]) -> float:
    """Calls in a second, of clients that have each begun and ended then."""
    return len(times) * contender.calls / (max(end for _, end in times) - min(start for start, _ in times))


class _Client:
    """A process that calls."""

    def __init__(self, contender: Contender, counter: Any) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(contender, counter, theirs))
        self._process.start()

    @staticmethod
    def _run(contender: Contender, counter: Any, pipe: Any) -> None:
        call, counter = contender.call, contender.reached(counter)
        for _ in range(_WARM):
            call(counter)
        pipe.send(None)
        pipe.recv()
        start = time.perf_counter()
        for _ in range(contender.calls):
            call(counter)
        pipe.send((start, time.perf_counter()))

    def result(self) -> tuple[float, float]:
        times: tuple[float, float] = self.pipe.recv()
        self._process.join()
        return times


class Floor(Contender):
    """A bare ping-pong of 40 bytes; a copy of an array."""

    name = "bare"
    module = "socket"

    def __init__(self) -> None:
        self._echoes: list[tuple[int, list[socket.socket]]] = []
        self._message = b"x" * 40

    def counter(self) -> Any:
        return self._echo(_echo, 1)[0]

    def crowd(self, count: int) -> list[Any]:
        return self._echo(_echo_all, count)

    def _echo(self, serve: Callable[[list[socket.socket]], None], count: int) -> list[socket.socket]:
        mine, theirs = zip(*(socket.socketpair() for _ in range(count)), strict=True)
        pid = os.fork()
        if not pid:
            serve(theirs)
            os._exit(0)
        for end in theirs:
            end.close()
        self._echoes.append((pid, mine))
        return mine

    def call(self, counter: Any) -> None:
        counter.sendall(self._message)
        counter.recv(65536)

    get = set = call

    def handed_on(self, counter: Any) -> Any:
        raise NotImplementedError

    def keeper(self) -> Any:
        return {}

    def put(self, keeper: Any, array: Any) -> None:
        keeper["array"] = array.copy()

    def take(self, keeper: Any) -> Any:
        return keeper["array"].copy()

    def close(self) -> None:
        for pid, ends in self._echoes:
            for end in ends:
                end.shutdown(socket.SHUT_RDWR)
            os.waitpid(pid, 0)


def _echo(ends: list[socket.socket]) -> None:
    end = ends[0]
    while data := end.recv(65536):
        end.sendall(data)


def _echo_all(ends: list[socket.socket]) -> None:
    ready = select.epoll()
    by_number = {end.fileno(): end for end in ends}
    for number in by_number:
        ready.register(number, select.EPOLLIN)
    while by_number:
        for number, _ in ready.poll():
            if data := by_number[number].recv(65536):
                by_number[number].sendall(data)
            else:
                ready.unregister(number)
                del by_number[number]
