"""What a result depends on beyond what code shows, as the author says: a version, other code and values, files, environment variables."""

from __future__ import annotations

import os
import time
import types
from typing import TYPE_CHECKING, Any

from manyhands._codec import _code_walk, _digests
from manyhands.memory import _contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BLOCK = 1 << 20
# A file that was written just before it was read may be written again without its time of change telling.
_SETTLED = 0.1  # seconds; file systems note times in steps of some milliseconds


class Declared:
    """``version``, values among ``deps``, ``files`` and ``env``, and what they are now."""

    def __init__(self, version: object, deps: Sequence[Any], files: Sequence[str], env: Sequence[str]) -> None:
        self.version = version
        self.deps = deps
        self.code = [dep for dep in deps if is_looked_into(dep)]
        self.values = [(f"deps[{index}]", dep) for index, dep in enumerate(deps) if not is_looked_into(dep)]
        self.env = env
        self.files = [File(name) for name in files]
        self.is_empty = not (self.values or files or env)

    def parts(self) -> list[tuple[str, str, bytes]]:
        """Token, label and digest of each, as it is now.

        Raises:
            OSError: a file cannot be read.
            NotHashable: a value cannot be hashed.
        """
        found = [] if self.version is None else [("version", "version", hashed(self.version, "version"))]
        found += [(name, name, hashed(value, name)) for name, value in self.values]
        found += [(f"file {index}", f"file {file.name}", file.digest()) for index, file in enumerate(self.files)]
        return found + [(f"variable {name}", f"variable {name}", _of_variable(name)) for name in self.env]

    def parts_of_another(self) -> list[tuple[str, bytes]]:
        """Label and digest of each, as it is now, for who calls the function that they are of: what is missing may be made by then."""
        found = [] if self.version is None else [("version", _contents.digest(self.version))]
        found += [(name, _contents.digest(value)) for name, value in self.values]
        found += [(f"file {file.name}", file.digest_or_none()) for file in self.files]
        return found + [(f"variable {name}", _of_variable(name)) for name in self.env]


def by_cached(function: Any) -> list[Declared]:
    """What has been declared of a function that is cached."""
    if not type(function).__module__.startswith("manyhands.memory"):
        return []
    held = [getattr(part, "declared", None) for part in _code_walk.attributes(function).values()]
    return [part for part in held if isinstance(part, Declared)]


def is_looked_into(dep: Any) -> bool:
    """Whether something declared is code, whose contents are looked for."""
    return isinstance(dep, types.ModuleType) or (callable(dep) and not _contents.is_data(dep))


def hashed(value: Any, name: str) -> bytes:
    """The digest of what the author names: here, what cannot be hashed is an error."""
    from manyhands.memory._arguments import digest_of  # noqa: PLC0415 - most functions declare nothing

    return digest_of(value, name)


class File:
    """A file that counts by its contents; they are read again when its size or time of change is another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._seen: tuple[tuple[int, ...], bytes] | None = None

    def digest(self) -> bytes:
        try:
            about = os.stat(self.name)
            shape = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            if self._seen is not None and self._seen[0] == shape:
                return self._seen[1]
            now = time.time()
            digest = _of_file(self.name)
        except OSError as error:
            error.add_note(f"It is one of files=, whose contents the results of a function depend on: {self.name!r}.")
            raise
        self._seen = (shape, digest) if now - max(about.st_mtime, about.st_ctime) > _SETTLED else None
        return digest

    def digest_or_none(self) -> bytes:
        """The same; of a file that cannot be read, that of none."""
        try:
            return self.digest()
        except OSError:
            return b""


def _of_file(name: str) -> bytes:
    hashed = _digests.new()
    with open(name, "rb") as file:
        while block := file.read(_BLOCK):
            hashed.update(block)
    return hashed.digest()


def _of_variable(name: str) -> bytes:
    value = os.environ.get(name)
    return _digests.of(b"" if value is None else b"=" + os.fsencode(value))


# ------------------------------------------------------------ what is accepted


def checked(version: object, deps: object, files: object, env: object) -> Declared:
    """The author's words.

    Raises:
        TypeError: something is not what it should be; the message names the argument.
        NotHashable: the version, or a value among ``deps``.
    """
    declared = Declared(version, _several("deps", deps, "functions, modules and values"), _files(files), _names(env))
    if version is not None:
        hashed(version, "version")
    for name, value in declared.values:
        hashed(value, name)
    return declared


def _several(name: str, value: object, what: str) -> tuple[Any, ...]:
    if isinstance(value, list | tuple):
        return tuple(value)
    raise TypeError(f"{name}= takes a list or tuple of {what}, not {value!r}: write {name}=({_short(value)},)")


def _files(value: object) -> tuple[str, ...]:
    found = []
    for index, path in enumerate(_several("files", value, "paths")):
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"files[{index}] is {_short(path)}: it has to be a path, a str or pathlib.Path")
        name = os.fspath(path)
        if os.path.isdir(name):
            raise IsADirectoryError(
                f"files[{index}] is a folder: {name!r}. Name the files in it that count, as by sorted(folder.glob('*.csv'))"
            )
        found.append(os.fsdecode(name))
    return tuple(found)


def _names(value: object) -> tuple[str, ...]:
    found = _several("env", value, "names of environment variables")
    for index, name in enumerate(found):
        if not isinstance(name, str):
            raise TypeError(f"env[{index}] is {_short(name)}: it has to be the name of an environment variable")
    return tuple(found)


def _short(value: object) -> str:
    if isinstance(value, types.FunctionType | type | types.ModuleType):
        return value.__name__
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def names_of_module(module: types.ModuleType) -> Iterable[str]:
    """What a module among ``deps`` is made of."""
    return (name for name in vars(module) if not (name.startswith("__") and name.endswith("__")))
