"""Programs that use ``multiprocessing`` and ``concurrent.futures`` as they are: what their pools and processes do is told as well.

From when the program is watched on, what their workers call is replaced by what tells of it: the functions that take tasks from queues, and
that which every process of ``multiprocessing`` begins with. Children that are forked have it from their parent; others are told by what
they are started with, and a fork server by its environment.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from manyhands._core.living import Living
from manyhands._engine._on_import import when_imported
from manyhands._probe import _probe
from manyhands.watch import _joined, _origin
from manyhands.watch._loose import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

RUN = "MANYHANDS_WATCH_RUN"  # the run that processes which are started belong to
_OWN = os.path.dirname(__file__) + os.sep
_POOL, _PROCESS, _EXECUTOR, _THREADS = (
    "multiprocessing.pool",
    "multiprocessing.process",
    "concurrent.futures.process",
    "concurrent.futures.thread",
)
# Functions that call what they are given for each of several items: in a tuple of both, or as two arguments.
_MAPPING = {(_POOL, "mapstar"), (_POOL, "starmapstar"), (_EXECUTOR, "_process_chunk")}
_LOOKED_AT = 100  # calls that wait; of the others, as many are taken for granted as in these


class _State:
    has_begun = False
    looks = False  # at pools of this process
    boundaries: list[CodeType] = []  # noqa: RUF012 - of this process alone


_state = _State()
_pools: Living[Any] = Living()
_threads: Living[Worker] = Living()  # of executors


def begin() -> None:
    """From now on, in this process and those that it starts."""
    probe = _probe.here()
    if probe is None:
        return
    os.environ[_probe.ADDRESS], os.environ[RUN] = probe.address, str(probe.about["run"])
    if not _state.looks:
        _state.looks = True
        _joined.when_begun(_look_at_pools)
        os.register_at_fork(after_in_child=_forget_pools)
    _replace()


def end() -> None:
    """Processes that are started from now on are not watched. What has been replaced stays, and tells nothing."""
    for variable in (_probe.ADDRESS, RUN):
        os.environ.pop(variable, None)


def begin_in_child() -> None:
    """In a process that was not forked from one that is watched, or is going to fork those that are to be watched."""
    _replace()


def _replace() -> None:
    if _state.has_begun:
        return
    _state.has_begun = True
    when_imported(_POOL, _replace_pool)
    when_imported(_EXECUTOR, _replace_executor)
    when_imported(_THREADS, _replace_threads)
    when_imported(_PROCESS, _replace_process)
    when_imported("multiprocessing.spawn", _replace_spawn)
    when_imported("multiprocessing.forkserver", _replace_fork_server)


# ---------------------------------------------------------------- tasks


def _worker() -> Worker | None:
    """What tells of the tasks of this thread, if the process is watched."""
    teller = _joined.teller()
    if teller is None:
        return None
    thread = threading.current_thread()
    is_process = thread is threading.main_thread()
    worker = Worker(teller, os.getpid() if is_process else teller.slot(thread.name, time.monotonic_ns()))
    teller.looks.append(worker.look)
    if is_process:
        _be_bounded(teller.probe)
        teller.probe.sampler.task = worker.at
    else:
        teller.probe.sampler.callers |= set(map(id, _state.boundaries))
    return worker


def _be_bounded(probe: _probe.Probe) -> None:
    """Of the main thread's stacks, only what is inside of such functions is the user's."""
    probe.sampler.boundaries |= set(map(id, _state.boundaries))
    probe.sampler.own = (*probe.sampler.own, _OWN, *_FOLDERS)


_FOLDERS = tuple(os.path.join(os.path.dirname(os.__file__), *parts) for parts in (("multiprocessing", ""), ("concurrent", "futures", "")))


def bound(probe: _probe.Probe) -> None:
    """The same in a worker that has joined by itself: nothing of it is replaced."""
    for name, functions in _WAITING.items():
        module = sys.modules.get(name)
        for path in functions if module is not None else ():
            function: Any = operator.attrgetter(path)(module)
            code = getattr(function, "__wrapped__", function).__code__
            _state.boundaries += [code, *(inner for inner in code.co_consts if hasattr(inner, "co_code"))]
        if "loky" in name and module is not None:  # it waits by a selector of its own
            probe.sampler.own += (os.path.dirname(str(module.__file__)) + os.sep, _SELECTORS)
    if _state.boundaries and _origin.is_spawned():
        _be_bounded(probe)


_SELECTORS = os.path.join(os.path.dirname(os.__file__), "selectors.py")
# Functions in which workers wait for what they are to call, or by which they call it.
_WAITING = {
    _POOL: ("worker", "mapstar", "starmapstar"),
    _EXECUTOR: ("_process_worker", "_process_chunk"),
    _PROCESS: ("BaseProcess._bootstrap", "BaseProcess.run"),
    "loky.process_executor": ("_process_worker",),
    "joblib.externals.loky.process_executor": ("_process_worker",),
}


def _meant(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any], int]:
    """What a pool calls, or what that is going to call; and how many calls there are in it."""
    called = function.func if isinstance(function, functools.partial) else function
    place = getattr(called, "__module__", ""), getattr(called, "__name__", "")
    if place not in _MAPPING:
        return function, args, kwargs, 1
    inner, items = (args[0] if place[0] == _POOL else (*getattr(function, "args", ()), *args))[:2]
    return inner, (items,), {}, len(items) if isinstance(items, tuple | list) else 1


class _Tasks:
    """The queue that a worker takes tasks from: ``unpacked(task)`` gives its number, in the order of submission, and what it calls."""

    def __init__(self, queue: Any, worker: Worker, unpacked: Callable[[Any], tuple[int, Any, tuple[Any, ...], dict[str, Any]]]) -> None:
        self._queue = queue
        self._worker = worker
        self._unpacked = unpacked
        self.count = 1
        self._most = 1  # calls in a part of a map: all have as many, but for the last

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """The next task."""
        task = self._queue.get(*args, **kwargs)
        if task is not None:
            with contextlib.suppress(Exception):  # watching ends nothing
                number, *submitted = self._unpacked(task)
                function, args, kwargs, self.count = _meant(*submitted)
                if function is not submitted[0]:  # a part of a map
                    self._most = max(self._most, self.count)
                    number *= self._most
                self._worker.begin(function, args, kwargs, number)
        return task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class _Results:
    """The queue that it puts results in: ``failure(result)`` gives an error and its traceback, if there is one."""

    def __init__(self, queue: Any, worker: Worker, tasks: _Tasks, failure: Callable[[Any], tuple[BaseException | None, str]]) -> None:
        self._queue = queue
        self._worker = worker
        self._tasks = tasks
        self._failure = failure

    def put(self, result: Any, *args: Any, **kwargs: Any) -> Any:
        """A result is ready."""
        with contextlib.suppress(Exception):
            self._worker.end(self._tasks.count, *self._failure(result))
        return self._queue.put(result, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def _replace_pool(module: Any) -> None:
    plain = module.worker
    _state.boundaries += [plain.__code__, module.mapstar.__code__, module.starmapstar.__code__]

    @functools.wraps(plain)
    def worker(inqueue: Any, outqueue: Any, *args: Any, **kwargs: Any) -> Any:
        watching = _worker()
        if watching is None:
            return plain(inqueue, outqueue, *args, **kwargs)
        tasks = _Tasks(inqueue, watching, _unpacked_of_pool)
        try:
            return plain(tasks, _Results(outqueue, watching, tasks, _failure_of_pool), *args, **kwargs)
        finally:
            watching.look()

    module.worker = worker
    begin = module.Pool.__init__

    @functools.wraps(begin)
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        _pools.add(self)

    module.Pool.__init__ = noted


def _unpacked_of_pool(task: Any) -> tuple[int, Any, tuple[Any, ...], dict[str, Any]]:
    job, index, function, args, kwargs = task
    maps = (getattr(function, "__module__", ""), getattr(function, "__name__", "")) in _MAPPING
    return index if index or maps else job, function, args, kwargs  # apply_async() makes jobs of one task


def _failure_of_pool(result: Any) -> tuple[BaseException | None, str]:
    _, _, (is_good, value) = result
    return (None, "") if is_good else (getattr(value, "exc", value), str(getattr(value, "tb", "")))


def _replace_executor(module: Any) -> None:
    plain = module._process_worker  # noqa: SLF001 - there is no other way in
    chunk = module._process_chunk.__code__  # noqa: SLF001
    _state.boundaries += [plain.__code__, chunk, *(inner for inner in chunk.co_consts if hasattr(inner, "co_code"))]

    @functools.wraps(plain)
    def worker(call_queue: Any, result_queue: Any, *args: Any, **kwargs: Any) -> Any:
        watching = _worker()
        if watching is None:
            return plain(call_queue, result_queue, *args, **kwargs)
        tasks = _Tasks(call_queue, watching, lambda task: (task.work_id, task.fn, task.args, task.kwargs))
        return plain(tasks, _Results(result_queue, watching, tasks, _failure_of_executor), *args, **kwargs)

    module._process_worker = worker  # noqa: SLF001
    begin = module.ProcessPoolExecutor.__init__

    @functools.wraps(begin)
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        _pools.add(self)

    module.ProcessPoolExecutor.__init__ = noted


def _failure_of_executor(result: Any) -> tuple[BaseException | None, str]:
    error = getattr(result, "exception", None)
    return (None, "") if error is None else (getattr(error, "exc", error), str(getattr(error, "tb", "")))


def _replace_threads(module: Any) -> None:
    """Of the standard library's threads; manyhands' own tell by their calls."""
    item = module._WorkItem  # noqa: SLF001 - there is no other way in
    plain, make, numbers = item.run, item.__init__, itertools.count()
    own = threading.local()
    _state.boundaries.append(plain.__code__)

    @functools.wraps(plain)
    def run(self: Any) -> None:
        watching = getattr(own, "worker", None)
        if watching is None or watching.teller is not _joined.teller():
            watching = own.worker = _worker()
            if watching is not None:
                _threads.add(watching)
        if watching is None:
            plain(self)
            return
        future = self.future
        watching.begin(self.fn, self.args, self.kwargs, getattr(self, "number", None))
        plain(self)
        watching.end(1, None if future.cancelled() else future.exception())

    @functools.wraps(make)
    def numbered(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.number = next(numbers)

    item.run, item.__init__ = run, numbered
    begin = module.ThreadPoolExecutor.__init__

    @functools.wraps(begin)
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        _pools.add(self)

    module.ThreadPoolExecutor.__init__ = noted


# ---------------------------------------------------------------- how many tasks are left


def _look_at_pools() -> None:
    """Tell how many tasks wait, or run, in pools of this process."""
    teller = _joined.teller()
    left = sum(map(_left, list(_pools))) + sum(worker.current is not None for worker in list(_threads))
    if teller is not None and (left or _counted):
        _counted[:] = [left]
        teller.tell_loose(left)


_counted: list[int] = []


def _forget_pools() -> None:
    """In a forked child: they are the parent's."""
    global _pools, _threads  # noqa: PLW0603 - of this process
    _pools = Living()
    _threads = Living()
    _counted.clear()


