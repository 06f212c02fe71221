"""``python -m tests.downstream.running INSTALL MODULE [CLASS]``: lists the classes of a module, or runs one; a line of JSON for each."""

from __future__ import annotations

import importlib
import json
import sys
import unittest

from manyhands import compat


class _Result(unittest.TestResult):
    """Says what became of each test."""

    def _say(self, test: unittest.TestCase, outcome: str, why: str = "") -> None:
        print("\n" + json.dumps([test.id(), outcome, why]), flush=True)

    def addSuccess(self, test):
        self._say(test, "passed")

    def addFailure(self, test, err):
        self._say(test, "failed", f"{err[0].__name__}: {err[1]}")

    def addError(self, test, err):
        self.addFailure(test, err)

    def addSkip(self, test, reason):
        self._say(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self._say(test, "passed")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addFailure(test, err)


def main(install: str, module: str, group: str | None = None) -> None:
    """See the module."""
    compat.install(install)
    found = importlib.import_module(module)
    if group is not None:
        unittest.defaultTestLoader.loadTestsFromTestCase(getattr(found, group)).run(_Result())
        return
    for name, value in sorted(vars(found).items()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and unittest.defaultTestLoader.getTestCaseNames(value):
            print(json.dumps(name))


if __name__ == "__main__":
    main(*sys.argv[1:])
