"""What can go wrong, one class for each party that is at fault.

=====================  ==============================================================  =======================================
error                  whose fault                                                     also caught as
=====================  ==============================================================  =======================================
``WorkerDied``         a task ended its process (crash, ``os._exit``, out of memory)   ``BrokenProcessPool``, loky's as well
``TaskTimeout``        a task took longer than its ``timeout``                         ``TimeoutError``
``TaskCancelled``      who watches the run has ended a task on the page                ``futures.CancelledError``
``NotSerializable``    an argument, result or function cannot be sent                  ``pickle.PicklingError``
``NotInherited``       the same, of what only a new process can be given (a queue)     ``RuntimeError``, too
``NotHashable``        a value has a part that would not be the same elsewhere         ``TypeError``
``StaleCode``          a worker has other code than the program, and cannot be sent it  ``ImportError``
``RemoteError``        a task raised what cannot be rebuilt in this process            ``RuntimeError``
``NotStored``          a result cannot be kept; it is in the error
``PoolClosed``         a pool was used after its end                                   ``RuntimeError``
``CannotStart``        the machine has no room for another worker                      ``OSError``
``BackendMissing``     a backend is not known or not installed                         ``ImportError``
``StoreCorrupt``       what damaged a file                                             ``UnpicklingError``, ``EOFError``, ``ValueError``
``UnknownFormat``      who gave a file of another kind                                ``StoreCorrupt``
``NotStorable``        a result cannot be stored                                       ``NotSerializable``
``StoreRefused``       a folder of results is not private, or not signed with the key  ``PermissionError``
``NotData``            a file that is loaded as data names something else              ``pickle.UnpicklingError``
``WatchFailed``        there is nobody to observe the program                          ``RuntimeError``
``WatchMissing``       the same, for want of packages                                  ``ImportError``
``CannotReplay``       a recorded task cannot be run in this process                   ``RuntimeError``
``InternalError``      manyhands                                                       ``RuntimeError``
=====================  ==============================================================  =======================================

An exception that a task raises is none of these: it comes back as itself.
"""

from __future__ import annotations

import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from manyhands.errors._sharing import LockAbandoned as LockAbandoned
    from manyhands.errors._sharing import LostUpdate as LostUpdate
    from manyhands.errors._sharing import NameTaken as NameTaken
    from manyhands.errors._sharing import NameUnknown as NameUnknown
    from manyhands.errors._sharing import NotExposed as NotExposed
    from manyhands.errors._sharing import NotShared as NotShared
    from manyhands.errors._sharing import OwnerDied as OwnerDied
    from manyhands.errors._sharing import ShareRefused as ShareRefused
    from manyhands.errors._sharing import WouldDeadlock as WouldDeadlock
    from manyhands.errors._storing import CannotReplay as CannotReplay
    from manyhands.errors._storing import NotData as NotData
    from manyhands.errors._storing import NotStorable as NotStorable
    from manyhands.errors._storing import NotStored as NotStored
    from manyhands.errors._storing import StoreCorrupt as StoreCorrupt
    from manyhands.errors._storing import StoreRefused as StoreRefused
    from manyhands.errors._storing import StoreWarning as StoreWarning
    from manyhands.errors._storing import UnknownFormat as UnknownFormat
    from manyhands.errors._task_cancelled import TaskCancelled as TaskCancelled
    from manyhands.errors._worker_died import WorkerDied as WorkerDied

__all__ = [
    "BackendMissing",
    "CannotReplay",
    "CannotStart",
    "Failure",
    "InternalError",
    "LockAbandoned",
    "LostUpdate",
    "ManyhandsError",
    "NameTaken",
    "NameUnknown",
    "NotData",
    "NotExposed",
    "NotHashable",
    "NotInherited",
    "NotSerializable",
    "NotShared",
    "NotStorable",
    "NotStored",
    "OwnerDied",
    "Part",
    "PoolClosed",
    "RemoteError",
    "RemoteTraceback",
    "ShareRefused",
    "StaleCode",
    "StoreCorrupt",
    "StoreRefused",
    "StoreWarning",
    "TaskCancelled",
    "TaskTimeout",
    "TravelWarning",
    "UnknownFormat",
    "WatchFailed",
    "WatchMissing",
    "WorkerDied",
    "WouldDeadlock",
]

# Loaded when somebody meets them. That of WorkerDied takes BrokenProcessPool, from a module that takes 15 ms to import; that of
# TaskCancelled CancelledError, 5 ms.
_HOME = {
    "WorkerDied": "_worker_died",
    "TaskCancelled": "_task_cancelled",
    "LockAbandoned": "_sharing",
    "LostUpdate": "_sharing",
    "NameTaken": "_sharing",
    "NameUnknown": "_sharing",
    "NotExposed": "_sharing",
    "NotShared": "_sharing",
    "OwnerDied": "_sharing",
    "ShareRefused": "_sharing",
    "WouldDeadlock": "_sharing",
    "CannotReplay": "_storing",
    "NotData": "_storing",
    "NotStorable": "_storing",
    "NotStored": "_storing",
    "StoreCorrupt": "_storing",
    "StoreRefused": "_storing",
    "StoreWarning": "_storing",
    "UnknownFormat": "_storing",
}


