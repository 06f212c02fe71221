"""CPython's tests of pools: its own way of making them, for its start method "spawn"."""

from __future__ import annotations

import unittest

from test import _test_multiprocessing

_test_multiprocessing.install_tests_in_module_dict(globals(), "spawn")

for _name, _value in list(globals().items()):
    if isinstance(_value, type) and issubclass(_value, unittest.TestCase) and ("Pool" not in _name or "Manager" in _name):
        del globals()[_name]
