"""Names: what a module has under a name, and whose module it is."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types

# Whose a module is, by its name; the module is kept, since another may take its name.
_projects: dict[str, tuple[types.ModuleType, bool]] = {}
_makeshift: dict[str, tuple[types.ModuleType | None, bool]] = {}
# Where the generators of random numbers are that functions of modules draw from: random.random is a method of one.
_GENERATORS = ("random", "_inst"), ("numpy.random.mtrand", "_rand")
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep


def found_by_name(obj: object) -> bool:
    """Whether a function or class is what its module has under its qualified name. Never so for ``__main__``: a worker's is another."""
    name = getattr(obj, "__module__", None)
    if name == "__main__" or not isinstance(name, str):
        return False
    found: object = sys.modules.get(name)
    if found is None:
        return False
    try:
        for step in obj.__qualname__.split("."):  # type: ignore[attr-defined] # functions and classes have one
            found = getattr(found, step)
    except AttributeError:
        return False
    return found is obj and not is_makeshift(name)


def global_generator(obj: object) -> tuple[str, str] | None:
    """Module and name of the generator that the functions of ``random`` or ``numpy.random`` draw from; None for any other object.

    Each process has its own, which is meant wherever a task draws: as a copy it would give each task the same numbers.
    """
    for module, name in _GENERATORS:
        loaded = sys.modules.get(module)
        if loaded is not None and getattr(loaded, name, None) is obj:
            return module, name
    return None


def is_makeshift(name: str) -> bool:
    """Whether a module has been put together by the program and into ``sys.modules``: no other process can import it."""
    module = sys.modules.get(name)
    known = _makeshift.get(name)
    if known is None or known[0] is not module:
        known = _makeshift[name] = module, _is_put_together(module) and _is_put_together(sys.modules.get(name.partition(".")[0]))
    return known[1]


def _is_put_together(module: object) -> bool:
    return getattr(module, "__spec__", None) is None and getattr(module, "__file__", None) is None


def is_project(name: object) -> bool:
    """Whether a module, by its name, is the user's own: neither installed nor of the standard library, nor the program itself."""
    if not isinstance(name, str) or name == "__main__":
        return False
    module = sys.modules.get(name)
    if module is None:
        return False
    known = _projects.get(name)
    if known is None or known[0] is not module:
        known = _projects[name] = module, _is_own(name, getattr(module, "__file__", None))
    return known[1]


def is_standard(file: str) -> bool:
    """Whether a file is of the standard library."""
    return file.startswith(_STANDARD_LIBRARY)


def _is_own(name: str, file: object) -> bool:
    return name.partition(".")[0] != "manyhands" and is_own_file(file)


def is_own_file(file: object) -> bool:
    """Whether a file is the user's own: neither installed nor of the standard library."""
    if not isinstance(file, str):
        return False
    folders = file.split(os.sep)
    return not ("site-packages" in folders or "dist-packages" in folders or is_standard(file))
