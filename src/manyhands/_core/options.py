"""What a user may set, and where a value comes from: call, then ``with`` block, then environment, then default."""

from __future__ import annotations

import math
import operator
import os
import re
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

BACKENDS = ("processes", "threads", "sequential")
# Set by manyhands, in its workers.
OWN_VARIABLES = (
    "MANYHANDS_RUNTIME_DIR",
    "MANYHANDS_SHARE_DEBUG",
    "MANYHANDS_KEEPER",
    "MANYHANDS_WORKER",
    "MANYHANDS_CPUS",
    "MANYHANDS_DEPTH",
    "MANYHANDS_WATCH_ADDRESS",
    "MANYHANDS_WATCH_RUN",
)
START_METHODS = ("zygote", "spawn", "fork")

# What each task has of its own, and what its worker: a call may choose the one, and only who makes workers the other.
OF_TASKS = frozenset({"backoff", "on_stale", "priority", "record_failures", "retries", "retry_on", "tag_output", "timeout"})
OF_WORKERS = frozenset({"idle_timeout", "max_tasks_per_child", "memory_limit", "preload", "start_method"})
# What joblib has no parameter for.
BESIDE_JOBLIB = (OF_TASKS | OF_WORKERS | {"watch"}) - {"timeout"}

# No count is larger: far more than anybody needs, and safe for whatever is done with it.
MOST = 10**9
# Bytes: what fits a limit of the kernel's.
_MOST_BYTES = 2**62
# Seconds. The kernel's poll takes 24 days at the most, and what is below a microsecond would be taken for none.
LONGEST = 20 * 86400.0
SHORTEST = 1e-6


# Not dataclasses, here and in what else is loaded with the package: ``dataclasses`` takes 8 ms to import.


class Options(NamedTuple):
    """All options with their defaults; each is described where it is public, in ``manyhands.map`` and ``Executor``."""

    workers: int | None = None
    chunk: int | Literal["auto"] = "auto"
    timeout: float | None = None
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    backoff: float = 0.0
    errors: Literal["raise", "return", "skip"] = "raise"
    progress: bool | Literal["report"] = False
    ordered: bool = True
    buffer: int | Literal["auto"] = "auto"
    priority: int = 0
    on_stale: Literal["send", "raise"] = "send"
    tag_output: bool = False
    watch: bool = False
    record_failures: str | None = None
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


UNSET: Any = Unset()

# What ``manyhands.options`` gives to the calls of the present block.
block: ContextVar[Mapping[str, object]] = ContextVar("manyhands options", default=MappingProxyType({}))


def resolve(given: Mapping[str, object], block: Mapping[str, object], environ: Mapping[str, str]) -> Options:
    """The options of one call.

    Raises:
        TypeError: an option is not known.
        ValueError: an option has a value that is not allowed; the message names it.
    """
    chosen: dict[str, Any] = {}
    for name, variable in _VARIABLES.items() if _may_be_in(environ) else ():
        text = environ.get(variable)
        if text is not None:
            chosen[name] = _read(name, text)
            if not any(source.get(name, UNSET) is not UNSET for source in (block, given)):
                _checked_variable(name, text, chosen[name])
    for source in (block, given):
        for name, value in source.items():
            if name not in _CHECKS:
                msg = f"{name!r} is not an option; options are {', '.join(sorted(_CHECKS))}"
                raise TypeError(msg)
            if value is not UNSET:
                chosen[name] = value
    checked: dict[str, Any] = {name: _CHECKS[name](name, value) for name, value in chosen.items()}
    return Options(**checked)


def is_chosen(name: str, given: Mapping[str, object], block: Mapping[str, object], environ: Mapping[str, str]) -> bool:
    """Whether an option has been set anywhere, be it to its default."""
    return any(source.get(name, UNSET) is not UNSET for source in (given, block)) or f"MANYHANDS_{name.upper()}" in environ


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
        kind = "0 or 1" if name in {"progress", "tag_output", "watch"} else "a size" if name == "memory_limit" else "a number"
        msg = f"environment variable MANYHANDS_{name.upper()}={text!r} cannot be read; it is {kind}"
        raise ValueError(msg) from None


def _checked_variable(name: str, text: str, value: object) -> None:
    try:
        _CHECKS[name](name, value)
    except ValueError as error:
        msg = f"environment variable MANYHANDS_{name.upper()}={text!r}: {error}"
        raise ValueError(msg) from None


def refuse(name: str, value: object, allowed: str) -> ValueError:
    """The error for a value that is not allowed."""
    try:
        shown = repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__, or an integer of thousands of digits
        shown = f"<{type(value).__name__}>"
    return ValueError(f"{name}={shown} is not allowed; {name} is {allowed}")


