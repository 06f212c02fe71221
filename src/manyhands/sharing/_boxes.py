"""A value that cannot be changed, in a box that can: what ``share(0)`` shares."""

from __future__ import annotations

from typing import Any

from manyhands.sharing._kinds import SPECIAL, Kind, boxed, kind_of
from manyhands.sharing._operators import OPERATIONS

_INPLACE = tuple(name for name in SPECIAL if name in OPERATIONS and name.startswith("__i") and f"__{name[3:]}" in OPERATIONS)


class Box:
    """Has a value, and does as that does; ``box += 1`` gives it another one."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __kind__(self) -> tuple[Any, ...]:
        """The kind of what is in it now."""
        return tuple(kind_of_box(self.value))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.value, name)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return repr(self.value)

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)


def assign(box: object, value: Any) -> tuple[Any, ...]:
    """Give a box a value; its kind, for who has a proxy of the box."""
    if type(box) is not Box:
        raise TypeError(f"share.assign() is for boxes, as share(0) makes them; a shared {type(box).__name__} can be changed itself")
    box.value = value
    return tuple(kind_of_box(value))


def kind_of_box(value: object) -> Kind:
    """What proxies of the box of a value have to know."""
    return boxed(kind_of(type(value)))


def _forwarding(name: str) -> Any:
    operation = OPERATIONS[name]

    def method(self: Box, *args: Any) -> Any:
        return operation(self.value, *args)

    return method


def _changing(name: str) -> Any:
    operation = OPERATIONS[f"__{name[3:]}"]

    def method(self: Box, *args: Any) -> Any:
        self.value = operation(self.value, *args)
        return self

    return method


for _name in SPECIAL:
    if _name in _INPLACE:
        setattr(Box, _name, _changing(_name))
    elif _name in OPERATIONS and _name not in vars(Box):
        setattr(Box, _name, _forwarding(_name))
