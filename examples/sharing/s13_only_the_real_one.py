"""Some functions in C take only a real list, dict or text, and no stand-in; they are given a copy: ``snapshot(shared)``.

What asks the object itself, or goes through it item by item, takes a shared one as it is. What is to change it runs where it is:
``lock.run(numbers, heapq.heapify)``.
"""

import copy
import heapq
import io
import json
import os
from multiprocessing import Manager

import pandas as pd

from manyhands import lock, share, snapshot

CALLS = {
    "json.dumps(table)": json.dumps,
    "heapq.heapify(numbers)": heapq.heapify,
    "pd.concat([frame])": lambda frame: pd.concat([frame, frame]),
    "''.join([text])": lambda text: "".join([text]),
    "open(path)": lambda path: open(path).close(),
    "io.BytesIO(data)": io.BytesIO,
    "[0] + numbers": lambda numbers: [0] + numbers,  # noqa: RUF005 - that is what it shows
    "{**table}": lambda table: {**table},
    "sorted(numbers)": sorted,
    "isinstance(numbers, list)": lambda numbers: isinstance(numbers, list) or 1 / 0,
    "numbers == [3, 1]": lambda numbers: numbers == [3, 1] or 1 / 0,
}
THINGS = {
    "numbers": [3, 1],
    "table": {"a": 1},
    "frame": pd.DataFrame({"a": [1]}),
    "text": "text",
    "path": os.devnull,
    "data": bytearray(b"a"),
}


def refused(stand_in, call):
    """The calls that a stand-in makes fail."""
    failed = []
    for said, function in CALLS.items():
        thing = next(thing for name, thing in THINGS.items() if name in said)
        shared = stand_in(thing)
        if shared is None:
            continue
        try:
            function(call(shared))
        except (TypeError, ZeroDivisionError):
            failed.append(said)
    return ", ".join(failed) or "nothing"


if __name__ == "__main__":
    with Manager() as manager:
        kinds = {list: manager.list, dict: manager.dict}
        proxies = {name: kinds[type(thing)](thing) for name, thing in THINGS.items() if type(thing) in kinds}
        by_id = {id(THINGS[name]): proxy for name, proxy in proxies.items()}
        print("standard library, refused:", refused(lambda thing: by_id.get(id(thing)), lambda shared: shared))
        print("standard library, of copies:", refused(lambda thing: by_id.get(id(thing)), copy.deepcopy))

    print("manyhands, refused:", refused(share, lambda shared: shared))
    print("manyhands, of copies:", refused(share, snapshot))
    numbers = share([3, 1])
    lock.run(numbers, heapq.heapify)
    print("manyhands, in place:", numbers)

# Output
# standard library, refused: json.dumps(table), heapq.heapify(numbers), [0] + numbers, isinstance(numbers, list), numbers == [3, 1]
# standard library, of copies: nothing
# manyhands, refused: json.dumps(table), heapq.heapify(numbers), pd.concat([frame]), ''.join([text]), open(path), io.BytesIO(data)
# manyhands, of copies: nothing
# manyhands, in place: [1, 3]
