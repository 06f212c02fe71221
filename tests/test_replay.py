"""Tasks that have failed, saved and run again: ``record_failures=``, ``manyhands.replay`` and ``manyhands replay``."""

from __future__ import annotations

import errno
import functools
import json
import os
import pty
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import scripts
from replay_tasks import Odd, Touching, divide, end, generator, odd, sleep, spoil, unreadable

import manyhands
from manyhands import Executor, Parallel, Pool, delayed
from manyhands._records import _container, _facts, _recorder
from manyhands.cli._app import app
from manyhands.errors import CannotReplay, RemoteError, StoreCorrupt, TaskTimeout, WorkerDied


def only(folder):
    """The one file there."""
    [path] = sorted(Path(folder).iterdir())
    return str(path)


def failed(folder, fn, *iterables, **options):
    """The error of a call's one task, and its file as it was replayed."""
    [failure] = manyhands.map(fn, *iterables, errors="return", record_failures=folder, **options)
    return failure.error, manyhands.replay(only(folder))


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "failures")


@pytest.fixture
def command(monkeypatch, capsys):
    """Run ``manyhands replay`` in this process: exit status and output."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    monkeypatch.chdir(os.getcwd())

    def run(*arguments):
        status = app.main(["replay", *arguments], standalone_mode=False)
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def replayed(path, *arguments, stdin="", **more):
    """Run it in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "manyhands", "replay", *arguments, path],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        env=scripts.environment(),
        check=False,
        **more,
    )


# ------------------------------------------------------------ what is saved


@pytest.mark.parametrize("backend", ["processes", "threads", "sequential"])
def test_an_exception(folder, backend):
    error, task = failed(folder, divide, [1], backend=backend)
    assert error.__notes__[-1] == f"recorded; to run it again: manyhands replay {task.path}"
    assert (task.function, task.args, task.kwargs) == (divide, (1,), {})
    assert (task.call, task.index, task.attempt, task.text) == ("divide(1)", 0, 1, "ZeroDivisionError: division by zero")
    assert "in divide\n    return a / b\n" in task.traceback
    assert type(task.error) is ZeroDivisionError
    with pytest.raises(ZeroDivisionError) as again:
        task.run()
    assert task.is_same(again.value)
    assert not task.is_same(ZeroDivisionError("another"))


def test_arguments_are_as_they_were_submitted(folder):
    large = np.arange(100_000.0)  # in a segment
    _, task = failed(folder, spoil, [large], [{"n": 1}])
    assert task.args[0].tolist() == list(range(100_000))
    assert task.args[1] == {"n": 1}
    for _ in range(2):  # each run has its own
        with pytest.raises(ValueError, match=r"^4999950000 and 2$"):
            task.run()
    assert not task.facts["task"]["is_after"]


def test_threads_have_theirs_as_they_are_after_the_failure_and_it_is_said(folder, command):
    _, task = failed(folder, spoil, [np.ones(3)], [{"n": 1}], backend="threads")
    assert task.args[1] == {"n": 2}
    assert "as they were after the failure" in command("--show", task.path)[1]


@pytest.mark.parametrize(
    ("fn", "argument", "kind", "text"),
    [
        (end, "kill", WorkerDied, "was killed by SIGKILL"),
        (end, "_exit", WorkerDied, "ended with exit code 3"),
        (end, "exit", RemoteError, "SystemExit: 3"),
        (generator, 3, manyhands.NotSerializable, "generator"),
        (odd, 1, Odd, "odd"),
        (unreadable, 1, KeyError, "not here"),
    ],
)
def test_every_way_to_fail(folder, fn, argument, kind, text):
    error, task = failed(folder, fn, [argument])
    assert isinstance(error, kind)
    assert text in task.text
    assert task.args == (argument,)
    if not isinstance(error, WorkerDied):
        with pytest.raises(BaseException) as again:  # noqa: PT011 - it is compared below
            task.run()
        assert task.is_same(again.value)


def test_a_timeout(folder):
    error, task = failed(folder, sleep, [1], timeout=0.2)
    assert isinstance(error, TaskTimeout)
    assert task.facts["error"]["kind"] == "timeout"
    assert "ran longer than timeout=0.2 s" in task.traceback
    assert task.args == (1,)


def test_a_result_that_cannot_be_read_by_a_future(folder):
    with Executor(1, record_failures=folder) as executor, pytest.raises(KeyError):
        executor.submit(unreadable, 1).result()
    assert manyhands.replay(only(folder)).text == "KeyError: 'not here'"


