"""Which versions have written a file, and which of them are others here: told when it cannot be loaded."""

from __future__ import annotations

import functools
import json
import platform
import sys
from typing import TYPE_CHECKING, Any

import manyhands

if TYPE_CHECKING:
    from manyhands._files._names import Names


def written_by(names: Names) -> dict[str, Any]:
    """For the footer: of Python, manyhands, and the packages whose classes and functions are named."""
    packages = {name.partition(".")[0] for name in names.modules} - sys.stdlib_module_names - {"__main__", "manyhands"}
    found = {name: version for name in sorted(packages) if (version := _version(name))}
    return {"python": platform.python_version(), "manyhands": manyhands.__version__, "packages": found}


def _version(package: str) -> str:
    version = getattr(sys.modules.get(package), "__version__", None)
    return version if isinstance(version, str) else _installed(package)


@functools.cache
def _installed(package: str) -> str:
    import importlib.metadata  # noqa: PLC0415 - most packages say it themselves

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def parse(about: bytes) -> dict[str, Any]:
    """What a footer tells; empty if it is nothing that can be read."""
    try:
        found = json.loads(about)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def told(about: dict[str, Any]) -> str:
    """A sentence about who has written a file, and what is other here."""
    written = {"Python": about.get("python"), "manyhands": about.get("manyhands"), **dict(about.get("packages") or {})}
    here = {"Python": platform.python_version(), "manyhands": manyhands.__version__}
    parts = []
    for name, version in written.items():
        now = here.get(name) or _version(name)
        other = "" if now == version else f" (here: {now or 'not installed'})"
        parts.append(f"{name} {version}{other}")
    return f"the file was written by {', '.join(parts)}"
