"""How deep the pickler would go, and what it was at when it failed: for errors that no part of an object has by itself."""

from __future__ import annotations

import io
import pickle
import sys
import time
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _advice, _pickling, _steps, _trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from manyhands._codec._steps import Child
    from manyhands._codec._trace import Node

_SECONDS = 2.0
_SHALLOW = 40  # objects in one another that are no explanation
_BEARABLE = 5_000  # objects in one another that the C stack has room for, in a worker's thread, too: 8 MB are full at some 16 000
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_FUNCTIONS = frozenset({types.FunctionType, types.CellType})


class _Level:
    """An object whose parts are being pickled."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._form: Any = None
        self.parts: Iterator[Child] = iter(())
        try:
            found = _steps.of_container(node.value, _steps.ATOMS)
            if found is None:
                self._form = _trace.reduced_form(node.value)
                found = iter(()) if self._form is None else _steps.of_reduced(node.value, self._form)
            self.parts = iter(list(found))
        except Exception:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
            return

    def is_made_of(self, part: object) -> bool:
        """Whether a part is pickled before the object can be referred to."""
        if self._form is None:
            return type(self.node.value) in {tuple, frozenset}
        return any(part is argument for argument in self._form[1])


def of_recursion(obj: object, error: RecursionError) -> tuple[Node, str, str]:
    """The object to blame for an error of depth, what is wrong, and what to do about it."""
    levels, is_cycle, is_all = _deepest(obj)
    if is_cycle:
        node = levels[0].node
        who = _advice.who_reduces(type(node.value))
        reason = f"pickling it never ends: {who} gives, among the arguments that it is made of, the object itself"
        if len(levels) > 1:
            reason += f", by way of {_steps.read((_steps.root_name(node.value), _way_down(levels)))}"
        return node, reason, "have it give what leads back to the object as the state (the third thing), not among the arguments"
    node = levels[-1].node
    if len(levels) < _SHALLOW:
        root = _trace.Node(obj)
        return root, _advice.reason(error), _advice.mend(obj, error)
    if not is_all and not _is_there(levels):
        return node, _REASON.format(f"more than {len(levels) - 1}", sys.getrecursionlimit()), _ENDLESS
    return node, *_of_depth([level.node.value for level in levels], "" if is_all else "more than ")


_REASON = "pickle goes from one object to the next and would be {} deep in them, too deep for it (the recursion limit is {})"
_ENDLESS = "look at what its __getstate__ or __reduce__ gives: there seems to be no end of it"


def _is_there(levels: list[_Level]) -> bool:
    """Whether the deepest object is a part of what holds it, rather than made for each who asks."""
    holder, part = levels[-2].node.value, levels[-1].node.value
    return any(child is part for _, child in _trace.children_or_none(holder))


def _of_depth(values: Sequence[object], more: str) -> tuple[str, str]:
    kinds = [type(value) for value in values]
    deep = len(values) - 1
    if all(kind in _CONTAINERS for kind in kinds[:-1]):
        return f"it is nested {more}{deep} levels deep, which pickle cannot follow", "pass what it holds as a flat list"
    reason = _REASON.format(f"{more}{deep}", sys.getrecursionlimit())
    if sum(kind in _FUNCTIONS for kind in kinds) * 2 > len(kinds):
        return reason, "make the functions inside the task, from a list of what each is to do"
    mend = "pass tables of nodes and of edges (numbers of nodes), and link them inside the task; __getstate__ of what holds them can do so"
    if not more and sys.version_info < (3, 12) and deep <= _BEARABLE:  # later ones count calls in C by themselves
        mend += "; or raise the limit with sys.setrecursionlimit(), for results in the workers, too (initializer=)"
    return reason, mend


def _way_down(levels: list[_Level]) -> list[_steps.Step]:
    return [_steps.shown(step) for step in _steps.shortened([level.node.step for level in levels[1:]])]


def _deepest(obj: object) -> tuple[list[_Level], bool, bool]:
    """The deepest that the pickler would be in objects; whether it would come back to the first of them for ever; whether that is all."""
    path = [_Level(_trace.Node(obj))]
    places = {id(obj): 0}  # in the path
    seen: dict[int, object] = {id(obj): obj}
    deepest, end = list(path), time.monotonic() + _SECONDS
    while path and time.monotonic() < end:
        step, child = next(path[-1].parts, (None, None))
        if step is None:
            if len(path) > len(deepest):
                deepest = list(path)
            del places[id(path.pop().node.value)]
            continue
        if type(child) in _steps.ATOMS:
            continue
        place = places.get(id(child))
        if place is not None and _never_ends(path[place:], child):
            return path[place:], True, True
        if id(child) not in seen:
            seen[id(child)] = child
            places[id(child)] = len(path)
            path.append(_Level(_trace.Node(child, step, path[-1].node)))
    return max(path, deepest, key=len), False, not path


def _never_ends(cycle: list[_Level], child: object) -> bool:
    """Whether none of the objects can be referred to before all of them have been pickled, and so are pickled anew."""
    following = [*(level.node.value for level in cycle[1:]), child]
    return all(level.is_made_of(part) for level, part in zip(cycle, following, strict=True))


# ------------------------------------------------------------ what the pickler itself was at


_Pickler: Any = pickle._Pickler  # noqa: SLF001 - the one in Python, which can be looked into


class _Witness(_Pickler):  # type: ignore[misc]
    """Knows what it is in the midst of."""

    def __init__(self, end: float) -> None:
        super().__init__(io.BytesIO(), _pickling.PROTOCOL, buffer_callback=lambda _: None)
        self._end = end
        self.held: list[object] = []  # what was being saved when it failed, the innermost first
        self._asked = _trace.encoder_to(io.BytesIO())

    def reducer_override(self, obj: object) -> Any:
        return self._asked.reducer_override(obj)

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        if time.monotonic() > self._end:
            raise TimeoutError
        try:
            super().save(obj, save_persistent_id)
        except Exception:
            self.held.append(obj)
            raise


def held_at_failure(obj: object, seconds: float) -> list[object]:
    """What pickle was in the midst of when it failed, the innermost first; empty if it does not fail within that time."""
    witness = _Witness(time.monotonic() + seconds)
    try:
        witness.dump(obj)
    except TimeoutError:
        return []
    except Exception:  # noqa: BLE001 - that is what is looked for
        return witness.held
    return []
