"""What a manager makes that the standard library has no class for outside of its managers."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class Namespace:
    """An object for attributes.

    Example:
        >>> Namespace(x=1, _y=2)
        Namespace(x=1)
    """

    def __init__(self, /, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __repr__(self) -> str:
        named = sorted(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(named)})"

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


class Value:
    """One value, under the name ``value``.

    Args:
        typecode: kept, and not looked at, as in ``multiprocessing.managers``.
        lock: the same.
    """

    def __init__(self, typecode: Any, value: Any, lock: bool = True) -> None:
        self._typecode = typecode
        self._value = value

    def get(self) -> Any:
        """It."""
        return self._value

    def set(self, value: Any) -> None:
        """Have another one."""
        self._value = value

    @property
    def value(self) -> Any:
        """The same."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._typecode!r}, {self._value!r})"


def new_array(typecode: str, sequence: Iterable[Any], lock: bool = True) -> array.array[Any]:
    """An ``array.array``."""
    return array.array(typecode, list(sequence))
