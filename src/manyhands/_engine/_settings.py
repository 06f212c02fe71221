"""What a worker is told when it starts: goes through ``marshal``, which needs no import."""

from __future__ import annotations

import os
import sys
from typing import TypedDict

from manyhands._codec import _identity
from manyhands._engine._surroundings import texts


class Settings(TypedDict):
    """``cpus`` is the worker's share of the processors; ``home``: see ``_codec/_pickling.py``; ``inheritance`` and ``initializer``: whether
    they come, as the first messages; ``modules``: what is imported first; ``main``: of a process that is something else than a worker, the
    module whose ``main(channel_fd)`` it runs; ``script``: see
    ``_worker_process.SCRIPT``.
    """

    env: dict[str, str]
    cwd: str | None
    path: list[str]
    argv: list[str]
    cpus: int
    home: bytes
    idle_timeout: float
    memory_limit: int | None
    inheritance: bool
    initializer: bool
    modules: list[str]
    main: str
    script: list[str]


# Names of modules that every worker imports when it starts, for what they do then.
MODULES: list[str] = []


def of_now(*, cpus: int, idle_timeout: float, memory_limit: int | None, inheritance: bool, initializer: bool, main: str = "") -> Settings:
    """What a worker has to know that is started now: of the program it works for, and of its pool."""
    return {
        "env": dict(os.environ),
        "cwd": _directory(),
        "path": texts(sys.path),
        "argv": texts(getattr(sys, "argv", [])),
        "home": _identity.here(),
        "cpus": cpus,
        "idle_timeout": idle_timeout,
        "memory_limit": memory_limit,
        "inheritance": inheritance,
        "initializer": initializer,
        "modules": list(MODULES),
        "main": main,
        "script": _script(),
    }


def _script() -> list[str]:
    """See ``_worker_process.SCRIPT``, which a worker passes on."""
    main = sys.modules["__main__"]
    spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return [] if f".{spec.name}".endswith(".__main__") else ["module", str(spec.name)]
    if path is not None:
        return ["path", os.path.abspath(path)]
    worker = sys.modules.get("manyhands._engine._worker_process")
    return [] if worker is None else list(worker.SCRIPT)


def _directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it has been removed
        return None
