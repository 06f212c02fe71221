"""The arguments of a call as its function sees them: however they were given, the same call is the same call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from manyhands.memory import _packages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


class Binding:
    """How arguments are assigned to the parameters of ``function``.

    Args:
        ignore: names of parameters that make no difference; ``*`` and ``**`` for those that take what is left over, whatever their names.

    Raises:
        ValueError: one of these is not a parameter.
    """

    def __init__(self, function: Callable[..., Any], ignore: Sequence[str] = ()) -> None:
        self._function = function
        self._signature = _signature_of(function)
        parameters = [] if self._signature is None else list(self._signature.parameters.values())
        self.names: tuple[str, ...] = tuple(parameter.name for parameter in parameters)
        ignored = _names_of(ignore, parameters)
        _check_ignored(ignored, function, self.names, is_known=self._signature is not None)
        self.ignored = frozenset(ignored)
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
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise _as_python_says_it(self._function, args, kwargs, error) from None
        bound.apply_defaults()
        given_by_name = bound.arguments
        # Of what is ignored the class counts: its methods may be called.
        return tuple([_own_class(given_by_name[name]) if name in self.ignored else given_by_name[name] for name in self.names])

    def named(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """The values of a call with their names, but for what is ignored."""
        if self._signature is None:
            return dict(zip(("args", "kwargs"), values, strict=True))
        return {name: value for name, value in zip(self.names, values, strict=True) if name not in self.ignored}


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


def _as_python_says_it(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], error: TypeError) -> TypeError:
    """The error of a call that cannot be, with the name of the function and the numbers of its arguments."""
    name = _name_of(function)
    try:
        inspect.getcallargs(function, *args, **kwargs)
    except TypeError as told:
        _, called, rest = str(told).partition("() ")
        if called:
            return TypeError(f"{name}() {rest}")
    except Exception:  # noqa: BLE001 - a signature that is not that of the function itself
        pass
    return TypeError(f"{name}() {error}")


def _names_of(ignore: Sequence[str], parameters: Sequence[inspect.Parameter]) -> Sequence[str]:
    """With the names of the parameters that ``*`` and ``**`` stand for."""
    taking_more = {_STARS[parameter.kind]: parameter.name for parameter in parameters if parameter.kind in _STARS}
    return [taking_more.get(name, name) for name in ignore]


def _check_ignored(ignore: Sequence[str], function: Any, names: Sequence[str], *, is_known: bool) -> None:
    for name in ignore:
        if name not in names:
            what = _name_of(function)
            known = ", ".join(names) if is_known else "they are not known"
            msg = f"ignore: argument {name!r} is not defined for function {what}; it has {known}"
            raise ValueError(msg)
