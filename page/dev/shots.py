"""Pictures of a page in a real browser, light and dark: ``python shots.py URL FOLDER [--size 1280x800] [--wait 3]``. Needs playwright and chromium."""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder")
    parser.add_argument("--name", default="page")
    parser.add_argument("--size", default="1280x800")
    parser.add_argument("--wait", type=float, default=3)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--schemes", default="light,dark")
    parser.add_argument("--do", default="", help="JavaScript that is run before")
    settings = parser.parse_args()
    width, height = map(int, settings.size.split("x"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for scheme in settings.schemes.split(","):
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=settings.scale
            )
            page = context.new_page()
            page.on("console", lambda message: print("console:", message.text))
            page.on("pageerror", lambda error: print("error:", error))
            page.goto(settings.url)
            page.wait_for_timeout(settings.wait * 1000)
            if settings.do:
                page.evaluate(settings.do)
                page.wait_for_timeout(700)
            page.screenshot(path=Path(settings.folder) / f"{settings.name}-{scheme}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
