"""One contender, one round, in a fresh interpreter: each row is reported as soon as it is measured."""

from __future__ import annotations

import sys

from benchmarks import fresh, quiet
from benchmarks.sharing import contenders
from benchmarks.sharing.rows import ROWS


def main(path: str, name: str, only: str, limit: str) -> None:
    """Measure the rows with ``only`` in their names; each after a bare ping-pong of at most ``limit`` microseconds, if that is given."""
    reports = fresh.Reports(path)
    contender = next(one for one in contenders.ALL if one.name == name)()
    for title, row in ROWS.items():
        if only in title:
            if limit:
                quiet.wait(float(limit))
            try:
                reports.write({"row": title, "figure": row(contender)})
            except NotImplementedError:
                continue
    contender.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
