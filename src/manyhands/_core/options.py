"""What a user may set, and where a value comes from: call, then ``with`` block, then environment, then default."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

BACKENDS = ("processes", "threads", "sequential")
# Set by manyhands, in its workers.
OWN_VARIABLES = ("MANYHANDS_WORKER", "MANYHANDS_CPUS")
START_METHODS = ("zygote", "spawn", "fork")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All options with their defaults; each is described where it is public, in ``manyhands.map`` and ``Executor``."""

    workers: int | None = None
    chunk: int | Literal["auto"] = "auto"
    timeout: float | None = None
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    backoff: float = 0.0
    errors: Literal["raise", "return", "skip"] = "raise"
    progress: bool = False
    ordered: bool = True
    buffer: int | Literal["auto"] = "auto"
    priority: int = 0
    backend: object = "processes"
    start_method: Literal["zygote", "spawn", "fork"] = "zygote"
    memory_limit: int | None = None
    max_tasks_per_child: int | None = None
    idle_timeout: float = 60.0
    preload: tuple[str, ...] = ()


class Unset:
    """The value of an option that was not given."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


def resolve(given: Mapping[str, object], block: Mapping[str, object], environ: Mapping[str, str]) -> Options:
    """The options of one call.

    Raises:
        TypeError: an option is not known.
        ValueError: an option has a value that is not allowed; the message names it.
    """
    known = {field.name for field in fields(Options)}
    chosen: dict[str, Any] = {}
    for name in known:
        text = environ.get(f"MANYHANDS_{name.upper()}")
        if text is not None and name in _FROM_TEXT:
            chosen[name] = _read(name, text)
    for source in (block, given):
        for name, value in source.items():
            if name not in known:
                msg = f"{name!r} is not an option; options are {', '.join(sorted(known))}"
                raise TypeError(msg)
            if value is not UNSET:
                chosen[name] = value
    checked: dict[str, Any] = {name: _CHECKS[name](name, value) for name, value in chosen.items()}
    return replace(Options(), **checked)


def unknown_variables(environ: Iterable[str]) -> Iterator[str]:
    """What is wrong with variables that look like ours and have no effect."""
    for variable in environ:
        name = variable.removeprefix("MANYHANDS_").lower()
        if not variable.startswith("MANYHANDS_") or name in _FROM_TEXT or variable in OWN_VARIABLES:
            continue
        import difflib  # noqa: PLC0415 - only for who mistypes

        close = difflib.get_close_matches(name, _FROM_TEXT, n=1)
        hint = f"; did you mean MANYHANDS_{close[0].upper()}?" if close else f"; known are {', '.join(sorted(_FROM_TEXT))}"
        yield f"environment variable {variable} has no effect{hint}"


def _read(name: str, text: str) -> object:
    try:
        return _FROM_TEXT[name](text)
    except ValueError:
        kind = "0 or 1" if name == "progress" else "a size" if name == "memory_limit" else "a number"
        msg = f"environment variable MANYHANDS_{name.upper()}={text!r} cannot be read; it is {kind}"
        raise ValueError(msg) from None


def _refuse(name: str, value: object, allowed: str) -> ValueError:
    return ValueError(f"{name}={value!r} is not allowed; {name} is {allowed}")


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of ``"2GB"``, ``"512M"``, ``"1.5 GiB"`` (all powers of 1024) or ``"1000000"``.

    >>> parse_size("1.5K")
    1536

    Raises:
        ValueError: the text is no such size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        msg = f"{text!r} is no size"
        raise ValueError(msg)
    number, unit = match.groups()
    return int(float(number) * 1024 ** " KMGT".index(unit.upper() or " "))


def _workers(name: str, value: object) -> object:
    if value is None or (_is_int(value) and value >= 1):  # type: ignore[operator]
        return value
    raise _refuse(name, value, "a number of workers from 1 on, or None for one for each processor")


def _count(least: int, what: str, *, none: bool = False, auto: bool = False) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if (none and value is None) or (auto and isinstance(value, str) and value == "auto") or (_is_int(value) and value >= least):  # type: ignore[operator]
            return value
        raise _refuse(name, value, what)

    return check


def _seconds(what: str, *, zero: bool, none: bool) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if none and value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
        if number and (value > 0 or (zero and value == 0)):  # type: ignore[operator]
            return None if none and math.isinf(value) else value  # type: ignore[arg-type]
        raise _refuse(name, value, what)

    return check


def _one_of(*allowed: str) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if isinstance(value, str) and value in allowed:
            return value
        raise _refuse(name, value, "one of " + ", ".join(map(repr, allowed)))

    return check


def _flag(name: str, value: object) -> object:
    if isinstance(value, bool):
        return value
    raise _refuse(name, value, "True or False")


def _exceptions(name: str, value: object) -> object:
    classes = value if isinstance(value, tuple | list) else (value,)
    if classes and all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in classes):
        return tuple(classes)
    raise _refuse(name, value, "an exception class, or a tuple of them")


def _size(name: str, value: object) -> object:
    size = value
    if isinstance(value, str):
        try:
            size = parse_size(value)
        except ValueError:
            size = 0
    if size is None or (_is_int(size) and size > 0):  # type: ignore[operator]
        return size
    raise _refuse(name, value, "a number of bytes above 0, a text like '2GB', or None for no limit")


def _names(name: str, value: object) -> object:
    if isinstance(value, tuple | list) and all(isinstance(entry, str) for entry in value):
        return tuple(value)
    raise _refuse(name, value, "a tuple of names of modules")


def _backend(name: str, value: object) -> object:
    if isinstance(value, str) or hasattr(value, "submit") or hasattr(value, "capabilities"):
        return value
    raise _refuse(name, value, f"one of {', '.join(map(repr, BACKENDS))}, the name of a registered one, or an executor")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "workers": _workers,
    "chunk": _count(1, "a number of tasks in one message from 1 on, or 'auto'", auto=True),
    "timeout": _seconds("a number of seconds above 0, or None for no limit", zero=False, none=True),
    "retries": _count(0, "how often a task that failed runs again, from 0 on"),
    "retry_on": _exceptions,
    "backoff": _seconds("a number of seconds from 0 on", zero=True, none=False),
    "errors": _one_of("raise", "return", "skip"),
    "progress": _flag,
    "ordered": _flag,
    "buffer": _count(1, "a number of tasks from 1 on, or 'auto'", auto=True),
    "priority": lambda name, value: _count(-(10**9), "a whole number; higher goes first")(name, value),
    "backend": _backend,
    "start_method": _one_of(*START_METHODS),
    "memory_limit": _size,
    "max_tasks_per_child": _count(1, "a number of tasks from 1 on, or None for no limit", none=True),
    "idle_timeout": _seconds("a number of seconds above 0", zero=False, none=False),
    "preload": _names,
}

_FROM_TEXT: dict[str, Callable[[str], object]] = {
    "workers": int,
    "timeout": float,
    "retries": int,
    "backend": str,
    "start_method": str,
    "memory_limit": parse_size,
    "max_tasks_per_child": int,
    "idle_timeout": float,
    "preload": lambda text: tuple(filter(None, text.split(","))),
    "progress": lambda text: {"0": False, "1": True}[text] if text in {"0", "1"} else int("x"),
}
