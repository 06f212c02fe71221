"""What is watched while it is timed: tight loops, small functions, and work as programs do it. Each takes some tens of milliseconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def tight_loop() -> int:
    """Two lines, a million times."""
    total = 0
    for number in range(1_000_000):
        total += number
    return total


def one_line() -> int:
    """A comprehension."""
    return len([number * number for number in range(1_000_000)])


def small_functions() -> int:
    """Calls of a function of four lines."""
    total = 0
    for number in range(200_000):
        total += _clipped(number)
    return total


def _clipped(number: int) -> int:
    doubled = number * 2
    if doubled > 1000:
        return 1000
    return doubled


_TEXT = "\n".join(
    f'{{"id": {number}, "name": "item {number % 97}", "tags": ["a{number % 7}", "b"], "price": {number % 1000}.5}}'
    for number in range(4000)
)


def orders() -> dict[str, Any]:
    """Lines are read, parsed, checked, grouped and written again, in functions of some twenty lines."""
    groups: dict[str, Any] = {}
    for line in _TEXT.splitlines():
        record = json.loads(line)
        if not _is_valid(record):
            continue
        _add(groups, record)
    return {name: _described(group) for name, group in groups.items()}


def _is_valid(record: dict[str, Any]) -> bool:
    name = record.get("name", "")
    if not name.startswith("item "):
        return False
    number = name.removeprefix("item ")
    if not number.isdigit():
        return False
    price = record.get("price")
    if not isinstance(price, float) or price < 0:
        return False
    tags = record["tags"]
    for tag in tags:
        if tag != tag.strip().lower():
            return False
    return bool(tags)


def _add(groups: dict[str, Any], record: dict[str, Any]) -> None:
    name = record["name"].replace(" ", "-").title()
    group = groups.get(name)
    if group is None:
        group = groups[name] = {"count": 0, "sum": 0.0, "tags": {}, "ids": []}
    group["count"] += 1
    group["sum"] += record["price"]
    group["ids"].append(record["id"])
    tags = group["tags"]
    for tag in record["tags"]:
        tags[tag] = tags.get(tag, 0) + 1
    if group["count"] % 10 == 0:
        group["ids"] = sorted(group["ids"], reverse=True)[:20]


def _described(group: dict[str, Any]) -> str:
    mean = group["sum"] / group["count"]
    tags = ", ".join(f"{tag}: {count}" for tag, count in sorted(group["tags"].items()))
    first = min(group["ids"])
    text = json.dumps({"mean": round(mean, 2), "tags": tags, "first": first})
    return text.replace('"', "'").strip("{}")


WORK: dict[str, tuple[str, Callable[[], Any]]] = {
    "loop": ("a loop of two lines", tight_loop),
    "comprehension": ("a comprehension", one_line),
    "functions": ("small functions", small_functions),
    "orders": ("parsing, checking, grouping", orders),
}
