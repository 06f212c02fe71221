"""An attribute changed in three ways in a child: assigned, by a method, and with ``+=``."""

from multiprocessing import Process

from manyhands import share


class Thing:
    def __init__(self):
        self.x = 100

    def set_x(self, x):
        self.x = x


def change(thing):
    thing.x = 500
    print(" there:", thing.x, flush=True)
    thing.set_x(200)
    print(" there:", thing.x, flush=True)
    thing.x += 1
    print(" there:", thing.x, flush=True)


def show(thing):
    process = Process(target=change, args=(thing,))
    process.start()
    process.join()
    print(" here: ", thing.x, flush=True)


if __name__ == "__main__":
    print("standard library", flush=True)
    show(Thing())
    print("manyhands", flush=True)
    show(share(Thing()))

# Output
# standard library
#  there: 500
#  there: 200
#  there: 201
#  here:  100
# manyhands
#  there: 500
#  there: 200
#  there: 201
#  here:  201
