"""Where machines meet: addresses, keys, sockets."""

from __future__ import annotations

import socket
from typing import NamedTuple
from urllib.parse import urlsplit

LEAST_KEY = 16
SECONDS = 10.0  # to connect, and for the other side to prove that it knows the key


class Place(NamedTuple):
    """Where machines meet."""

    host: str
    port: int
    name: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}" + (f"/{self.name}" if self.name else "")


def place_of(address: str) -> Place:
    """The parts of an address.

    Raises:
        ValueError: it is none.
    """
    try:
        parts = urlsplit(address)
        if parts.scheme == "tcp" and parts.hostname and parts.port is not None and not parts.query and not parts.username:
            return Place(parts.hostname, parts.port, parts.path.removeprefix("/"))
    except ValueError:
        pass
    raise ValueError(f"{address!r:.80} is no address; one is tcp://host:port, or tcp://host:port/name")


def checked_key(key: bytes | str | None) -> bytes:
    """The key as bytes.

    Raises:
        ValueError: there is none, or it is short.
    """
    raw = key.encode() if isinstance(key, str) else bytes(key or b"")
    if len(raw) < LEAST_KEY:
        said = f"a key of {len(raw)} bytes" if raw else "no key"
        raise ValueError(f"{said}: what listens for other machines needs at least {LEAST_KEY} bytes, like secrets.token_bytes(32)")
    return raw


def keep_alive(connected: socket.socket) -> None:
    """Notice within a minute or so that the other machine is gone: it may hold a lock."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
