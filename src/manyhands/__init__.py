"""manyhands: run Python functions on every core.

==================  ===========================================================
``map``             a list of results
``imap``            an iterator with back-pressure, ``aimap`` for ``async for``
``Executor``        the ``concurrent.futures`` face
``Parallel``        the ``joblib`` face, with ``delayed``
``Pool``            the ``multiprocessing.Pool`` face, and ``ThreadPool``
``Process``         one function in a process of its own
``Manager``         shared objects in a process of their own
``Memory``          results of functions, kept on disk
``hash``            the digest of a value: equal for equal ones, in every process
``dump``, ``load``    an object in a file
``options``         options for a block of code
``watch``           the run, live on a page
``replay``          a failed task, run again
``shutdown``        end the warm workers
==================  ===========================================================

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from manyhands._engine._state import shutdown as shutdown
    from manyhands._wire._cpus import cpu_count as cpu_count
    from manyhands.compat.registering import register_joblib as register_joblib
    from manyhands.errors import BackendMissing as BackendMissing
    from manyhands.errors import CannotStart as CannotStart
    from manyhands.errors import Failure as Failure
    from manyhands.errors import InternalError as InternalError
    from manyhands.errors import ManyhandsError as ManyhandsError
    from manyhands.errors import NotData as NotData
    from manyhands.errors import NotHashable as NotHashable
    from manyhands.errors import NotSerializable as NotSerializable
    from manyhands.errors import NotStored as NotStored
    from manyhands.errors import PoolClosed as PoolClosed
    from manyhands.errors import RemoteError as RemoteError
    from manyhands.errors import StaleCode as StaleCode
    from manyhands.errors import StoreCorrupt as StoreCorrupt
    from manyhands.errors import TaskTimeout as TaskTimeout
    from manyhands.errors import TravelWarning as TravelWarning
    from manyhands.errors import WorkerDied as WorkerDied
    from manyhands.executor import Executor as Executor
    from manyhands.executor import Future as Future
    from manyhands.explaining import explain as explain
    from manyhands.explaining import register_reducer as register_reducer
    from manyhands.hashing import hash as hash  # noqa: A004 - joblib's name for it
    from manyhands.mapping import Results as Results
    from manyhands.mapping import aimap as aimap
    from manyhands.mapping import imap as imap
    from manyhands.mapping import map as map  # noqa: A004 - the builtin's name for what the builtin does
    from manyhands.memory import Memory as Memory
    from manyhands.parallel import Parallel as Parallel
    from manyhands.parallel import delayed as delayed
    from manyhands.persistence import dump as dump
    from manyhands.persistence import load as load
    from manyhands.pool import Pool as Pool
    from manyhands.pool import ThreadPool as ThreadPool
    from manyhands.process import Process as Process
    from manyhands.replaying import FailedTask as FailedTask
    from manyhands.replaying import replay as replay
    from manyhands.reports import Report as Report
    from manyhands.reports import last_report as last_report
    from manyhands.settings import options as options
    from manyhands.sharing.arrays import readonly as readonly
    from manyhands.sharing.arrays import share_array as share_array
    from manyhands.sharing.arrays import shared_array as shared_array
    from manyhands.sharing.later import batch as batch
    from manyhands.sharing.later import later as later
    from manyhands.sharing.managers import Manager as Manager
    from manyhands.sharing.objects import local as local
    from manyhands.sharing.objects import lock as lock
    from manyhands.sharing.objects import share as share
    from manyhands.sharing.objects import snapshot as snapshot
    from manyhands.watch._face import watch as watch
    from manyhands.worker_state import per_worker as per_worker
    from manyhands.worker_state import worker_id as worker_id

__version__ = "0.1.0"

_HOME = {
    "BackendMissing": "errors",
    "CannotStart": "errors",
    "Executor": "executor",
    "FailedTask": "replaying",
    "Failure": "errors",
    "Future": "executor",
    "InternalError": "errors",
    "ManyhandsError": "errors",
    "Manager": "sharing.managers",
    "Memory": "memory",
    "NotHashable": "errors",
    "NotData": "errors",
    "NotSerializable": "errors",
    "NotStored": "errors",
    "Parallel": "parallel",
    "Pool": "pool",
    "PoolClosed": "errors",
    "Process": "process",
    "RemoteError": "errors",
    "Report": "reports",
    "Results": "mapping",
    "StaleCode": "errors",
    "StoreCorrupt": "errors",
    "TaskTimeout": "errors",
    "ThreadPool": "pool",
    "TravelWarning": "errors",
    "WorkerDied": "errors",
    "aimap": "mapping",
    "cpu_count": "_wire._cpus",
    "delayed": "parallel",
    "dump": "persistence",
    "explain": "explaining",
    "hash": "hashing",
    "imap": "mapping",
    "last_report": "reports",
    "load": "persistence",
    "map": "mapping",
    "options": "settings",
    "per_worker": "worker_state",
    "batch": "sharing.later",
    "later": "sharing.later",
    "local": "sharing.objects",
    "lock": "sharing.objects",
    "readonly": "sharing.arrays",
    "register_joblib": "compat.registering",
    "register_reducer": "explaining",
    "replay": "replaying",
    "share": "sharing.objects",
    "share_array": "sharing.arrays",
    "shared_array": "sharing.arrays",
    "shutdown": "_engine._state",
    "snapshot": "sharing.objects",
    "watch": "watch",
    "worker_id": "worker_state",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib  # noqa: PLC0415 - this function is what keeps the import light

    module = importlib.import_module(f"{__name__}.{home}")
    value: object = module if name == home else getattr(module, name)  # watch is called itself
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME} - {"TYPE_CHECKING", "annotations"})
