"""The page of an observer in a real browser, if there is one. Whatever a browser complains about is an error of the test."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil

import psutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "" if CHROMIUM and importlib.util.find_spec("playwright") else "needs chromium and playwright: pip install --group browser"
# It is no part of what is tested: no sandbox, since CI runs as root; nothing that asks for other machines.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
]
_PATIENCE = 20_000  # milliseconds
_COMPLAIN = """
window.complaints = [];
document.addEventListener("securitypolicyviolation", (event) => complaints.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


class Browser:
    """Chromium, with nothing that was there before. ``complaints``: of all its pages."""

    def __init__(self, chromium):
        self._chromium = chromium
        self.complaints = []

    @contextlib.contextmanager
    def looking_at(self, page, scheme="light"):
        """A tab that shows the page with this address, as soon as it shows a run."""
        with self.tab(scheme) as tab:
            tab.goto(f"http://{page.host}{page.entrance}")
            tab.wait_for_selector("main.page")
            yield tab
            self.complaints += tab.evaluate("complaints")

    @contextlib.contextmanager
    def tab(self, scheme="light"):
        """One in a context of its own."""
        context = self._chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
        try:
            context.set_default_timeout(_PATIENCE)
            context.add_init_script(_COMPLAIN)
            tab = context.new_page()
            tab.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
            tab.on("pageerror", lambda error: self.complaints.append(str(error)))
            yield tab
        finally:
            context.close()


@contextlib.contextmanager
def chromium():
    """A browser; its process, and those that it starts, are not looked at by who looks for what tests leave."""
    from playwright.sync_api import sync_playwright

    before = {process.pid for process in psutil.Process().children()}
    with sync_playwright() as playwright:
        ours = {process.pid for process in psutil.Process().children()} - before
        started.update(ours)
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS, env={**os.environ, "TZ": "UTC"})
        try:
            yield Browser(launched)
        finally:
            launched.close()
    started.difference_update(ours)


started: set[int] = set()  # processes that stay from test to test


def all_started():
    """These, and what they have started."""
    found = set(started)
    for pid in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {process.pid for process in psutil.Process(pid).children(recursive=True)}
    return found
