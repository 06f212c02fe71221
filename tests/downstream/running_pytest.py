"""``python -m tests.downstream.running_pytest INSTALL MODULE [GROUP]``: names the one group of a module, or runs it; a line for each."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from manyhands import compat

SECONDS = 120  # for one test


class _Reporter:
    """Says what became of each test."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report):
        if report.failed:
            if report.nodeid not in self._failed:
                self._failed.add(report.nodeid)
                crash = getattr(report.longrepr, "reprcrash", None)
                self._say(report, "failed", str(report.longrepr if crash is None else crash.message))
        elif report.skipped:
            expected = hasattr(report, "wasxfail")  # to fail
            self._say(report, "passed" if expected else "skipped", "" if expected else str(report.longrepr[-1]))
        elif report.when == "call":
            self._say(report, "passed")

    def _say(self, report, outcome: str, why: str = "") -> None:
        print("\n" + json.dumps([f"{self._module}.{report.nodeid.partition('::')[2]}", outcome, why]), flush=True)


def main(install: str, module: str, group: str | None = None) -> None:
    """See the module."""
    if group is None:
        print(json.dumps(module.rpartition(".")[2]))
        return
    compat.install(install)
    path = importlib.util.find_spec(module).origin
    # Neither this project's own settings nor what its conftest.py demands.
    options = ["-q", "-s", "-c", "/dev/null", "--rootdir", "/", "-p", "no:cacheprovider", f"--timeout={SECONDS}", "--timeout-method=signal"]
    pytest.main([path, *options, "-W", "ignore", "--import-mode=importlib"], plugins=[_Reporter(module)])


if __name__ == "__main__":
    main(*sys.argv[1:])
