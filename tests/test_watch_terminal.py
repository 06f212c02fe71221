"""A run in the terminal: pictures of it, lines that stay at the bottom, and what is said when it has ended."""

from __future__ import annotations

import os
import pty
import random
import signal
import socket
import subprocess
import sys
import time
import types

import pages
import pytest
import scripts
import terminals
from rich.cells import cell_len
from test_watch_model import Told

import manyhands
from manyhands._engine import _watched
from manyhands._probe import _segment as told
from manyhands.watch import _notebook, _painter, _panel, _sayings, _showing, _terminal, _words

FIRST = 1000  # the process id of the first worker


def a_run(workers=2, *, lost=0, errors=0, at=20.0):
    """The snapshot of a run in which much goes on: every worker has done ten tasks of a hundred, and is at another."""
    run = Told(workers=0)
    pids = range(FIRST, FIRST + workers + lost)
    for pid in pids:
        run.run.greet({"pid": pid, "role": "worker", "name": f"worker {pid - FIRST}"}, 0)
    run.begin(total=100 * workers, workers=workers, function="solve")
    for pid in pids:
        for index in range(10):
            run.done(index + 1.0, pid, 0.9, first=10 * (pid - FIRST) + index, function="solve")
        run.running(10.0, pid, 1000 + pid)
        process = run.run.processes[pid]
        process.memory = 60_000_000
        process.hear({"code": 1, "file": "/home/me/model.py", "name": "step", "line": 80})
        process.hear({"stack": 1, "frames": [[1, 88]]})
        process.read([told.Record(told.SAMPLE, int(10e9), pid, 1, 0, 0, 0)])
    run.progress(10.0, 10 * workers, failed=errors, sent=10_000_000)
    for index in range(errors):
        key = f"ValueError: kind {'abcdefgh'[index]}"
        run.record(told.TASK_FAILED, 10 + index, 1, index << 16, run.text(key), FIRST << 32 | run.text("solve"), 0)
    for pid in list(pids)[workers:]:
        run.run.processes[pid].end(int(12e9), "killed by SIGKILL")
    return run.snapshot(at)


def shown(run, width=100, height=30):
    return "\n".join(_terminal.printed(_terminal.picture(run, width, height), width, colours=False))


# ---------------------------------------------------------------- pictures


def test_a_picture_tells_how_far_it_is_what_workers_do_and_what_went_wrong():
    picture = shown(a_run(2, lost=1, errors=2), width=160)
    head, numbers, _, program, first, second, lost, slowest, *errors = picture.split("\n")
    assert head.startswith("program.py ━")
    assert head.endswith(" 10% 20 s")
    assert numbers.startswith("20/200 tasks · ")
    assert "2 failed" in numbers
    assert "2/2 workers busy" in numbers
    assert "10 MB moved" in numbers
    assert "watching 0%" in numbers
    assert program.startswith("program   ")
    assert first.startswith("worker 0  busy")
    assert "work #2000 10 s" in first
    assert "60 MB" in first
    assert "model.py:88 in step" in first
    assert second.startswith("worker 1  busy")
    assert lost.split() == ["worker", "2", "lost", "killed", "by", "SIGKILL"]
    assert slowest.startswith("slowest  solve #")
    assert errors == ["errors   ValueError: kind b (task 1)", "         ValueError: kind a (task 0)"]


