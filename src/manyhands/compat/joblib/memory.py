"""``joblib.memory``: :class:`manyhands.Memory` with joblib's parameters, warnings and stores."""

from __future__ import annotations

import functools
import os
import warnings
from typing import TYPE_CHECKING, Any

import manyhands.memory
from manyhands._core.user_line import stacklevel
from manyhands.compat.joblib._foreign_store import ForeignStore
from manyhands.compat.joblib._local_store import LocalStore
from manyhands.compat.joblib._store_backends import CacheWarning, StoreBackendBase, find_backend, is_store
from manyhands.memory import NotMemorizedFunc as NotMemorizedFunc
from manyhands.memory import NotMemorizedResult as NotMemorizedResult
from manyhands.memory import _cached, _cached_later, _compression, _results, _store
from manyhands.memory import expires_after as expires_after
from manyhands.memory._not_cached import AsyncNotMemorizedFunc as AsyncNotMemorizedFunc
from manyhands.memory._settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    Mode = Literal["r+", "r", "w+", "c"] | None

_OURS = "local"


class Memory(manyhands.memory.Memory):
    """Results of functions, kept on disk: :class:`manyhands.Memory`, as ``joblib.Memory`` is made.

    Example:
        >>> import tempfile
        >>> from manyhands.compat.joblib import Memory
        >>> square = Memory(tempfile.mkdtemp(), verbose=0).cache(lambda x: x * x)
        >>> square(3), square(3)
        (9, 9)

    Args:
        location: a folder; None: nothing is kept. Or a store that has been set up, of those that :func:`register_store_backend` takes.
        backend: "local", or a name that was given to :func:`register_store_backend`.
        mmap_mode: how arrays of stored results are mapped; None: copy-on-write.
        compress: as for :func:`dump`.
        verbose: 0: nothing is printed.
        backend_options: for the backend.

    What joblib's does silently wrong is right here: see :class:`manyhands.Memory`. A result that cannot be stored is a warning, and there
    is no limit to the size of the store, as there.
    """

    warning = CacheWarning
    _takes_urls = False  # joblib's location is a folder, or a backend's own name for what it has

    def __init__(
        self,
        location: str | os.PathLike[str] | StoreBackendBase | LocalStore | None = None,
        backend: str = _OURS,
        mmap_mode: Mode = None,
        compress: bool | int | tuple[str, int] = False,
        verbose: int = 1,
        backend_options: Mapping[str, Any] | None = None,
    ) -> None:
        if compress and mmap_mode is not None:
            warnings.warn("Compressed results cannot be memmapped", stacklevel=2)
        if isinstance(location, LocalStore):
            location = location.store.location
        if not (location is None or isinstance(location, str | os.PathLike) or is_store(type(location))):
            what = type(location).__name__
            warnings.warn(f"a {what} as a location is not supported; nothing will be kept", UserWarning, stacklevel=2)
            location = None
        self.backend = backend
        self.backend_options = dict(backend_options or {})
        store: Any = location
        self._given = store if is_store(type(store)) else None
        self._foreign = find_backend(backend) if backend != _OURS else None
        place: Any = location if self._given is None else str(self._given.location)
        ours = _understood(compress)
        super().__init__(place, mmap_mode=mmap_mode, compress=ours, verbose=verbose, size_limit=None, on_not_stored="warn")
        self.compress = compress
        if self._given is not None or self._foreign is not None:
            self.location = place if place is None else os.fspath(place)  # where that is, the store says: it need not be a folder

    def _check_location(self) -> None:
        if self._foreign is None:  # others may keep everything in one file
            super()._check_location()

    @functools.cached_property
    def store(self) -> Any:
        """Where the results are."""
        if self._given is not None:
            return ForeignStore(self._given)
        if self._foreign is None:
            return super().store
        options = {"compress": self.compress, "mmap_mode": self.mmap_mode, **self.backend_options}
        backend = self._foreign()
        backend.configure(os.path.join(str(self.location), "joblib"), verbose=self.verbose, backend_options=options)
        return ForeignStore(backend)

    def store_of(self, function: str) -> Any:
        """Where the results of a function are."""
        return self.store.of(function) if isinstance(self.store, ForeignStore) else self.store

    @property
    def store_backend(self) -> Any:
        """Where the results are; None: nowhere."""
        return None if self.location is None else _as_joblib_has_it(self.store, self.mmap_mode, self.compress)

    def kind_of(self, func: Callable[..., Any]) -> Callable[..., _cached.MemorizedFunc[..., Any]]:
        """What makes a cached function of one like this."""
        return _KINDS[super().kind_of(func)]

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "store_backend" not in state:
            vars(self).update(state)
            return
        # It is one of joblib's own that was pickled, before manyhands took its place.
        verbose, options = state["_verbose"], state["backend_options"]
        Memory.__init__(self, state["location"], state["backend"], state["mmap_mode"], state["compress"], verbose, options)

    def __repr__(self) -> str:
        ours = self.location is not None and self._given is None and self._foreign is None
        return f"{type(self).__name__}(location={os.path.join(str(self.location), _store.NAME) if ours else self.location})"


def _understood(compress: Any) -> Any:
    """How results are compressed. In joblib, what is not known is a warning for each result, of which none is stored."""
    try:
        _compression.asked(compress)
    except ValueError as error:
        warnings.warn(f"{error}; results are stored as they are", CacheWarning, stacklevel=stacklevel())
        return False
    return compress


