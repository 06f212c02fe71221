"""Decorators with arguments, decorators that are classes, and one upon the other: what they make of a function travels.

ProcessPoolExecutor and Pool refuse both functions: AttributeError: Can't pickle local object 'times.<locals>.decorate.<locals>.wrapper'.
"""

from collections.abc import Callable

import manyhands


def times(n: int) -> Callable:
    def decorate(function: Callable) -> Callable:
        def wrapper(x: int) -> list[object]:
            return [function(x)] * n

        return wrapper

    return decorate


class Positive:
    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, x: int) -> object:
        return self.function(x) if x > 0 else "not positive"


@Positive
@times(2)
def square(x: int) -> int:
    return x * x


print(manyhands.map(square, [3, -3]))
print(manyhands.map(times(2)(Positive(lambda x: x + 1)), [3, -3]))

# Output:
# [[9, 9], 'not positive']
# [[4, 4], ['not positive', 'not positive']]
