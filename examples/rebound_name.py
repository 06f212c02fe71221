"""The name of a function means something else by the time the function runs elsewhere: what runs is what was submitted.

Standard pickling stores the name and takes what it leads to later: without a word another function, so that 2 and 3 make 6; or no
function at all, which is noticed far from where it happened. Those are the lines of pickle in the output.
"""

import operator
import pickle
import time

from manyhands import Executor


def add(x: int, y: int) -> int:
    return x + y


submitted = add
with Executor(max_workers=1) as executor:
    for other in (operator.mul, 2):
        add = submitted
        pickled = pickle.dumps(add)
        executor.submit(time.sleep, 0.1)  # the only worker is busy, the next task has to wait
        future = executor.submit(add, 2, 3)
        add = other
        print("manyhands:", future.result())
        try:
            print("pickle:", pickle.loads(pickled)(2, 3))
        except TypeError as error:
            print("pickle:", error)

# Output:
# manyhands: 5
# pickle: 6
# manyhands: 5
# pickle: 'int' object is not callable
