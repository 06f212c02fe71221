"""The process of a worker: how it begins, what it takes over from the parent, and how it ends.

This module is loaded in the zygote, so that a forked worker is ready at once; it imports little.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import importlib
import marshal
import os
import signal
import socket
import sys
import types

from manyhands._core.thread_variables import THREAD_VARIABLES
from manyhands._engine._worker import Worker
from manyhands._wire import _posix, _slot
from manyhands._wire._channel import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from manyhands._engine._settings import Settings


def main(channel_fd: int, slot_fd: int, lifeline_fd: int, settings_fd: int, begin: Callable[[], object] | None = None) -> None:
    """Be a worker from beginning to end, with ``begin()`` before all else. Does not return."""

    def live() -> None:
        join(lifeline_fd)
        if begin is not None:
            begin()
        work(channel_fd, slot_fd, settings_fd)

    to_the_end(live)


def to_the_end(live: Callable[[], None]) -> None:
    """Run all that this process is for, then end it. Does not return: nothing may go on in the zygote's frames above."""
    status = 1
    try:
        live()
        status = 0
    except (EOFError, BrokenPipeError):  # the parent is gone
        status = 0
    except SystemExit as request:  # a child that a task has forked
        status = request.code if isinstance(request.code, int) else int(request.code is not None)
    except BaseException:  # noqa: BLE001 - see above
        sys.excepthook(*sys.exc_info())
    _leave(status)


# "module" or "path", and which, of the program's script; empty if it has none that could be loaded.
SCRIPT: list[str] = []


def join(lifeline_fd: int) -> None:
    """Be a process of its own, that ends when the parent does."""
    atexit._clear()  # noqa: SLF001 - under "fork", what the parent registered is not this process's to do
    _posix.die_with(lifeline_fd)
    _posix.go_first_for_memory()
    if "multiprocessing.util" in sys.modules:  # preloaded, or the program's own, under "fork"
        importlib.import_module("manyhands._engine._as_multiprocessing").begin(lifeline_fd)


def work(channel_fd: int, slot_fd: int, settings_fd: int) -> None:
    """Serve the parent behind ``channel_fd`` until it wants no more: as a worker, or as what ``main`` of the settings says.

    Raises:
        EOFError, BrokenPipeError: it is gone.
    """
    options: Settings = marshal.loads(_posix.read_from_start(settings_fd))
    os.close(settings_fd)
    adopt_environment(options)
    for name in options["modules"]:
        importlib.import_module(name)
    _draw_other_numbers()
    catch_signals(slot_fd)
    if options["main"]:
        importlib.import_module(options["main"]).main(channel_fd)
        return
    channel = Channel(socket.socket(fileno=channel_fd), blocking=True, descriptors=True)
    words = _slot.attach(slot_fd)
    words[_slot.PID] = os.getpid()
    worker = Worker(channel, words)
    if worker.set_up(options):
        worker.serve()
        await_threads()
        worker.take_leave()


def await_threads() -> None:
    """Wait for the threads that tasks have left, as the end of any process does, but for daemons."""
    if "threading" in sys.modules:
        threading = importlib.import_module("threading")
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()


def _leave(status: int) -> None:
    """End the process: what the user's code left to do at exit is done, then nothing can keep it."""
    try:
        atexit._run_exitfuncs()  # noqa: SLF001 - what multiprocessing's children do, too
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None
                stream.flush()
        os._exit(status)


def adopt_environment(options: Settings) -> None:
    """Become a process like the parent: directory, environment, import path, arguments."""
    if os.environ != options["env"]:  # usually it is what the zygote has, and setting it takes half a millisecond
        os.environ.clear()
        os.environ.update(options["env"])
    with contextlib.suppress(OSError):  # it has been removed; the parent is in the same place
        os.chdir(options["cwd"] or ".")
    sys.path[:] = options["path"]
    sys.argv[:] = options["argv"]
    SCRIPT[:] = options["script"]
    os.environ["MANYHANDS_DEPTH"] = str(int(os.environ.get("MANYHANDS_DEPTH", "0")) + 1)  # of workers that workers have started
    _limit_threads(options["cpus"])
    main_module = types.ModuleType("__main__")
    main_module.__dict__["__builtins__"] = sys.modules["builtins"]
    sys.modules["__main__"] = main_module


def _draw_other_numbers() -> None:
    """Have numpy's global generator draw other numbers than that of the next worker. ``random`` sees to it itself, when it is forked."""
    numpy_random = sys.modules.get("numpy.random")  # preloaded, or the program's own, under "fork"
    if numpy_random is not None:
        numpy_random.seed()


def _limit_threads(cpus: int) -> None:
    """Give numeric libraries this worker's share of the processors, unless the user has decided otherwise."""
    chosen = chosen_variables(os.environ)
    os.environ["MANYHANDS_WORKER"] = str(os.getpid())
    os.environ["MANYHANDS_CPUS"] = str(cpus)
    os.environ.update((name, str(cpus)) for name in THREAD_VARIABLES if name not in chosen)
    if "numpy" in sys.modules and not chosen:  # preloaded: the variables come too late
        try:
            import threadpoolctl  # noqa: PLC0415
        except ImportError:
            return
        threadpoolctl.threadpool_limits(cpus)


def chosen_variables(env: Mapping[str, str]) -> set[str]:
    """Those of :data:`THREAD_VARIABLES` that the user has set. In a worker they say its share, which is too much for one of its own."""
    share = env.get("MANYHANDS_CPUS") if "MANYHANDS_WORKER" in env else None
    return {name for name in THREAD_VARIABLES if name in env and env[name] != share}


def catch_signals(slot_fd: int) -> None:
    """Leave Ctrl-C to the parent, and write the stack into the slot when it is asked for, or the process crashes."""
    # Ctrl-C is the parent's to handle. Not SIG_IGN: programs that a task starts would inherit it.
    signal.signal(signal.SIGINT, lambda *_: None)
    os.lseek(slot_fd, _slot.STACK_AT, os.SEEK_SET)
    faulthandler.enable(slot_fd, all_threads=False)
    faulthandler.register(_posix.STACK_SIGNAL, slot_fd, all_threads=False)
