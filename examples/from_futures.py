"""A program for concurrent.futures, with the import changed; and what it can do then that it could not before."""

import time
from concurrent.futures import as_completed

from manyhands import Executor  # was: from concurrent.futures import ProcessPoolExecutor as Executor


def area(width: int, height: int = 1) -> int:
    """Any function; it need not be importable."""
    return width * height


with Executor(max_workers=2) as executor:
    futures = {executor.submit(area, width, height=2): width for width in (1, 2, 3)}
    for future in sorted(as_completed(futures), key=futures.__getitem__):
        print(futures[future], "->", future.result())
    print(list(executor.map(area, [4, 5], [6, 7])))

    careful = executor.with_options(timeout=0.5, retries=1)  # the same workers
    stuck = careful.submit(time.sleep, 3600)
    print(careful.submit(area, 10, 10).result())
    print(type(stuck.exception()).__name__)  # it was stopped, twice, and its worker replaced

# Output:
# 1 -> 2
# 2 -> 4
# 3 -> 6
# [24, 35]
# 100
# TaskTimeout
