"""Both sides of a connection prove that they know the key, and neither sends it: mutual challenge and response with HMAC-SHA256.

::

    client                                   owner
    magic, version, nonce            ──▶
                                     ◀──     nonce, proof("owner", both nonces)
    proof("client", both), who it is ──▶
                                     ◀──     ready
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import struct
import threading
import time
from typing import NamedTuple

from manyhands import errors

_MAGIC = b"manyhands share 1\n"
_NONCE = 32
_PROOF = 32
_READY = b"ready"
_SECONDS = 10.0
TOKEN = 8
# OpenSSL has locks of its own, and ``hmac.digest`` lets other threads run meanwhile: a child that is forked then would wait for one for
# ever in its first proof. So nobody forks while a thread is in there. It may be taken again: a signal's handler may fork.
_proving = threading.RLock()
os.register_at_fork(before=_proving.acquire, after_in_parent=_proving.release, after_in_child=_proving.release)


class Proven(NamedTuple):
    """Both sides know the key.

    Attributes:
        token: of the process that has connected.
        to_owner, to_client: keys of this connection alone, for what is sent each way.
    """

    token: bytes
    to_owner: bytes
    to_client: bytes


def as_owner(connected: socket.socket, key: bytes) -> bytes | None:
    """The token of the process at the other side, if it knows the key; None if it does not."""
    proven = prove_as_owner(connected, key)
    return None if proven is None else proven.token


def prove_as_owner(connected: socket.socket, key: bytes) -> Proven | None:
    """The same with the keys of the connection. The other side has ten seconds for all of it."""
    until = time.monotonic() + _SECONDS
    try:
        if connected.family == socket.AF_UNIX and _user(connected) != os.geteuid():
            return None
        hello = _exactly(connected, len(_MAGIC) + _NONCE, until)
        if hello[: len(_MAGIC)] != _MAGIC:
            return None
        theirs, mine = hello[len(_MAGIC) :], os.urandom(_NONCE)
        connected.sendall(mine + _proof(key, b"owner", theirs, mine))
        answer = _exactly(connected, _PROOF + TOKEN, until)
        token = answer[_PROOF:]
        if not hmac.compare_digest(answer[:_PROOF], _proof(key, b"client", theirs, mine, token)):
            return None
        connected.sendall(_READY)
        connected.settimeout(None)
    except (OSError, EOFError):
        return None
    return _proven(key, token, theirs, mine)


def as_client(connected: socket.socket, key: bytes, token: bytes) -> Proven:
    """Prove to the owner that this process knows the key, and have it prove the same.

    Raises:
        ShareRefused: it does not know it, or does not speak this language.
        OSError: it is gone.
    """
    until = time.monotonic() + _SECONDS
    mine = os.urandom(_NONCE)
    try:
        connected.settimeout(_SECONDS)
        connected.sendall(_MAGIC + mine)
        answer = _exactly(connected, _NONCE + _PROOF, until)
        theirs = answer[:_NONCE]
        if not hmac.compare_digest(answer[_NONCE:], _proof(key, b"owner", mine, theirs)):
            raise errors.ShareRefused("the process that listens there does not know the key of the one that shared the object")
        connected.sendall(_proof(key, b"client", mine, theirs, token) + token)
        _exactly(connected, len(_READY), until)
    except EOFError:
        raise errors.ShareRefused("the process that shares the object has refused the connection: another user, or another key") from None
    connected.settimeout(None)
    return _proven(key, token, mine, theirs)


def _proof(key: bytes, role: bytes, *parts: bytes) -> bytes:
    with _proving:
        return hmac.digest(key, role + b"".join(parts), hashlib.sha256)


def _proven(key: bytes, token: bytes, *nonces: bytes) -> Proven:
    return Proven(token, _proof(key, b"sent to owner", *nonces, token), _proof(key, b"sent to client", *nonces, token))


def _user(connected: socket.socket) -> int:
    """Whose process is at the other side, as the kernel says."""
    peer = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", peer)[1])


def _exactly(connected: socket.socket, size: int, until: float) -> bytes:
    """So many bytes. The time is for all of them: whoever sends one after the other would keep a thread busy for long."""
    data = b""
    while len(data) < size:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connected.settimeout(left)
        more = connected.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
