"""Why an object cannot travel, and what to do about it, in words: one table."""

from __future__ import annotations

import types
from typing import Any

from manyhands._codec._mended import Refused

_PER_WORKER = "give each worker its own with manyhands.per_worker(factory), or make it inside the task"

# By class, in the order of __mro__; names, since their modules need not be loaded.
_MENDS: dict[str, str] = {
    "builtins.generator": "pass the values (a list), or make the generator inside the task",
    "builtins.coroutine": "pass what it is made of, and run it inside the task (asyncio.run)",
    "builtins.async_generator": "make it inside the task",
    "builtins.frame": "leave it out: a frame belongs to the thread that runs it",
    "builtins.traceback": "leave it out, or pass its text (traceback.format_tb)",
    "_thread.lock": "release it first; or make it inside the task, or keep it out with __getstate__",
    "_thread.RLock": "release it first; or make it inside the task, or keep it out with __getstate__",
    "_thread._local": _PER_WORKER,
    "_io._IOBase": "pass its path, and open it inside the task",
    "mmap.mmap": "pass the path of the file, and map it inside the task; or pass its bytes",
    "socket.socket": _PER_WORKER,
    "_socket.socket": _PER_WORKER,
    "ssl.SSLContext": _PER_WORKER,
    "_ssl._SSLContext": _PER_WORKER,
    "sqlite3.Connection": _PER_WORKER,
    "sqlite3.Cursor": "fetch the rows, and pass those",
    "multiprocessing.connection._ConnectionBase": _PER_WORKER,
    "multiprocessing.process.BaseProcess": "leave it out (__getstate__); pass what it works on",
    "subprocess.Popen": "leave it out (__getstate__), or start it inside the task",
    "threading.Thread": "leave it out (__getstate__), or start it inside the task",
    "concurrent.futures._base.Executor": "use manyhands.map or Parallel inside the task: workers have a pool of their own",
    "multiprocessing.pool.Pool": "use manyhands.map or Parallel inside the task: workers have a pool of their own",
    "concurrent.futures._base.Future": "pass its result()",
    "manyhands._engine._futures.Future": "pass its result()",
    "asyncio.events.AbstractEventLoop": "run a loop inside the task (asyncio.run)",
    "re.Match": "pass what it found: match.group(), match.span()",
    "os.DirEntry": "pass its path",
    "nt.DirEntry": "pass its path",
    "posix.DirEntry": "pass its path",
}
_DEFAULT = "leave it out (__getstate__), tell how it is rebuilt (manyhands.register_reducer), or make it inside the task"


class NotFound(TypeError):
    """A function or class that its own name does not lead to, and that cannot be sent by value."""


def mend(value: Any, error: BaseException) -> str:
    """What to do about an object that cannot be pickled, which ``error`` says."""
    if isinstance(error, Refused) and error.mend:
        return error.mend
    for cls in type(value).__mro__:
        advice = _MENDS.get(f"{cls.__module__}.{cls.__qualname__}")
        if advice is not None:
            return advice
    if isinstance(value, type | types.BuiltinFunctionType):
        return "import it inside the task"
    return _DEFAULT


def reason(error: BaseException) -> str:
    """Why, in one line: our words as they are; what Python says with the type of the error."""
    text = " ".join(str(error).split())
    if isinstance(error, Refused | NotFound):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
