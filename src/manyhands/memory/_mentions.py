"""Names that code mentions: those of attributes, and those that it has as texts, where it looks something up by a text."""

from __future__ import annotations

import functools
import inspect
import types

from manyhands._codec import _bytecode

# With these, a text of the code may be a name.
_BY_TEXT = frozenset({"getattr", "hasattr", "attrgetter", "methodcaller", "vars", "globals", "__dict__", "__getattribute__", "find_spec"})
_OF_GLOBALS = frozenset({"globals", "vars"})
_HINTS = frozenset(
    {"__annotations__", "__annotate__", "get_type_hints", "get_annotations", "signature", "getfullargspec", "__orig_bases__"}
)
_DOCS = frozenset({"__doc__", "getdoc"})
_MOST = 1000


@functools.lru_cache(_MOST)
def _known(of: _Code) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    names, texts, read = _bytecode.all_names(of.code), _texts(of.code), _read(of.code)
    words = frozenset(step for text in texts for step in text.split(".") if step.isidentifier())
    return (names if _BY_TEXT.isdisjoint(names) else names | words), words, read | (texts & (_HINTS | _DOCS))


class _Code:
    """Code, as itself: equal code of two functions is not compared byte by byte."""

    __slots__ = ("code",)

    def __init__(self, code: types.CodeType) -> None:
        self.code = code

    def __hash__(self) -> int:
        return id(self.code)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Code) and self.code is other.code


def of(code: types.CodeType) -> frozenset[str]:
    """What an attribute that code asks for may be called."""
    return _known(_Code(code))[0]


def of_globals(code: types.CodeType, variables: dict[str, object]) -> frozenset[str]:
    """The globals that code needs, by name or by ``globals()["name"]``."""
    names = _bytecode.global_names(code)
    if _OF_GLOBALS.isdisjoint(names):
        return names
    return names | {word for word in _known(_Code(code))[1] if word in variables}


def reads_hints(code: types.CodeType) -> bool:
    """Whether code may ask for annotations."""
    return not _HINTS.isdisjoint(_known(_Code(code))[2])


def reads_docs(code: types.CodeType) -> bool:
    """Whether code may ask for docstrings."""
    return not _DOCS.isdisjoint(_known(_Code(code))[2])


def texts(code: types.CodeType) -> list[str]:
    """All texts among the constants of code, docstrings included, in order."""
    own = [constant for constant in code.co_consts if isinstance(constant, str)]
    return own + [text for constant in code.co_consts if isinstance(constant, types.CodeType) for text in texts(constant)]


def _texts(code: types.CodeType) -> frozenset[str]:
    found = set(texts(code))
    for constant in code.co_consts:
        if isinstance(constant, tuple):  # the names of keyword arguments, what is iterated over
            found |= {part for part in constant if isinstance(part, str)}
    inner = [_texts(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return frozenset(found).union(*inner)


def _read(code: types.CodeType) -> frozenset[str]:
    """Names in functions; the body of a class sets its docstring and annotations, which is not to ask for them."""
    own = code.co_names if code.co_flags & inspect.CO_OPTIMIZED else ()
    return frozenset(own).union(*(_read(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)))
