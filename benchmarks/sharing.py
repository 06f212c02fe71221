"""Shared objects beside managers, rpyc, Pyro5 and Ray's actors: ``python -m benchmarks.sharing [--rounds 5] [--only ROW]``.

All contenders in one process and in turn, against one owner each, and beside a bare ping-pong of 40 bytes over a Unix socket, which is the
floor of them all. Medians of the rounds. A contender that is not installed, or cannot do a thing, has no figure.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import pickle
import socket
import statistics
import sys
import time
from multiprocessing.managers import BaseManager, NamespaceProxy, SyncManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CALLS = 2000
_CLIENTS = 8
_EACH = 500


class Counter:
    """What everybody shares."""

    def __init__(self) -> None:
        self.n = 0

    def inc(self, k: int = 1) -> int:
        self.n += k
        return self.n


def _numbers() -> list[int]:
    return list(range(100_000))


class Contender:
    """One way to share objects. What it cannot do raises NotImplementedError."""

    name = ""
    needs_original = True  # an object is gone with its last proxy, also where there is a pickle of it

    def counter(self) -> Any:
        """A shared counter, in another process."""
        raise NotImplementedError

    def numbers(self) -> Any:
        """A shared list of 100 000 numbers, in another process."""
        raise NotImplementedError

    def call(self, counter: Any) -> Any:
        return counter.inc()

    def get(self, counter: Any) -> Any:
        return counter.n

    def set(self, counter: Any) -> None:
        counter.n = 1

    def handed_on(self, counter: Any) -> Callable[[], Any]:
        """What a process does that gets a proxy in a pickle."""
        data = pickle.dumps(counter)
        return lambda: pickle.loads(data)

    def close(self) -> None:
        """End the other process."""


class Floor(Contender):
    """A bare ping-pong."""

    name = "bare"

    def __init__(self) -> None:
        self._mine, theirs = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            self._mine.close()
            while data := theirs.recv(65536):
                theirs.sendall(data)
            os._exit(0)
        theirs.close()
        self._message = b"x" * 40

    def counter(self) -> Any:
        return None

    def _ping(self, _: Any) -> None:
        self._mine.sendall(self._message)
        self._mine.recv(65536)

    call = get = set = _ping

    def handed_on(self, counter: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        self._mine.close()
        os.waitpid(self._pid, 0)


class Manyhands(Contender):
    name = "manyhands"
    needs_original = False

    def __init__(self) -> None:
        from manyhands.sharing import _keepers

        self._keeper = _keepers.start()

    def counter(self) -> Any:
        return self._keeper.new(Counter)

    def numbers(self) -> Any:
        return self._keeper.new(list, range(100_000))

    def close(self) -> None:
        self._keeper.close()


class _Manager(BaseManager):
    pass


class _CounterProxy(NamespaceProxy):
    _exposed_ = ("__getattribute__", "__setattr__", "inc")

    def inc(self) -> Any:
        return self._callmethod("inc")


_Manager.register("AutoCounter", Counter)
_Manager.register("Counter", Counter, _CounterProxy)


class Managers(Contender):
    name = "BaseManager"

    def __init__(self) -> None:
        self._manager = _Manager()
        self._manager.start()

    def counter(self) -> Any:
        return self._manager.AutoCounter()  # type: ignore[attr-defined]

    def get(self, counter: Any) -> Any:
        raise NotImplementedError  # it exposes methods

    set = get

    def close(self) -> None:
        self._manager.shutdown()


class Namespaces(Managers):
    name = "NamespaceProxy"

    def counter(self) -> Any:
        return self._manager.Counter()  # type: ignore[attr-defined]

    def get(self, counter: Any) -> Any:
        return counter.n

    def set(self, counter: Any) -> None:
        counter.n = 1


class SyncManagers(Contender):
    name = "SyncManager"

    def __init__(self) -> None:
        self._manager = SyncManager()
        self._manager.start()

    def counter(self) -> Any:
        return self._manager.Namespace(n=0)

    def call(self, counter: Any) -> Any:
        raise NotImplementedError

    def numbers(self) -> Any:
        return self._manager.list(range(100_000))

    def close(self) -> None:
        self._manager.shutdown()


def _serve_rpyc(pipe: Any) -> None:
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class Service(rpyc.Service):
        def exposed_counter(self) -> Any:
            return Counter()

        def exposed_numbers(self) -> Any:
            return _numbers()

    server = ThreadedServer(Service, hostname="127.0.0.1", port=0, protocol_config={"allow_all_attrs": True, "allow_setattr": True})
    pipe.send(server.port)
    server.start()


def _serve_pyro(pipe: Any) -> None:
    import Pyro5.api

    daemon = Pyro5.api.Daemon(host="127.0.0.1")
    pipe.send(str(daemon.register(Pyro5.api.expose(Counter)())))
    daemon.requestLoop()


class _Served(Contender):
    """One that has no processes of its own."""

    def __init__(self, serve: Callable[[Any], None]) -> None:
        mine, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        self.where = mine.recv()

    def close(self) -> None:
        self._process.kill()
        self._process.join()


class Rpyc(_Served):
    name = "rpyc"

    def __init__(self) -> None:
        import rpyc

        super().__init__(_serve_rpyc)
        while True:
            with contextlib.suppress(ConnectionRefusedError):  # it has a port, and does not listen yet
                self._connection = rpyc.connect("127.0.0.1", self.where, config={"allow_all_attrs": True, "allow_setattr": True})
                return

    def counter(self) -> Any:
        return self._connection.root.counter()

    def numbers(self) -> Any:
        return self._connection.root.numbers()

    def handed_on(self, counter: Any) -> Any:
        raise NotImplementedError


class Pyro(_Served):
    name = "Pyro5"

    def __init__(self) -> None:
        import Pyro5.api

        super().__init__(_serve_pyro)
        self._proxy = Pyro5.api.Proxy(self.where)

    def counter(self) -> Any:
        return self._proxy

    def get(self, counter: Any) -> Any:
        raise NotImplementedError

    set = get


class Ray(Contender):
    name = "Ray"

    def __init__(self) -> None:
        import ray

        self._ray = ray
        ray.init(num_cpus=2, logging_level="error", include_dashboard=False)
        self._class = ray.remote(Counter)

    def counter(self) -> Any:
        return self._class.remote()

    def call(self, counter: Any) -> Any:
        return self._ray.get(counter.inc.remote())

    def get(self, counter: Any) -> Any:
        raise NotImplementedError

    set = get

    def close(self) -> None:
        self._ray.shutdown()


# ---------------------------------------------------------------- rows


def _each(contender: Contender, do: Callable[[Any], Any]) -> float:
    counter = contender.counter()
    for _ in range(_CALLS // 10):
        do(counter)
    start = time.perf_counter()
    for _ in range(_CALLS):
        do(counter)
    return (time.perf_counter() - start) / _CALLS * 1e6


def _call(contender: Contender) -> float:
    return _each(contender, contender.call)


def _get(contender: Contender) -> float:
    return _each(contender, contender.get)


def _set(contender: Contender) -> float:
    return _each(contender, contender.set)


def _made(contender: Contender) -> float:
    if isinstance(contender, Floor | Pyro):
        raise NotImplementedError
    for _ in range(5):
        contender.counter()
    count = 50
    start = time.perf_counter()
    for _ in range(count):
        made = contender.counter()
        del made
    return (time.perf_counter() - start) / count * 1e6


def _unpickled(contender: Contender) -> float:
    counter = contender.counter()
    load = contender.handed_on(counter)
    if not contender.needs_original:
        del counter  # so that each load makes a proxy
    for _ in range(5):
        load()
    start = time.perf_counter()
    for _ in range(100):
        load()
    return (time.perf_counter() - start) / 100 * 1e6


def _iterated(contender: Contender) -> float:
    numbers = contender.numbers()
    start = time.perf_counter()
    if sum(numbers) != 4999950000:
        raise AssertionError
    return (time.perf_counter() - start) * 1e3


def _hammer(call: Callable[[Any], Any], counter: Any, begin: Any) -> None:
    begin.wait()
    for _ in range(_EACH):
        call(counter)


def _hammered(contender: Contender) -> float:
    if not isinstance(contender, Manyhands | Managers):
        raise NotImplementedError
    context = multiprocessing.get_context("fork")
    counter, begin = contender.counter(), context.Event()
    clients = [context.Process(target=_hammer, args=(Contender.call.__get__(contender), counter, begin)) for _ in range(_CLIENTS)]
    for client in clients:
        client.start()
    start = time.perf_counter()
    begin.set()
    for client in clients:
        client.join()
    seconds = time.perf_counter() - start
    if counter.inc() != _CLIENTS * _EACH + 1 and isinstance(contender, Manyhands):
        raise AssertionError
    return _CLIENTS * _EACH / seconds / 1e3


ROWS: dict[str, Callable[[Contender], float]] = {
    "call, µs": _call,
    "attribute get, µs": _get,
    "attribute set, µs": _set,
    "create and drop, µs": _made,
    "unpickle a proxy, µs": _unpickled,
    "iterate over 10^5 numbers, ms": _iterated,
    f"{_CLIENTS} processes at one counter, 1000 calls a second": _hammered,
}
CONTENDERS: list[type[Contender]] = [Floor, Manyhands, Managers, Namespaces, SyncManagers, Rpyc, Pyro, Ray]


def _rounds(contender: Contender, row: Callable[[Contender], float], rounds: int) -> Iterator[float]:
    for _ in range(rounds):
        try:
            yield row(contender)
        except NotImplementedError:
            return


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose names have this in them")
    parser.add_argument("--without", default="", help="contenders to leave out, by name, with commas")
    options = parser.parse_args()
    contenders = []
    for kind in CONTENDERS:
        if kind.name not in options.without.split(","):
            with contextlib.suppress(ImportError):
                contenders.append(kind())
    print(f"{'':52}" + "".join(f"{contender.name:>15}" for contender in contenders))
    for name, row in ROWS.items():
        if options.only in name:
            figures = [list(_rounds(contender, row, options.rounds)) for contender in contenders]
            print(f"{name:52}" + "".join(f"{statistics.median(found):15.1f}" if found else f"{'':>15}" for found in figures))
            sys.stdout.flush()
    for contender in contenders:
        contender.close()


if __name__ == "__main__":
    main()
