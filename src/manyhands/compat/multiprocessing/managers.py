"""``multiprocessing.managers`` on shared objects of manyhands: the names, proxies and errors that existing programs use.

Example:
    >>> from manyhands.compat.multiprocessing.managers import BaseManager
    >>> class Numbers(BaseManager):
    ...     pass
    >>> Numbers.register("stack", list, exposed=("append", "pop", "__len__"))
    >>> with Numbers() as manager:
    ...     stack = manager.stack([1, 2])
    ...     stack.append(3)
    ...     stack.pop(), stack._callmethod("__len__")
    (3, 2)

What differs: locks are given back when a process dies that has them, and who dies at a queue takes no item along; a proxy costs no messages
to be sent, and nothing is left of one that is killed; no ``if __name__ == "__main__"`` guard is needed, and lambdas can be registered.

A manager that listens at an address that the program gives, or whose registered objects can only be inherited by fork, or that uses a proxy
type that was imported from the standard library, is the standard library's, as it was; see :meth:`BaseManager.start`.
"""

from __future__ import annotations

import os
from multiprocessing import managers, util
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands.compat import _managers_office as _office
from manyhands.sharing import _asked as ops
from manyhands.sharing import _keepers, _peers, _plain_things, _primitives, _proxies
from manyhands.sharing.managers import new_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["BaseManager", "BaseProxy", "SyncManager", "Token"]
__all__ += [name for name in managers.__all__ if name not in __all__]


# As they are now: once ours are in their place, their names stand for those.
_library: Any = managers
_auto_proxy: Any = _library.AutoProxy
_Base: Any = managers.BaseManager
_State: Any = _library.State


class Token(managers.Token):
    """What identifies an object of a manager: what stands for it comes along."""

    __slots__ = ("held",)
    held: Any

    def __init__(self, typeid: str, address: Any, held: Any) -> None:
        reference = _proxies.reference_of(held)
        super().__init__(typeid, address, f"{0 if reference is None else reference.number:x}")
        self.held = held

    def __reduce__(self) -> Any:
        return type(self), (self.typeid, self.address, self.held)


# ---------------------------------------------------------------- proxies


