"""Objects of all other classes: by class, and by what they would be rebuilt from.

Where a class says nothing of its own, that is its attributes, in whichever order they have been set. Else it is what ``__reduce_ex__``
gives, of which nothing is called. The order of attributes, and of items of a dict, does not count, unless it is an ``OrderedDict``.
"""

from __future__ import annotations

import collections
import copyreg
import sys
from typing import TYPE_CHECKING, Any

from manyhands._hashing import _foreign, _plain, _refusals, _standard
from manyhands._hashing._refusals import Refused
from manyhands._hashing._terms import MAPPING, ORDERED, Node, are_atoms, fresh, written

if TYPE_CHECKING:
    from manyhands._hashing._walk import Handler, Made, Walk

_PROTOCOL = 4  # 5 would give buffers in the place of bytes
_newobj: Any = copyreg.__newobj__  # type: ignore[attr-defined] # typeshed has it not
_get_state: Any = object.__getstate__
_OF_ALL_MEMBERS = frozenset({"_name_", "_value_", "__objclass__", "_sort_order_", "_inverted_"})
# How marshal begins a number of the size that addresses have, on a machine of 64 bits.
_LARGE = b"l\x04\x00\x00\x00"


def handler_of(walk: Walk, obj: Any, cls: type) -> Handler:
    """What takes objects of a class apart, of which ``obj`` is one."""
    if issubclass(cls, type):
        return _plain.HANDLERS[id(type)]
    ours, general = _registered(cls)
    if ours is None:
        _refusals.check_iterator(cls)
    return _by(ours) or _foreign.handler_of(cls) or _of_standard(walk, cls) or _by(general) or _of_others(walk, obj, cls)


def _registered(cls: type) -> tuple[Any, Any]:
    """What has been registered for a class, with manyhands and with ``copyreg``; there, libraries do that for theirs, too."""
    rules: Any = sys.modules.get("manyhands._codec._rules")  # loaded by who registers a reducer
    try:
        return None if rules is None else rules.users_reducer(cls), copyreg.dispatch_table.get(cls)
    except TypeError:  # the class cannot be hashed, so nothing is
        return None, None


def _by(reducer: Any) -> Handler | None:
    return None if reducer is None else lambda _, value: _reduced(value, reducer(value))


def _of_standard(walk: Walk, cls: type) -> Handler | None:
    found = _standard.handler_of(cls)
    if found is not None:
        return found
    label = walk.codes.of_class(cls)
    if _is_enum(cls):
        return lambda _, value: _member((b"member", *label), value)
    if issubclass(cls, set | frozenset) and cls.__reduce__ in (set.__reduce__, frozenset.__reduce__):
        return lambda walk, value: _set(walk, (b"set of", *label), value)
    if _standard.is_path(cls):
        return lambda walk, value: _standard.path(walk, (b"path", *label), value)
    return None


def _member(header: tuple[Any, ...], value: Any) -> Made:
    """A member of an enumeration: most have nothing besides their value."""
    others = {name: part for name, part in value.__dict__.items() if name not in _OF_ALL_MEMBERS}
    return Node(ORDERED, header, (value._name_, value._value_, *([fresh(others)] if others else ())))


