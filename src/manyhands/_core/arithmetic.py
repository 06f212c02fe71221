"""The value of an expression that a user has written, and of nothing else."""

from __future__ import annotations

import operator

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Callable

LONGEST = 30
LARGEST = 10**6


def evaluate(expression: str, **names: int) -> float:
    """The value of an expression of numbers, ``names``, ``+ - * / // % **`` and brackets.

    >>> evaluate("1.5 * n_jobs", n_jobs=4)
    6.0

    Raises:
        ValueError: it is something else, too long, or one of its values is too large.
    """
    import ast  # noqa: PLC0415 - few ask for it

    if len(expression) > LONGEST:
        msg = f"expression {expression[:LONGEST]!r}... is too long: {len(expression)} characters, of which {LONGEST} are allowed"
        raise ValueError(msg)
    operators: dict[type[ast.AST], Callable[..., float]] = {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.FloorDiv: operator.floordiv,
        ast.Mod: operator.mod,
        ast.Pow: operator.pow,
        ast.USub: operator.neg,
    }

    def value(node: ast.AST) -> float:
        found = compute(node)
        if abs(found) > LARGEST:
            msg = f"Numeric literal {found} is too large; at most {LARGEST} is allowed"
            raise ValueError(msg)
        return found

    def compute(node: ast.AST) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Name) and node.id in names:
            return names[node.id]
        if isinstance(node, ast.BinOp) and type(node.op) in operators:
            return operators[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and type(node.op) in operators:
            return operators[type(node.op)](value(node.operand))
        raise SyntaxError

    try:
        return value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ArithmeticError, TypeError):  # the last: a root of what is negative has no order
        msg = f"{expression!r} is not a valid or supported arithmetic expression"
        raise ValueError(msg) from None
