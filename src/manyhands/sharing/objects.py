"""Objects that several processes have in common."""

from __future__ import annotations

import os
import types
import warnings
from typing import TYPE_CHECKING, Any, TypeVar, cast

from manyhands import errors
from manyhands._core.options import refuse
from manyhands.sharing import _asked as ops
from manyhands.sharing import _words

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    from manyhands.sharing._listening import Listener
    from manyhands.sharing.records import record as record_

T = TypeVar("T")
R = TypeVar("R")


class _Share(_words.Words):
    """``share(obj)``: the live object stays in this process; others get a proxy, and what they do with that they do with the object.

    Example:
        >>> import manyhands
        >>> from collections import Counter
        >>> words = manyhands.share(Counter())
        >>> def count(text):
        ...     words.update(text.split())
        >>> manyhands.map(count, ["a b", "b c b"])
        [None, None]
        >>> words["b"], len(words)
        (3, 3)

    Args:
        obj: any object. Of a number, a text or another value that cannot be changed, a box is shared: ``n = share(0); n += 1``.
        name: by which any process of this user finds it, with ``share.get(name)``, until it is closed with ``share.close``.
        keep: it is kept until it is closed, or this process ends, although all proxies are gone.
        expose: names that other processes may use of it, special methods among them; others raise ``NotExposed``. None: all.

    Raises:
        NameTaken: another object has that name.
    """

    __slots__ = ()

    def __call__(self, obj: T, *, name: str | None = None, keep: bool = False, expose: Iterable[str] | None = None) -> T:
        return cast("T", _words.shared(obj, name, expose, keep=keep))

    if TYPE_CHECKING:
        record = staticmethod(record_)
    else:

        @property
        def record(self) -> Any:
            """See :func:`manyhands.sharing.records.record`."""
            from manyhands.sharing import records  # noqa: PLC0415 - who has none need not load it

            return records.record

    @staticmethod
    def listen(
        address: str,
        *,
        key: bytes | str | None = None,
        expose: Mapping[str, Any] | Iterable[str],
        tls: ssl.SSLContext | None = None,
        limit: int = 64 << 20,
    ) -> Listener:
        """Let programs on other machines use objects of this one: :meth:`connect` gives them proxies.

        Example:
            >>> import secrets
            >>> from collections import Counter
            >>> from manyhands import share
            >>> key = secrets.token_bytes(32)
            >>> with share.listen("tcp://127.0.0.1:0", key=key, expose={"words": share(Counter())}) as listener:
            ...     words = share.connect(f"{listener.address}/words", key=key)
            ...     words.update(["a", "b", "a"])
            ...     words["a"]
            2

        Args:
            address: ``tcp://host:port``; port 0 has the system choose one.
            key: a secret of at least 16 bytes, which both sides prove to know and neither sends.
            expose: what may be used: a name for each object, or ``name.method`` for one method of it; or a list of these, for objects that
                have been shared under names. Of an object, its public names and its operators can be used; whoever has the key can do
                with it what these do.
            tls: for connections that nobody can listen to: a context with a certificate. Without it, what goes over them cannot be changed
                or repeated by others, but read.
            limit: bytes of one message.

        Returns:
            What listens: a context manager, with ``close()`` and ``address``.

        **Promises.** Only data come in and go out: numbers, text, containers, dates, arrays; nothing that arrives is unpickled. Containers
        and iterators that an object holds go by reference, anything else that is no data is refused. A transaction of a machine that is
        gone is given up within a minute.

        Raises:
            ValueError: the key is missing or short, nothing is exposed, a name is not known, or the address is none.
            OSError: the address cannot be listened at.
        """
        from manyhands.sharing import _listening  # noqa: PLC0415 - few programs listen

        return _listening.listen(address, key, expose, tls, limit)

    @staticmethod
    def connect(address: str, *, key: bytes | str | None = None, tls: ssl.SSLContext | None = None, limit: int = 64 << 20) -> Any:
        """The proxy of an object of another machine: ``tcp://host:port/name``. See :meth:`listen`.

        It is used as any other, by all threads of this process, and by children that it forks; it cannot be pickled.

        Raises:
            ValueError: the key is missing or short, or the address is none.
            OwnerDied: nobody listens there.
            ShareRefused: the key is another, or nothing is exposed under that name.
        """
        from manyhands.sharing import _distant, _places  # noqa: PLC0415 - as above

        place = _places.place_of(address)
        return _distant.Machine(place, _places.checked_key(key), tls, limit).open(place.name)

    def __repr__(self) -> str:
        return "<manyhands.share>"


