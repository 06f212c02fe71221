"""Files where fsspec leads: in a bucket, on a server, in a folder. Each is there as a whole or not at all.

Nothing here waits for ever: what a file system does asynchronously (S3, Google, Azure, HTTP) has a time-out; others bring their own. What
has failed is not tried again for a while, that doubles: a program without a network goes on without it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from manyhands.memory import _protocols
from manyhands.memory._folder import new_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PATIENCE = 10.0  # seconds for an answer
SLOWEST = 1 << 20  # bytes a second that are waited for besides
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 600.0  # seconds
_PIECE = 4 << 20  # bytes in one request
_AT_ONCE = 8  # requests

_inherited: list[Any] = []  # what a forked child has of its parent: to close it there would end the parent's connections


class Unavailable(Exception):
    """It could not be reached, or does not allow it; or that was so a moment ago. The text says why."""


class Health:
    """Whether it is worth trying.

    ``fault``: what is to be said of the last failure, until it has been said. An outage is said once.
    """

    def __init__(self, what: str, kind: type[Exception] = Exception) -> None:
        """``kind``: the errors that this is about."""
        self._what = what
        self._kind = kind
        self._until = 0.0
        self._pause = FIRST_PAUSE
        self._reason = ""
        self._is_down = False
        self.fault: str | None = None

    @property
    def is_up(self) -> bool:
        """Whether it is to be tried now."""
        return time.monotonic() >= self._until

    @contextlib.contextmanager
    def watched(self, *, always: bool = False) -> Iterator[None]:
        """Something is tried. FileNotFoundError is an answer.

        Raises:
            Unavailable: it fails, or it is not the time to try; ``always``: it is.
        """
        if not (always or self.is_up):
            raise Unavailable(self._reason)
        try:
            yield
        except Unavailable:  # of something within
            raise
        except FileNotFoundError:
            self._worked()
            raise
        except self._kind as error:
            self.failed(error)
            raise Unavailable(self._reason) from error
        self._worked()

    def failed(self, error: Exception) -> None:
        """It has been tried."""
        why = f"{type(error).__name__}: {error}" if str(error) else "no answer in time"
        self._reason = f"{self._what} ({why})"
        if not self._is_down:
            self._is_down, self.fault = True, self._reason
        self._until = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _worked(self) -> None:
        self._pause, self._is_down, self._until = FIRST_PAUSE, False, 0.0


class RemoteFiles:
    """The files below a URL, by names relative to it. For any thread."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        """``options``: for fsspec's file system. Nothing is opened yet."""
        self.url = url.rstrip("/")
        self._network = Health(f"{self.url} cannot be reached")
        self._right_to_write = Health(f"{self.url} may not be written to", PermissionError)
        self._options = dict(options)
        self._moves = not _protocols.is_object_store(url)
        self._lock = threading.Lock()
        self._opened: tuple[Any, str] | None = None
        self._made: set[str] = set()  # folders

    @property
    def can_write(self) -> bool:
        """Whether it is worth trying to write now."""
        return self._network.is_up and self._right_to_write.is_up

    def faults(self) -> list[str]:
        """What has gone wrong and has not been said yet."""
        found: list[str] = []
        for health in (self._network, self._right_to_write):
            fault, health.fault = health.fault, None
            found += [fault] if fault is not None else []
        return found

    @contextlib.contextmanager
    def _writing(self, *, always: bool = False, source: str | None = None) -> Iterator[None]:
        """``source``: a file here. That it is gone is an answer; that anything there is gone (the bucket) is none."""
        with self._network.watched(always=always), self._right_to_write.watched(always=always):
            try:
                yield
            except FileNotFoundError as error:
                if source is not None and not os.path.exists(source):
                    raise
                raise ConnectionError(str(error)) from error

    # ------------------------------------------------------------ reading

    def read(self, name: str) -> bytes | None:
        """All of a file; None: there is none.

        Raises:
            Unavailable
        """
        try:
            with self._network.watched():
                # A file that is shorter than a piece, as nearly all are, takes one request.
                data = self._first_piece(self._path(name))
                if len(data) < _PIECE:
                    return data
                pieces = [data]
                self._read_from(_PIECE, self._path(name), lambda piece, _: pieces.append(piece))
                return b"".join(pieces)
        except FileNotFoundError:
            return None

    def read_into(self, name: str, fd: int) -> bool:
        """Write all of a file to a descriptor; False: there is none.

        Raises:
            Unavailable
            OSError: it cannot be written.
        """
        trouble: list[OSError] = []

        def keep(piece: bytes, at: int) -> None:
            try:
                view = memoryview(piece)
                while view:
                    written = os.pwrite(fd, view, at)
                    view, at = view[written:], at + written
            except OSError as error:
                trouble.append(error)
                raise Unavailable from error  # not the network's fault: that does not count

        try:
            with self._network.watched():
                self._read_from(0, self._path(name), keep)
        except FileNotFoundError:
            return False
        except Unavailable:
            if trouble:
                raise trouble[0] from None
            raise
        return True

    def _first_piece(self, path: str) -> bytes:
        try:
            return self._do("cat_file", path, start=0, end=_PIECE, seconds=_seconds(_PIECE))  # type: ignore[no-any-return]
        except FileNotFoundError:
            raise
        except OSError:
            if self._do("info", path)["size"]:
                raise
            return b""  # of nothing, no part can be had

    def _read_from(self, start: int, path: str, keep: Callable[[bytes, int], object]) -> None:
        size = self._do("info", path)["size"]
        starts = range(start, size, _PIECE)
        for first in range(0, len(starts), _AT_ONCE):
            part = starts[first : first + _AT_ONCE]
            ends = [min(at + _PIECE, size) for at in part]
            for at, piece in zip(part, self._ranges([path] * len(part), part, ends), strict=True):
                if isinstance(piece, Exception):
                    raise piece
                keep(piece, at)

    def ranges(self, names: Sequence[str], starts: Sequence[int], ends: Sequence[int]) -> list[bytes | Exception]:
        """Parts of files.

        Raises:
            Unavailable
        """
        with self._network.watched(always=True):
            return self._ranges([self._path(name) for name in names], starts, ends)

    def _ranges(self, paths: Sequence[str], starts: Sequence[int], ends: Sequence[int]) -> list[bytes | Exception]:
        size = sum(ends) - sum(starts)
        return self._do("cat_ranges", list(paths), list(starts), list(ends), on_error="return", seconds=_seconds(size))  # type: ignore[no-any-return]

    def sizes(self, folder: str) -> dict[str, int]:
        """All files below a folder, with their sizes.

        Raises:
            Unavailable
        """
        top = len(self._path("").rstrip("/")) + 1
        try:
            with self._network.watched(always=True):
                found = self._do("find", self._path(folder), detail=True, seconds=None)
        except FileNotFoundError:
            return {}
        return {path[top:]: about["size"] for path, about in found.items()}

    # ------------------------------------------------------------ writing

    def write(self, files: Mapping[str, bytes]) -> None:
        """Have these files, in the place of others of these names; those that are there when it fails are whole.

        Raises:
            Unavailable
        """
        with self._writing():
            if self._moves:
                for name, data in files.items():
                    self._move_there(name, "pipe_file", data)
            else:
                size = sum(map(len, files.values()))
                self._do("pipe", {self._path(name): data for name, data in files.items()}, seconds=_seconds(size))

    def write_file(self, name: str, source: str) -> None:
        """Have the file at the path ``source``, unless there is one of this name and length.

        Raises:
            Unavailable
            FileNotFoundError: there is no such source.
        """
        size = os.stat(source).st_size
        with self._writing(source=source):
            if self._size(name) == size:
                return
            if self._moves:
                self._move_there(name, "put_file", source, from_path=True)
            else:
                self._do("put_file", source, self._path(name), seconds=_seconds(size))

    def _move_there(self, name: str, method: str, what: object, *, from_path: bool = False) -> None:
        """Where a file can be seen before it is whole: under another name first."""
        target, staged = self._path(name), self._path(f"staging/{new_token()}")
        for is_last in (False, True):
            self._make_folders(target, staged)
            try:
                self._do(method, *((what, staged) if from_path else (staged, what)), seconds=None)
                self._do("mv", staged, target)
            except FileNotFoundError:  # another machine has just removed all of it
                self._made.clear()
                if is_last:
                    raise
            else:
                return

    def _make_folders(self, *paths: str) -> None:
        for folder in {path.rpartition("/")[0] for path in paths} - self._made:
            self._do("makedirs", folder, exist_ok=True)
            self._made.add(folder)

    def _size(self, name: str) -> int | None:
        try:
            return self._do("info", self._path(name))["size"]  # type: ignore[no-any-return]
        except FileNotFoundError:
            return None

    # ------------------------------------------------------------ removing

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that are not there are no error.

        Raises:
            Unavailable
        """
        paths = [self._path(name) for name in names]
        with self._writing(always=True):
            try:
                if paths:
                    self._do("rm", paths, seconds=None)
            except FileNotFoundError:
                for path in paths:
                    with contextlib.suppress(FileNotFoundError):
                        self._do("rm_file", path)

    def remove_all(self) -> None:
        """Remove all that is there.

        Raises:
            Unavailable
        """
        self._made.clear()
        with self._writing(always=True), contextlib.suppress(FileNotFoundError):
            self._do("rm", self._path("").rstrip("/"), recursive=True, seconds=None)

    # ------------------------------------------------------------ the file system

    def check(self) -> None:
        """See whether it can be used. That it cannot be reached now is no error.

        Raises:
            StoreRefused: there is no such bucket, or it may not be listed.
        """
        error = self._listing_error()
        if error is not None and _protocols.is_refusal(error):
            raise _protocols.refused(self.url, error) from error
        if error is not None:
            self._network.failed(error)

    def _listing_error(self) -> Exception | None:
        """What speaks against using it, or reaching it."""
        try:
            top = self._path("").rstrip("/")
            try:
                self._do("ls", top)
            except FileNotFoundError:  # nothing is there yet; or there is no bucket
                if not (self._moves or self._do("exists", top.lstrip("/").partition("/")[0])):
                    raise
        except Exception as error:  # noqa: BLE001 - whatever the file system raises
            return error
        return None

    def _do(self, method: str, *args: Any, seconds: float | None = -1.0, **options: Any) -> Any:
        """A method of the file system, within a time (None: its own), if it can be interrupted."""
        system, _ = self._open()
        later = getattr(system, f"_{method}", None) if system.async_impl else None
        if later is None:
            return getattr(system, method)(*args, **options)
        from fsspec.asyn import sync  # noqa: PLC0415 - only where it is asked for

        return sync(system.loop, later, *args, timeout=PATIENCE if seconds == -1.0 else seconds, **options)

    def _path(self, name: str) -> str:
        return f"{self._open()[1]}/{name}"

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    self._opened = _protocols.opened(self.url, self._options)
        return self._opened

    def close(self) -> None:
        """Close connections. They are opened again if they are needed."""
        with self._lock:
            self._opened = None

    def forked(self) -> None:
        """This is another process now, which has no part in the parent's connections."""
        self._lock = threading.Lock()
        _protocols.forked()
        if self._opened is not None:
            _inherited.append(self._opened)
            self._opened = None


def _seconds(size: int) -> float:
    return PATIENCE + size / SLOWEST
