"""How each library is asked to do the same things: one adapter each, with the fastest sensible way that the library has.

Libraries are imported when they are used, so that none of them weighs on the figures of another.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import statistics
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from benchmarks import tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    Function = Callable[[Any], Any]
    Take = Callable[[float | None], Any]  # waits for a result, at most so many seconds

# Tasks in one message where the user has to say it, for a long stream of tiny ones. Larger makes none of them faster.
STREAM_CHUNK = 1000
GROWTHS = 3  # how often one more worker is asked for


class Absent(Exception):
    """The library has no way to do this."""


class Contender(ABC):
    """A warm pool of one library. Leaving it ends its workers."""

    label: ClassVar[str]
    module: ClassVar[str]  # what must be installed
    imports: ClassVar[str]  # what a program must import to begin
    script: ClassVar[str]  # a program that squares four numbers on two workers

    def __init__(self, workers: int) -> None:
        self.workers = workers

    @abstractmethod
    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        """All results, in order, with batches chosen by the library, or else as its documentation advises."""

    @abstractmethod
    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        """The same with one message for each task."""

    def uneven(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        """The same for tasks of very different durations. Fixed batches cannot be balanced, so: one message for each task."""
        return self.each(fn, inputs)

    def share(self, fn: Function, value: Any, count: int) -> list[Any]:
        """One large value to many tasks, the way that the library advises."""
        return self.each(fn, [value] * count)

    def submit(self, fn: Function, value: Any) -> Take:
        """Start one task and return what waits for its result."""
        raise Absent

    @staticmethod
    def codec() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """How it makes bytes of objects, and objects of bytes."""
        raise Absent

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        """An iterator of results, in order."""
        raise Absent

    @classmethod
    def grow(cls) -> float:
        """Seconds from asking for one more worker to its first result."""
        raise Absent

    @abstractmethod
    def close(self) -> None:
        """End the workers."""

    def warm(self) -> Self:
        """Have all workers started, and return the contender."""
        self.pids()
        return self

    def pids(self) -> set[int]:
        """The processes that run tasks, found out by asking them."""
        found: set[int] = set()
        deadline = time.monotonic() + 60
        while len(found) < self.workers and time.monotonic() < deadline:
            found.update(self.each(tasks.nap, [0.02] * 2 * self.workers))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Manyhands(Contender):
    """``map``, ``imap`` and ``Executor``."""

    label = "manyhands"
    module = "manyhands"
    imports = "import manyhands; manyhands.map"
    script = """
import manyhands
def square(x):
    return x * x
