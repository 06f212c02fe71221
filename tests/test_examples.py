"""Every example runs as it is, and prints what its comment says."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))

# What depends on the version of Python: that it looks alike is enough.
_VARIES = {"find_copies.py", "stdlib_report.py"}
# What takes long, so that it can be watched, is given less to do.
_ARGUMENTS = {"find_copies.py": [os.path.dirname(asyncio.__file__)], "watched_workers.py": ["0.02"]}
_WATCHED = {"watched_workers.py"}


def printed(path, cwd):
    kept = "MANYHANDS_RUNTIME_DIR"  # where an observer is looked for, and one is ended that has been started
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MANYHANDS_") or name == kept}
    command = [sys.executable, str(path), *_ARGUMENTS.get(path.name, [])]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def promised(path):
    """The output as the comment at the end of an example has it."""
    _, marker, comment = path.read_text().rpartition("\n# Output")
    assert marker, f"{path.name} does not show its output"
    return [line.removeprefix("# ") for line in comment.splitlines()[1:]]


def test_there_are_examples():
    assert {path.name for path in EXAMPLES} >= {
        "async_map.py",
        "decorated_workers.py",
        "deleted_name.py",
        "find_copies.py",
        "foreign_module.py",
        "from_futures.py",
        "from_joblib.py",
        "hello_map.py",
        "rebound_name.py",
        "stacked_decorators.py",
        "start_methods.py",
        "stdlib_report.py",
        "stream_files.py",
        "survive_crashes.py",
        "watched_workers.py",
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    out, err = printed(path, tmp_path)
    expected = promised(path)
    if path.name in _VARIES:
        assert [_shape(line) for line in out] == [_shape(line) for line in expected]
        return
    assert out == expected
    assert re.fullmatch(r"manyhands: this run is shown at http://127\.0\.0\.1:\d+/\?token=\S+\n" if path.name in _WATCHED else "", err)


def _shape(line):
    """A line without its numbers and its lists of names."""
    return re.sub(r"\d[\d,]*", "N", line.partition(": ")[0])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short_and_says_what_it_shows(path):
    source = path.read_text()
    assert len(source.splitlines()) <= (90 if path.parent.name == "sharing" else 40)  # those are two programs each
    assert ast.get_docstring(ast.parse(source))


def test_the_page_of_traps_is_what_the_examples_print():
    spec = importlib.util.spec_from_file_location("sharing_table", ROOT / "tools" / "sharing_table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    page = table.PAGE.read_text().splitlines()
    for path in (path for path in EXAMPLES if path.parent.name == "sharing"):
        assert table.row(path, promised(path)) in page
