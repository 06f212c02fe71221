"""Calls of shared objects that are not waited for, and several calls in one message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands.sharing import _asked as ops
from manyhands.sharing import _words

if TYPE_CHECKING:
    from collections.abc import Callable


class _Calls:
    """Whatever is done with it is a call of a method of the object, by its name."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        self.__getattr__("__setattr__")(name, value)

    def __getitem__(self, key: Any) -> Any:
        return self.__getattr__("__getitem__")(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__getattr__("__setitem__")(key, value)

    def __delitem__(self, key: Any) -> None:
        self.__getattr__("__delitem__")(key)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__getattr__("__call__")(*args, **kwargs)


class _Later(_Calls):
    """What :func:`later` gives."""

    __slots__ = ("_manyhands_proxy", "_manyhands_reply")
    _manyhands_proxy: Any
    _manyhands_reply: bool

    def __init__(self, proxy: Any, reply: bool) -> None:
        object.__setattr__(self, "_manyhands_proxy", proxy)
        object.__setattr__(self, "_manyhands_reply", reply)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        from manyhands.sharing import _asking  # noqa: PLC0415 - it takes the engine's futures

        proxy, reply = self._manyhands_proxy, self._manyhands_reply
        return lambda *args, **kwargs: _asking.ask_later(proxy, name, args, kwargs, reply=reply)

    def __repr__(self) -> str:
        return f"later({self._manyhands_proxy!r})"


def later(shared: Any, *, reply: bool = True) -> Any:
    """``later(c).inc()``: call a method of a shared object without waiting for it; a future of what it returns.

    Example:
        >>> import manyhands
        >>> items = manyhands.share([3, 1, 2])
        >>> sorting = manyhands.later(items).sort()
        >>> lowest = manyhands.later(items).pop(0)
        >>> lowest.result()
        1

    The calls of a thread are run one after the other, in the order in which it makes them; those of coroutine methods, several at once. In
    a transaction (``with lock(c)``) they are run at once. The future is one of ``manyhands.Future``: it can be awaited, given to
    ``concurrent.futures.wait``, and cancelled: a call that has started goes on, unless it is a coroutine: ``cancel(running=True)``.

    Args:
        shared: what ``share()`` has given.
        reply: False: nothing comes back, and nothing is returned. What the call raises is logged in the process that has the object.

    Raises:
        TypeError: it is no shared object.
        NotSerializable: an argument cannot be sent.
        OwnerDied: the process that has it is gone; if it is found out later, it is in the future.
    """
    _words.reference_of(shared, "later")
    return _Later(shared, reply)


class Placeholder:
    """What a call in a ``with batch(...)`` block returns: its result is there after the block."""

    __slots__ = ("_outcome",)

    def __init__(self) -> None:
        self._outcome: tuple[Any] | None = None

    def result(self) -> Any:
        """What the call has returned.

        Raises:
            RuntimeError: the block has not ended, or one of the calls before it has failed.
        """
        if self._outcome is None:
            raise RuntimeError("there is no result: the batch has not been sent yet, or it has failed before this call")
        return self._outcome[0]

    def __repr__(self) -> str:
        return "<result of a batch, still to come>" if self._outcome is None else f"<result of a batch: {self._outcome[0]!r}>"


class _Recorder(_Calls):
    """Notes the calls."""

    __slots__ = ("_manyhands_calls", "_manyhands_results")
    _manyhands_calls: list[tuple[str, tuple[Any, ...], dict[str, Any] | None]]
    _manyhands_results: list[Placeholder]

    def __init__(self) -> None:
        object.__setattr__(self, "_manyhands_calls", [])
        object.__setattr__(self, "_manyhands_results", [])

    def __getattr__(self, name: str) -> Callable[..., Placeholder]:
        calls, results = self._manyhands_calls, self._manyhands_results

        def call(*args: Any, **kwargs: Any) -> Placeholder:
            placeholder = Placeholder()
            calls.append((name, args, kwargs or None))
            results.append(placeholder)
            return placeholder

        return call


class batch:
    """``with batch(c) as b:`` several calls in one message, with nobody else in between.

    Example:
        >>> import manyhands
        >>> items = manyhands.share([])
        >>> with manyhands.batch(items) as b:
        ...     appended = [b.append(n) for n in range(1000)]
        ...     last = b[-1]
        >>> last.result()
        999

    In the block, methods and items of ``b`` are those of the object, and give placeholders; the message goes at its end. Setting an
    attribute works as well, reading one does not: what ``b.name`` gives is called. If the block itself raises, nothing is sent.

    Raises:
        TypeError: it is no shared object.
        Exception: what the first call that fails has raised, at the end of the block; those before it have been made, those after not.
    """

    def __init__(self, shared: Any) -> None:
        self._reference = _words.reference_of(shared, "batch")
        self._recorder = _Recorder()

    def __enter__(self) -> Any:
        return self._recorder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        recorder, self._recorder = self._recorder, _Recorder()
        calls = recorder._manyhands_calls  # noqa: SLF001 - named so as not to clash with names of the object
        if kind is not None or not calls:
            return
        results, error = self._reference.request(ops.MANY, "", (calls,))
        for placeholder, result in zip(recorder._manyhands_results, results, strict=False):  # noqa: SLF001 - as above
            placeholder._outcome = (result,)  # noqa: SLF001 - made for this
        if error is not None:
            raise self._reference.raised(error)
