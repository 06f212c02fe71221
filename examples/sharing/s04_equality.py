"""Proxies of the standard library do not compare by value; copies do."""

from multiprocessing import Manager

from manyhands import share

if __name__ == "__main__":
    with Manager() as manager:
        numbers = manager.list([1, 2, 3])
        print("standard library:", numbers == [1, 2, 3], numbers[:] == [1, 2, 3])
    numbers = share([1, 2, 3])
    print("manyhands:       ", numbers == [1, 2, 3], numbers[:] == [1, 2, 3])

# Output
# standard library: False True
# manyhands:        True True
