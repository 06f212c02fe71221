"""What a walk through code has found, and whether it is still so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from manyhands._codec import _digests
from manyhands._codec._fingerprint import Watching
from manyhands.memory import _contents
from manyhands.memory._gathering import in_slot
from manyhands.memory._parts import contents_of
from manyhands.memory._reach import Reach

if TYPE_CHECKING:
    from collections.abc import Iterable

PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
_TRIES = 5  # where other threads change what is being looked at


class Known(Watching):
    """All that is in reach of code: its ``digest``, and its ``parts`` with their names. ``also``: what is told with it."""

    __slots__ = (
        "_cells",
        "_contents",
        "_declared",
        "_has_rarer",
        "_kinds_in_cells",
        "_lengths",
        "_registries",
        "_slots",
        "_tables",
        "digest",
        "parts",
    )

    def __init__(self, reach: Reach, also: bytes = b"") -> None:
        super().__init__(reach)
        self.parts = reach.parts
        self._cells = reach.cells
        self._kinds_in_cells = reach.kinds
        self._contents = [(value, digest, _contents.fixed_parts(value)) for value, digest in reach.contents]
        self._declared = reach.declared
        self._registries = reach.registries
        self._slots = reach.slots
        self._tables = [*reach.tables.values()]
        self._lengths = [*map(len, self._tables)]
        self._has_rarer = bool(self._kinds_in_cells or self._slots or self._registries or self._declared)
        hashed = _digests.new()
        hashed.update(PYTHON.encode())
        hashed.update(reach.digest)
        hashed.update(also)
        self.digest = hashed.digest()

    def changed(self) -> bool:
        """Whether there is anything else by now."""
        if Watching.changed(self):  # it runs at each call: super() would take as long as half of this
            return True
        if [*map(len, self._tables)] != self._lengths:
            return True
        for cell, value in self._cells:
            if contents_of(cell) is not value:
                return True
        for value, digest, parts in self._contents:
            if (parts is None or not _contents.are_parts(value, parts)) and _contents.digest(value) != digest:
                return True
        return self._has_rarer and self._rarer_changed()

    def _rarer_changed(self) -> bool:
        return (
            any(type(contents_of(cell)) is not kind for cell, kind in self._kinds_in_cells)
            or any(in_slot(slot, obj) is not value for slot, obj, value in self._slots)
            or any([*registry.values()] != before for registry, before in self._registries)
            or any(declared.parts_of_another() != before for declared, before in self._declared)
        )


def known(root: Any, deps: Iterable[Any] = (), ignored: Iterable[str] = (), also: bytes = b"") -> Known:
    """All that is in reach of ``root`` now."""
    for left in reversed(range(_TRIES)):
        try:
            return Known(Reach(root, deps, ignored), also)
        except RuntimeError:  # a dictionary has changed while it was gone through
            if not left:
                raise
    raise AssertionError
