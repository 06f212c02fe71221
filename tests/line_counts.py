"""An observer that adds up how often lines have run, and workloads whose lines are counted."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from manyhands._probe import _link, _probe, _segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Place = tuple[str, int]


class Watched:
    """What this process has told of its lines.

    Attributes:
        runs: of each line.
        errors: of those that are estimates, by how much they may be wrong: two standard deviations, and the bias.
        said: all other messages.
    """

    def __init__(self) -> None:
        self.runs: Counter[Place] = Counter()
        self.said: list[dict[str, Any]] = []
        self._variances: Counter[Place] = Counter()
        self._biases: Counter[Place] = Counter()
        self._records: list[_segment.Record] = []
        self._files: dict[int, str] = {}
        self.socket: socket.socket | None = None
        self.probe: Any = None

    def error(self, place: Place) -> float:
        """By how much the runs of a line may be wrong."""
        return 2 * self._variances[place] ** 0.5 + self._biases[place]

    def ask(self, message: dict[str, Any]) -> None:
        """As the observer asks for something."""
        self.socket.send(_link.packed(message))

    def of(self, function: Callable[..., object]) -> dict[int, int]:
        """Runs of a function's lines, counted from its first one."""
        code = function.__code__
        return self.lines(code.co_filename, code.co_firstlineno)

    def lines(self, file: str, first: int = 0) -> dict[int, int]:
        """Runs of a file's lines."""
        return {line - first: runs for (name, line), runs in sorted(self.runs.items()) if name == file}

    def serve(self, listening: socket.socket, wants: dict[str, Any]) -> None:
        """Greet one process, and hear it until it hangs up."""
        self.socket, _ = listening.accept()
        with self.socket:
            _, fds = _link.welcome(self.socket)
            reader = _segment.Reader(fds[0])
            for fd in fds:
                os.close(fd)
            self.socket.send(_link.packed(wants))
            self.socket.settimeout(0.05)
            while self._hear(self.socket):
                self._records += reader.read()
            self._records += reader.read()
            reader.close()
        assert not reader.lost
        self._add_up()

    def _hear(self, connected: socket.socket) -> bool:
        try:
            packet = connected.recv(1 << 16)
        except TimeoutError:
            return True
        if packet:
            message = json.loads(packet)
            self.said.append(message)
            if "code" in message:
                self._files[message["code"]] = message["file"]
        return bool(packet)

    def _add_up(self) -> None:
        for record in self._records:
            if record.kind == _segment.LINES:
                place = self._files[record.a], record.b
                self.runs[place] += record.c
                self._variances[place] += record.d**2
                self._biases[place] += record.e


@contextlib.contextmanager
def watched(level: str, files: Any = None, **about: Any) -> Iterator[Watched]:
    """This process is watched, with that level."""
    told = Watched()
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, _link.KIND) as listening:
        address = os.path.join(folder, "s")
        listening.bind(address)
        listening.listen(1)
        wants = {"level": level, **({} if callable(files) else {"files": files})}
        serving = threading.Thread(target=told.serve, args=(listening, {"level": "sample"} if callable(files) else wants))
        serving.start()
        told.probe = _probe.start(address, role="program", run="1", **about)
        assert told.probe is not None
        if callable(files):
            told.probe.count_lines(level, files)
        try:
            yield told
        finally:
            _probe.stop()
            serving.join()


def traced(work: Callable[[], object], file: Callable[[str], bool]) -> Counter[Place]:
    """How often each line runs, as ``sys.settrace`` tells it."""
    runs: Counter[Place] = Counter()

    def line(frame: Any, event: str, _argument: object) -> Any:
        if event == "line":
            runs[frame.f_code.co_filename, frame.f_lineno] += 1
        return line

    def called(frame: Any, _event: str, _argument: object) -> Any:
        return line if file(frame.f_code.co_filename) else None

    before = sys.gettrace()
    threading.settrace(called)
    sys.settrace(called)
    try:
        work()
    finally:
        sys.settrace(before)
        threading.settrace(None)
    return runs
