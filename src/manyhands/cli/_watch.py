"""``manyhands watch``: the runs of this user that are watched, and their page."""

from __future__ import annotations

import sys
from typing import Any

import click

from manyhands.watch import _commands


@click.command("watch")
@click.option("--browser/--no-browser", default=None, help="Open the page.  [default: at a desktop, if nobody looks at it]")
def command(browser: bool | None) -> int:
    """List your programs that are watched, and tell the address of the page that shows them.

    The exit status is 1 if there are none.

    \b
    Example:
        manyhands watch --no-browser
    """
    from manyhands.watch._choices import wants_browser  # noqa: PLC0415 - here alone

    found, url = _commands.ask("runs"), _commands.address_of_page()
    if found is None:
        print("No program of yours is being watched. `manyhands run --watch SCRIPT` runs one that is.", file=sys.stderr)
        return 1
    for run in found["runs"]:
        print(_line(run))
    if not url:
        print("There is no page: pip install 'manyhands[watch]'", file=sys.stderr)
        return 0
    print(url)
    if wants_browser(browser, is_terminal=sys.stdout.isatty()):
        _commands.ask("open")
    return 0


def _line(run: dict[str, Any]) -> str:
    """``simulate.py   running for 12 s, 3 processes``."""
    how = f" ({run['how']})" if run["how"] else ""
    if run["state"] == "running":
        return f"{run['name']:<20} running for {run['elapsed']:.0f} s, {run['processes']} process{'es' * (run['processes'] != 1)}"
    return f"{run['name']:<20} {run['state']} after {run['elapsed']:.0f} s{how}"
