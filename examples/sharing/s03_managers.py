"""A dictionary that a child fills, a list that it reverses: by the standard library's manager, by ours, and by the word ``share``."""

import multiprocessing

import manyhands
from manyhands import share


def fill(table, numbers):
    table[1] = "1"
    table["2"] = 2
    table[0.25] = None
    numbers.reverse()


def run(table, numbers):
    process = multiprocessing.Process(target=fill, args=(table, numbers))
    process.start()
    process.join()
    return dict(table), list(numbers)


if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        print("standard library:", *run(manager.dict(), manager.list(range(5))))
    with manyhands.Manager() as manager:
        print("manyhands:       ", *run(manager.dict(), manager.list(range(5))))
    print("share:           ", *run(share({}), share(list(range(5)))))

# Output
# standard library: {1: '1', '2': 2, 0.25: None} [4, 3, 2, 1, 0]
# manyhands:        {1: '1', '2': 2, 0.25: None} [4, 3, 2, 1, 0]
# share:            {1: '1', '2': 2, 0.25: None} [4, 3, 2, 1, 0]