class ManyhandsError(Exception):
    """The base of all errors of manyhands' own. All of them can be pickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[ManyhandsError], args: tuple[object, ...], state: dict[str, object]) -> ManyhandsError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TaskTimeout(ManyhandsError, TimeoutError):
    """A task ran longer than its ``timeout`` and was stopped, where that is possible.

    Attributes:
        seconds: the limit that was exceeded.
        took: how many seconds it ran, if it was not stopped but came to its end.
        stack: the Python stack of the worker when it was stopped; empty where it could not be had.
    """

    def __init__(self, task: str, *, seconds: float, pid: int | None = None, stack: str = "", took: float | None = None) -> None:
        self.seconds = seconds
        self.took = took
        self.pid = pid
        self.stack = stack
        if took is not None:
            what = f"it could not be stopped and came to its end after {took:.3g} s"
        else:
            what = f"worker {pid} was stopped and replaced" if pid else "it could not be stopped and is left running"
        super().__init__(f"{task} ran longer than timeout={seconds:g} s; {what}.{_indent_stack(stack)}")


def a_or_an(noun: str) -> str:
    """A noun with its article."""
    return f"{'an' if noun[:1].lower() in set('aeiou') else 'a'} {noun}"


RESULT = "the result"  # of a task, at the start of a path


class Part:
    """A part of an object that cannot be sent to another process.

    Attributes:
        path: the way from what was sent, like ``Model.cfg['lock']``, ``fit → global 'model' .cfg``, or ``argument 'key' [0]``.
        type_name: ``module.Class`` of the part.
        reason: why it cannot be sent.
        mend: what to do about it.
        used_at: ``file:line: text`` of the line that uses it, where a function on the way does; else empty.
    """

    __slots__ = ("mend", "path", "reason", "type_name", "used_at", "way")

    def __init__(
        self,
        path: str,
        type_name: str,
        reason: str,
        mend: str,
        used_at: str = "",
        way: tuple[str, Sequence[tuple[str, Any]]] = ("", ()),
    ) -> None:
        self.path = path
        self.type_name = type_name
        self.reason = reason
        self.mend = mend
        self.used_at = used_at
        self.way = way  # the path before it was made into text

    def __repr__(self) -> str:
        return f"<Part {self.path} ({self.type_name})>"

    def __str__(self) -> str:
        return self.told(" cannot be sent to another process: ")

    def told(self, what: str, name: str = "") -> str:
        """All of it in a sentence, with ``what`` between the part and the reason; the part as ``name`` rather than by its path."""
        where = f" Used in {self.used_at}." if self.used_at else ""
        return f"{name or self.path} ({a_or_an(self.type_name)}){what}{self.reason}.{where} To mend it: {self.mend}."


class NotSerializable(ManyhandsError, pickle.PicklingError):
    """A function, argument or result cannot be sent to another process.

    Attributes:
        parts: all :class:`Part` s that stand in the way.
        path, type_name: of the first of them.
        what: what was to be sent.
        more: why there may be more parts than those; empty if there are not.
    """

    def __init__(self, what: str, parts: list[Part], more: str = "") -> None:
        self.what = what
        self.parts = parts
        self.path = parts[0].path
        self.type_name = parts[0].type_name
        self.more = more
        super().__init__(_text(what, parts, more))


class NotInherited(NotSerializable, RuntimeError):
    """What cannot be sent is what only a new process can be given: a queue or a lock of ``multiprocessing``, say."""


class NotHashable(ManyhandsError, TypeError):
    """A value has a part of which no digest can be computed that would be the same in another process, or in another run.

    Attributes:
        part: the :class:`Part` that stands in the way.
        path, type_name, reason, mend: of that part.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.path = part.path
        self.type_name = part.type_name
        self.reason = part.reason
        self.mend = part.mend
        super().__init__(part.told(" cannot be hashed: "))

    def otherwise(self, mend: str) -> NotHashable:
        """The same with one more way to mend it."""
        part = self.part
        return NotHashable(Part(part.path, part.type_name, part.reason, f"{part.mend}; or, {mend}", part.used_at, part.way))


def _text(what: str, parts: list[Part], more: str) -> str:
    is_result = what.startswith(RESULT)
    cannot = "cannot be sent back" if is_result else "cannot be sent to another process"
    if len(parts) > 1 or more:
        lines = "\n".join(f"  {number}. {line}" for number, line in enumerate(_lines(parts), 1))
        stand = "1 part stands" if len(parts) == 1 else f"{len(parts)} parts stand"
        return f"{what} {cannot}; {stand} in the way{f' ({more})' if more else ''}:\n{lines}"
    [part] = parts
    if not is_result:
        return str(part)
    return part.told(f" {cannot}: ", what) if not part.way[1] else f"{what} {cannot}: {part.told(': ')}"


