"""How objects of which class are pickled, where ``pickle`` itself cannot, or would do it wrongly."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _by_value
from manyhands._codec._pickling import by_name_or_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands._codec._pickling import Encoder

    Rule = Callable[[Encoder, Any], Any]


def rule_for(kind: type) -> Rule | None:
    """The rule for objects of this very class; None: they are left to pickle."""
    if issubclass(kind, type):
        return by_name_or_value
    rule = _RULES.get(kind)
    return _RULES_BY_NAME.get((kind.__module__, kind.__qualname__)) if rule is None else rule


def _property(_: Encoder, value: property) -> Any:
    return property, (value.fget, value.fset, value.fdel, value.__doc__)


def _wrapped(_: Encoder, value: Any) -> Any:
    return type(value), (value.__func__,)


def _mapping_proxy(_: Encoder, value: types.MappingProxyType[Any, Any]) -> Any:
    return types.MappingProxyType, (dict(value),)


def _keys(_: Encoder, value: Any) -> Any:
    return _keys_of, (list(value),)


def _values(_: Encoder, value: Any) -> Any:
    return _values_of, (list(value),)


def _items(_: Encoder, value: Any) -> Any:
    return _items_of, (dict(value),)


def _keys_of(keys: list[Any]) -> Any:
    return dict.fromkeys(keys).keys()


def _values_of(values: list[Any]) -> Any:
    return dict(enumerate(values)).values()


def _items_of(items: dict[Any, Any]) -> Any:
    return items.items()


def _constant(_: Encoder, value: Any) -> Any:
    """One of the objects that are compared by identity, which their module keeps under a name."""
    module = sys.modules[type(value).__module__]
    for name, held in vars(module).items():
        if held is value:
            return getattr, (module, name)
    return NotImplemented


_RULES: dict[type, Rule] = {
    types.MethodType: _by_value.method,
    types.CodeType: _by_value.code,
    types.CellType: _by_value.cell,
    types.ModuleType: _by_value.module,
    _by_value.Namespace: _by_value.namespace,
    _by_value.ModuleOver: _by_value.module_over,
    property: _property,
    classmethod: _wrapped,
    staticmethod: _wrapped,
    types.MappingProxyType: _mapping_proxy,
    type({}.keys()): _keys,
    type({}.values()): _values,
    type({}.items()): _items,
}


# Of modules that need not be loaded.
_RULES_BY_NAME: dict[tuple[str, str], Rule] = {
    ("manyhands._codec._fingerprint", "Names"): _by_value.names,
    **{("typing", name): _by_value.type_parameter for name in ("TypeVar", "ParamSpec", "TypeVarTuple")},
    **{("dataclasses", name): _constant for name in ("_FIELD_BASE", "_MISSING_TYPE", "_HAS_DEFAULT_FACTORY_CLASS", "_KW_ONLY_TYPE")},
}
