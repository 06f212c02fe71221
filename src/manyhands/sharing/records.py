"""Records: objects whose fields lie in memory that all processes have.

Example:
    >>> from manyhands import lock, share
    >>> from manyhands.sharing.records import Array, Text
    >>> @share.record
    ... class Stats:
    ...     count: int
    ...     total: float
    ...     name: Text[32] = "all"
    ...     hist: Array["f8", 256]
    >>> stats = Stats()
    >>> def note(x):
    ...     with lock(stats):
    ...         stats.count += 1
    ...         stats.total += x
    >>> manyhands.map(note, [1, 2, 3])
    [None, None, None]
    >>> stats.count, stats.total, stats.name
    (3, 6.0, 'all')
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform, get_origin

from manyhands.sharing import _fields, _pieces
from manyhands.sharing._fields import Array, Bytes, Text
from manyhands.sharing._in_memory import InMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

__all__ = ["Array", "Bytes", "Record", "Text", "record"]


class Record:
    """What :func:`record` makes is a subclass of. Its own attributes begin with ``_manyhands_``."""

    __slots__ = (
        "__weakref__",
        "_manyhands_",
        "_manyhands_at",
        "_manyhands_b",
        "_manyhands_d",
        "_manyhands_local",
        "_manyhands_parts",
        "_manyhands_q",
    )

    _manyhands_: _pieces.Piece | _pieces.PrivatePiece
    _manyhands_at: int
    _manyhands_q: memoryview
    _manyhands_d: memoryview[float]
    _manyhands_b: memoryview
    _manyhands_parts: dict[str, Any]
    _manyhands_local: Any
    _manyhands_size: int  # bytes, without the mark

    def __new__(cls, *_: Any, **__: Any) -> Any:
        made = cls._manyhands_over(_pieces.new(cls._manyhands_size), 0)
        made._manyhands_.face = made
        return made

    @classmethod
    def _manyhands_over(cls, piece: Any, at: int) -> Any:
        """One over a piece of memory, from a byte on."""
        made = object.__new__(cls)
        made._manyhands_ = piece
        made._manyhands_at = at
        made._manyhands_q = piece.words[at >> 3 : at + cls._manyhands_size >> 3]
        made._manyhands_b = made._manyhands_q.cast("B")
        made._manyhands_d = made._manyhands_b.cast("d")
        made._manyhands_parts = {}
        made._manyhands_local = None
        return made

    def __eq__(self, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(getattr(self, field.name), getattr(other, field.name)) for field in dataclasses.fields(self) if field.compare)  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Any:
        """Another shared one, with the same in it."""
        return self._manyhands_copy(_pieces.new(self._manyhands_size))

    def __deepcopy__(self, _: Any) -> Any:
        return self.__copy__()

    def _manyhands_copy(self, piece: Any) -> Any:
        made = self._manyhands_over(piece, 0)
        made._manyhands_b[:] = self._manyhands_b
        return made

    def __manyhands_reference__(self) -> InMemory:
        return InMemory(self, self._manyhands_)

    def __manyhands_snapshot__(self) -> Any:
        return self._manyhands_copy(_pieces.PrivatePiece(self._manyhands_size))

    def __shared_identity__(self) -> str:
        """What tells that it is the same here and there."""
        piece = self._manyhands_
        return f"{piece.identity} {self._manyhands_at}" if isinstance(piece, _pieces.Piece) else ""

    def __reduce_ex__(self, _: Any) -> Any:
        return _arrived, (type(self), self._manyhands_, self._manyhands_at, self._manyhands_size)


def _arrived(cls: Any, piece: Any, at: int, size: int) -> Any:
    if cls._manyhands_size != size:
        raise TypeError(
            f"{cls.__qualname__} has other fields here than where the record comes from: {cls._manyhands_size} bytes, not {size}"
        )
    found = piece.face
    if at or type(found) is not cls:
        found = cls._manyhands_over(piece, at)
        if not at and isinstance(piece, _pieces.Piece):
            piece.face = found
    return found


def _equal(one: Any, other: Any) -> bool:
    if hasattr(one, "shape"):
        return one.tolist() == other.tolist() if isinstance(one, memoryview) else bool((one == other).all())
    return bool(one == other)


# ---------------------------------------------------------------- the decorator


@dataclass_transform(field_specifiers=(dataclasses.field,))
def record(cls: type[T]) -> type[T]:
    """Have the fields of a class lie in memory that all processes have: reading and writing them sends nothing.

    What the class has is made as by ``dataclasses.dataclass``: ``__init__``, ``__repr__``, ``__post_init__``, ``replace()``, inheritance;
    ``==`` compares the fields. A field without a default is zero. Methods and properties are those of the class.

    Example:
        >>> from manyhands import share
        >>> @share.record
        ... class Point:
        ...     x: float
        ...     y: float = 1.0
        >>> Point(2)
        Point(x=2.0, y=1.0)

    **Promises.** A record is one thing in all processes that it gets to, by whatever way: as an argument or a result, by a queue, by a
    pipe, by a fork. Numbers and truth values are read and written as a whole; text, arrays and several fields together are not, and
    ``x += 1`` reads and writes: for those there is ``with lock(record):``, which the kernel gives back when its holder dies. The memory
    has no name, and goes with the last process that has it. In a pickle that is not sent by manyhands there is the address of a process
    that has the record; it keeps that for ten minutes.

    Raises:
        TypeError: a field is of a type that a record cannot hold; the message names those that it can.
    """
    kinds = _kinds(cls, sys._getframe(1).f_locals)  # names of the function that the class is made in
    for name in inspect.get_annotations(cls):
        if name in kinds:
            _give_zero(cls, name, kinds[name])
    made: Any = _rebased(dataclasses.dataclass(eq=False)(cls))
    offset = 0
    for field in dataclasses.fields(made):
        kind = kinds[field.name]
        setattr(made, field.name, kind.make(f"{cls.__name__}.{field.name}", offset))
        offset += kind.size + 7 & ~7
    made._manyhands_size = offset
    return made  # type: ignore[no-any-return]


def _kinds(cls: type, names: dict[str, Any]) -> dict[str, _fields.Field]:
    """What each field is, with those of its bases."""
    found: dict[str, _fields.Field] = {}
    for base in reversed(cls.__mro__):
        if base is not cls and not dataclasses.is_dataclass(base):
            continue
        known = {**_fields.CODES, **vars(sys.modules.get(base.__module__, dataclasses)), **names, **vars(base)}
        for name, said in inspect.get_annotations(base).items():
            try:
                meant = eval(said, known) if isinstance(said, str) else said
            except Exception as error:
                raise TypeError(f"{cls.__name__}.{name}: what {said} stands for cannot be found here ({error})") from error
            if meant is not dataclasses.KW_ONLY and get_origin(meant) is not ClassVar and meant is not ClassVar:
                found[name] = _fields.field_of(meant, f"{cls.__name__}.{name}")
    return found


def _give_zero(cls: type, name: str, kind: _fields.Field) -> None:
    """Have a field a default."""
    said = cls.__dict__.get(name, dataclasses.MISSING)
    if said is dataclasses.MISSING:
        setattr(cls, name, kind.zero)
    elif isinstance(said, dataclasses.Field) and said.default is said.default_factory is dataclasses.MISSING:
        said.default = kind.zero


def _rebased(cls: Any) -> Any:
    """The same class as a subclass of :class:`Record`, whose objects have no other attributes: a typing error is one at once."""
    left_out = {"__dict__", "__weakref__", *(field.name for field in dataclasses.fields(cls))}
    own = {name: value for name, value in vars(cls).items() if name not in left_out}
    own["__slots__"], own["__qualname__"] = (), cls.__qualname__
    bases = cls.__bases__
    if not issubclass(cls, Record):
        bases = (*(base for base in bases if base is not object), Record)
    made = type(cls)(cls.__name__, bases, own)
    for cell in _cells_of_class(own):
        if cell.cell_contents is cls:
            cell.cell_contents = made
    return made


def _cells_of_class(own: dict[str, Any]) -> Iterator[Any]:
    """Where methods find the class that ``super()`` starts from."""
    for value in own.values():
        parts: tuple[Any, ...] = (getattr(value, "__func__", value),)
        if isinstance(value, property):
            parts = (value.fget, value.fset, value.fdel)
        for part in filter(callable, parts):
            function: Any = inspect.unwrap(part)
            code = getattr(function, "__code__", None)
            if code is not None and "__class__" in code.co_freevars:
                yield function.__closure__[code.co_freevars.index("__class__")]