def _left(pool: Any) -> int:
    if hasattr(pool, "_pending_work_items"):
        items = list(pool._pending_work_items.values())  # noqa: SLF001
        looked_at = items[:_LOOKED_AT]
        calls = sum(_meant(item.fn, item.args, item.kwargs)[3] for item in looked_at)
        return calls * len(items) // max(1, len(looked_at))
    if hasattr(pool, "_work_queue"):  # of threads; those that run are counted by themselves
        if not any(thread.is_alive() for thread in list(pool._threads)):  # noqa: SLF001
            return 0  # what is left are words to end
        return max(0, int(pool._work_queue.qsize()) - bool(pool._shutdown))  # noqa: SLF001 - as above
    return sum(_left_of(job) for job in list(pool._cache.values()))  # noqa: SLF001


def _left_of(job: Any) -> int:
    chunks = getattr(job, "_number_left", None)
    if chunks is not None:
        return int(min(len(job._value), chunks * job._chunksize))  # noqa: SLF001
    length = getattr(job, "_length", 1)
    return 1 if length is None else max(0, length - getattr(job, "_index", 0))


# ---------------------------------------------------------------- processes


def _replace_process(module: Any) -> None:
    plain = module.BaseProcess._bootstrap  # noqa: SLF001 - there is no other way in
    _state.boundaries += [plain.__code__, module.BaseProcess.run.__code__]

    @functools.wraps(plain)
    def bootstrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        probe = _join(self.name)
        if probe is None:
            return plain(self, *args, **kwargs)
        _be_bounded(probe)
        status = 1
        try:
            status = plain(self, *args, **kwargs)
            return status
        finally:
            _joined.leave(probe, status)

    module.BaseProcess._bootstrap = bootstrap  # noqa: SLF001
    for name in ("terminate", "kill"):
        _replace_end(module.BaseProcess, name)