def _is_enum(cls: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(cls, enum.Enum)


def _set(walk: Walk, header: tuple[Any, ...], value: Any) -> Made:
    base: Any = set if isinstance(value, set) else frozenset
    members = _plain.members(walk, (b"members",), list(base.__iter__(value)))
    return Node(ORDERED, header, (_plain.inner(members), fresh(_get_state(value))))


def _of_others(walk: Walk, obj: Any, cls: Any) -> Handler:
    """A class that says nothing of its own consists of its attributes."""
    if consists_of_attributes(obj, cls):
        label = (b"object", *walk.codes.of_class(cls))
        return lambda walk, value: _attributes(walk, label, value)
    return lambda _, value: by_reduce(value)


def consists_of_attributes(obj: Any, cls: Any) -> bool:
    """Whether the attributes of an object are all that there is of it.

    Raises:
        TypeError: it keeps something where Python does not see it.
    """
    says_nothing = (
        cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and cls.__getstate__ is _get_state
        and not hasattr(cls, "__getnewargs__")
        and not hasattr(cls, "__getnewargs_ex__")
    )
    if not says_nothing:
        return False
    make, args, _, *rest = obj.__reduce_ex__(_PROTOCOL)
    return make is _newobj and len(args) == 1 and rest == [None, None]


def by_reduce(value: Any) -> Made:
    """What ``value`` says of itself."""
    return _reduced(value, value.__reduce_ex__(_PROTOCOL))


def _attributes(walk: Walk, label: tuple[Any, ...], obj: Any) -> Made:
    state = _get_state(obj)
    if type(state) is tuple:  # attributes of slots, and those of the dict
        parts = [part for part in state if part is not None]
        state = {name: value for part in parts for name, value in part.items()}
        if len(state) != sum(map(len, parts)):
            return Node(ORDERED, label, (fresh(parts),))
    names = sorted(state) if state else []
    values = [state[name] for name in names]
    if not are_atoms(values):
        _check_addresses(obj, values)
        return Node(ORDERED, label, (*names, *values))
    data = written(ORDERED, label, [*names, *values])
    if _LARGE in data or b"0x" in data:
        _check_addresses(obj, values)
    return (walk.once(data),)


def record(walk: Walk, value: Any) -> Made:
    """A record of shared memory: what is in it, wherever that is."""
    fields = [getattr(value, name) for name in value.__dataclass_fields__ if hasattr(value, name)]
    return Node(ORDERED, (b"record", *walk.codes.of_class(type(value))), list(map(fresh, fields)))


def _reduced(obj: Any, reduced: Any) -> Made:
    """What ``__reduce__`` gives."""
    if type(reduced) is str:
        return Node(ORDERED, (b"global", str(getattr(obj, "__module__", None) or type(obj).__module__), reduced), ())
    if type(reduced) is not tuple or not 2 <= len(reduced) <= 6 or type(reduced[1]) is not tuple:
        msg = f"its __reduce__ gives {_refusals.what_it_is(reduced)}, neither a text nor a tuple of a callable, its arguments, and so on"
        raise Refused(msg)
    make, args, state, entries, pairs, setter = (*reduced, None, None, None, None)[:6]
    _check_addresses(obj, [*args, *_values_of(state)])
    header = b"reduced", len(args), state is None, entries is None, pairs is None
    rest = fresh(state), fresh(None if entries is None else list(entries)), _pairs(obj, pairs), setter
    return Node(ORDERED, header, (make, *args, *rest))


def _values_of(state: Any) -> list[Any]:
    if type(state) is dict:
        return list(state.values())
    return [value for part in state for value in _values_of(part)] if type(state) is tuple else [state]


def _pairs(obj: Any, pairs: Any) -> Any:
    if pairs is None:
        return None
    ordered = isinstance(obj, collections.OrderedDict)
    return Node(ORDERED if ordered else MAPPING, (b"pairs",), [part for pair in pairs for part in pair])


def _check_addresses(obj: Any, values: list[Any]) -> None:
    """Refuse an object that has its own address in its state, or that of a part, as a number or in a text: the next process has another."""
    suspects = [value for value in values if (type(value) is int and value >> 24) or (type(value) is str and "0x" in value)]
    if not suspects:
        return
    owners = [obj, *(value for value in values if type(value) not in (int, str))]
    for owner in owners:
        address = id(owner)
        for value in suspects:
            if value == address if type(value) is int else f"{address:x}" in str(value):
                of = "its own address" if owner is obj else f"the address of {_refusals.what_it_is(owner)}"
                msg = f"its state has {of} in it ({value!r:.80}), which is another one in each process"
                raise Refused(msg)
