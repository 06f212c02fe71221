"""Functions whose results are kept: what ``@memory.cache`` makes of a function."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar

import xxhash

from manyhands.errors import NotHashable
from manyhands.memory import _metadata, _telling, _why
from manyhands.memory._arguments import digest_of
from manyhands.memory._binding import Binding
from manyhands.memory._entry import Meta
from manyhands.memory._flight import flight
from manyhands.memory._function_key import FunctionKey
from manyhands.memory._restless import Restless
from manyhands.memory._results import MemorizedResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from manyhands.memory._contract import Found, ResultStore
    from manyhands.memory._memory import Memory
    from manyhands.memory._settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

# From this verbosity on, results that are loaded are told of.
_LOADED = 5
# So many stored calls are looked at for the one that is nearest to another.
_LOOKED_AT = 200


class MemorizedFunc(Generic[P, T]):
    """A function whose results are kept on disk.

    Called with arguments that it has been called with before, it gives the result of then: whichever process that was, as long as neither
    the function nor what it uses has changed. Made by :meth:`Memory.cache`.

    **Promises.** Of callers who want one result at the same time, in any number of threads and processes, one computes it and the others
    wait. What the function raises is not kept. Results are copies: changing one changes nothing in the store.
    """

    def __init__(self, function: Callable[P, T], settings: Settings) -> None:
        functools.update_wrapper(self, function)
        self.func: Callable[P, T] = function
        self._settings = settings
        self._binding = Binding(function, settings.ignore)
        self._code = FunctionKey(
            function, version=settings.version, deps=settings.deps, files=settings.files, env=settings.env, ignored=settings.ignore
        )
        self._restless = Restless(self._code)
        self._store: ResultStore = settings.memory.store_of(self._code.name)

    # ------------------------------------------------------------ calls

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        key = self._key(args, kwargs)
        hit = self._find(key)
        if hit is None and self._take_over(key, args, kwargs):
            hit = self._find(key)
        return self._computed(key, args, kwargs) if hit is None else hit.value

    def call_and_shelve(self, *args: P.args, **kwargs: P.kwargs) -> MemorizedResult[T]:
        """The same call, but the result stays in the store until it is asked for.

        Returns:
            A :class:`MemorizedResult`: small, and good for other processes; its ``get()`` loads the result.
        """
        key = self._key(args, kwargs)
        if not self._is_here(key, args, kwargs):  # _computed looks elsewhere
            self._computed(key, args, kwargs)
        return self._shelved(key)

    def check_call_in_cache(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether this call would be answered from the store. Computes nothing; what only a remote store has is brought here."""
        return self._is_there(self._key(args, kwargs), args, kwargs)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> tuple[T, dict[str, Any]]:
        """Compute the result, whether or not it is in the store, and keep it there.

        Returns:
            The result, and what is known of it: ``duration`` in seconds, ``time`` since 1970, ``input_args``.
        """
        return self._compute(args, kwargs)

    def why(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Why this call would be computed, or that it would not.

        Example:
            >>> import tempfile
            >>> from manyhands import Memory
            >>> square = Memory(tempfile.mkdtemp()).cache(lambda x: x * x)
            >>> square(3)
            9
            >>> print(square.why(4))
            it would be computed: argument x changed
        """
        key = self._key(args, kwargs)
        if self._is_there(key, args, kwargs):
            return "it is stored"
        now = self._code.parts() | self._parts_of(self._binding.by_name(args, kwargs))
        nearest = _why.nearest((meta.why for meta in self._stored() if meta.why), now)  # of imported ones nothing is known
        if nearest is None:
            return f"it would be computed: no call of {self._code.name} is stored"
        changed = "; ".join(_why.differences(nearest, now)) or "the class of an argument that is ignored changed"
        return f"it would be computed: {changed}"

    def _stored(self) -> Iterator[Meta]:
        """Of the calls of this function that are stored, what is known; those that were used last, first."""
        infos = [info for info in self._store.index().infos() if info.function == self._code.name]
        for info in sorted(infos, key=lambda info: info.used, reverse=True)[:_LOOKED_AT]:
            meta = self._store.meta(info.key)
            if meta is not None:
                yield meta

    def at(self, memory: Memory) -> Any:
        """The same function with the same options, whose results are in another ``Memory``."""
        return memory.cached(self.func, dataclasses.replace(self._settings, memory=memory))

    @property
    def key(self) -> FunctionKey:
        """What the function is told by."""
        return self._code

    def clear(self, warn: bool = True) -> None:
        """Remove all results of this function from the store, those of former versions included."""
        if warn and self._settings.verbose > 0:
            self._settings.memory.warn(f"Clearing function cache identified by {self._code.name}")
        self._store.clear(self._code.name)

    # ------------------------------------------------------------ what a call is told by

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return _together(self._code.digest(), self._arguments(args, kwargs))

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            return digest_of(self._binding.values(args, kwargs))
        except NotHashable:
            for name, value in self._binding.by_name(args, kwargs).items():
                digest_of(value, name)  # of that which cannot be hashed, the error says the name
            raise

    # ------------------------------------------------------------ what is there

    def _find(self, key: bytes) -> Found | None:
        start = time.perf_counter()
        hit = self._store.get(key, self._settings.mmap_mode)
        if hit is None:
            return None
        if not self._passes(hit.meta):
            self._store.reject(key)
            return None
        if self._settings.verbose >= _LOADED:
            _telling.say_duration(self._code.name, time.perf_counter() - start, "cache loaded ")
        return hit

    def _is_valid(self, key: bytes) -> bool:
        if self._settings.validate is None:
            return self._store.has(key)
        meta = self._store.meta(key)
        if meta is None or self._passes(meta):
            return meta is not None
        self._store.reject(key)
        return False

    def _is_here(self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return self._is_valid(key) or (self._take_over(key, args, kwargs) and self._is_valid(key))

    def _is_there(self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """The same, wherever it may be."""
        return self._is_here(key, args, kwargs) or (self._store.fetch(key) and self._is_valid(key))

    def _take_over(self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the result of this call has been imported from joblib; then it is stored under its own key from now on."""
        code = self._code.digest()
        if not self._store.expects_imports(code):
            return False
        from manyhands.memory import _joblib_import  # noqa: PLC0415 - few have imported anything

        settings = self._settings
        imported = _joblib_import.key_of_call(self.func, code, settings.ignore, args, kwargs, maps=settings.mmap_mode is not None)
        hit = None if imported is None else self._store.get(imported)
        if imported is None or hit is None:
            return False
        named, meta = self._binding.by_name(args, kwargs), hit.meta
        texts = {name: _telling.shown(value) for name, value in named.items()}
        parts = self._code.parts() | self._parts_of(named)
        try:
            self._store.put(key, hit.value, Meta(self._code.name, texts, meta.seconds, meta.time, why=parts))
            self._store.delete(imported)
        except OSError:  # a full disk, say, which whoever computes it will be told of
            return False
        return True

    def _fetched(self, key: bytes) -> Found | None:
        """What others have stored elsewhere: looked for once it is known that it is not here."""
        return self._find(key) if self._store.fetch(key) else None

    def _passes(self, meta: Any) -> bool:
        """Whether the user's callback lets a stored result pass."""
        validate = self._settings.validate
        return validate is None or validate(_metadata.as_joblib_has_it(meta))

    def _shelved(self, key: bytes) -> MemorizedResult[T]:
        return MemorizedResult(self._store, self._code.name, key, self._settings.mmap_mode)

    # ------------------------------------------------------------ what is computed

    def _computed(self, key: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        """The result, computed here unless somebody else does so just now."""
        with flight(self._store, key, lambda: self._is_valid(key)) as is_mine:
            hit = self._fetched(key) if is_mine else self._find(key)
            return self._compute(args, kwargs)[0] if hit is None else hit.value

    def _compute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[T, dict[str, Any]]:
        work = self._begin(args, kwargs)
        return self._finish(work, self.func(*args, **kwargs))

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Work:
        # All of it now: the function may change what it is given, and what it reads; and so may others, meanwhile.
        named = self._binding.by_name(args, kwargs)
        if self._settings.verbose > 0:
            _telling.say_calling(self._code.name, _telling.shown_call(self._code.name, named))
        texts = {name: _telling.shown(value) for name, value in named.items()}
        code = self._code.digest()
        key = _together(code, self._arguments(args, kwargs))
        return _Work(key, code, texts, self._code.parts() | self._parts_of(named), time.perf_counter())

    def _finish(self, work: _Work, value: T) -> tuple[T, dict[str, Any]]:
        seconds = time.perf_counter() - work.start
        meta = Meta(self._code.name, work.texts, seconds, why=work.parts)
        self._settings.keep(work.key, value, meta)
        self._restless.look(work.code, work.parts)
        if self._settings.verbose > 0:
            _telling.say_duration(self._code.name, seconds)
        if self._settings.mmap_mode is not None and (hit := self._store.get(work.key, self._settings.mmap_mode)) is not None:
            value = hit.value  # as later calls will get it
        return value, _metadata.as_joblib_has_it(meta)

    def _parts_of(self, named: Mapping[str, Any]) -> dict[str, bytes]:
        return {f"argument {name}": digest_of(value, name) for name, value in named.items()}

    # ------------------------------------------------------------ methods, other processes

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else BoundMemorizedFunc(self, instance)

    def __reduce__(self) -> Any:
        return _made, (self.func, self._settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(func={self.func!r}, location={self._store.location})"


class BoundMemorizedFunc(Generic[T]):
    """A cached function of a class, with the object that it is called on: the state of that is one of its arguments."""

    def __init__(self, function: MemorizedFunc[Any, T], instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance
        self.__wrapped__ = function.func

    def __call__(self, *args: Any, **kwargs: Any) -> T:
        return self.__func__(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle ask one that is not made yet
            raise AttributeError(name)
        found = getattr(self.__func__, name)
        return functools.partial(found, self.__self__) if name in _CALLED_LIKE_IT else found

    def __reduce__(self) -> Any:
        return type(self), (self.__func__, self.__self__)

    def __repr__(self) -> str:
        return f"<{self.__func__!r} of {self.__self__!r}>"


_CALLED_LIKE_IT = frozenset({"call", "call_and_shelve", "check_call_in_cache", "why"})


class _Work(NamedTuple):
    """A computation that is under way: what is to be known of it at its end."""

    key: bytes
    code: bytes
    texts: dict[str, str]
    parts: dict[str, bytes]
    start: float


def _together(code: bytes, arguments: bytes) -> bytes:
    return xxhash.xxh3_128_digest(code + arguments)


def _made(function: Callable[P, T], settings: Settings) -> MemorizedFunc[P, T]:
    return settings.memory.cached(function, settings)  # type: ignore[no-any-return]
