"""Which backend and which options hold for a call: those of its arguments, else of the ``with`` block, else the default.

Blocks are a thread's own. Within a task, the backend for calls of ``Parallel`` is that which the task's own backend has chosen.
"""

from __future__ import annotations

import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

from manyhands.compat import installing
from manyhands.compat.joblib._parallel_backends import LokyBackend, MultiprocessingBackend, SequentialBackend, ThreadingBackend

if TYPE_CHECKING:
    from collections.abc import Callable

Config = dict[str, Any]


class Default:
    """The value of a parameter that was not given."""

    __slots__ = ("default_value",)

    def __init__(self, default_value: object) -> None:
        self.default_value = default_value

    def __repr__(self) -> str:
        return f"default({self.default_value!r})"


default_parallel_config: Config = {
    "backend": Default(None),
    "n_jobs": Default(None),
    "verbose": Default(0),
    "temp_folder": Default(None),
    "max_nbytes": Default("1M"),
    "mmap_mode": Default("r"),
    "prefer": Default(None),
    "require": Default(None),
}

HAS_PROCESSES = os.environ.get("JOBLIB_MULTIPROCESSING", "1").strip() != "0"

# Backends by name: what makes one.
BACKENDS: dict[str, Callable[..., Any]] = {"threading": ThreadingBackend, "sequential": SequentialBackend}
if HAS_PROCESSES:
    BACKENDS.update(multiprocessing=MultiprocessingBackend, loky=LokyBackend)
MAYBE_AVAILABLE_BACKENDS = {"multiprocessing", "loky"}
DEFAULT_PROCESS_BACKEND = "loky" if HAS_PROCESSES else "threading"
DEFAULT_THREAD_BACKEND = "threading"


def _register_dask() -> None:
    """joblib has a backend for Dask, which drives ours as it does theirs."""
    try:
        from joblib._dask import DaskDistributedBackend  # noqa: PLC0415 - only who asks for it
    except ImportError as error:
        msg = "backend='dask' wants joblib and Dask: pip install joblib 'dask[distributed]'. Please install dask, or choose another backend"
        raise ValueError(msg) from error
    BACKENDS["dask"] = DaskDistributedBackend


# Backends that are registered when they are first named.
EXTERNAL_BACKENDS: dict[str, Callable[[], object]] = {"dask": _register_dask}

_backend = threading.local()


def current() -> Config:
    """What holds in this thread."""
    config: Config | None = getattr(_backend, "config", None)
    return outermost() if config is None else config


def outermost() -> Config:
    """What holds outside of all blocks: in a worker, that a call is within another."""
    level = int(os.environ.get("MANYHANDS_DEPTH", "0"))
    if not level:
        return default_parallel_config
    nested = ThreadingBackend(nesting_level=1) if level == 1 else SequentialBackend(nesting_level=level)
    return {**default_parallel_config, "backend": nested, "n_jobs": None}


def chosen(given: object, config: Config, name: str) -> Any:
    """The value of a parameter: as given, else of the block, else the default."""
    default = default_parallel_config[name]
    if given is not default:
        return given
    return default.default_value if config[name] is default else config[name]


def is_given(given: object, config: Config, name: str) -> bool:
    """Whether somebody has said which value a parameter is to have."""
    default = default_parallel_config[name]
    return given is not default or config[name] is not default


