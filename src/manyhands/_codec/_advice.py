"""Why an object cannot travel, and what to do about it, in words: one table."""

from __future__ import annotations

import types
from typing import Any

from manyhands._codec import _naming
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
# The same for results.
_RETURN_WHAT_IT_GAVE = "return what it gave (rows, numbers, text) instead"
_OF_RESULTS: dict[str, str] = {
    "builtins.generator": "return the values (a list)",
    "builtins.coroutine": "run it inside the task (asyncio.run), and return what comes of it",
    "builtins.async_generator": "go through it inside the task, and return the values (a list)",
    "builtins.frame": "return what it shows, as text",
    "builtins.traceback": "return its text (traceback.format_tb)",
    "_thread.lock": "return what it guards, without it (__getstate__)",
    "_thread.RLock": "return what it guards, without it (__getstate__)",
    "_io._IOBase": "return its path, or what is to be read from it",
    "mmap.mmap": "return its bytes, or the path of the file",
    "socket.socket": _RETURN_WHAT_IT_GAVE,
    "_socket.socket": _RETURN_WHAT_IT_GAVE,
    "sqlite3.Connection": _RETURN_WHAT_IT_GAVE,
    "sqlite3.Cursor": "return the rows (cursor.fetchall())",
    "multiprocessing.connection._ConnectionBase": _RETURN_WHAT_IT_GAVE,
    "multiprocessing.process.BaseProcess": "wait for it inside the task, and return what came of it",
    "subprocess.Popen": "wait for it inside the task, and return its output and exit status (subprocess.run)",
    "threading.Thread": "wait for it inside the task, and return what came of it",
    "concurrent.futures._base.Executor": "return the results of its tasks",
    "multiprocessing.pool.Pool": "return the results of its tasks",
    "concurrent.futures._base.Future": "return its result()",
    "manyhands._engine._futures.Future": "return its result()",
    "builtins.module": "return its name",
    "manyhands.sharing._arrays.SharedArray": "return a copy of it (it.copy())",
    "multiprocessing.shared_memory.SharedMemory": "return its bytes (bytes(it.buf))",
    "multiprocessing.managers.BaseProxy": "return a copy of what it stands for (it.copy())",
}
_DEFAULT_OF_RESULTS = (
    "return what it holds (numbers, text, lists, arrays), or tell how it is rebuilt: have a __reduce__, or, for a class that is not yours, "
    "manyhands.register_reducer in the workers (initializer=)"
)
_DEFAULT = "leave it out (__getstate__), tell how it is rebuilt (manyhands.register_reducer), or make it inside the task"


_LONGEST = 500  # characters of the text of an error


class NotFound(TypeError):
    """A function or class that its own name does not lead to, and that cannot be sent by value."""


class BadForm(TypeError):
    """What ``__reduce__`` gives is nothing that pickle can use."""


def mend(value: Any, error: BaseException, *, is_result: bool = False) -> str:
    """What to do about an object that cannot be pickled, which ``error`` says."""
    if is_result:
        return _by_class(type(value), _OF_RESULTS) or _DEFAULT_OF_RESULTS
    if isinstance(error, Refused) and error.mend:
        return error.mend
    found = _by_class(type(value), _MENDS)
    if found:
        return found
    return "import it inside the task" if issubclass(type(value), type | types.BuiltinFunctionType) else _DEFAULT


def mend_of_loading(made_by: Any, error: BaseException) -> str:
    """What to do about an object that cannot be rebuilt; ``made_by`` is its class, or what was to make it, if that is known."""
    if made_by is None or isinstance(error, ImportError):
        return "see to it that workers can import it, and import the same as the program: installed, or on PYTHONPATH before it starts"
    name = getattr(made_by, "__qualname__", type(made_by).__qualname__)
    if issubclass(type(made_by), type) and is_registered(made_by):
        return f"have {who_reduces(made_by)} give what {name} takes"
    if not _is_the_users(getattr(made_by, "__module__", None)):
        return f"make it in each worker (manyhands.per_worker), or tell how it is rebuilt: manyhands.register_reducer({name}, ...)"
    if isinstance(error, RecursionError) and hasattr(made_by, "__getattr__"):
        return (
            "have __getattr__ raise AttributeError for names that begin with two underscores, and for the attribute that it asks: "
            "an object that is being rebuilt has no attributes yet"
        )
    return "have __reduce__ or __getstate__ give what __init__ or __setstate__ takes, or make it in each worker (manyhands.per_worker)"


def _is_the_users(module: object) -> bool:
    return module == "__main__" or _naming.is_project(module)


def _by_class(kind: type, table: dict[str, str]) -> str:
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in kind.__mro__)
    return next((table[name] for name in names if name in table), "")


def reason(error: BaseException) -> str:
    """Why, in one line: our words as they are; what Python says with the type of the error, and where code of the user's has raised it."""
    text = " ".join(str(error).split())
    if isinstance(error, Refused | NotFound | BadForm):
        return text
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__) + _place(error)


def _place(error: BaseException) -> str:
    """Where it was raised, if that is in code of the user's."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    if frames is None or not _is_the_users(frames.tb_frame.f_globals.get("__name__")):
        return ""
    return f" (raised at {frames.tb_frame.f_code.co_filename}:{frames.tb_lineno})"


def is_registered(kind: type) -> bool:
    """Whether the user has said how objects of a class are pickled."""
    from manyhands._codec import _rules  # noqa: PLC0415 - it loads what has rules

    return _rules.registered(kind) is not None


def who_reduces(kind: type) -> str:
    """What says how objects of a class are pickled."""
    from manyhands._codec import _rules  # noqa: PLC0415 - it loads what has rules

    cls = _rules.registered(kind)
    return "its __reduce__" if cls is None else f"the reducer registered for {cls.__qualname__}"