def _replace_end(kind: Any, name: str) -> None:
    """Who ends a process does not lose it; pools do, in the end."""
    plain = getattr(kind, name)

    @functools.wraps(plain)
    def end(self: Any) -> None:
        if (teller := _joined.teller()) is not None and self.pid is not None and self.exitcode is None:
            teller.tell_ended(self.pid)
        plain(self)

    setattr(kind, name, end)


def _join(name: str) -> _probe.Probe | None:
    """This process is one of multiprocessing's."""
    probe = _probe.here()
    if probe is None and _probe.ADDRESS in os.environ:
        probe = _probe.start(os.environ[_probe.ADDRESS], role="process", name=name, run=os.environ[RUN])
        if probe is not None:
            _joined.begin(probe)
    elif probe is not None:
        probe.introduce({**probe.about, "role": "process", "name": name})
    return probe


def _replace_spawn(module: Any) -> None:
    plain = module.get_command_line

    @functools.wraps(plain)
    def command_line(**kwargs: Any) -> list[str]:
        command: list[str] = plain(**kwargs)
        if _probe.here() is not None and "-c" in command:
            at = command.index("-c") + 1
            command[at] = f"{_JOIN}\n{command[at]}"
        return command

    module.get_command_line = command_line


# What is not installed, but found by way of a path that the program has changed, is not there yet.
_JOIN = f"""
try:
    from {__name__} import begin_in_child
except ImportError:
    pass
else:
    begin_in_child()
"""


def _replace_fork_server(module: Any) -> None:
    server = module._forkserver  # noqa: SLF001 - what set_forkserver_preload() changes
    if _FORK_SERVER not in server._preload_modules:  # noqa: SLF001
        server._preload_modules = [*server._preload_modules, _FORK_SERVER]  # noqa: SLF001
    plain = server.set_forkserver_preload

    def preload(modules: list[str]) -> None:
        plain([*modules, _FORK_SERVER])

    server.set_forkserver_preload = module.set_forkserver_preload = preload


_FORK_SERVER = "manyhands.watch._fork_server"
