"""What each worker of a pool is given when it starts: an initializer, what it calls at its end, and what can only be inherited."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from manyhands import errors
from manyhands._codec import _pickling
from manyhands._engine._launch import make_launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from manyhands._codec._inherited import Inheritance
    from manyhands._engine._crew import Crew
    from manyhands._engine._launch import Launcher
    from manyhands._engine._zygote_handle import Zygote


class Hooks(NamedTuple):
    """``initializer(*initargs)`` is called when a worker begins, ``worker_exit()`` when it leaves; either may be None."""

    initializer: Callable[..., object] | None = None
    initargs: tuple[object, ...] = ()
    worker_exit: Callable[[], object] | None = None

    def __bool__(self) -> bool:
        return self.initializer is not None or self.worker_exit is not None


class SetUp:
    """See the module. ``may_fork``: workers may be forked from this process, if they can inherit what they are given in no other way."""

    def __init__(self, zygote: Zygote, start_method: str, preload: tuple[str, ...], *, may_fork: bool) -> None:
        self.inheritance: Inheritance | None = None
        self.zygote: Zygote | None = zygote if start_method == "zygote" else None  # from which workers are forked
        self._start_method = start_method
        self._may_fork = may_fork
        self._launch_by: Callable[..., Launcher] = partial(make_launcher, zygote=zygote, preload=preload)

    def launcher(self) -> Launcher:
        """What starts workers, at first."""
        return self._launch_by(self._start_method)

    @property
    def forks(self) -> bool:
        """Whether workers are forked from this process."""
        return self._start_method == "fork" or (self.inheritance is not None and self.inheritance.forked)

    def encode(self, hooks: Hooks) -> tuple[bytes, Sequence[memoryview]] | None:
        """The message that each worker gets first; None: there is nothing to be said.

        Raises:
            NotSerializable: something of it cannot be sent.
        """
        if not hooks and not self.forks:
            return None
        try:
            with self.bequeathing() as inheritance:
                if self.forks:
                    # A function of the script may name a lock or a queue that the script has made: its copies have it.
                    inheritance.take_in(vars(sys.modules["__main__"]).values())
                return _pickling.encode_views(tuple(hooks), "send") if hooks else None
        except errors.NotSerializable as error:
            from manyhands._codec import _renaming  # noqa: PLC0415 - only after a failure

            raise _renaming.of_initializer(error) from None

    # ------------------------------------------------------------ what workers inherit

    @contextlib.contextmanager
    def bequeathing(self) -> Iterator[Inheritance]:
        """What is pickled in there, in this thread, may hold what workers can only inherit. None has been started yet.

        Then, :meth:`settle`.
        """
        from manyhands._codec._inherited import Inheritance  # noqa: PLC0415 - not for shared pools, which most programs use

        inheritance = Inheritance(forked=self._start_method == "fork", may_fork=self._may_fork)
        try:
            with inheritance.collecting():
                self.inheritance = inheritance
                yield inheritance
        except BaseException:
            self.drop()
            raise
        if not inheritance:
            self.inheritance = None

    def known(self) -> contextlib.AbstractContextManager[Any]:
        """What is pickled in there may hold what the workers have inherited."""
        return contextlib.nullcontext() if self.inheritance is None else self.inheritance.known()

    def settle(self, crew: Crew, command: Callable[[Callable[[], object]], None]) -> None:
        """Have workers start in the way in which they get what they inherit, if there is anything new.

        Raises:
            NotSerializable: they are not to be forked, and it cannot be handed to others.
        """
        inheritance = self.inheritance
        if inheritance is None or not inheritance.has_news:
            return
        inheritance.has_news = False
        if not inheritance.forked:
            try:
                crew.bequest = inheritance.bequest()
                return
            except Exception as error:  # noqa: BLE001 - reducers of multiprocessing may raise anything
                if not self._may_fork:
                    raise _not_handed_over(inheritance, error) from None
        command(partial(self._fork_workers, crew, inheritance))

    def _fork_workers(self, crew: Crew, inheritance: Inheritance) -> None:
        crew.launcher.close()
        self.zygote = None
        crew.launcher = self._launch_by("fork", inheritance=inheritance)

    def drop(self) -> None:
        """All workers that there will be have what they inherit."""
        inheritance, self.inheritance = self.inheritance, None
        if inheritance is not None:
            inheritance.close()

    def let_go(self) -> None:
        """In a forked child: what is to be inherited is the parent's to give."""
        if self.inheritance is not None:
            self.inheritance.let_go()


def _not_handed_over(inheritance: Inheritance, error: Exception) -> errors.NotSerializable:
    what = f"{len(inheritance)} objects that are inherited"
    return errors.NotSerializable("", [errors.Part(what, "multiprocessing", str(error), "leave out start_method, or the context")])
