"""What is kept of a run: how it has been, and the files that are made of it."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import html.parser
import itertools
import json
import random
import re
import signal
import stat
from collections import Counter
from pathlib import Path

import observed
import pages
import pytest
import scripts
from hypothesis import given
from hypothesis import strategies as st
from test_watch_model import NS, PROGRAM, Told

import manyhands
from manyhands._engine import _watched
from manyhands._probe import _segment as told
from manyhands.cli._app import app
from manyhands.watch import _commands, _tracks
from manyhands.watch.observer import _exports, _history, _saving, _stacks
from manyhands.watch.observer._heat import Heat
from manyhands.watch.observer._history import History
from manyhands.watch.observer._timeline import Bar

# ---------------------------------------------------------------- how a run has been


THREAD = 1 << 22 | PROGRAM  # a thread that runs tasks
SECRET = "xyz" + "zy"  # so that it is not in the source, which is in reports


def replayed(changes):
    """Snapshots, one after the other, as ``page/src/saved.ts`` makes them."""
    now = None
    for change in changes:
        if now is None:
            now = change
        else:
            after = {**now, **{key: value for key, value in change.items() if key != "left"}}
            for name, by in _history.KEYS.items():
                items = {item[by]: item for item in now[name]}
                for gone in change.get("left", {}).get(name, ()):
                    items.pop(gone, None)
                for item in change.get(name, ()):
                    items[item[by]] = {**items.get(item[by], {}), **item}
                after[name] = list(items.values())
            now = after
        yield now


def shown(elapsed, lanes=(), files=(), state="running"):
    """A snapshot, as far as it matters."""
    same = {"role": "worker", "cpu": 0.5, "memory": 1 << 20, "silent": 0.0, "task": None, "stack": []}
    return {
        **{name: [] for name in _history.KEYS},
        "elapsed": elapsed,
        "rate": 2.0,
        "state": state,
        "lanes": [{"pid": pid, "state": state, "busy": busy, **same} for pid, state, busy in lanes],
        "files": [{"id": number, "own": own} for number, own in files],
    }


moments = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(1, 5), st.sampled_from(["busy", "idle"]), st.integers(0, 2)), max_size=4, unique_by=lambda lane: lane[0]
        ),
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=3, unique_by=lambda file: file[0]),
    ),
    min_size=1,
    max_size=60,
)


def as_sets(snapshot):
    """Without the order of lists, which the page makes anew."""
    lists = {name: sorted(json.dumps(item, sort_keys=True) for item in snapshot[name]) for name in _history.KEYS}
    return {**snapshot, **lists}


@given(moments)
def test_snapshots_that_are_kept_are_as_they_were(moments):
    history, as_they_were = History(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_history, "MOST", 9)
        for second, (lanes, files) in enumerate(moments):
            history.note(shown(second, lanes, files), second * NS)
            as_they_were[second] = as_sets(history._compact(shown(second, lanes, files)))
    found = {snapshot["elapsed"]: as_sets(snapshot) for snapshot in replayed(copy.deepcopy(history.changes))}
    assert found == {second: as_they_were[second] for second in found}
    assert [each[0] for each in history.figures] == list(found)
    assert len(found) <= 9
    assert {0, len(moments) - 1} <= set(found) or len(moments) > 9


def test_a_history_takes_no_more_memory_the_longer_it_takes():
    history = History()
    for tick in range(20_000):  # each worker lives for a moment
        if history.is_due(tick * NS // 10):
            history.note(shown(tick / 10, [(tick * 10 + lane, "busy", 0.5) for lane in range(10)]), tick * NS // 10)
    assert _history.MOST / 2 <= len(history.changes) <= _history.MOST
    assert len(json.dumps(history.changes)) < 2_000_000
    assert len(history.figures) == len(history.changes)
    times = [each[0] for each in history.figures]
    apart = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(apart) <= 2.1 * min(apart[1:-1])


def test_it_is_noted_less_often_the_longer_it_takes_and_the_more_there_are():
    history, noted = History(), []
    for tick in range(12_000):
        if history.is_due(tick * NS // 10):
            history.note(shown(tick / 10), tick * NS // 10)
            noted.append(tick)
    assert noted[:3] == [0, 1, 2]
    assert 400 < len(noted) < 1100
    many = History()
    many.note(shown(0, [(pid, "busy", 0) for pid in range(64)]), 0)
    assert not many.is_due(4 * _history.FIRST)
    assert many.is_due(5 * _history.FIRST)


def test_how_hot_lines_were_is_told_by_what_has_changed():
    heat, history = Heat(), History()
    for second in range(200):
        heat.seen((("a.py", 1 + second // 100), ("main.py", 7)), second * NS, NS)
        if history.are_heats_due(second * NS):
            history.note_heats(heat, second * NS)
    assert len(history.heats) <= _history.MOST_HEATS
    now = {}
    for at, changed in history.heats:
        for path, lines in changed.items():
            now.setdefault(path, {}).update(lines)
        assert now["main.py"][7][1] == at + NS
        assert set(now["a.py"]) == ({1} if at < 100 * NS else {1, 2})
    assert all("a.py" not in changed or 1 not in changed["a.py"] for at, changed in history.heats if at > 140 * NS)


@pytest.mark.parametrize("different", [3, 20, 100])
def test_of_stacks_all_time_is_kept(monkeypatch, different):
    monkeypatch.setattr(_stacks, "MOST", 64)
    stacks, expected, numbers = _stacks.Stacks(), Counter(), random.Random(different)
    for _ in range(2000):
        stack, lasted = numbers.randrange(1, different + 1), numbers.randrange(1, 100)
        stacks.add(stack, lasted)
        expected[stack] += lasted
        assert len(stacks) <= 64
    found = Counter()
    for stack, lasted in stacks:
        found[stack] += lasted
    assert found.total() == expected.total()
    assert found == expected or different > 64  # there is no room for all of them


def test_a_snapshot_stays_as_it_is():
    told_ = Told()
    told_.program.hear({"error": "ValueError", "message": "bad", "key": "ValueError: bad"})
    told_.record(told.TASK_FAILED, 1.0, 1, 1 << 16, told_.text("ValueError: bad"), 10 << 32, NS)
    before = told_.snapshot(1.0)
    as_it_was = copy.deepcopy(before)
    told_.record(told.TASK_FAILED, 2.0, 1, 2 << 16, told_.text("ValueError: bad"), 10 << 32, NS)
    assert before == as_it_was
    assert told_.snapshot(2.0)["errors"][0]["tasks"] == [1, 2]


# ---------------------------------------------------------------- files


class Kept:
    """A run with all that there is: calls, failures, a worker that died, threads, quick tasks, stacks, hostile names."""

    BAD = "</script><script>alert(1)</script><!-- \u2028 \udc80"

    def __init__(self, *, arguments=True, tasks=40):
        self.told = told_ = Told(workers=3)
        self.run = told_.run
        self.run.name = self.BAD
        for worker in told_.workers:
            worker.hear({"code": 1, "file": __file__, "name": f"outer {self.BAD}", "line": 5})
            worker.hear({"code": 2, "file": __file__, "name": "inner", "line": 9})
            worker.hear({"stack": 1, "frames": [[2, 10], [1, 6]]})
            worker.hear({"stack": 2, "frames": [[1, 7]]})
        told_.begin(total=tasks + 2, workers=3, function=self.BAD)
        for index in range(tasks):
            worker = told_.workers[index % 2]
            at = 0.5 + index // 2 * 0.1 + 0.02 * (index % 2)
            if arguments:
                told_.record(told.RUNNING, at - 0.09, worker.pid, 1 << 32 | index, told_.text(self.BAD), told_.text(f"word='{SECRET}'"), 1)
            told_.done(at, worker.pid, 0.09, first=index, function=self.BAD)
            worker.read([told.Record(told.SAMPLE, int(at * NS), worker.pid, 1 + index % 3 % 2, int(0.05 * NS), 1, 0)])
            worker.seen(int(at * NS), 1 << 24, 0.9, 1)
            self._remember(at)
        end = 0.6 + tasks * 0.05
        told_.done(end, 10, 0.001, first=900, count=500, function="quick")
        told_.program.read([told.Record(told.WORKER_BEGUN, 0, THREAD, told_.text("thread 0"), 0, 0, 0)])
        told_.done(end, THREAD, 0.3, first=3, function="threaded")
        key = f"ValueError: {self.BAD}"
        said = {"error": "ValueError", "message": self.BAD, "key": key, "function": self.BAD, "traceback": f"Traceback\n{self.BAD}"}
        told_.program.hear(said)
        told_.record(told.TASK_FAILED, end, 1, tasks << 16 | 1 << 1, told_.text(key), 11 << 32 | told_.text(self.BAD), (end - 0.05) * NS)
        told_.workers[2].end(int(end * NS), f"killed {self.BAD}")
        told_.progress(end, tasks + 1, failed=1, sent=1000, received=10)
        self._remember(end)
        self.end = int((end + 0.1) * NS)
        told_.end(end + 0.05)
        self.run.end(self.end, "done", "")

    def _remember(self, at):
        now = int(at * NS)
        self.run.history.note(self.told.snapshot(at), now)
        self.run.history.note_heats(self.run.heat, now)

    def made(self, name):
        """The text of a file."""
        return "".join(part if isinstance(part, str) else part() for part in _exports.KINDS[name].made(self.run, self.end))


@pytest.fixture(scope="module")
def kept():
    return Kept()


class Document(html.parser.HTMLParser):
    """The elements of a report that matter, as a browser sees them."""

    def __init__(self, text):
        super().__init__()
        self.inside, self.scripts, self.styles, self.policy = None, [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        if tag in {"script", "style"}:
            assert not known.keys() & {"src", "href"}
            (self.scripts if tag == "script" else self.styles).append([known.get("type"), ""])
            self.inside = self.scripts if tag == "script" else self.styles
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"]

    def handle_endtag(self, tag):
        if tag in {"script", "style"}:
            self.inside = None

    def handle_data(self, data):
        if self.inside is not None:
            self.inside[-1][1] += data


def data_of(text):
    """What a report holds."""
    return json.loads(Document(text).scripts[0][1])


def test_a_report_is_one_document_in_which_only_the_page_can_run(kept):
    document = Document(kept.made("report"))
    assert [kind for kind, _ in document.scripts] == ["application/json", None]
    assert "<" not in document.scripts[0][1]
    policy = dict(part.strip().split(" ", 1) for part in document.policy.split(";"))
    assert policy["default-src"] == "'none'"
    for name, ((_, text),) in {"script-src": document.scripts[1:], "style-src": document.styles}.items():
        assert policy[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert {name for name, value in policy.items() if value not in {"'none'", "data:"}} == {"script-src", "style-src"}


def test_a_report_has_all_that_the_page_shows_by_time(kept):
    data = data_of(kept.made("report"))
    assert data["format"] == 1
    *_, last = snapshots = list(replayed(data["snapshots"]))
    assert len(snapshots) == 42
    assert [snapshot["state"] for snapshot in snapshots] == ["running"] * 41 + ["done"]
    assert (last["done"], last["failed"], last["calls"][0]["function"], last["errors"][0]["count"]) == (41, 1, kept.BAD, 1)
    assert [lane["how"] for lane in last["lanes"] if lane["died"]] == [f"killed {kept.BAD}"]
    lane = next(lane for lane in snapshots[20]["lanes"] if lane["pid"] == 10)
    *_, outermost = [data["frames"][frame] for frame in data["stacks"][lane["stack"]]]
    assert (outermost[0], outermost[2]) == (__file__, f"outer {kept.BAD}")
    assert lane["memory"] == 1 << 24
    bars = {each["pid"]: each["bars"] for each in data["timeline"]["lanes"]}
    assert sum(bar[3] for bar in bars[10]) == 520
    assert data["timeline"]["functions"][bars[11][-1][4]] == kept.BAD
    assert bars[11][-1][5] == 1
    (source,) = data["sources"].values()
    assert source["lines"] == Path(__file__).read_text(encoding="utf-8").split("\n")
    assert source["heat"]["10"][0] > 1
    grown = {}
    for each in source["heats"]:
        grown.update(each["heat"])
    assert grown["10"][:3] == source["heat"]["10"][:3]
    assert len(source["heats"]) > 10


def test_a_long_run_makes_a_small_report():
    told_ = Told(workers=0)
    told_.workers = [told_.run.greet({"pid": 100 + number, "role": "worker", "name": f"worker {number}"}, 0) for number in range(16)]
    function = told_.run.function(told_.program.text(told_.text("work")))
    for index in range(100_000):
        at = (1 + index // 16) * NS // 100
        told_.run.timeline(100 + index % 16).add(at - NS // 120, at, function=function, first=index)
    for tick in range(600):
        if told_.run.history.is_due(tick * NS // 10):
            told_.run.history.note(told_.snapshot(tick / 10), tick * NS // 10)
    made = "".join(part for part in _exports.KINDS["report"].made(told_.run, 70 * NS))
    assert len(made) < 4_000_000
    assert sum(bar[3] for lane in data_of(made)["timeline"]["lanes"] for bar in lane["bars"]) == 100_000


REQUIRED = {
    "X": {"dur", "name", "ts"},
    "M": {"args", "name"},
    "i": {"s", "name", "ts"},
    "C": {"args", "name", "ts"},
    "b": {"cat", "id2", "name", "ts"},
    "e": {"cat", "id2", "name", "ts"},
}


def check_trace(events):
    """The rules of the Trace Event Format, and what Perfetto asks for besides: on each track, events are in or after one another."""
    tracks, open_ = {}, set()
    for event in events:
        assert event.keys() >= REQUIRED[event["ph"]] | {"pid", "tid"}
        assert all(isinstance(event[key], int) and 0 <= event[key] < 1 << 32 for key in ("pid", "tid"))
        assert isinstance(event["name"], str)
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0
        if event["ph"] == "X":
            tracks.setdefault((event["pid"], event["tid"]), []).append(
                (round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000))
            )
        elif event["ph"] == "M":
            assert event["name"] in {"process_name", "process_sort_index", "thread_name", "thread_sort_index"}
            (value,) = event["args"].values()
            assert isinstance(value, str if event["name"].endswith("_name") else int)
        elif event["ph"] == "i":
            assert event["s"] in {"g", "p", "t"}
        elif event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())
        else:
            key = (event["cat"], event["id2"]["local"], event["pid"])
            assert (event["ph"] == "b") == (key not in open_)
            open_ ^= {key}
    assert not open_
    for bars in tracks.values():
        within = []
        for begin, end in sorted(bars, key=lambda bar: (bar[0], -bar[1])):
            while within and within[-1] <= begin:
                within.pop()
            assert not within or end <= within[-1]
            within.append(end)


def test_a_trace_keeps_the_rules_of_its_format(kept):
    trace = json.loads(kept.made("trace"))
    assert trace["displayTimeUnit"] == "ms"
    check_trace(trace["traceEvents"])
    assert all(isinstance(value, str) for value in trace["otherData"].values())


def test_a_trace_has_a_track_for_each_worker(kept):
    events = json.loads(kept.made("trace"))["traceEvents"]
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    workers = {(pid, pid): f"worker {pid}" for pid in (10, 11, 12)}
    assert names == {(PROGRAM, PROGRAM): "program.py", (PROGRAM, THREAD): "thread 0"} | workers
    tasks = [event for event in events if event["ph"] == "X"]
    assert len(tasks) == 40 + 1 + 1 + 1
    one = next(event for event in tasks if event["args"]["task"] == 4)
    assert (one["name"], one["pid"], one["args"]["state"], one["args"]["arguments"]) == (kept.BAD, 10, "done", f"word='{SECRET}'")
    assert (one["ts"], one["dur"]) == (pytest.approx(610_000), pytest.approx(90_000))
    assert next(event["args"]["tasks"] for event in tasks if event["name"] == "quick") == 500
    (failed,) = [event for event in tasks if event["args"]["state"] == "failed"]
    assert failed["args"]["error"] == f"ValueError: {kept.BAD}"
    instants = {event["cat"]: (event["name"], event["pid"]) for event in events if event["ph"] == "i"}
    assert instants == {"error": (f"ValueError: {kept.BAD}", 11), "process": (f"killed {kept.BAD}", 12)}
    assert {event["name"] for event in events if event["ph"] == "C"} == {"memory", "processors"}
    assert [event["ph"] for event in events if event.get("cat") == "call"] == ["b", "e"]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 120)), max_size=150))
def test_bars_are_inside_one_another_or_apart(bars):
    bars = sorted((begin + length, begin) for begin, length in bars)
    found = list(_tracks.nested(Bar(begin, end, end - begin, 1, 0, 0, 0) for end, begin in bars))
    assert [bar.end for bar in found] == [end for end, _ in bars]
    assert all(begin <= bar.begin <= bar.end for bar, (_, begin) in zip(found, bars, strict=True))
    for one, other in itertools.combinations(found, 2):
        assert one.end <= other.begin or other.begin <= one.begin


def check_speedscope(file):
    """The published schema, of files with sampled profiles."""
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert file["profiles"]
    for frame in file["shared"]["frames"]:
        assert isinstance(frame["name"], str)
        assert isinstance(frame["file"], str)
        assert isinstance(frame["line"], int)
    for profile in file["profiles"]:
        assert profile.keys() == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert (profile["type"], profile["unit"]) == ("sampled", "nanoseconds")
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["endValue"] - profile["startValue"] == sum(profile["weights"])
        assert all(0 <= frame < len(file["shared"]["frames"]) for stack in profile["samples"] for frame in stack)


def test_stacks_for_speedscope_begin_with_the_outermost_function(kept):
    file = json.loads(kept.made("speedscope"))
    check_speedscope(file)
    names = [frame["name"] for frame in file["shared"]["frames"]]
    assert [profile["name"] for profile in file["profiles"]] == ["worker 10", "worker 11"]
    stacks = {tuple(names[frame] for frame in stack) for profile in file["profiles"] for stack in profile["samples"]}
    assert stacks == {(f"outer {kept.BAD}", "inner"), (f"outer {kept.BAD}",)}


def test_a_run_of_which_nothing_was_seen_can_be_kept():
    told_ = Told(workers=0)
    for name, kind in _exports.KINDS.items():
        made = "".join(part if isinstance(part, str) else part() for part in kind.made(told_.run, NS))
        if name == "speedscope":
            check_speedscope(json.loads(made))
        elif name == "trace":
            check_trace(json.loads(made)["traceEvents"])
        elif name == "report":
            assert len(data_of(made)["snapshots"]) == 1
        else:
            assert [json.loads(line)["event"] for line in made.splitlines()] == ["run", "process", "summary"]


def test_events_are_in_the_order_of_time(kept):
    events = [json.loads(line) for line in kept.made("log").splitlines()]
    assert all(earlier["at"] <= later["at"] for earlier, later in itertools.pairwise(events))
    assert (events[0]["event"], events[0]["format"], events[-1]["event"]) == ("run", 1, "summary")
    assert (events[-1]["done"], events[-1]["failed"], events[-1]["sent"]) == (41, 1, 1000)
    by_kind = {}
    for event in events:
        by_kind.setdefault(event["event"], []).append(event)
    assert sum(event["count"] for event in by_kind["tasks"]) == 40 + 500 + 1 + 1
    assert [event["state"] for event in by_kind["tasks"] if event["state"] != "done"] == ["failed"]
    assert [event["traceback"] for event in by_kind["error"]] == [f"Traceback\n{kept.BAD}"]
    assert [(event["task"], event["worker"], event["error"]) for event in by_kind["task failed"]] == [(40, 11, f"ValueError: {kept.BAD}")]
    assert [(event["pid"], event["died"]) for event in by_kind["process ended"]] == [(12, True)]
    assert [(event["tasks"], event["function"]) for event in by_kind["call"]] == [(42, kept.BAD)]
    assert len(by_kind["call ended"]) == 1


@pytest.mark.parametrize("name", _exports.KINDS)
def test_arguments_are_in_no_file_unless_they_were_told(name):
    assert SECRET in Kept(tasks=4).made("log")
    assert SECRET not in Kept(arguments=False, tasks=4).made(name)


def test_a_file_is_made_while_all_else_goes_on():
    def parts():
        for number in range(5):
            yield str(number) * 70_000
        yield lambda: "é" * 10

    async def looked():
        ticks = []

        async def tick():
            while True:
                ticks.append(len(pieces))
                await asyncio.sleep(0)

        pieces = []
        ticking = asyncio.create_task(tick())
        async for piece in _saving.in_turn(parts()):
            pieces.append(piece)
        ticking.cancel()
        return pieces, ticks

    pieces, ticks = asyncio.run(looked())
    assert b"".join(pieces).decode() == "".join(str(number) * 70_000 for number in range(5)) + "é" * 10
    assert set(range(1, 5)) <= set(ticks)


# ---------------------------------------------------------------- real programs

WORK = """
import os, signal, time
import manyhands

