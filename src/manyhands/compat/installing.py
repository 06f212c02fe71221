"""manyhands in the place of other libraries, for programs and packages that import those."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from manyhands._engine import _settings
from manyhands.compat import _keeping

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_JOBLIB = (
    "Logger",
    "MemorizedResult",
    "Memory",
    "Parallel",
    "ParallelBackendBase",
    "PrintTime",
    "cpu_count",
    "delayed",
    "dump",
    "StoreBackendBase",
    "effective_n_jobs",
    "expires_after",
    "hash",
    "load",
    "parallel_backend",
    "parallel_config",
    "register_compressor",
    "register_parallel_backend",
    "register_store_backend",
    "wrap_non_picklable_objects",
)

_PROXIES = ("Acquirer", "Array", "Auto", "Barrier", "Base", "Condition", "Dict", "Event", "Iterator", "List", "Namespace", "Pool", "Value")
_MANAGERS = ("BaseManager", "SyncManager", "MakeProxyType", *(f"{name}Proxy" for name in _PROXIES))
_JOBLIB_MEMORY = (
    "AsyncMemorizedFunc",
    "AsyncNotMemorizedFunc",
    "MemorizedFunc",
    "MemorizedResult",
    "Memory",
    "NotMemorizedFunc",
    "NotMemorizedResult",
    "expires_after",
)

# Module: what is put into it, and where that comes from.
_PLACES: dict[str, dict[str, dict[str, tuple[str, str]]]] = {
    "concurrent.futures": {
        "concurrent.futures": {"ProcessPoolExecutor": ("concurrent_futures", "ProcessPoolExecutor")},
        "concurrent.futures.process": {
            "ProcessPoolExecutor": ("concurrent_futures", "ProcessPoolExecutor"),
            "_RemoteTraceback": ("multiprocessing", "RemoteTraceback"),
        },
    },
    "multiprocessing": {
        "multiprocessing": {"Pool": ("multiprocessing", "Pool")},
        "multiprocessing.pool": {name: ("multiprocessing", name) for name in ("Pool", "ThreadPool", "RemoteTraceback")},
        "multiprocessing.managers": {name: ("multiprocessing.managers", name) for name in _MANAGERS},
    },
    "loky": {
        "loky": {name: ("loky", name) for name in ("ProcessPoolExecutor", "get_reusable_executor", "cpu_count", "set_loky_pickler")},
    },
    "joblib": {
        "joblib": {name: ("joblib", name) for name in _JOBLIB},
        "joblib.hashing": {"hash": ("joblib.hashing", "hash")},
        "joblib.memory": {name: ("joblib.memory", name) for name in _JOBLIB_MEMORY},
        "joblib.numpy_pickle": {name: ("joblib.numpy_pickle", name) for name in ("dump", "load")},
        "joblib._utils": {"eval_expr": ("joblib._utils", "eval_expr")},
        "joblib.externals.loky": {"get_reusable_executor": ("joblib._workers", "shared_workers")},
    },
}
# Modules that are replaced as a whole: programs put things into them that ours are to see.
_MODULES = {"joblib": {"joblib.parallel": "joblib.parallel", "joblib._parallel_backends": "joblib._parallel_backends"}}
# Where pickle finds what was in the place of names that are replaced.
_FOUND_AS = {"multiprocessing.managers": "manyhands.compat._managers_before"}
# Where what such modules define is found, by pickle, while they are replaced.
# Modules by way of which others of the library go on with what they had, though it has been replaced there.
_SEEN_FROM = {"joblib": {("joblib.memory", "hashing"), ("joblib._store_backends", "numpy_pickle")}}
# Where what has been replaced is found, by pickle, meanwhile.
_ORIGINALS = "manyhands.compat._joblib_before"
# What workers import, to have manyhands in its place as well.
_IN_WORKERS = {"joblib": "manyhands.compat._joblib_in_workers"}

_before: dict[str, dict[tuple[str, str], Any]] = {}
_undoing: dict[str, list[Callable[[], None]]] = {}  # what else was changed


def install(library: str) -> None:
    """Put manyhands in the place of a library: what imports that from now on, or has imported the module and looks into it, gets manyhands.

    Example:
        >>> import multiprocessing
        >>> from manyhands import compat
        >>> compat.install("multiprocessing")
        >>> with multiprocessing.Pool(2) as pool:
        ...     pool.map(lambda x: x + 1, [1, 2])
        [2, 3]
        >>> compat.uninstall("multiprocessing")

    Args:
        library: "concurrent.futures", "multiprocessing" (its pools and managers), "loky", or "joblib" (all of its public names). With
            joblib, packages that use it, as scikit-learn does, run on manyhands, in workers as well: in those that start from now on.

    Names that were imported from it before (``from multiprocessing.pool import ThreadPool``) are what they were, and work as they did.

    Raises:
        ValueError: it is none of these.
        ImportError: it is not installed.
    """
    places = _PLACES.get(library)
    if places is None:
        msg = f"library={library!r} is not known; it is one of {', '.join(map(repr, _PLACES))}"
        raise ValueError(msg)
    if library in _before:
        return
    kept: dict[tuple[str, str], Any] = {}
    undoing = _undoing[library] = []
    if library in _MODULES:
        importlib.import_module(_ORIGINALS)
    for place, names in places.items():
        module = importlib.import_module(place)
        undoing.append(_keeping.keep_names(module, names.keys()))
        if (found_as := _FOUND_AS.get(place) or (_ORIGINALS if library in _MODULES else None)) is not None:
            undoing.append(_keeping.keep_findable(module, found_as, names.keys()))
        for name, (source, attribute) in names.items():
            kept[place, name] = getattr(module, name)
            setattr(module, name, getattr(_ours(source), attribute))
    for place, source in _MODULES.get(library, {}).items():
        module = kept[place, ""] = importlib.import_module(place)
        undoing.append(_keeping.keep_findable(module, _ORIGINALS))
        _put(place, _ours(source))
    for place, name in _SEEN_FROM.get(library, ()):
        before = {attribute: value for (where, attribute), value in kept.items() if where == f"{library}.{name}"}
        undoing.append(_keeping.keep_seen(importlib.import_module(place), name, before))
    _before[library] = kept
    if library in _IN_WORKERS:
        _settings.MODULES.append(_IN_WORKERS[library])


def uninstall(library: str) -> None:
    """Put a library back into its place."""
    for (place, name), value in _before.pop(library, {}).items():
        if name:
            setattr(importlib.import_module(place), name, value)
        else:
            _put(place, value)
    for undo in _undoing.pop(library, ()):
        undo()
    if _IN_WORKERS.get(library) in _settings.MODULES:
        _settings.MODULES.remove(_IN_WORKERS[library])


def is_installed(library: str) -> bool:
    """Whether manyhands is in the place of a library."""
    return library in _before


def original(place: str) -> ModuleType:
    """A module as it is where manyhands is not in its place."""
    return loaded(place) or importlib.import_module(place)


def loaded(place: str) -> ModuleType | None:
    """The same, if it has been loaded."""
    for kept in _before.values():
        if (place, "") in kept:
            return kept[place, ""]  # type: ignore[no-any-return]
    return sys.modules.get(place)


def name_before(place: str, name: str) -> object:
    """What a module has under a name, where nothing of ours is in its place."""
    for kept in _before.values():
        if (place, name) in kept:
            return kept[place, name]
    return getattr(importlib.import_module(place), name)


def before(library: str, name: str) -> Any:
    """What a library itself has under a name, also where manyhands is in its place; None: it has none."""
    kept = _before.get(library, {})
    for place in (*_MODULES.get(library, ()), *_PLACES[library]):
        value = kept.get((place, name)) or getattr(original(place), name, None)
        if value is not None:
            return value
    return None


def lends(place: str, name: str) -> bool:
    """Whether a module that manyhands may be in the place of has something that ours has not: others import many things from there."""
    module = loaded(place)
    return module is not None and module.__name__ == place and not name.startswith("__") and hasattr(module, name)


def _ours(source: str) -> ModuleType:
    return importlib.import_module(f"manyhands.compat.{source}")


def _put(place: str, module: ModuleType) -> None:
    """Have a module found under a name, by whoever imports it and by whoever looks into its package."""
    sys.modules[place] = module
    package, _, name = place.rpartition(".")
    setattr(sys.modules[package], name, module)
