"""``manyhands run``: a script, run as Python would run it, and watched."""

from __future__ import annotations

from typing import Any

import click

from manyhands.cli._running import Program
from manyhands.watch import _choices


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--watch", is_flag=True, help="Show the run on a page in the browser (needs starlette and uvicorn); so do all options below.")
@click.option("-m", "is_module", is_flag=True, help="SCRIPT is the name of a module.")
@click.option("--name", help="What the run is called.  [default: as the script]")
@click.option("--level", type=click.Choice(_choices.LEVELS), help="What is told of lines.  [default: sample]")
@click.option("--files", multiple=True, metavar="PART", help="Of files with PART in their paths. Can be repeated.")
@click.option("--arguments", is_flag=True, default=None, help="Show the arguments of tasks, which may be secret.")
@click.option("--control", is_flag=True, default=None, help="Let tasks be cancelled, and workers paused and restarted, from the page.")
@click.option("--terminal", is_flag=True, default=None, help="Show the run in this terminal as well.")
@click.option("--browser/--no-browser", default=None, help="Open the page.  [default: at a desktop, if nobody looks at it]")
@click.option("--port", type=int, help="Of the page.  [default: one that is free]")
@click.option("--host", help="The address that the page can be reached by.  [default: 127.0.0.1]")
@click.option("--save", multiple=True, metavar="FILE", help="Keep it: .html, .trace.json, .speedscope.json or .jsonl. Can be repeated.")
@click.argument("script")
@click.argument("arguments_of_script", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]...")
def command(watch: bool, is_module: bool, script: str, arguments_of_script: tuple[str, ...], **given: Any) -> Program:
    """Run SCRIPT with its ARGUMENTS, as `python SCRIPT ARGUMENTS` would.

    It can be watched then, also where it knows nothing of manyhands; with `--watch`, or where MANYHANDS_WATCH=1 is set.

    \b
    Example:
        manyhands run --watch simulate.py --steps 1000
    """
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    try:
        choices = _choices.checked(**chosen) if watch or chosen else None
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    return Program(script, list(arguments_of_script), is_module=is_module, choices=choices)
