"""Something to be done as soon as a module has been loaded, which to load for it alone would cost each worker some milliseconds."""

from __future__ import annotations

import importlib.machinery
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Action = Callable[[Any], object]


def when_imported(name: str, action: Action) -> None:
    """Call ``action(module)`` when a module has been loaded: now, if it has. Once, after what others have asked to be done then."""
    module = sys.modules.get(name)
    if module is not None:
        action(module)
        return
    finder = next((finder for finder in sys.meta_path if isinstance(finder, _Finder)), None)
    if finder is None:
        finder = _Finder()
        sys.meta_path.insert(0, finder)
    actions = finder.actions.setdefault(name, [])
    if action not in actions:
        actions.append(action)


class _Finder:
    """Finds what the next finder finds, and has the action called behind its loader."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        actions = self.actions.pop(name, None)
        if actions is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, actions)  # type: ignore[assignment] # loaders need no base class
        return spec


class _Loader:
    def __init__(self, loader: Any, actions: list[Action]) -> None:
        self._loader = loader
        self._actions = actions

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        for action in self._actions:
            action(module)
