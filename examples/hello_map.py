"""The smallest program: one function over many inputs, on all processors. A script needs no `if __name__ == "__main__"`."""

import math

import manyhands


def count_primes(below: int) -> int:
    """How many prime numbers are smaller than ``below``, found the slow way."""
    return sum(all(n % d for d in range(2, math.isqrt(n) + 1)) for n in range(2, below))


limits = [10_000, 20_000, 30_000, 40_000]
print(manyhands.map(count_primes, limits))
print(manyhands.map(lambda a, b: a**b, [2, 3], [10, 2]))  # lambdas and several inputs, as with the builtin map

# Output:
# [1229, 2262, 3245, 4203]
# [1024, 9]
