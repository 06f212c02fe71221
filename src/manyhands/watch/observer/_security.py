"""What stands before the page: no request passes that the keys do not let in, no answer leaves without the headers that bind a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from manyhands.watch.observer._keys import Admitted, Entered, Refused, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from manyhands.watch.observer._keys import Keys

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
# Not a redirection: the cookie would not be sent where a link of another site has led here, since that has begun the journey.
_ONWARD = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={home}">
<title>manyhands</title>
<link rel="icon" href="data:,">
<a href="{home}">manyhands</a>
"""


class Guard:
    """``app`` behind ``keys``; ``admitted()`` is called with each request that is let in."""

    def __init__(self, app: ASGIApp, keys: Keys, admitted: Callable[[], None]) -> None:
        self._app = app
        self._keys = keys
        self._admitted = admitted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or not."""
        if scope["type"] != "http":  # there are no others
            return
        verdict = self._keys.judge(_request(scope, self._keys.cookie_name))
        framed = isinstance(verdict, Admitted) and verdict.is_framed
        guarded = _guarded(send, is_framed=framed)
        if isinstance(verdict, Refused):
            await _refusal(verdict)(scope, receive, guarded)
            return
        self._admitted()
        if isinstance(verdict, Entered):
            await _entrance(self._keys)(scope, receive, guarded)
            return
        path = verdict.path
        await self._app({**scope, "path": path, "raw_path": path.encode(), "root_path": ""}, receive, guarded)


def _request(scope: Scope, cookie_name: str) -> Request:
    def values(name: bytes) -> tuple[str, ...]:
        return tuple(value.decode("latin-1") for key, value in scope["headers"] if key == name)

    server = scope.get("server") or ("", 0)
    return Request(
        scope["method"],
        scope["path"],
        values(b"host"),
        values(b"origin"),
        values(b"content-type"),
        parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0],
        _cookie(values(b"cookie"), cookie_name),
        str(server[0]),
    )


def _cookie(headers: tuple[str, ...], name: str) -> str:
    for header in headers:
        for part in header.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
    return ""


def _refusal(refused: Refused) -> Response:
    return PlainTextResponse(refused.why, refused.status, {"Cache-Control": "no-store"})


def _entrance(keys: Keys) -> Response:
    return HTMLResponse(_ONWARD.format(home=keys.home), headers={"Set-Cookie": keys.cookie, "Cache-Control": "no-store"})


def _guarded(send: Send, *, is_framed: bool) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers["Content-Security-Policy"] = _POLICY if is_framed else f"{_POLICY}; frame-ancestors 'none'"
            if not is_framed:
                headers["X-Frame-Options"] = "DENY"
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return guarded
