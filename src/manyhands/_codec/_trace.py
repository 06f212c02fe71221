"""Which parts of an object cannot be pickled, why, and how to mend it. Used only after a failure, so it may take its time.

The walk goes where the pickler would: through containers, and through what rules, ``__reduce_ex__`` and ``__getstate__`` give. It asks each
object once, with a list of its own instead of recursion, so that cycles, depth and size do no harm. Of large containers, what the pickler
takes at a stretch is not looked into. No property is evaluated.
"""

from __future__ import annotations

import copyreg
import pickle
import time
import types
from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands import errors
from manyhands._codec import _advice, _bytecode, _inherited, _naming, _pickling, _steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from manyhands._codec._steps import Child, Step, Way

_SECONDS = 5.0  # an object graph may be endless: what is not found until then is not looked for any further
_ENDLESS_SECONDS = 1.0  # the same when there is reason to think so
_MOST_SHOWN = 20
_MANY = 64  # parts of one object from which on they are tried together
_BATCH = 500
_FEW = 8  # that are not tried together
_MOST_PLACES = 3  # of one object, besides the first


class Node:
    """An object on the walk."""

    __slots__ = ("parent", "step", "value")

    def __init__(self, value: Any, step: Step = (_steps.INNER, ""), parent: Node | None = None) -> None:
        self.value = value
        self.step = step
        self.parent = parent

    def up(self) -> Iterator[Node]:
        """This, what holds it, and so on."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def way(self) -> list[Step]:
        """The steps to it from what was sent."""
        steps = [node.step for node in self.up() if node.parent is not None]
        return [_steps.shown(step) for step in _steps.shortened(steps[::-1])]

    def functions(self) -> Iterator[tuple[types.FunctionType, str]]:
        """The functions that the path goes through, the last first, and the name by which it goes on."""
        child = self
        for node in self.up():
            if type(node.value) is types.FunctionType and child.step[0] in _steps.ARROWS:
                yield node.value, child.step[1]
            child = node


def not_serializable(obj: object, error: BaseException, *, is_result: bool = False) -> errors.NotSerializable:
    """The error that names all parts of ``obj`` that cannot be pickled, the ways to them, and how to mend it."""
    search = Search(obj, _ENDLESS_SECONDS if isinstance(error, RecursionError) else _SECONDS, is_result=is_result)
    parts = search.run() or [search.otherwise(error)]
    name = errors.RESULT if is_result else _steps.root_name(obj)
    kind = errors.NotInherited if any(part.reason == _inherited.REASON for part in parts) else errors.NotSerializable
    return kind(name, parts, search.cut_short(len(parts)))


class Search:
    """The search for all parts of an object that cannot be pickled."""

    def __init__(self, obj: object, seconds: float, *, is_result: bool = False) -> None:
        self.root = Node(obj)
        self.seen: dict[int, Node] = {id(obj): self.root}  # they keep the objects, so that an id stays its own
        self.is_deep = False  # so deep that there is nothing else to say
        self._is_result = is_result
        self._waiting: deque[Node | _Rest] = deque([self.root])
        self._others: dict[int, list[Node]] = {}  # where else an object is that has been seen, up to _MOST_PLACES
        self.blamed: list[tuple[Node, errors.Part]] = []
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def run(self) -> list[errors.Part]:
        """What is found; of each object all places where it is, so that none is left when those that are told have been mended."""
        while self._waiting and len(self.blamed) < _MOST_SHOWN and time.monotonic() < self._end:
            node = self._waiting.popleft()
            if isinstance(node, Node):
                self._look_into(node)
            else:
                self._try(node)
        return [part for node, found in self.blamed for part in (found, *self._elsewhere(node, found))]

    def _elsewhere(self, node: Node, found: errors.Part) -> list[errors.Part]:
        others = self._others.get(id(node.value), ())
        named = [other for other in others if all(holder.step[0] != _steps.INNER for holder in other.up() if holder.parent is not None)]
        return [self._part_of(other, found.reason, found.mend, found.used_at) for other in named]

    def cut_short(self, found: int) -> str:
        """Why there may be more parts than those that were found; empty: there are no more."""
        if found >= _MOST_SHOWN and self._waiting:
            return "there may be more: these are the first that were found"
        if self.is_deep:
            return ""
        return f"there may be more: the search was ended after {self._seconds:g} s" if self._waiting else ""

    def otherwise(self, error: BaseException) -> errors.Part:
        """The part to blame when none was found by itself: what the pickler was at when it raised ``error``."""
        if isinstance(error, RecursionError):
            from manyhands._codec import _depth  # noqa: PLC0415 - rare

            self.is_deep = True
            node, reason, mend = _depth.of_recursion(self.root.value, error)
            return self._part_of(node, reason, mend)
        return self.part(self.seen.get(id(getattr(error, "of", None))) or self._last_met() or self.root, error)

    def _last_met(self) -> Node | None:
        from manyhands._codec import _depth  # noqa: PLC0415 - as above

        held = _depth.held_at_failure(self.root.value, self._seconds)
        return next((self.seen[id(value)] for value in held if id(value) in self.seen), None)

    def part(self, node: Node, error: BaseException) -> errors.Part:
        """The part that an object is of which pickling raises ``error``."""
        kind = type(node.value)
        reason = _advice.reason(error)
        if any(_steps.is_named(type(holder.value), "manyhands", "PerWorker") for holder in node.up()):
            return self._part_of(node, reason, "make it inside the factory, which is called in each worker, rather than outside of it")
        if not _advice.is_registered(kind):
            return self._part_of(node, reason, _advice.mend(node.value, error, is_result=self._is_result))
        if type(error) is not _advice.BadForm:
            reason = f"{_advice.who_reduces(kind)} raised {reason}"
        return self._part_of(node, reason, "have it return what __reduce__ would: a callable, and a tuple of its arguments")

    def _part_of(self, node: Node, reason: str, mend: str, used: str = "") -> errors.Part:
        return part_of((_steps.root_name(self.root.value), node.way()), node, reason, mend, used)

    def _look_into(self, node: Node) -> None:
        try:
            found = children(node.value)
        except Exception as error:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
            self.blamed.append((node, self.part(node, error)))
            return
        parts = iter(found)
        self._wait_for(node, islice(parts, _MANY))
        following = next(parts, None)
        if following is not None:
            self._waiting.append(_Rest(node, chain((following,), parts)))

    def _wait_for(self, node: Node, found: Iterable[Child]) -> None:
        for step, child in found:
            if type(child) in _steps.ATOMS:
                continue
            made = Node(child, step, node)
            if self.seen.setdefault(id(child), made) is made:
                self._waiting.append(made)
            elif len(others := self._others.setdefault(id(child), [])) < _MOST_PLACES:
                others.append(made)

    def _try(self, rest: _Rest) -> None:
        """Look into those parts that the pickler does not take."""
        parts = list(islice(rest.parts, _BATCH))
        if not parts:
            return
        self._waiting.append(rest)
        divided = [parts]
        while divided and time.monotonic() < self._end:
            some = divided.pop()
            if can_be_pickled([child for _, child in some]):
                continue
            if len(some) <= _FEW:
                self._wait_for(rest.node, some)
                continue
            middle = len(some) // 2
            divided += some[middle:], some[:middle]


class _Rest(NamedTuple):
    """Parts of an object that have many like them, and are tried together."""

    node: Node
    parts: Iterator[Child]


def part_of(way: Way, node: Node, reason: str, mend: str, used: str = "") -> errors.Part:
    """The part at ``node``."""
    return errors.Part(_steps.read(way), _steps.type_name(type(node.value)), reason, mend, used or used_at(node), way)


def find(obj: object, wanted: object, seconds: float = _SECONDS) -> Node | None:
    """Where in ``obj`` an object is; the shortest way."""
    root = Node(obj)
    if obj is wanted:
        return root
    waiting, seen, end = deque([root]), {id(obj): root}, time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        node = waiting.popleft()
        for step, child in children_or_none(node.value):
            if child is wanted:
                return Node(child, step, node)
            if type(child) not in _steps.ATOMS and id(child) not in seen:
                made = seen[id(child)] = Node(child, step, node)
                waiting.append(made)
    return None


# ------------------------------------------------------------ what the pickler would do


class _Nowhere:
    """A file that nobody reads."""

    def write(self, data: bytes) -> int:
        return len(data)


def encoder_to(file: Any, keep: Callable[[pickle.PickleBuffer], object] = lambda _: None) -> _pickling.Encoder:
    """An encoder whose pickle is of no use; ``keep`` gets the buffers."""
    encoder = _pickling.Encoder(file, keep)
    encoder.is_dry = True
    return encoder


def can_be_pickled(values: Sequence[object]) -> bool:
    """Whether the pickler takes all of them."""
    try:
        encoder_to(_Nowhere()).dump(values)
    except Exception:  # noqa: BLE001 - __reduce__ and __getstate__ may raise anything
        return False
    return True


def children(value: Any, known: frozenset[type] = _steps.ATOMS) -> Iterable[Child]:
    """The parts of an object, as the pickler would meet them; those of a plain container without ``known`` classes."""
    found = _steps.of_container(value, known)
    if found is not None:
        return found
    reduced = reduced_form(value)
    return [] if reduced is None else list(_steps.of_reduced(value, reduced))


def children_or_none(value: Any, known: frozenset[type] = _steps.ATOMS) -> list[Child]:
    """The same of what need not be taken apart."""
    try:
        return [] if type(value) in _steps.ATOMS else list(children(value, known))
    except Exception:  # noqa: BLE001 - as above
        return []


def reduced_form(value: Any) -> tuple[Any, ...] | None:
    """What ``__reduce__``, or a rule in its place, gives; None: the object goes as it is, or by its name."""
    kind = type(value)
    if kind is pickle.PickleBuffer:
        return None
    reduced = encoder_to(_Nowhere()).reducer_override(value)
    if reduced is NotImplemented:
        if issubclass(kind, type) or kind is types.FunctionType:
            _check_name(value)
            return None
        reduce = copyreg.dispatch_table.get(kind)
        reduced = value.__reduce_ex__(_pickling.PROTOCOL) if reduce is None else reduce(value)
    if type(reduced) is str:
        return None
    _check(kind, reduced)
    return reduced  # type: ignore[no-any-return]


def _check_name(value: Any) -> None:
    if any(value is one for one in _SINGLETON_TYPES) or _naming.found_by_name(value):
        return
    msg = f"{value.__module__}.{value.__qualname__} does not lead to it"
    raise _advice.NotFound(msg)


_SINGLETON_TYPES = (type(None), type(NotImplemented), type(Ellipsis))


def _check(kind: type, reduced: Any) -> None:
    if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6 or not callable(reduced[0]) or not isinstance(reduced[1], tuple):
        shown = _steps.short(reduced)
        msg = (
            f"{_advice.who_reduces(kind)} gives {shown}, which is neither a text nor a tuple of a callable, its arguments, and what follows"
        )
        raise _advice.BadForm(msg)


# ------------------------------------------------------------ places


def used_at(node: Node) -> str:
    """``app.py:12: model.fit(x)``: the line of the last function on the path that uses what the path goes on with."""
    for fn, name in node.functions():
        line = _line_of(fn.__code__, name)
        if line is not None:
            import linecache  # noqa: PLC0415 - only after a failure

            file = fn.__code__.co_filename
            text = linecache.getline(file, line, fn.__globals__).strip()
            return f"{file}:{line}" + (f": {text}" if text else "")
    return ""


def _line_of(code: types.CodeType, name: str) -> int | None:
    for used, position in zip(_bytecode.names_used(code), code.co_positions(), strict=False):
        if used == name and position[0] is not None:
            return position[0]
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            line = _line_of(constant, name)
            if line is not None:
                return line
    return None
