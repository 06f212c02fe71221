"""Where the failed tasks of one call are saved.

**Guarantee**: whatever goes wrong here is a warning, said once for each call. The task fails with what it has failed with.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import threading
import time
import warnings
from typing import TYPE_CHECKING

from manyhands._codec import _failures, _passing
from manyhands._core.policy import add_note
from manyhands._core.user_line import stacklevel
from manyhands._files._replacing import replacing
from manyhands._records import _container, _facts
from manyhands._records._container import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Files of one call. More of them would be more of the same.
MOST = 100
SUFFIX = ".replay"
_LONGEST_NAME = 60


class Recorder:
    """For any thread. ``recorder(task, error, make)`` saves a task in ``folder``: ``make()`` gives what it is made of."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._count = 0
        self._lock = threading.Lock()
        self._warned = False

    def __call__(self, task: _facts.Task, error: BaseException, make: Callable[[], Sequence[Part]]) -> None:
        """Save it, and say so on ``error``."""
        with self._lock:
            self._count += 1
            number = self._count
        if number > MOST:
            self._warn(f"{MOST} failed tasks of this call have been recorded in {self._folder}; further ones are not")
            return
        try:
            path = self._saved(task, error, make)
        except Exception as second:  # noqa: BLE001 - a full disk, or a user's __reduce__: see above
            reason = f"{type(second).__name__}: {second}"
            add_note(error, f"not recorded in {self._folder}: {reason}")
            self._warn(f"failed tasks of this call cannot be recorded in {self._folder}: {reason}")
            return
        add_note(error, f"recorded; to run it again: manyhands replay {shlex.quote(path)}")

    def _saved(self, task: _facts.Task, error: BaseException, make: Callable[[], Sequence[Part]]) -> str:
        header, parts = _facts.header(task, error), [Part("error", _failures.encode_failure(error))]
        if _passing.seen[0]:
            _passing.taken()
        try:
            parts += make()
        except Exception as second:  # noqa: BLE001 - arguments of a thread may be what nobody can pickle; all else can still be told
            header["incomplete"] = f"{type(second).__name__}: {second}"
            self._warn(f"what {task.call} was called with cannot be saved: {header['incomplete']}")
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        path = os.path.join(self._folder, _name(task))
        with replacing(path) as fd:
            os.fchmod(fd, 0o600)
            _container.write(fd, header, parts)
        return path

    def _warn(self, text: str) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            with contextlib.suppress(UserWarning):  # where warnings are errors: it is not the task's
                warnings.warn(text, UserWarning, stacklevel=stacklevel())


def _name(task: _facts.Task) -> str:
    """``divide-3-20261122T161540-1f2e3d4c.replay``."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", task.name).strip("_")[:_LONGEST_NAME] or "task"
    return f"{name}-{task.number}-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}{SUFFIX}"
