"""Run the suite on this Python, in two halves side by side, and meanwhile on each other supported one of this machine, one after another.

The first half is shown as it goes, the rest afterwards. Each of the others gets an environment of its own, ``.venv-3.12``. They run part
of the suite, see ``_left_out``; with ``ALL_TESTS=1`` in the environment, all of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SUPPORTED = ("3.11", "3.12", "3.13")
ROOT = Path(__file__).parent.parent
# What runs programs, servers, peers and crashes rather than asks anything of a Python runs on one. ALL_TESTS=1 runs everything on each.
_ONCE = (
    *("cli", "cli_cache", "remote_store", "examples", "explanations", "lifecycle"),
    *("share_machine", "store_faults", "store_machine", "traps_of_peers", "traps_of_caches", "types", "watch_browser"),
)
# Of the others they run one in so many, the same ones each time: the newest Python, and those between it and the oldest.
_NEWEST, _IN_BETWEEN = 2, 4
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


def find_python(version: str) -> str | None:
    """A Python of that version that runs: a shim on the PATH may be there and not run."""
    check = f"import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != {version!r})"
    for python in (f"python{version}", *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))):
        try:
            if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0:
                return python
        except OSError:
            continue
    return None


def prepare(python: str, folder: Path) -> str:
    """The Python of an environment in ``folder`` with all that the suite needs."""
    own = str(folder / "bin" / "python")
    installed = folder / "installed"
    if not os.path.exists(own):
        subprocess.run([python, "-m", "venv", folder], check=True)
    if not installed.exists() or installed.stat().st_mtime < (ROOT / "pyproject.toml").stat().st_mtime:
        pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
        subprocess.run([*pip, "--editable", ".", "--group", "test"], check=True, cwd=ROOT)
        installed.touch()
    return own


def run(python: str, arguments: list[str], folder: Path, *, shown: bool = False) -> tuple[str, bool]:
    """What pytest prints, shown as it goes or not, and whether all passed."""
    temporary = folder / "tmp"  # the suite looks for what it leaves there, and must not find what another one is using
    temporary.mkdir(parents=True, exist_ok=True)
    printed = []
    with subprocess.Popen(
        [python, "-m", "pytest", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as running:
        for line in running.stdout or ():
            printed.append(line)
            if shown:
                print(line, end="", flush=True)
    return "".join(printed), running.returncode == 0


def on_others(pythons: dict[str, str]) -> dict[str, tuple[str, bool]]:
    """Run it on other Pythons."""
    found = {}
    for version, python in pythons.items():
        folder = ROOT / f".venv-{version}"
        found[version] = run(prepare(python, folder), ["--quiet", *_left_out(version)], folder)
    return found


def _left_out(version: str) -> list[str]:
    """What pytest is told to leave out on another Python."""
    if os.environ.get("ALL_TESTS"):
        return []
    share = {SUPPORTED[0]: 1, SUPPORTED[-1]: _NEWEST}.get(version, _IN_BETWEEN)
    return [f"--one-in={share}", *(f"--ignore=tests/test_{name}.py" for name in _ONCE)]


def summary(outputs: Iterable[str]) -> str:
    """The last lines of several runs as one: what is counted is added, the time is that of the longest."""
    counts: Counter[str] = Counter()
    seconds = 0.0
    for output in outputs:
        last = output.rstrip().rpartition("\n")[2]
        for count, what in re.findall(r"(\d+) ([a-z]+)", last):
            counts[what] += int(count)
        seconds = max(seconds, *map(float, re.findall(r"in ([\d.]+)s", last)), 0.0)
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if what != "deselected")
    return f"=== {told or 'nothing ran'} in {seconds:.2f}s ==="


def main() -> int:
    """Run all; the status is 1 if any failed."""
    others = {version: python for version in SUPPORTED if version != OWN and (python := find_python(version))}
    folders = [Path(sys.prefix, f"half-{half}") for half in (1, 2)]
    with ThreadPoolExecutor() as threads:
        elsewhere = threads.submit(on_others, others)
        second = threads.submit(run, sys.executable, ["--part=1/2"], folders[1])
        print(f"== Python {OWN}, one half; the other{' and Python ' if others else ''}{', '.join(others)} meanwhile", flush=True)
        halves = [run(sys.executable, ["--part=0/2"], folders[0], shown=True), second.result()]
        print(f"== Python {OWN}, the other half\n{halves[1][0]}", flush=True)
        for version, (output, passed) in elsewhere.result().items():
            print(f"== Python {version}: {'passed' if passed else 'FAILED'}\n{output}", flush=True)
    all_passed = all(passed for _, passed in (*halves, *elsewhere.result().values()))
    print(f"== Python {OWN}\n{summary(output for output, _ in halves)}", flush=True)
    return int(not all_passed)


if __name__ == "__main__":
    sys.exit(main())
