"""The first lines of a worker that was started as a new interpreter."""

from __future__ import annotations

import os

from manyhands._engine import _worker


def main(channel_fd: int, slot_fd: int, lifeline_fd: int, settings_fd: int) -> None:
    """Read the settings, then be a worker."""
    with os.fdopen(settings_fd, "rb") as file:
        settings = file.read()
    _worker.main(channel_fd, slot_fd, lifeline_fd, settings)
