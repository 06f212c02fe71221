"""Sockets, and connections of ``multiprocessing``: in the pickle what they are made of, beside it a descriptor.

The descriptor is a copy, made when the object is pickled: what becomes of the program's own does not matter from then on. It is open as
long as anybody may still want to send it, and closed with the last reference.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

from manyhands._codec._mended import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    Parts = tuple[Callable[..., Any], tuple[Any, ...]]


class Handed(bytearray):
    """A descriptor as a buffer of a pickle, which lasts as long as this object. It holds nothing else.

    Among what a message brings, it takes the place of a piece of memory. ``received``: it came with a message, and there is one object to
    be made of it; otherwise those that are made have copies.
    """

    is_shared_memory = False
    is_descriptor = True
    spoiled = False

    def __init__(self, fd: int, *, received: bool) -> None:
        super().__init__(b"\0")  # what is empty is no buffer
        self.fd = fd
        self._received = received
        _all.add(self)

    def __hash__(self) -> int:  # type: ignore[override] # no other is equal
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def read(self, offset: int, length: int) -> bytes:
        """For messages."""
        return bytes(self[offset : offset + length])

    def taken(self) -> int:
        """A descriptor for the object that is made of it.

        Raises:
            ValueError: it is closed, or has been taken.
        """
        if self.fd < 0:
            msg = "its descriptor has been closed"
            raise ValueError(msg)
        if not self._received:
            return os.dup(self.fd)
        fd, self.fd = self.fd, -1
        return fd

    def close(self) -> None:
        """Nobody wants it any more."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


_all: weakref.WeakSet[Handed] = weakref.WeakSet()


def _let_go() -> None:
    """In a forked child: it would keep open what the parent has closed, and who listens would not see the end."""
    for handed in list(_all):
        handed.close()


os.register_at_fork(after_in_child=_let_go)


def received(fd: int) -> Handed:
    """What has come with a message; its descriptor remains the caller's.

    Raises:
        OSError: there is no room for one more.
    """
    return Handed(os.dup(fd), received=True)


# ------------------------------------------------------------ what it is made of


def holds_descriptor(value: Any) -> bool:
    """Whether it is one of those objects: a connection, or a socket without anything around it (TLS, say)."""
    return hasattr(type(value), "send_bytes") or _is_socket(value)


def _is_socket(value: Any) -> bool:
    return (type(value).__module__, type(value).__qualname__) == ("socket", "socket")


def copied_descriptor(value: Any) -> int:
    """A copy of its descriptor.

    Raises:
        Refused: there is none.
    """
    if is_closed(value):
        raise Refused("it is closed", of=value)
    try:
        return os.dup(value.fileno())
    except OSError as error:
        raise Refused(f"its descriptor cannot be copied: {error}", of=value) from None


def is_closed(value: Any) -> bool:
    """Whether the program has closed it."""
    return value.fileno() < 0 if _is_socket(value) else value.closed  # type: ignore[no-any-return]


def parts(value: Any) -> Parts:
    """``make, args``: ``make(descriptor, *args)`` is such an object again. Also of one that is closed."""
    if _is_socket(value):
        return make_socket, (int(value.family), int(value.type), value.proto, value.gettimeout())
    return make_connection, (type(value), value.readable, value.writable)


def reduced(value: Any, *, is_dry: bool) -> Any:
    """How it travels in a message; ``is_dry``: nothing is sent."""
    make, args = parts(value)
    if is_dry:
        return arrived, (None, make, args)
    from pickle import PickleBuffer  # noqa: PLC0415

    return arrived, (PickleBuffer(Handed(copied_descriptor(value), received=False)), make, args)


def arrived(view: Any, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What a message has brought."""
    fd = view.obj.taken()
    try:
        return make(fd, *args)
    except BaseException:
        os.close(fd)
        raise


def make_socket(fd: int, family: int, kind: int, proto: int, timeout: float | None) -> Any:
    """A socket for a descriptor. Its time-out, too: whether it blocks is a property of what all copies of the descriptor share."""
    import socket  # noqa: PLC0415 - who has no sockets need not load it

    made = socket.socket(family, kind, proto, fileno=fd)
    made.settimeout(timeout)
    return made


def make_connection(fd: int, cls: Callable[..., Any], readable: bool, writable: bool) -> Any:
    """A connection for a descriptor."""
    return cls(fd, readable=readable, writable=writable)
