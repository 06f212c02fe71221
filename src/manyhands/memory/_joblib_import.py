"""Results of joblib's in a store of ours: found by joblib's own digest of a call, until that is made for the first time.

An imported entry is stored under the function as it is now, and joblib's digest of the arguments. A call whose own key has no entry looks
there, if results of this function have been imported at all, and stores what it finds under its own key.
"""

from __future__ import annotations

import inspect
import itertools
import os
import tokenize
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash

from manyhands.errors import NotStorable
from manyhands.memory import _joblib_digest
from manyhands.memory._cached import MemorizedFunc
from manyhands.memory._entry import Meta
from manyhands.memory._joblib_store import JoblibEntry, JoblibFunction, joblib_cache_entries, script_and_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from manyhands.memory._memory import Memory

_LONGEST_TEXT = 60  # of an argument


@dataclass(frozen=True, slots=True)
class ImportedFunction:
    """What has become of the results of one of joblib's functions.

    Attributes:
        function: which.
        entries: how many results joblib has.
        imported: how many of them can be found now.
        reason: why the others cannot; empty: there are none.
    """

    function: JoblibFunction
    entries: int
    imported: int
    reason: str


class _Refused(Exception):
    """The function is not the one that joblib has results of; or that cannot be told."""


# ------------------------------------------------------------ importing


def import_all(memory: Memory, location: str | os.PathLike[str], modules: Iterable[types.ModuleType]) -> list[ImportedFunction]:
    """See :meth:`Memory.import_joblib`."""
    places = list(modules)
    grouped = itertools.groupby(joblib_cache_entries(location), key=lambda entry: entry.function)
    return [_import_function(memory, function, list(entries), places) for function, entries in grouped]


def _import_function(
    memory: Memory, function: JoblibFunction, entries: Sequence[JoblibEntry], modules: Sequence[types.ModuleType]
) -> ImportedFunction:
    try:
        cached = _cached_as_it_was(memory, function, modules)
    except _Refused as refusal:
        return ImportedFunction(function, len(entries), 0, str(refusal))
    store, code = memory.store, cached.key.digest()
    store.expect_imports(code)
    imported, reasons = 0, []
    for entry in entries:
        key = _key(code, bytes.fromhex(os.path.basename(entry.folder)))
        try:
            value = entry.load()
        except Exception as error:  # noqa: BLE001 - it is damaged, or of classes that are not as they were
            reasons.append(f"a result cannot be loaded: {error}")
            continue
        try:
            store.put(key, value, _meta_of(entry, cached.key.name))
        except NotStorable as error:
            reasons.append(f"a result cannot be stored: {error}")
        else:
            imported += 1
    return ImportedFunction(function, len(entries), imported, reasons[0] if reasons else "")


def _cached_as_it_was(memory: Memory, function: JoblibFunction, modules: Sequence[types.ModuleType]) -> MemorizedFunc[..., Any]:
    """The function as ``memory`` has it, if joblib would still use its results.

    Raises:
        _Refused: it would not; or what it looks at is not all of the function.
    """
    found = _found_in(function, modules)
    plain = found.func if hasattr(found, "func") and hasattr(found, "call_and_shelve") else found  # cached, by joblib or here
    if not isinstance(plain, types.FunctionType):
        raise _Refused("it is no plain function of one of the modules")
    if hasattr(plain, "__wrapped__") or plain.__code__.co_freevars:
        raise _Refused("it is decorated, or has variables of another function: joblib does not see when such a function changes")
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise _Refused("of a generator, joblib has no results")
    if not function.source:
        raise _Refused("joblib has not noted its code")
    if function.source != _source(plain):
        raise _Refused("its code is other than it was")
    cached = found.at(memory) if isinstance(found, MemorizedFunc) else memory.cache(plain)
    return cached  # type: ignore[no-any-return] # a function is given, so that is what comes


def _found_in(function: JoblibFunction, modules: Sequence[types.ModuleType]) -> Any:
    for module in modules:
        steps = path_in(function, module)
        if steps is None:
            continue
        found: Any = module
        for step in steps:
            found = inspect.getattr_static(found, step, None)
            found = found.__func__ if isinstance(found, staticmethod | classmethod) else found
        if found is not None:
            return found
        raise _Refused(f"{module.__name__} has no {'.'.join(steps)} any more")
    if function.script:
        raise _Refused("it is of a script, whose file was not named")
    raise _Refused("its module was not named, or cannot be imported")


def path_in(function: JoblibFunction, module: types.ModuleType) -> list[str] | None:
    """The names that lead from a module to a function, whether that ran as a program then or was imported; None: it is not in there."""
    for script, name in map(script_and_module, _folders_of(module)):
        if function.script == script and f"{function.module}.".startswith(f"{name}."):
            inner = function.module[len(name) + 1 :]
            return [*(inner.split(".") if inner else ()), function.name]
    return None


def _folders_of(module: types.ModuleType) -> Iterator[list[str]]:
    """What joblib calls those of a module: by its name; of a program by its whole path, in which dots are steps, too."""
    yield module.__name__.split(".")
    file = getattr(module, "__file__", None)
    if file is not None:
        path = os.path.abspath(file).removesuffix(".py").replace(os.sep, "-")
        yield f"__main__-{path}".split(".")


def _source(function: types.FunctionType) -> str:
    """The text of a function, from its file as it is now: what joblib compares. Empty: there is none."""
    try:
        with tokenize.open(function.__code__.co_filename) as file:
            lines = file.readlines()[function.__code__.co_firstlineno - 1 :]
        return "".join(inspect.getblock(lines))
    except (OSError, SyntaxError, UnicodeError, tokenize.TokenError):
        return ""


def _meta_of(entry: JoblibEntry, name: str) -> Meta:
    texts = {name: text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..." for name, text in (entry.arguments or {}).items()}
    return Meta(name, texts, entry.duration or 0.0, entry.time)


# ------------------------------------------------------------ finding


def key_of_call(
    function: Callable[..., Any], code: bytes, ignore: Sequence[str], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, maps: bool
) -> bytes | None:
    """What a call's result was imported under, if it was; None: it cannot have been."""
    try:
        return _key(code, _joblib_digest.arguments_digest(function, ignore, args, kwargs, maps=maps))
    except _joblib_digest.Unknown:
        return None


def _key(code: bytes, digest: bytes) -> bytes:
    return xxhash.xxh3_128_digest(code + b"joblib" + digest)
