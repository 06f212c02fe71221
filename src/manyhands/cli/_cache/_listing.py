"""``manyhands cache ls``: what is stored, by function or one by one."""

from __future__ import annotations

import heapq
import json
from typing import TYPE_CHECKING, Any

import click

from manyhands.cli._cache import _stores, _words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from manyhands.memory import Memory

_MOST = 100  # single results, unless told otherwise
_WIDEST = 120  # characters of arguments

# What comes first; of functions the sums count.
_ORDERS: dict[str, Callable[[Any], float]] = {
    "size": lambda found: found.bytes if hasattr(found, "bytes") else found.size + found.large,
    "age": lambda found: -found.used,
    "cost": lambda found: found.seconds,
    "uses": lambda found: found.uses,
}


@click.command("ls", short_help="List functions, or single results.")
@_stores.location
@_stores.one_function
@click.option(
    "-l", "--long", "single", is_flag=True, help=f"Single results with their arguments; at most {_MOST} of them, unless --limit is given."
)
@click.option(
    "--sort",
    type=click.Choice(list(_ORDERS)),
    default="size",
    show_default=True,
    help="What comes first: large, long not used, slow, often used.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N.")
@_stores.as_json
@_stores.key_file
def command(location: str, function: str | None, single: bool, sort: str, limit: int | None, as_json: bool, key_file: str | None) -> None:
    """List what is stored in LOCATION: functions, with how much their results have saved; or single results (-l).

    "saved" is the time that results took to compute, as often as they were loaded since. What several results have in common (an array)
    is stored once, and counts for each here.

    \b
    Examples:
        manyhands cache ls cache --sort cost
        manyhands cache ls cache -l --function fit --limit 10
        manyhands cache ls cache --json | jq '.[0].function'
    """
    with _stores.opened(location, key_file) as memory:
        name = _stores.maybe_named(memory, function)
        if single:
            _list_results(memory, name, sort, limit, as_json)
        else:
            _list_functions(memory, name, sort, limit, as_json)


def _list_functions(memory: Memory, name: str | None, sort: str, limit: int | None, as_json: bool) -> None:
    found = [summary for summary in _stores.functions_of(memory) if name in {None, summary.function}]
    shown = _first(found, sort, limit)
    if as_json:
        print(
            json.dumps([{field: value for field, value in summary._asdict().items() if field != "newest"} for summary in shown], indent=2)
        )
        return
    rows = [
        (
            f"{summary.entries:,}",
            _words.size(summary.bytes),
            _words.span(summary.seconds),
            f"{summary.uses:,}",
            _words.span(summary.saved),
            _words.ago(summary.used),
            summary.function,
        )
        for summary in shown
    ]
    print(_words.table(("results", "size", "computed in", "uses", "saved", "last used", "function"), rows))
    _say_left(len(found) - len(shown), "function")


def _list_results(memory: Memory, name: str | None, sort: str, limit: int | None, as_json: bool) -> None:
    infos = [info for info in memory.store.index().infos() if name is None or info.function == name]
    shown = _first(infos, sort, limit or _MOST)
    if as_json:
        print(json.dumps([_as_object(memory, info) for info in shown], indent=2))
    else:
        rows = [
            (
                _words.size(info.size + info.large),
                _words.span(info.seconds),
                f"{info.uses:,}",
                _words.ago(info.created),
                _words.ago(info.used),
                _call(memory, info),
            )
            for info in shown
        ]
        print(_words.table(("size", "computed in", "uses", "stored", "last used", "call"), rows))
    _say_left(len(infos) - len(shown), "result")


def _first(found: Iterable[Any], sort: str, limit: int | None) -> list[Any]:
    if limit is None:
        return sorted(found, key=_ORDERS[sort], reverse=True)
    return heapq.nlargest(limit, found, key=_ORDERS[sort])


def _as_object(memory: Memory, info: Any) -> dict[str, object]:
    meta = memory.store.meta(info.key)
    return {
        "key": info.key.hex(),
        "function": info.function,
        "arguments": None if meta is None else dict(meta.arguments),
        "bytes": info.size + info.large,
        "seconds": info.seconds,
        "uses": info.uses,
        "created": info.created,
        "used": info.used,
    }


def _call(memory: Memory, info: Any) -> str:
    meta = memory.store.meta(info.key)
    if meta is None:
        return f"{info.function}(?)"
    inside = ", ".join(f"{parameter}={text}" for parameter, text in meta.arguments.items())
    return f"{info.function}({inside if len(inside) <= _WIDEST else inside[:_WIDEST] + '...'})"


def _say_left(count: int, what: str) -> None:
    if count > 0:
        click.echo(f"and {_words.counted(count, what)} more; --limit N shows more", err=True)
