"""The face: :class:`Memory`."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import pickle
import stat
from typing import TYPE_CHECKING, Any, Literal

from manyhands._core.options import refuse, whole
from manyhands.errors import StoreRefused
from manyhands.memory import _bound, _compression, _limits, _protocols, _signing
from manyhands.memory._bound import BoundMemorizedFunc
from manyhands.memory._cached import MemorizedFunc
from manyhands.memory._eviction import Evicted
from manyhands.memory._not_cached import NotMemorizedFunc, not_cached
from manyhands.memory._roots import function_called
from manyhands.memory._settings import Settings, several

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import ModuleType

    from manyhands.memory._joblib_import import ImportedFunction
    from manyhands.memory._remote_store import RemoteStore

_MODES = (None, "r+", "r", "w+", "c")
_log = logging.getLogger("manyhands")


class Memory:
    """Results of functions, kept on disk: what was computed once is loaded from then on.

    Example:
        >>> import tempfile
        >>> from manyhands import Memory
        >>> memory = Memory(tempfile.mkdtemp())
        >>> @memory.cache
        ... def square(x):
        ...     print("computing")
        ...     return x * x
        >>> square(3)
        computing
        9
        >>> square(3)
        9

    A result is found again if the function is the same code (its own, and that of all functions, classes and variables of the project that
    it uses; packages that it uses in the same version) and its arguments have the same values, functions and classes of the project among
    them with all that these use. Comments make no difference; nor do docstrings, and annotations of functions, unless code reads them.

    **Not seen** is what no code shows: names made up while it runs (``getattr(module, name)``, ``eval``), subclasses that are asked for
    (``__subclasses__``); what is in files, the environment, a database, or a program that it starts; the state of what has no value (a
    connection, an open file, a logger, a generator of random numbers), of packages' own modules (``decimal.getcontext()``, settings of
    pandas) and of what they keep for themselves; what has been put in the place of a function of Python or of a package; in which line
    code is. For these there are ``deps``, ``files``, ``env`` and ``version``.

    Args:
        location: a folder, which is created; below it, ``manyhands`` holds the results. None: nothing is kept, and functions are called.
            A URL of whatever fsspec knows (``s3://bucket/prefix``, ``gs://``, ``az://``, ``sftp://``, ``file://``): see below.
        mmap_mode: None: arrays of 256 KiB and more are copy-on-write maps of the store; all are writable. ``"r"``: all are read-only.
            ``"r+"``, ``"w+"`` and ``"c"`` are as None: nobody changes what is stored.
        compress: how results are compressed: False, True, a level from 0 to 9, "zstd", "lz4", "zlib", or a pair (method, level).
        verbose: 1: computations are printed; 5: results that are loaded as well.
        size_limit: bytes that the results may take together ("20G", or a share of the disk: "10%"); those go first that are quick to
            compute again for their size, and have not been used for long. None: no limit.
        key: a secret (bytes), or a path to a file that has one: results are signed with it, and only those are loaded that are. A pickle of
            this object has the path, but never the bytes, unless it is of a task of manyhands; a process without them is refused.
        on_not_stored: "raise": a result that cannot be stored is an error, :class:`manyhands.NotStored`, which has the result. "warn": it
            is a warning, and the caller gets the result.

        storage_options: of a URL: what fsspec's file system is given (credentials, endpoint). It travels to workers.
        local: of a URL: the folder of this machine in which results are kept; by default one for each URL and key in the user's cache
            folder (``~/.cache/manyhands/remote``).
        trust_writers: of a URL: no ``key`` is asked for. Whoever can write there can then run code here.

    **Promises.** A wrong result is never returned: entries are written as a whole or not at all, checked when they are read, and computed
    anew if damaged. Any number of processes and threads may use one folder.

    **Shared by machines.** With a URL, results are looked for in the local folder first, then there; what is found there is brought to the
    local folder, large arrays in it are mapped as ever, and single computation (one computes, the others wait) is among the processes of
    one machine. What is computed is stored locally, then sent in the background; ``close()`` and the end of the program wait for it. Where
    the remote store cannot be reached, a warning says so once, the local folder does on its own, and what has not been sent is sent later.
    ``size_limit`` and ``reduce_size`` are about the local folder, the bucket's lifecycle rules about the other; ``clear`` clears both.

    Example:
        >>> memory = Memory("s3://team-results/cache", key="~/team.key")  # doctest: +SKIP

    Raises:
        ValueError, TypeError: an argument is not allowed.
        StoreRefused: the location is a file, or the folder belongs to another user; there is no such bucket, or it may not be listed, or
            there is no ``key`` for a URL.
        BackendMissing: a package for the URL is not installed.
    """

    warning: type[Warning] = RuntimeWarning
    _takes_urls = True

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        *,
        mmap_mode: Literal["r+", "r", "w+", "c"] | None = None,
        compress: bool | int | str | tuple[str, int] = False,
        verbose: int = 0,
        size_limit: int | str | None = "10%",
        key: bytes | str | os.PathLike[str] | None = None,
        on_not_stored: Literal["raise", "warn"] = "raise",
        storage_options: Mapping[str, Any] | None = None,
        local: str | os.PathLike[str] | None = None,
        trust_writers: bool = False,
    ) -> None:
        if location is not None and not isinstance(location, str | os.PathLike):
            msg = f"location={location!r} is not allowed; location is a path, or None"
            raise TypeError(msg)
        if on_not_stored not in {"raise", "warn"}:
            raise refuse("on_not_stored", on_not_stored, "'raise' or 'warn'")
        self._is_remote = self._takes_urls and _protocols.is_url(location)
        if not self._is_remote and (storage_options is not None or local is not None or trust_writers):
            msg = f"storage_options=, local= and trust_writers= are for a location that is a URL, and location={location!r} is none"
            raise ValueError(msg)
        self.location = _checked_location(location, is_remote=self._is_remote)
        self._check_location()
        self.mmap_mode = _checked_mode(mmap_mode)
        self.compress = compress
        self._codec, self._level = _compression.asked(compress)
        self.verbose = _checked_verbosity(verbose)
        if size_limit is not None:
            _limits.parsed("size_limit", size_limit)
        self.size_limit = size_limit
        self.on_not_stored = on_not_stored
        self._key = _checked_key(key)
        self._storage_options: Any = dict(storage_options or {})
        self._local = None if local is None else os.path.abspath(os.path.expanduser(os.fsdecode(local)))
        if self._is_remote:
            _protocols.check(str(location), is_signed=key is not None, trust_writers=trust_writers)
            self.store = self._open_remote(checks=True)

    def _check_location(self) -> None:
        """That results cannot be kept there is better known before they are computed."""
        if self.location is None or self._is_remote:
            return
        try:
            mode = os.stat(self.location).st_mode
        except NotADirectoryError:  # what is to be a folder above it
            mode = 0
        except OSError:  # it is not there yet, or whoever uses the store is told
            return
        if not stat.S_ISDIR(mode):
            raise StoreRefused(self.location, "it is, or would be in, a file", "give a folder, or the path of one that is to be made")

    @functools.cached_property
    def store(self) -> Any:
        """Where the results are."""
        if self._is_remote:
            return self._open_remote()
        from manyhands.memory import _at_end  # noqa: PLC0415 - a decorator at the top of a module need not touch the disk

        return _at_end.known(
            self._place, self._limit("size_limit", self.size_limit), self._codec, self._level, _secret(self._key, self._place)
        )

    def _open_remote(self, *, checks: bool = False) -> RemoteStore:
        from manyhands.memory import _remote_store  # noqa: PLC0415 - as above

        url = str(self.location)
        if _signing.LEFT_OUT in (self._key, self._storage_options):
            return _remote_store.open_here(url)
        try:
            storage = pickle.dumps(self._storage_options)
        except Exception as error:
            msg = f"storage_options= travel to workers, and cannot be pickled ({error})"
            raise TypeError(msg) from error
        limit = self._limit("size_limit", self.size_limit)
        options = _remote_store.Options(url, storage, self._place, limit, self._codec, self._level, _secret(self._key, url))
        return _remote_store.open_store(options, checks=checks)

    @property
    def _place(self) -> str:
        """The folder on this machine."""
        if not self._is_remote:
            return str(self.location or ".")
        return self._local or _protocols.near_folder(str(self.location), _secret(self._key, str(self.location)))

    def _limit(self, name: str, limit: int | str | None) -> int | None:
        return None if limit is None else _limits.in_bytes(name, limit, self._place)

    def store_of(self, function: str) -> Any:
        """Where the results of a function are: a store may keep functions apart."""
        return self.store

    def cache(
        self,
        func: Callable[..., Any] | None = None,
        ignore: str | Sequence[str] | None = None,
        verbose: int | None = None,
        mmap_mode: Literal["r+", "r", "w+", "c"] | bool | None = False,
        cache_validation_callback: Callable[[Mapping[str, Any]], bool] | None = None,
        *,
        version: object = None,
        deps: Any = (),
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        env: str | Sequence[str] = (),
    ) -> Any:
        """Keep the results of a function. With or without arguments a decorator.

        Args:
            func: a function, method, classmethod, staticmethod, coroutine function or generator function; anything that can be called.
            ignore: names of parameters that make no difference to the result; ``"*"`` and ``"**"``: what ``*args`` and ``**kwargs`` take.
                Here, as for ``deps``, ``files`` and ``env``, a single one stands for a list of one.
            verbose, mmap_mode: as for ``Memory``, for this function.
            cache_validation_callback: called with what is known of a stored result (``time``, ``duration``, ``input_args``); if it returns
                False, that is computed anew. :func:`expires_after` makes one.
            version: anything; another version is another function.
            deps: functions, classes, modules or values besides which the result depends on.
            files: paths of files whose content it depends on.
            env: names of environment variables it depends on.

        Returns:
            A :class:`MemorizedFunc`; of a method, one with its object, which is an argument. It is called like the function, and has
            ``why``, ``call_and_shelve``, ``check_call_in_cache``, ``call``, ``clear``, ``func``.

        Raises:
            ValueError, TypeError: an argument is not allowed.
        """
        if cache_validation_callback is not None and not callable(cache_validation_callback):
            msg = f"cache_validation_callback needs to be callable. Got {cache_validation_callback!r}."
            raise ValueError(msg)
        if func is None:
            return functools.partial(
                self.cache,
                ignore=ignore,
                verbose=verbose,
                mmap_mode=mmap_mode,
                cache_validation_callback=cache_validation_callback,
                version=version,
                deps=deps,
                files=files,
                env=env,
            )
        settings = Settings(
            self,
            several("ignore", ignore),
            self.verbose if verbose is None else _checked_verbosity(verbose),
            self.mmap_mode if mmap_mode is False else _checked_mode(mmap_mode),
            cache_validation_callback,
            version,
            several("deps", deps),
            several("files", files),
            several("env", env),
        )
        return self.cached(func, settings)

    def cached(self, func: Any, settings: Settings) -> Any:
        """``func``, cached as the settings say."""
        if isinstance(func, classmethod | staticmethod):
            return type(func)(self.cached(func.__func__, settings))
        if isinstance(func, MemorizedFunc | BoundMemorizedFunc | NotMemorizedFunc):
            func = func.func
        if not callable(func):
            msg = f"func={func!r:.100} is not callable; Memory.cache takes a function"
            raise TypeError(msg)
        if self.location is None:
            return not_cached(func)
        if (method := _bound.parts_of(func)) is not None:
            function, instance = method
            return BoundMemorizedFunc(self.cached(function, settings), instance)
        return self.kind_of(func)(func, settings)

    def kind_of(self, func: Callable[..., Any]) -> Callable[[Callable[..., Any], Settings], MemorizedFunc[..., Any]]:
        """What makes a cached function of one like this."""
        called = function_called(func)
        if inspect.iscoroutinefunction(called) or inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            from manyhands.memory import _cached_later  # noqa: PLC0415 - takes asyncio

            return _cached_later.kind_of(called)
        return MemorizedFunc

    def eval(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """``func(*args, **kwargs)``, from the store if it is there."""
        return self.cache(func)(*args, **kwargs)

    def clear(self, warn: bool = True) -> None:
        """Remove all results; of a remote store, those that are there and those that this machine has."""
        if warn and self.verbose > 0:
            self.warn("Flushing completely the cache")
        if self.location is not None:
            self.store.clear()

    def reduce_size(
        self,
        bytes_limit: int | str | None = None,
        items_limit: int | None = None,
        age_limit: datetime.timedelta | str | None = None,
        *,
        function: str | None = None,
        dry_run: bool = False,
    ) -> Evicted:
        """Remove results until the store fits these limits: first what is quick to compute again for its size, and not used for long.

        Of a remote store, what this machine has of it.

        Args:
            bytes_limit: their size together, a number or a text ("20G", "10%").
            items_limit: how many.
            age_limit: how long ago they were last used at most: a timedelta, or a text ("12h", "30d", "2w").
            function: only results of the function of this name (``store.functions()`` has them); the limits are of these, too.
            dry_run: remove nothing, and tell what would be.

        Returns:
            How many results have been removed, and the bytes that they took up: ``entries``, ``bytes``.

        Raises:
            ValueError: a limit is not allowed.
        """
        size = self._limit("bytes_limit", bytes_limit)
        seconds = None if age_limit is None else _limits.in_seconds("age_limit", age_limit)
        count = None if items_limit is None else _limits.entries("items_limit", items_limit)
        if self.location is None or (bytes_limit, items_limit, age_limit) == (None, None, None):
            return Evicted(0, 0)
        evicted: Evicted = self.store.evict(size, count, seconds, function=function, dry_run=dry_run)
        return evicted

    def import_joblib(self, location: str | os.PathLike[str], modules: Iterable[ModuleType]) -> list[ImportedFunction]:
        """Take over what joblib.Memory has remembered of functions of ``modules``, so that they find it. joblib need not be installed.

        A result is found by the first call with the same arguments, by joblib's own digest of them; from then on it is like any other. It
        is taken over only where joblib itself would use it: if the function's source is what it was. At what else the function uses joblib
        does not look, so that it counts as it is now: whoever has changed a helper since should not import. Later changes count as ever.

        Not found are calls with functions, or objects of the user's own classes, among the arguments: joblib knows these by name alone.

        Args:
            location: what was given to joblib.Memory. What is in it is unpickled: it must be from somebody whom you trust.
            modules: where the functions are, cached with ``@memory.cache`` or not.

        Returns:
            For each function in the folder, how many of its results have been imported, and why others have not.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: this Memory keeps nothing.
        """
        if self.location is None:
            msg = "this Memory has no location: there is nothing to import results into"
            raise ValueError(msg)
        from manyhands.memory._joblib_import import import_all  # noqa: PLC0415 - seldom done

        return import_all(self, location, modules)

    def close(self) -> None:
        """Send what is still to be sent, write down which results have been used, and close what is open.

        It can be used afterwards; at exit, it is done anyway.
        """
        if "store" in vars(self):
            self.store.close()

    def warn(self, message: str) -> None:
        """Say something, in the log ``manyhands``."""
        _log.warning("[%r] %s", self, message)

    def __getstate__(self) -> dict[str, Any]:
        state = self._state()
        if isinstance(self._key, bytes):
            state["_key"] = _signing.LEFT_OUT
        if self._storage_options:
            state["_storage_options"] = _signing.LEFT_OUT
        return state

    def _state(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "store"}

    def reduced_with_secret(self) -> tuple[Any, ...]:
        """For a task of manyhands: with the key."""
        return _anew, (type(self), self._state())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(location={self.location!r})"


def _anew(cls: type[Memory], state: dict[str, Any]) -> Memory:
    memory = cls.__new__(cls)
    vars(memory).update(state)
    return memory


def _secret(key: Any, place: str) -> bytes | None:
    if key is None or isinstance(key, bytes):
        return key
    if key is _signing.LEFT_OUT:
        return _signing.given(place)
    with open(key, "rb") as file:
        return file.read()


def _checked_location(location: Any, *, is_remote: bool) -> str | None:
    """A folder is the one that it is now, wherever the program goes."""
    if location is None or is_remote:
        return location if location is None else str(location)
    return os.path.abspath(os.path.expanduser(os.fsdecode(location)))


def _checked_key(key: Any) -> Any:
    if isinstance(key, str | os.PathLike):
        return os.path.abspath(os.path.expanduser(os.fsdecode(key)))
    if isinstance(key, bytes):
        _signing.Signer(key)
    elif key is not None:
        raise refuse("key", type(key), "bytes, the path of a file, or None")
    return key


def _checked_mode(mode: Any) -> Any:
    if mode not in _MODES:
        raise refuse("mmap_mode", mode, "None, 'r', 'r+', 'w+' or 'c'")
    return mode


def _checked_verbosity(verbose: object) -> int:
    number = int(verbose) if isinstance(verbose, bool) else whole(verbose)
    if number is None or number < 0:
        raise refuse("verbose", verbose, "a number from 0 on")
    return number
