"""What ``joblib.Memory`` has remembered, read without joblib.

::

    location/joblib/package/module/function/func_code.py      its source, under a line that says where it began
                                            <32 hex digits>/  by the arguments, as joblib digests them
                                                output.pkl
                                                metadata.json

joblib's digests depend on the versions of Python, numpy and joblib, and are of no use here; what the arguments were is known by their
``repr`` alone.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from manyhands._files import _joblib_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ENTRY = re.compile(r"[0-9a-f]{32}")
_OUTPUT = "output.pkl"
_FIRST_LINE = re.compile(r"# first line:\s*(-?\d+)\n")
_MAIN = "__main__"


@dataclass(frozen=True, slots=True)
class JoblibFunction:
    """A function of which there are results.

    joblib names the folder of a method or an inner function like one of a submodule, ``module/Class/method``: where the module's name ends
    cannot be told from it.

    Attributes:
        module: all of its dotted name but the last part, ``package.module`` or ``package.module.Class``.
        name: the last part.
        script: for a function of a program, ``__main__``: the path of its file without ``.py``, with ``-`` for each ``/``; else empty.
        source: its code, as it was when the results were computed; empty if that is not there.
        first_line: where in its file that began; None if that is not known.
    """

    module: str
    name: str
    script: str
    source: str
    first_line: int | None


@dataclass(frozen=True, slots=True)
class JoblibEntry:
    """One result.

    Attributes:
        function: what was called.
        arguments: the ``repr`` of each argument by its name; None if they were not noted.
        duration: how long it took to compute, in seconds; None if that was not noted.
        time: when it was computed, in seconds since 1970; that of the file if it was not noted.
        size: of the entry's files, in bytes.
        folder: where they are.
    """

    function: JoblibFunction
    arguments: dict[str, str] | None
    duration: float | None
    time: float
    size: int
    folder: str

    def load(self, mmap_mode: str | None = None) -> Any:
        """The result.

        Raises:
            StoreCorrupt: its file is damaged.
            OSError: it is gone by now.
        """
        path = os.path.join(self.folder, _OUTPUT)
        with open(path, "rb") as file:
            return _joblib_files.load(file, path, mmap_mode)


def joblib_cache_entries(location: str | os.PathLike[str]) -> Iterator[JoblibEntry]:
    """All results in a folder of ``joblib.Memory``, function by function. No result is loaded, and nothing is written.

    Entries that joblib is writing or removing in the meantime may be there or not.

    Args:
        location: what was given to ``joblib.Memory``, or the folder ``joblib`` in it.

    Raises:
        FileNotFoundError: there is no such folder.

    Example:
        >>> for entry in joblib_cache_entries("cache"):
        ...     print(entry.function.name, entry.arguments, entry.load())
    """
    root = _root_of(location)
    for folder, names, _ in os.walk(root):
        names.sort()
        entries = [name for name in names if _ENTRY.fullmatch(name) and os.path.exists(os.path.join(folder, name, _OUTPUT))]
        if entries and folder != root:
            function = _function(folder, os.path.relpath(folder, root))
            yield from filter(None, (_entry(function, os.path.join(folder, name)) for name in entries))


def joblib_cache_modules(location: str | os.PathLike[str]) -> list[str]:
    """The dotted names of modules that functions in a folder of ``joblib.Memory`` are in, those of scripts left out; classes may follow.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    root = _root_of(location)
    found = {os.path.relpath(os.path.dirname(folder), root) for folder, _, files in os.walk(root) if "func_code.py" in files}
    return sorted(name.replace(os.sep, ".") for name in found if not name.startswith((_MAIN, os.curdir)))


def _root_of(location: str | os.PathLike[str]) -> str:
    root = os.fspath(location)
    inner = os.path.join(root, "joblib")
    root = inner if os.path.isdir(inner) else root
    if not os.path.isdir(root):
        msg = f"there is no folder {root}"
        raise FileNotFoundError(msg)
    return root


def _function(folder: str, relative: str) -> JoblibFunction:
    *modules, name = [unquote(part) for part in relative.split(os.sep)]  # on Windows, some characters are quoted
    script, module = script_and_module(modules)
    source = _text(os.path.join(folder, "func_code.py"))
    found = _FIRST_LINE.match(source)
    first_line = int(found[1]) if found else -1
    return JoblibFunction(
        module=module,
        name=name,
        script=script,
        source=source[found.end() :] if found else source,
        first_line=first_line if first_line >= 0 else None,
    )


def script_and_module(steps: Sequence[str]) -> tuple[str, str]:
    """What :class:`JoblibFunction` says of a folder: ``steps`` lead to it."""
    first, *others = steps or [""]
    script = first.removeprefix(_MAIN + "-") if first.startswith(_MAIN + "-") else ""
    return script, ".".join([_MAIN if script else first, *others])


def _entry(function: JoblibFunction, folder: str) -> JoblibEntry | None:
    try:
        with os.scandir(folder) as found:
            sizes = [file.stat().st_size for file in found]
        written = os.stat(os.path.join(folder, _OUTPUT)).st_mtime
    except FileNotFoundError:  # removed just now
        return None
    noted = _metadata(os.path.join(folder, "metadata.json"))
    arguments = noted.get("input_args")
    return JoblibEntry(
        function=function,
        arguments=arguments if isinstance(arguments, dict) else None,
        duration=noted.get("duration"),
        time=noted.get("time", written),
        size=sum(sizes),
        folder=folder,
    )


def _metadata(path: str) -> dict[str, Any]:
    try:
        noted = json.loads(_text(path))
    except ValueError:
        return {}
    return noted if isinstance(noted, dict) else {}


def _text(path: str) -> str:
    """What is in a file; nothing if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
