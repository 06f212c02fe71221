"""What a record may hold: how many bytes of it each kind of field takes, and the property by which it is read and written.

All of them begin at a multiple of eight bytes, so that numbers are read and written as a whole, whoever else does so at the same time.
Properties are made once for a class, and find what they want in the record: ``_manyhands_q``, its memory as 64-bit numbers,
``_manyhands_d``, as floating point numbers, ``_manyhands_b``, as bytes.
"""

from __future__ import annotations

import codecs
import dataclasses
import enum
import math
import operator
import sys
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable

_UNSET: Any = type("_Unset", (), {"__repr__": lambda _: "zeros", "__slots__": ()})()
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_CHARACTER = 4  # bytes, in UTF-32


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """``name: Text[32]``: a text of at most so many characters."""

    length: int

    def __class_getitem__(cls, length: int) -> Text:
        return cls(_checked_length("Text", length))

    def __call__(self) -> None:
        """Python wants annotations to be callable, in some places."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bytes:
    """``digest: Bytes[20]``: at most so many bytes."""

    length: int

    def __class_getitem__(cls, length: int) -> Bytes:
        return cls(_checked_length("Bytes", length))

    def __call__(self) -> None:
        """As above."""


@dataclasses.dataclass(frozen=True, slots=True)
class Array:
    """``hist: Array["f8", 256]``: an array of a dtype and a shape; ``Array["f8", 16, 16]`` has two dimensions."""

    dtype: Any
    shape: tuple[int, ...]

    def __class_getitem__(cls, given: Any) -> Array:
        dtype, *shape = given if isinstance(given, tuple) else (given,)
        if len(shape) == 1 and isinstance(shape[0], tuple):
            shape = list(shape[0])
        if not shape or any(type(length) is not int or length < 0 for length in shape):
            raise TypeError(f'Array{given!r:.80}: a dtype and one length for each dimension are wanted, as in Array["f8", 256]')
        return cls(_dtype(dtype), tuple(shape))

    def __call__(self) -> None:
        """As above."""

    @property
    def size(self) -> int:
        """Bytes."""
        itemsize = int(self.dtype[1:]) if isinstance(self.dtype, str) else self.dtype.itemsize
        return math.prod(self.shape) * int(itemsize)

    def over(self, record: Any, offset: int) -> Any:
        """The array in a record: of numpy where that is there, else a view."""
        piece = record._manyhands_
        start = offset + record._manyhands_at
        if not _has_numpy():
            piece.keep()  # a view does not keep it
            view: Any = memoryview(piece.words).cast("B")[start : start + self.size]
            return view.cast(_FORMATS[self.dtype], self.shape) if self.size else view
        return piece.array(self.shape, self.dtype, start)


_FORMATS = {"b1": "?", "f4": "f", "f8": "d"}
_FORMATS |= {f"i{2**n}": code for n, code in enumerate("bhiq")} | {f"u{2**n}": code for n, code in enumerate("BHIQ")}
CODES = {code: code for code in _FORMATS}  # tools that tidy up annotations take "f8" for a name, and the quotes for a mistake
_NAMES = {"float": "f8", "float64": "f8", "float32": "f4", "int": "i8", "int64": "i8", "int32": "i4", "uint8": "u1", "bool": "b1"}


def _dtype(given: Any) -> Any:
    """The code of a simple one; numpy's of any other."""
    name = given.__name__ if isinstance(given, type) else given
    simple = _NAMES.get(name, name) if isinstance(name, str) else name
    if isinstance(simple, str) and simple in _FORMATS:
        return simple
    import numpy as np  # noqa: PLC0415 - the simple ones do without

    found = np.dtype(given)
    if found.hasobject:
        raise TypeError(
            f"an array of {found}: objects live in one process; a record holds numbers, text of fixed length, or records of them"
        )
    return found