@pytest.mark.parametrize("height", [1, 2, 3, 5, 12, 50])
@pytest.mark.parametrize("width", [30, 80, 200])
@pytest.mark.parametrize("workers", [0, 2, 64])
def test_a_picture_has_the_room_that_there_is(workers, width, height):
    run = a_run(workers, lost=workers // 2, errors=5)
    lines = _terminal.picture(run, width, height)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    assert all(cell_len(line) <= width for line in _terminal.printed(lines, width, colours=False))
    assert len(_terminal.screen([run] * 3, width, height)) <= height


def test_workers_that_have_no_room_are_signs_in_one_line():
    lines = shown(a_run(64), width=80, height=12).split("\n")
    (together,) = [line for line in lines if "more" in line]
    rows = [line for line in lines if line.startswith("worker ")]
    assert len(rows) + int(together.split()[0]) == 64
    assert len(together.split()[2]) == 64 - len(rows)


def test_the_remedy_is_seen_in_a_narrow_terminal_as_well():
    run = a_run(2)
    run["verdict"] = {"kind": "parent", "text": "workers are idle 22%: " + "the parent is the bottleneck " * 3, "remedy": "use share()"}
    assert "use share()" in shown(run, width=80, height=12)


def test_numbers_that_nobody_knows_are_left_out():
    run = Told()
    assert "Waiting for the first task to end." in shown(run.snapshot(0.1))
    run.begin(total=None)
    run.progress(1.0, 5)
    picture = shown(run.snapshot(2.0))
    assert "5 tasks" in picture
    assert "left" not in picture
    assert "10%" not in picture


def test_what_a_program_says_cannot_command_the_terminal():
    run = a_run(2, errors=1)
    bad = "\x1b[2J\x9b31m\x07\nx\u202e"
    run["name"] += bad
    run["errors"][0]["message"] = run["lanes"][1]["name"] = run["lanes"][1]["task"]["arguments"] = bad
    run["how"] = run["slowest"][0]["function"] = run["lanes"][1]["stack"][0][0] = bad
    texts = [shown(run), _words.as_text(_words.summary(run)), *_sayings.Sayings().about({**run, "state": "done"}, 0.0)]
    assert all(letter.isprintable() or letter == "\n" for text in texts for letter in text)


def test_colours_are_those_of_the_terminal_and_can_be_left_out():
    lines = _terminal.picture(a_run(2, errors=1), 80, 20)
    coloured = "".join(_terminal.printed(lines, 80, colours=True))
    assert "\x1b[32m" in coloured
    assert "38;" not in coloured  # none that is fixed, whatever the ground is
    assert "\x1b" not in "".join(_terminal.printed(lines, 80, colours=False))
    assert "".join(_terminal.printed(lines, 80, colours=False, is_ascii=True)).isascii()


def test_a_snapshot_knows_the_tasks_that_took_longest():
    run = Told()
    run.begin()
    lengths = [random.Random(1).uniform(0.01, 2) for _ in range(100)]
    for index, length in enumerate(lengths):
        run.done(10.0 + index, 10 + index % 2, length, first=index)
    run.done(200.0, 10, 0.0005, first=200)
    run.done(201.0, 10, 50.0, first=201, count=1000)  # each of them was quick
    slowest = run.snapshot(300.0)["slowest"]
    assert [each["number"] for each in slowest[:3]] == sorted(range(100), key=lambda index: -lengths[index])[:3]
    assert [each["took"] for each in slowest] == sorted((each["took"] for each in slowest), reverse=True)


# ---------------------------------------------------------------- lines at the bottom


@pytest.mark.parametrize("before", [0, 5, 30])
def test_what_is_printed_goes_on_above_the_panel(before):
    screen, panel = terminals.Screen(40, 12), _panel.Panel()
    printed = [f"line {index}" for index in range(before + 20)]

    def say(lines):
        screen.feed("".join(f"{line}\r\n" for line in lines))

    say(printed[:before])
    screen.feed("op")
    screen.feed(panel.shown(["one", "two"], 40, 12))
    screen.feed("en\r\n")
    say(printed[before : before + 10])
    screen.feed(panel.shown(["one", "two", "three"], 40, 12))
    assert screen.lines[-3:] == ["one", "two", "three"]
    say(printed[before + 10 :])
    screen.feed(panel.shown(["1"], 40, 12))
    assert screen.lines[-3:] == ["1", "", ""]  # nothing moves
    screen.feed(panel.closed())
    assert screen.is_whole
    assert screen.text.split("\n") == [*printed[:before], "open", *printed[before:]]
    assert panel.closed() == ""


@pytest.mark.parametrize("size", [(60, 20), (40, 9), (30, 30)])
def test_a_panel_follows_the_size_of_the_terminal(size):
    screen, panel = terminals.Screen(40, 12), _panel.Panel()
    screen.feed("".join(f"line {index}\r\n" for index in range(15)))
    screen.feed(panel.shown(["one", "two"], 40, 12))
    screen.resize(*size)
    screen.feed(panel.shown(["one", "two"], *size))
    assert screen.lines[-2:] == ["one", "two"]
    assert screen.text.count("one") == 1
    screen.feed("next\r\n" + panel.closed())
    assert screen.text.split("\n") == [*(f"line {index}" for index in range(15)), "next"]


@pytest.mark.parametrize("begun", ["", "x", "x" * 20])
def test_a_line_that_is_open_is_left_alone(begun):
    screen = terminals.Screen(20, 5)
    screen.feed(f"{begun}{_panel.new_line(20)}summary")
    assert screen.text.split("\n") == [begun, "summary"][not begun :]


# ---------------------------------------------------------------- plain lines


def said(sayings, run, now, **other):
    return [line.removeprefix("manyhands: program.py: ") for line in sayings.about({**run, **other}, now)]


def test_lines_are_said_when_a_tenth_has_been_done_or_some_time_has_gone():
    sayings, run = _sayings.Sayings(), a_run(2)
    times = [
        second for second in range(200) if said(sayings, run, float(second), done=min(100, second), total=100, errors=[], state="running")
    ]
    assert times == list(range(10, 101, 10)) + list(range(110, 200, 10))
    sayings = _sayings.Sayings()
    assert sum(len(said(sayings, run, now / 10, done=now, total=100, errors=[])) for now in range(100)) <= 5  # no faster than one reads


def test_an_error_is_said_once_for_all_that_are_like_it_and_a_lost_worker():
    sayings, run = _sayings.Sayings(), a_run(2, lost=1, errors=3)
    first = said(sayings, run, 0.0)
    assert first == [
        "ValueError: kind a (task 0)",
        "ValueError: kind b (task 1)",
        "and 1 other error",
        "worker 2 is lost: killed by SIGKILL",
    ]
    assert said(sayings, run, 1.0) == []


def test_nothing_is_said_after_the_end():
    sayings, run = _sayings.Sayings(), a_run(2)
    assert sayings.about({**run, "state": "done"}, 0.0)[0].startswith("manyhands: program.py done after 20 s: ")
    assert sayings.about({**run, "state": "done"}, 50.0) == []


# ---------------------------------------------------------------- summaries


def summed(run, **other):
    return {line.kind: line.text for line in _words.summary({**run, **other})}


def test_a_summary_tells_what_one_wants_to_know():
    lines = summed(a_run(2, lost=1, errors=1), state="failed", how="ValueError: no", cached=3, saved=4.0)
    assert lines["head"].startswith("program.py failed after 20 s (ValueError: no): 20/200 tasks, 1 failed, 3 cached (saved 4 s), workers ")
    assert lines["failures"] == "ValueError: kind a (task 0)"
    assert lines["lost"] == "1 worker lost: killed by SIGKILL"
    assert lines["slowest"].startswith("slowest: solve #")
    assert lines["cost"] == "watching took 0% of the time"


@pytest.mark.parametrize(
    ("count", "attempts", "text"),
    [
        (1, 1, "ValueError: no (tasks 3, 17)"),
        (2, 2, "2 × ValueError: no (tasks 3, 17)"),
        (2, 3, "2 × ValueError: no (tasks 3, 17; 3 attempts)"),
        (0, 2, "ValueError: no (tasks 3, 17; 2 attempts, tried again)"),
        (0, 1, "ValueError: no (tasks 3, 17; tried again)"),
    ],
)
def test_tasks_that_have_failed_and_attempts_are_told_apart(count, attempts, text):
    assert _words.failures({"kind": "ValueError", "message": "no", "tasks": [17, 3], "count": count, "attempts": attempts}) == text


@pytest.mark.parametrize(
    ("kinds", "last"), [(3, "ValueError: kind c (task 2)"), (4, "ValueError: kind d (task 3)"), (6, "and 3 other failures, of 3 kinds")]
)
def test_failures_of_many_kinds(kinds, last):
    failures = [line.text for line in _words.summary(a_run(2, errors=kinds)) if line.kind == "failures"]
    assert (failures[0], failures[-1]) == ("ValueError: kind a (task 0)", last)


def test_the_verdict_is_in_it_unless_the_run_was_cut_off():
    verdict = {"kind": "few", "text": "there were only 3 tasks", "remedy": "divide the work"}
    assert summed(a_run(2), verdict=verdict, state="done")["advice"] == "There were only 3 tasks; divide the work"
    assert "advice" not in summed(a_run(2), verdict=verdict, state="interrupted")


def test_workers_that_fell_with_their_program_are_no_losses():
    assert "lost" not in summed(a_run(2, lost=1, at=12.0), state="died", how="killed by SIGKILL")


def test_a_short_summary_is_for_who_has_not_asked():
    run = {**a_run(2, errors=1), "state": "done"}
    assert {line.kind for line in _words.summary(run, short=True)} <= {"head", "good", "advice", "failures", "lost"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (3.44, "3.4 s"), (9.97, "10 s"), (125, "2 min 05 s"), (3599.7, "1 h 00 min"), (3780, "1 h 03 min")],
)
def test_times_are_said_as_quietly_as_they_go_on(seconds, text):
    assert _words.clock(seconds) == text


