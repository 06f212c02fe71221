"""The command line, as a user runs it: in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time

import click
import psutil
import pytest

import manyhands
from manyhands.cli import _journal, _run, _stdlib, _streams, _task
from manyhands.cli._app import app

TASKS = '''
import math, os, pathlib, sys

def upper(text):
    return text.upper()

def log(text):
    """Note that it ran; at "stop" tell so and wait until somebody writes to the fifo, if there is one."""
    with open("log", "a") as file:
        file.write(text + "\\n")
    if text == "stop" and os.path.exists("fifo"):
        open("reached", "w").close()
        open("fifo").read()
    return text * 2

def picky(text):
    if text == "bad":
        raise ValueError("not good")
    if text == "die":
        os._exit(7)
    if text == "hang":
        open("fifo").read()
    return text

def flaky(text):
    with open("tries", "a") as file:
        file.write("x")
    if os.path.getsize("tries") < 3:
        raise OSError("not yet")
    return text

def refuse(value):
    raise ValueError("no")

def noisy(text):
    print("printed by", text)
    os.system("echo echoed")
    return sys.stdin.read()

def odd(text):
    return {"set": [1, {2}], "nan": [math.nan], "loop": loop, "key": {(1, 2): 3}}[text]

def size(path):
    return pathlib.Path(path).stat().st_size

def identity(value):
    return value

class Steps:
    @staticmethod
    def first(text):
        return text[:1]

loop = []
loop.append(loop)
value = 5
'''


@pytest.fixture
def folder(tmp_path):
    """A folder with ``tasks.py`` in it."""
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("MANYHANDS_")}


def run(folder, *args, stdin="", **more):
    """``manyhands args`` in ``folder``, to its end."""
    command = [sys.executable, "-m", "manyhands", *map(str, args)]
    return subprocess.run(command, input=stdin, cwd=folder, capture_output=True, text=True, timeout=50, env=environment() | more)


def start(folder, *args, **more):
    """The same under way, with pipes. Its Ctrl-C works even if that of the tests does not (they may run in the background)."""
    code = "import signal, sys; signal.signal(2, signal.default_int_handler); from manyhands.cli import main; sys.exit(main())"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], cwd=folder, env=environment(), **pipes)


def finish(process):
    """Its output to the end, and its exit status."""
    with process:
        out, err = process.communicate(timeout=50)
    return process.returncode, out.decode(), err.decode()


def family(process):
    """The process and all that it has started."""
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def assert_gone(processes):
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def results(text):
    return [line["result"] for line in lines(text)]


def ran(folder):
    """What ran, from the log of ``tasks.log``."""
    return (folder / "log").read_text().split()


def ran_lines(folder):
    return (folder / "log").read_text().splitlines()


def journalled(path):
    """Indices that a journal holds."""
    return [json.loads(line)["index"] for line in path.read_text().splitlines()[1:]]


# ---------------------------------------------------------------- map: what goes in and out


def test_lines_come_out_in_order(folder):
    done = run(folder, "map", "tasks:upper", stdin="a\nb\n\nä\r\nlast")
    assert done.returncode == 0
    assert lines(done.stdout) == [
        {"index": 0, "input": "a", "result": "A"},
        {"index": 1, "input": "b", "result": "B"},
        {"index": 2, "input": "", "result": ""},
        {"index": 3, "input": "ä", "result": "Ä"},
        {"index": 4, "input": "last", "result": "LAST"},
    ]
    assert re.fullmatch(r"manyhands: 5 tasks, 0 failed, \d+\.\d s, [\d.,]+ tasks/s\n", done.stderr)


def test_many_lines(folder):
    count = 30_000
    done = run(folder, "map", "tasks:upper", stdin="".join(f"x{i}\n" for i in range(count)))
    assert results(done.stdout) == [f"X{i}" for i in range(count)]
    assert f"{count:,} tasks" in done.stderr


def test_no_input_at_all(folder):
    done = run(folder, "map", "tasks:upper")
    assert (done.returncode, done.stdout) == (0, "")
    assert "0 tasks" in done.stderr


def test_json_lines(folder):
    done = run(folder, "map", "--json", "tasks:identity", stdin='1\n\n {"a": [null, 2.5]} \n"é"\n')
    assert lines(done.stdout) == [
        {"index": 0, "input": 1, "result": 1},
        {"index": 1, "input": {"a": [None, 2.5]}, "result": {"a": [None, 2.5]}},
        {"index": 2, "input": "é", "result": "é"},
    ]


def test_a_line_that_is_not_json_fails_alone(folder):
    done = run(folder, "map", "--json", "tasks:identity", stdin="1\n{oops\nNaN\n4\n")
    out = lines(done.stdout)
    assert done.returncode == 1
    assert [line.get("result") for line in out] == [1, None, None, 4]
    assert out[1]["input"] == "{oops"
    assert out[1]["error"]["type"] == "InputNotJson"
    assert "the line is not JSON" in out[1]["error"]["message"]
    assert "NaN" in out[2]["error"]["message"]


def test_json_and_each_file_exclude_each_other(folder):
    done = run(folder, "map", "--json", "--each-file", "tasks:size")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--json and --each-file exclude each other" in done.stderr


def test_each_file(folder):
    (folder / "one.txt").write_text("1")
    (folder / "two.txt").write_text("22")
    done = run(folder, "map", "--each-file", "tasks:size", "two.txt", "one.txt", "-", stdin="two.txt\n\n")
    assert [(line["input"], line["result"]) for line in lines(done.stdout)] == [("two.txt", 2), ("one.txt", 1), ("two.txt", 2)]


def test_files_and_standard_input_in_the_order_given(folder):
    (folder / "one.txt").write_text("a\nb")
    done = run(folder, "map", "tasks:upper", "one.txt", "-", "one.txt", stdin="c\n")
    assert results(done.stdout) == ["A", "B", "C", "A", "B"]


def test_bytes_that_are_not_utf8_come_through(folder):
    (folder / "raw").write_bytes(b"ok \xff\n")
    done = run(folder, "map", "tasks:identity", "raw")
    assert results(done.stdout) == ["ok \udcff"]


def test_unordered_lines_tell_their_index(folder):
    done = run(folder, "map", "tasks:upper", "--unordered", stdin="a\nb\nc\n")
    assert sorted((line["index"], line["result"]) for line in lines(done.stdout)) == [(0, "A"), (1, "B"), (2, "C")]


def test_without_input(folder):
    done = run(folder, "map", "tasks:picky", "--no-input", stdin="a\nbad\n")
    first, second = lines(done.stdout)
    assert first == {"index": 0, "result": "a"}
    assert "input" not in second
    assert second["error"]["message"] == "not good"


def test_what_tasks_print_is_not_among_the_results(folder):
    done = run(folder, "map", "tasks:noisy", stdin="a\n")
    assert lines(done.stdout) == [{"index": 0, "input": "a", "result": ""}]
    assert "printed by a" in done.stderr
    assert "echoed" in done.stderr


@pytest.mark.parametrize("backend", ["processes", "threads", "sequential"])
def test_backends(folder, backend):
    done = run(folder, "map", "tasks:picky", "--backend", backend, "-j", 2, "--chunk", 2, stdin="a\nbad\nb\n")
    out = lines(done.stdout)
    assert [line.get("result") for line in out] == ["a", None, "b"]
    assert out[1]["error"]["type"] == "ValueError"
    assert "in picky" in out[1]["error"]["traceback"]
    assert done.returncode == 1


@pytest.mark.parametrize("name", ["tasks.py:upper", "./tasks.py:upper", "tasks:upper", "builtins:str.upper"])
def test_ways_to_name_a_function(folder, name):
    assert results(run(folder, "map", name, stdin="a\n").stdout) == ["A"]


def test_a_file_elsewhere_and_a_method(folder, tmp_path_factory):
    done = run(tmp_path_factory.mktemp("elsewhere"), "map", f"{folder}/tasks.py:Steps.first", stdin="abc\n")
    assert results(done.stdout) == ["a"]


# ---------------------------------------------------------------- map: failures


def test_failures_are_lines_and_the_rest_goes_on(folder):
    os.mkfifo(folder / "fifo")
    done = run(folder, "map", "tasks:picky", "--timeout", "0.3", stdin="a\nbad\ndie\nhang\nb\n")
    out = lines(done.stdout)
    assert done.returncode == 1
    assert [line["index"] for line in out] == [0, 1, 2, 3, 4]
    assert [line.get("error", {}).get("type") for line in out] == [None, "ValueError", "WorkerDied", "TaskTimeout", None]
    assert "task 2: picky('die')" in out[2]["error"]["message"]
    assert "manyhands: task 1 ('bad') failed: ValueError: not good" in done.stderr
    assert "5 tasks, 3 failed" in done.stderr


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_failures_show_no_frame_of_ours(folder, backend):
    done = run(folder, "map", "tasks:picky", "--backend", backend, stdin="bad\n")
    (line,) = lines(done.stdout)
    trace = line["error"]["traceback"]
    assert trace.count('  File "') == 1
    assert "in picky\n    raise ValueError" in trace
    assert "cli" not in done.stdout
    done = run(folder, "map", "builtins:int", "--backend", backend, stdin="bad\n")
    assert "traceback" not in lines(done.stdout)[0]["error"]  # no frame at all
    done = run(folder, "map", "tasks:picky", "--backend", backend, "--errors", "raise", stdin="bad\n")
    assert "in picky" in done.stderr
    assert "_task.py" not in done.stderr


def test_the_stack_of_a_task_that_was_stopped_shows_no_frame_of_ours(folder):
    os.mkfifo(folder / "fifo")
    done = run(folder, "map", "tasks:picky", "--timeout", "0.2", stdin="hang\n")
    message = lines(done.stdout)[0]["error"]["message"]
    assert re.fullmatch(
        r"task 0: picky\('hang'\) ran longer than timeout=0.2 s; worker \d+ was stopped and replaced. Its Python stack then:\n"
        r"  Stack \(most recent call first\):\n    File .*tasks.py\", line \d+ in picky",
        message,
    )
    done = run(folder, "map", "time:sleep", "--json", "--timeout", "0.2", stdin="60\n")
    message = lines(done.stdout)[0]["error"]["message"]
    assert re.fullmatch(r"task 0: sleep\(60\) ran longer than timeout=0.2 s; worker \d+ was stopped and replaced.", message)


@pytest.mark.parametrize(
    ("text", "shown"), [("5", "5"), ('"it\'s"', '"it\'s"'), ('{"a": [1]}', "{'a': [1]}"), (f'"{"x" * 500}"', f"'{'x' * 12}...{'x' * 13}'")]
)
def test_with_json_messages_show_the_value(folder, text, shown):
    done = run(folder, "map", "--json", "tasks:refuse", stdin=f"{text}\n")
    (line,) = lines(done.stdout)
    assert re.fullmatch(r"raised by task 0: refuse\((.*)\) in worker \d+", line["error"]["notes"][0])[1] == shown


def test_without_json_messages_show_the_text(folder):
    done = run(folder, "map", "tasks:refuse", stdin="5\n")
    assert "refuse('5') in worker" in lines(done.stdout)[0]["error"]["notes"][0]


def test_numbers_beyond_all_use(folder):
    done = run(folder, "map", "tasks:upper", "--timeout", "1e300", "--backoff", "1e300", "--retries", 5, stdin="a\n")
    assert (done.returncode, results(done.stdout)) == (0, ["A"])


def test_errors_skip(folder):
    done = run(folder, "map", "tasks:picky", "--errors", "skip", stdin="a\nbad\nb\n")
    assert done.returncode == 1
    assert results(done.stdout) == ["a", "b"]
    assert "task 1 ('bad') failed" in done.stderr


def test_errors_raise_stops(folder):
    os.mkfifo(folder / "fifo")
    done = run(folder, "map", "tasks:picky", "--errors", "raise", "-j", 1, "--chunk", 1, stdin="a\nbad\nhang\n")
    assert done.returncode == 1
    assert results(done.stdout) == ["a"]
    assert "in picky" in done.stderr  # the traceback
    assert "stopped after the first failure; 2 tasks, 1 failed" in done.stderr


def test_retries(folder):
    done = run(folder, "map", "tasks:flaky", "--retries", 2, stdin="a\n")
    assert (done.returncode, results(done.stdout)) == (0, ["a"])


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("set", "result[1] is a set"),
        ("nan", "result[0] is nan"),
        ("loop", "result[0] contains itself"),
        ("key", "result has the key (1, 2), which is a tuple"),
    ],
)
def test_a_result_that_is_not_json_is_that_tasks_failure(folder, what, said):
    done = run(folder, "map", "tasks:odd", stdin=f"{what}\n")
    (line,) = lines(done.stdout)
    assert done.returncode == 1
    assert line["error"]["type"] == "ResultNotJson"
    assert f"cannot be written as JSON: {said}; return" in line["error"]["message"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["tasks"], "it is MODULE:FUNCTION"),
        (["nothere:f"], "there is no module 'nothere'"),
        (["nothere.py:f"], "there is no file 'nothere.py'"),
        (["tasks:uper"], "'tasks' has no 'uper'; it has upper"),
        (["tasks:value"], "tasks:value is an int, which cannot be called"),
        (["broken:f"], "importing 'broken' failed: ZeroDivisionError: division by zero (line 1 of"),
        (["wrong:f"], "importing 'wrong' failed: SyntaxError"),
        (["leaves:f"], "importing 'leaves' failed: SystemExit"),
        (["needs:f"], "importing 'needs' failed: ModuleNotFoundError: No module named 'nothere_either'"),
        (["./os.py:f"], "rename the file"),
        (["./a.b.py:f"], "have no other dot in it"),
        (["tasks:upper", "nothere.txt"], "'nothere.txt' does not exist"),
        (["tasks:upper", "-j", "0"], "--workers"),
        (["tasks:upper", "--timeout", "0"], "--timeout"),
        (["tasks:upper", "--chunk", "some"], "'some' is neither a number from 1 on nor 'auto'"),
        (["tasks:upper", "--errors", "ignore"], "'raise', 'return', 'skip'"),
        (["tasks:upper", "--backend", "cluster"], "backend='cluster' is not known; known are 'processes'"),
        (["tasks:upper", "--resume", "no/such/folder"], "cannot be opened: No such file or directory"),
        (["tasks:upper", "--resume", "/dev/null"], "journal '/dev/null' is not a regular file"),
        (["tasks:upper", "--chunk", str(2**70)], f"chunk={2**70} is not allowed; chunk is a number of tasks in one message from 1 on"),
        (["tasks:upper", "-j", str(2**70)], "at most 1,000,000,000"),
        (["tasks:upper", "--timeout", "nan"], "timeout=nan is not allowed"),
        (["tasks:upper", "--memory-limit", "0"], "--memory-limit: memory_limit='0' is not allowed"),
        (["tasks:upper", "--memory-limit", f"{2**40}T"], "is a number of bytes from 1 to 2**62"),
        ([], "MODULE:FUNCTION"),
    ],
)
def test_wrong_usage(folder, args, said):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "wrong.py").write_text("def f(:\n")
    (folder / "leaves.py").write_text("raise SystemExit(0)\n")
    (folder / "needs.py").write_text("import nothere_either\n")
    (folder / "os.py").write_text("def f(x): return x\n")  # its name is taken
    (folder / "a.b.py").write_text("def f(x): return x\n")
    done = run(folder, "map", *args, stdin="a\n")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not done.stdout


def without(folder, fds, *args, stdin="", **more):
    """``manyhands args`` without some of its standard streams."""
    closed = " ".join(f"{fd}>&-" for fd in fds)
    command = ["sh", "-c", f'"$0" -m manyhands "$@" {closed}', sys.executable, *map(str, args)]
    return subprocess.run(command, input=stdin, cwd=folder, capture_output=True, text=True, timeout=50, env=environment() | more)


def test_without_standard_output(folder):
    done = without(folder, [1], "map", "tasks:log", stdin="a\n")
    assert done.returncode == 2
    assert "Error: standard output is closed, and the results go there" in done.stderr
    assert not (folder / "log").exists()
    assert without(folder, [0, 1, 2], "map", "tasks:log").returncode == 2


def test_without_other_standard_streams(folder):
    done = without(folder, [0], "map", "tasks:upper")
    assert (done.returncode, done.stdout) == (0, "")
    assert "0 tasks" in done.stderr
    for more in ([], ["--progress"]):
        done = without(folder, [2], "map", "tasks:noisy", *more, stdin="a\nb\n")
        assert (done.returncode, results(done.stdout)) == (0, ["", ""])
    done = without(folder, [0, 2], "map", "tasks:log", "tasks.py")
    assert done.returncode == 0
    assert len(results(done.stdout)) == len(ran_lines(folder))


def test_a_wrong_environment_variable_is_named(folder):
    done = run(folder, "map", "tasks:upper", stdin="a\n", MANYHANDS_WORKERS="many")
    assert done.returncode == 2
    assert "MANYHANDS_WORKERS='many'" in done.stderr


# ---------------------------------------------------------------- map: streaming


def test_endless_input_and_a_reader_that_leaves(folder):
    source = subprocess.Popen(["yes"], stdout=subprocess.PIPE)
    with source, start(folder, "map", "tasks:upper", stdin=source.stdout) as process:
        source.stdout.close()
        assert results(b"".join(process.stdout.readline() for _ in range(3)).decode()) == ["Y"] * 3
        everybody = family(process)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 128 + signal.SIGPIPE
    assert source.returncode == -signal.SIGPIPE
    assert_gone(everybody)


def test_with_buffer_1_each_result_comes_before_the_next_input(folder):
    process = start(folder, "map", "tasks:upper", "--buffer", 1)
    for letter in "abc":
        process.stdin.write(f"{letter}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["result"] == letter.upper()
    assert finish(process)[:2] == (0, "")


class _Lines:
    """Stands for an output."""

    def __init__(self):
        self.lines = []

    def write(self, line):
        self.lines.append(json.loads(line))


def test_few_results_wait_for_a_slow_one(monkeypatch):
    monkeypatch.setattr(_run, "_WAITING", 3)
    enough, most = threading.Event(), []

    def function(text):
        if text == "0":
            assert enough.wait(30)
        elif text == "4":
            enough.set()
        most.append(len(todo._waiting))
        return int(text)

    task = _task.Task(function, "function", decode=False, with_input=False)
    output = _Lines()
    choices = _run.Choices("return", ordered=True, reads="lines", with_input=False)
    todo = _run.Run(task, map(str, range(5000)), output, None, choices, {"backend": "threads", "workers": 2, "chunk": 1})
    todo.execute()
    assert [line["result"] for line in output.lines] == list(range(5000))
    assert max(most) < 200  # those that were under way when it was noticed


def test_failures_keep_their_index_when_the_run_is_in_parts(monkeypatch):
    monkeypatch.setattr(_run, "_WAITING", 0)
    enough = threading.Event()

    def function(text):
        if text == "0":
            assert enough.wait(30)
        if text == "1":
            enough.set()
        return 1 // (int(text) % 7)

    task = _task.Task(function, "function", decode=False, with_input=True)
    output = _Lines()
    choices = _run.Choices("return", ordered=True, reads="lines", with_input=True)
    todo = _run.Run(task, map(str, range(100)), output, None, choices, {"backend": "threads", "workers": 2, "chunk": 1})
    todo.execute()
    assert [line["index"] for line in output.lines] == list(range(100))
    wrong = [line for line in output.lines if "error" in line]
    assert [line["input"] for line in wrong] == [str(i) for i in range(0, 100, 7)]
    assert all(f"task {line['index']}: function('{line['index']}')" in line["error"]["notes"][0] for line in wrong)


# ---------------------------------------------------------------- map: Ctrl-C


def blocked_at_stop(folder, *args):
    """A run of ``tasks.log`` that has come to "stop", and stays there."""
    os.mkfifo(folder / "fifo")
    os.mkfifo(folder / "reached")
    process = start(folder, "map", "tasks:log", *args)
    (folder / "reached").read_text()
    return process


def test_interrupted(folder):
    (folder / "inputs").write_text("".join(f"{i}\n" for i in range(20)) + "stop\n" + "more\n" * 4)
    process = blocked_at_stop(folder, "inputs", "-j", 2, "--resume", "journal")
    everybody = family(process)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130
    said = re.fullmatch(r"manyhands: interrupted after (\d+) of 25 tasks; run the same command again with --resume journal to go on\n", err)
    assert said, err
    # It may strike between the record of a task and its count.
    assert len(journalled(folder / "journal")) - int(said[1]) in {0, 1}
    assert [line["index"] for line in lines(out)] == list(range(len(lines(out))))
    assert_gone(everybody)


def test_interrupted_while_it_waits_for_input(folder):
    process = start(folder, "map", "tasks:upper", "--buffer", 1)
    process.stdin.write(b"a\n")
    process.stdin.flush()
    process.stdout.readline()
    everybody = family(process)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert err == "manyhands: interrupted after 1 task; with --resume FILE, a run can be gone on with\n"
    assert_gone(everybody)


# ---------------------------------------------------------------- map: --resume


def test_kill_9_then_resume_repeats_nothing_that_was_finished(folder):
    texts = [f"x{i}" for i in range(60)]
    texts[30] = "stop"
    (folder / "inputs").write_text("\n".join(texts))
    journal = folder / "journal"
    process = blocked_at_stop(folder, "inputs", "-j", 2, "--resume", "journal")
    assert json.loads(process.stdout.readline())["index"] == 0  # so there is at least this one in the journal
    everybody = family(process)
    process.kill()
    finish(process)
    assert_gone(everybody)
    text = journal.read_text()
    journal.write_text(text[: text.rindex("\n") + 1])  # a torn line, if there is one, holds no result
    before = journalled(journal)
    assert before
    assert 30 not in before

    (folder / "fifo").unlink()
    done = run(folder, "map", "tasks:log", "inputs", "--resume", "journal")
    assert done.returncode == 0
    assert [(line["index"], line["input"], line["result"]) for line in lines(done.stdout)] == [(i, t, t * 2) for i, t in enumerate(texts)]
    assert f"60 tasks ({len(before)} from the journal), 0 failed" in done.stderr
    logged = ran(folder)
    assert [logged.count(texts[index]) for index in before] == [1] * len(before)
    assert set(logged) == set(texts)
    assert sorted(journalled(journal)) == list(range(60))

    again = run(folder, "map", "tasks:log", "inputs", "--resume", "journal", "--unordered")
    assert results(again.stdout) == results(done.stdout)
    assert ran(folder) == logged


@pytest.mark.parametrize("torn", [b'{"index": 9, "dig', b'{"index": 9, "digest": "00", "input": "x", "result": 1}', b"\0\0\0", b"{"])
def test_a_torn_last_line_is_ignored(folder, torn):
    (folder / "inputs").write_text("a\nb\nc\n")
    journal = folder / "journal"
    run(folder, "map", "tasks:log", "inputs", "--resume", "journal")
    whole = journal.read_bytes()
    journal.write_bytes(whole.rpartition(b'{"index": ')[0] + torn)
    lost = ({0, 1, 2} - {json.loads(line)["index"] for line in journal.read_bytes().splitlines()[1:3]}).pop()
    done = run(folder, "map", "tasks:log", "inputs", "--resume", "journal")
    assert results(done.stdout) == ["aa", "bb", "cc"]
    assert "3 tasks (2 from the journal), 0 failed" in done.stderr
    assert sorted(ran(folder)) == sorted([*"abc", "abc"[lost]])
    assert sorted(journal.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_a_torn_header_is_a_new_journal(folder):
    run(folder, "map", "tasks:upper", "--resume", "journal", stdin="a\n")
    whole = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(whole[:20])
    assert run(folder, "map", "tasks:upper", "--resume", "journal", stdin="a\n").returncode == 0
    assert (folder / "journal").read_bytes() == whole


def test_a_damaged_line_costs_its_own_task(folder):
    run(folder, "map", "tasks:log", "--resume", "journal", "-j", 1, stdin="a\nb\nc\n")
    rows = (folder / "journal").read_bytes().splitlines(keepends=True)
    (folder / "journal").write_bytes(
        b"".join([rows[0], rows[1][:9] + b"?" + rows[1][10:], b'{"index": 99999999999, "result": 1}\n', *rows[2:]])
    )
    done = run(folder, "map", "tasks:log", "--resume", "journal", stdin="a\nb\nc\n")
    assert results(done.stdout) == ["aa", "bb", "cc"]
    assert "2 lines of journal 'journal' are damaged; their tasks run again" in done.stderr
    assert ran(folder) == ["a", "b", "c", "a"]


def test_one_damaged_line_is_told_as_one(folder):
    run(folder, "map", "tasks:log", "--resume", "journal", stdin="a\nb\n")
    rows = (folder / "journal").read_bytes().splitlines(keepends=True)
    (folder / "journal").write_bytes(b"".join([rows[0], b"?\n", *rows[2:]]))
    done = run(folder, "map", "tasks:log", "--resume", "journal", stdin="a\nb\n")
    assert "manyhands: 1 line of journal 'journal' is damaged; its task runs again\n" in done.stderr


def test_failed_tasks_run_again(folder):
    run(folder, "map", "tasks:picky", "--resume", "journal", stdin="a\nbad\nb\n")
    assert sorted(journalled(folder / "journal")) == [0, 2]
    tasks = folder / "tasks.py"
    tasks.write_text(tasks.read_text().replace('raise ValueError("not good")', 'return "mended"'))
    done = run(folder, "map", "tasks:picky", "--resume", "journal", stdin="a\nbad\nb\n")
    assert (done.returncode, results(done.stdout)) == (0, ["a", "mended", "b"])
    assert "3 tasks (2 from the journal)" in done.stderr


@pytest.mark.parametrize(
    ("args", "stdin", "said"),
    [
        (["tasks:upper"], "a\nb\n", "the function was 'tasks:log' and now is 'tasks:upper'"),
        (["tasks:log", "--json"], "1\n2\n", "how inputs are read was 'lines' and now is 'json'"),
        (["tasks:log", "--no-input"], "a\nb\n", "--input was True and now is False"),
        (["tasks:log"], "a\nB\n", "input 1 is not the one that journal 'journal' holds the result of"),
        (["tasks:log"], "a\n", "journal 'journal' holds results of more inputs than these 1"),
    ],
)
def test_another_commands_journal_is_refused(folder, args, stdin, said):
    run(folder, "map", "tasks:log", "--resume", "journal", stdin="a\nb\n")
    before = (folder / "journal").read_bytes()
    done = run(folder, "map", *args, "--resume", "journal", stdin=stdin)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "journal").read_bytes() == before


@pytest.mark.parametrize("content", ["precious data", "precious data\n", '{"journal": "of another"}\n', "[]\n"])
def test_a_file_that_is_no_journal_is_left_alone(folder, content):
    (folder / "precious").write_text(content)
    done = run(folder, "map", "tasks:upper", "--resume", "precious", stdin="a\n")
    assert done.returncode == 2
    assert "'precious' is not a journal of 'manyhands map'; nothing was changed in it" in done.stderr
    assert (folder / "precious").read_text() == content


@pytest.mark.parametrize("order", ["--unordered", None])
def test_a_file_that_has_changed_runs_again(folder, order):
    names = ["one.txt", "two.txt", "three.txt"]
    for name in names:
        (folder / name).write_text("1")
    arguments = ["map", "--each-file", "tasks:size", *names, "--resume", "journal", *([order] if order else [])]
    assert [line["result"] for line in lines(run(folder, *arguments).stdout)] == [1, 1, 1]
    (folder / "two.txt").write_text("other")
    for known in (2, 3):
        done = run(folder, *arguments)
        assert done.returncode == 0
        assert sorted((line["index"], line["result"]) for line in lines(done.stdout)) == [(0, 1), (1, 5), (2, 1)]
        assert f"3 tasks ({known} from the journal)" in done.stderr
    (folder / "two.txt").unlink()
    done = run(folder, "map", "--each-file", "tasks:size", "three.txt", "one.txt", "--resume", "journal")
    assert done.returncode == 2
    assert "input 0 is not the one" in done.stderr


def test_one_process_at_a_time(folder):
    process = start(folder, "map", "tasks:upper", "--buffer", 1, "--resume", "journal")
    process.stdin.write(b"a\n")
    process.stdin.flush()
    process.stdout.readline()
    done = run(folder, "map", "tasks:upper", "--resume", "journal", stdin="a\n")
    assert done.returncode == 2
    assert "journal 'journal' is in use by another process" in done.stderr
    assert finish(process)[0] == 0


@pytest.mark.parametrize("size", [1, 300, 5000, 100_000])
def test_records_are_found_while_others_are_appended(tmp_path, size):
    header = _journal.Header("f", "lines", input=True)
    path = str(tmp_path / "journal")
    count = max(10, 200_000 // size)
    tails = [f'"input": "", "result": "{str(i) * size}"}}' for i in range(count)]
    with contextlib.closing(_journal.Journal(path, header)) as journal:
        for i in range(0, count, 3):
            journal.record(i, str(i), tails[i])
    with contextlib.closing(_journal.Journal(path, header)) as journal:
        for i, tail in enumerate(tails):
            if journal.holds(i, str(i)):
                assert journal.tail(i) == tail
            else:
                journal.record(i, str(i), tail)
    with contextlib.closing(_journal.Journal(path, header)) as journal:
        assert [journal.tail(i) for i in range(count)] == tails
        journal.check_end(count)
        assert journal.damaged == 0


def test_a_journal_that_is_changed_meanwhile(tmp_path):
    header = _journal.Header("f", "lines", input=True)
    path = tmp_path / "journal"
    with contextlib.closing(_journal.Journal(str(path), header)) as journal:
        journal.record(0, "d", '"result": 1}')
    with contextlib.closing(_journal.Journal(str(path), header)) as journal:
        path.write_text("")
        with pytest.raises(_journal.JournalError, match="changed by another program"):
            journal.tail(0)


def test_records_are_read_as_they_were_written():
    line = _journal.entry_line(3, "d" * 32, '"input": "a, b", "result": {"c": [1, "ä"]}}')
    assert line.endswith(b"\n")
    assert _journal.parse_entry(line) == (3, "d" * 32, '"input": "a, b", "result": {"c": [1, "ä"]}}')
    for wrong in (line[:-9], b"[]", b"\xff", b'{"index": true, "digest": "", "result": 1}', b'{"digest": "", "index": 3, "result": 1}'):
        with pytest.raises(ValueError, match=r".*"):
            _journal.parse_entry(wrong)


def test_code_that_is_newer_than_the_journal_is_told(folder):
    (folder / "inputs").write_text("a\nb\n")
    arguments = ("map", "tasks:upper", "inputs", "--resume", "journal")
    assert "changed since" not in run(folder, *arguments).stderr
    assert "changed since" not in run(folder, *arguments).stderr
    later = time.time() + 5
    os.utime(folder / "tasks.py", (later, later))
    assert "tasks.py has changed since; what is in the journal came from the earlier code" in run(folder, *arguments).stderr


def test_memory_limit_and_backoff(folder):
    (folder / "eat.py").write_text("def eat(line):\n    return len(bytearray(3 << 30)) if line == 'much' else line\n")
    done = run(folder, "map", "eat:eat", "--memory-limit", "1GB", "--retries", 1, "--backoff", 0.01, stdin="a\nmuch\nb\n")
    assert [line.get("result") for line in lines(done.stdout)] == ["a", None, "b"]
    assert lines(done.stdout)[1]["error"]["type"] == "MemoryError"
    assert "attempt 1" in str(lines(done.stdout)[1]["error"]["notes"])
    assert "it is a number of bytes" in run(folder, "map", "eat:eat", "--memory-limit", "lots", stdin="").stderr


# ---------------------------------------------------------------- map: progress


def test_a_progress_bar_in_a_terminal(folder):
    ours, theirs = pty.openpty()
    process = start(folder, "map", "tasks:picky", stdin=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(b"a\nbad\nb\n", timeout=50)
    shown = b""
    try:
        while more := os.read(ours, 65536):
            shown += more
    except OSError:  # the other end is closed: how a terminal says that this was all
        pass
    os.close(ours)
    assert [line.get("result") for line in lines(out.decode())] == ["a", None, "b"]
    assert b"3 tasks, " in shown
    assert b"task 1 ('bad') failed" in shown
    assert b"3 tasks, 1 failed" in shown


def test_progress_is_off_elsewhere_and_can_be_had(folder):
    assert "busy" not in run(folder, "map", "tasks:upper", stdin="a\n").stderr
    (folder / "inputs").write_text("a\nb\n")
    assert "2/2 tasks" in run(folder, "map", "tasks:upper", "inputs", "--progress").stderr


def test_a_line_replaces_the_bar_in_a_terminal():
    ours, theirs = pty.openpty()
    try:
        _streams.Output(theirs, beside_bar=True).write("line")
        assert os.read(ours, 100) == b"\r\x1b[2Kline\r\n"
        _streams.Output(theirs, beside_bar=False).write("line")
        assert os.read(ours, 100) == b"line\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_full_disk_is_told():
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(click.ClickException, match="No space left on device"):
        _streams.Output(full.fileno(), beside_bar=False).write("line")


# ---------------------------------------------------------------- demo


def test_demo(tmp_path):
    done = run(tmp_path, "demo", "-j", 2)
    assert done.returncode == 0
    assert "2 workers" in done.stdout
    assert re.search(r"most imported.*sys", done.stdout)
    assert re.search(r"[\d.]+ s with 2 workers, [\d.]+ s one after the other", done.stdout)


def test_files_that_do_not_parse_are_counted(tmp_path):
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "null.py").write_bytes(b"x = 1\0")
    (tmp_path / "good.py").write_text("import os.path\n# comment\nclass A:\n    async def f(self):\n        return self\n")
    totals = _stdlib.total(map(_stdlib.analyse, [*map(str, sorted(tmp_path.glob("*.py"))), str(tmp_path / "missing.py")]))
    assert (totals.files, totals.unreadable) == (4, 3)
    assert (totals.lines, totals.comments, totals.functions, totals.classes) == (5, 1, 1, 1)
    assert totals.imports == {"os": 1}
    assert totals.names == {"self": 1}
    assert totals.longest == [(2, "f", str(tmp_path / "good.py"))]


# ---------------------------------------------------------------- info, and the rest


def test_info(tmp_path):
    done = run(tmp_path, "info", MANYHANDS_TIMEOUT="7")
    assert done.returncode == 0
    for part in ("manyhands.cpu_count()", "/dev/shm", "zygote", manyhands.__version__, "MANYHANDS_TIMEOUT"):
        assert part in done.stdout


def test_info_as_json(tmp_path):
    facts = json.loads(run(tmp_path, "info", "--json", MANYHANDS_CPUS="1").stdout)
    assert facts["processors"]["manyhands.cpu_count()"] == 1
    assert facts["versions"]["manyhands"] == manyhands.__version__
    assert facts["environment"] == {"MANYHANDS_CPUS": "1"}
    assert facts["limits"]["open files"] > 0


def test_version(tmp_path):
    assert run(tmp_path, "--version").stdout == f"manyhands {manyhands.__version__}\n"


def test_every_command_has_help_with_an_example(tmp_path):
    for command in ([], ["map"], ["demo"], ["info"], ["explain"], ["replay"], ["run"], ["top"], ["watch"]):
        done = run(tmp_path, *command, "--help")
        assert done.returncode == 0
        assert "Example" in done.stdout
        assert "manyhands " + " ".join(command) in done.stdout
    every = {"cache", "map", "demo", "info", "inspect", "explain", "replay", "run", "top", "watch"}
    assert set(app.list_commands(click.Context(app))) == every


def test_an_unknown_command(tmp_path):
    done = run(tmp_path, "mpa")
    assert done.returncode == 2
    assert "there is no command 'mpa'; commands are cache, demo, explain, info, inspect, map" in done.stderr


def test_workers_load_nothing_of_the_command_line(folder):
    (folder / "seen.py").write_text("import sys\ndef seen(_): return sorted({'click', 'rich'} & set(sys.modules))\n")
    assert results(run(folder, "map", "seen:seen", stdin="a\n").stdout) == [[]]