print(manyhands.map(square, range(4), workers=2))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        import manyhands

        self._manyhands = manyhands
        self._executor: Any = None

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self._manyhands.map(fn, inputs, workers=self.workers)

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self._manyhands.map(fn, inputs, workers=self.workers, chunk=1)

    def uneven(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self.map(fn, inputs)

    def submit(self, fn: Function, value: Any) -> Take:
        if self._executor is None:
            self._executor = self._manyhands.Executor(self.workers)
        return self._executor.submit(fn, value).result

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        return self._manyhands.imap(fn, inputs, workers=self.workers)

    @classmethod
    def grow(cls) -> float:
        import manyhands

        with manyhands.Executor(GROWTHS + 1) as executor:
            return _grow_by_need(executor)

    @staticmethod
    def codec() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        from manyhands._codec import _pickling

        return _pickling.encode_whole, _pickling.decode

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()
        self._manyhands.shutdown()


class ManyhandsParallel(Contender):
    """``Parallel`` and ``delayed``."""

    label = "manyhands.Parallel"
    module = "manyhands"
    imports = "from manyhands import Parallel, delayed"
    script = """
from manyhands import Parallel, delayed
def square(x):
    return x * x
print(Parallel(n_jobs=2)(delayed(square)(x) for x in range(4)))
"""

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        from manyhands import Parallel, delayed

        return Parallel(n_jobs=self.workers)(delayed(fn)(value) for value in inputs)

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        from manyhands import Parallel, delayed

        # One call a message. The default for pre_dispatch would keep only two of them under way for each worker.
        parallel = Parallel(n_jobs=self.workers, batch_size=1, pre_dispatch="all")
        return parallel(delayed(fn)(value) for value in inputs)

    def uneven(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self.map(fn, inputs)

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        from manyhands import Parallel, delayed

        return Parallel(n_jobs=self.workers, return_as="generator")(delayed(fn)(value) for value in inputs)

    def close(self) -> None:
        import manyhands

        manyhands.shutdown()


class Pool(Contender):
    """``multiprocessing.Pool``."""

    label = "Pool"
    module = "multiprocessing"
    imports = "from multiprocessing.pool import Pool"
    script = """
from multiprocessing import Pool
def square(x):
    return x * x
if __name__ == "__main__":
    with Pool(2) as pool:
        print(pool.map(square, range(4)))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        import multiprocessing

        self._pool = multiprocessing.Pool(workers)

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self._pool.map(fn, inputs)

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self._pool.map(fn, inputs, chunksize=1)

    def submit(self, fn: Function, value: Any) -> Take:
        return self._pool.apply_async(fn, (value,)).get

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        return self._pool.imap(fn, inputs, chunksize=STREAM_CHUNK)

    @classmethod
    def grow(cls) -> float:
        return _grow_by_another_pool(cls)

    @staticmethod
    def codec() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        import pickle
        from multiprocessing.reduction import ForkingPickler

        return ForkingPickler.dumps, pickle.loads

    def close(self) -> None:
        self._pool.terminate()
        self._pool.join()


class Futures(Contender):
    """What all libraries share whose pool is a ``concurrent.futures.Executor``."""

    executor: Any

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        # The rule of multiprocessing.Pool.map; the executors themselves would send one by one.
        chunk = -(-len(inputs) // (4 * self.workers))
        return list(self.executor.map(fn, inputs, chunksize=max(1, chunk)))

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return list(self.executor.map(fn, inputs))

    def submit(self, fn: Function, value: Any) -> Take:
        return self.executor.submit(fn, value).result

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        return self.executor.map(fn, inputs, chunksize=STREAM_CHUNK)

    def close(self) -> None:
        self.executor.shutdown()


class ProcessPool(Futures):
    """``concurrent.futures.ProcessPoolExecutor`` with the platform's start method."""

    label = "PPE"
    module = "concurrent.futures"
    imports = "from concurrent.futures import ProcessPoolExecutor"
    script = """
from concurrent.futures import ProcessPoolExecutor
def square(x):
    return x * x
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as executor:
        print(list(executor.map(square, range(4))))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        from concurrent.futures import ProcessPoolExecutor

        self.executor = ProcessPoolExecutor(workers)

    @classmethod
    def grow(cls) -> float:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # Forked workers are all started at once; this is the start method with which the executor grows when it needs to.
        context = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(GROWTHS + 1, mp_context=context) as executor:
            return _grow_by_need(executor)


class Loky(Futures):
    """``loky.get_reusable_executor``."""

    label = "loky"
    module = "loky"
    imports = "from loky import get_reusable_executor"
    script = """
from loky import get_reusable_executor
def square(x):
    return x * x
executor = get_reusable_executor(max_workers=2)
print(list(executor.map(square, range(4))))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        from loky import get_reusable_executor

        self.executor = get_reusable_executor(max_workers=workers)

    @classmethod
    def grow(cls) -> float:
        from loky import get_reusable_executor

        def run(workers: int, fn: Function, inputs: list[Any]) -> list[Any]:
            return list(get_reusable_executor(max_workers=workers).map(fn, inputs))

        return _grow_by_resize(run)

    @staticmethod
    def codec() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        import pickle

        from loky.backend.reduction import dumps

        return dumps, pickle.loads

    def close(self) -> None:
        self.executor.shutdown(kill_workers=True)


class Joblib(Contender):
    """``joblib.Parallel``, as a ``with`` block, which spares it work at every call."""

    label = "joblib"
    module = "joblib"
    imports = "from joblib import Parallel, delayed"
    script = """
from joblib import Parallel, delayed
def square(x):
    return x * x
print(Parallel(n_jobs=2)(delayed(square)(x) for x in range(4)))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        import joblib

        self._delayed = joblib.delayed
        self._parallel = joblib.Parallel(n_jobs=workers).__enter__()

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self._parallel(self._delayed(fn)(value) for value in inputs)

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        import joblib

        parallel = joblib.Parallel(n_jobs=self.workers, batch_size=1, pre_dispatch="all")
        return parallel(self._delayed(fn)(value) for value in inputs)

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        import joblib

        parallel = joblib.Parallel(n_jobs=self.workers, return_as="generator")
        return parallel(self._delayed(fn)(value) for value in inputs)

    @classmethod
    def grow(cls) -> float:
        import joblib

        def run(workers: int, fn: Function, inputs: list[Any]) -> list[Any]:
            return joblib.Parallel(n_jobs=workers, batch_size=1)(joblib.delayed(fn)(value) for value in inputs)

        return _grow_by_resize(run)

    def close(self) -> None:
        self._parallel.__exit__(None, None, None)
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(kill_workers=True)


class Mpire(Contender):
    """``mpire.WorkerPool`` with ``keep_alive``."""

    label = "mpire"
    module = "mpire"
    imports = "from mpire import WorkerPool"
    script = """
from mpire import WorkerPool
def square(x):
    return x * x
if __name__ == "__main__":
    with WorkerPool(n_jobs=2) as pool:
        print(pool.map(square, range(4)))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        from mpire import WorkerPool

        self._pool = WorkerPool(n_jobs=workers, keep_alive=True)

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self._pool.map(fn, inputs)

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self._pool.map(fn, inputs, chunk_size=1)

    def submit(self, fn: Function, value: Any) -> Take:
        return self._pool.apply_async(fn, (value,)).get

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        return self._pool.imap(fn, inputs, chunk_size=STREAM_CHUNK)

    @classmethod
    def grow(cls) -> float:
        return _grow_by_another_pool(cls)

    def close(self) -> None:
        self._pool.terminate()


class Pebble(Contender):
    """``pebble.ProcessPool``."""

    label = "pebble"
    module = "pebble"
    imports = "from pebble import ProcessPool"
    script = """
from pebble import ProcessPool
def square(x):
    return x * x
if __name__ == "__main__":
    with ProcessPool(max_workers=2) as pool:
        print(list(pool.map(square, range(4)).result()))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        from pebble import ProcessPool as PebblePool

        self._pool = PebblePool(max_workers=workers)

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        chunk = -(-len(inputs) // (4 * self.workers))
        return list(self._pool.map(fn, inputs, chunksize=max(1, chunk)).result())

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        # Its map makes a chunk of each task even then; this is faster.
        futures = [self._pool.schedule(fn, (value,)) for value in inputs]
        return [future.result() for future in futures]

    def submit(self, fn: Function, value: Any) -> Take:
        return self._pool.schedule(fn, (value,)).result

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        return self._pool.map(fn, inputs, chunksize=STREAM_CHUNK).result()

    @classmethod
    def grow(cls) -> float:
        return _grow_by_another_pool(cls)

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()


class Dask(Contender):
    """``distributed.Client`` on processes of this machine."""

    label = "dask"
    module = "distributed"
    imports = "from distributed import Client"
    script = """
from distributed import Client
def square(x):
    return x * x
if __name__ == "__main__":
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        print(client.gather(client.map(square, range(4))))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        from distributed import Client

        self._client = Client(n_workers=workers, threads_per_worker=1, dashboard_address=None)

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        chunks = _chunks(inputs, 4 * self.workers)
        futures = self._client.map(functools.partial(tasks.run_chunk, fn), chunks, pure=False)
        return list(itertools.chain.from_iterable(self._client.gather(futures)))

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        return self._client.gather(self._client.map(fn, list(inputs), pure=False))

    def submit(self, fn: Function, value: Any) -> Take:
        return self._client.submit(fn, value, pure=False).result

    def share(self, fn: Function, value: Any, count: int) -> list[Any]:
        there = self._client.scatter(value, broadcast=True, hash=False)
        return self._client.gather([self._client.submit(fn, there, pure=False) for _ in range(count)])

    def close(self) -> None:
        self._client.close()


class Ray(Contender):
    """Ray's remote functions."""

    label = "ray"
    module = "ray"
    imports = "import ray"
    script = """
import ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
@ray.remote
def square(x):
    return x * x
print(ray.get([square.remote(x) for x in range(4)]))
"""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        import ray

        self._ray = ray
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
        self._remote = functools.cache(ray.remote)  # a function is sent again for each remote made of it

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        run = self._remote(tasks.run_chunk)
        references = [run.remote(fn, chunk) for chunk in _chunks(inputs, 4 * self.workers)]
        return list(itertools.chain.from_iterable(self._ray.get(references)))

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        remote = self._remote(fn)
        return self._ray.get([remote.remote(value) for value in inputs])

    def submit(self, fn: Function, value: Any) -> Take:
        reference = self._remote(fn).remote(value)

        def take(timeout: float | None) -> Any:
            return self._ray.get(reference, timeout=timeout)

        return take

    def share(self, fn: Function, value: Any, count: int) -> list[Any]:
        return self.each(fn, [self._ray.put(value)] * count)

    def close(self) -> None:
        self._ray.shutdown()


OWN: tuple[type[Contender], ...] = (Manyhands, ManyhandsParallel)
PEERS: tuple[type[Contender], ...] = (Pool, ProcessPool, Loky, Joblib, Mpire, Pebble)
WHERE_INSTALLED: tuple[type[Contender], ...] = (Dask, Ray)
ALL: tuple[type[Contender], ...] = (*OWN, *PEERS, *WHERE_INSTALLED)


def installed() -> list[type[Contender]]:
    """The contenders whose library is there."""
    return [contender for contender in ALL if importlib.util.find_spec(contender.module)]


# ------------------------------------------------------------ one more worker


class _Executor(Protocol):
    def submit(self, fn: Function, /, *args: Any) -> Any: ...


def _grow_by_need(executor: _Executor) -> float:
    """For executors that start a worker when a task finds all others busy."""
    known = {executor.submit(tasks.whoami, None).result()}
    durations = []
    for _ in range(GROWTHS):
        executor.submit(tasks.nap, 1.0)  # keeps the only idle worker busy
        time.sleep(0.05)  # until it has begun
        begin = time.perf_counter()
        pid = executor.submit(tasks.whoami, None).result()
        durations.append(time.perf_counter() - begin)
        assert pid not in known, "an old worker ran the task"
        known.add(pid)
        time.sleep(0.05)  # until the executor has noted that the new worker is idle
    return statistics.median(durations)


def _grow_by_resize(run: Callable[[int, Function, list[Any]], list[Any]]) -> float:
    """For executors that are told how many workers to have. The result is dated where it is made: its way back is not counted."""
    known = {pid for pid, _ in run(1, tasks.stamp, [0.0])}
    durations = []
    for workers in range(2, GROWTHS + 2):
        begin = time.monotonic()
        # Long enough that the old workers take one task each, and the new one the last.
        results = run(workers, tasks.stamp, [0.5] * workers)
        arrivals = [moment for pid, moment in results if pid not in known]
        assert arrivals, "old workers ran all tasks"
        durations.append(min(arrivals) - begin)
        known.update(pid for pid, _ in results)
    return statistics.median(durations)


def _grow_by_another_pool(contender: type[Contender]) -> float:
    """For pools whose size is fixed: another pool, of one worker."""
    durations = []
    for _ in range(GROWTHS):
        begin = time.perf_counter()
        with contender(1) as pool:
            pid = pool.submit(tasks.whoami, None)(None)
            durations.append(time.perf_counter() - begin)
        assert pid != os.getpid()
    return statistics.median(durations)


def _chunks(inputs: Sequence[Any], count: int) -> list[list[Any]]:
    size = max(1, -(-len(inputs) // count))
    return [list(inputs[first : first + size]) for first in range(0, len(inputs), size)]
