"""The samples of the README, run as its reader would: one after the other, in one file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

README = Path(__file__).parent.parent / "README.md"


def blocks():
    return re.findall(r"```python\n(.*?)```(?:\n```\n(.*?)```)?", README.read_text(encoding="utf-8"), re.DOTALL)


def shown(code, output):
    """What the README says that a sample prints: in comments, or in a block of its own."""
    comments = re.findall(r"print\(.*\)\s+# (.*)|^# (\[.*)$", code, re.MULTILINE)
    return [first or second for first, second in comments] + output.splitlines()


def test_the_samples_print_what_they_say(tmp_path):
    program = tmp_path / "tour.py"
    program.write_text("".join(code for code, _ in blocks()))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=50, env=scripts.environment(), check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    expected = [line for code, output in blocks() for line in shown(code, output)]
    assert len(expected) > 10
    assert [plain(line) for line in done.stdout.splitlines()] == [plain(line) for line in expected]


def changes():
    """(lines of a diff, what both programs print)"""
    return re.findall(r"```diff\n(.*?)```\n```\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("dropped", ["+", "-"])  # before and after the change of the import
def test_programs_that_change_an_import(tmp_path, which, dropped):
    diff, expected = changes()[which]
    assert {line[:1] for line in diff.splitlines()} == {"-", "+", " ", ""}
    program = tmp_path / "program.py"
    program.write_text("\n".join(line[1:] for line in diff.splitlines() if line[:1] != dropped))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=50, env=scripts.environment(), check=False)
    assert (done.stdout, done.stderr, done.returncode) == (expected, "", 0)


def plain(line):
    """Without what differs from run to run."""
    line = re.sub(r"Used in \S*tour.py:\d+", "Used in tour.py", re.sub(r'File ".*tour.py"', "File tour.py", line))
    return re.sub(r"worker \d+", "worker N", line)
