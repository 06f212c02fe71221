"""What a store holds, for people: function by function, and in all. From the index alone, so that a million entries take a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from manyhands.memory._index import Index

Key = bytes  # a summary has a field of that name

_PACKAGE = "package "
_PYTHON = "Python "


class FunctionSummary(NamedTuple):
    """What is stored of one function.

    ``entries``: results; ``bytes``: theirs together, and what several have in common counts for each; ``seconds`` they took to compute;
    ``saved``: seconds that their uses would have taken; ``uses``: how often they have been loaded, as far as that has been noted;
    ``created``: the first of them, ``used``: the last time that one was, in seconds since the epoch; ``newest``: the key of the last.
    """

    function: str
    entries: int
    bytes: int
    seconds: float
    saved: float
    uses: int
    created: float
    used: float
    newest: Key


class Statistics(NamedTuple):
    """What a store holds.

    ``folder``: where; ``entries``: results; ``bytes`` on disk, what several have in common once; ``functions``: how many have results;
    ``uses``, ``seconds``, ``saved``, ``created``, ``used``: as of :class:`FunctionSummary`, 0 if there is nothing; ``damaged``: files that
    were set aside; ``versions``: of Python and of packages, that the newest result of each function was computed with.
    """

    folder: str
    entries: int
    bytes: int
    functions: int
    uses: int
    seconds: float
    saved: float
    created: float
    used: float
    damaged: int
    versions: dict[str, list[str]]


def by_function(index: Index) -> list[FunctionSummary]:
    """A summary of each function, the largest first."""
    sums: dict[int, list[float]] = {}
    newest: dict[int, bytes] = {}
    for key, (size, large, seconds, name, created, used, uses) in index.entries.items():
        found = sums.get(name)
        if found is None:
            sums[name] = [1, size + large, seconds, seconds * uses, uses, created, used, created]
            newest[name] = key
            continue
        found[0] += 1
        found[1] += size + large
        found[2] += seconds
        found[3] += seconds * uses
        found[4] += uses
        if created < found[5]:
            found[5] = created
        if used > found[6]:
            found[6] = used
        if created > found[7]:
            found[7] = created
            newest[name] = key
    summaries = [
        FunctionSummary(index.names.get(name, ""), int(entries), int(size), seconds, saved, int(uses), created, used, newest[name])
        for name, (entries, size, seconds, saved, uses, created, used, _) in sums.items()
    ]
    return sorted(summaries, key=lambda summary: summary.bytes, reverse=True)


def together(summaries: Iterable[FunctionSummary], folder: str, stored: int, damaged: int, versions: dict[str, list[str]]) -> Statistics:
    """Of all functions; ``stored``: bytes on disk."""
    all_of_them = list(summaries)
    return Statistics(
        folder=folder,
        entries=sum(summary.entries for summary in all_of_them),
        bytes=stored,
        functions=len(all_of_them),
        uses=sum(summary.uses for summary in all_of_them),
        seconds=sum(summary.seconds for summary in all_of_them),
        saved=sum(summary.saved for summary in all_of_them),
        created=min((summary.created for summary in all_of_them), default=0.0),
        used=max((summary.used for summary in all_of_them), default=0.0),
        damaged=damaged,
        versions=versions,
    )


def versions_in(parts_of_results: Iterable[Mapping[str, bytes]]) -> dict[str, list[str]]:
    """By "Python" and the names of packages: the versions that results have been computed with, as their parts say."""
    found: dict[str, set[str]] = {}
    for label in {label for parts in parts_of_results for label in parts}:
        if label.startswith((_PYTHON, _PACKAGE)):
            name, _, version = label.removeprefix(_PACKAGE).partition(" ")
            found.setdefault(name, set()).add(version)
    return {name: sorted(found[name]) for name in sorted(found, key=lambda name: (name != "Python", name))}