# ---------------------------------------------------------------- real programs

WATCHED = """
import os, sys, time
import manyhands
def work(x):
    print("did", x)
    return x
def rest(x):
    time.sleep(60)
manyhands.watch(terminal=True, browser=False, name="the run")
print("before")
manyhands.map(work, range(3), workers=1)
"""


def test_a_run_is_shown_below_what_the_program_prints_and_ctrl_c_ends_both():
    with terminals.started(WATCHED + "os.system('echo of a shell')\nmanyhands.map(rest, [1], workers=1)") as terminal:
        terminal.until(lambda screen: "rest #0" in "".join(screen.lines[-3:]) and not screen.is_whole)
        begin = time.monotonic()
        terminal.press("\x03")
        assert terminal.end() == 128 + signal.SIGINT
        assert time.monotonic() - begin < 3
        screen = terminal.screen
    assert screen.is_whole
    lines = screen.text.split("\n")
    assert [line for line in lines if line.startswith(("before", "did", "of a"))] == ["before", "did 0", "did 1", "did 2", "of a shell"]
    assert "rest #0" not in screen.text
    (summary,) = [line for line in lines if line.startswith("manyhands: the run interrupted after ")]
    assert lines.index("KeyboardInterrupt") < lines.index(summary)  # and before the shell goes on
    assert summary in screen.text.partition(terminals.ENDED)[0]