def factory_of(name: Any, default: str, stacklevel: int = 4) -> Callable[..., Any]:
    """What makes the backend of a name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in BACKENDS:
        if name in EXTERNAL_BACKENDS:
            EXTERNAL_BACKENDS[name]()
        elif name in MAYBE_AVAILABLE_BACKENDS:
            warnings.warn(
                f"joblib backend '{name}' is not available on this system (JOBLIB_MULTIPROCESSING=0); {default} takes its place",
                UserWarning,
                stacklevel=stacklevel,
            )
            BACKENDS[name] = BACKENDS[default]
        else:
            return _factory_of_joblib(name)
    return BACKENDS[name]


def _factory_of_joblib(name: Any) -> Callable[..., Any]:
    """What makes the backend of a name that was made known to joblib itself: before we came into its place, for instance.

    Raises:
        ValueError: there is none of that name.
    """
    joblib = installing.loaded("joblib.parallel")
    known: dict[str, Callable[..., Any]] = {} if joblib is None else joblib.BACKENDS
    if name not in known:
        msg = f"Invalid backend: {name}, expected one of {sorted(BACKENDS.keys() | known.keys())}"
        raise ValueError(msg)
    return known[name]


class parallel_config:
    """Choose the backend and other parameters for the calls of ``Parallel`` in a block, also for those that a library makes.

    Example:
        >>> from manyhands.compat.joblib import Parallel, delayed, parallel_config
        >>> with parallel_config(backend="threading", n_jobs=2):
        ...     Parallel()(delayed(pow)(i, 2) for i in range(3))
        [0, 1, 4]

    Args:
        backend: "loky", "multiprocessing", "threading", "sequential", a registered name, or a backend.
        n_jobs, verbose, temp_folder, max_nbytes, mmap_mode, prefer, require: for calls that do not name them; see :class:`Parallel`.
        inner_max_num_threads: how many threads numeric libraries may use in each worker ("loky").
        backend_params: for what makes the backend; of "loky" and "multiprocessing" ``initializer`` and ``initargs``, and the options of
            :class:`manyhands.Parallel`.

    It holds from the moment it is made, in this thread; until the block is left, or :meth:`unregister` is called. Blocks can be nested;
    the inner one changes what it names.

    Raises:
        ValueError: the backend is not known; or there are parameters for one that is not named.
        AssertionError: the backend does not take ``inner_max_num_threads``.
    """

    def __init__(
        self,
        backend: Any = default_parallel_config["backend"],
        *,
        n_jobs: Any = default_parallel_config["n_jobs"],
        verbose: Any = default_parallel_config["verbose"],
        temp_folder: Any = default_parallel_config["temp_folder"],
        max_nbytes: Any = default_parallel_config["max_nbytes"],
        mmap_mode: Any = default_parallel_config["mmap_mode"],
        prefer: Any = default_parallel_config["prefer"],
        require: Any = default_parallel_config["require"],
        inner_max_num_threads: int | None = None,
        **backend_params: Any,
    ) -> None:
        self.old_parallel_config = current()
        self._outside = getattr(_backend, "config", None)
        new = {
            "backend": self._checked(backend, inner_max_num_threads, backend_params),
            "n_jobs": n_jobs,
            "verbose": verbose,
            "temp_folder": temp_folder,
            "max_nbytes": max_nbytes,
            "mmap_mode": mmap_mode,
            "prefer": prefer,
            "require": require,
        }
        given = {name: value for name, value in new.items() if not isinstance(value, Default)}
        self.parallel_config = {**self.old_parallel_config, **given}
        _backend.config = self.parallel_config

    def _checked(self, backend: Any, threads: int | None, params: dict[str, Any]) -> Any:
        """The backend that is meant, with its parameters and its level."""
        if backend is None or backend is default_parallel_config["backend"]:
            if threads is not None or params:
                named = ", ".join(params) or "inner_max_num_threads"
                msg = f"{named}: such parameters are only supported when backend is not None; name the backend that they are for"
                raise ValueError(msg)
            return default_parallel_config["backend"]
        if isinstance(backend, str):
            backend = factory_of(backend, DEFAULT_PROCESS_BACKEND)(**params)
        elif params:
            msg = f"{', '.join(params)}: such parameters are only supported when backend is a string; give them to the backend itself"
            raise ValueError(msg)
        if threads is not None:
            if not backend.supports_inner_max_num_threads:
                msg = f"{type(backend).__name__} does not accept inner_max_num_threads"
                raise AssertionError(msg)
            backend.inner_max_num_threads = threads
        if backend.nesting_level is None:
            around = self.old_parallel_config["backend"]
            backend.nesting_level = 0 if isinstance(around, Default) else around.nesting_level
        return backend

    def __enter__(self) -> Any:
        return self.parallel_config

    def __exit__(self, *_: object) -> None:
        self.unregister()

    def unregister(self) -> None:
        """What held before holds again."""
        _backend.config = self._outside


class parallel_backend(parallel_config):
    """:class:`parallel_config`, as it was before joblib 1.3: it names the backend, and asks for all processors.

    Example:
        >>> from manyhands.compat.joblib import Parallel, delayed, parallel_backend
        >>> with parallel_backend("threading", n_jobs=2):
        ...     Parallel()(delayed(pow)(i, 2) for i in range(3))
        [0, 1, 4]

    Args:
        backend, inner_max_num_threads, backend_params: as for :class:`parallel_config`.
        n_jobs: -1, one worker for each processor, if it is not given.
    """

    def __init__(self, backend: Any, n_jobs: int | None = -1, inner_max_num_threads: int | None = None, **backend_params: Any) -> None:
        super().__init__(backend, n_jobs=n_jobs, inner_max_num_threads=inner_max_num_threads, **backend_params)
        old, new = self.old_parallel_config, self.parallel_config
        self.old_backend_and_jobs = old["backend"], old["n_jobs"]
        self.new_backend_and_jobs = new["backend"], new["n_jobs"]

    def __enter__(self) -> tuple[Any, Any]:
        return self.new_backend_and_jobs


def enter_task(backend: Any, n_jobs: int | None) -> None:
    """From now on, calls of ``Parallel`` in this thread are calls within a task."""
    _backend.config = {**default_parallel_config, "backend": backend, "n_jobs": n_jobs}


def call_within(backend: Any, n_jobs: int | None, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make a call, for which another backend is active than it would be there."""
    with parallel_config(backend=backend, n_jobs=n_jobs):
        return function(*args, **kwargs)
