"""Classes of a script, in arguments and results: named by their tokens, so that each process is sent what they consist of only once.

::

    sender                                    worker
    Point(1, 2) ── token, version ──────────▶ known? then that class
    what it consists of ◀── want ───────────  else: ask
    by value ───────────────────────────────▶ made, or changed to that version
    the original ◀── token ─────────────────  in a result

The version is a digest of all that the class takes along. As long as a few comparisons tell that nothing of it has changed, it is not made
anew. A class that has been sent and has changed since goes by value from then on: tasks of both versions are under way. With functions,
classes go by value in any case: what they have in common must be one object.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._codec import _digests, _identity, _pickling
from manyhands._codec._captures import Captures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from manyhands._codec._pickling import Encoder

_MOST = 20_000
_LARGE = 65536
_VERSION = 16  # bytes


class _Sent:
    """A class as it was when it was sent last. It is kept: results will name it."""

    __slots__ = ("_as_sent", "_has_changed", "cls")

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self._has_changed = False
        # What tells that nothing has changed; version; pickle. All at once: other threads send it as well.
        self._as_sent: tuple[Captures, bytes, bytes] | None = None

    def version(self, on_stale: str | None) -> bytes | None:
        """That which was sent, if the class is what it was; None if it has to go by value."""
        if self._has_changed:
            return None
        if self._as_sent is not None:
            captures, version, _ = self._as_sent
            if not captures.mutable and not captures.changed():
                return version
        return self._describe(on_stale)

    def _describe(self, on_stale: str | None) -> bytes | None:
        captures = Captures(self.cls, global_names=True)  # before it is encoded: what changes meanwhile has changed
        try:
            packed = _pickling.encode_whole(self.cls, on_stale)
        except errors.NotSerializable:
            return None
        if len(packed) >= _LARGE:
            return None
        version = _digests.of(packed)
        if self._as_sent is not None and self._as_sent[1] != version:
            self._has_changed = True
            return None
        self._as_sent = captures, version, packed
        return version

    def packed(self, version: bytes) -> bytes | None:
        """What was sent, if it was that version."""
        return self._as_sent[2] if self._as_sent is not None and self._as_sent[1] == version else None


_sent: OrderedDict[bytes, _Sent] = OrderedDict()  # by token


def lend(cls: type) -> _Sent:
    """Keep a class that is sent, by value or by reference, so that what comes home finds it."""
    token = _identity.token_of(cls)
    entry = _sent.get(token)
    if entry is None or entry.cls is not cls:
        entry = _sent[token] = _Sent(cls)
        if len(_sent) > _MOST:
            _sent.popitem(last=False)
    return entry


def reference(encoder: Encoder, cls: type) -> Any:
    """For the pickler: a class in arguments; None if it has to go by value, with what must not be in a pickle."""
    version = lend(cls).version(encoder.on_stale)
    return None if version is None else (known_class, (_identity.token_of(cls), version, cls.__qualname__))


def home_reference(cls: type) -> Any:
    """For the pickler: a class in results; None if it is not known to be from where they go: from here, or a worker of this process's."""
    token = _identity.token_of(cls)
    known = token in _identity.versions or (_pickling.home and token.startswith(_pickling.home))
    return (original_class, (token, cls.__qualname__)) if known else None


def known_class(token: bytes, version: bytes, name: str) -> type:
    """The class that a token stands for, in that version.

    Raises:
        StaleCode: it is not known any more where it is from.
    """
    found: type | None = _identity.known(token)
    if found is not None and (_identity.is_from_here(token) or _identity.versions.get(token) == version):
        return found
    if _pickling.ask is None:
        raise errors.StaleCode(name, "it is not known here", "this process is no worker, and cannot ask for it")
    made: type = _pickling.ask([("", name, token + version)], "does not know the class")
    _identity.versions[token] = version
    return made


def original_class(token: bytes, name: str) -> type:
    """The class that came home.

    Raises:
        StaleCode: there is no such class any more.
    """
    found: type | None = _identity.known(token)
    if found is None:
        raise errors.StaleCode(name, "it is not known here any more", "a result holds an instance of it")
    return found


def described(keys: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """What some classes consist of, by what is asked for, as far as that is still known: for a pickle that outlives this process."""
    for key in dict.fromkeys(keys):
        entry = _sent.get(key[:-_VERSION])
        packed = None if entry is None else entry.packed(key[-_VERSION:])
        if packed is not None:
            yield key, packed


def received(key: bytes, packed: bytes) -> type:
    """The class that a pickle names so, from what :func:`described` has given."""
    made: type = _pickling.decode(packed)
    _identity.versions[key[:-_VERSION]] = key[-_VERSION:]
    return made


def answer(name: str, key: bytes) -> bytes:
    """What a worker asks for.

    Raises:
        StaleCode: it was sent too long ago.
    """
    entry = _sent.get(key[:-_VERSION])
    packed = None if entry is None else entry.packed(key[-_VERSION:])
    if packed is None:
        raise errors.StaleCode(name, "the worker does not know it", "here it is not known any more")
    return packed
