"""``manyhands demo``: a real job over the sources of Python's standard library, in parallel and, to compare, one after the other."""

from __future__ import annotations

import os
import sysconfig
import time
from typing import TYPE_CHECKING

import click

import manyhands
from manyhands.cli import _stdlib

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from rich.console import Console

    from manyhands.backends._contract import Counts
    from manyhands.cli._stdlib import Totals


@click.command("demo")
@click.option("-j", "--workers", type=click.IntRange(min=1), help="How many workers.  [default: one for each processor]")
@click.option("--tests", is_flag=True, help="Python's own test suite as well: twice as many files.")
def command(workers: int | None, tests: bool) -> int:
    """Analyse the source of Python's standard library on every core.

    Shows what is in it, how long it took, how long the same job takes one file after the other, and what each worker did.

    \b
    Example:
        manyhands demo -j 2
    """
    from rich.console import Console  # noqa: PLC0415 - 50 ms, and only for who sees it

    console = Console(highlight=False)
    paths = _stdlib.source_files(tests=tests)
    if not paths:
        msg = f"the standard library in {sysconfig.get_path('stdlib')} has no source files"
        raise click.ClickException(msg)
    count = workers or manyhands.cpu_count()
    console.print(f"{len(paths):,} files, {count} workers:")
    totals, counts, parallel = _in_parallel(paths, workers)
    console.print("The same one after the other, to compare ...")
    begin = time.perf_counter()
    same = _stdlib.total(map(_stdlib.analyse, paths)) == totals
    serial = time.perf_counter() - begin
    _print_totals(console, totals)
    _print_times(console, counts, parallel, serial, count)
    if not same:
        console.print("The results differ, which must not be: were files changed meanwhile?")
    return 0 if same else 1


def _in_parallel(paths: Sequence[str], workers: int | None) -> tuple[Totals, Counts, float]:
    """What the files hold, what each worker did, and seconds. The workers are started within."""
    begin = time.perf_counter()
    with manyhands.imap(_stdlib.analyse, paths, workers=workers, progress=True) as results:
        totals = _stdlib.total(results)
    return totals, results.statistics(), time.perf_counter() - begin


def _print_totals(console: Console, totals: Totals) -> None:
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(title="Python's standard library", show_header=False, min_width=72)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("files", f"{totals.files:,} ({totals.unreadable:,} unreadable)")
    table.add_row("lines", f"{totals.lines:,} ({totals.comments:,} of them comments)")
    table.add_row("functions, classes", f"{totals.functions:,}, {totals.classes:,}")
    table.add_section()
    home = sysconfig.get_path("stdlib")
    longest = "\n".join(f"{lines:5,}  {name}  [dim]{os.path.relpath(path, home)}[/]" for lines, name, path in totals.longest)
    table.add_row("longest functions\n(lines)", longest)
    table.add_row("most used names", _top(totals.names))
    table.add_row("most imported", _top(totals.imports))
    console.print(table)


def _top(counter: Counter[str]) -> str:
    return ", ".join(f"{name} [dim]{count:,}[/]" for name, count in counter.most_common(8))


def _print_times(console: Console, counts: Counts, parallel: float, serial: float, workers: int) -> None:
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(title="Who did it", min_width=72)
    for title in ("worker", "files", "busy seconds", "share of the time"):
        table.add_column(title, justify="right")
    for worker, (tasks, nanoseconds) in counts.work.items():
        table.add_row(str(worker), f"{tasks:,}", f"{nanoseconds / 1e9:.2f}", f"{nanoseconds / 1e9 / parallel:.0%}")
    console.print(table)
    console.print(
        f"{parallel:.2f} s with {workers} workers, {serial:.2f} s one after the other: [bold]{serial / parallel:.2f} times as fast[/] "
        f"on {manyhands.cpu_count()} processors."
    )