def whole(value: object) -> int | None:
    """The whole number that a value is, also one of numpy's; None if it is none. True and False are none."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def _number(value: object) -> float | None:
    """The same for numbers that need not be whole."""
    if type(value) in {int, float}:
        return value  # type: ignore[return-value]
    from numbers import Real  # noqa: PLC0415 - few have others than Python's own

    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf  # type: ignore[operator] # every real number has an order


def checked_count(name: str, value: object, least: int, allowed: str) -> int:
    """``value`` as a number from ``least`` on.

    Raises:
        ValueError: it is none.
    """
    number = whole(value)
    if number is not None and number > MOST:
        allowed += f"; at most {MOST:,}"
    elif number is not None and number >= least:
        return number
    raise refuse(name, value, allowed)


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
    size = float(number) * 1024 ** " KMGT".index(unit.upper() or " ")
    if math.isinf(size):
        msg = "a number of hundreds of digits is no size"
        raise ValueError(msg)
    return int(size)


def _count(least: int, allowed: str, *, none: bool = False, auto: bool = False) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if (none and value is None) or (auto and isinstance(value, str) and value == "auto"):
            return value
        return checked_count(name, value, least, allowed)

    return check


def _seconds(allowed: str, *, zero: bool, none: bool) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if none and value is None:
            return None
        seconds = _number(value)
        if seconds is None or not (seconds > 0 or (zero and seconds == 0)):
            raise refuse(name, value, allowed)
        if seconds > LONGEST:
            return None if none else LONGEST
        return max(seconds, SHORTEST) if seconds else 0

    return check


def _one_of(*allowed: str) -> Callable[[str, object], object]:
    def check(name: str, value: object) -> object:
        if isinstance(value, str) and value in allowed:
            return value
        raise refuse(name, value, "one of " + ", ".join(map(repr, allowed)))

    return check


def _flag(name: str, value: object) -> object:
    if isinstance(value, bool):
        return value
    raise refuse(name, value, "True or False")


def _progress(name: str, value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, str) and value == "report"):
        return value
    raise refuse(name, value, "True, False, or 'report'")


def _exceptions(name: str, value: object) -> object:
    classes = value if isinstance(value, tuple | list) else (value,)
    if classes and all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in classes):
        return tuple(classes)
    raise refuse(name, value, "an exception class, or a tuple of them")


def _size(name: str, value: object) -> object:
    if value is None:
        return None
    size = whole(value)
    if isinstance(value, str):
        try:
            size = parse_size(value)
        except ValueError:
            size = None
    if size is None or not 0 < size <= _MOST_BYTES:
        raise refuse(name, value, "a number of bytes from 1 to 2**62, a text like '2GB', or None for no limit")
    return size


def _names(name: str, value: object) -> object:
    if isinstance(value, tuple | list) and all(isinstance(entry, str) and all(entry.split(".")) for entry in value):
        return tuple(value)
    raise refuse(name, value, "a tuple of names of modules")


def _folder(name: str, value: object) -> object:
    if value is None:
        return None
    path = value if isinstance(value, str) else os.fspath(value) if isinstance(value, os.PathLike) else None
    if isinstance(path, str) and path:
        return os.path.abspath(os.path.expanduser(path))  # the program may be in another folder by the time when it is used
    raise refuse(name, value, "the path of a folder, or None for none")


def _backend(name: str, value: object) -> object:
    if isinstance(value, str) or hasattr(value, "submit") or hasattr(value, "capabilities"):
        return value
    raise refuse(name, value, f"one of {', '.join(map(repr, BACKENDS))}, the name of a registered one, or an executor")


_CHECKS: dict[str, Callable[[str, object], object]] = {
    "workers": _count(1, "a number of workers from 1 on, or None for one for each processor", none=True),
    "chunk": _count(1, "a number of tasks in one message from 1 on, or 'auto'", auto=True),
    "timeout": _seconds("a number of seconds above 0, or None for no limit", zero=False, none=True),
    "retries": _count(0, "how often a task that failed runs again, from 0 on"),
    "retry_on": _exceptions,
    "backoff": _seconds("a number of seconds from 0 on", zero=True, none=False),
    "errors": _one_of("raise", "return", "skip"),
    "progress": _progress,
    "ordered": _flag,
    "buffer": _count(1, "a number of tasks from 1 on, or 'auto'", auto=True),
    "priority": _count(-MOST, "a whole number; higher goes first"),
    "on_stale": _one_of("send", "raise"),
    "tag_output": _flag,
    "watch": _flag,
    "record_failures": _folder,
    "backend": _backend,
    "start_method": _one_of(*START_METHODS),
    "memory_limit": _size,
    "max_tasks_per_child": _count(1, "a number of tasks from 1 on, or None for no limit", none=True),
    "idle_timeout": _seconds("a number of seconds above 0", zero=False, none=False),
    "preload": _names,
}


def _read_flag(text: str) -> bool:
    return bool(("0", "1").index(text))


_FROM_TEXT: dict[str, Callable[[str], object]] = {
    "workers": int,
    "timeout": float,
    "retries": int,
    "on_stale": str,
    "backend": str,
    "start_method": str,
    "memory_limit": parse_size,
    "max_tasks_per_child": int,
    "idle_timeout": float,
    "preload": lambda text: tuple(filter(None, text.split(","))),
    "progress": lambda text: text if text == "report" else _read_flag(text),
    "tag_output": _read_flag,
    "watch": _read_flag,
    "record_failures": lambda text: text or None,
}

_VARIABLES = {name: f"MANYHANDS_{name.upper()}" for name in _FROM_TEXT}
_RAW_VARIABLES = frozenset(variable.encode() for variable in _VARIABLES.values())


def _may_be_in(environ: Mapping[str, str]) -> bool:
    """Whether any of our variables is set; True if that cannot be told at once.

    ``os.environ`` takes a microsecond for each name that is not there. What lies under it is told in one for all of them.
    """
    raw = getattr(environ, "_data", None)
    return not isinstance(raw, dict) or not raw.keys().isdisjoint(_RAW_VARIABLES)
