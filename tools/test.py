"""Run the suite on this Python, and meanwhile on each other supported one of this machine.

Each of the others gets an environment of its own, ``.venv-3.12``, and its output is shown afterwards. They run part of it, see
``_left_out``; with ``ALL_TESTS=1`` in the environment, all of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13")
ROOT = Path(__file__).parent.parent
# What runs programs, servers, peers and crashes rather than asks anything of a Python runs on one. ALL_TESTS=1 runs everything on each.
_ONCE = (
    *("cli", "cli_cache", "remote_store", "examples", "explanations", "lifecycle"),
    *("share_machine", "store_faults", "store_machine", "traps_of_peers", "traps_of_caches", "types"),
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


def suite(version: str, python: str) -> tuple[str, bool]:
    """What the suite prints on another Python, and whether it passed."""
    folder = ROOT / f".venv-{version}"
    own = prepare(python, folder)
    temporary = folder / "tmp"  # the suite looks for what it leaves there, and must not find what another one is using
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(
        [own, "-m", "pytest", "--quiet", *_left_out(version)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.stdout, done.returncode == 0


def _left_out(version: str) -> list[str]:
    """What pytest is told to leave out on another Python."""
    if os.environ.get("ALL_TESTS"):
        return []
    share = {SUPPORTED[0]: 1, SUPPORTED[-1]: _NEWEST}.get(version, _IN_BETWEEN)
    return [f"--one-in={share}", *(f"--ignore=tests/test_{name}.py" for name in _ONCE)]


def own_suite() -> tuple[str, int]:
    """Run it on this Python, shown as it goes; its last line, and its status."""
    print(f"== Python {OWN}", flush=True)
    last = ""
    with subprocess.Popen(
        [sys.executable, "-m", "pytest"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        for line in running.stdout or ():
            print(line, end="", flush=True)
            last = line if line.strip() else last
    return last, running.returncode


def main() -> int:
    """Run them all side by side; the status is 1 if any failed."""
    others = {version: python for version in SUPPORTED if version != OWN and (python := find_python(version))}
    with ThreadPoolExecutor() as threads:
        ran = {version: threads.submit(suite, version, python) for version, python in others.items()}
        if ran:
            print(f"== the suite on Python {', '.join(ran)} runs meanwhile, and is shown afterwards", flush=True)
        summary, status = own_suite()
        for version, future in ran.items():
            output, passed = future.result()
            print(f"== Python {version}: {'passed' if passed else 'FAILED'}\n{output}", flush=True)
            status = status or int(not passed)
    if ran:
        print(f"== Python {OWN}\n{summary}", end="", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