def _lines(parts: list[Part]) -> Iterator[str]:
    """A line for each, but for those of which nothing else is to be said than of one before."""
    same: dict[tuple[str, ...], list[Part]] = {}
    for part in parts:
        same.setdefault((part.type_name, part.reason, part.mend, part.used_at), []).append(part)
    for first, *others in same.values():
        paths = ", ".join(part.path for part in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        yield first.told(": ") + (f" The same holds for {paths}{more}." if others else "")


class TravelWarning(UserWarning):
    """Something was mended, or is heavy, on its way to another process: said once."""


class StaleCode(ManyhandsError, ImportError):
    """A worker has other code under a name than the program that has sent it a task, or none, and cannot be sent the program's.

    Attributes:
        what: the module and name of the function or class.
    """

    def __init__(self, what: str, seen: str, reason: str, mend: str = "") -> None:
        self.what = what
        why = f", and {reason}" if reason else ""
        meant = "another object" if mend else "other code, or other constants (names in capitals)"
        mend = mend or (
            "let workers begin anew (manyhands.shutdown(), or a new Executor), and see to it that both import the same file, and that "
            "what the program changes of it after its import is changed in workers, too (initializer=)"
        )
        super().__init__(f"{what}: {seen}; the program that sent the task means {meant}{why}. To mend it: {mend}.")


class RemoteError(ManyhandsError, RuntimeError):
    """A task raised an exception that could not come back as itself.

    Its class cannot be found or rebuilt in this process, or it would end this program, as ``SystemExit`` does. An exception of which
    only a part cannot be sent (a connection among its ``args``, say) does come back as itself, with the text of that part's ``repr()``
    in its place, and a note that says so.

    Attributes:
        type_name: ``module.Class`` of the exception in the worker.
        text: its text.
        traceback: its traceback, as text.
        reason: why it has not come back as itself; also among the notes.
    """

    def __init__(self, *, type_name: str, text: str, traceback: str, reason: str = "") -> None:
        self.type_name = type_name
        self.text = text
        self.traceback = traceback
        self.reason = reason
        super().__init__(f"{type_name}: {text}" if text else type_name)
        if reason:
            self.add_note(f"it has not come back as itself: {reason}")


class RemoteTraceback(ManyhandsError):
    """The traceback in the worker, as text: the ``__cause__`` of exceptions that come home.

    Attributes:
        text: the traceback, with those of what led to the exception.
        cause: the ``__cause__`` that the exception had in the worker, rebuilt; None if it had none.
    """

    def __init__(self, text: str, cause: BaseException | None = None) -> None:
        self.text = text
        super().__init__(text)
        # Where whoever follows an exception to its origin finds it, and nobody prints it: the text has it already.
        self.__context__ = cause
        self.__suppress_context__ = True

    @property
    def tb(self) -> str:
        """The text, under the name that it has in ``multiprocessing.pool`` and ``concurrent.futures``."""
        return self.text

    @property
    def cause(self) -> BaseException | None:
        """The ``__cause__`` that the exception had in the worker."""
        return self.__context__

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'


class PoolClosed(ManyhandsError, RuntimeError):
    """A pool or executor was used after it was shut down."""


class CannotStart(ManyhandsError, OSError):
    """No worker could be started: no processes, descriptors or memory left."""


class BackendMissing(ManyhandsError, ImportError):
    """A backend is not known, or needs a package that is not installed."""


class WatchFailed(ManyhandsError, RuntimeError):
    """A program cannot be watched: no observer could be reached, or started."""


class WatchMissing(WatchFailed, ImportError):
    """The page of watching needs packages that are not installed."""


class InternalError(ManyhandsError, RuntimeError):
    """A fault of manyhands itself. Please report it."""


# In the message of an error of a worker that ended: up to here it is one line.
STACK_FOLLOWS = " Its Python stack then:"


def _indent_stack(stack: str) -> str:
    if not stack:
        return ""
    return f"{STACK_FOLLOWS}\n" + "\n".join("  " + line for line in stack.rstrip().splitlines())


def __getattr__(name: str) -> object:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib  # noqa: PLC0415 - most programs meet none of these

    value: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


class Failure:
    """Stands in the place of a result when ``errors="return"`` and the task has failed. It is false.

    Attributes:
        index: which input it was, from 0.
        error: what the task raised, or ``WorkerDied``, ``TaskTimeout``, ``NotSerializable``.
    """

    __slots__ = ("error", "index")

    def __init__(self, index: int, error: BaseException) -> None:
        self.index: int = index
        self.error: BaseException = error

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"Failure(index={self.index}, error={self.error!r})"
