"""How each library shares an object: one adapter each.

Libraries are imported when they are used: whoever is measured runs in an interpreter of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from multiprocessing.managers import BaseManager, NamespaceProxy, SyncManager
from typing import TYPE_CHECKING, Any

from benchmarks.sharing.contender import NUMBERS, Contender, Counter, Floor, Keeper, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Manyhands(Contender):
    name = "manyhands"
    module = "manyhands"
    needs_original = False
    is_atomic = True

    def __init__(self) -> None:
        from manyhands import share

        self._keeper = share.keeper()

    def counter(self) -> Any:
        return self._keeper.new(Counter)

    def numbers(self) -> Any:
        return self._keeper.new(list, range(NUMBERS))

    def keeper(self) -> Any:
        return self._keeper.new(Keeper)

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
_Manager.register("Keeper", Keeper)


class Managers(Contender):
    name = "BaseManager"
    module = "multiprocessing"

    def __init__(self) -> None:
        self._manager = _Manager()
        self._manager.start()

    def counter(self) -> Any:
        return self._manager.AutoCounter()  # type: ignore[attr-defined]

    def keeper(self) -> Any:
        return self._manager.Keeper()  # type: ignore[attr-defined]

    def get(self, counter: Any) -> Any:
        raise NotImplementedError  # it exposes methods

    set = get

    def close(self) -> None:
        self._manager.shutdown()


class Namespaces(Managers):
    name = "NamespaceProxy"

    def counter(self) -> Any:
        return self._manager.Counter()  # type: ignore[attr-defined]

    def keeper(self) -> Any:
        raise NotImplementedError  # the same as of BaseManager

    def get(self, counter: Any) -> Any:
        return counter.n

    def set(self, counter: Any) -> None:
        counter.n = 1


class SyncManagers(Contender):
    name = "SyncManager"
    module = "multiprocessing"

    def __init__(self) -> None:
        self._manager = SyncManager()
        self._manager.start()

    def counter(self) -> Any:
        return self._manager.Namespace(n=0)

    def call(self, counter: Any) -> Any:
        raise NotImplementedError

    def race(self, counters: Sequence[Any]) -> float:
        raise NotImplementedError

    def numbers(self) -> Any:
        return self._manager.list(range(NUMBERS))

    def close(self) -> None:
        self._manager.shutdown()


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


def _serve_rpyc(pipe: Any) -> None:
    import rpyc
    from rpyc.utils.server import ThreadedServer

    one = Counter()

    class Service(rpyc.Service):
        def exposed_counter(self) -> Any:
            return Counter()

        def exposed_one(self) -> Any:
            return one

        def exposed_numbers(self) -> Any:
            return list(range(NUMBERS))

    server = ThreadedServer(Service, hostname="127.0.0.1", port=0, protocol_config=_RPYC)
    pipe.send(server.port)
    server.start()


_RPYC = {"allow_all_attrs": True, "allow_setattr": True}


class Rpyc(_Served):
    name = "rpyc"
    module = "rpyc"

    def __init__(self) -> None:
        super().__init__(_serve_rpyc)
        self._connection = _connected(self.where)

    def counter(self) -> Any:
        return self._connection.root.counter()

    def numbers(self) -> Any:
        return self._connection.root.numbers()

    def crowd(self, count: int) -> list[Any]:
        return [self.where] * count

    def reached(self, counter: Any) -> Any:
        return _connected(counter).root.one()

    def handed_on(self, counter: Any) -> Any:
        raise NotImplementedError


def _connected(port: int) -> Any:
    import rpyc

    while True:
        with contextlib.suppress(ConnectionRefusedError):  # it has a port, and does not listen yet
            return rpyc.connect("127.0.0.1", port, config=_RPYC)


def _serve_pyro(pipe: Any) -> None:
    import Pyro5.api

    daemon = Pyro5.api.Daemon(host="127.0.0.1")
    pipe.send(str(daemon.register(Pyro5.api.expose(Counter)())))
    daemon.requestLoop()


class Pyro(_Served):
    name = "Pyro5"
    module = "Pyro5"

    def __init__(self) -> None:
        super().__init__(_serve_pyro)

    def counter(self) -> Any:
        return self.reached(self.where)

    def crowd(self, count: int) -> list[Any]:
        return [self.where] * count

    def reached(self, counter: Any) -> Any:
        import Pyro5.api

        return Pyro5.api.Proxy(counter)

    def get(self, counter: Any) -> Any:
        raise NotImplementedError

    set = get


class Ray(Contender):
    """Its objects have a process each, and so have its clients."""

    name = "Ray"
    module = "ray"
    calls = 200
    is_atomic = True

    def __init__(self) -> None:
        import ray

        self._ray = ray
        if not ray.is_initialized():
            ray.init(num_cpus=2, logging_level="error", include_dashboard=False, log_to_driver=False)

    def _actor(self, cls: type) -> Any:
        actor = self._ray.remote(num_cpus=0)(cls).remote()
        self._ray.get(actor.__ray_ready__.remote())
        return actor

    def counter(self) -> Any:
        return self._actor(Counter)

    def keeper(self) -> Any:
        return self._actor(Keeper)

    def call(self, counter: Any) -> Any:
        return self._ray.get(counter.inc.remote())

    def get(self, counter: Any) -> Any:
        raise NotImplementedError

    set = get

    def put(self, keeper: Any, array: Any) -> None:
        self._ray.get(keeper.put.remote(array))

    def take(self, keeper: Any) -> Any:
        return self._ray.get(keeper.array_again.remote())

    def another(self) -> Contender:
        return self

    def race(self, counters: Sequence[Any]) -> float:
        client = self._ray.remote(num_cpus=0)(_ray_client)
        self._ray.get([client.remote(counter, 1) for counter in counters])  # there are so many processes
        return rate(self, self._ray.get([client.remote(counter, self.calls) for counter in counters]))

    def close(self) -> None:
        self._ray.shutdown()


def _ray_client(counter: Any, calls: int) -> tuple[float, float]:
    import ray

    ray.get(counter.inc.remote())
    start = time.perf_counter()
    for _ in range(calls):
        ray.get(counter.inc.remote())
    return start, time.perf_counter()


ALL: tuple[type[Contender], ...] = (Floor, Manyhands, Managers, Namespaces, SyncManagers, Rpyc, Pyro, Ray)
