"""``manyhands cache clear``: no results."""

from __future__ import annotations

import sys

import click

from manyhands.cli._cache import _stores, _words


@click.command("clear", short_help="Remove all results, or those of one function.")
@_stores.location
@_stores.one_function
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_stores.key_file
def command(location: str, function: str | None, yes: bool, key_file: str | None) -> int:
    """Remove all results from LOCATION, or all of one function. It asks first; where nobody can answer, --yes is needed.

    \b
    Example:
        manyhands cache clear cache --function fit
    """
    with _stores.opened(location, key_file) as memory:
        name = _stores.maybe_named(memory, function)
        found = [summary for summary in _stores.functions_of(memory) if name in {None, summary.function}]
        count = sum(summary.entries for summary in found)
        what = f"{_words.counted(count, 'result')} of {name or _words.counted(len(found), 'function')}"
        if not yes and not _agreed(what, memory.store.location):
            return 1
        memory.store.clear(name)
    print(f"{what} removed")
    return 0


def _agreed(what: str, place: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} would be removed from {place}; there is no terminal to ask at, so say --yes")
    return click.confirm(f"Remove {what} from {place}?", err=True)
