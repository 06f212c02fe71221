"""``manyhands explain``: whether an object can be sent to a worker, and what stands in the way."""

from __future__ import annotations

import sys

import click

from manyhands.cli._loading import CannotLoad, is_file, load
from manyhands.explaining import Explanation, explain


@click.command("explain")
@click.argument("what", metavar="MODULE:NAME")
def command(what: str) -> int:
    """Tell whether MODULE:NAME can be sent to another process; if not, all that stands in the way, and how to mend it.

    NAME is a function or any other object of the module, also of a file (tasks.py:work): what is in a file is explained as if that were
    run as a program. It is imported for that: what it does outside of functions is done. The exit status is 1 if it cannot be sent.

    \b
    Example:
        manyhands explain train.py:fit
    """
    try:
        obj, name = load(what, callable_only=False)
    except CannotLoad as error:
        raise click.BadParameter(str(error), param_hint="MODULE:NAME") from error
    explanation = explain(obj)
    if is_file(what):
        imported, explanation = explanation, _as_in_program(obj, name.partition(":")[0])
        print(explanation)
        if imported and not explanation:
            print(f"Imported from another file it can be sent: workers then import {name.replace(':', '.')} by its name.")
    else:
        print(explanation)
    return 0 if explanation else 1


def _as_in_program(obj: object, module: str) -> Explanation:
    """What is said of an object when its module is the program, which workers do not import."""
    held = sys.modules.pop(module)
    try:
        return explain(obj)
    finally:
        sys.modules[module] = held
