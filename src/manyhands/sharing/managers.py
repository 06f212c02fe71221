"""``Manager()``: shared objects that live in a process of their own, under the names of ``multiprocessing.Manager``."""

from __future__ import annotations

import builtins
import importlib
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from manyhands.sharing import _keepers, _plain_things, _primitives

if TYPE_CHECKING:
    import array
    from collections.abc import Callable, Iterable

    from manyhands.pool import Pool

T = TypeVar("T")


class Manager:
    """Makes objects in a process of their own, and gives their proxies, which all processes can use.

    Example:
        >>> from manyhands import Manager
        >>> import manyhands
        >>> def note(word):
        ...     with lock:
        ...         words.setdefault(word[0], []).append(word)
        >>> with Manager() as manager:
        ...     words, lock = manager.dict(), manager.Lock()
        ...     manyhands.map(note, ["ant", "bee", "ape"])
        ...     sorted(words["a"]), len(words)
        [None, None, None]
        (['ant', 'ape'], 2)

    The process is started by :meth:`start`, by ``with``, or when the first object is made. It ends with the ``with`` block, by
    :meth:`shutdown`, or with the program, whatever ends that; then the objects are gone, and whoever has a proxy is told so by
    ``OwnerDied``. Ctrl-C does not end it.

    **Promises.** Each operation is atomic, and changes of what is in a container (``words["a"].append(...)``) change the original, at
    whatever depth. ``Lock``, ``RLock``, ``Semaphore``, ``BoundedSemaphore`` and ``Condition`` are given back when a process dies that has
    them; whoever takes such a lock next gets a ``LockAbandoned`` warning. A process that dies while it waits at a ``Queue`` takes no item
    along, does not count for a ``Condition``, and breaks a ``Barrier``. All waits take a ``timeout`` in seconds.

    Raises:
        CannotStart: the machine has no room for a process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keeper: _keepers.Keeper | None = None
        self._is_over = False

    # ------------------------------------------------------------ its life

    def start(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Start its process; ``initializer(*initargs)`` is called there.

        Raises:
            RuntimeError: it has been shut down.
            TypeError: the initializer is not callable.
            Exception: what the initializer raises.
        """
        if initializer is not None and not callable(initializer):
            msg = f"initializer={initializer!r:.60} is not callable"
            raise TypeError(msg)
        keeper = self._started()
        if initializer is not None:
            try:
                keeper.new(_initialized, initializer, tuple(initargs))
            except BaseException:
                self.shutdown()
                raise

    def _started(self) -> _keepers.Keeper:
        with self._lock:
            if self._is_over:
                msg = "this manager has been shut down"
                raise RuntimeError(msg)
            if self._keeper is None:
                self._keeper = _keepers.start()
            return self._keeper

    def shutdown(self) -> None:
        """End its process, and all objects with it. More than once is no error."""
        with self._lock:
            self._is_over = True
            keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()

    def __enter__(self) -> Self:
        self._started()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    @property
    def address(self) -> str | None:
        """Where its process can be reached; None: it has none."""
        return None if self._keeper is None else self._keeper.address

    @property
    def pid(self) -> int | None:
        """Of its process; None: it has none."""
        return None if self._keeper is None else self._keeper.pid

    def __repr__(self) -> str:
        state = "shut down" if self._is_over else "not started" if self._keeper is None else f"process {self._keeper.pid}"
        return f"<manyhands.Manager, {state}>"

    # ------------------------------------------------------------ what it makes

    def new(self, factory: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What ``factory(*args, **kwargs)`` makes in its process: an object of any class."""
        return self._started().new(factory, *args, **kwargs)

    def dict(self, *args: Any, **kwargs: Any) -> builtins.dict[Any, Any]:
        """A dict."""
        return self.new(builtins.dict, *args, **kwargs)

    def list(self, iterable: Iterable[T] = ()) -> builtins.list[T]:
        """A list."""
        return self.new(builtins.list, _sendable(iterable))

    def set(self, iterable: Iterable[T] = ()) -> builtins.set[T]:
        """A set."""
        return self.new(builtins.set, _sendable(iterable))

    def Namespace(self, /, **attributes: Any) -> _plain_things.Namespace:
        """An object for attributes."""
        return self.new(_plain_things.Namespace, **attributes)

    def Value(self, typecode: Any, value: Any, lock: bool = True) -> _plain_things.Value:
        """One value, under the name ``value``. ``v.value += 1`` is two operations: do it in ``with manyhands.lock(v)``."""
        return self.new(_plain_things.Value, typecode, value, lock)

    def Array(self, typecode: str, sequence: Iterable[Any], lock: bool = True) -> array.array[Any]:
        """An ``array.array``."""
        return self.new(_plain_things.new_array, typecode, _sendable(sequence), lock)

    def Queue(self, maxsize: int = 0) -> _primitives.Queue:
        """A queue, with the methods of ``queue.Queue``."""
        return self.new(_primitives.Queue, maxsize)

    def JoinableQueue(self, maxsize: int = 0) -> _primitives.JoinableQueue:
        """The same."""
        return self.new(_primitives.JoinableQueue, maxsize)

    def Lock(self) -> _primitives.Lock:
        """A lock."""
        return self.new(_primitives.Lock)

    def RLock(self) -> _primitives.RLock:
        """A lock that its holder may take again."""
        return self.new(_primitives.RLock)

    def Semaphore(self, value: int = 1) -> _primitives.Semaphore:
        """A semaphore."""
        return self.new(_primitives.Semaphore, value)

    def BoundedSemaphore(self, value: int = 1) -> _primitives.BoundedSemaphore:
        """A semaphore that cannot be released more often than acquired."""
        return self.new(_primitives.BoundedSemaphore, value)

    def Condition(self, lock: _primitives.Lock | None = None) -> _primitives.Condition:
        """A condition, with a lock of this manager, or one of its own."""
        return self.new(_primitives.Condition, lock)

    def Event(self) -> _primitives.Event:
        """An event."""
        return self.new(_primitives.Event)

    def Barrier(self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None) -> _primitives.Barrier:
        """A barrier; the action is called in the manager's process."""
        return self.new(_primitives.Barrier, parties, action, timeout)

    def Pool(self, *args: Any, **kwargs: Any) -> Pool:
        """A :class:`manyhands.Pool` that all processes can give work to."""
        return cast("Pool", self.new(new_pool, *args, **kwargs))


def _sendable(iterable: Iterable[T]) -> Iterable[T]:
    """An iterator lives in the process that has it: what it gives is sent."""
    return builtins.list(iterable) if hasattr(type(iterable), "__next__") else iterable


def _initialized(initializer: Callable[..., object], initargs: tuple[Any, ...]) -> None:
    initializer(*initargs)


def new_pool(*args: Any, **kwargs: Any) -> Any:
    return importlib.import_module("manyhands.pool").Pool(*args, **kwargs)
