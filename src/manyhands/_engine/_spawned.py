"""The first lines of a worker that was started as a new interpreter: ``_zygote_handle.start_python`` calls :func:`main`."""

from manyhands._engine._worker_process import main

__all__ = ["main"]
