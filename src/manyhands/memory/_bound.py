"""Cached methods, with the object that they are called on."""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from manyhands._codec import _naming

if TYPE_CHECKING:
    from manyhands.memory._cached import MemorizedFunc

T = TypeVar("T")

_CALLED_LIKE_IT = frozenset({"call", "call_and_shelve", "check_call_in_cache", "why"})
_NAMES = frozenset({"__name__", "__qualname__", "__annotations__"})


class BoundMemorizedFunc(Generic[T]):
    """A cached function of a class, with the object that it is called on: the state of that is one of its arguments.

    Attributes:
        func: the method that is cached.
    """

    def __init__(self, function: MemorizedFunc[Any, T], instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance
        self.__wrapped__ = types.MethodType(function.func, instance)  # whoever asks for its parameters gets those without the object

    def __call__(self, /, *args: Any, **kwargs: Any) -> T:
        return self.__func__(self.__self__, *args, **kwargs)

    @property
    def func(self) -> Any:
        return self.__wrapped__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _NAMES:  # copy and pickle ask one that is not made yet
            raise AttributeError(name)
        if "__func__" not in vars(self):
            raise AttributeError(name)
        found = getattr(self.__func__, name)
        return functools.partial(found, self.__self__) if name in _CALLED_LIKE_IT else found

    def __reduce__(self) -> Any:
        return type(self), (self.__func__, self.__self__)

    def __repr__(self) -> str:
        return f"<{self.__func__!r} of {self.__self__!r}>"


def parts_of(function: Any) -> tuple[Any, object] | None:
    """Of a method, also of one in C, its function and its object.

    None: it is no method, or one of a class; or of a generator that all of the process draws from, which is no argument of anybody's.
    """
    kind = type(function)
    if kind not in _METHODS:
        return None
    owner = function.__self__
    if owner is None or isinstance(owner, type | types.ModuleType) or _naming.global_generator(owner) is not None:
        return None
    if kind is types.MethodType:
        return function.__func__, owner
    unbound = getattr(type(owner), function.__name__, None)
    return (unbound, owner) if type(unbound) in _UNBOUND else None


_METHODS = frozenset({types.MethodType, types.BuiltinMethodType, types.MethodWrapperType})
_UNBOUND = frozenset({types.MethodDescriptorType, types.WrapperDescriptorType})
