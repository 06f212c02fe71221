"""``manyhands info``: what manyhands sees of this machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import sys

import click

import manyhands
from manyhands._core.options import START_METHODS
from manyhands._wire import _cpus

_PACKAGES = ("click", "rich", "numpy")
_LIMITS = {"open files": "RLIMIT_NOFILE", "processes": "RLIMIT_NPROC", "address space": "RLIMIT_AS", "core file": "RLIMIT_CORE"}
_BYTES = {
    "address space",
    "core file",
    "machine's memory",
    "available memory",
    "/dev/shm",
    "/dev/shm free",
    "control group's memory",
}

Facts = dict[str, dict[str, object]]


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, sizes in bytes.")
def command(as_json: bool) -> None:
    """Show the processors, limits, versions and settings that manyhands finds here.

    \b
    Examples:
        manyhands info
        manyhands info --json | jq .processors
    """
    facts = collect()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    width = max(len(name) for part in facts.values() for name in part)
    for title, part in facts.items():
        print(title)
        for name, value in part.items():
            print(f"  {name:{width}}  {_shown(name, value)}")
        if not part:
            print("  (none)")


def collect() -> Facts:
    """All facts, by heading. None: unlimited, or not to be had."""
    return {
        "processors": _processors(),
        "limits": _limits(),
        "workers": {"start methods": [name for name in START_METHODS if name != "fork" or hasattr(os, "fork")]},
        "versions": _versions(),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith("MANYHANDS_")},
    }


def _processors() -> dict[str, object]:
    quotas = _cpus._group_quotas()  # noqa: SLF001 - the same package; there is no other use for it
    return {
        "machine": os.cpu_count(),
        "affinity": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "control group": min(quotas, default=None),
        "manyhands.cpu_count()": manyhands.cpu_count(),
    }


def _limits() -> dict[str, object]:
    found: dict[str, object] = {}
    for name, constant in _LIMITS.items():
        if hasattr(resource, constant):
            soft, _ = resource.getrlimit(getattr(resource, constant))
            found[name] = None if soft == resource.RLIM_INFINITY else soft
    memory = _memory()
    found["machine's memory"] = memory.get("MemTotal")
    found["available memory"] = memory.get("MemAvailable")
    found["control group's memory"] = _group_memory()
    try:
        shm = os.statvfs("/dev/shm")
    except OSError:
        found["/dev/shm"] = found["/dev/shm free"] = None
    else:
        found["/dev/shm"], found["/dev/shm free"] = shm.f_blocks * shm.f_frsize, shm.f_bavail * shm.f_frsize
    return found


def _memory() -> dict[str, int]:
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            rows = [line.split() for line in file]
    except OSError:
        return {}
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def _group_memory() -> int | None:
    """The smallest memory limit of the control groups that this process is in."""
    directories = _cpus._group_directories()  # noqa: SLF001 - as above
    texts = [_cpus._read(directory, "memory.max") for directory in directories]  # noqa: SLF001
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _versions() -> dict[str, object]:
    found: dict[str, object] = {"python": f"{platform.python_version()} ({sys.executable})", "system": platform.platform()}
    found["manyhands"] = manyhands.__version__
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _shown(name: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if value is None:
        return "not installed" if name in _PACKAGES else "none"
    if name in _BYTES and isinstance(value, int):
        return f"{value / 2**30:,.1f} GiB" if value >= 2**30 else f"{value / 2**20:,.0f} MiB"
    return f"{value:,}" if isinstance(value, int) else str(value)
