"""Two processes draw from one generator, and each counts for itself.

The standard library needs a manager class, a registration, a proxy class with the names that it passes on, a method for ``next``, and a
counter that hides from the proxy's ``__setattr__``.
"""

from multiprocessing import Lock, Process
from multiprocessing.managers import BaseManager, NamespaceProxy

from manyhands import local, share


class Squares:
    def __init__(self):
        self.numbers = (n * n for n in range(100))

    def draw(self):
        return next(self.numbers)


class SquaresProxy(NamespaceProxy):
    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__", "draw")

    def draw(self):
        return self._callmethod("draw")


class SquaresManager(BaseManager):
    pass


SquaresManager.register("Squares", Squares, SquaresProxy)


def draw_by_proxy(squares, drawn, lock):
    object.__setattr__(squares, "_counter", 10)
    for _ in range(4):
        square = squares.draw()
        object.__setattr__(squares, "_counter", squares._counter + 1)
        with lock:
            drawn.append((square, squares._counter))


def draw(squares, drawn):
    local(squares).counter = 10
    for _ in range(4):
        square = next(squares.numbers)
        local(squares).counter += 1
        drawn.append((square, local(squares).counter))


def run(target, *args):
    processes = [Process(target=target, args=args) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def show(name, drawn):
    print(name, sorted(square for square, _ in drawn), sorted(counter for _, counter in drawn))


if __name__ == "__main__":
    with SquaresManager() as manager:
        drawn = share([])
        run(draw_by_proxy, manager.Squares(), drawn, Lock())
        show("standard library:", drawn)

    drawn = share([])
    run(draw, share(Squares()), drawn)
    show("manyhands:       ", drawn)

# Output
# standard library: [0, 1, 4, 9, 16, 25, 36, 49] [11, 11, 12, 12, 13, 13, 14, 14]
# manyhands:        [0, 1, 4, 9, 16, 25, 36, 49] [11, 11, 12, 12, 13, 13, 14, 14]