def test_only_the_last_attempt_counts(folder, tmp_path):
    def second(path):
        if not os.path.exists(path):
            Path(path).touch()
            raise OSError("first")
        return 1

    assert manyhands.map(second, [tmp_path / "flag"], retries=1, record_failures=folder) == [1]
    assert not os.path.exists(folder)
    error, task = failed(folder, divide, [1], retries=2)
    assert task.attempt == 3
    assert [line.partition(":")[0] for line in task.facts["task"]["earlier"]] == ["attempt 1", "attempt 2"]
    assert sum("recorded" in note for note in error.__notes__) == 1


def test_every_face(folder):
    faces = {
        "imap": lambda: list(manyhands.imap(divide, [1, 2], errors="skip", record_failures=folder)),
        "Parallel": lambda: Parallel(2, record_failures=folder)([delayed(divide)(1, b=0)]),
        "Parallel of one": lambda: Parallel(1, record_failures=folder)([delayed(divide)(1, b=0)]),
    }
    with Executor(1, record_failures=folder) as executor, Pool(1, record_failures=folder) as pool:
        faces |= {
            "submit": lambda: executor.submit(divide, 1, b=0).result(),
            "partial": lambda: executor.submit(functools.partial(divide, b=0), 1).result(),
            "Executor.map": lambda: list(executor.map(divide, [1])),
            "in messages": lambda: list(executor.map(divide, [1], chunksize=2)),
            "Pool.map": lambda: pool.map(divide, [1]),
            "Pool.imap": lambda: list(pool.imap(divide, [1])),
            "Pool.apply": lambda: pool.apply(divide, (1,)),
        }
        for name, call in faces.items():
            if name == "imap":
                call()
            else:
                with pytest.raises(ZeroDivisionError):
                    call()
            paths = list(Path(folder).iterdir())
            assert len(paths) == (2 if name == "imap" else 1), name
            for path in paths:
                with pytest.raises(ZeroDivisionError):
                    manyhands.replay(path).run()
            shutil.rmtree(folder)
        with pytest.raises(ZeroDivisionError):
            executor.with_options(record_failures=None).submit(divide, 1).result()
    assert not os.path.exists(folder)


def test_block_and_environment(folder, monkeypatch):
    with manyhands.options(record_failures=folder + "1"), pytest.raises(ZeroDivisionError):
        manyhands.map(divide, [1])
    monkeypatch.setenv("MANYHANDS_RECORD_FAILURES", folder + "2")
    with pytest.raises(ZeroDivisionError):
        manyhands.map(divide, [1])
    assert only(folder + "1")
    assert only(folder + "2")


def test_the_initializer_has_run_before(tmp_path, folder):
    done = scripts.run(
        f"""
        import manyhands
        STATE = None
        def begin(state):
            global STATE
            STATE = state
        def use(key):
            return STATE[key]
        with manyhands.Pool(1, begin, ({{"a": 1}},), record_failures={folder!r}) as pool:
            pool.map(use, ["a", "b"])
        """
    )
    assert "KeyError: 'b'" in done.stderr
    task = manyhands.replay(only(folder))
    with pytest.raises(KeyError, match="'b'"):
        task.run()
    assert not hasattr(sys.modules["__main__"], "STATE")


def test_random_numbers_are_the_same(folder):
    def draw(_, rng):
        raise ValueError(str(rng.random()))

    _, task = failed(folder, draw, [1], rng=7)
    with pytest.raises(ValueError, match=re.escape(task.text.removeprefix("ValueError: "))):
        task.run()


def test_shared_memory_is_as_it_was_after_the_failure(folder, command):
    def write(array):
        array[0] += 1
        raise ValueError(str(array[0]))

    array = manyhands.shared_array(3)
    _, task = failed(folder, write, [array])
    assert task.args[0][0] == 1
    with pytest.raises(ValueError, match=r"^2\.0$"):
        task.run()
    assert array[0] == 1
    assert "memory is as it was after the failure" in command("--show", task.path)[1]


def test_a_nested_call(folder):
    def outer(path):
        return manyhands.map(divide, [5], record_failures=path)

    with pytest.raises(ZeroDivisionError) as caught:
        manyhands.map(outer, [folder])
    assert manyhands.replay(only(folder)).call == "divide(5)"
    assert "manyhands replay" in "".join(caught.value.__notes__)


# ------------------------------------------------------------ the file