def test_a_terminal_is_put_in_order_when_its_program_is_killed():
    with terminals.started(WATCHED + "time.sleep(60)") as terminal:
        terminal.until(lambda screen: not screen.is_whole)
        terminal.kill()
        terminal.until(lambda screen: "manyhands: the run died after" in screen.text and screen.is_whole)
        assert terminal.end() == 128 + signal.SIGKILL


def test_without_a_terminal_there_are_lines_and_the_summary_in_the_end():
    done = scripts.run(WATCHED)
    assert done.returncode == 0
    assert done.stdout == "before\ndid 0\ndid 1\ndid 2\n"
    assert "manyhands: the run done after " in done.stderr
    assert "\x1b" not in done.stderr


def top(*arguments):
    command = [sys.executable, "-m", "manyhands", "top", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=40, env=scripts.environment(), check=False)


def test_a_terminal_of_unknown_size_has_the_summary():
    ours, theirs = pty.openpty()  # its size is 0 x 0
    try:
        _painter.InTerminal(theirs).show({**a_run(2), "state": "done"})
        assert b" done after 20 s" in os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(theirs)


def test_top_shows_the_runs_of_this_user():
    assert top("--once").stderr.startswith("No program of yours is being watched")
    assert top().returncode == 1
    with manyhands.watch(browser=False, name="the run") as watching:
        pages.Page(watching.url).enter().until(pages.state("running"))
        once = top("--once")
        with terminals.started("-m", "manyhands", "top") as terminal:
            terminal.until(lambda screen: "q: quit" in screen.lines[-1] and "the run" in screen.lines[0])
            watching.stop()
            terminal.until(lambda screen: "the run done after" in screen.lines[0])
            terminal.press("q")
            assert terminal.end() == 0
    assert once.returncode == 0
    assert once.stdout.startswith("the run ─")
    assert "program  " in once.stdout.split("\n")[-2]