class BaseProxy(managers.BaseProxy):
    """The standard library's ``BaseProxy``: subclass it, and use ``_callmethod``."""

    def __init__(
        self,
        token: managers.Token,
        serializer: str,
        manager: managers.BaseManager | None = None,
        authkey: bytes | None = None,
        exposed: Any = None,
        incref: bool = True,
        manager_owned: bool = False,
    ) -> None:
        if not isinstance(token, Token):
            super().__init__(token, serializer, manager, authkey, exposed, incref, manager_owned)
            return
        self._token = token
        self._id = token.id
        self._manager = manager
        self._serializer = serializer
        self._held = token.held

    def _callmethod(self, methodname: str, args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> Any:
        held = vars(self).get("_held")
        if held is None:
            return super()._callmethod(methodname, args, kwds)  # type: ignore[arg-type]
        result = held.call(methodname, *args, **kwds)
        return self._proxy_of(result) if isinstance(result, _office.Held) else result

    def _proxy_of(self, held: Any) -> Any:
        """For a result that is not sent."""
        typeid: str = held.typeid
        registry = getattr(self._manager or SyncManager, "_registry", {})
        proxytype = registry[typeid][-1] if typeid in registry else AutoProxy
        token = Token(typeid, self._token.address, held)
        return proxytype(token, self._serializer, manager=self._manager, authkey=None, exposed=held.names())

    def __reduce__(self) -> Any:
        if "_held" not in vars(self):
            return super().__reduce__()
        if getattr(self, "_isauto", False):
            return _rebuilt, (AutoProxy, self._token, self._serializer, self._exposed_)  # type: ignore[attr-defined] # those have it
        return _rebuilt, (type(self), self._token, self._serializer, None)


def _rebuilt(proxytype: Any, token: Token, serializer: str, exposed: Any) -> Any:
    return proxytype(token, serializer, exposed=exposed)


_made: dict[tuple[str, tuple[str, ...]], type[BaseProxy]] = {}


def MakeProxyType(name: str, exposed: Iterable[str]) -> type[BaseProxy]:
    """A proxy type whose methods are those that are exposed."""
    key = name, tuple(exposed)
    if key not in _made:
        methods: dict[str, Any] = {method: _passing_on(method) for method in key[1]}
        _made[key] = type(name, (BaseProxy,), {**methods, "_exposed_": key[1]})
    return _made[key]


def _passing_on(name: str) -> Any:
    def method(self: BaseProxy, /, *args: Any, **kwds: Any) -> Any:
        return self._callmethod(name, args, kwds)

    method.__name__ = name
    return method


def AutoProxy(
    token: managers.Token,
    serializer: str,
    manager: managers.BaseManager | None = None,
    authkey: bytes | None = None,
    exposed: Any = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> Any:
    """A proxy with the methods that its object has."""
    if not isinstance(token, Token):
        return _auto_proxy(token, serializer, manager, authkey, exposed, incref, manager_owned)
    made: Any = MakeProxyType(f"AutoProxy[{token.typeid!s}]", token.held.names() if exposed is None else exposed)
    proxy = made(token, serializer, manager=manager)
    proxy._isauto = True  # noqa: SLF001 - as there
    return proxy


def _on_ours(name: str) -> type[BaseProxy]:
    """A proxy type of the standard library, with all that it does, over :class:`BaseProxy` of ours."""
    there = getattr(_library, name)
    return type(name, (BaseProxy, there), {"__module__": __name__, "__doc__": f"That of ``multiprocessing.managers``: {name}."})


IteratorProxy = _on_ours("IteratorProxy")
AcquirerProxy = _on_ours("AcquirerProxy")
ConditionProxy = _on_ours("ConditionProxy")
EventProxy = _on_ours("EventProxy")
BarrierProxy = _on_ours("BarrierProxy")
NamespaceProxy = _on_ours("NamespaceProxy")
ValueProxy = _on_ours("ValueProxy")
ListProxy = _on_ours("ListProxy")
DictProxy = _on_ours("DictProxy")
ArrayProxy = _on_ours("ArrayProxy")
PoolProxy = _on_ours("PoolProxy")


# ---------------------------------------------------------------- managers


class _Process:
    """The process of a manager, as far as programs look at it."""

    def __init__(self, keeper: _keepers.Keeper, name: str) -> None:
        self._keeper = keeper
        self.name = name
        self.pid = self.ident = keeper.pid

    def is_alive(self) -> bool:
        return self._keeper.is_open

    def join(self, timeout: float | None = None) -> None:
        """It ends when it is told to: there is nothing to wait for."""

    def terminate(self) -> None:
        self._keeper.close()

    kill = terminate

    @property
    def exitcode(self) -> int | None:
        return None if self.is_alive() else 0


class BaseManager(managers.BaseManager):
    """The standard library's ``BaseManager``: ``register`` types in a subclass, and ``start`` it."""

    _office: Any = None  # of one of ours that has been started, or connected to
    # What the standard library's has.
    _address: Any
    _authkey: Any
    _process: Any
    _registry: Any
    _serializer: Any
    _state: Any
    _Server: Any

    def start(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Start its process.

        It is the standard library's, which listens and speaks as that does, if an address, a serializer or a server class of one's own was
        given; if a proxy type is not derived from :class:`BaseProxy` of this module; or if what was registered cannot be sent.

        Raises:
            ProcessError: it has been started.
            TypeError: the initializer is not callable.
        """
        if self._state.value != _State.INITIAL or not self._can_be_ours():
            _Base.start(self, initializer, initargs)
            return
        if initializer is not None and not callable(initializer):
            msg = "initializer must be a callable"
            raise TypeError(msg)
        keeper = _keepers.start()
        try:
            self._office = keeper.new(_office.open_office, self._made_there(), bytes(self._authkey), initializer, tuple(initargs))
        except errors.NotSerializable:
            keeper.close()
            _Base.start(self, initializer, initargs)
            return
        except BaseException:
            keeper.close()
            raise
        self._process = _Process(keeper, type(self).__name__)
        self._address = keeper.address
        self._state.value = _State.STARTED
        self.shutdown = util.Finalize(self, _end, args=(keeper, self._state), exitpriority=0)

    def _can_be_ours(self) -> bool:
        if self._address is not None or self._serializer != "pickle" or self._Server is not _library.Server:
            return False
        return all(_is_ours(proxytype) for *_, proxytype in self._registry.values())

    def _made_there(self) -> dict[str, tuple[Any, Any, Any]]:
        return {typeid: registered[:3] for typeid, registered in self._registry.items()}

    def connect(self) -> None:
        """Use a manager that has been started by another process.

        Raises:
            AuthenticationError: its key is another.
        """
        if not _is_address(self._address):
            _Base.connect(self)
            return
        request = _peers.peer_at(self._address).request
        self._office = request(ops.NEW, 0, "connect", (_office.visit, bytes(self._authkey)), {})
        self._state.value = _State.STARTED

    def _create(self, typeid: str, /, *args: Any, **kwds: Any) -> tuple[managers.Token, Any]:
        if self._office is None:
            made: tuple[managers.Token, Any] = _Base._create(self, typeid, *args, **kwds)  # noqa: SLF001 - what this one overrides
            return made
        assert self._state.value == _State.STARTED, "server not yet started"
        held = self._office.create(typeid, *args, **kwds)
        return Token(typeid, self._address, held), held.names()

    def _debug_info(self) -> str:
        return str(_Base._debug_info(self) if self._office is None else self._office.debug_info())  # noqa: SLF001 - as above

    def _number_of_objects(self) -> int:
        return int(_Base._number_of_objects(self) if self._office is None else self._office.number_of_objects())  # noqa: SLF001 - as above

    @classmethod
    def register(
        cls,
        typeid: str,
        callable: Callable[..., object] | None = None,  # noqa: A002 - its name there
        proxytype: Any = None,
        exposed: Iterable[str] | None = None,
        method_to_typeid: Mapping[str, str] | None = None,
        create_method: bool = True,
    ) -> None:
        """Have instances make objects by ``callable``, by a method with the name ``typeid``."""
        proxytype = proxytype or AutoProxy
        super().register(typeid, callable, proxytype, exposed, method_to_typeid, create_method)  # type: ignore[arg-type]
        if not create_method:
            return
        of_the_library = getattr(cls, typeid)

        def make(self: BaseManager, /, *args: Any, **kwds: Any) -> Any:
            if self._office is None:
                return of_the_library(self, *args, **kwds)
            token, names = self._create(typeid, *args, **kwds)
            return proxytype(token, self._serializer, manager=self, authkey=self._authkey, exposed=names)

        make.__name__ = typeid
        setattr(cls, typeid, make)


def _is_ours(proxytype: Any) -> bool:
    if isinstance(proxytype, type):
        return issubclass(proxytype, BaseProxy)
    return getattr(proxytype, "__module__", None) != managers.__name__


def _is_address(address: Any) -> bool:
    """Whether that of a manager of ours: a folder."""
    return isinstance(address, str) and os.path.isdir(address)


def _end(keeper: _keepers.Keeper, state: Any) -> None:
    keeper.close()
    state.value = _State.SHUTDOWN


class SyncManager(BaseManager):
    """The standard library's ``SyncManager``: locks, queues, containers and pools."""


for _typeid, _callable, _proxytype in (
    ("Queue", _primitives.Queue, AutoProxy),
    ("JoinableQueue", _primitives.JoinableQueue, AutoProxy),
    ("Event", _primitives.Event, EventProxy),
    ("Lock", _primitives.Lock, AcquirerProxy),
    ("RLock", _primitives.RLock, AcquirerProxy),
    ("Semaphore", _primitives.Semaphore, AcquirerProxy),
    ("BoundedSemaphore", _primitives.BoundedSemaphore, AcquirerProxy),
    ("Condition", _office.new_condition, ConditionProxy),
    ("Barrier", _primitives.Barrier, BarrierProxy),
    ("Pool", new_pool, PoolProxy),
    ("list", list, ListProxy),
    ("dict", dict, DictProxy),
    ("Value", _plain_things.Value, ValueProxy),
    ("Array", _plain_things.new_array, ArrayProxy),
    ("Namespace", _plain_things.Namespace, NamespaceProxy),
):
    SyncManager.register(_typeid, _callable, _proxytype)
SyncManager.register("Iterator", proxytype=IteratorProxy, create_method=False)
SyncManager.register("AsyncResult", create_method=False)


def Manager() -> SyncManager:
    """A :class:`SyncManager` that has been started."""
    manager = SyncManager()
    manager.start()
    return manager


def __getattr__(name: str) -> Any:
    return getattr(managers, name)
