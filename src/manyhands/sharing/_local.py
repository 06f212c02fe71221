"""What the owner itself does with a shared object by its proxy: the same, without a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands.sharing import _arrivals, _asked, _callers, _coding, _operations

if TYPE_CHECKING:
    from manyhands.sharing._kinds import Kind
    from manyhands.sharing._monitors import Monitor
    from manyhands.sharing._table import Entry


class _Teller:
    method = _coding.IS_METHOD
    async_method = _coding.IS_ASYNC_METHOD
    is_far = False
    copies_views = False

    @staticmethod
    def atom(value: Any) -> Any:
        return value

    @staticmethod
    def value(value: Any) -> Any:
        return value

    @staticmethod
    def error(error: BaseException) -> Any:
        return error

    @staticmethod
    def copy(value: Any) -> Any:
        return _coding.decode(_coding.encode(value))

    @staticmethod
    def mention(obj: Any, root: Entry | None, kind: Kind | None = None) -> Any:
        return _arrivals.local(obj, root, kind)

    @staticmethod
    def hold_again(numbers: list[int]) -> None:
        """They come here by no other ways."""

    @staticmethod
    def taken(monitor: Monitor) -> None:
        """It ends with the thread's ``with`` block."""

    @staticmethod
    def cancel(stream: int, request: int, running: bool) -> bool:
        """What is asked for here, is cancelled here."""
        raise NotImplementedError

    @staticmethod
    def given(monitor: Monitor) -> None:
        monitor.leave()


teller = _Teller()


def do(entry: Entry, operation: int, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a request asks, for a caller of this process. Proxies of its own objects among the arguments are the objects."""
    if args or kwargs:
        args, kwargs = arguments(args, kwargs)
    caller = _callers.current()
    monitor = entry.monitor
    depth = monitor.depth if monitor.holder == caller else 0
    try:
        return _operations.perform(teller, caller, operation, entry.number, name, args, kwargs)
    except Exception:
        raise
    except BaseException:  # Ctrl-C, perhaps in the midst of taking the monitor or giving it back
        monitor.restore(caller, max(0, depth - 1) if operation == _asked.UNLOCK else depth)
        raise


def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments as the object gets them."""
    return tuple([_arrivals.itself(arg) for arg in args]), {name: _arrivals.itself(arg) for name, arg in kwargs.items()}
