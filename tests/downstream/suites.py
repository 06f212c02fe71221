"""Which suites there are. Each is a list of modules: of ``unittest``, of which the classes that ``wanted`` names are run, or of pytest."""

from __future__ import annotations

import re
from typing import NamedTuple


class Suite(NamedTuple):
    """``install``: what manyhands takes the place of; ``note``: what its figures do not say."""

    name: str
    install: str
    modules: tuple[str, ...]
    wanted: str
    runner: str = "running"
    note: str = ""

    def wants(self, group: str) -> bool:
        """Whether a class of tests belongs to it."""
        return re.search(self.wanted, group) is not None


_FUTURES = ("test_as_completed", "test_deadlock", "test_init", "test_process_pool", "test_shutdown", "test_wait")

SUITES = (
    Suite("multiprocessing.Pool", "multiprocessing", ("tests.downstream.pools",), r"Pool"),
    Suite("multiprocessing.managers", "multiprocessing", ("tests.downstream.managers",), r""),
    Suite(
        "manyhands.Manager",
        "multiprocessing",
        ("tests.downstream.managers_of_ours",),
        r"^(?!.*(MyManager|RemoteManager|ManagerRestart))",
        note="the same tests as of `multiprocessing.managers`, but for those of `BaseManager`",
    ),
    Suite(
        "concurrent.futures",
        "concurrent.futures",
        tuple(f"test.test_concurrent_futures.{name}" for name in _FUTURES),
        r"ProcessPool(?!.*FailingInitializerResources)",
    ),
    *(
        Suite(f"joblib.{name}", "joblib", (f"joblib.test.{name}",), "", "running_pytest", note)
        for name, note in (
            ("test_parallel", ""),
            ("test_config", ""),
            ("test_numpy_pickle", ""),
            (
                "test_memmapping",
                "most of its tests are of joblib's own files and pools, which are left as they are; those of `Parallel` are ours",
            ),
            ("test_utils", "the same holds for most of these"),
            ("test_hashing", ""),
            ("test_memory", ""),
            ("test_memory_async", ""),
            ("test_store_backends", "of joblib's own store, which is left as it is"),
        )
    ),
)
