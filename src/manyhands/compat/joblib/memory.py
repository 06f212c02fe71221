"""``joblib.memory``: :class:`manyhands.Memory` with joblib's parameters, warnings and stores."""

from __future__ import annotations

import functools
import os
import warnings
from typing import TYPE_CHECKING, Any

import manyhands.memory
from manyhands.compat.joblib._store_backends import CacheWarning, StoreBackendBase, find_backend
from manyhands.memory import MemorizedFunc as MemorizedFunc
from manyhands.memory import MemorizedResult as MemorizedResult
from manyhands.memory import NotMemorizedFunc as NotMemorizedFunc
from manyhands.memory import NotMemorizedResult as NotMemorizedResult
from manyhands.memory import expires_after as expires_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

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
        location: a folder; None: nothing is kept.
        backend: "local", or a name that was given to :func:`register_store_backend`.
        mmap_mode: how arrays of stored results are mapped; None: copy-on-write.
        compress: as for :func:`dump`.
        verbose: 0: nothing is printed.
        backend_options: for the backend.

    What joblib's does silently wrong is right here: see :class:`manyhands.Memory`. A result that cannot be stored is a warning, and there
    is no limit to the size of the store, as there.
    """

    warning = CacheWarning

    def __init__(
        self,
        location: str | os.PathLike[str] | StoreBackendBase | None = None,
        backend: str = _OURS,
        mmap_mode: Literal["r+", "r", "w+", "c"] | None = None,
        compress: bool | int | tuple[str, int] = False,
        verbose: int = 1,
        backend_options: Mapping[str, Any] | None = None,
    ) -> None:
        if compress and mmap_mode is not None:
            warnings.warn("Compressed results cannot be memmapped", stacklevel=2)
        if location is not None and not isinstance(location, str | os.PathLike | StoreBackendBase):
            what = type(location).__name__
            warnings.warn(f"a {what} as a location is not supported; nothing will be kept", UserWarning, stacklevel=2)
            location = None
        self.backend = backend
        self.backend_options = dict(backend_options or {})
        self._foreign = find_backend(backend) if backend != _OURS else type(location) if isinstance(location, StoreBackendBase) else None
        given = location if isinstance(location, StoreBackendBase) else None
        place: Any = given.location if given is not None else location
        super().__init__(place, mmap_mode=mmap_mode, compress=compress, verbose=verbose, size_limit=None, on_not_stored="warn")

    @functools.cached_property
    def store(self) -> Any:
        """Where the results are."""
        if self._foreign is None:
            return super().store
        from manyhands.compat.joblib._foreign_store import ForeignStore  # noqa: PLC0415 - few have one

        options = {"compress": self.compress, "mmap_mode": self.mmap_mode, **self.backend_options}
        backend = self._foreign()
        backend.configure(os.path.join(str(self.location), "joblib"), verbose=self.verbose, backend_options=options)
        return ForeignStore(backend)

    @property
    def store_backend(self) -> Any:
        """Where the results are; None: nowhere."""
        return None if self.location is None else getattr(self.store, "backend", self.store)
