"""A stand-in for the observer: the page with invented runs.

    python page/dev/server.py --workers 64 --tasks 100000 --seconds 120
    python page/dev/server.py --report report.html

It follows the interface of the observer, and has neither its safety nor its limits.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "src")]

from invented import CACHED, FUNCTIONS, Invented  # noqa: E402 - beside this file

from manyhands.watch._report import Numbers  # noqa: E402 - of this clone
from manyhands.watch.observer._history import History, charts  # noqa: E402
from manyhands.watch.observer._timeline import Bar, Timeline  # noqa: E402

PAGE = ROOT / "src/manyhands/watch/observer/page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
KINDS = {"index.html": "text/html; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}
NS = 1_000_000_000


class Stage:
    """The runs, and the time."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self.settings = settings
        self.runs = {
            run.token: run
            for run in (
                Invented("a1", workers=6, tasks=900, seconds=settings.seconds / 4, seed=2),
                Invented("b2", workers=settings.workers, tasks=settings.tasks, seconds=settings.seconds, ends=settings.ends),
            )[0 if settings.two else 1 :]
        }
        self.timelines = {token: timelines(run) for token, run in self.runs.items()}
        self.began = time.monotonic() - settings.at

    def now(self) -> float:
        return time.monotonic() - self.began if self.settings.speed else self.settings.at

    def event(self) -> dict[str, Any]:
        now = self.now()
        return {"now": time.time(), "runs": [run.snapshot(now) | {"control": self.settings.control} for run in self.runs.values()]}

    def timeline(self, token: str, begin: float, end: float, width: int, now: float) -> dict[str, Any]:
        lanes = []
        last = int(min(end, now) * NS)
        for pid, timeline in self.timelines[token].items():
            bars = [self._told(bar, last) for bar in timeline.bars(int(begin * NS), last, width) if bar.begin < last]
            lanes.append({"pid": pid, "bars": [bar for bar in bars if bar[1] < now or bar[3] > 1]})
        return {"functions": FUNCTIONS, "lanes": lanes}

    def _told(self, bar: Bar, last: int) -> list[float]:
        flags = bar.flags if bar.count == 1 else bar.flags & ~CACHED
        return [bar.begin / NS, min(bar.end, last) / NS, bar.busy / NS, bar.count, bar.function, flags, bar.first]


def timelines(run: Invented) -> dict[int, Timeline]:
    found = {}
    for worker in run.workers:
        timeline = found[worker.pid] = Timeline()
        for begin, end, (function, flags, number) in zip(worker.begins, worker.ends, worker.what, strict=True):
            timeline.add(int(begin * NS), int(end * NS), function=function, flags=flags, first=number)
    return found


class Handler(BaseHTTPRequestHandler):
    """Answers as the observer does."""

    protocol_version = "HTTP/1.1"
    stage: Stage

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        name = url.path.strip("/") or "index.html"
        if name in KINDS:
            self._send((PAGE / name).read_bytes(), KINDS[name])
        elif name == "events":
            self._events()
        elif hasattr(self, f"_get_{name}"):
            self._send_json(getattr(self, f"_get_{name}")(asked))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.stage.settings.control:
            self._send_json({"done": True})
        else:
            self.send_error(403)

    def _get_timeline(self, asked: dict[str, str]) -> Any:
        return self.stage.timeline(asked["run"], float(asked["from"]), float(asked["to"]), int(asked["width"]), self.stage.now())

    def _get_files(self, asked: dict[str, str]) -> Any:
        return self.stage.runs[asked["run"]].files(self.stage.now())

    def _get_history(self, asked: dict[str, str]) -> Any:
        run, now = self.stage.runs[asked["run"]], self.stage.now()
        history = History()
        for step in range(1, 61):
            history.note(with_keys(run.snapshot(now * step / 60)), 0)
        return charts(history)

    def _get_source(self, asked: dict[str, str]) -> Any:
        found = self.stage.runs[asked["run"]].source(int(asked["file"]), int(asked["pid"]) if "pid" in asked else None, self.stage.now())
        if asked.get("lines") == "0":
            del found["lines"]
        return found

    def _get_stack(self, asked: dict[str, str]) -> Any:
        frames = '  File "/home/ada/study/model.py", line 46 in descend\n  File "/home/ada/study/model.py", line 65 in solve\n'
        return {
            "text": f'Current thread 0x00007f5b6c7fe740 (most recent call first):\n{frames}  File "/home/ada/study/train.py", line 24 in fit\n'
        }

    def _events(self) -> None:
        self._head("text/event-stream", None)
        try:
            while True:
                self.wfile.write(b"data: " + json.dumps(self.stage.event()).encode() + b"\n\n")
                self.wfile.flush()
                time.sleep(0.2 if self.stage.settings.speed else 5)
        except OSError:
            pass

    def _send_json(self, content: Any) -> None:
        self._send(json.dumps(content).encode(), "application/json")

    def _send(self, content: bytes, kind: str) -> None:
        self._head(kind, len(content))
        self.wfile.write(content)

    def _head(self, kind: str, length: int | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cache-Control", "no-store")
        if length is None:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        pass


def with_keys(snapshot: dict[str, Any]) -> dict[str, Any]:
    """With what the observer gives calls and errors, by which they are known later."""
    calls = [{"id": str(call["number"]), **call} for call in snapshot["calls"]]
    return {**snapshot, "calls": calls, "errors": [{"id": number, **error} for number, error in enumerate(snapshot["errors"])]}


def report(stage: Stage) -> str:
    """A saved report of the run: the page, its script and its data in one document."""
    run = next(reversed(stage.runs.values()))
    steps = [run.seconds * step / 60 for step in range(1, 61)]
    history = History()
    for at in steps:
        history.note(with_keys(run.snapshot(at)), int(at * NS))
    numbers = Numbers()
    data = {
        "format": 1,
        "made": time.time(),
        "snapshots": [numbers.numbered(change) for change in history.changes],
        "frames": list(numbers.frames),
        "stacks": list(numbers.stacks),
        "timeline": stage.timeline(run.token, 0, run.seconds, 1500, run.seconds),
        "sources": {
            str(file["id"]): run.source(file["id"], None, run.seconds)
            | {"heats": [{"at": at, "heat": run.source(file["id"], None, at)["heat"]} for at in steps[::6]]}
            for file in run.files(run.seconds)
        },
    }
    said = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page, script, style = ((PAGE / name).read_text(encoding="utf-8") for name in KINDS)
    page = page.replace('<link rel="stylesheet" href="page.css">', f"<style>{style}</style>")
    return page.replace(
        '<script src="page.js"></script>', f'<script type="application/json" id="report">{said}</script>\n<script>{script}</script>'
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8420)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--at", type=float, default=0, help="begin at this second")
    parser.add_argument("--speed", type=int, default=1, help="0: the time stands still")
    parser.add_argument("--ends", default="done", choices=["done", "failed", "interrupted", "died"])
    parser.add_argument("--two", action="store_true", help="a second run, before")
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--report", help="write a saved report there, and end")
    settings = parser.parse_args()
    stage = Stage(settings)
    if settings.report:
        Path(settings.report).write_text(report(stage), encoding="utf-8")
        return
    Handler.stage = stage
    print(f"http://127.0.0.1:{settings.port}/", flush=True)
    ThreadingHTTPServer(("127.0.0.1", settings.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
