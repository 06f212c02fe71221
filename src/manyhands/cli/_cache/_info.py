"""``manyhands cache info``: one store at a glance."""

from __future__ import annotations

import json
import os
import time

import click

from manyhands.cli._cache import _stores, _words


@click.command("info", short_help="Show how much is stored, and what it has saved.")
@_stores.location
@_stores.as_json
@_stores.key_file
def command(location: str, as_json: bool, key_file: str | None) -> None:
    """Show how much is stored in LOCATION, how much of it has been used, and what that has saved.

    A limit is not kept with the results: each program sets it (Memory(size_limit=)). Uses are those of results that are still there.

    \b
    Example:
        manyhands cache info cache
    """
    with _stores.opened(location, key_file) as memory:
        found = memory.store.statistics()
    disk = os.statvfs(found.folder)
    limit = disk.f_frsize * disk.f_blocks // 10
    if as_json:
        print(json.dumps({**found._asdict(), "default_limit": limit}, indent=2))
        return
    facts = [
        ("folder", found.folder),
        ("results", f"{found.entries:,} of {_words.counted(found.functions, 'function')}"),
        ("size", f"{_words.size(found.bytes)}; programs that set no limit keep at most {_words.size(limit)}, 10% of the disk"),
        ("computed in", _words.span(found.seconds)),
        ("uses", f"{found.uses:,}, which saved {_words.span(found.saved)}"),
    ]
    if found.entries:
        first = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.created))
        facts += [("since", first), ("last used", _words.ago(found.used))]
    facts.append(("damaged", f"{_words.counted(found.damaged, 'file')} set aside" if found.damaged else "nothing"))
    if found.versions:
        facts.append(("made with", ", ".join(f"{name} {' and '.join(versions)}" for name, versions in found.versions.items())))
    for name, value in facts:
        print(f"{name:13}{value}")
