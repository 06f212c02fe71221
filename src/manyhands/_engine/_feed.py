"""A call's inputs, encoded and cut into batches. Runs in the caller's thread: encoding is the snapshot."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from manyhands import errors
from manyhands._codec import _packing, _pickling
from manyhands._core.batching import FunctionCost
from manyhands._core.naming import function_name
from manyhands._core.policy import add_note
from manyhands._core.tasks import Batch
from manyhands._engine._arguments import ArgumentEncoder, Refusal, Snapshot
from manyhands._engine._calls import Batched, Form, parameters
from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from manyhands._codec._captures import Captures
    from manyhands._codec._fingerprint import Code
    from manyhands._engine._calls import Function, PoolCall
    from manyhands._engine._parcels import Placed
    from manyhands._engine._pool import ProcessPool
    from manyhands._wire._frames import Bytes

    Changed = Callable[[], bool]
    Encoded = tuple[Bytes | Placed, Sequence[Bytes | Placed]]
    Refused = tuple[int, BaseException]  # index, why


class Feed(Protocol):
    """How inputs become batches. Reads them itself: each is encoded before the next is asked for."""

    settled: bool
    """Whether the inputs are there: nobody has to be waited for, and nobody can change one while the next is read."""

    @property
    def cost(self) -> FunctionCost:
        """What is known of the function that is called next."""

    def take(self, call: PoolCall, first: int, count: int) -> tuple[int, list[Batch | Refused]]:
        """Read up to ``count`` inputs, the first of which has index ``first``.

        Returns how many there were, and batches of them; what cannot be sent comes as (index, error).
        """


class ArgumentFeed:
    """One function over arguments: single values, or with ``star`` tuples of positional arguments.

    ``settled``: the inputs exist beforehand, so that nobody can change one while the next is read.
    """

    def __init__(self, function: Function, inputs: Iterator[Any], encoder: ArgumentEncoder, *, star: bool, settled: bool) -> None:
        self._function = function
        self._encoder = encoder
        self._inputs = inputs
        self._star = star
        self.settled = settled
        self._atoms = Form(function, _frames.ONE_PICKLE | (_frames.STAR if star else 0))
        self._pickles = Form(function, _frames.STAR if star else 0)

    @property
    def cost(self) -> FunctionCost:
        return self._function.cost

    def take(self, call: PoolCall, first: int, count: int) -> tuple[int, list[Batch | Refused]]:
        inputs = islice(self._inputs, count)
        encoder = self._encoder
        values = list(inputs) if self.settled else list(map(encoder.snapshot_row if self._star else encoder.snapshot, inputs))
        if not values:
            return 0, []
        if _packing.rows_of_atoms(values) if self._star and _are_rows(values) else _packing.are_atoms(values):
            return len(values), [Batch(call, first, values, self._function.cost, self._atoms)]
        return len(values), list(_pickled(call, self._pickles, first, values, encoder))


class CallFeed:
    """Calls as ``delayed`` writes them: ``(function, args, kwargs)``, of one function or of many.

    ``quiet``: no code of the user's runs from the first to the last, unless a function has to be pickled.
    """

    settled = False

    def __init__(self, pool: ProcessPool, inputs: Iterator[Any], on_stale: str, *, quiet: bool) -> None:
        self._pool = pool
        self._on_stale = on_stale
        self._encoder = ArgumentEncoder(pool, quiet=quiet)
        self._inputs = inputs
        # By id; the object is kept, so that its id stays its own. And what tells whether it has changed.
        self._functions: dict[int, tuple[object, Function, Captures | Code | None]] = {}
        self._last: Function | None = None
        self._refused: BaseException = ValueError()  # why the last function could not be sent

    @property
    def cost(self) -> FunctionCost:
        return _UNKNOWN if self._last is None else self._last.cost

    def take(self, call: PoolCall, first: int, count: int) -> tuple[int, list[Batch | Refused]]:
        made: list[Batch | Refused] = []
        index = first  # of the first row of the group
        group: tuple[Function | None, bool] = (None, False)
        rows: list[object] = []
        snapshot = self._encoder.snapshot
        latest, changed, atoms = None, None, _packing.ATOMS
        for fn, args, kwargs in islice(self._inputs, count):
            if fn is not latest or kwargs or (changed is not None and changed()):
                kind, changed = self._kind(fn, kwargs)
                latest = None if changed is _always else fn
                if kind != group:
                    made += self._group(call, index, rows, *group)
                    index, rows, group = index + len(rows), [], kind
                if kind[0] is None:
                    made.append((index, self._refused))
                    index += 1
                    continue
                if kwargs:
                    rows.append(snapshot((args, kwargs)))
                    continue
            for value in args:
                if type(value) not in atoms:
                    rows.append(snapshot(args))
                    break
            else:
                rows.append(args)
        made += self._group(call, index, rows, *group)
        taken = index + len(rows) - first
        self._encoder.forget_row()
        if taken < count:
            self._encoder.forget()
        return taken, made

    def _kind(self, fn: Callable[..., object], kwargs: dict[str, object]) -> tuple[tuple[Function | None, bool], Changed | None]:
        """``((function as it is now, whether there are keywords), what tells whether the function has changed since)``."""
        known = self._functions.get(id(fn))
        if known is None or (known[2] is not None and known[2].changed()):
            self._encoder.disturbed()  # by pickling it
            try:
                function = self._new_function(fn)
            except Exception as error:  # noqa: BLE001 - NotSerializable: this task fails, others need not
                self._refused = error
                return (None, False), _always
            known = self._functions.get(id(fn))
            if known is None:
                return (function, bool(kwargs)), _always
        changed = known[2].changed if known[2] is not None and known[2].volatile else None
        return (known[1], bool(kwargs)), changed

    def _new_function(self, fn: Callable[..., object]) -> Function:
        function = self._last = self._pool.function(fn, self._on_stale)
        if function.by_name:
            self._functions[id(fn)] = (fn, function, _pickling.code_of_project(fn))
            return function
        from manyhands._codec._captures import Captures  # noqa: PLC0415 - most functions travel by name

        captures = Captures(fn, global_names=True)
        # What has a state of its own is encoded anew each time: it may have changed.
        if not captures.mutable:
            self._functions[id(fn)] = (fn, function, captures)
        return function

    def _group(
        self, call: PoolCall, first: int, rows: list[object], function: Function | None, keywords: bool
    ) -> Iterable[Batch | Refused]:
        if function is None or not rows:
            return ()
        if keywords:
            return _pickled(call, Form(function, _frames.KEYWORDS), first, rows, self._encoder)
        if not (_are_rows(rows) and _packing.rows_of_atoms(rows)):
            return _pickled(call, Form(function, _frames.STAR), first, rows, self._encoder)
        if set(map(len, rows)) == {1}:
            return [Batch(call, first, [value for (value,) in rows], function.cost, Form(function, _frames.ONE_PICKLE))]
        return [Batch(call, first, rows, function.cost, Form(function, _frames.ONE_PICKLE | _frames.STAR))]


def _always() -> bool:
    return True


def _are_rows(rows: Sequence[object]) -> TypeGuard[Sequence[tuple[object, ...]]]:
    return set(map(type, rows)) == {tuple}


def _pickled(call: PoolCall, form: Form, first: int, values: Sequence[object], encoder: ArgumentEncoder) -> Iterator[Batch | Refused]:
    """Batches of values that need a pickle each; one with large buffers goes alone."""
    cost = form.function.cost
    items: list[Encoded] = []
    size = 0
    for index, value in enumerate(values, first):
        taken = value if type(value) in _TAKEN else encoder.encoded(value)
        if isinstance(taken, Snapshot) and not taken.buffers and type(taken.payload) is bytes:
            items.append((taken.payload, taken.buffers))
            size += len(taken.payload)
            continue
        if items:
            yield Batch(call, index - len(items), items, cost, form)
            items = []
        if isinstance(taken, Snapshot):
            yield Batch(call, index, [(taken.payload, taken.buffers)], cost, form)
        elif isinstance(taken, Refusal):
            yield index, _named(taken.error, form)
    if items:
        yield Batch(call, first + len(values) - len(items), items, cost, form)
    cost.encoded(len(values), size)


def _named(error: BaseException, form: Form) -> BaseException:
    """The error of arguments, with paths that begin at one of them rather than at the tuple of all."""
    if not form.flags & (_frames.STAR | _frames.KEYWORDS):
        return error
    from manyhands._codec import _renaming  # noqa: PLC0415 - only after a failure

    function = form.function
    return _renaming.of_arguments(error, function.name, function.parameters, keywords=bool(form.flags & _frames.KEYWORDS))


_TAKEN = frozenset({Snapshot, Refusal})


def encode_one(
    function: Function, args: tuple[object, ...], kwargs: dict[str, object], pool: ProcessPool, encoder: ArgumentEncoder | None = None
) -> tuple[Form, tuple[Encoded]]:
    """One call, for :class:`Batch`; ``encoder``: that of all calls of which this is one.

    Raises:
        NotSerializable: the arguments cannot be sent.
    """
    try:
        if kwargs:
            return function.with_keywords, ((encoder or ArgumentEncoder(pool)).encode((args, kwargs)),)
        if _packing.are_atoms(args):
            return function.with_arguments, ((_packing.pickle_atoms(args), ()),)
        return function.with_arguments, ((encoder or ArgumentEncoder(pool)).encode(args),)
    except errors.NotSerializable as error:
        if type(function.with_arguments) is Batched:
            raise _of_calls(error, args[0]) from None
        # Kept in no variable: its traceback would keep this frame, and this frame the error.
        raise _noted(_named(error, function.with_keywords if kwargs else function.with_arguments), function) from None


def _of_calls(error: BaseException, calls: Any) -> BaseException:
    from manyhands._codec import _renaming  # noqa: PLC0415 - only after a failure

    return _renaming.of_calls(error, [(function_name(function), parameters(function)) for function, _, _ in calls])


def _noted(error: BaseException, function: Function) -> BaseException:
    add_note(error, f"an argument of {function.name}() cannot be sent")
    return error


_UNKNOWN = FunctionCost()
