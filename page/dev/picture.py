"""The picture of the page that the README shows: ``python picture.py [FILE] [--scheme light] [--at 12.5]``. Needs playwright and chromium.

Runs ``examples/watched_workers.py``, and takes it when so many seconds have gone by.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from shots import FLAGS

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?", default=ROOT / "docs/watch.png")
    parser.add_argument("--scheme", default="light")
    parser.add_argument("--at", type=float, default=12.5)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:  # an observer of its own, which shows nothing else
        command = [sys.executable, "watched_workers.py"]
        environment = {**os.environ, "MANYHANDS_RUNTIME_DIR": folder}
        process = subprocess.Popen(command, cwd=ROOT / "examples", env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        found = next(found for line in process.stderr if (found := re.search(r"http://\S+", line)))
        shoot(found.group(), settings)
        process.kill()
        process.wait()


def shoot(url: str, settings: argparse.Namespace) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=settings.scheme)
        page = context.new_page()
        page.goto(url)
        page.wait_for_timeout(settings.at * 1000)
        page.screenshot(path=settings.file)
        browser.close()


if __name__ == "__main__":
    main()
