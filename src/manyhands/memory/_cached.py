"""Functions whose results are kept: what ``@memory.cache`` makes of a function."""

from __future__ import annotations

import dataclasses
import functools
import time
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodDescriptorType, MethodType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

from xxhash import xxh3_128_digest as _together

from manyhands._hashing import digest_of_few
from manyhands.errors import NotHashable
from manyhands.memory import _metadata, _packages, _telling, _texts, _why
from manyhands.memory._arguments import digest_of, digests_of
from manyhands.memory._binding import Binding
from manyhands.memory._bound import BoundMemorizedFunc, parts_of
from manyhands.memory._entry import Meta
from manyhands.memory._flight import Flight, flight
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
# Of which there is one of each name.
_NAMED = (type, FunctionType, BuiltinFunctionType, MethodType, MethodDescriptorType)
# So many stored calls are looked at for the one that is nearest to another.
_LOOKED_AT = 200

# What a call is told by: the digest of its function, its key, its arguments in the order of the parameters, and digests of those that took
# more than a look, by their ids. A plain tuple: it is made for each call.
Told: TypeAlias = "tuple[bytes, bytes, tuple[Any, ...], Mapping[int, bytes]]"
_NOTHING: Mapping[int, bytes] = MappingProxyType({})


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
        method = parts_of(function)  # Memory.cache gives none
        deps = settings.deps if method is None else (*settings.deps, method[1])
        self._code = FunctionKey(
            function,
            version=settings.version,
            deps=deps,
            files=settings.files,
            env=settings.env,
            ignored=sorted(self._binding.ignored),
        )
        self._restless = Restless(self._code)
        self._store: ResultStore = settings.memory.store_of(self._code.name)

    # ------------------------------------------------------------ calls

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # All in one: of a recursion, each level takes as many frames as there are here.
        told = self._told(args, kwargs)
        hit = self._find(told[1])
        if hit is None:
            hit = self._taken_over(told, args, kwargs)
        if hit is not None:
            return hit.value  # type: ignore[no-any-return]
        turn = self._turn(told)
        with turn as is_mine:
            hit = self._fetched(told[1]) if is_mine else self._find(told[1])
            if hit is not None:
                return hit.value  # type: ignore[no-any-return]
            work = self._begin(self._still(told, turn, args, kwargs))
            return self._finish(work, self.func(*args, **kwargs))[0]

    def call_and_shelve(self, /, *args: P.args, **kwargs: P.kwargs) -> MemorizedResult[T]:
        """The same call, but the result stays in the store until it is asked for.

        Returns:
            A :class:`MemorizedResult`: small, and good for other processes; its ``get()`` loads the result.
        """
        told = self._told(args, kwargs)
        if not self._is_here(told, args, kwargs):
            turn = self._turn(told)
            with turn as is_mine:
                if is_mine and not self._is_elsewhere(told[1]):
                    self._finish(self._begin(self._still(told, turn, args, kwargs)), self.func(*args, **kwargs))
        return self._shelved(told[1])

    def check_call_in_cache(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether this call would be answered from the store. Computes nothing, and removes nothing; what only a remote store has is
        brought here."""
        return self._is_there(self._told(args, kwargs), args, kwargs)

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> tuple[T, dict[str, Any]]:
        """Compute the result, whether or not it is in the store, and keep it there.

        Returns:
            The result, and what is known of it: ``duration`` in seconds, ``time`` since 1970, ``input_args``.
        """
        work = self._begin(self._told(args, kwargs))
        return self._finish(work, self.func(*args, **kwargs))

    def why(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
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
        told = self._told(args, kwargs)
        if self._is_there(told, args, kwargs):
            return "it is stored"
        if self._store.is_whole(told[1]):
            return "it would be computed: it is stored, but cache_validation_callback does not let it pass"
        now = self._parts(told)
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
        """Remove all results of this function from the store, those of former versions included.

        Functions are known by their names here. Of lambdas, functions within functions, partials and objects that can be called, many have
        the same name: of these, what is removed is that of the very same code, with the same variables, defaults and attributes.
        """
        if warn and self._settings.verbose > 0:
            self._settings.memory.warn(f"Clearing function cache identified by {self._code.name}")
        if "<" not in self._code.name and isinstance(self.func, _NAMED):
            self._store.clear(self._code.name)
            return
        itself = _why.itself(self._code.parts())
        self._store.clear(self._code.name, lambda meta: _why.itself(meta.why) == itself)

    # ------------------------------------------------------------ what a call is told by

    def _told(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Told:
        values = self._binding.values(args, kwargs)
        code = self._code.digest()
        arguments = digest_of_few(values)
        if arguments is not None:
            return code, _together(code + arguments), values, _NOTHING
        arguments, digests = self._digests(values)
        return code, _together(code + arguments), values, digests

    def _digests(self, values: tuple[Any, ...]) -> tuple[bytes, dict[int, bytes]]:
        try:
            return digests_of(values)
        except NotHashable:
            for name, value in self._binding.named(values).items():
                self._digest(name, value)  # of that which cannot be hashed, the error says the name
            raise

    def _digest(self, name: str, value: Any) -> bytes:
        try:
            return digest_of(value, name)
        except NotHashable as error:
            if name not in self._binding.names:
                raise
            mend = f"if the result does not depend on {name}, cache the function with ignore=[{name!r}]"
            raise error.otherwise(mend) from error.__cause__

    def _parts(self, told: Told) -> dict[str, bytes]:
        """What a call is told by, in parts, each with a name."""
        _, _, values, digests = told
        parts = self._code.parts()
        for name, value in self._binding.named(values).items():
            parts[f"argument {name}"] = digests.get(id(value)) or self._digest(name, value)
            if (code := _own_code(value)) is not None:
                what = "function" if code is value else "class"
                parts[f"argument {name}: {what} {code.__qualname__}"] = digest_of(code)
        return parts

    # ------------------------------------------------------------ what is there

    def _find(self, key: bytes) -> Found | None:
        start = time.perf_counter()
        hit = self._store.get(key, self._settings.mmap_mode)
        if hit is None:
            return None
        if self._settings.validate is not None and not self._passes(hit.meta):
            self._store.reject(key)  # it is going to be computed
            return None
        if self._settings.verbose >= _LOADED:
            _telling.say_duration(self._code.name, time.perf_counter() - start, "cache loaded ")
        return hit

    def _is_valid(self, key: bytes) -> bool:
        """Whether somebody has stored it meanwhile."""
        if self._settings.validate is None:
            return self._store.has(key)
        return self._passes(self._store.meta(key))

    def _turn(self, told: Told) -> Flight:
        return flight(self._store, told[1], lambda: self._is_valid(told[1]))

    def _still(self, told: Told, turn: Flight, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Told:
        """What the call is told by now: after a wait, arguments may be others."""
        return self._told(args, kwargs) if turn.has_waited or self._store.has_remote else told

    def _is_there(self, told: Told, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Wherever it may be."""
        return self._is_here(told, args, kwargs) or self._is_elsewhere(told[1])

    def _is_here(self, told: Told, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return self._is_good(told[1]) or (self._taken_over(told, args, kwargs) is not None and self._is_good(told[1]))

    def _is_good(self, key: bytes) -> bool:
        return self._store.is_whole(key) and self._passes(self._store.meta(key))

    def _taken_over(self, told: Told, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found | None:
        """The result of this call if it has been imported from joblib; then it is stored under its own key from now on."""
        code, key, values, _ = told
        if not self._store.expects_imports(code):
            return None
        from manyhands.memory import _joblib_import  # noqa: PLC0415 - few have imported anything

        settings = self._settings
        imported = _joblib_import.key_of_call(self.func, code, settings.ignore, args, kwargs, maps=settings.mmap_mode is not None)
        hit = None if imported is None else self._store.get(imported)
        if imported is None or hit is None:
            return None
        meta = Meta(self._code.name, self._texts(values), hit.meta.seconds, hit.meta.time, why=self._parts(told))
        try:
            self._store.put(key, hit.value, meta)
            self._store.delete(imported)
        except OSError:  # a full disk, say, which whoever computes it will be told of
            return None
        return self._find(key)

    def _is_elsewhere(self, key: bytes) -> bool:
        return self._store.fetch(key) and self._is_good(key)

    def _fetched(self, key: bytes) -> Found | None:
        """What others have stored elsewhere: looked for once it is known that it is not here."""
        return self._find(key) if self._store.fetch(key) else None

    def _passes(self, meta: Any) -> bool:
        """Whether the user's callback lets a stored result pass."""
        validate = self._settings.validate
        return validate is None or (meta is not None and validate(_metadata.as_joblib_has_it(meta)))

    def _shelved(self, key: bytes) -> MemorizedResult[T]:
        return MemorizedResult(self._store, self._code.name, key, self._settings.mmap_mode)

    # ------------------------------------------------------------ what is computed

    def _begin(self, told: Told) -> _Work:
        # All of it now: the function may change what it is given, and what it reads; and so may others, meanwhile.
        code, key, values, _ = told
        if self._settings.verbose > 0:
            _telling.say_calling(self._code.name, _telling.shown_call(self._code.name, self._binding.named(values)))
        return _Work(key, code, self._texts(values), self._parts(told), time.perf_counter())

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

    def _texts(self, values: tuple[Any, ...]) -> dict[str, str]:
        return {name: _texts.noted(value) for name, value in self._binding.named(values).items()}

    # ------------------------------------------------------------ methods, other processes

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else BoundMemorizedFunc(self, instance)

    def __reduce__(self) -> Any:
        return _made, (self.func, self._settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(func={self.func!r}, location={self._store.location})"


class _Work(NamedTuple):
    """A computation that is under way: what is to be known of it at its end."""

    key: bytes
    code: bytes
    texts: dict[str, str]
    parts: dict[str, bytes]
    start: float


def _own_code(value: Any) -> Any:
    """The user's code that an argument is, or is an object of; None: it is neither."""
    code = value if isinstance(value, FunctionType | type) else type(value)
    return code if code.__module__ != "builtins" and _packages.is_own(code.__module__) else None


def _made(function: Callable[P, T], settings: Settings) -> MemorizedFunc[P, T]:
    return settings.memory.cached(function, settings)  # type: ignore[no-any-return]
