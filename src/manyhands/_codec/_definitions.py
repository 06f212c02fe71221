"""Functions and classes of the project, which travel by name with a digest of their code.

The receiver looks up the name and compares. Where it has other code, or none, it asks for what was meant, which is then sent by value.

::

    sender                                    receiver
    reference(f) ── name, digest ───────────▶ definition(name, digest)
                                                import, walk to the name, compare
    answer(name, digest) ◀── want ────────────  else: ask
    f by value ─────────────────────────────▶  f as it was sent
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._codec import _pickling
from manyhands._codec._code_walk import ModuleUse, Names
from manyhands._codec._fingerprint import Code

if TYPE_CHECKING:
    import types
    from collections.abc import Iterator, Sequence

    from manyhands._codec._pickling import Encoder

    Key = tuple[str, str, bytes]  # module, qualified name, digest

_MOST = 2000


class _Table:
    """Code by object, and what has been sent by its key. Kept for a while: who has been sent a name may ask what was meant."""

    def __init__(self) -> None:
        self.codes: OrderedDict[int | tuple[int, int], Code] = OrderedDict()  # they keep their objects, so that an id stays its own
        self.sent: OrderedDict[Key, Code] = OrderedDict()
        self.asked: list[Key] = []  # what has been asked for, and refers to what is asked for next
        self.received: dict[tuple[Key, bool], Any] = {}  # with whether it had to be this process's own
        self.replaced: list[str] | None = None  # what has other code here, where that is taken all the same


_table = _Table()


def code_of(obj: Any) -> Code:
    """The code of a function or class, as it is now."""
    code = _table.codes.get(id(obj))
    if code is None or code.changed():
        code = _keep(_table.codes, id(obj), Code(obj))
    return code


def globals_digest(variables: dict[str, Any], code: types.CodeType) -> bytes:
    """The digest of what an inner function gets from its module."""
    known = _table.codes.get(id(code))
    if known is None or known.changed():
        known = _keep(_table.codes, id(code), Code(Names(variables, code)))
    _keep(_table.sent, (variables["__name__"], "", known.digest), known)
    return known.digest


def module_code(module: types.ModuleType, code: types.CodeType) -> Code:
    """What ``code`` uses of a module of the project, as it is now."""
    key = id(module), id(code)
    known = _table.codes.get(key)
    if known is None or known.changed():
        known = _keep(_table.codes, key, Code(ModuleUse(module, code)))
    return known


def module_reference(encoder: Encoder, use: ModuleUse) -> Any:
    """For the pickler: a module of the project that code which travels by value uses."""
    known = module_code(use.module, use.code)
    key = (use.module.__name__, "", known.digest)
    _keep(_table.sent, key, known)
    return module_used, (use.module.__name__, known.digest, use.code, encoder.on_stale == "raise")


def reference(encoder: Encoder, obj: Any) -> Any:
    """For the pickler: a function or class that its module has under its name."""
    code = code_of(obj)
    key = (obj.__module__, obj.__qualname__, code.digest)
    _keep(_table.sent, key, code)
    return definition, (*key, encoder.on_stale == "raise")


def _keep(table: OrderedDict[Any, Any], key: Any, value: Any) -> Any:
    table[key] = value
    if len(table) > _MOST:
        table.popitem(last=False)
    return value


# ------------------------------------------------------------ the receiver


def definition(module: str, name: str, digest: bytes, strict: bool) -> Any:
    """The function or class with that code: the one that this process has under its name, else the one of the sender.

    Raises:
        StaleCode: this process has other code, and the sender does not want it replaced, or cannot send it.
    """
    key = (module, name, digest)
    try:
        return _table.received[key, strict]
    except KeyError:
        pass
    found, seen = _find(module, name)
    if found is None or code_of(found).digest != digest:
        found = _asked(key, found, seen, strict)
    _table.received[key, strict] = found
    return found


def globals_of(module: str, digest: bytes, code: types.CodeType, strict: bool) -> dict[str, Any]:
    """The globals for an inner function of a module: those of the module here, if its code has what the sender's has.

    Raises:
        StaleCode: as above.
    """
    key = (module, "", digest)
    found: dict[str, Any] | None = _table.received.get((key, strict))
    if found is None:
        held, seen = _find(module, "")
        same = held is not None and Code(Names(held.__dict__, code)).digest == digest
        found = held.__dict__ if same else _asked(key, getattr(held, "__dict__", None), seen, strict)
        _table.received[key, strict] = found
    return found


def module_used(module: str, digest: bytes, code: types.CodeType, strict: bool) -> types.ModuleType:
    """The module for code that came by value: the one here, if what the code uses of it is what the sender has.

    Raises:
        StaleCode: as above.
    """
    key = (module, "", digest)
    found: types.ModuleType | None = _table.received.get((key, strict))
    if found is None:
        held, seen = _find(module, "")
        same = held is not None and Code(ModuleUse(held, code)).digest == digest
        found = held if same else _asked(key, held, seen, strict)
        _table.received[key, strict] = found
    return found


def _find(module: str, name: str) -> tuple[Any, str]:
    """What a name leads to here, and that in words."""
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        return None, f"cannot import {module} ({error}; it looks in {', '.join(map(repr, sys.path[:4]))}...)"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a module is run when it is imported; its file may be half edited
        return None, f"cannot import {module} ({type(error).__name__}: {error})"
    file = getattr(found, "__file__", "?")
    for step in name.split(".") if name else ():
        found = getattr(found, step, None)
    if found is None:
        return None, f"has no {name} in {file}"
    return found, f"has other code under that name, from {file}"


@contextlib.contextmanager
def as_it_is_now() -> Iterator[list[str]]:
    """In there, what this process has under a name is taken, whatever was meant. Gives, as it comes, what has other code.

    Raises:
        ImportError: from in there: it has nothing under a name.
    """
    before, _table.received = _table.received, {}
    replaced = _table.replaced = []
    try:
        yield replaced
    finally:
        _table.received, _table.replaced = before, None


def _asked(key: Key, here: Any, seen: str, strict: bool) -> Any:
    """What was meant; ``here``: what there is under its name in this process, which is ``seen`` in words."""
    if _table.replaced is not None:
        if here is None:
            raise ImportError(seen, name=key[0])
        if (what := _what(key)) not in _table.replaced:
            _table.replaced.append(what)
        return here
    if strict or _pickling.ask is None:
        raise errors.StaleCode(_what(key), f"process {os.getpid()} {seen}", "on_stale='raise' forbids to send it" if strict else "")
    _table.asked.append(key)
    try:
        return _pickling.ask(_table.asked, seen)
    finally:
        _table.asked.pop()


# ------------------------------------------------------------ the sender


def answer(keys: list[Key], seen: str) -> tuple[bytes, Sequence[memoryview]]:
    """What the last of ``keys`` stands for, by value; the others are waited for, and it may refer to them. See :func:`encode_stale`.

    Raises:
        StaleCode: it has changed since it was sent, or cannot be sent by value.
    """
    if not keys[-1][0]:
        from manyhands._codec import _class_references  # noqa: PLC0415 - who sends such classes has loaded it

        return _class_references.answer(keys[-1][1], keys[-1][2]), ()
    codes = [_table.sent.get(tuple(key)) for key in keys]  # type: ignore[arg-type]
    key, code = keys[-1], codes[-1]
    what = _what(key)
    if code is None or (code.changed() and Code(code.root).digest != key[2]):
        raise errors.StaleCode(what, f"the worker {seen}", "here it has changed since it was sent")
    try:
        return _pickling.encode_stale(code.root, [other.root for other in codes if other is not None])
    except errors.NotSerializable as error:
        raise errors.StaleCode(what, f"the worker {seen}", f"it cannot be sent either: {error}") from error


def _what(key: Key) -> str:
    return f"{key[0]}.{key[1]}" if key[1] else f"what a function uses of {key[0]}"
