"""The program's script, under the name that it has in processes of ``multiprocessing`` that were spawned: ``__mp_main__``.

What such a process sends of the script's classes and functions is named after that. A process of ours that is sent some loads the script,
as they have done. The program itself has the name already.
"""

from __future__ import annotations

import runpy
import sys
import threading
import types
from typing import Any

NAME = "__mp_main__"
MARK = NAME.encode()
_loading = threading.RLock()
_loaded_here: dict[str, types.ModuleType] = {}


def member(name: str) -> Any:
    """What the script has under a dotted name.

    Raises:
        AttributeError: it has none.
    """
    with _loading:
        module = _loaded_here.get(NAME)
        if module is None:
            try:
                return _inside(sys.modules.get(NAME), name)
            except AttributeError:
                worker = sys.modules.get("manyhands._engine._worker_process")
                if worker is None or not worker.SCRIPT:
                    raise
            module = _loaded_here[NAME] = _loaded(*worker.SCRIPT)
        sys.modules[NAME] = module  # multiprocessing, when it is imported, puts another there
        return _inside(module, name)


def _inside(found: Any, name: str) -> Any:
    for step in name.split("."):
        found = getattr(found, step)
    return found


def _loaded(kind: str, where: str) -> types.ModuleType:
    run = runpy.run_module if kind == "module" else runpy.run_path
    module = types.ModuleType(NAME)
    vars(module).update(run(where, run_name=NAME))
    return module
