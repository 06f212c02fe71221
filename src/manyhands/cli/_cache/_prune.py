"""``manyhands cache prune``: fewer results."""

from __future__ import annotations

import click

from manyhands.cli._cache import _stores, _words


@click.command("prune", short_help="Remove results until limits are kept.")
@_stores.location
@click.option("--size", metavar="SIZE", help="Keep at most so many bytes: 500M, 10G, or a share of the disk, 5%.")
@click.option("--older", metavar="TIME", help="Remove what was not used for so long: 12h, 30d, 2w.")
@click.option("--items", type=click.IntRange(min=0), metavar="N", help="Keep at most N results.")
@_stores.one_function
@click.option("--dry-run", is_flag=True, help="Remove nothing, and tell what would be.")
@_stores.key_file
def command(
    location: str, size: str | None, older: str | None, items: int | None, function: str | None, dry_run: bool, key_file: str | None
) -> None:
    """Remove results from LOCATION until it is within limits; what is quick to compute again for its size goes first.

    At least one of --size, --older and --items is needed; with --function they are of its results alone. Programs may go on using the
    folder meanwhile.

    \b
    Examples:
        manyhands cache prune cache --size 10G
        manyhands cache prune cache --older 30d --function fit --dry-run
    """
    if (size, older, items) == (None, None, None):
        raise click.UsageError("a limit is missing: --size, --older or --items")
    with _stores.opened(location, key_file) as memory:
        name = _stores.maybe_named(memory, function)
        try:
            gone = memory.reduce_size(size, items, older, function=name, dry_run=dry_run)
        except ValueError as error:
            words = (
                str(error)
                .replace("bytes_limit", "SIZE")
                .replace("age_limit", "TIME")
                .replace("a datetime.timedelta, which has to be a positive one or 0, or ", "")
            )
            raise click.UsageError(words) from None
        left = sum(summary.entries for summary in _stores.functions_of(memory) if name in {None, summary.function})
    done = "would be removed" if dry_run else "removed"
    print(f"{_words.counted(gone.entries, 'result')} {done}, {_words.size(gone.bytes)}; {left - gone.entries * dry_run:,} left")
