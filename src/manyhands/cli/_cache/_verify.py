"""``manyhands cache verify``: whether what is stored is whole."""

from __future__ import annotations

import warnings

import click

from manyhands import errors
from manyhands.cli._cache import _stores, _words


@click.command("verify", short_help="Compare everything with its checksums.")
@_stores.location
@_stores.key_file
def command(location: str, key_file: str | None) -> int:
    """Read everything in LOCATION, and compare it with its checksums; with the key, signatures too. Nothing in it runs.

    What is damaged is set aside, and computed anew when it is next wanted; what is not signed with the key stays, and is never loaded. The
    exit status is 1 if there was either.

    \b
    Example:
        manyhands cache verify cache
    """
    checked = faults = 0
    with _stores.opened(location, key_file) as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.StoreWarning)  # said here
        names = {info.key: info.function for info in memory.store.index().infos()}
        for key, fault in memory.store.checked():
            checked += 1
            if fault:
                faults += 1
                print(f"{key.hex()}  {names.get(key) or 'of an unknown function'}: {fault}")
        aside = memory.store.folder.damaged
    if faults:
        print(f"{faults:,} of {_words.counted(checked, 'result')} cannot be used; damaged ones are in {aside}")
        return 1
    print(f"{_words.counted(checked, 'result')} checked; nothing is damaged")
    return 0