def test_the_file(folder):
    failed(folder, divide, [1])
    path = only(folder)
    assert re.fullmatch(r"divide-0-\d{8}T\d{6}-[0-9a-f]{8}\.replay", os.path.basename(path))
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(folder).st_mode & 0o077 == 0
    data = Path(path).read_bytes()
    magic, version, length = struct.unpack_from("<8sIQ", data)
    header = json.loads(data[28 : 28 + length])
    assert (magic, version) == (b"\x89MHR\r\n\x1a\n", 1)
    assert header["cwd"] == os.getcwd()
    assert header["manyhands"] == manyhands.__version__


def test_secrets_of_the_environment_are_not_told(monkeypatch):
    told = _facts.chosen_variables(
        {"OMP_NUM_THREADS": "1", "PYTHONPATH": "x", "LANG": "C", "PYTHON_TOKEN": "s", "AWS_SECRET": "s", "MANYHANDS_WATCH_ADDRESS": "s"}
    )
    assert told == {"LANG": "C", "OMP_NUM_THREADS": "1", "PYTHONPATH": "x"}


def test_so_many_of_a_call_and_one_warning(folder, monkeypatch):
    monkeypatch.setattr(_recorder, "MOST", 2)
    with pytest.warns(UserWarning, match="2 failed tasks of this call have been recorded") as said:
        manyhands.map(divide, range(5), errors="skip", record_failures=folder)
    assert len(said) == 1
    assert len(os.listdir(folder)) == 2


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_a_folder_that_cannot_be_written_to_is_one_warning(tmp_path, backend):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match=r"cannot be recorded in .*file/x: NotADirectoryError") as said:
        results = manyhands.map(divide, range(3), errors="return", record_failures=tmp_path / "file" / "x", backend=backend)
    assert len(said) == 1
    assert all(type(failure.error) is ZeroDivisionError for failure in results)
    assert "not recorded in" in results[2].error.__notes__[-1]


def test_a_full_disk_leaves_nothing_and_fails_no_task(folder, monkeypatch):
    def full(fd, view):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_container, "_write_all", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        [failure] = manyhands.map(divide, [1], errors="return", record_failures=folder)
    assert type(failure.error) is ZeroDivisionError
    assert os.listdir(folder) == []


def test_where_warnings_are_errors_the_task_still_fails_with_its_own(tmp_path):
    (tmp_path / "file").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZeroDivisionError):
            manyhands.map(divide, [1], record_failures=tmp_path / "file")


@pytest.mark.parametrize("backend", ["processes", "sequential"])
def test_what_saves_cannot_be_loaded(folder, monkeypatch, backend):
    """There may be no descriptor left for that."""
    for package in ("_engine", "backends"):
        monkeypatch.setitem(sys.modules, f"manyhands.{package}._recording", None)
        monkeypatch.delattr(f"manyhands.{package}._recording", raising=False)
    [failure] = manyhands.map(divide, [1], errors="return", record_failures=folder, backend=backend)
    assert type(failure.error) is ZeroDivisionError
    assert failure.error.__notes__[-1].startswith("not recorded: ")


def test_arguments_that_cannot_be_saved(folder, command):
    with pytest.warns(UserWarning, match="cannot be saved"):
        [failure] = manyhands.map(divide, [generator(1)], errors="return", record_failures=folder, backend="threads")
    assert isinstance(failure.error, TypeError)
    path = only(folder)
    assert "unsupported operand" in command("--show", path)[1]
    with pytest.raises(CannotReplay, match=r"could not be saved \(NotSerializable.*generator"):
        manyhands.replay(path).run()


def test_a_socket_is_gone(folder):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        _, task = failed(folder, divide, [ours])
    with pytest.raises(CannotReplay, match="a socket or a connection"):
        task.run()


@pytest.fixture
def saved(folder):
    failed(folder, divide, [1], backend="sequential")
    return only(folder)


@pytest.mark.parametrize("cut", [0, 5, 30, 1000, -30, -1])
def test_a_file_that_is_cut_short(saved, command, cut):
    data = Path(saved).read_bytes()
    Path(saved).write_bytes(data[:cut])
    status, said = command(saved)
    assert status == 2
    assert said.startswith(f"Error: {saved} ")
    assert "To mend it: " in said


def test_a_file_that_was_overwritten(saved):
    data = bytearray(Path(saved).read_bytes())
    data[-40] ^= 1
    Path(saved).write_bytes(data)
    with pytest.raises(StoreCorrupt, match="do not agree with their checksum"):
        manyhands.replay(saved).run()


def test_a_header_that_was_overwritten(saved, command):
    data = bytearray(Path(saved).read_bytes())
    at = data.index(b'"traceback"')
    data[at + 1] ^= 1  # it is still JSON
    Path(saved).write_bytes(data)
    status, said = command(saved, "--show")
    assert status == 2
    assert "its header" in said


