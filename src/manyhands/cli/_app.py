"""The group of commands, and how the program ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import manyhands
from manyhands.cli._lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMANDS = {
    "cache": "_cache",
    "demo": "_demo",
    "explain": "_explain",
    "info": "_info",
    "inspect": "_inspect",
    "map": "_map",
    "replay": "_replay",
    "run": "_program",
    "top": "_top",
    "watch": "_watch",
}


@click.group(
    cls=Lazy,
    modules={name: f"manyhands.cli.{module}" for name, module in _COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(manyhands.__version__, "-V", "--version", message="manyhands %(version)s")
def app() -> None:
    """Run Python functions on every core.

    \b
    Example, the square roots of the numbers from 1 to 5:
        seq 5 | manyhands map --json math:sqrt
    """


def run() -> int | Callable[[], int]:
    """Run the command that ``sys.argv`` names; the exit status, or what is to be run for it when nothing else is."""
    try:
        status = app.main(prog_name="manyhands", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:  # Ctrl-C where nothing had to be put away
        return 130
    return status if isinstance(status, int) or callable(status) else 0
