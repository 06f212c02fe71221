"""What a function is, for a result on disk: a digest of all that the result depends on besides the arguments.

It counts, wherever the function is defined and however the program is run: its code and that of all helpers, classes and decorators of
the user's own that it reaches, also by imports within functions; closures, defaults, constants and any other variables that are read, by
what they hold; versions of installed packages; the minor version of Python, whose byte code is its own; what the author declares. It does
not count: comments, line numbers, file names, the folder of the project, names of modules (except of those that classes are of), the
order of imports; docstrings, and annotations of functions, unless code within reach, or a package's decorator, may read them.

A variable that the code only changes and gets nothing from (``calls.append(x)``, ``seen[x] = 1``, ``count += 1``), whatever there is in it
before, does not count. One that it reads and changes, a memo, counts as it is before the call; what is set up by the first call is computed
once more by the second.

Not seen is what no code shows: names made up while it runs (``getattr(module, name)``, ``importlib.import_module(name)``; a name that is a
text in the same function is seen), files, environment variables, what a server answers. These are for ``deps``, ``files``, ``env`` and
``version``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from manyhands._codec import _digests
from manyhands.memory import _declared, _places
from manyhands.memory._known import PYTHON, Known, known
from manyhands.memory._roots import function_of, root_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class FunctionKey:
    """What a function is.

    ``version``: anything that can be hashed; another one is another function. ``deps``: functions, classes, modules whose code counts, and
    values. ``files``: paths; their contents count. ``env``: names of environment variables; their values count.
    ``ignored``: names of parameters whose defaults do not count.

    Example::

        key = FunctionKey(load, files=("rates.csv",), env=("MODEL",))
        key.digest()  # 16 bytes

    Raises:
        TypeError: an argument is not what it should be; the message names it.
        NotHashable: the version, or a value among ``deps``.
    """

    __slots__ = ("_ignored", "_known", "_root", "_said", "declared", "name", "source")

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        version: object = None,
        deps: Sequence[Any] = (),
        files: Sequence[Any] = (),
        env: Sequence[str] = (),
        ignored: Sequence[str] = (),
    ) -> None:
        self._ignored = tuple(ignored)
        self._root = root_of(fn)
        if not callable(self._root):
            raise TypeError(f"fn is {fn!r}, which cannot be called")
        self.declared = _declared.checked(version, deps, files, env)
        self._known: Known | None = None
        self._said: tuple[list[tuple[str, str, bytes]], bytes, bytes] | None = None
        self.name, self.source = _name_and_source(self._root)

    def __repr__(self) -> str:
        return f"<FunctionKey of {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        declared = self.declared
        paths = tuple(file.name for file in declared.files)
        return _rebuilt, (self._root, (declared.version, declared.deps, paths, declared.env), self._ignored)

    def digest(self) -> bytes:
        """16 bytes, equal for equal functions, in whichever process; looked at anew as far as something has changed.

        Raises:
            OSError: one of ``files`` cannot be read.
            NotHashable: a value among ``deps`` cannot be hashed any more.
        """
        known = self._known
        if known is None or known.changed():
            known = self._look()
        return known.digest if self.declared.is_empty else self._with_declared(known)

    def parts(self) -> dict[str, bytes]:
        """What the digest is made of: a name that can be shown, and a digest, of each function, variable, package, file..."""
        known = self._current()
        return {**known.parts, **{label: digest for _, label, digest in self.declared.parts()}, PYTHON: b""}

    def _current(self) -> Known:
        known = self._known
        return self._look() if known is None or known.changed() else known

    def _look(self) -> Known:
        declared = self.declared
        said = _declared.hashed(declared.version, "version") if declared.version is not None and declared.is_empty else b""
        self._known = found = known(self._root, declared.code, self._ignored, said)
        return found

    def _with_declared(self, known: Known) -> bytes:
        parts = self.declared.parts()
        said = self._said
        if said is None or said[1] != known.digest or said[0] != parts:
            hashed = _digests.new()
            hashed.update(known.digest)
            for token, _, digest in parts:
                hashed.update(f"{len(token)}:{token}".encode())
                hashed.update(digest)
            said = self._said = parts, known.digest, hashed.digest()
        return said[2]


def _name_and_source(root: Any) -> tuple[str, str]:
    function = function_of(root)
    if function is not None:
        file = function.__code__.co_filename
        return f"{_places.importable_name(file, function.__module__)}.{function.__qualname__}", file
    named = root if hasattr(root, "__qualname__") else type(root)
    module = getattr(named, "__module__", None) or "builtins"
    file = _places.file_of_class(named) if isinstance(named, type) else getattr(sys.modules.get(module), "__file__", None) or ""
    return f"{_places.importable_name(file, module)}.{named.__qualname__}", file


def _rebuilt(root: Any, declared: tuple[Any, ...], ignored: tuple[str, ...]) -> FunctionKey:
    version, deps, files, env = declared
    return FunctionKey(root, version=version, deps=deps, files=files, env=env, ignored=ignored)
