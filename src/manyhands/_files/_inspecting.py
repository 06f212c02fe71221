"""What is in a file, without loading it: nothing of the program's or of a package's runs, and arrays are not read."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any

from manyhands._files import _codecs, _compressors, _format, _joblib_files, _reading, _safe, _sources
from manyhands._files._safe_makers import Name, Pending
from manyhands.errors import ManyhandsError, NotData, StoreCorrupt, UnknownFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DEPTH = 3
_ITEMS = 8
_LONGEST = 60


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file. ``size``: its bytes; ``stored``: how many they are in the file; ``compressor``: "" if they are as they were."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    stored: int
    compressor: str


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What :func:`inspect` has found.

    Attributes:
        path: the file.
        format: "manyhands", or "pickle or joblib", of which nothing else is told but size and compressor.
        size: of the file, in bytes.
        compressor: of the whole file; "" if it is not compressed as a whole.
        python, manyhands: versions that have written it.
        packages: versions of the packages whose classes and functions are in it.
        pickle: bytes of all but the arrays.
        arrays: those that are stored beside the pickle.
        names: classes and functions that are named, as "module.name".
        outline: the object in lines of text, three levels deep.
    """

    path: str
    format: str
    size: int
    compressor: str
    python: str = ""
    manyhands: str = ""
    packages: dict[str, str] = dataclasses.field(default_factory=dict)
    pickle: int = 0
    arrays: list[StoredArray] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=list)
    outline: list[str] = dataclasses.field(default_factory=list)


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Tell what is in a file: types, shapes, sizes, versions. It is safe with files of others.

    Example:
        >>> import manyhands
        >>> from manyhands.persistence import inspect
        >>> manyhands.dump({"a": 1}, "a.mh")
        ['a.mh']
        >>> inspect("a.mh").outline
        ["dict of 1: {'a'}", "  ['a']: int 1"]

    Raises:
        StoreCorrupt: the file is damaged; UnknownFormat, which is one: it is of another kind.
        OSError: it cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as file, contextlib.ExitStack() as opened:
        size = os.fstat(file.fileno()).st_size
        begin = file.peek(_format.HEADER_SIZE)[: _format.HEADER_SIZE]
        method = None if begin.startswith(_format.MAGIC) else _compressors.detect(begin)
        source: _sources.Source = _sources.Descriptor(file, name)
        if method is not None:
            compressed = _sources.Compressed(opened.enter_context(contextlib.closing(_compressors.reader(file, method))), name)
            begin, source = compressed.peek(_format.HEADER_SIZE), compressed
        if not begin.startswith(_format.MAGIC):
            if begin.startswith(_format.MAGIC[:4]) or not begin:
                _format.Header.from_bytes(begin, name)  # which says what is wrong with it
            if not _joblib_files.is_joblib_file(begin):
                raise UnknownFormat(name, begin)
            return Inspection(name, "pickle or joblib", size, method or "")
        return _described(_reading.Contents(source, with_buffers=False), size, method or "")


def _described(contents: _reading.Contents, size: int, method: str) -> Inspection:
    sketch = _Sketch(contents)
    try:
        outline = list(_lines(sketch.run(), ""))
    except (ManyhandsError, MemoryError) as error:
        outline = [f"it cannot be shown: {getattr(error, 'name', '') or error}"]
    except Exception as error:
        raise StoreCorrupt(contents.source.name, "its pickle", f"{type(error).__name__}: {error}") from error
    about = contents.about
    arrays = [found for _, found in sorted(sketch.arrays.items())]
    return Inspection(
        contents.source.name,
        "manyhands",
        size,
        method,
        str(about.get("python", "")),
        str(about.get("manyhands", "")),
        {str(name): str(version) for name, version in dict(about.get("packages") or {}).items()},
        contents.header.length,
        arrays,
        sorted(sketch.names),
        outline,
    )


