"""What a way to share costs: memory that all have is quicker than messages, and no sharing is quicker still. ``-v`` prints microseconds."""

import multiprocessing
import sys
import timeit

from manyhands import lock, share


class Plain:
    def __init__(self):
        self.n = 0


@share.record
class Record:
    n: int = 0


def locked(thing):
    with lock(thing):
        thing.n += 1


def microseconds(action):
    return min(timeit.repeat(action, number=200, repeat=5)) / 200 * 1e6


if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        plain, record, far, theirs = Plain(), Record(), share.new(Plain), manager.Namespace(n=0)
        cost = {
            "read a plain attribute": microseconds(lambda: plain.n),
            "read a field of a record": microseconds(lambda: record.n),
            "add to it, alone": microseconds(lambda: locked(record)),
            "read an attribute of a shared object": microseconds(lambda: far.n),
            "the same of a manager's Namespace": microseconds(lambda: theirs.n),
        }
    print("from the cheapest to the dearest:", *sorted(cost, key=cost.get), sep="\n  ")
    if "-v" in sys.argv:
        print(*(f"{name}: {figure:.2f}" for name, figure in cost.items()), sep="\n")

# Output
# from the cheapest to the dearest:
#   read a plain attribute
#   read a field of a record
#   add to it, alone
#   read an attribute of a shared object
#   the same of a manager's Namespace
