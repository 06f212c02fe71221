"""Numbers and arrays in shared memory: the standard library's names, and records and arrays that say what is in them."""

import multiprocessing

import numpy as np

from manyhands import lock, share


@share.record
class Stats:
    total: float = 0.0
    count: int = 0


def negate(number, numbers):
    number.value = 3.1415927
    for i in range(len(numbers)):
        numbers[i] = -numbers[i]


def negate_shared(stats, numbers):
    with lock(stats):
        stats.total += 3.1415927
        stats.count += 1
    np.negative(numbers, out=numbers)


def run(target, *args):
    process = multiprocessing.Process(target=target, args=args)
    process.start()
    process.join()


if __name__ == "__main__":
    number, numbers = multiprocessing.Value("d", 0.0), multiprocessing.Array("i", range(5))
    run(negate, number, numbers)
    print("standard library:", number.value, numbers[:])

    stats, array = Stats(), share(np.arange(5))
    run(negate_shared, stats, array)
    print("manyhands:       ", stats.total, stats.count, array.tolist())

# Output
# standard library: 3.1415927 [0, -1, -2, -3, -4]
# manyhands:        3.1415927 1 [0, -1, -2, -3, -4]
