"""Whose results remote entries are, told by a few bytes of each. Nothing of them is loaded: they are not checked, only compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyhands.memory import _entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from manyhands.memory._remote_files import RemoteFiles

_AT_ONCE = 512


def entries_of(files: RemoteFiles, function: str) -> list[str]:
    """The names of the entries of a function.

    Raises:
        Unavailable
    """
    sizes = {name: size for name, size in files.sizes("entries").items() if size >= _entry.FOOTER_SIZE}
    names = list(sizes)
    found: list[str] = []
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        footers = files.ranges(some, [sizes[name] - _entry.FOOTER_SIZE for name in some], [sizes[name] for name in some])
        found += _with_beginning(files, dict(_places_of_meta(sizes, some, footers)), _entry.beginning_of_meta(function))
    return found


def _places_of_meta(sizes: dict[str, int], names: Sequence[str], footers: Sequence[bytes | Exception]) -> Iterator[tuple[str, int]]:
    """Where in each entry it says what is known of it."""
    for name, footer in zip(names, footers, strict=True):
        before_end = _entry.meta_before_end(footer) if isinstance(footer, bytes) else None
        if before_end is not None and before_end <= sizes[name]:
            yield name, sizes[name] - before_end


def _with_beginning(files: RemoteFiles, places: dict[str, int], wanted: bytes) -> list[str]:
    starts = list(places.values())
    seen = files.ranges(list(places), starts, [start + len(wanted) for start in starts]) if places else []
    return [name for name, piece in zip(places, seen, strict=True) if piece == wanted]
