"""CPython's tests of managers: its own way of making them, for its start method "spawn"."""

from __future__ import annotations

import unittest

from test import _test_multiprocessing

_test_multiprocessing.install_tests_in_module_dict(globals(), "spawn")

_OURS = ("WithManager", "TestSyncManagerTypes", "TestManagerExceptions")

for _name, _value in list(globals().items()):
    if isinstance(_value, type) and issubclass(_value, unittest.TestCase) and not _name.startswith(_OURS):
        del globals()[_name]
