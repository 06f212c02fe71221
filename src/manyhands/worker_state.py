"""What each worker has of its own: a connection, a model, a random generator."""

from __future__ import annotations

import atexit
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from manyhands._codec import _identity
from manyhands._core import worker_ids

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def worker_id() -> int | None:
    """The number of the worker that runs this code, from 0 on; None in the program itself.

    The least that no other worker of the same executor, or of those that all calls share, has at the time: with four workers it is below 4,
    also after one has been replaced. For what there is one of for each worker: a graphics card, a port, a folder.

    Example:
        >>> import manyhands
        >>> sorted(set(manyhands.map(lambda _: manyhands.worker_id(), range(100), workers=2, chunk=1))) in ([0], [0, 1])
        True

    Of ``backend="threads"``, it is the thread's; of ``"sequential"`` 0. Workers of several executors may have the same number.
    """
    return worker_ids.current()


class PerWorker(Generic[T]):
    """What :func:`per_worker` returns: call it for the object of the process that it is called in."""

    def __init__(self, factory: Callable[[], T], close: Callable[[T], object] | None) -> None:
        self._factory = factory
        self._close = close
        self._lock = threading.Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        """The object of this process; the first call makes it.

        Raises:
            Exception: what the factory raises; the next call tries again.
        """
        if not self._made:
            with self._lock:
                if not self._made:
                    self._make()
        return self._made[0]

    if not TYPE_CHECKING:  # or a type checker would let every attribute pass

        def __getattr__(self, name):  # noqa: ANN001, ANN204
            hint = "" if name.startswith("__") else f"; call it for the object of this process, which may have one: database().{name}"
            raise AttributeError(f"{type(self).__name__!r} object, as per_worker() makes it, has no attribute {name!r}{hint}")

    def _make(self) -> None:
        made: Any = self._factory()
        if isinstance(made, contextlib.AbstractContextManager) and hasattr(made, "gen"):  # of contextlib.contextmanager
            entered = made.__enter__()
            atexit.register(made.__exit__, None, None, None)
            self._made.append(entered)
            return
        self._made.append(made)
        close = self._close or (type(made).close if callable(getattr(type(made), "close", None)) else None)
        if close is not None:
            atexit.register(close, made)

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (_identity.token_of(self), self._factory, self._close)

    def __repr__(self) -> str:
        name = getattr(self._factory, "__qualname__", repr(self._factory))
        return f"<per_worker({name}), {'made' if self._made else 'not made'} in this process>"


def per_worker(factory: Callable[[], T], *, close: Callable[[T], object] | None = None) -> PerWorker[T]:
    """An object that each worker makes for itself, once, when a task first asks for it.

    For what cannot travel, or takes long to make: connections, models, generators of random numbers.

    Example:
        >>> import sqlite3, manyhands
        >>> database = manyhands.per_worker(lambda: sqlite3.connect(":memory:"))
        >>> def query(x):
        ...     return database().execute("select ?", (x,)).fetchone()[0]
        >>> manyhands.map(query, [1, 2])
        [1, 2]

    Args:
        factory: called without arguments, in each process that asks. If it gives what ``contextlib.contextmanager`` has made, that is
            entered, and left at the end.
        close: called with the object when its process ends; by default its own ``close()``, if it has one.

    **Promises.** One object for each process, whichever tasks and threads ask for it, and whichever way the ``PerWorker`` came. It is
    closed when the worker leaves; not when that is killed. Where no worker is involved (``backend="threads"``, or the program itself),
    the program has one, too.

    Raises:
        TypeError: ``factory`` cannot be called.
    """
    if not callable(factory):
        msg = f"factory is {factory!r:.60}; it must be callable without arguments, like a function or a lambda"
        raise TypeError(msg)
    return PerWorker(factory, close)


_kept: dict[bytes, PerWorker[Any]] = {}  # they live as long as the process, like what they have made


def _received(token: bytes, factory: Callable[[], Any], close: Callable[[Any], object] | None) -> PerWorker[Any]:
    found: PerWorker[Any] | None = _identity.known(token)
    if found is None:
        found = _kept[token] = PerWorker(factory, close)
        _identity.keep(token, found)
    return found
