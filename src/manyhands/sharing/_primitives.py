"""What processes wait for one another with. They live in one process, and the others use them by proxies.

==================  ===================================================================
``_locks.py``       Lock, RLock, Semaphore, BoundedSemaphore: given back by death
``_conditions.py``  Condition, Event, Barrier: the dead do not count
``_queues.py``      Queue, JoinableQueue: the dead take nothing along
``_waiting.py``     waiting on behalf of a client, whose end is noticed
==================  ===================================================================
"""

from __future__ import annotations

from manyhands.sharing._conditions import Barrier, Condition, Event
from manyhands.sharing._locks import BoundedSemaphore, Lock, RLock, Semaphore
from manyhands.sharing._queues import JoinableQueue, Queue, ShutDown

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Queue",
    "RLock",
    "Semaphore",
    "ShutDown",
]
