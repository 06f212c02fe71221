"""How one function is cached: what was said to ``Memory`` and to ``cache``."""

from __future__ import annotations

import os
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from manyhands._core.options import refuse
from manyhands._core.user_line import stacklevel
from manyhands.errors import NotStored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from manyhands.memory._entry import Meta
    from manyhands.memory._memory import Memory

_NOT_YET = (
    "it is a coroutine: a function without async calls one that has it. To mend it: make both coroutine functions (async def and await, or "
    "inspect.markcoroutinefunction), or return what comes of it"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """See :meth:`Memory.cache` for what they mean."""

    memory: Memory
    ignore: Sequence[str] = ()
    verbose: int = 0
    mmap_mode: Literal["r+", "r", "w+", "c"] | None = None
    validate: Callable[[Mapping[str, Any]], bool] | None = None
    version: object = None
    deps: Sequence[Any] = ()
    files: Sequence[Any] = ()
    env: Sequence[str] = ()

    def keep(self, key: bytes, value: Any, meta: Meta) -> None:
        """Store a result.

        Raises:
            NotStored: it cannot be. It has the result, as ``error.result``.
        """
        if isinstance(value, types.CoroutineType):
            self.say_not_stored(meta.function, TypeError(_NOT_YET), value)
            return
        try:
            self.memory.store_of(meta.function).put(key, value, meta)
        except Exception as error:  # noqa: BLE001 - whatever the disk, or __reduce__, raises
            self.say_not_stored(meta.function, error, value)

    def say_not_stored(self, function: str, error: Exception, value: Any) -> None:
        """A result of ``function``, or a part of it, cannot be stored.

        Raises:
            NotStored: unless it is to be a warning.
        """
        refusal = NotStored(function, error, value)
        if self.memory.on_not_stored == "raise":
            raise refusal from error
        warnings.warn(str(refusal), self.memory.warning, stacklevel=stacklevel())


def several(name: str, value: object) -> tuple[Any, ...]:
    """What was given for an argument that takes several names, paths or functions: a single one stands for itself.

    Raises:
        ValueError: it is none of these.
    """
    kinds, what = _ALLOWED[name]
    if value is None:
        return ()
    if isinstance(value, kinds):
        return (value,)
    if not isinstance(value, list | tuple | set | frozenset) or (name == "deps" and isinstance(value, set | frozenset)):
        raise refuse(name, value, f"{what}, or a list of several")
    if name != "deps" and not all(isinstance(one, kinds) for one in value):
        raise refuse(name, value, f"{what}, or a list of several")
    return tuple(value) if isinstance(value, list | tuple) else tuple(sorted(value, key=os.fspath))


# What a single one is of, and how it is called.
_ALLOWED: dict[str, tuple[tuple[Any, ...], str]] = {
    "ignore": ((str,), "the name of a parameter"),
    "files": ((str, os.PathLike), "a path"),
    "env": ((str,), "the name of an environment variable"),
    "deps": ((types.ModuleType, Callable), "a function, a class or a module"),
}
