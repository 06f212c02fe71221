"""A decorated function runs in workers with `functools.wraps`, with `__qualname__` set by hand, and with neither.

ProcessPoolExecutor and Pool want one of the two. With neither: AttributeError: Can't pickle local object 'track.<locals>.wrapper'.
"""

import functools
import time
from collections.abc import Callable

import manyhands


def track(function: Callable) -> Callable:  # gives each result with the seconds it took
    def wrapper(clause: str) -> tuple[int, float]:  # nothing makes it look like the function
        start = time.monotonic()
        return function(clause), time.monotonic() - start

    return wrapper


def named(function: Callable) -> Callable:
    wrapper = track(function)
    wrapper.__qualname__ = function.__qualname__  # that name leads to the wrapper
    return wrapper


for decorate in (track, named, lambda function: functools.wraps(function)(track(function))):

    @decorate
    def count(clause: str) -> int:
        for _ in range(5):
            time.sleep(0.01)  # a step
        return clause.count("lorem")

    print(count.__qualname__, [(n, s >= 0.05) for n, s in manyhands.map(count, ["lorem ipsum", "lorem et lorem"], workers=2)])

# Output:
# track.<locals>.wrapper [(1, True), (2, True)]
# count [(1, True), (2, True)]
# count [(1, True), (2, True)]
