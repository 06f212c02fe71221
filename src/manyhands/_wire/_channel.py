"""A duplex stream of frames over one socket.

The parent's ends never block: what the socket does not take waits here, and :attr:`Channel.unsent` tells the event loop to
watch for room. A worker's end blocks. One thread uses a channel at a time.
"""

from __future__ import annotations

import array
import socket
from collections import deque

from manyhands._wire import _frames, _posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyhands._wire._frames import Bytes, Frame

_CHUNK = 1 << 18
_MAX_PIECES = 64  # below every system's IOV_MAX
_MAX_FDS = 64


class Channel:
    """Frames in and out of ``sock``, which it owns.

    ``out`` is what waits to be sent. ``descriptors=True`` also receives file descriptors; they are given to the frames that announced them.
    """

    __slots__ = ("_fds", "_out_fds", "_reader", "_receives_fds", "out", "sock")

    def __init__(self, sock: socket.socket, *, blocking: bool, descriptors: bool = False) -> None:
        self.sock = sock
        sock.setblocking(blocking)
        self.out: deque[Bytes] = deque()
        self._out_fds: dict[int, Sequence[int]] = {}  # by id of the piece with which they go
        self._reader = _frames.FrameReader()
        self._receives_fds = descriptors
        self._fds: list[int] = []

    def fileno(self) -> int:
        """The descriptor, for a poller; -1 after :meth:`close`."""
        return self.sock.fileno()

    @property
    def unsent(self) -> bool:
        """Whether bytes wait for room in the socket."""
        return bool(self.out)

    @property
    def partial(self) -> bool:
        """Whether a frame has arrived in part."""
        return self._reader.partial

    def queue(self, pieces: Sequence[Bytes], fds: Sequence[int] = ()) -> None:
        """Put a frame, as :func:`_frames.pack` made it, behind what is waiting; :meth:`flush` sends it.

        ``fds`` must stay open until the frame has been sent.
        """
        self.out.extend(pieces)
        if fds:
            self._out_fds[id(pieces[0])] = fds

    def flush(self) -> bool:
        """Send what waits; False if some had to be left because a non-blocking socket is full.

        Raises:
            OSError: the other side is gone.
        """
        out = self.out
        while out:
            try:
                if self._out_fds:
                    sent = self._send_with_fds()
                elif len(out) == 1:
                    sent = self.sock.send(out[0])
                else:
                    sent = self._send_joined()
            except BlockingIOError:
                return False
            self._drop(sent)
        return True

    def _send_joined(self) -> int:
        pieces = [self.out[i] for i in range(min(len(self.out), _MAX_PIECES))]
        return self.sock.sendmsg(pieces)

    def _send_with_fds(self) -> int:
        piece = self.out[0]
        fds = self._out_fds.get(id(piece))
        if fds is None:
            return self.sock.send(piece)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = self.sock.sendmsg([piece], rights)
        del self._out_fds[id(piece)]  # they go with the first byte
        return sent

    def _drop(self, sent: int) -> None:
        out = self.out
        while out and sent >= len(out[0]):
            sent -= len(out.popleft())
        if sent:
            out[0] = memoryview(out[0])[sent:]

    def receive(self) -> list[Frame]:
        """Read once and return the frames that are complete; a blocking channel waits until there is one.

        Raises:
            EOFError: the other side has closed, and no complete frame is left.
            OSError: the connection broke.
        """
        frames: list[Frame] = []
        reader = self._reader
        blocking = self.sock.gettimeout() is None
        while True:
            try:
                room = reader.room
                if room is not None:
                    count = self.sock.recv_into(room)
                    if count:
                        reader.filled(count, frames)
                else:
                    data = self._recv_with_fds() if self._receives_fds else self.sock.recv(_CHUNK)
                    count = len(data)
                    reader.feed(data, frames)
            except BlockingIOError:
                break
            except ConnectionResetError:
                count = 0
            if not count:
                raise EOFError
            # A large frame is read to its end, since its next piece is usually there already.
            if frames or (not blocking and reader.room is None):
                break
        if self._fds:
            self._give_fds(frames)
        return frames

    def _recv_with_fds(self) -> bytes:
        data, ancillary, _, _ = self.sock.recvmsg(_CHUNK, socket.CMSG_SPACE(_MAX_FDS * 4), _CLOEXEC)
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
                self._fds.extend(fds)
        return data

    def _give_fds(self, frames: list[Frame]) -> None:
        for frame in frames:
            frame.fds, self._fds = self._fds[: frame.n_fds], self._fds[frame.n_fds :]

    def close(self) -> None:
        """Close the socket and whatever descriptors came and were not taken."""
        _posix.close_quietly(self._fds)
        self._fds = []
        self.out.clear()
        self._out_fds.clear()
        self.sock.close()


_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
