"""``manyhands explain``: whether an object can be sent to a worker, and what stands in the way."""

from __future__ import annotations

import click

from manyhands.cli._loading import CannotLoad, load
from manyhands.explaining import explain


@click.command("explain")
@click.argument("what", metavar="MODULE:NAME")
def command(what: str) -> int:
    """Tell whether MODULE:NAME can be sent to another process; if not, all that stands in the way, and how to mend it.

    NAME is a function or any other object of the module, also of a file (tasks.py:work). The exit status is 1 if it cannot be sent.

    \b
    Example:
        manyhands explain train.py:fit
    """
    try:
        obj, _ = load(what, callable_only=False)
    except CannotLoad as error:
        raise click.BadParameter(str(error), param_hint="MODULE:NAME") from error
    explanation = explain(obj)
    print(explanation)
    return 0 if explanation else 1