def work(word, n):
    time.sleep(0.15)
    if n == 3:
        raise ValueError("</script>")
    return n

def run():
    word = "xyz" + "zy"
    list(manyhands.imap(work, [word] * 8, range(8), workers=2, errors="return"))
"""


@pytest.mark.parametrize("arguments", [False, True])
def test_arguments_of_real_tasks_are_in_files_only_if_allowed(tmp_path, arguments):
    async def ended(program):
        await program.end()
        run = program.run
        return {
            name: "".join(part if isinstance(part, str) else part() for part in kind.made(run, run.ended))
            for name, kind in _exports.KINDS.items()
        }

    made = observed.watching(tmp_path, f"{WORK}\nrun()", ended, arguments=arguments)
    found = {name for name, text in made.items() if SECRET in text} - {"report"}  # which has those of tasks that ran when it was looked
    assert found == ({"trace", "log"} if arguments else set())
    assert arguments or SECRET not in made["report"]
    check_trace(json.loads(made["trace"])["traceEvents"])
    check_speedscope(json.loads(made["speedscope"]))


def test_files_are_there_when_the_program_has_ended_and_can_be_had_before(tmp_path):
    paths = [tmp_path / f"run{kind.ending}" for kind in _exports.KINDS.values()]
    code = f"""
    {WORK.replace(chr(10), chr(10) + "    ")}
    manyhands.watch(browser=False, name="kept", save={list(map(str, paths))!r})
    run()
    signal.pause()
    """
    with scripts.started(code) as process:
        page = pages.announced(process)
        run = page.until(lambda run: run if run["done"] == 8 else None)
        charts = page.get(f"/history?run={run['id']}").json()
        assert charts.keys() == {"times", "rate", "working", "cpu", "memory"}
        assert len({len(values) for values in charts.values()}) == 1
        assert len(charts["times"]) > 2
        before = tmp_path / "before.html"
        assert _commands.ask("save", {"run": run["id"], "path": str(before)}) == {"why": ""}
        *_, last = replayed(data_of(before.read_text(encoding="utf-8"))["snapshots"])
        assert (last["state"], last["done"], last["failed"]) == ("running", 8, 1)
        assert page.get(f"/report?run={run['id']}").body.startswith(b"<!doctype html>")
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert f"this run is kept in {', '.join(map(str, paths))}" in said
    assert sorted(tmp_path.iterdir()) == sorted([*paths, before])
    for path in (*paths, before):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    *_, last = replayed(data_of(paths[0].read_text(encoding="utf-8"))["snapshots"])
    assert (last["state"], last["name"]) == ("interrupted", "kept")


def test_the_command_keeps_a_run(tmp_path, capsys):
    def command(*arguments):
        status = app.main(["watch", *arguments], standalone_mode=False)
        return status, capsys.readouterr()

    path = tmp_path / "run.jsonl"
    assert command("--save", str(path))[0] == 1
    with manyhands.watch(browser=False, name="mine"):
        status, said = command("--save", str(path), "mine")
        assert (status, said.out) == (0, f"{path}\n")
        assert json.loads(path.read_text().splitlines()[0])["name"] == "mine"
        for wrong, why in {
            ("--save", "run.json"): "--save is the path of a file whose name ends in .html, .trace.json, .speedscope.json or .jsonl",
            ("--save", str(path), "yours"): "no program of the name or id 'yours' is being watched; there are: mine",
            ("mine",): "--save FILE keeps it",
        }.items():
            with pytest.raises(Exception, match=re.escape(why)):
                command(*wrong)
        path.unlink()
        path.symlink_to("/dev/full")
        assert command("--save", str(path))[0] == 0
        assert not path.is_symlink()  # it is replaced, not followed


def test_what_was_sent_before_does_not_have_to_be_moved():
    numpy = pytest.importorskip("numpy")
    seen = []

    def follow(recording, ask, total):
        return lambda counts: seen.append(counts.ledger)

    numbers = numpy.zeros(200_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_watched, "follow", follow)
        manyhands.map(len, [numbers] * 10, workers=2)
        manyhands.map(len, [numbers + number for number in range(4)], workers=2)
    same, _ = seen
    # What one worker was sent and another did sooner has been sent twice, and moved once.
    assert [round((ledger.sent - ledger.spared) / numbers.nbytes) for ledger in seen] == [1, 4]
    assert same.spared >= 9 * numbers.nbytes
