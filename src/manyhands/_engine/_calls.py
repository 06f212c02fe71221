"""What one call keeps: its policy, where its results go, and how its tasks are described in messages."""

from __future__ import annotations

import itertools
import time
import types
from typing import TYPE_CHECKING, Any, Protocol

from manyhands import errors
from manyhands._codec import _packing, _preview
from manyhands._core.batching import FunctionCost
from manyhands._core.naming import function_code
from manyhands._core.policy import add_note
from manyhands._core.tasks import NS, Batch, Call
from manyhands._engine import _parcels
from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from manyhands._core.policy import Policy
    from manyhands._engine._parcels import Message, Placed
    from manyhands._records._recorder import Recorder
    from manyhands._wire._frames import Bytes, Frame

# Nanoseconds below which a task is not timed on its own.
_QUICK = 5000

# Of calls, in all pools of this process, and of those that need none.
numbers = itertools.count(1)

# Where a task ran, when it started, and how long it took: pid, nanoseconds on the monotonic clock, nanoseconds.
Ran = tuple[int | None, int, int]


class Sink(Protocol):
    """Where a call's results go. Called by whoever drives the pool."""

    @property
    def work(self) -> Mapping[int, list[int]]:
        """What :meth:`account` was told: of each worker, how many tasks and nanoseconds. May be asked by any thread."""

    def take(self, batch: Batch, offset: int, frame: Frame, worker: int) -> bool:
        """What ``deliver`` does, in the middle of a turn, unless that would run code of the user's: False, nothing is raised."""

    def deliver(self, batch: Batch, offset: int, frame: Frame, worker: int) -> None:
        """Results of ``frame.count`` tasks of ``batch``, from the ``offset``-th on, still encoded."""

    def failed(self, batch: Batch, error: BaseException, ran: Ran | None) -> None:
        """The one task of ``batch`` has failed for good."""

    def cancelled(self, batch: Batch) -> None:
        """The one task of ``batch`` will not run, or was stopped."""

    def lost(self, error: BaseException) -> None:
        """Whatever was submitted and has not ended never will: the pool has failed, or ended."""

    def account(self, worker: int, tasks: int, nanoseconds: int) -> None:
        """A worker has spent so long on so many tasks."""


class Function:
    """A function as it is sent: its bytes, and what is known of it.

    ``number`` names it in messages; a worker gets the bytes once. ``by_name``: it travels as no more than its name. ``parameters`` are
    the names of those that are taken by position, as far as they are known; ``place`` is its file and line. ``things``: what it names by
    reference, where it is one that a call has, and not the one that the pool knows.
    """

    __slots__ = (
        "buffers",
        "by_name",
        "cost",
        "name",
        "number",
        "parameters",
        "payload",
        "place",
        "size",
        "things",
        "with_arguments",
        "with_keywords",
    )

    def __init__(
        self,
        number: int,
        payload: Bytes | Placed,
        buffers: Sequence[Bytes | Placed],
        name: str,
        *,
        by_name: bool,
        parameters: tuple[str, ...] = (),
        place: tuple[str, int] | None = None,
    ) -> None:
        self.number: int = number
        self.payload: Bytes | Placed = payload
        self.buffers: Sequence[Bytes | Placed] = buffers
        self.by_name: bool = by_name
        self.size: int = len(payload) + sum(len(buffer) for buffer in buffers if not _parcels.is_of_shared(buffer))
        self.name: str = name
        self.parameters: tuple[str, ...] = parameters
        self.place: tuple[str, int] | None = place
        self.cost: FunctionCost = FunctionCost()
        self.things: Sequence[object] = ()
        # The forms of single calls, which would otherwise be made for each.
        self.with_arguments: Form = Form(self, _frames.STAR)
        self.with_keywords: Form = Form(self, _frames.KEYWORDS)

    def keeping(self, things: Sequence[object]) -> Function:
        """The same, which keeps these as long as anybody has it."""
        known = {"by_name": self.by_name, "parameters": self.parameters, "place": self.place}
        other = Function(self.number, self.payload, self.buffers, self.name, **known)  # type: ignore[arg-type] # as above
        other.cost = self.cost
        other.things = things
        return other


