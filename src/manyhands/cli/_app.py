"""The group of commands, and how the program ends."""

from __future__ import annotations

import click

import manyhands
from manyhands.cli._lazy import Lazy

_COMMANDS = {"cache": "_cache", "demo": "_demo", "explain": "_explain", "info": "_info", "inspect": "_inspect", "map": "_map"}


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


def run() -> int:
    """Run the command that ``sys.argv`` names; the exit status."""
    try:
        status = app.main(prog_name="manyhands", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:  # Ctrl-C where nothing had to be put away
        return 130
    return status if isinstance(status, int) else 0
