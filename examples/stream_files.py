"""Results while the inputs are still being read: input may be endless, memory stays small.

`imap` reads no further ahead than `buffer` tasks whose results have not been taken.
"""

import hashlib
import itertools
from collections.abc import Iterator

import manyhands

read = []


def endless_files() -> Iterator[bytes]:
    """Stands for files, messages, rows of a database: more than fit in memory."""
    for number in itertools.count():
        read.append(number)
        yield f"content of file {number}\n".encode() * 1000


def digest(content: bytes) -> str:
    """What to do with each."""
    return hashlib.sha256(content).hexdigest()[:8]


with manyhands.imap(digest, endless_files(), buffer=20) as digests:
    for number, found in zip(range(3), digests, strict=False):
        print(number, found)
    print("at most 20 read ahead:", len(read) <= 3 + 20)
# The block has been left: nothing of it runs any more.

# Output:
# 0 418d4c7f
# 1 54ad5472
# 2 76b84d09
# at most 20 read ahead: True
