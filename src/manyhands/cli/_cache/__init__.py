"""``manyhands cache``: what ``Memory`` has stored, and what is to become of it.

====================  ==================================================
``_stores``           from LOCATION to the store; names of functions
``_words``            sizes, times and numbers as people read them
``_listing``          ``manyhands cache ls``
``_info``             ``manyhands cache info``
``_why``              ``manyhands cache why``
``_prune``            ``manyhands cache prune``; ``_clear``: ``clear``
``_verify``           ``manyhands cache verify``
``_import_joblib``    ``manyhands cache import-joblib``
====================  ==================================================
"""

from __future__ import annotations

import click

from manyhands.cli._lazy import Lazy

_COMMANDS = {
    "clear": "_clear",
    "import-joblib": "_import_joblib",
    "info": "_info",
    "ls": "_listing",
    "prune": "_prune",
    "verify": "_verify",
    "why": "_why",
}


@click.group("cache", cls=Lazy, modules={name: f"{__name__}.{module}" for name, module in _COMMANDS.items()})
def command() -> None:
    """See, check and shrink what manyhands.Memory has stored.

    LOCATION is the folder that was given to Memory().

    \b
    Examples:
        manyhands cache ls cache
        manyhands cache why cache train.py:fit 3 rate=0.1
        manyhands cache prune cache --older 30d
    """
