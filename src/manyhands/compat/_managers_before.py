"""What ``multiprocessing.managers`` defines, also where manyhands is in its place. There pickle finds what was imported before."""

from __future__ import annotations

from manyhands.compat import installing


def __getattr__(name: str) -> object:
    return installing.name_before("multiprocessing.managers", name)
