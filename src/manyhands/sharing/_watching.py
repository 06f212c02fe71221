"""Finds lost updates, if it is asked to: ``share.debug()``.

``c.n += 1`` is two operations, a read and a write. If another caller writes in between, what that wrote is lost, and nobody is told. In
debug mode each read and write of an attribute or an item tells where in the program it is; the owner notes which value a caller has read,
and says so when the same function of that caller writes what others have written since.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands import errors
from manyhands.sharing import _arrivals, _asked, _operations

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyhands.sharing._operations import Teller
    from manyhands.sharing._table import Entry

VARIABLE = "MANYHANDS_SHARE_DEBUG"
_READS = {_asked.GET: (), _asked.CALL: ("__getitem__",)}
_WRITES = {_asked.SET: (), _asked.CALL: ("__setitem__",)}
_MOST = 10_000


class Site(NamedTuple):
    """Where in a program something is done."""

    file: str
    line: int
    function: str
    pid: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function}, process {self.pid})"


# ---------------------------------------------------------------- who asks

_plain: dict[type, Callable[..., Any]] = {}


def switch(on: bool) -> None:
    """Have this process tell where it reads and writes, and those that it starts from now on."""
    if on:
        os.environ[VARIABLE] = "1"
    else:
        os.environ.pop(VARIABLE, None)
    for cls in (_arrivals.Remote, _arrivals.Local):
        plain = _plain.setdefault(cls, cls.request)
        cls.request = _telling(plain) if on else plain  # type: ignore[method-assign]


def _telling(plain: Callable[..., Any]) -> Callable[..., Any]:
    def request(self: Any, operation: int, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if not (_is_one(_READS, operation, name) or _is_one(_WRITES, operation, name)):
            return plain(self, operation, name, args, kwargs or {})
        site = _site()
        result = plain(self, _asked.WATCHED, name, (operation, tuple(site), *args))
        if _is_one(_WRITES, operation, name) and result is not None:
            warnings.warn_explicit(result, errors.LostUpdate, site.file, site.line)
            return None
        return result

    return request


def _is_one(operations: dict[int, tuple[str, ...]], operation: int, name: str) -> bool:
    names = operations.get(operation)
    return names is not None and (not names or name in names)


_OWN = os.path.dirname(__file__)


def _site() -> Site:
    frame = sys._getframe(2)  # noqa: SLF001 - there is no other way that is quick
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    return Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname, os.getpid())


# ---------------------------------------------------------------- the owner


class _Noted:
    """What is known of one attribute or item.

    Attributes:
        version: how often it has been written.
        writer, site: by whom last, and where.
        reads: by caller, which version it has read, and where.
    """

    def __init__(self) -> None:
        self.version = 0
        self.writer = 0
        self.site: Site | None = None
        self.reads: dict[int, tuple[int, Site]] = {}


class _State:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.noted: OrderedDict[tuple[Any, ...], _Noted] = OrderedDict()
        self.told: set[tuple[Any, ...]] = set()


_state = _State()


def watched(teller: Teller, caller: int, entry: Entry, name: str, args: tuple[Any, ...], _: dict[str, Any]) -> Any:
    """Read or write, as ``args`` says: the operation, where in the program it is, its arguments.

    The reply to a write is a text, if it has destroyed another.
    """
    operation, where, *rest = args
    site = Site(*where)
    entry.monitor.enter(caller)  # nobody else writes in between
    try:
        reply = _operations.perform(teller, caller, operation, entry.number, name, tuple(rest), {})
        with _state.lock:
            noted = _noted(entry, name if operation != _asked.CALL else ("[]", repr(rest[0])))
            if _is_one(_READS, operation, name):
                noted.reads[caller] = noted.version, site
                return reply
            return teller.atom(_write(entry, name, noted, caller, site))
    finally:
        entry.monitor.leave()


def _noted(entry: Entry, what: Any) -> _Noted:
    key = entry.number, what
    noted = _state.noted.get(key)
    if noted is None:
        noted = _state.noted[key] = _Noted()
        if len(_state.noted) > _MOST:
            _state.noted.popitem(last=False)
    return noted


def _write(entry: Entry, name: str, noted: _Noted, caller: int, site: Site) -> str | None:
    report = None
    version, read_at = noted.reads.pop(caller, (noted.version, site))
    # Who reads here and writes there may well mean to.
    if version < noted.version and noted.writer != caller and noted.site is not None and read_at[:1] + read_at[2:] == site[:1] + site[2:]:
        pair = frozenset({site[:3], noted.site[:3]})
        if (entry.kind.name, name, pair) not in _state.told:
            _state.told.add((entry.kind.name, name, pair))
            report = _report(entry, name, noted.site, read_at, site)
    noted.version += 1
    noted.writer, noted.site = caller, site
    return report


def _report(entry: Entry, name: str, lost: Site, read_at: Site, site: Site) -> str:
    what = f"an item of the shared {entry.kind.name}" if name == "__setitem__" else f"{name} of the shared {entry.kind.name}"
    return (
        f"an update was lost: what {lost} wrote to {what} was overwritten by {site}, which had read it before, in line {read_at.line}. "
        f"Read and write in one transaction: `with lock(...):`, or lock.run(...)"
    )
