"""What a worker is told when it starts: goes through ``marshal``, which needs no import."""

from __future__ import annotations

from typing import TypedDict


class Settings(TypedDict):
    """``cpus`` is the worker's share of the processors; ``home``: see ``_codec/_pickling.py``; ``initializer``: whether one comes, as the
    first message.
    """

    env: dict[str, str]
    cwd: str | None
    path: list[str]
    argv: list[str]
    cpus: int
    home: bytes
    idle_timeout: float
    memory_limit: int | None
    initializer: bool
