"""Write docs/sharing.md: each trap of shared objects, as the standard library falls into it and as it is here. Runs both.

``python tools/sharing_table.py [--check]``; with ``--check`` it only says whether the page is what the programs print.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "sharing.md"
_HEAD = """# Shared objects: the traps

Each row is a program in [examples/sharing](../examples/sharing) that does the same with the standard library and with manyhands. This page
is what they print: `python tools/sharing_table.py` runs them and writes it.

| | standard library | manyhands |
|---|---|---|
"""


def printed(path: Path) -> list[str]:
    """What an example prints."""
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def row(path: Path, lines: list[str]) -> str:
    """Its row of the table."""
    first = next((index for index, line in enumerate(lines) if line.startswith(("manyhands", "share:"))), 0)
    title = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split())
    told = ["<br>".join(filter(None, map(_shown, part))) for part in (lines[:first], lines[first:])]
    return f"| [{title.replace('``', '`')}](../examples/sharing/{path.name}) | {told[0]} | {told[1]} |"


def _shown(line: str) -> str:
    said = " ".join(re.sub(r"^(standard library|manyhands|share)(, |: *|$)", "", line).split())
    return said.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Run the examples, and write or check the page."""
    paths = sorted((ROOT / "examples" / "sharing").glob("s*.py"))
    page = _HEAD + "\n".join(row(path, printed(path)) for path in paths) + "\n"
    if "--check" in sys.argv:
        is_same = PAGE.exists() and PAGE.read_text() == page
        print("docs/sharing.md is what the examples print" if is_same else "docs/sharing.md is out of date: run tools/sharing_table.py")
        return 0 if is_same else 1
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