def test_who_sits_at_a_terminal_is_told_shortly_how_it_was():
    code = "import manyhands; manyhands.watch(browser=False, name='the run'); manyhands.map(abs, range(3), workers=1)"
    with terminals.started(code) as terminal:
        assert terminal.end() == 0
        assert "3 tasks" in terminal.screen.text.partition("manyhands: the run done after ")[2]
    assert "done after" not in scripts.run(code).stderr


def test_a_terminal_whose_painter_was_killed_is_put_in_order_by_the_program():
    master, slave = pty.openpty()
    heard, told_ = os.pipe()
    os.close(told_)  # as the kernel does it for one that is killed
    showing = _showing.Showing.__new__(_showing.Showing)
    showing._out, showing._heard = slave, heard
    screen, panel = terminals.Screen(), _panel.Panel()
    screen.feed("before\r\n" + panel.shown(["one", "two"], 80, 24))
    try:
        showing.wait()
        screen.feed(os.read(master, 1000).decode())
    finally:
        os.close(master)
        os.close(slave)
    assert screen.is_whole
    assert screen.text == "before"


def test_who_paints_does_not_wait_for_an_observer_that_hangs_when_the_program_has_ended(monkeypatch):
    monkeypatch.setattr(_painter, "_ENDS_WITHIN", 0.01)
    look, observer = socket.socketpair()
    heard, told_ = os.pipe()
    try:
        observer.send(b"news")
        assert _painter._has_come(look, told_)
        look.recv(100)
        os.close(heard)
        assert not _painter._has_come(look, told_)
    finally:
        os.close(told_)
        look.close()
        observer.close()


# ---------------------------------------------------------------- notebooks


class Notebook:
    """What a kernel has for its cells. ``shown``: what has been shown below the present one."""

    kernel = object()

    def __init__(self):
        self.execution_count = 0
        self.display_pub = self

    def publish(self, data):
        self.shown.append(data)

    def next_cell(self):
        self.execution_count += 1
        self.shown = []
        return self


@pytest.fixture
def notebook(monkeypatch):
    found = Notebook()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: found))
    monkeypatch.setattr(_notebook._State, "shown", 0)
    return found


def test_the_frame_is_below_the_cell_that_begins_to_watch_wherever_that_is_done_and_once(notebook, capfd):
    cell = notebook.next_cell()
    watching = manyhands.watch()
    manyhands.map(abs, range(3), workers=1)
    (frame,) = cell.shown
    assert frame["text/html"].startswith("<iframe ")
    assert frame["text/plain"] == repr(watching)
    watching._ipython_display_()  # it is the value of the cell as well
    assert len(cell.shown) == 1
    cell = notebook.next_cell()
    watching._ipython_display_()
    assert cell.shown == [frame]
    assert manyhands.watch() is not None
    assert len(cell.shown) == 1
    cell = notebook.next_cell()
    manyhands.watch()
    assert cell.shown == [frame]
    assert "http" not in capfd.readouterr().err


def test_an_option_shows_the_frame_as_well(notebook, monkeypatch):
    monkeypatch.setattr(_watched, "_by_option", False)
    cell = notebook.next_cell()
    manyhands.map(abs, range(3), workers=1, watch=True)
    assert [list(data) for data in cell.shown] == [["text/html", "text/plain"]]
    manyhands.map(abs, range(3), workers=1, watch=True)
    assert len(cell.shown) == 1


@pytest.mark.parametrize(("session", "name"), [("folder/my run.ipynb", "my run.ipynb"), (None, "notebook")])
def test_a_run_is_called_as_its_notebook(session, name, notebook, monkeypatch):
    if session is None:
        monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    else:
        monkeypatch.setenv("JPY_SESSION_NAME", session)
    assert _notebook.name() == name
    monkeypatch.delitem(sys.modules, "IPython")
    assert _notebook.name() == ""


def test_elsewhere_nothing_is_shown_in_a_frame():
    with manyhands.watch(browser=False) as watching:
        with pytest.raises(RuntimeError, match="no notebook"):
            watching.show()
        with pytest.raises(NotImplementedError):  # which has IPython show its repr
            watching._ipython_display_()
