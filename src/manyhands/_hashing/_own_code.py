"""What code of the project is, for digests of values: by the rule of ``_codec/_fingerprint.py``, and what classes hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._codec._code_walk import Walk, is_made_of_code
from manyhands._codec._fingerprint import Code
from manyhands._hashing import _code

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEEPEST = 20  # deeper tuples are not looked into for what may change


class _Program(Walk):
    """What is defined in the script counts as that of the project's modules does: no name leads to it from elsewhere."""

    def is_own(self, module: object) -> bool:
        """Whether the code of a module, by its name, is looked into."""
        return _code.counts(module)


class _Own(_Program):
    """What a class has under any name counts, as its objects have it, too.

    Attributes:
        changing: attributes of classes, by namespace and name, of which the contents may change without their being replaced. They are not
            in the digest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changing: list[tuple[Mapping[str, Any], str]] = []

    def class_(self, cls: type) -> None:
        """A class, and the class that it is an object of."""
        if self.is_own(type(cls).__module__):
            self.visit(type(cls))
        super().class_(cls)

    def class_attribute(self, cls: type, own: Mapping[str, Any], name: str) -> None:
        """Numbers, text, containers and arrays by what they hold; of other objects, the type."""
        value = own[name]
        if name.startswith(("__", "_abc_")) or name.isupper() or is_made_of_code(value):
            super().class_attribute(cls, own, name)
            return
        self.watching(own).names[name] = None
        self.say(name)
        if _may_change(value):
            self.changing.append((own, name))
        else:
            self.visit(value)


def _may_change(value: Any, depth: int = 0) -> bool:
    if type(value) in (tuple, frozenset) and depth < _DEEPEST:
        return any(_may_change(part, depth + 1) for part in value)
    return type(value) in (list, dict, set) or hasattr(type(value), "__array__")


class _Looked:
    """Code, with what its classes hold: that is looked at each time, without the code being walked through again."""

    def __init__(self, root: Any) -> None:
        walk = _Own()
        self._code = Code(root, walk)
        self._changing = walk.changing
        self.digest = self._with_contents()

    def changed(self) -> bool:
        """Whether it is other code by now; ``digest`` is up to date if not."""
        if self._code.changed():
            return True
        if self._changing:
            self.digest = self._with_contents()
        return False

    def _with_contents(self) -> bytes:
        if not self._changing:
            return self._code.digest
        walk = _Own()
        walk.hash.update(self._code.digest)
        for own, name in self._changing:
            walk.visit(own[name])
        walk.go_on()
        return walk.hash.digest()


def code_of(root: Any) -> _code.Digested:
    """What a function or class is made of, by the rule of the codec, and what classes hold."""
    return _Looked(root)


def bare_code_of(root: Any) -> _code.Digested:
    """The same by the rule of the codec alone."""
    return Code(root, _Program())