def test_a_file_of_a_later_version(saved, command):
    data = bytearray(Path(saved).read_bytes())
    data[8] = 9
    Path(saved).write_bytes(data)
    status, said = command(saved)
    assert status == 2
    assert f"{saved} cannot be replayed: it is of version 9 of the format, written by manyhands {manyhands.__version__}" in said


def test_no_such_file_and_no_such_kind_of_file(tmp_path, command):
    assert command(str(tmp_path / "none"))[0] == 2
    with pytest.raises(CannotReplay, match="no file that record_failures= has written"):
        manyhands.replay(__file__)


def test_byte_code_of_another_python(folder):
    failed(folder, lambda x: 1 / 0, [1])
    path = only(folder)
    header, parts = _container.read(path)
    header["python"] = "3.99.0"
    with open(path, "wb") as file:
        _container.write(file.fileno(), header, list(parts.values()))
    with pytest.raises(CannotReplay, match=r"byte code, which this Python .* cannot run.*-m manyhands replay"):
        manyhands.replay(path).run()


# ------------------------------------------------------------ the command

MODULE = """
RATE = 0

def work(number):
    return number / RATE

def outer(number):
    import statistics
    return statistics.mean(str(number))  # fails in the library

def size(name):
    with open(name) as file:
        return len(file.read())

class Number:
    def __init__(self, value):
        self.value = value

def checked(function):
    def inner(number):
        return function(number)
    return inner

@checked
def inverse(number):
    return 1 / number.value
"""
SCRIPT = """
import os, sys
import manyhands, rates

LIMIT = 3

class Point:
    def __init__(self, x):
        self.x = x

def check(point):
    if point.x > LIMIT:
        raise ValueError(f"too far: {point.x}")
    return point.x

results = manyhands.map(check, [Point(1), Point(5)], errors="return", record_failures="failures")
results += manyhands.map(rates.work, [7], errors="return", record_failures="failures")
results += manyhands.map(rates.outer, [7], errors="return", record_failures="failures")
results += manyhands.map(rates.size, ["data.txt"], errors="return", record_failures="failures")
results += manyhands.map(rates.inverse, [rates.Number(0)], errors="return", record_failures="failures")
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A script that has run, in its folder, with a module beside it."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "rates.py").write_text(MODULE)
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, env=scripts.environment(), capture_output=True, text=True, check=True)
    assert not done.stderr
    return folder


def file_of(program, name):
    [path] = (program / "failures").glob(f"{name}-*")
    return str(path)


def test_a_function_of_a_script_in_a_fresh_process(program, tmp_path):
    done = replayed(file_of(program, "check"), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    before, _, now = done.stdout.partition("\nNow:\n")
    assert "task        1: check(Point(x=5))" in before
    assert "Then:\nTraceback" in before
    assert now.count("ValueError: too far: 5") == 1
    assert f'File "{program}/script.py", line 13, in check' in now
    assert now.endswith("The same error as then.\n")


def moved(program, copy, name):
    """A failed task in a copy of the program, as if it had failed there."""
    shutil.copytree(program, copy)
    path = file_of(copy, name)
    header, parts = _container.read(path)
    place = header["task"]["place"]
    header["task"]["place"] = [place[0].replace(str(program), str(copy)), place[1]]
    header.update(cwd=str(copy), path=[str(copy), *header["path"][1:]])
    with open(path, "wb") as file:
        _container.write(file.fileno(), header, list(parts.values()))
    return path


def test_what_ran_then_and_what_is_of_today_is_told_apart(program, tmp_path):
    path = moved(program, tmp_path / "copy", "checked_locals_inner")
    changed = MODULE.replace("self.value = value", "self.value = value + 1").replace("1 / number", "2 / number")
    (tmp_path / "copy" / "rates.py").write_text(changed)
    done = replayed(path)
    now = done.stdout.partition("\nNow:\n")[2]
    assert "Changed since: rates.Number; what ran is today's code.\n" in now
    assert f"Changed since: {tmp_path}/copy/rates.py; the function itself is as it was then: it was saved with its code" in now


def test_code_of_a_module_is_that_of_today(program, tmp_path, command):
    path = moved(program, tmp_path / "copy", "work")
    (tmp_path / "copy" / "rates.py").write_text(MODULE.replace("RATE = 0", "RATE = 20"))
    done = replayed(path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Now:\nChanged since: rates.work; what ran is today's code.\nIt returned 0.35\n")
    (tmp_path / "copy" / "rates.py").unlink()
    done = replayed(path)
    assert done.returncode == 2
    assert f"Error: {path} cannot be replayed: what it needs cannot be imported here: cannot import rates (" in done.stderr


def test_where_it_runs(program, tmp_path):
    (program / "data.txt").write_text("1234")
    assert replayed(file_of(program, "size"), cwd=tmp_path).stdout.endswith("Now:\nIt returned 4\n")
    (program / "data.txt").unlink()
    assert replayed(file_of(program, "size"), cwd=tmp_path).stdout.endswith("The same error as then.\n")


def test_here_keeps_the_import_path(program, tmp_path):
    done = replayed(file_of(program, "work"), "--here", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot import rates" in done.stderr


def test_the_debugger_begins_in_the_users_code(program):
    done = replayed(file_of(program, "outer"), "--pdb", stdin="p number * 6\nq\n")
    assert "(Pdb) 42\n" in done.stdout
    assert done.returncode == 1


def test_the_debugger_in_a_terminal_stops_at_the_first_line(program):
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-m", "manyhands", "replay", "--break", file_of(program, "check")]
    process = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=scripts.environment(TERM="dumb"))
    os.close(theirs)
    try:
        said = _until(ours, b"(Pdb) ")
        assert b"-> if point.x > LIMIT:" in said
        os.write(ours, b"point.x = 2\n")
        _until(ours, b"(Pdb) ")
        os.write(ours, b"continue\n")
        assert b"It returned 2" in _until(ours, b"It returned 2")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _until(fd, what):
    said = b""
    while what not in said:
        said += os.read(fd, 4096)
    return said


def test_leaving_the_debugger_is_no_success(program):
    done = replayed(file_of(program, "check"), "--break", stdin="q\n")
    assert done.returncode == 1
    assert done.stdout.endswith("(Pdb) ")


def test_a_task_that_ends_its_process(folder, command):
    failed(folder, end, ["kill"])
    done = replayed(only(folder), "--isolated")
    assert done.returncode == 128 + signal.SIGKILL
    assert done.stdout.endswith("Its process was ended by SIGKILL, as then.\n")
    done = replayed(only(folder))
    assert done.returncode == -signal.SIGKILL
    assert "may end this process as well; --isolated" in done.stderr


def test_a_task_that_raises_what_ctrl_c_does(folder):
    _, task = failed(folder, end, ["interrupt"])
    done = replayed(task.path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "The same error as then.")


def test_show_runs_nothing(folder, tmp_path, command):
    flag = tmp_path / "unpickled"
    failed(folder, divide, [Touching(str(flag))])
    path = only(folder)
    flag.unlink()
    status, said = command("--show", path)
    assert status == 0
    assert "TypeError: unsupported operand" in said
    assert f"program     {sys.argv[0]}"[:20] in said
    task = manyhands.replay(path)
    assert task.call.startswith("divide(Touching(")
    assert not flag.exists()
    assert isinstance(task.args[0], Touching)
    assert flag.exists()


def test_another_error_than_then(folder, tmp_path, command, monkeypatch):
    monkeypatch.setenv("FLAG", "first")

    def fails(_):
        raise ValueError(os.environ["FLAG"])

    failed(folder, fails, [1])
    monkeypatch.setenv("FLAG", "second")
    status, said = command(only(folder))
    assert status == 1
    assert said.endswith("ValueError: second\nAnother error than then, which was ValueError: first\n")


def test_it_succeeds_now(folder, tmp_path, command):
    missing = tmp_path / "missing"
    failed(folder, os.listdir, [str(missing)])
    missing.mkdir()
    assert command(only(folder))[0] == 0


def test_a_notebooks_function_has_its_lines(folder, monkeypatch):
    """In a fresh process as well, where no file has them."""
    done = scripts.run(
        f"""
        import linecache, manyhands
        source = "def cell(x):\\n    y = x + 1\\n    return y / 0\\n"
        linecache.cache["<cell 3>"] = len(source), None, source.splitlines(True), "<cell 3>"
        exec(compile(source, "<cell 3>", "exec"))
        manyhands.map(cell, [1], errors="return", record_failures={folder!r})
        """
    )
    assert not done.stderr
    done = replayed(only(folder), "--pdb", stdin="p y\nq\n")
    assert "-> return y / 0\n(Pdb) 2\n" in done.stdout


def test_many_threads_record_at_once(folder):
    def call(_):
        with pytest.raises(ZeroDivisionError):
            manyhands.map(divide, [random.random()], record_failures=folder)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir(folder)) == 8
