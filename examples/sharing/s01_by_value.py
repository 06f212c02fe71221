"""A list that is given to a process is a copy there. A shared one is the list."""

from multiprocessing import Process

from manyhands import share


def add(numbers):
    numbers.append(4)


def changed(numbers):
    process = Process(target=add, args=(numbers,))
    process.start()
    process.join()
    return list(numbers)


if __name__ == "__main__":
    print("standard library:", changed([1, 2, 3]))
    print("manyhands:       ", changed(share([1, 2, 3])))

# Output
# standard library: [1, 2, 3]
# manyhands:        [1, 2, 3, 4]