share = _Share()
if os.environ.get("MANYHANDS_SHARE_DEBUG", "0") not in {"", "0"}:
    share.debug()


def snapshot(shared: T) -> T:
    """A plain copy of a shared object, in this process."""
    return cast("T", _words.reference_of(shared, "snapshot").request(ops.SNAPSHOT, ""))


def local(shared: object) -> types.SimpleNamespace:
    """Attributes of this process's proxy only."""
    reference = _words.reference_of(shared, "local")
    if reference.local is None:
        reference.local = types.SimpleNamespace()
    return cast("types.SimpleNamespace", reference.local)


class lock:
    """``with lock(shared, timeout=None):`` a transaction: nobody else does anything with the object meanwhile.

    Example:
        >>> import manyhands
        >>> counts = manyhands.share({"a": 1})
        >>> with manyhands.lock(counts, timeout=5):
        ...     counts["a"] += 1
        >>> counts
        {'a': 2}

    A part of an object has the lock of the whole. It can be taken again by who has it; it ends when its holder dies, and the next one is
    told so by a ``LockAbandoned`` warning. ``async with`` does the same for a task of an event loop, which goes on while the task waits: it
    excludes other tasks as well, and a plain call of one of those raises ``WouldDeadlock`` meanwhile.

    Raises:
        TypeError: it is no shared object.
        ValueError: ``timeout`` is no number.
        TimeoutError: it was not free for ``timeout`` seconds; None: wait for ever.
        OwnerDied: the process that has it is gone.
    """

    def __init__(self, shared: object, timeout: float | None = None) -> None:
        self._reference = _words.reference_of(shared, "lock")
        if not (timeout is None or isinstance(timeout, int | float)):
            raise refuse("timeout", timeout, "a number of seconds, or None to wait for ever")
        self._timeout = timeout
        self._token: Any = None

    def __enter__(self) -> None:
        taken, abandoned = self._reference.lock(self._timeout)
        try:
            self._check(taken, abandoned)
        except BaseException:  # Ctrl-C, or a warning where these are errors: the block is not entered
            if taken:
                self._reference.unlock()
            raise

    def _check(self, taken: bool, abandoned: bool) -> None:
        if not taken:
            raise TimeoutError(f"the shared {self._reference.kind.name} was not free for {self._timeout} s")
        if abandoned:
            warnings.warn(
                f"whoever held the shared {self._reference.kind.name} last died in the midst of a transaction",
                errors.LockAbandoned,
                stacklevel=3,
            )

    async def __aenter__(self) -> None:
        """Of a task: it alone has the object, and the event loop goes on while it waits for that."""
        from manyhands.sharing import _async_locks  # noqa: PLC0415 - asyncio takes 40 ms

        taken, abandoned, self._token = await _async_locks.take(self._reference, self._timeout)
        try:
            self._check(taken, abandoned)
        except Warning:  # as above
            _async_locks.give_back(self._reference, self._token)
            raise

    async def __aexit__(self, *_: object) -> None:
        from manyhands.sharing import _async_locks  # noqa: PLC0415 - it is loaded

        _async_locks.give_back(self._reference, self._token)

    def __exit__(self, *_: object) -> None:
        self._reference.unlock()

    @staticmethod
    def run(shared: object, fn: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """``fn(object, *args, **kwargs)``, where the object is, and nobody else in between: one message."""
        return cast("R", _words.reference_of(shared, "lock.run").request(ops.RUN, "", (fn, *args), kwargs))
