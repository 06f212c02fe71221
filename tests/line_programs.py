"""Small programs made at random, whose lines are counted: loops, branches, exceptions, calls, each in the others."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

FILE = "/nowhere/program.py"
_HEAD = """
class Turns:
    def __init__(self, count):
        self.left = count
    def __iter__(self):
        return self
    def __next__(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left
class Managed:
    def __init__(self, quiet):
        self.quiet = quiet
    def __enter__(self):
        return self
    def __exit__(self, *raised):
        return self.quiet
def numbers(count):
    for number in range(count):
        try:
            yield number
        finally:
            count -= 1
def risky(number, odds):
    if number % odds == 0:
        raise KeyError(number)
    return number
def step(number):
    twice = number * 2
    if twice % 3:
        return twice
    return number
def one(count): return len([
    number
    for number in range(count) if number % 2
])
def other_one(count): count += 1; return (
    count if count % 3
    else 7)
squared = lambda a: a * \\
    a
"""
_LOOPS = (
    "for {v} in range({n}):",
    "for {v} in Turns({n}):",
    "for {v} in numbers({n}):",
    "for {v} in [\n{i}    1,\n{i}    2,\n{i}]:",
    "for {v} in sorted(range({n}),\n{i}              key=lambda a: -a):",
)
_SIMPLE = (
    "x += 1",
    "x = step(x) % 1000",
    "x += risky(x, {n})",
    "x += sum(a for a in range({n}))",
    "x += len([a for a in range({n}) if a % 2])",
    "x += len([\n{i}    a\n{i}    for a in range({n})\n{i}    if a % 2\n{i}])",
    "x += (lambda a: a + 1)(x)",
    "x += 1 if x % {n} else 2",
    "x = x if x % 2 and x % 3 else x + 1",
    "look()",
    "x += one({n})",
    "x += other_one(x)",
    "x += squared({n})",
    "x = x % 7; x += 1",
    "pass",
    "x += max(\n{i}    x,\n{i}    step(x),\n{i}) % 7",
    "x //= x % {n}",
    "x = x + next(numbers(x % 2))",
    "assert x % {n}, x",
    "def inner(a):\n{i}    a += x\n{i}    return a",
)


class _Program:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._lines: list[str] = []
        self._names = 0

    def text(self) -> str:
        self._function("other", "pass")
        self._function("work", "x += other(n - 1)")
        return _HEAD + "\n".join(self._lines) + "\n"

    def _function(self, name: str, more: str) -> None:
        self._lines += [f"def {name}(n, x=1):", "    if n <= 0:", "        return 1"]
        self._block("    ", 3, in_loop=False, more=f"x += {name}(n - 1)" if self._random.random() < 0.3 else more)
        self._lines.append("    return x % 1000")

    def _block(self, indent: str, depth: int, *, in_loop: bool, more: str = "pass") -> None:
        for _ in range(self._random.randint(1, 3)):
            self._statement(indent, depth, in_loop=in_loop)
        if more != "pass":
            self._put(indent, more)

    def _put(self, indent: str, text: str) -> None:
        self._names += 1
        self._lines.append(indent + text.format(n=self._random.randint(1, 6), v=f"v{self._names}", i=indent))

    def _statement(self, indent: str, depth: int, *, in_loop: bool) -> None:
        kinds: list[Callable[..., None]] = [self._simple] * 3
        if depth:
            kinds += [self._if, self._for, self._for, self._while, self._try, self._with, self._match]
        if in_loop:
            kinds += [self._leave]
        self._random.choice(kinds)(indent, depth - 1, in_loop=in_loop)

    def _simple(self, indent: str, _depth: int, *, in_loop: bool) -> None:
        self._put(indent, self._random.choice(_SIMPLE))

    def _leave(self, indent: str, _depth: int, *, in_loop: bool) -> None:
        self._put(indent, "if x % {n} == 0:")
        self._put(indent + "    ", self._random.choice(("break", "continue", "return x", "raise KeyError")))

    def _if(self, indent: str, depth: int, *, in_loop: bool) -> None:
        self._put(indent, self._random.choice(("if x % {n}:", "if x % 2 or x % {n}:", "if not (x % 2 and\n{i}        x % {n}):")))
        self._block(indent + "    ", depth, in_loop=in_loop)
        if self._random.random() < 0.5:
            self._put(indent, "elif x % {n}:" if self._random.random() < 0.3 else "else:")
            self._block(indent + "    ", depth, in_loop=in_loop)

    def _for(self, indent: str, depth: int, *, in_loop: bool) -> None:
        self._put(indent, self._random.choice(_LOOPS))
        self._block(indent + "    ", depth, in_loop=True)
        self._else(indent, depth, in_loop=in_loop)

    def _while(self, indent: str, depth: int, *, in_loop: bool) -> None:
        name = f"w{len(self._lines)}"
        self._put(indent, f"{name} = {{n}}")
        self._put(indent, self._random.choice((f"while {name}:", f"while {name} > 0 and x < 10000:", "while True:")))
        self._put(indent + "    ", f"{name} -= 1")
        self._put(indent + "    ", f"if {name} < 0:")
        self._put(indent + "        ", "break")
        self._block(indent + "    ", depth, in_loop=True)
        self._else(indent, depth, in_loop=in_loop)

    def _else(self, indent: str, depth: int, *, in_loop: bool) -> None:
        if self._random.random() < 0.2:
            self._put(indent, "else:")
            self._block(indent + "    ", depth, in_loop=in_loop)

    def _try(self, indent: str, depth: int, *, in_loop: bool) -> None:
        self._put(indent, "try:")
        self._block(indent + "    ", depth, in_loop=in_loop, more=self._random.choice(("pass", "x += risky(x, {n})", "raise KeyError")))
        is_caught = self._random.random() < 0.8
        if is_caught:
            self._put(
                indent, self._random.choice(("except KeyError:", "except (KeyError, ZeroDivisionError) as error:", "except Exception:"))
            )
            self._block(indent + "    ", depth, in_loop=in_loop, more="raise" if self._random.random() < 0.1 else "pass")
            if self._random.random() < 0.3:
                self._put(indent, "else:")
                self._block(indent + "    ", depth, in_loop=in_loop)
        if not is_caught or self._random.random() < 0.4:
            self._put(indent, "finally:")
            self._block(indent + "    ", depth, in_loop=False)

    def _with(self, indent: str, depth: int, *, in_loop: bool) -> None:
        self._put(
            indent,
            self._random.choice(("with Managed(True):", "with Managed(x % {n}) as held:", "with Managed(0), \\\n{i}     Managed(1):")),
        )
        self._block(indent + "    ", depth, in_loop=in_loop)

    def _match(self, indent: str, depth: int, *, in_loop: bool) -> None:
        self._put(indent, "match x % 3, x % 2:")
        for pattern in ("case 0, _:", "case a, 1 if a:", "case _:"):
            self._put(indent + "    ", pattern)
            self._block(indent + "        ", depth, in_loop=in_loop)


class _Enough(BaseException):
    pass


def program(random: Random) -> Callable[[Callable[[], None]], None]:
    """A program: what is called now and then in its midst is given to it; it runs for some thousand lines."""
    source = _Program(random).text()
    code = compile(source, FILE, "exec")
    rounds = random.randint(3, 12)

    def run(look: Callable[[], None]) -> None:
        turns = 0

        def looked() -> None:
            nonlocal turns
            turns += 1
            if turns > 100:
                raise _Enough
            look()

        names: dict[str, Any] = {"look": looked}
        exec(code, names)
        for number in range(rounds):
            with contextlib.suppress(Exception, _Enough):
                names["work"](2, number)

    run.__doc__ = source
    return run
