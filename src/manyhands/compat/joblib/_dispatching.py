"""What subclasses of ``Parallel`` override to be told of each batch before it goes; and how many have gone and come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manyhands._noted_calls import Counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from manyhands._noted_calls import Calls, Noted
    from manyhands.compat.joblib._batches import BatchedCalls
    from manyhands.compat.joblib._contract_stream import ContractStream


class Dispatching(Counting):
    """Calls go as a stream, which reads them as it needs them, and asks nobody. Where a subclass overrides one of :data:`DISPATCHING`, or a
    backend wants batches, they go in batches, each by way of these methods.
    """

    _calls: Calls | None = None
    dispatcher: ContractStream | None = None  # of the last call, if that goes in batches
    _reported: int | None = None  # how many calls somebody has been told of, batch by batch; None: nobody is told

    def dispatch_one_batch(self, iterator: Iterator[Noted]) -> bool:
        """Dispatch a batch of the calls that ``iterator`` gives.

        Returns:
            Whether there was one: not where there are no more calls, and not where they go as a stream.
        """
        return self.dispatcher is not None and self.dispatcher.dispatch(iterator)

    def dispatch_next(self) -> None:
        """Dispatch a batch of what has not been read, if there is any; called whenever a batch has ended."""
        if self.dispatcher is not None:
            self.dispatcher.go_on()

    def _dispatch(self, batch: BatchedCalls) -> None:
        """Give a batch to the backend."""
        if self.dispatcher is not None:
            self.dispatcher.submit(batch)

    def _has_say(self) -> bool:
        """Whether somebody has overridden how batches are dispatched."""
        return any(is_overridden(self, name, own) for name, own in _OWN.items())

    # ------------------------------------------------------------ how far it is

    @property
    def n_dispatched_batches(self) -> int:
        """How many batches the calls of the last run have gone in so far."""
        if self.dispatcher is not None:
            return self.dispatcher.batches
        ledger = None if self._stream is None else self._stream.counts().ledger
        return 0 if ledger is None else ledger.batches

    @property
    def n_completed_tasks(self) -> int:
        """How many calls of the last run have ended; for who is told of each batch, up to that batch."""
        return super().n_completed_tasks if self._reported is None else self._reported

    @n_completed_tasks.setter
    def n_completed_tasks(self, count: int) -> None:
        self._reported = count  # recipes count by themselves

    def report(self, callback: Callable[[Any], object], count: int, out: Any) -> None:
        """Call the callback of a batch of so many calls. It counts them, unless it is somebody's own and does not pass it on."""
        total = (self._reported or 0) + count
        callback(out)
        self._reported = total

    def completed(self, count: int) -> None:
        """So many calls more have ended."""
        self._reported = (self._reported or 0) + count
        self.print_progress()

    def print_progress(self) -> None:
        """Say how far the call is."""

    @property
    def _original_iterator(self) -> Any:
        """The calls that have not been read; None if all have. Private there, and looked at in recipes."""
        if self._calls is None or (self._calls.exhausted and (self.dispatcher is None or not self.dispatcher.ready)):
            return None
        return self._calls if self.dispatcher is None else self.dispatcher.unread

    def _is_completed(self) -> bool:
        """Whether all calls have been read, and have ended well. Private there, and asked in recipes."""
        if self._stream is None or self._original_iterator is not None:
            return False
        counts = self._stream.counts()
        return self.n_completed_tasks == counts.submitted and not counts.failed


# What a subclass may override to have a say when a batch is dispatched.
DISPATCHING = ("dispatch_one_batch", "dispatch_next", "_dispatch")

_OWN = {name: vars(Dispatching)[name] for name in DISPATCHING}


def is_overridden(obj: object, name: str, own: object) -> bool:
    """Whether a method is not this package's own: in a subclass, or where another was put in its place, in the class or in the object."""
    return getattr(type(obj), name) is not own or name in vars(obj)
