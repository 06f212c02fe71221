"""In words: why a function is no longer the one whose results are stored."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What comes first in an answer, by the first word of a part's name.
_ORDER = (
    *("argument", "function", "version", "helper", "class", "object", "constant", "global", "attribute", "default", "variable"),
    *("deps", "file"),
)
_ITS_OWN = ("function ", "object ", "default ", "attribute ")
_OF_BYTE_CODE = ("function", "helper", "class", "object")


def differences(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """What is different between two sets of parts (:meth:`FunctionKey.parts`), a sentence each, the most telling first.

    Example::

        differences(stored, key.parts())  # ["helper scale() in ops.py changed", "package numpy 2.3.0 is now 2.4.6"]
    """
    old, new = _versions(before), _versions(after)
    other_python = old.get("Python") != new.get("Python")
    said = []
    for label in sorted(before.keys() | after.keys(), key=_rank):
        kind = label.partition(" ")[0]
        if kind in {"package", "Python"}:
            continue
        if kind == "argument" and ": " in label and not (label in before and label in after):
            continue  # it is something else altogether
        if label not in before:
            said.append(f"{label} is new")
        elif label not in after:
            said.append(f"{label} is gone")
        elif before[label] != after[label] and not (other_python and kind in _OF_BYTE_CODE):  # each Python has its own byte code
            said.append(f"{label} changed")
    return said + [
        _of_version(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)
    ]


def nearest(stored: Iterable[Mapping[str, bytes]], after: Mapping[str, bytes]) -> Mapping[str, bytes] | None:
    """Of several sets of parts that from which the least is different; None: there is none."""
    return min(stored, key=lambda before: len(set(before.items()) ^ set(after.items())), default=None)


def itself(parts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Of the parts of a function, those that make it this one among others of its name, rather than what it uses."""
    return {label: digest for label, digest in parts.items() if label.startswith(_ITS_OWN) or " around function " in label}


def _rank(label: str) -> tuple[int, str]:
    kind = label.partition(" ")[0].partition("[")[0]
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), label)


def _versions(parts: Mapping[str, bytes]) -> dict[str, str]:
    """By "package numpy" or "Python": which."""
    found = {}
    for label in parts:
        words = label.split(" ")
        if words[0] == "Python":
            found[words[0]] = words[1]
        elif words[0] == "package":
            found[" ".join(words[:2])] = " ".join(words[2:])
    return found


def _of_version(name: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"{name} {after} is new"
    return f"{name} {before} is gone" if after is None else f"{name} {before} is now {after}"
