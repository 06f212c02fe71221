"""``eval_expr``, under the name that it has in ``joblib._utils``."""

from __future__ import annotations

from manyhands._core.arithmetic import evaluate


def eval_expr(expr: str) -> float:
    """The value of an arithmetic expression of numbers.

    >>> eval_expr("2 * 6")
    12

    Raises:
        ValueError: it is something else.
    """
    return evaluate(expr)
