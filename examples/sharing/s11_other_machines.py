"""An object for programs on other machines. The standard library unpickles whatever they send, and takes any key, also a short one."""

import multiprocessing
import secrets
from collections import Counter
from multiprocessing.managers import BaseManager

from manyhands import share


class WordManager(BaseManager):
    pass


def by_a_manager(address, key):
    WordManager.register("words")
    manager = WordManager(address, key)
    manager.connect()
    manager.words().update(["a", "b", "a"])


def by_manyhands(address, key):
    share.connect(f"{address}/words", key=key).update(["a", "b", "a"])


def run(target, *args):
    process = multiprocessing.Process(target=target, args=args)
    process.start()
    process.join()


if __name__ == "__main__":
    words = Counter()
    WordManager.register("words", lambda: words)
    with WordManager(("127.0.0.1", 0), b"k") as manager:
        run(by_a_manager, manager.address, b"k")
        print("standard library:", manager.words().most_common())

    words = share(Counter())
    key = secrets.token_bytes(32)
    with share.listen("tcp://127.0.0.1:0", key=key, expose={"words": words}) as listener:
        run(by_manyhands, listener.address, key)
    print("manyhands:       ", words.most_common())
    try:
        share.listen("tcp://127.0.0.1:0", key=b"k", expose={"words": words})
    except ValueError as error:
        print("  a short key:   ", error)

# Output
# standard library: [('a', 2), ('b', 1)]
# manyhands:        [('a', 2), ('b', 1)]
#   a short key:    a key of 1 bytes: what listens for other machines needs at least 16 bytes, like secrets.token_bytes(32)
