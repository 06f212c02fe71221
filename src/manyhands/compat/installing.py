"""manyhands in the place of other libraries, for programs and packages that import those."""

from __future__ import annotations

import importlib
from typing import Any

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
    },
    "loky": {"loky": {name: ("loky", name) for name in ("ProcessPoolExecutor", "get_reusable_executor", "cpu_count")}},
}

_before: dict[str, dict[tuple[str, str], Any]] = {}


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
        library: "concurrent.futures", "multiprocessing" (its pools), or "loky". For joblib see :func:`manyhands.register_joblib`.

    Names that were imported from it before (``from multiprocessing import Pool``) are what they were.

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
    for place, names in places.items():
        module = importlib.import_module(place)
        for name, (source, attribute) in names.items():
            kept[place, name] = getattr(module, name)
            setattr(module, name, getattr(importlib.import_module(f"manyhands.compat.{source}"), attribute))
    _before[library] = kept


def uninstall(library: str) -> None:
    """Put a library back into its place."""
    for (place, name), value in _before.pop(library, {}).items():
        setattr(importlib.import_module(place), name, value)
