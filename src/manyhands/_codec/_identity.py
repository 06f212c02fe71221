"""Which class here is which class there.

A class that travels by value arrives in a process again and again, and must be one class there: it is given a token where it is from. A
process keeps what it has received under its token, and sends it under the same token, so that what comes home is the original.
"""

from __future__ import annotations

import itertools
import os
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_HOME = 8  # bytes at the start of a token: of the process that made it


class _Here:
    def __init__(self) -> None:
        self.name = os.urandom(_HOME)
        self.numbers = itertools.count()
        self.tokens: dict[int, tuple[Callable[[], object], bytes]] = {}  # by id: a class may have an __eq__ without a __hash__
        self.objects: dict[bytes, Callable[[], object]] = {}


_here = _Here()
versions: dict[bytes, bytes] = {}  # by token: what this process knows a class of another as (``_class_references.py``)


def _be_another() -> None:
    # What was made before the fork is the parent's, which may change it.
    _here.name = os.urandom(_HOME)


os.register_at_fork(after_in_child=_be_another)


def token_of(obj: object) -> bytes:
    """The token of an object: what it came with, else one of its own."""
    entry = _here.tokens.get(id(obj))
    if entry is not None and entry[0]() is obj:
        return entry[1]
    token = _here.name + next(_here.numbers).to_bytes(8, "little")
    keep(token, obj)
    return token


def keep(token: bytes, obj: object) -> None:
    """From now on ``token`` stands for ``obj`` here, as long as that lives; for ever if it has no room for a weak reference."""
    key = id(obj)

    def forget(gone: object) -> None:
        entry = _here.tokens.get(key)
        if entry is not None and entry[1] == token:
            del _here.tokens[key]
        if _here.objects.get(token) is gone:  # another may have taken its place
            del _here.objects[token]

    try:
        reference: Callable[[], object] = weakref.ref(obj, forget)
    except TypeError:
        reference = lambda: obj  # noqa: E731 - it takes the place of the other
    _here.tokens[key] = reference, token
    _here.objects[token] = reference


def known(token: bytes) -> Any:
    """The object that a token stands for here; None if there is none."""
    reference = _here.objects.get(token)
    return None if reference is None else reference()


def here() -> bytes:
    """What the tokens begin with that this process makes."""
    return _here.name


def is_from_here(token: bytes) -> bool:
    """Whether this process has made the token: what it stands for is the original."""
    return token.startswith(_here.name)


def shared(value: object) -> str:
    """What stands for an object that is one and the same in all processes; empty for others."""
    tell = getattr(type(value), "__shared_identity__", None)
    return "" if tell is None else tell(value)
