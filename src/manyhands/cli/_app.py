"""The group of commands, and how the program ends."""

from __future__ import annotations

import importlib

import click

import manyhands

_COMMANDS = {"demo": "_demo", "explain": "_explain", "info": "_info", "inspect": "_inspect", "map": "_map"}


class _Lazy(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"manyhands.cli.{_COMMANDS[cmd_name]}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}; commands are {', '.join(sorted(_COMMANDS))}")
        return super().resolve_command(ctx, args)


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