def _has_numpy() -> bool:
    if "numpy" in sys.modules:
        return sys.modules["numpy"] is not None
    try:
        import numpy  # noqa: F401, PLC0415 - loaded by who reads an array
    except ImportError:
        return False
    return True


def _checked_length(kind: str, length: object) -> int:
    if type(length) is not int or length < 0:
        raise TypeError(f"{kind}[{length!r:.40}]: a length is wanted, as in {kind}[32]")
    return length


# ---------------------------------------------------------------- fields


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One of a record.

    Attributes:
        size: how many bytes it takes.
        make: gives its property, for its name (with that of the class), and where it begins.
        zero: what it is if nothing is said; :data:`_UNSET`: as the memory is.
    """

    size: int
    make: Callable[[str, int], property]
    zero: Any = _UNSET


ALLOWED = "int, float, bool, complex, Text[n], Bytes[n], Array[dtype, n], an Enum, another record"


def field_of(annotation: Any, name: str) -> Field:
    """The field for an annotation.

    Raises:
        TypeError: a record cannot hold that.
    """
    if get_origin(annotation) is Annotated:
        annotation = next((more for more in get_args(annotation)[1:] if type(more) in _SIZED), get_args(annotation)[0])
    if isinstance(annotation, type):
        if annotation in _PLAIN:
            return _PLAIN[annotation]
        if issubclass(annotation, enum.Enum) and len(annotation):
            return _enum(annotation)
        if hasattr(annotation, "_manyhands_size"):
            return _nested(annotation)
    elif type(annotation) in _SIZED:
        return _SIZED[type(annotation)](annotation)
    shown = annotation.__name__ if isinstance(annotation, type) else repr(annotation)
    mend = {str: "Text[32], say, for at most 32 characters", bytes: "Bytes[32], say", list: 'Array["f8", 100], say'}.get(
        get_origin(annotation) or annotation, "share(obj), for any other object"
    )
    raise TypeError(f"{name}: {shown:.80} cannot be held by a record, which holds {ALLOWED}. Use {mend}")


def _int(name: str, offset: int) -> property:
    index = offset >> 3

    def read(record: Any) -> Any:
        return record._manyhands_q[index]

    def write(record: Any, value: Any) -> None:
        try:
            record._manyhands_q[index] = value
        except (ValueError, TypeError):
            raise _no_int(name, value) from None

    return property(read, write)


def _no_int(name: str, value: Any) -> Exception:
    try:
        number = operator.index(value)
    except TypeError:
        return TypeError(f"{name} is an int, and cannot be {value!r:.80}")
    return OverflowError(f"{name} has 64 bits, for numbers from {_LEAST} to {_MOST}; {number} does not fit")


def _float(name: str, offset: int) -> property:
    index = offset >> 3

    def read(record: Any) -> Any:
        return record._manyhands_d[index]

    def write(record: Any, value: Any) -> None:
        try:
            record._manyhands_d[index] = value
        except (ValueError, TypeError):
            raise TypeError(f"{name} is a float, and cannot be {value!r:.80}") from None

    return property(read, write)


def _bool(name: str, offset: int) -> property:
    index = offset >> 3

    def read(record: Any) -> bool:
        return bool(record._manyhands_q[index])

    def write(record: Any, value: Any) -> None:
        if type(value) is not bool and type(value).__name__ not in {"bool", "bool_"}:  # of numpy
            raise TypeError(f"{name} is a bool, and cannot be {value!r:.80}")
        record._manyhands_q[index] = bool(value)

    return property(read, write)


def _complex(name: str, offset: int) -> property:
    index = offset >> 3

    def read(record: Any) -> complex:
        numbers = record._manyhands_d
        return complex(numbers[index], numbers[index + 1])

    def write(record: Any, value: Any) -> None:
        try:
            number = complex(value) if not isinstance(value, str) else complex("no number")
        except (ValueError, TypeError):
            raise TypeError(f"{name} is a complex, and cannot be {value!r:.80}") from None
        numbers = record._manyhands_d
        numbers[index], numbers[index + 1] = number.real, number.imag

    return property(read, write)


def _text(kind: Text) -> Field:
    most = kind.length

    def make(name: str, offset: int) -> property:
        index, start = offset >> 3, offset + 8
        decode, encode = codecs.utf_32_le_decode, codecs.utf_32_le_encode

        def read(record: Any) -> str:
            return decode(record._manyhands_b[start : start + _CHARACTER * record._manyhands_q[index]], "surrogatepass")[0]

        def write(record: Any, value: Any) -> None:
            if not isinstance(value, str):
                raise TypeError(f"{name} is a text, and cannot be {value!r:.80}")
            if len(value) > most:
                raise ValueError(f"{name} has room for {most} characters, and {value!r:.80} has {len(value)}")
            data = encode(value, "surrogatepass")[0]
            record._manyhands_b[start : start + len(data)] = data
            record._manyhands_q[index] = len(value)

        return property(read, write)

    return Field(8 + _CHARACTER * most, make, "")


def _bytes(kind: Bytes) -> Field:
    most = kind.length

    def make(name: str, offset: int) -> property:
        index, start = offset >> 3, offset + 8

        def read(record: Any) -> bytes:
            return bytes(record._manyhands_b[start : start + record._manyhands_q[index]])

        def write(record: Any, value: Any) -> None:
            if not isinstance(value, bytes | bytearray | memoryview):
                raise TypeError(f"{name} is bytes, and cannot be {value!r:.80}")
            data = bytes(value)
            if len(data) > most:
                raise ValueError(f"{name} has room for {most} bytes, and {data!r:.80} has {len(data)}")
            record._manyhands_b[start : start + len(data)] = data
            record._manyhands_q[index] = len(data)

        return property(read, write)

    return Field(8 + most, make, b"")


def _enum(kind: Any) -> Field:
    members = list(kind)
    numbers = {member: number for number, member in enumerate(members)}

    def make(name: str, offset: int) -> property:
        index = offset >> 3

        def read(record: Any) -> Any:
            return members[record._manyhands_q[index]]

        def write(record: Any, value: Any) -> None:
            if type(value) is not kind or value not in numbers:
                raise TypeError(f"{name} is one of {kind.__name__}, and cannot be {value!r:.80}")
            record._manyhands_q[index] = numbers[value]

        return property(read, write)

    return Field(8, make, members[0])


def _array(kind: Array) -> Field:
    def make(name: str, offset: int) -> property:
        def read(record: Any) -> Any:
            found = record._manyhands_parts.get(name)
            if found is None:
                found = record._manyhands_parts[name] = kind.over(record, offset)
            return found

        def write(record: Any, value: Any) -> None:
            if value is _UNSET:
                return
            array: Any = read(record)
            if value is not array:
                array[...] = value

        return property(read, write)

    return Field(kind.size, make)


def _nested(kind: Any) -> Field:
    size: int = kind._manyhands_size

    def make(name: str, offset: int) -> property:
        def read(record: Any) -> Any:
            found = record._manyhands_parts.get(name)
            if found is None:
                found = kind._manyhands_over(record._manyhands_, record._manyhands_at + offset)
                record._manyhands_parts[name] = found
            return found

        def write(record: Any, value: Any) -> None:
            if value is _UNSET:
                read(record).__init__()
                return
            if type(value) is not kind:
                raise TypeError(f"{name} is a {kind.__name__}, and cannot be {value!r:.80}")
            read(record)._manyhands_b[:] = value._manyhands_b

        return property(read, write)

    return Field(size, make)


_PLAIN: dict[Any, Field] = {
    int: Field(8, _int, 0),
    float: Field(8, _float, 0.0),
    bool: Field(8, _bool, False),
    complex: Field(16, _complex, 0j),
}
_SIZED: dict[Any, Callable[[Any], Field]] = {Text: _text, Bytes: _bytes, Array: _array}
