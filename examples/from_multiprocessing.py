"""A pool of two workers maps a decorated function over the clauses of a sentence: `multiprocessing.Pool`, with one import changed.

Before: from multiprocessing import Pool. There, `count` fails with AttributeError: Can't pickle local object 'track.<locals>.wrapper',
since nothing makes the wrapper look like the function; and spawn and forkserver need an `if __name__ == "__main__"` guard.
"""

import time
from collections.abc import Callable

from manyhands import Pool


def track(function: Callable[[str], int]) -> Callable[[str], tuple[int, float]]:  # gives each result with the seconds it took
    def wrapper(clause: str) -> tuple[int, float]:
        start = time.monotonic()
        return function(clause), time.monotonic() - start

    return wrapper


@track
def count(clause: str) -> int:
    for _ in range(5):
        time.sleep(0.01)  # a step
    return clause.count("lorem")


with Pool(2) as pool:
    print([(n, seconds >= 0.05) for n, seconds in pool.map(count, ["lorem ipsum", "lorem et lorem"])])
    later = pool.apply_async(pow, (2, 10), callback=lambda value: print("called back with", value))
    print(later.get(timeout=10))
    print(list(pool.imap(abs, [-1, 2, -3], chunksize=2)))
    print(pool.starmap(divmod, [(7, 3), (9, 4)]))

# Output:
# [(1, True), (2, True)]
# called back with 1024
# 1024
# [1, 2, 3]
# [(2, 1), (2, 1)]
