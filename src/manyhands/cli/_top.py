"""``manyhands top``: the runs of this user that are watched, in the terminal."""

from __future__ import annotations

import os
import sys

import click

from manyhands.progress import is_terminal
from manyhands.watch import _commands


@click.command("top")
@click.option("--once", is_flag=True, help="Print one picture and end.")
def command(once: bool) -> int:
    """Show your programs that are watched, live in this terminal, until you press q.

    Where standard output is no terminal, a line now and then, until they have ended. The exit status is 1 if there are none.

    \b
    Example:
        manyhands top
    """
    from manyhands.cli import _top_shown  # noqa: PLC0415 - rich takes 50 ms

    try:
        look = _commands.Look()
    except OSError:
        print(_commands.NOBODY, file=sys.stderr)
        return 1
    with look:
        if once:
            _top_shown.once(look)
        elif is_terminal(sys.stdout) and os.environ.get("TERM", "dumb") != "dumb":
            _top_shown.FullScreen(look).show()
        else:
            _top_shown.lines(look)
    return 0
