"""An object in a shared list: with a manager it has to be taken out, changed, and put back."""

from multiprocessing import Manager

from manyhands import share


class Thing:
    def __init__(self):
        self.x = 100


if __name__ == "__main__":
    with Manager() as manager:
        things = manager.list([Thing()])
        things[0].x = 500
        print("standard library:", things[0].x)
        thing = things[0]
        thing.x = 500
        things[0] = thing
        print("  put back:      ", things[0].x)

    things = share([Thing()])
    things[0].x = 500
    print("manyhands:       ", things[0].x)

# Output
# standard library: 100
#   put back:       500
# manyhands:        500
