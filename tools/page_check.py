"""Whether the built page (``src/manyhands/watch/observer/page``) is what its sources (``page/``) make.

python tools/page_check.py            the sum of the sources, which the built script bears; needs nothing
python tools/page_check.py --build    build it anew as well, and compare; says so and passes where node is not there
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "page"
BUILT = ROOT / "src/manyhands/watch/observer/page"
FILES = ("index.html", "page.css", "page.js", "LICENSES.txt")
_OLDEST_NODE = 20


def digest() -> str:
    """The sum of all that decides what is built, as ``page/build.mjs`` makes it."""
    names = ["build.mjs", "index.html", "package-lock.json", "package.json", "tsconfig.json"]
    names += [str(path.relative_to(SOURCES)) for folder in ("src", "style") for path in (SOURCES / folder).rglob("*") if path.is_file()]
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(f"{name}\0".encode() + (SOURCES / name).read_bytes() + b"\0")
    return found.hexdigest()


def stamp() -> str:
    """The sum that the built script bears."""
    with (BUILT / "page.js").open(encoding="utf-8") as file:
        found = re.search(r"sources sha256 ([0-9a-f]{64})", file.readline())
    return found[1] if found else "none"


def why_not_built() -> str:
    """Why the page cannot be built here; empty if it can."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node is not there"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if int(version.lstrip("v").partition(".")[0] or 0) < _OLDEST_NODE:
        return f"node is {version}, not {_OLDEST_NODE} or later"
    lock, installed = SOURCES / "package-lock.json", SOURCES / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run([npm, "ci", "--silent", "--no-audit", "--no-fund"], cwd=SOURCES, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"its tools cannot be installed: {(done.stderr or done.stdout).strip()[-300:]}"
        installed.touch()
    return ""


def built_anew() -> list[str]:
    """Names of the built files that differ from what is built now."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["node", "build.mjs", folder], cwd=SOURCES, check=True, stdout=subprocess.DEVNULL)
        return [name for name in FILES if (Path(folder) / name).read_bytes() != (BUILT / name).read_bytes()]


def main() -> int:
    if digest() != stamp():
        print("The built page is not that of its sources in page/: make page")
        return 1
    if "--build" in sys.argv[1:]:
        if why := why_not_built():
            print(f"The page was not built anew, {why}; its sources have not changed since it was built.")
        elif differing := built_anew():
            print(f"Built from the same sources, these differ: {', '.join(differing)}: make page")
            return 1
        else:
            print("The built page is that of its sources.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
