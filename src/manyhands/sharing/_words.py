"""What can be said with ``share`` besides ``share(obj)``."""

from __future__ import annotations

import contextlib
import sys
import types
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from manyhands.sharing import _arrivals, _boxes, _proxies, _table, _values, arrays
from manyhands.sharing import _asked as ops
from manyhands.sharing._kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from manyhands.sharing._keepers import Keeper

T = TypeVar("T")
C = TypeVar("C", bound=type)
F = TypeVar("F")
P = ParamSpec("P")


def shared(obj: Any, name: str | None, expose: Iterable[str] | None, *, keep: bool) -> Any:
    """What ``share(obj)`` gives."""
    if _proxies.reference_of(obj) is not None:
        proxy = obj
        if expose is not None:
            raise ValueError("expose= is for what is not shared yet: say it where the object is shared first")
    elif _values.is_in_memory(obj):
        return obj
    elif _values.is_array(obj):
        return arrays.share_array(obj)
    elif _values.is_immutable(obj) and not isinstance(obj, type | types.ModuleType):
        proxy = _arrivals.local(_boxes.Box(obj), kind=_boxes.kind_of_box(obj))
    else:
        proxy = _arrivals.local(obj)
    if expose is not None:
        _expose(proxy, expose)
    if "asyncio" in sys.modules and proxy is not obj:
        _note_loop(proxy)
    if keep or name is not None:
        reference_of(proxy, "share").request(ops.KEEP, "", (name,))
    return proxy


def _note_loop(proxy: Any) -> None:
    """What is shared in an event loop has its coroutines run there: they may use what belongs to that loop."""
    with contextlib.suppress(RuntimeError):
        loop = sys.modules["asyncio"].get_running_loop()
        reference: Any = _proxies.reference_of(proxy)
        reference.entry.root.loop = loop


def _expose(proxy: Any, expose: Iterable[str]) -> None:
    if isinstance(expose, str):
        raise TypeError(f"expose={expose!r} is one text; it is a list of names, as [{expose!r}]")
    reference: Any = _proxies.reference_of(proxy)
    reference.entry.exposed = frozenset(expose)


def reference_of(shared: object, function: str) -> Any:
    """How a proxy reaches its object.

    Raises:
        TypeError: it is no proxy.
    """
    reference: Any = _proxies.reference_of(shared)
    if reference is None and _values.is_in_memory(shared):
        return cast("Any", shared).__manyhands_reference__()
    if reference is None:
        raise TypeError(f"{function}() takes what share() has given, not {type(shared).__name__}")
    return reference


