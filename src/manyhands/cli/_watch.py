"""``manyhands watch``: the runs of this user that are watched, and their page."""

from __future__ import annotations

import sys
from typing import Any

import click

from manyhands.watch import _commands

_SAVED_WITHIN = 300.0  # seconds


@click.command("watch")
@click.option("--browser/--no-browser", default=None, help="Open the page.  [default: at a desktop, if nobody looks at it]")
@click.option("--save", multiple=True, metavar="FILE", help="Keep RUN: .html, .trace.json, .speedscope.json or .jsonl. Can be repeated.")
@click.argument("run", required=False)
def command(browser: bool | None, save: tuple[str, ...], run: str | None) -> int:
    """List your programs that are watched, and tell the address of the page that shows them; or keep one of them in a file.

    RUN is the name or the id of a program; without it, that which began last. The exit status is 1 if there are none.

    \b
    Examples:
        manyhands watch --no-browser
        manyhands watch --save run.html simulate.py
    """
    from manyhands.watch._choices import wants_browser  # noqa: PLC0415 - here alone

    paths = _paths(save)
    found = _commands.ask("runs")
    if found is None:
        print(_commands.NOBODY, file=sys.stderr)
        return 1
    if save or run is not None:
        return _keep(_chosen(found["runs"], run), paths)
    url = _commands.address_of_page()
    for each in found["runs"]:
        print(_line(each))
    if not url:
        print("There is no page: pip install starlette uvicorn", file=sys.stderr)
        return 0
    print(url)
    if wants_browser(browser, is_terminal=sys.stdout.isatty()):
        _commands.ask("open")
    return 0


def _chosen(runs: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """The last of those that are meant."""
    meant = [run for run in runs if name is None or name in {run["id"], run["name"]}]
    if not meant:
        known = ", ".join(sorted({run["name"] for run in runs}))
        raise click.UsageError(f"no program of the name or id {name!r} is being watched; there are: {known or 'none'}")
    return meant[-1]


def _paths(files: tuple[str, ...]) -> list[str]:
    from manyhands.watch._choices import file_to_keep  # noqa: PLC0415 - here alone

    try:
        return [file_to_keep("--save", file) for file in files]
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _keep(run: dict[str, Any], paths: list[str]) -> int:
    if not paths:
        raise click.UsageError("what is to become of RUN? --save FILE keeps it")
    for path in paths:
        said = _commands.ask("save", {"run": run["id"], "path": path}, _SAVED_WITHIN) or {"why": "the observer has gone"}
        if said["why"]:
            print(f"{run['name']} could not be kept in {path}: {said['why']}", file=sys.stderr)
            return 1
        print(path)
    return 0


def _line(run: dict[str, Any]) -> str:
    """``simulate.py   running for 12 s, 3 processes``."""
    how = f" ({run['how']})" if run["how"] else ""
    if run["state"] == "running":
        return f"{run['name']:<20} running for {run['elapsed']:.0f} s, {run['processes']} process{'es' * (run['processes'] != 1)}"
    return f"{run['name']:<20} {run['state']} after {run['elapsed']:.0f} s{how}"
