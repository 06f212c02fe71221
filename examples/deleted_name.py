"""The name of a function is deleted before the function runs elsewhere: it runs all the same.

Standard pickling stores a name. After `del` it says _pickle.PicklingError: Can't pickle <function add at 0x7f62>: attribute lookup add on
__main__ failed; and what was pickled before does not unpickle any more: AttributeError, the last line of the output.
"""

import functools
import pickle

import manyhands


def add(x: int, y: int) -> int:
    return x + y


def double(x: int) -> int:
    return add(x, x)  # noqa: F821 - the name is deleted below, that is the point


pickled = pickle.dumps(add)
add_two = functools.partial(add, 2)
del add

print(manyhands.map(add_two, [3, 4]))
try:
    manyhands.map(double, [3])  # as in this process, a name is looked for when the function runs; the error tells which, and where
except NameError as error:
    print(error, "|", error.__notes__[0].partition(" in worker")[0])
try:
    pickle.loads(pickled)
except AttributeError as error:
    print(str(error).partition(" on ")[0])

# Output:
# [5, 6]
# name 'add' is not defined | raised by task 0: double(3)
# Can't get attribute 'add'
