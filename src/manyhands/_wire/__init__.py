"""Bytes between processes.

======================  =====================================================
``_posix.py``           everything that touches the operating system
``_poller.py``          which descriptors are ready
``_frames.py``          the frame: one message, its header and its parts
``_channel.py``         a duplex stream of frames over one socket
``_slot.py``            one page shared with one worker: what it is doing now
``_segments.py``        large data in anonymous memory, pooled, mapped copy-on-write
``_shared.py``          memory that several processes write to, and its lock
``_loans.py``           a worker's mappings of the segments that its tasks are given
======================  =====================================================

This package knows bytes, frames and descriptors. It never pickles: see ``_codec`` for that.
"""
