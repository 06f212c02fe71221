"""Who is let in to the page, and under which names it answers. Pure: what a request says goes in, what becomes of it comes out.

- A page of another site that a browser shows cannot reach it under a name of its own (DNS rebinding): the ``Host`` of every request has
  to be one of a list, to the letter.
- Nobody is let in without a token, which is random and in the address that the program tells its user. From then on a cookie lets the
  browser in, which no script can read and which is not sent for other sites. Browsers do send it to other ports of this machine, where
  somebody else may listen: so the page lies in a folder whose name is random, and the cookie is for that folder.
- In a frame of another page, where browsers send no cookie, the token is in the path. It is another one, so that the page itself cannot be
  framed.
- What changes something comes from a page of this site (``Origin``), and as JSON, which a form of another site cannot send.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_WILD = frozenset({"0.0.0.0", "::", ""})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_MOST_ONCE = 20
READING = frozenset({"GET", "HEAD"})
HOW = "Open the address with its token: the program has told it when it started, and `manyhands watch` tells it again.\n"


class Request(NamedTuple):
    """What is known of a request before it is looked into.

    Attributes:
        hosts: all its ``Host`` headers, and so on.
        token: that of the address; empty if there is none.
        cookie: that of this page.
        at: the address of this machine that it has come to.
    """

    method: str
    path: str
    hosts: tuple[str, ...]
    origins: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()
    token: str = ""
    cookie: str = ""
    at: str = ""


class Refused(NamedTuple):
    """It is not let in."""

    status: int
    why: str


class Entered(NamedTuple):
    """It has shown a token: its browser is given a cookie, and sent to the page."""


class Admitted(NamedTuple):
    """It is let in, to what is at ``path``."""

    path: str
    is_framed: bool = False


class Keys:
    """What opens one page.

    Attributes:
        token: in its address.
        frame: in the path of a frame.
        home: where the page is for who has a cookie.
        cookie_name: of its cookie; cookies are the same for all ports.
    """

    def __init__(self, host: str, port: int) -> None:
        """``host``: the address that the page can be reached by, as somebody has chosen it."""
        self._hosts = hosts_of(host, port)
        self._is_for_all = host in _WILD
        self._port = port
        self._cookie = _new()
        self._once: list[str] = []
        self.token = _new()
        self.frame = _new()
        self.home = f"/{_new()}/"
        self.cookie_name = f"manyhands-{port}"

    @property
    def cookie(self) -> str:
        """The header that gives a browser its cookie."""
        return f"{self.cookie_name}={self._cookie}; HttpOnly; SameSite=Strict; Path={self.home}"

    def for_once(self) -> str:
        """A token that is good for one time."""
        self._once = [*self._once[-_MOST_ONCE:], _new()]
        return self._once[-1]

    def judge(self, request: Request) -> Refused | Entered | Admitted:
        """What becomes of a request."""
        if not self._is_host(request):
            return Refused(421, "This is not the name of this page.\n")
        framed = self._framed(request.path)
        if framed is None and request.path == "/" and request.token and request.method in READING:
            return Entered() if self._is_token(request.token) else Refused(403, f"The token is not right. {HOW}")
        if framed is None and not _same(request.cookie, self._cookie):
            return Refused(403, HOW)
        if request.method not in READING and not self._is_from_here(request):
            return Refused(403, "Only the page itself may ask for that.\n")
        if framed is not None:
            return Admitted(framed, is_framed=True)
        return Admitted(f"/{request.path.removeprefix(self.home)}" if request.path.startswith(self.home) else request.path)

    def _is_host(self, request: Request) -> bool:
        if len(request.hosts) != 1:
            return False
        host = request.hosts[0].lower()
        return host in self._hosts or (self._is_for_all and bool(request.at) and host in _with_port([request.at], self._port))

    def _is_from_here(self, request: Request) -> bool:
        is_json = [kind.partition(";")[0].strip().lower() for kind in request.content_types] == ["application/json"]
        return is_json and request.origins == (f"http://{request.hosts[0]}",)

    def _is_token(self, token: str) -> bool:
        used = [once for once in self._once if _same(token, once)]
        self._once = [once for once in self._once if once not in used]
        return _same(token, self.token) or bool(used)

    def _framed(self, path: str) -> str | None:
        """What a path leads to in a frame; None: it is of none."""
        _, first, token, *rest = [*path.split("/", 3), "", "", ""][:4]
        return f"/{rest[0]}" if first == "frame" and _same(token, self.frame) else None


def _new() -> str:
    return secrets.token_urlsafe(24)


def _same(given: str, own: str) -> bool:
    return hmac.compare_digest(given.encode(), own.encode())


def hosts_of(host: str, port: int) -> frozenset[str]:
    """The names under which a page answers. One for everybody also answers by the address that a request has come to."""
    if host in _WILD:
        return frozenset(_with_port(["127.0.0.1", "localhost", "::1", socket.gethostname().lower()], port))
    if host in _LOOPBACK or host.startswith("127."):
        return frozenset(_with_port(["localhost", "127.0.0.1" if ":" not in host else "::1", host.strip("[]")], port))
    return frozenset(_with_port([host.lower()], port))


def _with_port(names: Iterable[str], port: int) -> set[str]:
    bare = {f"[{name}]" if ":" in name and not name.startswith("[") else name for name in names}
    return {f"{name}:{port}" for name in bare} | (bare if port == 80 else set())