class _StandIn:
    """Takes the place of an object of any class, and puts up with anything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: Any = None


class _Sketch(_safe.Machine):
    """Carries out a pickle with stand-ins for all that is not data."""

    def __init__(self, contents: _reading.Contents) -> None:
        super().__init__(contents)
        self.arrays: dict[int, StoredArray] = {}
        self.names: set[str] = set()

    def _found(self, module: Any, name: Any) -> Any:
        if (module, name) == ("manyhands._files._pickling", "stored_array"):
            return Name(module, name, self._array)
        self.names.add(f"{module}.{name}")
        try:
            known = None if str(module).startswith(("pandas", "pyarrow")) else super()._found(module, name)
        except NotData:
            known = None
        return known or Name(str(module), str(name), lambda *_: _StandIn(f"{module}.{name}"))

    def _array(self, contents: _reading.Contents, number: int, dtype: Any, shape: tuple[int, ...], _: str) -> StoredArray:
        row = contents.rows[number]
        self.arrays[number] = StoredArray(str(dtype), shape, row.length, contents.stored[number], _codecs.name_of(row.codec))
        return self.arrays[number]

    def call(self, keywords: bool = False) -> None:
        named = self.stack[-3 if keywords else -2]
        try:
            super().call(keywords)
        except Exception:  # noqa: BLE001 - what cannot be made of this is shown by its name
            self.stack.append(_StandIn(str(named)))

    def build(self, state: Any) -> None:
        made = self.stack[-2]
        if isinstance(made, _StandIn):
            made.state = self.stack.pop()
            return
        try:
            super().build(state)
        except Exception:  # noqa: BLE001 - as above
            self.stack[-1] = _StandIn(str(made))

    def _fill(self, fill: Callable[[list[Any]], None], items: list[Any]) -> None:
        if not isinstance(self.stack[-1], _StandIn):
            fill(items)

    def extend(self, items: list[Any]) -> None:
        self._fill(super().extend, items)

    def update(self, items: list[Any]) -> None:
        self._fill(super().update, items)

    def add(self, items: list[Any]) -> None:
        self._fill(super().add, items)


def _lines(value: Any, path: str, depth: int = 0) -> Iterator[str]:
    yield "  " * depth + (f"{path}: " if path else "") + _told(value)
    if depth >= _DEPTH:
        return
    parts = list(_parts(value))
    for step, part in parts[:_ITEMS]:
        yield from _lines(part, step, depth + 1)
    if len(parts) > _ITEMS:
        yield "  " * (depth + 1) + f"... {len(parts) - _ITEMS} more"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _StandIn):
        state = value.state
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):  # of a class with slots
            state = {**(state[0] or {}), **state[1]} if isinstance(state[0], (dict, type(None))) else state
        if isinstance(state, dict):
            yield from ((f".{name}", part) for name, part in state.items())
    elif isinstance(value, dict):
        yield from ((f"[{_short(key)}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple)) and not isinstance(value, Name) and not set(map(type, value)) <= _ATOMS:
        yield from ((f"[{number}]", part) for number, part in enumerate(value))


_ATOMS = {int, float, str, bytes, bool, type(None), complex}


def _told(value: Any) -> str:
    if isinstance(value, StoredArray):
        return f"array {value.dtype} {value.shape}"
    if isinstance(value, _StandIn):
        return value.name
    if isinstance(value, Name):
        return f"the name {value}"
    if isinstance(value, Pending):
        return str(value)
    name = type(value).__name__
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"{name} of {len(value)}" + (f": {_short(value)}" if all(type(part) in _ATOMS for part in value) and value else "")
    return f"{name} {_short(value)}"


def _short(value: object) -> str:
    if isinstance(value, dict):
        value = "{" + ", ".join(map(repr, list(value)[:_ITEMS])) + "}"
        return value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."
    if isinstance(value, (list, tuple, str, bytes)) and len(value) > _LONGEST:
        value = value[:_LONGEST]
    text = f"{value.name}" if isinstance(value, _StandIn) else repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
