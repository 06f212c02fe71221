"""Other libraries' names over manyhands, beside manyhands' own: what the change of one import costs over the change of the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.contenders import Contender, Futures, Joblib, Loky, ManyhandsParallel, Pool, ProcessPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.contenders import Function


class PoolFace(Pool):
    """``manyhands.Pool``."""

    label = "Pool's names"
    module = "manyhands"
    imports = "from manyhands.compat.multiprocessing import Pool"
    script = Pool.script.replace("from multiprocessing", "from manyhands.compat.multiprocessing")

    def __init__(self, workers: int) -> None:
        Contender.__init__(self, workers)
        from manyhands.compat.multiprocessing import Pool

        self._pool = Pool(workers)


class FuturesFace(ProcessPool):
    """``ProcessPoolExecutor`` of ``manyhands.compat.concurrent_futures``."""

    label = "PPE's names"
    module = "manyhands"
    imports = "from manyhands.compat.concurrent_futures import ProcessPoolExecutor"
    script = ProcessPool.script.replace("from concurrent.futures", "from manyhands.compat.concurrent_futures")

    def __init__(self, workers: int) -> None:
        Contender.__init__(self, workers)
        from manyhands.compat.concurrent_futures import ProcessPoolExecutor

        self.executor = ProcessPoolExecutor(workers)


class LokyFace(Loky):
    """``get_reusable_executor`` of ``manyhands.compat.loky``."""

    label = "loky's names"
    module = "manyhands"
    imports = "from manyhands.compat.loky import get_reusable_executor"
    script = Loky.script.replace("from loky", "from manyhands.compat.loky")

    def __init__(self, workers: int) -> None:
        Contender.__init__(self, workers)
        from manyhands.compat.loky import get_reusable_executor

        self.executor = get_reusable_executor(max_workers=workers)


class ExecutorFace(Futures):
    """``manyhands.Executor``, which the two above stand on."""

    label = "Executor"
    module = "manyhands"
    imports = "from manyhands import Executor"
    script = ProcessPool.script.replace(
        "from concurrent.futures import ProcessPoolExecutor", "from manyhands import Executor as ProcessPoolExecutor"
    )

    def __init__(self, workers: int) -> None:
        Contender.__init__(self, workers)
        from manyhands import Executor

        self.executor = Executor(workers)


class JoblibFace(ManyhandsParallel):
    """``Parallel`` and ``delayed`` of ``manyhands.compat.joblib``."""

    label = "joblib's names"
    imports = "from manyhands.compat.joblib import Parallel, delayed"
    script = ManyhandsParallel.script.replace("from manyhands", "from manyhands.compat.joblib")

    def map(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        from manyhands.compat.joblib import Parallel, delayed

        return Parallel(n_jobs=self.workers)(delayed(fn)(value) for value in inputs)

    def each(self, fn: Function, inputs: Sequence[Any]) -> list[Any]:
        from manyhands.compat.joblib import Parallel, delayed

        parallel = Parallel(n_jobs=self.workers, batch_size=1, pre_dispatch="all")
        return parallel(delayed(fn)(value) for value in inputs)

    def stream(self, fn: Function, inputs: Iterable[Any]) -> Iterator[Any]:
        from manyhands.compat.joblib import Parallel, delayed

        return Parallel(n_jobs=self.workers, return_as="generator")(delayed(fn)(value) for value in inputs)


class JoblibBackend(Joblib):
    """joblib itself, on manyhands' workers."""

    label = "backend of joblib"
    script = """
import joblib, manyhands
def square(x):
    return x * x
manyhands.register_joblib()
with joblib.parallel_config(backend="manyhands"):
    print(joblib.Parallel(n_jobs=2)(joblib.delayed(square)(x) for x in range(4)))
"""

    def __init__(self, workers: int) -> None:
        import joblib

        import manyhands

        manyhands.register_joblib()
        self._config = joblib.parallel_config(backend="manyhands")
        super().__init__(workers)

    def close(self) -> None:
        self._parallel.__exit__(None, None, None)
        self._config.unregister()


ALL: tuple[type[Contender], ...] = (PoolFace, ExecutorFace, FuturesFace, LokyFace, JoblibFace, JoblibBackend)
ROWS = ("call", "round-trip", "one-by-one", "futures", "batches", "script")
