"""The functions that a pool knows: each is encoded as it is now, and sent to a worker once."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from manyhands._codec import _pickling
from manyhands._engine._calls import Function, function_name

if TYPE_CHECKING:
    from collections.abc import Callable

# What is kept of functions, here and in each worker.
_MOST = 1000
_MOST_BYTES = 64 << 20


class Functions:
    """For any thread. ``let_go(function)`` is called for one that is kept no longer: those by value may be large, and new at each call."""

    def __init__(self, let_go: Callable[[Function], object]) -> None:
        self._let_go = let_go
        self._known: OrderedDict[object, Function] = OrderedDict()  # by all their bytes
        self._bytes = 0
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def get(self, fn: Callable[..., object]) -> Function:
        """The function as it is now.

        Raises:
            NotSerializable: it cannot be sent.
        """
        payload, buffers = _pickling.encode(fn)
        key = (payload, *buffers) if buffers else payload
        known = self._known.get(key)
        if known is not None:
            return known
        with self._lock:
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = Function(next(self._numbers), payload, buffers, function_name(fn))
                self._bytes += known.size
                self._forget_old()
        return known

    def _forget_old(self) -> None:
        while len(self._known) > _MOST or (self._bytes > _MOST_BYTES and len(self._known) > 1):
            _, old = self._known.popitem(last=False)
            self._bytes -= old.size
            self._let_go(old)
