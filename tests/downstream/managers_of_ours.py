"""The same, of ``manyhands.Manager`` with its own proxies, in the place of the standard library's manager."""

from __future__ import annotations

import multiprocessing
import multiprocessing.managers

import manyhands


class Manager(manyhands.Manager):
    """With what the tests ask of a manager at their end."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def join(self) -> None:
        """Its process has ended with :meth:`shutdown`."""

    def _number_of_objects(self) -> int:
        return 0


multiprocessing.Manager = Manager
multiprocessing.managers.SyncManager = Manager

from tests.downstream.managers import *  # noqa: E402, F403 - after that