class Form:
    """How the tasks of a batch are written: the function, and flags of ``_frames``.

    Items are values or tuples of them under ``ONE_PICKLE``, otherwise ``(payload, buffers)`` of each task.
    """

    __slots__ = ("flags", "function")

    def __init__(self, function: Function, flags: int) -> None:
        self.function: Function = function
        self.flags: int = flags

    def pack(self, items: Sequence[object], ordinal: int, epoch: int, *, timed: bool) -> list[Bytes]:
        """The pieces of a frame that runs ``items``; ``timed``: when each starts has to be known, even if they are quick."""
        buffers: Sequence[Bytes] = ()
        if self.flags & _frames.ONE_PICKLE:
            payload = _packing.join_atoms(items)
        elif len(items) == 1:
            payload, buffers = items[0]  # type: ignore[misc]
        else:
            payload = _packing.join_pickles([item[0] for item in items])  # type: ignore[index]
        cost = self.function.cost.ns
        flags = self.flags | _frames.QUICK if cost is not None and cost < _QUICK and not timed else self.flags
        number = self.function.number
        return _frames.pack(_frames.RUN, payload, buffers, flags=flags, count=len(items), ordinal=ordinal, a=number, b=epoch)

    def pack_placed(self, item: Any, ordinal: int, epoch: int) -> Message:
        """The frame that runs one item which lies in segments."""
        flags, number = self.flags, self.function.number
        return _parcels.pack(_frames.RUN, *item, flags=flags, count=1, ordinal=ordinal, a=number, b=epoch)

    def placed_size(self, item: Any) -> int:
        """How many bytes it has, in segments or not."""
        payload, buffers = item
        return len(payload) + sum(map(len, buffers))

    def spared(self, item: Any) -> int:
        """How many of these do not have to be moved, now that it is sent."""
        payload, buffers = item
        return _parcels.spared((payload, *buffers))

    def is_placed(self, items: Sequence[object]) -> bool:
        """Whether these are one item, of which something lies in a segment."""
        return len(items) == 1 and not self.flags & _frames.ONE_PICKLE and _parcels.is_placed(*items[0])  # type: ignore[misc]

    def name(self, item: object) -> str:
        """What is called."""
        return self.function.name

    def title(self, item: object) -> str:
        """The call of one item, as it would be written."""
        return f"{self.function.name}({_preview.guarded(lambda: self.show(item))})"

    def show(self, item: object) -> str:
        """The arguments of one item, shortened, as they would stand in a call. Runs no code of the user's."""
        return _shown(*self.arguments(item))

    def arguments(self, item: object, look: Callable[[Any, Any], Any] | None = None) -> Any:
        """Something that looks like what the function is called with: by position, by name. ``look(payload, buffers)`` makes it."""
        flags = self.flags
        value: Any = item if flags & _frames.ONE_PICKLE else (look or _look)(*item)  # type: ignore[misc]
        return value if flags & _frames.KEYWORDS else (value if flags & _frames.STAR else (value,), {})


class Through(Form):
    """One whose function only calls another: with its last two arguments, by position and by name. Messages tell of that one."""

    __slots__ = ()

    def arguments(self, item: object, look: Callable[[Any, Any], Any] | None = None) -> Any:
        (*_, args, kwargs), _ = super().arguments(item, look)
        return args, kwargs


