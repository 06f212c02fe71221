"""The samples of the README, run as its reader would: one after the other, in one file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


def plain(line):
    """Without what differs from run to run."""
    line = re.sub(r"Used in \S*tour.py:\d+", "Used in tour.py", re.sub(r'File ".*tour.py"', "File tour.py", line))
    return re.sub(r"worker \d+", "worker N", line)
