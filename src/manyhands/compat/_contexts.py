"""How workers are started under the standard library's names: as it does where the program does not say."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

from manyhands._core.options import UNSET, block, is_chosen


def context_or_default(context: Any, start_method: object = UNSET) -> Any:
    """What ``context=None`` means there: the start method of ``multiprocessing``, unless one of manyhands' was chosen.

    Where that is "fork", workers are copies of the program, and programs rely on it: they have what its modules have gathered.
    """
    if context is not None or is_chosen("start_method", {"start_method": start_method}, block.get(), os.environ):
        return context
    return multiprocessing.get_context()


def is_fork(context: Any) -> bool:
    """Whether workers of this context are copies of the program."""
    return context == "fork" or (hasattr(context, "get_start_method") and context.get_start_method() == "fork")
