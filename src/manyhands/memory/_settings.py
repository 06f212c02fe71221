"""How one function is cached: what was said to ``Memory`` and to ``cache``."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from manyhands.errors import NotStored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from manyhands.memory._entry import Meta
    from manyhands.memory._memory import Memory


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
        try:
            self.memory.store_of(meta.function).put(key, value, meta)
        except Exception as error:
            refusal = NotStored(meta.function, error, value)
            if self.memory.on_not_stored == "raise":
                raise refusal from error
            warnings.warn(str(refusal), self.memory.warning, stacklevel=4)
