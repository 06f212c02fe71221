"""Texts without the arguments of tasks, for runs of which these are not to be shown. Pure.

Errors of manyhands, and notes on others, name a task as it was called: ``task 3: work('a', 1)``. That is in tracebacks, and in the texts of
errors that tell of other errors, as with calls inside of tasks.
"""

from __future__ import annotations

import re

# What follows a task's name where manyhands names one: the shortest text that ends so, since behind it there may be more of them.
_AFTER = r"\.? *(?:\n|$)|\. Likely cause: | ran longer than timeout=| in worker \d| was cancelled on | has been |, or (?:the|one of the) "
_CALLED = re.compile(rf"(\btask \d+: [^\s(][^(\n]*)\((?s:.*?)\)(?={_AFTER})")


def without_arguments(text: str) -> str:
    """``task 3: work(...)`` in the place of ``task 3: work('a', 1)``, wherever that is."""
    return _CALLED.sub(r"\1(...)", text)
