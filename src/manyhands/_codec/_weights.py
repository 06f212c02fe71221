"""What an object weighs on its way, and which of its parts make it heavy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from manyhands._codec import _mended, _steps, _trace

if TYPE_CHECKING:
    import pickle
    from collections.abc import Sequence

    from manyhands._codec._trace import Node

_SECONDS = 0.2  # what weighing may take: it is no more than a hint
_DEEPEST = 4
_TOLD = 3
_WEIGHTY = 1_000_000
_SIZED = frozenset({str, bytes, bytearray})
_MOST_PARTS = 100_000


class _TooLongError(Exception):
    pass


class _Scale:
    """A file that counts what is written to it, until a time on the monotonic clock."""

    def __init__(self, end: float) -> None:
        self.size = 0
        self._end = end

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if time.monotonic() > self._end:
            raise _TooLongError
        return len(data)

    def put(self, buffer: pickle.PickleBuffer) -> None:
        """Count a buffer that stays out of the pickle."""
        self.size += buffer.raw().nbytes


def heavy_parts(obj: object, size: int, limit: int) -> list[tuple[str, int]]:
    """``(path, bytes)`` of the parts of more than ``limit`` bytes, of an object of ``size``; of what consists of such parts, only those."""
    end = time.monotonic() + _SECONDS
    root = _trace.Node(obj)
    found: list[tuple[Node, int]] = []
    waiting = [(root, size, 0)]
    while waiting:
        node, weight, depth = waiting.pop()
        parts = _heavy_children(node, weight, limit, end) if depth < _DEEPEST else []
        if parts:
            waiting += ((part, heaviness, depth + 1) for part, heaviness in parts)
        elif node is not root:
            found.append((node, weight))
    name = _steps.root_name(obj)
    return [(_steps.read((name, node.way())), weight) for node, weight in sorted(found, key=lambda entry: -entry[1])]


def _heavy_children(node: Node, size: int, limit: int, end: float) -> list[tuple[Node, int]]:
    """Those that are heavier. If there was no time to weigh just one of them, it is what the others leave."""
    found: list[tuple[Node, int]] = []
    unknown: list[Node] = []
    rest = size
    for step, child in _light_first(node):
        weight = len(child) if type(child) in _SIZED else _weigh(child, end)
        rest -= weight or 0
        if weight is None:
            unknown.append(_trace.Node(child, step, node))
            if len(unknown) > 1:
                break
        elif weight > limit:
            found.append((_trace.Node(child, step, node), weight))
    if len(unknown) == 1 and rest > limit:
        found.append((unknown[0], rest))
    return found


def _light_first(node: Node) -> Sequence[_steps.Child]:
    """The parts that a user knows, those with many parts of their own last; none of what has too many to look at."""
    if type(node.value) in _COUNTED and len(node.value) > _MOST_PARTS:
        return ()
    parts = [part for part in _trace.children_or_none(node.value, _steps.PLAIN_ATOMS) if part[0][0] != _steps.INNER]
    return sorted(parts, key=lambda part: len(part[1]) if type(part[1]) in _COUNTED else 0)


_COUNTED = frozenset({list, tuple, dict, set, frozenset})


def _weigh(value: object, end: float) -> int | None:
    """Bytes that it takes to send an object; 0 if it cannot be sent; None: it takes too long to tell."""
    if time.monotonic() > end:
        return None
    scale = _Scale(end)
    try:
        _trace.encoder_to(scale, scale.put).dump(value)
    except _TooLongError:
        return None
    except Exception:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
        return 0
    return scale.size


def readable(size: int) -> str:
    """``16.0 MB`` for a number of bytes."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def warn_of_weight(fn: object, name: str, size: int) -> None:
    """Say once that a function is heavy, what makes it so, and what to do."""
    parts = [f"{path.partition(' → ')[2] or path}, {readable(weight)}" for path, weight in heavy_parts(fn, size, _WEIGHTY)[:_TOLD]]
    what = f": {'; '.join(parts)}" if parts else ""
    _mended.warn_once(
        f"{name}() takes {readable(size)} to each worker, and again whenever it has changed{what}. To mend it: let each worker load it "
        "(manyhands.per_worker, with the path of its file); arrays can also be shared (manyhands.share_array)"
    )
