"""The process that observes: it greets those that are watched, and shows what they do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from manyhands._probe import _link
from manyhands.watch.observer._hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable

_STAYS = 5.0  # seconds after the last run has ended and nobody looks


def run(said: int, folder: str, settings: str) -> None:
    """Observe, until nobody needs it. A line in ``said`` tells when it is there."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_observe(said, folder, json.loads(settings)))


async def _observe(said: int, folder: str, settings: dict[str, Any]) -> None:
    listening = _listen(os.path.join(folder, "s"))
    hub = Hub(listening, lambda _: {"rate": 20.0})
    page = os.path.join(folder, "page")
    url, why, lookers = await _serve_page(hub, settings)
    with open(os.open(page, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        json.dump({"url": url, "why": why, "pid": os.getpid()}, file)
    os.write(said, b"ready\n")
    os.close(said)
    serving = asyncio.create_task(hub.serve())
    idle_since = time.monotonic()
    while not serving.done():
        await asyncio.sleep(0.5)
        if hub.is_watching or hub.connections or lookers():
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > _STAYS:
            break
    for name in (os.path.join(folder, "s"), page):
        with contextlib.suppress(OSError):
            os.unlink(name)
    serving.cancel()


def _listen(address: str) -> socket.socket:
    with contextlib.suppress(OSError):
        os.unlink(address)
    listening = socket.socket(socket.AF_UNIX, _link.KIND)
    listening.bind(address)
    os.chmod(address, 0o600)
    listening.listen(1024)
    return listening


async def _serve_page(hub: Hub, settings: dict[str, Any]) -> tuple[str, str, Callable[[], int]]:
    """The address of the page, or why there is none; and what tells how many look at it."""
    try:
        from manyhands.watch.observer import _server  # noqa: PLC0415 - it is an extra
    except ImportError as error:
        return "", f"the page needs what {error.name} brings: pip install 'manyhands[watch]'", lambda: 0
    return await _server.start(hub, settings)