class Words:
    """Mixed into :class:`manyhands.sharing.objects._Share`."""

    __slots__ = ()

    def new(self, cls: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The proxy of ``cls(*args, **kwargs)``, made in the keeper: a process of this program that does nothing but have objects.

        For objects that are asked much, or take long, while the program computes; and for what no process could send to another: it is made
        there. The keeper starts when it is first needed, in some milliseconds, and ends with ``manyhands.shutdown()`` or with the program,
        also by SIGKILL; its objects are gone then. Children and workers that are started after it use the same one. What objects there
        print goes to the descriptor of the program's output, and not through its ``sys.stdout``. In a keeper itself, and so in the methods
        of its objects, the object is made where the call is.

        Example:
            >>> import manyhands
            >>> from collections import Counter
            >>> words = manyhands.share.new(Counter, "abracadabra")
            >>> words["a"]
            5

        Raises:
            CannotStart: the machine has no room for the keeper.
            NotSerializable: an argument cannot be sent.
            Exception: what ``cls`` raises, with the traceback in the keeper.
        """
        if _table.here.is_keeper:
            from manyhands.sharing import _shared_classes  # noqa: PLC0415 - as below

            return cast("T", shared(_shared_classes.builder(cls)(*args, **kwargs), None, None, keep=False))
        from manyhands.sharing import _keepers  # noqa: PLC0415 - it takes the engine, and most objects stay here

        return _keepers.default().new(cls, *args, **kwargs)

    def keeper(self) -> Keeper:
        """A keeper of one's own, for a ``with`` block: what is made in several of them runs on as many processors.

        Example:
            >>> import manyhands
            >>> with manyhands.share.keeper() as one, manyhands.share.keeper() as other:
            ...     a, b = one.new(list), other.new(list)
            ...     a.append(1)
            ...     len(a), len(b)
            (1, 0)

        When the block ends, the process does, and its objects with it.

        Raises:
            CannotStart: the machine has no room for it.
        """
        from manyhands.sharing import _keepers  # noqa: PLC0415 - as above

        return _keepers.start()

    def cls(self, cls: C, /) -> C:
        """A decorator: calling the class is from now on ``share.new(cls, ...)``. What it gives is a subclass that has the same name.

        Example:
            >>> import manyhands
            >>> @manyhands.share.cls
            ... class Account:
            ...     def __init__(self, balance=0):
            ...         self.balance = balance
            ...     def pay_in(self, amount):
            ...         self.balance += amount
            >>> account = Account(100)
            >>> manyhands.map(account.pay_in, [1, 2, 3])
            [None, None, None]
            >>> account.balance, isinstance(account, Account)
            (106, True)

        Subclasses of it are shared as well. A copy (``snapshot(account)``) is a plain instance.

        Raises:
            TypeError: it is no class, or one that cannot have subclasses.
        """
        from manyhands.sharing import _shared_classes  # noqa: PLC0415 - few programs use it

        return cast("C", _shared_classes.shared(cls))

    def get(self, name: str, timeout: float | None = 0) -> Any:
        """The proxy of what a process of this user has shared under a name: ``share(obj, name="jobs")``.

        Example:
            >>> import manyhands
            >>> jobs = manyhands.share(["first"], name="jobs of a doctest")
            >>> manyhands.share.get("jobs of a doctest")[0]
            'first'
            >>> manyhands.share.close(jobs)

        Args:
            name: any text up to some 200 bytes.
            timeout: seconds to wait for it to be there; None: for ever.

        Raises:
            NameUnknown: nothing has that name; also caught as ``LookupError`` and ``TimeoutError``.
        """
        from manyhands.sharing import _names  # noqa: PLC0415 - few programs use them

        return _names.find(name, timeout)

    def close(self, shared: object) -> None:
        """Share an object no more, whoever has a proxy of it: that raises ``NotShared`` from now on. Its name is free again.

        Example:
            >>> import manyhands
            >>> items = manyhands.share([])
            >>> manyhands.share.close(items)
            >>> items.append(1)
            Traceback (most recent call last):
            manyhands.errors.NotShared: the object is not shared any more: it was closed, or ...

        Raises:
            TypeError: it is no shared object.
        """
        reference_of(shared, "share.close").request(ops.CLOSE, "")

    def ref(self, obj: T, /) -> T:
        """Pass or return something by reference, where it would go by value.

        ``return share.ref(self.items)`` in a method gives its caller a proxy of the list; ``shared.add(share.ref(items))`` gives the object
        a proxy of the caller's. What a method of a shared object returns so is a part of that: one lock for both.

        Example:
            >>> import manyhands
            >>> items = []
            >>> shared = manyhands.share([])
            >>> shared.append(manyhands.share.ref(items))
        """
        return cast("T", _arrivals.referred(obj))

    def copy(self, obj: T, /) -> T:
        """Pass or return a copy of something that would go by reference: of a shared object, or of a part of one.

        Example:
            >>> import manyhands
            >>> shared = manyhands.share({"a": [1]})
            >>> part = manyhands.share.copy(shared["a"])
            >>> part.append(2)
            >>> shared["a"]
            [1]

        Raises:
            NotSerializable: a part of it cannot be sent to this process.
        """
        import copy  # noqa: PLC0415 - most programs do without it

        return copy.deepcopy(obj)

    def concurrent(self, target: F, /) -> F:
        """A decorator for methods that do not wait for others to be done with the object, nor keep others waiting; or for a whole class.

        For methods that wait for something which another caller brings about, or do not touch what others change.

        Example:
            >>> import manyhands, threading
            >>> class Gate:
            ...     def __init__(self):
            ...         self.opened = threading.Event()
            ...     @manyhands.share.concurrent
            ...     def wait(self, timeout=None):
            ...         return self.opened.wait(timeout)
            ...     def open(self):
            ...         self.opened.set()
            >>> gate = manyhands.share(Gate())
            >>> gate.open()
            >>> gate.wait(1)
            True
        """
        member: Any = getattr(target, "__func__", target)
        setattr(member, _table.CONCURRENT, True)
        return target

    def assign(self, box: T, value: T, /) -> None:
        """Give the box that ``share(0)`` has made another value: ``n = 5`` would only give the name ``n`` another meaning.

        Example:
            >>> import manyhands
            >>> n = manyhands.share(0)
            >>> n += 1
            >>> manyhands.share.assign(n, 5)
            >>> n
            5

        Raises:
            TypeError: it is no box: it is an object that can be changed itself.
        """
        kind = reference_of(box, "share.assign").request(ops.RUN, "", (_boxes.assign, value))
        _proxies.be_of_kind(cast("Any", box), Kind(*kind))

    def debug(self, on: bool = True) -> None:
        """Look for lost updates, in this process and those that it starts from now on.

        ``c.n += 1`` outside a transaction reads and writes; if somebody else writes in between, that is lost. With ``debug`` it is said,
        by a ``LostUpdate`` warning, once for each two places in the program, with file, line, function and process of both.
        ``MANYHANDS_SHARE_DEBUG=1`` in the environment does the same from the beginning, in all processes.

        Example:
            >>> import manyhands
            >>> manyhands.share.debug()
            >>> manyhands.share.debug(False)

        Args:
            on: False: look no more.
        """
        from manyhands.sharing import _watching  # noqa: PLC0415 - few programs look

        _watching.switch(on)
