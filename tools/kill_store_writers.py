"""Kill writers of a store in the midst, again and again, and look at what they leave: ``python tools/kill_store_writers.py [TIMES]``.

A part of this is in the tests; this is for a thousand times, with several writers at once, with and without nameless files.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import store_writers


def main(times: int) -> int:
    bad = 0
    start = time.perf_counter()
    for nameless in (True, False):
        with tempfile.TemporaryDirectory() as location:
            for seed in range(times // 2):
                store_writers.kill_in_the_midst(location, seed, writers=1 + seed % 3, nameless=nameless)
                store_writers.write_next(location, nameless=nameless)
                found = store_writers.problems(location)
                bad += bool(found)
                for problem in found:
                    print(f"seed {seed}, {1 + seed % 3} writers, nameless={nameless}: {problem}")
    print(f"{times} times killed in {time.perf_counter() - start:.0f} s: {bad} times something was left")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
