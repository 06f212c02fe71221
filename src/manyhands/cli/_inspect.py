"""``manyhands inspect``: what is in a file that ``dump`` has written."""

from __future__ import annotations

import dataclasses
import json

import click

from manyhands.errors import StoreCorrupt
from manyhands.persistence import Inspection, inspect


@click.command("inspect")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, sizes in bytes.")
def command(file: str, as_json: bool) -> None:
    """Show what is in a FILE of manyhands.dump() without loading it: nothing in it runs.

    \b
    Examples:
        manyhands inspect model.mh
        manyhands inspect model.mh --json | jq .arrays
    """
    try:
        found = inspect(file)
    except (OSError, StoreCorrupt) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=2))
        return
    for name, value in _facts(found):
        print(f"{name:12}{value}")
    if found.arrays:
        print("arrays")
        for array in found.arrays:
            stored = f", {array.stored:,} stored by {array.compressor}" if array.compressor else ""
            print(f"  {array.dtype} {array.shape}: {array.size:,} bytes{stored}")
    if found.outline:
        print("contents", *found.outline, sep="\n  ")


def _facts(found: Inspection) -> list[tuple[str, str]]:
    facts = [("file", found.path), ("format", found.format), ("size", f"{found.size:,} bytes")]
    if found.compressor:
        facts.append(("compressed", found.compressor))
    if found.format != "manyhands":
        return facts
    versions = {"Python": found.python, "manyhands": found.manyhands, **found.packages}
    facts.append(("written by", ", ".join(f"{name} {version}" for name, version in versions.items())))
    facts.append(("pickle", f"{found.pickle:,} bytes"))
    return [*facts, ("names", ", ".join(found.names))] if found.names else facts
