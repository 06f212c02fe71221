"""Which backend a :class:`Parallel` gets: from what it was given, the block that it is in, and hints and constraints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from manyhands.compat.joblib import _config, _parallel_backends
from manyhands.compat.joblib._config import BACKENDS, chosen, default_parallel_config

if TYPE_CHECKING:
    from manyhands.compat.joblib._config import Config

# Where joblib's own backends are found; the second, while we are in joblib's place.
_OF_JOBLIB = frozenset({"joblib._parallel_backends", "manyhands.compat._joblib_before"})

VALID_BACKEND_HINTS = ("processes", "threads", None)
VALID_BACKEND_CONSTRAINTS = ("sharedmem", None)


def active_backend(prefer: Any, require: Any, verbose: Any, default: str) -> tuple[Any, Config]:
    """The backend for a call that names none, and what holds for it.

    Raises:
        ValueError: a hint or a constraint is not known, or they do not agree.
    """
    config = _config.current()
    backend = ours(chosen(default_parallel_config["backend"], config, "backend"))
    prefer, require = chosen(prefer, config, "prefer"), chosen(require, config, "require")
    _check_hints(prefer, require)
    is_named = backend is not None
    if not is_named:
        backend = BACKENDS[default](nesting_level=0)
    level, in_threads = backend.nesting_level, getattr(backend, "uses_threads", False)
    cannot_share = require == "sharedmem" and not getattr(backend, "supports_sharedmem", False)
    if cannot_share or (not is_named and prefer == "threads" and not in_threads):
        threads = BACKENDS[_config.DEFAULT_THREAD_BACKEND](nesting_level=level)
        if is_named and chosen(verbose, config, "verbose") >= 10:
            sys.stdout.write(
                f"Using {type(threads).__name__} as joblib backend instead of {type(backend).__name__} "
                "as the latter does not provide shared memory semantics.\n"
            )
        return threads, {**config, "n_jobs": 1}  # the number was meant for the other one
    if not is_named and prefer == "processes" and in_threads:
        return BACKENDS[_config.DEFAULT_PROCESS_BACKEND](nesting_level=level), config
    return backend, config


def _check_hints(prefer: object, require: object) -> None:
    if prefer not in VALID_BACKEND_HINTS:
        msg = f"prefer={prefer} is not a valid backend hint, expected one of {VALID_BACKEND_HINTS}"
        raise ValueError(msg)
    if require not in VALID_BACKEND_CONSTRAINTS:
        msg = f"require={require} is not a valid backend constraint, expected one of {VALID_BACKEND_CONSTRAINTS}"
        raise ValueError(msg)
    if prefer == "processes" and require == "sharedmem":
        msg = "prefer='processes' and require='sharedmem' contradict one another: processes share no memory"
        raise ValueError(msg)


def named_backend(given: Any, active: Any, default: str) -> Any:
    """The backend that was given: a name, a backend, or a context of multiprocessing; else the active one.

    Raises:
        ValueError: there is none of that name.
    """
    if given is default_parallel_config["backend"] or given is None:
        return active
    if is_backend(given):
        given = ours(given)
        if given.nesting_level is None:
            given.nesting_level = active.nesting_level
        return given
    if hasattr(given, "Pool") and hasattr(given, "Lock"):
        return _parallel_backends.MultiprocessingBackend(nesting_level=active.nesting_level)
    return _config.factory_of(given, default)(nesting_level=active.nesting_level)


def is_backend(obj: object) -> bool:
    """Whether an object has joblib's contract for backends, whatever it derives from."""
    return not isinstance(obj, type) and all(hasattr(obj, name) for name in ("effective_n_jobs", "configure", "nesting_level"))


def ours(backend: Any) -> Any:
    """Our own backend in place of joblib's of the same name, which drives joblib's own pools; others are what they are."""
    kind = type(backend)
    if kind.__module__ not in _OF_JOBLIB:
        return backend
    own = getattr(_parallel_backends, kind.__name__)
    return own(nesting_level=backend.nesting_level, inner_max_num_threads=backend.inner_max_num_threads, **backend.backend_kwargs)


def is_fallback(error: Exception) -> bool:
    """Whether an exception tells that another backend is to take a call: ours, or joblib's."""
    return any(cls.__name__ == "FallbackToBackend" for cls in type(error).__mro__)
