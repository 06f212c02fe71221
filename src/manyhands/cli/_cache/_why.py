"""``manyhands cache why``: why a call would be computed."""

from __future__ import annotations

import ast
import re
from typing import Any

import click

from manyhands.cli._cache import _stores
from manyhands.cli._loading import CannotLoad, load
from manyhands.memory import MemorizedFunc

_NAMED = re.compile(r"([^\W\d]\w*)=(?!=)(.*)", re.DOTALL)


@click.command("why", short_help="Tell why a call would be computed.", context_settings={"ignore_unknown_options": True})
@_stores.location
@click.argument("what", metavar="MODULE:FUNCTION")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENT]...")
@_stores.key_file
def command(location: str, what: str, arguments: tuple[str, ...], key_file: str | None) -> int:
    """Tell why a call of MODULE:FUNCTION would be computed, or that its result is stored. Nothing is computed.

    MODULE may be a file (train.py:fit). It is imported: what it does outside of functions is done. Where it caches the function with
    @memory.cache, the options of that count. An ARGUMENT is a Python literal, or NAME=literal; mind the shell's quotes. The exit status
    is 1 if the call would be computed.

    \b
    Example:
        manyhands cache why cache train.py:fit 3 "'adam'" rate=0.1
    """
    args, kwargs = _parsed(arguments)
    with _stores.opened(location, key_file) as memory:
        try:
            function: Any = load(what)[0]
        except CannotLoad as error:
            raise click.BadParameter(str(error), param_hint="MODULE:FUNCTION") from error
        cached = function.at(memory) if isinstance(function, MemorizedFunc) else memory.cache(function)
        try:
            is_there = cached.check_call_in_cache(*args, **kwargs)
            answer = cached.why(*args, **kwargs)
        except TypeError as error:
            raise click.BadParameter(f"it cannot be called like that: {error}", param_hint="ARGUMENT") from None
    print(answer)
    return 0 if is_there else 1


def _parsed(arguments: tuple[str, ...]) -> tuple[list[object], dict[str, object]]:
    args: list[object] = []
    kwargs: dict[str, object] = {}
    for text in arguments:
        named = _NAMED.fullmatch(text)
        if named:
            kwargs[named[1]] = _value(named[2])
        elif kwargs:
            raise click.BadParameter(f"{text} stands after one that has a name", param_hint="ARGUMENT")
        else:
            args.append(_value(text))
    return args, kwargs


def _value(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        quoted = repr(text)
        msg = f'{text} is no Python literal; a text has quotes of its own: "{quoted}"'
        raise click.BadParameter(msg, param_hint="ARGUMENT") from None
