"""Imported by workers of a program that has put manyhands into joblib's place: there as well, as soon as joblib is imported."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_LIBRARY = "joblib"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds joblib as it is found without it, and sees to what follows its import."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != _LIBRARY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, theirs: importlib.abc.Loader) -> None:
        self._theirs = theirs

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._theirs.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._theirs.exec_module(module)
        _install()


def _install() -> None:
    from manyhands.compat import installing  # noqa: PLC0415 - not for workers that never import joblib

    installing.install(_LIBRARY)


if _LIBRARY in sys.modules:
    _install()
else:
    sys.meta_path.insert(0, _Finder())
