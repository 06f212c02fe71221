"""Errors of objects that processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands.errors import ManyhandsError

if TYPE_CHECKING:
    from collections.abc import Iterable


class OwnerDied(ManyhandsError, ConnectionError):
    """The process that has a shared object is gone, and the object with it.

    Attributes:
        address: where it was.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__("the process that has the shared object is gone, and the object with it")

    def __reduce__(self) -> tuple[type[OwnerDied], tuple[str]]:
        return type(self), (self.address,)


class NotShared(ManyhandsError, ReferenceError):
    """An object is not shared any more: all proxies were gone, or it was closed.

    Attributes:
        number: of the object, in its process.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(
            "the object is not shared any more: it was closed, or nobody had a proxy of it for as long as a pickled one is waited for. "
            "Keep a proxy in the process that shares it, or share it with keep=True"
        )

    def __reduce__(self) -> tuple[type[NotShared], tuple[int]]:
        return type(self), (self.number,)


class NotExposed(ManyhandsError, AttributeError):
    """A name of a shared object that may not be used by others: it is not among those in ``expose``.

    Attributes:
        name, class_name: which, of an object of what class.
        exposed: those that may be used.
    """

    def __init__(self, name: str, class_name: str, exposed: Iterable[str]) -> None:
        self.class_name = class_name
        self.exposed = tuple(sorted(exposed))
        super().__init__(f"{name} of {class_name} is not exposed; what may be used is {', '.join(self.exposed) or 'nothing'}", name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.class_name, self.exposed)


class NameTaken(ManyhandsError, ValueError):
    """Another object is shared under the name already.

    Attributes:
        name: the name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"another object is shared under the name {name!r} already. Take another name, or have that one closed: "
            f"share.close(share.get({name!r}))"
        )

    def __reduce__(self) -> tuple[type[NameTaken], tuple[str]]:
        return type(self), (self.name,)


class NameUnknown(ManyhandsError, LookupError, TimeoutError):
    """No process of this user shares anything under the name.

    Attributes:
        name: the name.
        seconds: how long it was waited for.
        known: the names that there are.
    """

    def __init__(self, name: str, seconds: float, known: Iterable[str]) -> None:
        self.name = name
        self.seconds = seconds
        self.known = tuple(known)
        waited = f" within {seconds:g} s" if seconds else ""
        names = ", ".join(map(repr, self.known[:20])) or "none"
        super().__init__(f"nothing was shared under the name {name!r}{waited}; the names that there are: {names}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.seconds, self.known)


class ShareRefused(ManyhandsError, PermissionError):
    """A connection between two processes that share an object was refused, or its folder is not safe."""


class WouldDeadlock(ManyhandsError, RuntimeError):
    """A task of an event loop would wait for another one that cannot go on meanwhile, since both are of the same thread."""

    def __init__(self, *_: object) -> None:
        super().__init__(
            "another task of this event loop is in a transaction with the shared object, and cannot end it while this call waits for that. "
            "Use `async with lock(...)` here as well, or `await later(...).method()`"
        )


class LostUpdate(RuntimeWarning):
    """A caller wrote to a shared object what it had computed from a value that another has changed meanwhile: see ``share.debug()``."""


class LockAbandoned(RuntimeWarning):
    """The last one to hold a shared object died in the midst of its transaction: what it was changing may be half done. Said once."""


for _error in (OwnerDied, NotShared, NotExposed, NameTaken, NameUnknown, ShareRefused, WouldDeadlock, LostUpdate, LockAbandoned):
    _error.__module__ = "manyhands.errors"  # where users find them
