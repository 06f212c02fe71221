""":func:`wrap_non_picklable_objects`: for what goes through somebody else's pickle. Our own workers need it for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._codec import _pickling

if TYPE_CHECKING:
    from collections.abc import Callable


class PickledByValue:
    """Stands for an object, and can be pickled by whoever pickles."""

    def __init__(self, obj: Any, keep_wrapper: bool = True) -> None:
        self._obj = obj
        self._keep_wrapper = keep_wrapper

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[bytes, bool]]:
        return _load, (_pickling.encode_whole(self._obj), self._keep_wrapper)

    def __getattr__(self, name: str) -> Any:
        if name in {"_obj", "_keep_wrapper"} or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        return getattr(self._obj, name)


class CallablePickledByValue(PickledByValue):
    """The same for what can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._obj(*args, **kwargs)


def wrap_non_picklable_objects(obj: Any, keep_wrapper: bool = True) -> Any:
    """An object that can be pickled where ``obj`` cannot: a function or a class that no module has under its name.

    Example:
        >>> import pickle
        >>> from manyhands.compat.joblib import wrap_non_picklable_objects
        >>> double = wrap_non_picklable_objects(lambda x: 2 * x)
        >>> pickle.loads(pickle.dumps(double))(4)
        8

    Args:
        obj: a function, a class, or any object; also as a decorator.
        keep_wrapper: what arrives is wrapped as well, so that it can be sent on.

    Calls of :class:`Parallel`, and all else that manyhands sends, need none of it.
    """
    if isinstance(obj, type):
        return _wrapped_class(obj, keep_wrapper)
    return _wrap(obj, keep_wrapper)


def _wrapped_class(cls: type, keep_wrapper: bool) -> type:
    class Wrapped(CallablePickledByValue):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(cls(*args, **kwargs), keep_wrapper)

    Wrapped.__name__, Wrapped.__qualname__, Wrapped.__doc__ = cls.__name__, cls.__qualname__, cls.__doc__
    return Wrapped


def _wrap(obj: Any, keep_wrapper: bool) -> PickledByValue:
    return (CallablePickledByValue if callable(obj) else PickledByValue)(obj, keep_wrapper)


def _load(payload: bytes, keep_wrapper: bool) -> Any:
    obj = _pickling.decode(payload)
    return _wrap(obj, keep_wrapper) if keep_wrapper else obj
