"""Programs that are watched by a hub in the test's own process: no page, and nobody to be waited for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from manyhands._probe import _segment
from manyhands.watch import _starting
from manyhands.watch.observer import _hub, _main, _snapshot

_JOIN = """
from manyhands.watch import _choices, _starting
_starting.join(_choices.Choices(terminal=True, arguments={arguments}))
"""
# What ``manyhands run`` does besides.
_PLAIN = """
from manyhands.watch import _plain
_plain.begin()
"""
_SECONDS = 30.0


class Observed:
    """A program, and what is known of it.

    Attributes:
        run: the model of its run; None before it has joined.
    """

    def __init__(self, hub, process):
        self._hub = hub
        self.process = process

    @property
    def run(self):
        return next(iter(self._hub.runs.values()), None)

    def now(self):
        """The snapshot of this moment."""
        return _snapshot.snapshot(self.run, time.monotonic_ns())

    async def until(self, condition):
        """The first true value of ``condition(snapshot)``."""
        deadline = time.monotonic() + _SECONDS
        snapshot = None
        while time.monotonic() < deadline:
            await self._looked()
            if self.run is not None:
                snapshot = self.now()
                if value := condition(snapshot):
                    return value
        raise AssertionError(f"did not come about: {json.dumps(snapshot, indent=1)}")

    async def end(self):
        """What is known in the end."""
        return await self.until(lambda snapshot: snapshot if snapshot["state"] != "running" and not self._hub.connections else None)

    async def _looked(self):
        has_looked = asyncio.get_running_loop().create_future()
        self._hub.looked.append(lambda: None if has_looked.done() else has_looked.set_result(None))
        try:
            await asyncio.wait_for(has_looked, 1.0)
        except TimeoutError:  # nobody is connected: it need not look
            return
        finally:
            self._hub.looked.clear()


@contextlib.asynccontextmanager
async def observed(tmp_path, code, *, arguments=False, plain=False):
    """A program that is watched."""
    folder = Path(_starting.folder())
    facts = {"url": "", "frame": "", "why": "a test", "id": "1", "pid": os.getpid(), "version": _segment.VERSION}
    (folder / "page").write_text(json.dumps(facts))
    listening = _main._listen(str(folder))
    hub = _hub.Hub(listening)
    serving = asyncio.create_task(hub.serve())
    path = tmp_path / "program.py"
    join = _JOIN.format(arguments=arguments) + _PLAIN * plain
    path.write_text(f"{textwrap.indent(join, '    ')}\n".join(["if __name__ == '__main__':", textwrap.dedent(code)]))
    process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path)
    program = Observed(hub, process)
    try:
        yield program
    finally:
        process.kill()
        said, _ = process.communicate()
        sys.stdout.write(said.decode())
        deadline = time.monotonic() + _SECONDS
        while hub.connections and time.monotonic() < deadline:
            await asyncio.sleep(_hub.TICK)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        listening.close()
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def watching(tmp_path, code, follow, **how):
    """What ``follow(program)`` gives, a coroutine function."""

    async def go():
        async with observed(tmp_path, code, **how) as program:
            return await follow(program)

    return asyncio.run(go())


def ended(tmp_path, code, **how):
    """What is known of a program in the end."""
    return watching(tmp_path, code, Observed.end, **how)
