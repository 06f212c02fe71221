"""The special methods of shared objects, as Python itself runs them: ``a + b`` asks both sides."""

from __future__ import annotations

import copy
import math
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "matmul": operator.matmul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "divmod": divmod,
    "lshift": operator.lshift,
    "rshift": operator.rshift,
    "and": operator.and_,
    "xor": operator.xor,
    "or": operator.or_,
}
_COMPARING = {f"__{name}__": getattr(operator, name) for name in ("lt", "le", "eq", "ne", "gt", "ge")}
_INPLACE = {
    f"__i{name}__": getattr(operator, f"i{name}")
    for name in ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "xor", "or")
}


def _reflected(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda obj, other: operation(other, obj)


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{f"__{name}__": operation for name, operation in _BINARY.items()},
    **{f"__r{name}__": _reflected(operation) for name, operation in _BINARY.items()},
    **_COMPARING,
    **_INPLACE,
    "__pow__": pow,
    "__rpow__": lambda obj, other, modulo=None: pow(other, obj, modulo),
    "__neg__": operator.neg,
    "__pos__": operator.pos,
    "__abs__": abs,
    "__invert__": operator.invert,
    "__int__": int,
    "__float__": float,
    "__complex__": complex,
    "__index__": operator.index,
    "__bool__": bool,
    "__round__": round,
    "__trunc__": math.trunc,
    "__floor__": math.floor,
    "__ceil__": math.ceil,
    "__len__": len,
    "__length_hint__": operator.length_hint,
    "__getitem__": operator.getitem,
    "__setitem__": operator.setitem,
    "__delitem__": operator.delitem,
    "__contains__": operator.contains,
    "__iter__": iter,
    "__reversed__": reversed,
    "__next__": next,
    "__call__": lambda obj, *args, **kwargs: obj(*args, **kwargs),
    "__hash__": hash,
    "__repr__": repr,
    "__str__": str,
    "__format__": format,
    "__bytes__": bytes,
    "__dir__": dir,
    "__copy__": copy.copy,
}
