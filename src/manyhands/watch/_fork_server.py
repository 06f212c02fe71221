"""Loaded by a fork server of ``multiprocessing`` whose program is watched: the processes that it forks are watched as well."""

from __future__ import annotations

from manyhands.watch import _plain

_plain.begin_in_child()