class Batched(Form):
    """One whose function makes the calls in its first argument: triples, as ``delayed`` notes them. Messages tell of the first."""

    __slots__ = ()

    def name(self, item: object) -> str:
        return _preview.guarded(lambda: _preview.name(self._calls(item)[0][0]))

    def title(self, item: object) -> str:
        return _preview.guarded(lambda: self._title(self._calls(item)))

    def _title(self, calls: list[Any]) -> str:
        function, args, kwargs = calls[0]
        more = f", or one of the {len(calls) - 1} calls behind it" if len(calls) > 2 else ", or the call behind it"
        return f"{_preview.name(function)}({_shown(args, kwargs)}){more if len(calls) > 1 else ''}"

    def _calls(self, item: object) -> list[Any]:
        (calls, *_), _ = self.arguments(item)
        return calls  # type: ignore[no-any-return]


def _look(payload: Any, buffers: Any) -> Any:
    return _preview.preview(*_parcels.fetched(payload, buffers))


def _shown(args: Sequence[object], kwargs: dict[str, object]) -> str:
    return ", ".join([_preview.show(value) for value in args] + [f"{name}={_preview.show(v)}" for name, v in kwargs.items()])


def name_its_calls(function: Function) -> None:
    """In messages, ``function`` is what it calls: see :class:`Batched`."""
    if type(function.with_arguments) is not Batched:
        function.with_arguments = Batched(function, _frames.STAR)


def name_after(function: Function, name: str) -> None:
    """In messages, ``function`` is the one that it calls: see :class:`Through`."""
    function.name = name
    function.with_arguments = Through(function, _frames.STAR)


class PoolCall(Call):
    """A call as the pool runs it. ``hired``: it has waited for a worker that was started since it began."""

    __slots__ = ("__weakref__", "hired", "history", "indices", "opened", "policy", "recorder", "sent", "sink", "spared")

    def __init__(self, number: int, sink: Sink, policy: Policy, *, limit: int, priority: int = 0) -> None:
        super().__init__(number, limit=limit, priority=priority, timeout=int((policy.timeout or 0) * NS))
        self.sink: Sink = sink
        self.policy: Policy = policy
        self.sent: int = 0  # bytes, to workers: of arguments, and of functions to each that did not know them
        self.spared: int = 0  # of these, the bytes that did not have to be moved
        self.opened: int = time.monotonic_ns()
        self.hired: bool = False
        self.indices: Iterator[int] = itertools.count()  # of tasks that are submitted one by one, by any thread
        self.history: dict[int, list[str]] = {}  # index of a task: its failed attempts
        self.recorder: Recorder | None = None  # as soon as a task has failed that is to be saved


def deadly() -> tuple[type[BaseException], ...]:
    """Errors of tasks that ended with their workers, which have not reported how long they took."""
    return errors.TaskTimeout, errors.TaskCancelled, errors.WorkerDied


def describe(batch: Batch) -> str:
    """``task 3: square(3)``, for messages."""
    form: Form = batch.form  # type: ignore[assignment]
    return f"task {batch.first}: {form.title(batch.items[0])}"


def save_failure(piece: Batch, error: BaseException, ran: Ran | None = None, **more: Any) -> None:
    """Record the one task of ``piece``, which has failed for good, if its call wants that; ``more``: see ``_recording.py``."""
    call: PoolCall = piece.call  # type: ignore[assignment]
    if call.policy.record is None:
        return
    try:
        from manyhands._engine import _recording  # noqa: PLC0415 - only after a failure

        _recording.record(piece, error, ran, **more)
    except Exception as second:  # noqa: BLE001 - no descriptor is left to load it, say; the task has failed with something else
        add_note(error, f"not recorded: {type(second).__name__}: {second}")


def place(function: object) -> tuple[str, int] | None:
    """File and line of a function's code, where that is at hand."""
    code = function_code(function)
    return None if code is None else (code.co_filename, code.co_firstlineno)


def parameters(function: object) -> tuple[str, ...]:
    """The names of what a function takes by position; empty where they are not at hand."""
    code = function.__code__ if type(function) is types.FunctionType else None
    return () if code is None else code.co_varnames[: code.co_argcount]
