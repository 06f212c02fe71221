"""The same face where nothing is kept: ``Memory(None)``."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from manyhands.memory._results import NotMemorizedResult
from manyhands.memory._roots import function_called

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class NotMemorizedFunc(Generic[P, T]):
    """A function, with the methods of :class:`MemorizedFunc`."""

    def __init__(self, function: Callable[P, T]) -> None:
        functools.update_wrapper(self, function)
        self.func: Callable[P, T] = function

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.func(*args, **kwargs)

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """The result, and what is known of it: nothing."""
        return self.func(*args, **kwargs), {}

    def call_and_shelve(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """The result, in an object with ``get()``."""
        return NotMemorizedResult(self.func(*args, **kwargs))

    def check_call_in_cache(self, /, *_: P.args, **__: P.kwargs) -> bool:
        """False: nothing is kept."""
        return False

    def why(self, /, *_: P.args, **__: P.kwargs) -> str:
        """Why this call would be computed."""
        return "it would be computed: this Memory has no location, and keeps nothing"

    def clear(self, warn: bool = True) -> None:
        """There is nothing to be removed."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else type(self)(functools.partial(self.func, instance))  # type: ignore[arg-type]

    def __reduce__(self) -> Any:
        return type(self), (self.func,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(func={self.func!r})"


class AsyncNotMemorizedFunc(NotMemorizedFunc[P, T]):
    """The same for a coroutine function."""

    async def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """The result, and what is known of it: nothing."""
        return await self.func(*args, **kwargs), {}  # type: ignore[misc]

    async def call_and_shelve(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """The result, in an object with ``get()``."""
        return NotMemorizedResult(await self.func(*args, **kwargs))  # type: ignore[misc]


def not_cached(function: Callable[..., Any]) -> NotMemorizedFunc[..., Any]:
    """The one or the other."""
    return AsyncNotMemorizedFunc(function) if inspect.iscoroutinefunction(function_called(function)) else NotMemorizedFunc(function)
