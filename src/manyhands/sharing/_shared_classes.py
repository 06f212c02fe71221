"""Classes whose instances are made in a keeper: ``@share.cls``.

What the decorator gives is a subclass, without anything of its own: so ``isinstance``, subclasses and attributes of the class are what they
always are. Only its metaclass differs, by what it does when the class is called.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class _Shared(type):
    """Mixed into a metaclass: calling the class makes an instance in the keeper."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        from manyhands.sharing.objects import share  # noqa: PLC0415 - it has this module loaded

        return share.new(cls, *args, **kwargs)

    @property
    def __signature__(cls) -> inspect.Signature:
        return inspect.signature(cls.__mro__[1] if "__manyhands_face__" in vars(cls) else Built(cls))


_metaclasses: dict[type, type] = {type: _Shared}


def shared(cls: type) -> type:
    """The class that stands for ``cls``."""
    if not isinstance(cls, type):
        raise TypeError(f"@share.cls is for classes, not for {type(cls).__name__}")
    own = type(cls)
    meta = own if issubclass(own, _Shared) else _metaclasses.get(own)
    if meta is None:
        meta = _metaclasses[own] = type(f"Shared{own.__name__}", (_Shared, own), {})
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__, "__slots__": ()}
    face: type = meta(cls.__name__, (cls,), names | {"__manyhands_face__": True})
    return face


class Built:
    """Makes an instance of such a class, in this process."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.__qualname__ = cls.__qualname__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return type.__call__(self.cls, *args, **kwargs)


def builder(factory: Callable[..., Any]) -> Callable[..., Any]:
    """What makes in the keeper what ``factory`` makes."""
    return Built(factory) if isinstance(factory, _Shared) else factory
