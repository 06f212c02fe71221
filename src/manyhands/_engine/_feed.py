"""A call's inputs, encoded and cut into batches. Runs in the caller's thread: encoding is the snapshot."""

from __future__ import annotations

import itertools
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Protocol

from manyhands._codec import _packing, _pickling
from manyhands._core.batching import FunctionCost
from manyhands._core.tasks import Batch
from manyhands._engine._calls import Form
from manyhands._wire import _frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from manyhands._engine._calls import Function, PoolCall
    from manyhands._engine._pool import ProcessPool

    Encoded = tuple[bytes, Sequence[object]]
    Refused = tuple[int, BaseException]  # index, why


class Feed(Protocol):
    """How inputs become batches."""

    @property
    def cost(self) -> FunctionCost:
        """What is known of the function that is called next."""

    def batches(self, call: PoolCall, first: int, inputs: Sequence[object]) -> Iterator[Batch | Refused]:
        """Batches of ``inputs``, the first of which has index ``first``; what cannot be sent comes as (index, error)."""


class ArgumentFeed:
    """One function over arguments: single values, or with ``star`` tuples of positional arguments."""

    def __init__(self, function: Function, *, star: bool) -> None:
        self._function = function
        self._star = star
        self._atoms = Form(function, _frames.ONE_PICKLE | (_frames.STAR if star else 0))
        self._pickles = Form(function, _frames.STAR if star else 0)

    @property
    def cost(self) -> FunctionCost:
        return self._function.cost

    def batches(self, call: PoolCall, first: int, inputs: Sequence[object]) -> Iterator[Batch | Refused]:
        atoms = _packing.rows_of_atoms(inputs) if self._star else _packing.are_atoms(inputs)  # type: ignore[arg-type]
        if atoms:
            yield Batch(call, first, inputs, self._function.cost, self._atoms)
        else:
            yield from _pickled(call, self._pickles, first, inputs)


class CallFeed:
    """Calls as ``delayed`` writes them: ``(function, args, kwargs)``, of one function or of many."""

    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool
        self._functions: dict[int, tuple[object, Function]] = {}  # by id; the object is kept, so that its id stays its own
        self._last: Function | None = None

    @property
    def cost(self) -> FunctionCost:
        return _UNKNOWN if self._last is None else self._last.cost

    def batches(self, call: PoolCall, first: int, inputs: Sequence[object]) -> Iterator[Batch | Refused]:
        for fn, group in itertools.groupby(inputs, key=_first):
            rows: list[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]] = list(group)  # type: ignore[arg-type]
            try:
                function = self._function(fn)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - NotSerializable: these tasks fail, others need not
                yield from ((first + i, error) for i in range(len(rows)))
            else:
                yield from self._group(call, function, first, rows)
            first += len(rows)

    def _group(
        self, call: PoolCall, function: Function, first: int, rows: Sequence[tuple[object, tuple[object, ...], dict[str, object]]]
    ) -> Iterator[Batch | Refused]:
        self._last = function
        if any(row[2] for row in rows):
            yield from _pickled(call, Form(function, _frames.KEYWORDS), first, [row[1:] for row in rows])
            return
        tuples = [row[1] for row in rows]
        if set(map(len, tuples)) == {1}:
            inner = ArgumentFeed(function, star=False)
            yield from inner.batches(call, first, [value for (value,) in tuples])
        else:
            yield from ArgumentFeed(function, star=True).batches(call, first, tuples)

    def _function(self, fn: Callable[..., object]) -> Function:
        known = self._functions.get(id(fn))
        if known is not None:
            return known[1]
        function = self._pool.function(fn)
        # Objects with a state of their own are encoded anew each time: it may have changed.
        if isinstance(fn, FunctionType | BuiltinFunctionType | type):
            self._functions[id(fn)] = (fn, function)
        return function


def _first(row: object) -> object:
    return row[0]  # type: ignore[index]


def _pickled(call: PoolCall, form: Form, first: int, inputs: Sequence[object]) -> Iterator[Batch | Refused]:
    """Batches of inputs that need a pickle each; one with large buffers goes alone."""
    cost = form.function.cost
    items: list[Encoded] = []
    size = 0
    for index, value in enumerate(inputs, first):
        try:
            payload, buffers = _pickling.encode(value)
        except Exception as error:  # noqa: BLE001 - this task fails, the others need not
            if items:
                yield Batch(call, index - len(items), items, cost, form)
                items = []
            yield index, error
            continue
        if buffers:
            if items:
                yield Batch(call, index - len(items), items, cost, form)
                items = []
            yield Batch(call, index, [(payload, buffers)], cost, form)
            continue
        items.append((payload, ()))
        size += len(payload)
    if items:
        yield Batch(call, first + len(inputs) - len(items), items, cost, form)
    cost.encoded(len(inputs), size)


def encode_one(function: Function, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[Form, list[Encoded]]:
    """One call, for :class:`Batch`.

    Raises:
        NotSerializable: the arguments cannot be sent.
    """
    if kwargs:
        return Form(function, _frames.KEYWORDS), [_pickling.encode((args, kwargs))]
    return Form(function, _frames.STAR), [_pickling.encode(args)]


_UNKNOWN = FunctionCost()