class MemorizedFunc(_cached.MemorizedFunc[Any, Any]):
    """A function whose results are kept: what ``Memory.cache`` gives, and as joblib makes it.

    Args:
        func: what is cached.
        location: a folder, or a store: that of a :class:`Memory`, ``memory.store_backend``.
        backend, mmap_mode, compress, verbose: as for :class:`Memory`.
        ignore, cache_validation_callback: as for :meth:`Memory.cache`.
        timestamp: has no effect.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        location: Any,
        backend: str = _OURS,
        ignore: Sequence[str] | None = None,
        mmap_mode: Mode = None,
        compress: bool | int | tuple[str, int] = False,
        verbose: int = 1,
        timestamp: float | None = None,
        cache_validation_callback: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> None:
        settings = location
        if not isinstance(location, Settings):  # which Memory.cache gives
            memory = Memory(_above(location), backend, mmap_mode, compress, verbose)
            settings = Settings(memory, tuple(ignore or ()), verbose, mmap_mode, cache_validation_callback)
        super().__init__(func, settings)

    @property
    def ignore(self) -> list[str]:
        """Names of parameters that make no difference."""
        return list(self._settings.ignore)

    @property
    def mmap_mode(self) -> Mode:
        """How arrays of stored results are mapped."""
        return self._settings.mmap_mode

    @property
    def compress(self) -> Any:
        """How results are compressed."""
        return self._settings.memory.compress

    @property
    def cache_validation_callback(self) -> Callable[[Mapping[str, Any]], bool] | None:
        """What says whether a stored result is still good."""
        return self._settings.validate

    @property
    def _verbose(self) -> int:  # as in joblib, where others look at it
        return self._settings.verbose

    @property
    def func_id(self) -> str:
        """What tells this function from others in its store."""
        return self._code.name

    @property
    def store_backend(self) -> Any:
        """Where the results are."""
        return _as_joblib_has_it(self._store, self.mmap_mode, self.compress)

    def why(self, *args: Any, **kwargs: Any) -> str:
        """Why this call would be computed, or that it would not."""
        if isinstance(self._store, ForeignStore) and not self.check_call_in_cache(*args, **kwargs):
            return "it would be computed: it is not stored, and a store of others does not tell what is"
        return super().why(*args, **kwargs)

    def _get_args_id(self, *args: Any, **kwargs: Any) -> str:  # as in joblib, where others look at it
        return self._told(args, kwargs)[1].hex()

    def _shelved(self, key: bytes) -> MemorizedResult:
        return MemorizedResult(self._store, (self.func_id, key.hex()), mmap_mode=self.mmap_mode)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Ours have none: it is one of joblib's own that was pickled, before manyhands took its place.
        named: dict[str, Any] = {name: state[name] for name in ("ignore", "mmap_mode", "compress", "cache_validation_callback")}
        MemorizedFunc.__init__(self, state["func"], _theirs(state["store_backend"]), verbose=state["_verbose"], **named)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(func={self.func}, location={self.store_backend.location})"


class AsyncMemorizedFunc(MemorizedFunc, _cached_later.AsyncMemorizedFunc):
    """The same for a coroutine function."""


class _MemorizedGenerator(MemorizedFunc, _cached_later.MemorizedGenerator): ...


class _AsyncMemorizedGenerator(MemorizedFunc, _cached_later.AsyncMemorizedGenerator): ...


_KINDS: dict[Any, Callable[..., _cached.MemorizedFunc[..., Any]]] = {
    _cached.MemorizedFunc: MemorizedFunc,
    _cached_later.AsyncMemorizedFunc: AsyncMemorizedFunc,
    _cached_later.MemorizedGenerator: _MemorizedGenerator,
    _cached_later.AsyncMemorizedGenerator: _AsyncMemorizedGenerator,
}


class MemorizedResult(_results.MemorizedResult[Any]):
    """A result in a store: what ``call_and_shelve`` gives, and as joblib makes it.

    Args:
        location: a folder, or a store.
        call_id: what tells the call from others: ``func_id`` and ``args_id`` of another one.
        backend, mmap_mode, verbose: as for :class:`Memory`.
        timestamp, metadata: have no effect.
    """

    def __init__(
        self,
        location: Any,
        call_id: Sequence[str],
        backend: str = _OURS,
        mmap_mode: Mode = None,
        verbose: int = 0,
        timestamp: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        function, args_id = call_id
        is_ready = isinstance(location, _store.Store | ForeignStore)
        store = location if is_ready else Memory(_above(location), backend, verbose=verbose).store_of(function)
        super().__init__(store, function, bytes.fromhex(args_id), mmap_mode)

    @property
    def store_backend(self) -> Any:
        """Where it is."""
        return _as_joblib_has_it(self._store, self.mmap_mode)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "store_backend" not in state:
            vars(self).update(state)
            return
        # It is one of joblib's own that was pickled: the result is in joblib's files.
        function, _ = call_id = state["_call_id"]
        MemorizedResult.__init__(self, ForeignStore(state["store_backend"], function), call_id)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(location="{self.store_backend.location}", func="{self.func_id}", args_id="{self.args_id}")'


def _as_joblib_has_it(store: Any, mmap_mode: str | None, compress: Any = False) -> Any:
    return store.backend if isinstance(store, ForeignStore) else LocalStore(store, mmap_mode, compress)


def _above(location: Any) -> Any:
    """What a Memory has as its location; of a store's folder, the one that it is in."""
    if location is None:
        msg = "location=None is not allowed here; NotMemorizedFunc is for functions whose results are not kept"
        raise TypeError(msg)
    is_store_itself = isinstance(location, str) and os.path.isdir(os.path.join(location, "entries"))
    return os.path.dirname(location) if is_store_itself and os.path.basename(location) == _store.NAME else location


def _theirs(backend: Any) -> Any:
    """Where our results go instead of into a store of joblib's: into the same folder, if it is one, where its Memory has them, too."""
    if type(backend).__name__ != "FileSystemStoreBackend":
        return backend
    folder, name = os.path.split(backend.location)
    return folder if name == "joblib" else backend.location
