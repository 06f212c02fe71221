"""``joblib``, on manyhands. Works where joblib is not installed.

=======================  =========================================================================
``parallel.py``          ``Parallel``, and the names of ``joblib.parallel``
``numpy_pickle.py``      ``dump``, ``load``, ``register_compressor``
``logger.py``            ``Logger``, ``PrintTime``, and the names of ``joblib.logger``
``_parallel_backends``   the backends that have names, and those of ``joblib._parallel_backends``
``hashing.py``           ``hash``
``_backend_base.py``     the contract of backends
``_auto_batching.py``    batches by measured time, for backends that want it
``_workers.py``          worker processes: those that all share, or set up specially
``_config.py``           ``parallel_config``: what holds in which block, thread and worker
``_choosing.py``         which backend a call gets
``_batches.py``          what backends of others are given
``_contract_stream.py``  such a backend, driven as a stream
``_dispatching.py``      what subclasses of ``Parallel`` override to be told of batches
``_array_files.py``      arrays by way of files, where the user asks for files
``_errors.py``           errors as callers of joblib catch them
``_processors.py``       ``cpu_count``
``memory.py``            ``Memory``, on :mod:`manyhands.memory`; ``_local_store.py``: its store with joblib's methods;
                         ``_store_backends.py``, ``_foreign_store.py``: stores of others
``_utils.py``            expressions of ``pre_dispatch``
=======================  =========================================================================

Example:
    >>> from manyhands.compat.joblib import Parallel, delayed
    >>> Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(4))
    [0, 1, 4, 9]

Names are loaded when they are first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from manyhands.compat._wrapping import wrap_non_picklable_objects as wrap_non_picklable_objects
    from manyhands.compat.joblib._backend_base import ParallelBackendBase as ParallelBackendBase
    from manyhands.compat.joblib._config import parallel_backend as parallel_backend
    from manyhands.compat.joblib._config import parallel_config as parallel_config
    from manyhands.compat.joblib._processors import cpu_count as cpu_count
    from manyhands.compat.joblib._store_backends import StoreBackendBase as StoreBackendBase
    from manyhands.compat.joblib._store_backends import register_store_backend as register_store_backend
    from manyhands.compat.joblib.hashing import hash as hash  # noqa: A004 - joblib's name
    from manyhands.compat.joblib.logger import Logger as Logger
    from manyhands.compat.joblib.logger import PrintTime as PrintTime
    from manyhands.compat.joblib.memory import MemorizedResult as MemorizedResult
    from manyhands.compat.joblib.memory import Memory as Memory
    from manyhands.compat.joblib.memory import expires_after as expires_after
    from manyhands.compat.joblib.numpy_pickle import dump as dump
    from manyhands.compat.joblib.numpy_pickle import load as load
    from manyhands.compat.joblib.numpy_pickle import register_compressor as register_compressor
    from manyhands.compat.joblib.parallel import Parallel as Parallel
    from manyhands.compat.joblib.parallel import delayed as delayed
    from manyhands.compat.joblib.parallel import effective_n_jobs as effective_n_jobs
    from manyhands.compat.joblib.parallel import register_parallel_backend as register_parallel_backend

_HOME = {
    "Logger": "logger",
    "MemorizedResult": "memory",
    "Memory": "memory",
    "Parallel": "parallel",
    "ParallelBackendBase": "_backend_base",
    "PrintTime": "logger",
    "StoreBackendBase": "_store_backends",
    "cpu_count": "_processors",
    "delayed": "parallel",
    "dump": "numpy_pickle",
    "effective_n_jobs": "parallel",
    "expires_after": "memory",
    "hash": "hashing",
    "load": "numpy_pickle",
    "parallel_backend": "_config",
    "parallel_config": "_config",
    "register_compressor": "numpy_pickle",
    "register_parallel_backend": "parallel",
    "register_store_backend": "_store_backends",
    "wrap_non_picklable_objects": "manyhands.compat._wrapping",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib  # noqa: PLC0415 - this function is what keeps the import light

    value: object = getattr(importlib.import_module(home if "." in home else f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME} - {"TYPE_CHECKING", "annotations"})
