"""Installed packages: which one a module is of, and in what version. What they consist of is not looked into: the version tells."""

from __future__ import annotations

import functools
import importlib.util
import sys

from manyhands._codec import _naming

MAIN = frozenset({"__main__", "__mp_main__"})  # what multiprocessing's new processes call it
_NO_PACKAGES = frozenset({"manyhands", *sys.builtin_module_names, *sys.stdlib_module_names}) - MAIN


def is_own(module: object) -> bool:
    """Whether a module, by its name, is the user's: its code counts. So is one that nobody can find."""
    if not isinstance(module, str) or module in MAIN:
        return True
    if module.partition(".")[0] in _NO_PACKAGES:
        return False
    return module not in sys.modules or _naming.is_project(module) or _naming.is_makeshift(module)


def is_own_if_imported(module: str) -> bool:
    """The same for a module that need not be loaded yet. None is loaded for that, but what packages it is in may be."""
    top = module.partition(".")[0]
    if top in sys.modules or top in _NO_PACKAGES:
        return is_own(top)
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    return spec is not None and _naming.is_own_file(spec.origin or next(iter(spec.submodule_search_locations or ()), None))


def version(module: str) -> tuple[str, str] | None:
    """The installed package that a module is of, and its version; None for the standard library, and for modules of the user's own."""
    top = module.partition(".")[0]
    return None if top in _NO_PACKAGES or top in MAIN else _version(module if _is_namespace(top) else top)


def _is_namespace(top: str) -> bool:
    """Whether several packages live under a name, as under ``google``."""
    module = sys.modules.get(top)
    return module is not None and getattr(module, "__file__", None) is None


@functools.cache  # it does not change while a process runs
def _version(module: str) -> tuple[str, str]:
    steps = module.split(".")
    for end in range(1, len(steps) + 1):
        name = ".".join(steps[:end])
        said = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(said, str):
            return name, said
    return steps[0], _installed(steps[0])


def _installed(top: str) -> str:
    """The version that the package was installed in, by what has been noted then."""
    from importlib import metadata  # noqa: PLC0415 - 20 ms, for packages that do not say it themselves

    try:
        return metadata.version(top)
    except metadata.PackageNotFoundError:
        names = sorted(set(metadata.packages_distributions().get(top, ())))
        return " ".join(f"{name} {metadata.version(name)}" for name in names) or "of unknown version"
