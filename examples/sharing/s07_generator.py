"""An object that has a generator cannot be sent; shared, it stays where it lives."""

from multiprocessing import Manager, get_context

from manyhands import share


class Squares:
    def __init__(self):
        self.numbers = (n * n for n in range(100))


def draw(squares):
    print("  drawn:", [next(squares.numbers) for _ in range(3)], flush=True)


def give(squares, method):
    process = get_context(method).Process(target=draw, args=(squares,))
    process.start()
    process.join()


if __name__ == "__main__":
    try:
        give(Squares(), "spawn")
    except TypeError as error:
        print("standard library, as an argument:", error, flush=True)
    with Manager() as manager:
        try:
            manager.list([Squares()])
        except TypeError as error:
            print("standard library, by a manager:  ", error, flush=True)

    squares = share(Squares())
    print("manyhands", flush=True)
    give(squares, "spawn")
    give(squares, "fork")

# Output
# standard library, as an argument: cannot pickle 'generator' object
# standard library, by a manager:   cannot pickle 'generator' object
# manyhands
#   drawn: [0, 1, 4]
#   drawn: [9, 16, 25]
