"""Two workers run a decorated task, and are watched from a pool's initializer: one page for both, with the program and what is left to do.

heartrate's call in an initializer gives each worker a page and a port of its own; this one is the same call.
"""

import sys
import time
from collections.abc import Callable

import manyhands

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 1  # that a step takes


def track(function: Callable[[str], int]) -> Callable[[str], tuple[int, float]]:  # gives each result with the seconds it took
    def wrapper(clause: str) -> tuple[int, float]:
        start = time.monotonic()
        return function(clause), time.monotonic() - start

    return wrapper


@track
def count(clause: str) -> int:
    for _ in range(5):
        time.sleep(SECONDS)  # a step
    return clause.count("lorem")


def begin() -> None:  # in each worker
    manyhands.watch.trace()  # counts the lines of this file, as that is where it is called


text = "neque dolorem ipsum, lorem amet et lorem; lorem est, quisquam qui; lorem ipsum dolor, dolorem; lorem sit, amet"
with manyhands.Pool(2, initializer=begin) as pool:
    found = pool.map(count, text.replace(";", ",").split(","), chunksize=1)
print([number for number, _ in found], all(seconds >= 5 * SECONDS for _, seconds in found))

# Output:
# [1, 2, 1, 0, 1, 1, 1, 0] True
