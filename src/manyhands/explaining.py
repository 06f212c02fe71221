"""Whether an object can be sent to a worker, what stands in the way, and what it weighs."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._codec import _pickling
from manyhands._engine import _parcels

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.errors import Part

_HEAVY = 65536


class Explanation:
    """What :func:`explain` returns. It is true if the object can be sent; its text says all of it.

    Attributes:
        parts: the :class:`Part` s that stand in the way; empty if nothing does.
        size: bytes that it takes to send the object; None if it cannot be sent.
        heavy: ``(path, bytes)`` of the parts that make it heavy, the heaviest first.
        by_value: whether functions or classes in it are sent with their code, since a worker could not import them.
        more: why there may be more parts than those; empty if there are not.
    """

    def __init__(
        self, name: str, parts: list[Part], size: int | None, heavy: list[tuple[str, int]], by_value: bool, more: str = "", note: str = ""
    ) -> None:
        self.name = name
        self.parts = parts
        self.size = size
        self.heavy = heavy
        self.by_value = by_value
        self.more = more
        self._note = note

    def __bool__(self) -> bool:
        return not self.parts

    def __str__(self) -> str:
        from manyhands._codec import _weights  # noqa: PLC0415 - who never asks need not load it

        if self.parts:
            return str(errors.NotSerializable(self.name, self.parts, self.more))
        lines = [f"{self.name} can be sent to another process; it takes {_weights.readable(self.size or 0)}.{self._note}"]
        lines += [f"  {path}: {_weights.readable(size)}" for path, size in self.heavy]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Explanation: {self}>"


def explain(obj: object) -> Explanation:
    """Whether ``obj`` can be sent to a worker; if not, all that stands in the way, with the mend; if so, what it weighs.

    Nothing is started or sent. It is encoded and decoded here, as arguments and functions are on their way; not decoded, if it has a
    ``__del__``, which would run for the copy.

    Example:
        >>> import manyhands
        >>> rows = (row for row in range(3))
        >>> def total(x):
        ...     return sum(rows) + x
        >>> print(manyhands.explain(total))  # doctest: +ELLIPSIS
        total → global 'rows' (a generator) cannot be sent to another process: ... To mend it: pass the values (a list), or ...
    """
    from manyhands._codec import _loading, _steps, _weights  # noqa: PLC0415 - as above

    name = _steps.root_name(obj)
    try:
        # Whoever can be called is sent as a function, all else as an argument.
        payload, views = _pickling.encode_views(obj, None, _pickling.ANEW if callable(obj) else _pickling.TRIED)
    except errors.NotSerializable as error:
        parts = error.parts + _loading.parts_beside(obj)
        return Explanation(name, parts, None, [], by_value=False, more=error.more)
    buffers = list(map(_parcels.fresh, views))
    try:
        by_value = _loading.rehearse(payload, buffers)
        note = _how(obj, by_value)
    except _loading.HasFinalizer as found:
        by_value, note = _pickling.is_made(payload), _NOT_TRIED.format(found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever its classes raise
        return Explanation(name, _loading.parts_to_blame(obj, error, payload, buffers), None, [], by_value=_pickling.is_made(payload))
    size = len(payload) + sum(len(view) for view in views if not _parcels.is_shared(view))
    heavy = _weights.heavy_parts(obj, size, _HEAVY) if size > _HEAVY else []
    return Explanation(name, [], size, heavy, by_value=by_value, note=note)


_NOT_TRIED = " Whether a worker can rebuild it has not been tried: {} has a __del__, which runs in workers, too, when a copy goes."


def _how(obj: object, by_value: bool) -> str:
    if by_value:
        return " Functions or classes in it are sent with their code, since a worker could not import them."
    return " Workers import it by its name." if issubclass(type(obj), type | types.FunctionType | types.BuiltinFunctionType) else ""


def register_reducer(cls: type, reduce: Callable[[Any], Any]) -> None:
    """Tell how objects of ``cls``, and of its subclasses, travel: ``reduce(obj)`` returns what ``__reduce__`` would.

    For classes that are not yours and cannot be pickled. It holds for what this process sends from now on, functions and arguments, and
    takes precedence over what the class itself says. For results, call it in the workers, too (``initializer=``).

    Example:
        >>> import manyhands
        >>> class Handle:
        ...     def __init__(self, name):
        ...         self.name, self.stream = name, iter(())
        >>> manyhands.register_reducer(Handle, lambda handle: (Handle, (handle.name,)))

    Raises:
        TypeError: ``cls`` is no class, or ``reduce`` cannot be called.
    """
    if not isinstance(cls, type):
        msg = f"cls is {cls!r:.60}; it must be a class"
        raise TypeError(msg)
    if not callable(reduce):
        msg = f"reduce is {reduce!r:.60}; it must be a function of one argument that returns what __reduce__ does"
        raise TypeError(msg)
    from manyhands._codec import _rules  # noqa: PLC0415 - as above

    _rules.add_rule(cls, reduce)
