"""The first lines of a worker that was started as a new interpreter: ``_zygote_handle.start_python`` calls :func:`main`."""

from __future__ import annotations

import gc

from manyhands._engine import _worker_process


def main(channel_fd: int, slot_fd: int, lifeline_fd: int, settings_fd: int) -> None:
    """Be a worker. Does not return."""
    gc.freeze()
    gc.enable()  # see start_python
    _worker_process.main(channel_fd, slot_fd, lifeline_fd, settings_fd)
