"""The arguments of a call as its function sees them: however they were given, the same call is the same call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from manyhands._core.options import refuse
from manyhands.memory import _packages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Binding:
    """How arguments are assigned to the parameters of ``function``.

    Args:
        ignore: names of parameters that make no difference.

    Raises:
        ValueError: one of these is not a parameter.
    """

    def __init__(self, function: Callable[..., Any], ignore: Sequence[str] = ()) -> None:
        self._signature = _signature_of(function)
        parameters = [] if self._signature is None else list(self._signature.parameters.values())
        self.names: tuple[str, ...] = tuple(parameter.name for parameter in parameters)
        _check_ignored(ignore, function, self.names, is_known=self._signature is not None)
        self._ignored = frozenset(ignore)
        self._function = function
        # What nearly all functions are like: their arguments are the values, if all are given in their places; and if not, they are quickly
        # found by their names. The signature, which knows all cases, takes 4 µs.
        in_places = [parameter for parameter in parameters if parameter.kind in _BY_PLACE]
        is_known = self._signature is not None and not ignore
        self._count = len(parameters) if is_known and len(in_places) == len(parameters) else -1
        self._most = len(in_places) if is_known and all(parameter.kind in _BY_NAME for parameter in parameters) else -1
        self._defaults = {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}

    def values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """What the call is told by: values in the order of the parameters.

        Raises:
            TypeError: the function cannot be called like that.
        """
        given = len(args)
        if given == self._count and not kwargs:
            return args
        if given <= self._most:
            try:
                found = (*args, *[kwargs[name] if name in kwargs else self._defaults[name] for name in self.names[given:]])
            except KeyError:  # one is missing: the signature says so
                pass
            else:
                if kwargs.keys() <= frozenset(self.names[given:]):
                    return found
        if self._signature is None:
            return (args, dict(kwargs))
        bound = self._bound(args, kwargs)
        # Of what is ignored the class counts: its methods may be called.
        return tuple(_own_class(bound[name]) if name in self._ignored else bound[name] for name in self.names)

    def by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The values with their names; for those who want to know."""
        if self._signature is None:
            return {"args": args, "kwargs": dict(kwargs)}
        bound = self._bound(args, kwargs)
        return {name: bound[name] for name in self.names if name not in self._ignored}

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            bound = self._signature.bind(*args, **kwargs)  # type: ignore[union-attr] # both who ask have looked
        except TypeError as error:
            msg = f"{_name_of(self._function)}(): {error}"
            raise TypeError(msg) from None
        bound.apply_defaults()
        return bound.arguments


def _own_class(value: object) -> type | None:
    kind = value if isinstance(value, type) else type(value)
    return kind if _packages.is_own(kind.__module__) else None


def _signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """None: it says nothing of its parameters, as some that are written in C."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", repr(function)))


def _check_ignored(ignore: Sequence[str], function: Any, names: Sequence[str], *, is_known: bool) -> None:
    if isinstance(ignore, str) or not all(isinstance(name, str) for name in ignore):
        raise refuse("ignore", ignore, "a list of names of parameters")
    for name in ignore:
        if name not in names:
            what = _name_of(function)
            known = ", ".join(names) if is_known else "they are not known"
            msg = f"ignore: argument {name!r} is not defined for function {what}; it has {known}"
            raise ValueError(msg)
