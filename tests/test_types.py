"""What a type checker makes of the public names: mypy over a program that uses them, well and badly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

# What a line is expected to bring stands behind it: the type that is revealed, or the code of an error.
PROGRAM = """
import manyhands
from manyhands import Executor, Failure, Results

def half(x: int) -> float:
    return x / 2

reveal_type(manyhands.map(half, [1]))  # list[float]
reveal_type(manyhands.map(half, [1], errors="raise", workers=2))  # list[float]
reveal_type(manyhands.map(half, [1], errors="skip", chunk="auto"))  # list[float]
reveal_type(manyhands.map(half, [1], errors="return", timeout=5))  # list[float | Failure]
reveal_type(manyhands.imap(half, [1], buffer=3))  # Results[float]
reveal_type(manyhands.imap(half, [1], errors="return"))  # Results[float | Failure]

for value in manyhands.map(half, [1], errors="return"):
    if isinstance(value, Failure):
        reveal_type(value.error)  # BaseException
    else:
        reveal_type(value)  # float

def any_errors(errors: manyhands.mapping.Errors) -> list[float] | list[float | Failure]:
    return manyhands.map(half, [1], errors=errors)

async def main() -> None:
    async for value in manyhands.aimap(half, [1], retry_on=OSError, buffer="auto"):
        reveal_type(value)  # float
    async for outcome in manyhands.aimap(half, [1], errors="return"):
        reveal_type(outcome)  # float | Failure
    stream = manyhands.aimap(half, [1])
    await stream.aclose()
    manyhands.aimap(half, [1], bogus=3)  # call-overload
    manyhands.aimap(half, [1], errors="ignore")  # call-overload

manyhands.map(half, [1], bogus=3)  # call-overload
manyhands.map(half, [1], workers="2")  # call-overload
manyhands.map(half, [1], buffer=3)  # call-overload
manyhands.map(None, [1])  # call-overload
manyhands.imap(half, [1], errors=True)  # call-overload

with Executor(2, max_tasks_per_child=None, start_method="spawn", memory_limit="2GB", idle_timeout=3, preload=["json"]) as executor:
    reveal_type(executor.submit(half, 1).result())  # float
    executor.submit(half, "1")  # arg-type
Executor(idle_timeout="1")  # arg-type
Executor(2, bogus=3)  # call-arg

class Account:
    def __init__(self, balance: int) -> None:
        self.balance = balance

@manyhands.share.cls
class Savings(Account):
    rate = 2

reveal_type(manyhands.share(Account(1)))  # program.Account
reveal_type(manyhands.share.new(Account, 1))  # program.Account
reveal_type(Savings(1).rate)  # int
manyhands.share.new(Account, "1")  # arg-type
with manyhands.share.keeper() as keeper:
    reveal_type(keeper.new(Account, balance=1).balance)  # int
    keeper.new(Account, wrong=1)  # call-arg
reveal_type(manyhands.snapshot(Savings(1)))  # program.Savings
with manyhands.batch(Savings(1)) as b:
    b.anything()
"""


def test_types(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("import manyhands\n", "import manyhands\nimport manyhands.mapping\n", 1))
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unreachable", "--no-error-summary", "--no-pretty", str(program)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=100)
    said = {}
    for number, kind, text in re.findall(r"^.*program\.py:(\d+): (error|note): (.*)$", done.stdout, re.MULTILINE):
        if kind == "error":
            said[int(number)] = text.rpartition("[")[2].removesuffix("]")
        elif revealed := re.fullmatch('Revealed type is "(.*)"', text):
            said[int(number)] = re.sub(r"(builtins|manyhands\.(mapping|errors))\.", "", revealed[1])
    lines = program.read_text().splitlines()
    expected = {number: line.partition("  # ")[2] for number, line in enumerate(lines, 1) if "  # " in line}
    assert said == expected, done.stdout + done.stderr
