"""Watching begins and ends: how runs and processes end, what is left of an observer, and that no program lives longer for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pages
import psutil
import pytest
import scripts
import waiting

import manyhands
from manyhands._engine import _watched
from manyhands.errors import WatchFailed, WatchMissing
from manyhands.watch import _choices, _commands, _starting, _watching

# A program that is watched, and says so when it is.
WATCHED = """
import os, sys, time, threading
import manyhands
watching = manyhands.watch(browser=False)
"""
FOLDER = Path(os.environ["MANYHANDS_RUNTIME_DIR"], "watch")


@contextlib.contextmanager
def watched(code):
    """A program that is watched, and its page."""
    with scripts.started(WATCHED + code) as process:
        yield process, pages.announced(process)


def processor_time(pid):
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def work(seconds):
    time.sleep(seconds)
    return os.getpid()


# ---------------------------------------------------------------- how runs end


@pytest.mark.parametrize(
    ("code", "state", "how"),
    [
        ("", "done", ""),
        ("sys.exit()", "done", ""),
        ("sys.exit(3)", "failed", "exit status 3"),
        ("raise ValueError('no')", "failed", "ValueError: no"),
        ("os._exit(0)", "done", ""),
        ("os._exit(3)", "failed", "exit status 3"),
        ("os.abort()", "died", "killed by SIGABRT"),
        ("watching.stop(); time.sleep(60)", "done", ""),
    ],
)
def test_the_page_says_how_a_run_has_ended(code, state, how):
    with watched(code) as (_, page):
        assert page.until(lambda run: (run["state"], run["how"]) == (state, how))


def test_a_program_that_becomes_another_has_not_died():
    with watched("os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])") as (_, page):
        run = page.until(lambda run: run if run["state"] != "running" else None)
    assert (run["state"], run["how"].partition(":")[0]) == ("done", "it goes on unwatched")


def test_descriptors_that_a_program_has_opened_after_closing_all_are_its_own():
    code = """
    import manyhands, os, socket, threading
    watching = manyhands.watch(browser=False)
    watcher = next(thread for thread in threading.enumerate() if thread.name == "manyhands-watch")
    os.closerange(3, 256)
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
    for pair in pairs:
        pair[0].send(b"hers")
    child = os.fork()
    if child:
        print(os.waitpid(child, 0)[1])
        threading.Thread(target=watcher.join, name="there is something new to be told").start()
        watcher.join()
        watching.stop()
    for pair in pairs:
        assert pair[1].recv(100, socket.MSG_DONTWAIT | (0 if child else socket.MSG_PEEK)) == b"hers"
        pair[0].send(b"and hers")
    """
    told = scripts.run(code)
    assert (told.returncode, told.stdout) == (0, "0\n"), told


def test_a_program_that_is_killed_has_died_within_a_second():
    with watched("time.sleep(60)") as (process, page):
        page.until(pages.state("running"))
        process.kill()
        begin = time.monotonic()
        run = page.until(pages.state("died"))
        assert time.monotonic() - begin < 1
    assert run["how"] == "killed by SIGKILL"


def test_ctrl_c_ends_the_program_within_a_second_and_the_page_says_so():
    code = "manyhands.map(time.sleep, [60] * 4, workers=2)"
    with watched(code) as (process, page):
        page.until(lambda run: sum(lane["role"] == "worker" for lane in run["lanes"]) == 2)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(10)
        assert time.monotonic() - begin < 1
        run = page.until(pages.state("interrupted"))
    assert run["how"].startswith("KeyboardInterrupt")


def test_a_worker_that_is_killed_is_gone_within_a_second():
    with watched("manyhands.map(time.sleep, [60] * 4, workers=2, errors='return')") as (_, page):
        pid = page.until(lambda run: next((lane["pid"] for lane in run["lanes"] if lane["role"] == "worker"), None))
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        lane = page.until(lambda run: next((lane for lane in run["lanes"] if lane["pid"] == pid and lane["state"] == "gone"), None))
        assert time.monotonic() - begin < 1
    assert lane["how"].startswith("killed by SIGKILL")


def test_a_worker_that_leaves_has_not_been_killed():
    with watched("manyhands.map(time.sleep, [0] * 4, workers=1); manyhands.shutdown(); time.sleep(60)") as (_, page):
        lane = page.until(lambda run: next((lane for lane in run["lanes"] if lane["role"] == "worker" and lane["state"] == "gone"), None))
    assert lane["how"] == ""


@pytest.mark.parametrize("end", ["os._exit", "sys.exit"])
def test_a_forked_child_has_a_lane_of_its_own(end):
    code = f"""
    child = os.fork()
    if not child:
        {end}(4)
    os.waitpid(child, 0)
    time.sleep(60)
    """
    with watched(textwrap.dedent(code)) as (process, page):
        lane = page.until(lambda run: next((lane for lane in run["lanes"] if lane["role"] == "process" and lane["state"] == "gone"), None))
        run = page.until(pages.state("running"))
    assert lane["pid"] != process.pid
    assert lane["how"] == "exit status 4"
    assert run["lanes"][0]["state"] != "gone"


def test_a_forked_worker_is_a_worker():
    with watched("manyhands.Executor(1, start_method='fork').submit(time.sleep, 60)") as (process, page):
        roles = {"program", "worker"}
        lanes = page.until(lambda run: run["lanes"] if {lane["role"] for lane in run["lanes"]} == roles else None)
    assert {lane["pid"] == process.pid: lane["name"] for lane in lanes} == {True: "python", False: "worker 0"}


# ---------------------------------------------------------------- one page for all


def test_a_second_run_joins_the_page_of_the_first():
    with watched("time.sleep(60)") as (_, first), watched("time.sleep(60)") as (_, second):
        assert first.host == second.host
        with contextlib.closing(first.events()) as events:
            assert any(len(event["runs"]) == 2 for event in events)


def test_programs_that_start_at_once_start_one_observer():
    with contextlib.ExitStack() as stack:
        programs = [stack.enter_context(scripts.started(WATCHED + "time.sleep(60)")) for _ in range(4)]
        assert len({pages.announced(program).host for program in programs}) == 1
        page, _ = pages.of_observer()
        with contextlib.closing(page.events()) as events:
            assert any(len(event["runs"]) == 4 for event in events)


@pytest.mark.parametrize("is_watched", [True, False])
def test_children_of_multiprocessing_that_are_watched_are_of_their_programs_run(tmp_path, is_watched):
    """Also those that import the program, and with it the call that has it watched."""
    path = tmp_path / "program.py"
    path.write_text(f"""
import manyhands, multiprocessing, time
if {is_watched} or __name__ != "__main__":
    manyhands.watch(browser=False)
def work():
    for _ in range(10**9):
        time.sleep(0.01)
if __name__ == "__main__":
    for _ in range(2):
        multiprocessing.get_context("spawn").Process(target=work, daemon=True).start()
    work()
""")
    roles = [True] * is_watched + [False] * 2
    with scripts.started(f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')") as process:
        page = pages.announced(process)
        run = page.until(lambda run: run if sorted((lane["role"] == "program" for lane in run["lanes"]), reverse=True) == roles else None)
        with contextlib.closing(page.events()) as events:
            assert [each["id"] for each in next(events)["runs"]] == [run["id"]]
        assert page.until(lambda run: any("work" in str(stack) for stack in run["stacks"]))
        process.send_signal(signal.SIGINT)
        assert "http" not in process.stderr.read()  # it has been said once


# ---------------------------------------------------------------- the life of an observer


def test_the_observer_ends_when_nobody_needs_it():
    _starting.observer(stays=0.2)
    page, pid = pages.of_observer()
    with manyhands.watch(browser=False):
        page.until(pages.state("running"))
    assert page.until(pages.state("done"))  # while somebody looks it stays
    waiting.until(lambda: waiting.gone(pid))
    assert not FOLDER.exists()


def test_the_page_of_a_run_that_nobody_has_seen_stays_longer_and_says_so():
    _starting.observer(stays=0.05, unseen=1.0)
    _, pid = pages.of_observer()
    with manyhands.watch(browser=False):
        assert manyhands.map(abs, range(3), backend="sequential") == [0, 1, 2]
        begun = time.monotonic()
    (run,) = _commands.ask("runs")["runs"]
    said = _commands.ask("summary", run["id"])["text"]
    assert said.splitlines()[-1] == "  the page stays for 1 s, and as long as it is open; to keep it: manyhands watch --save run.html"
    waiting.until(lambda: waiting.gone(pid))
    assert time.monotonic() - begun > 0.9


def test_the_observer_stays_while_somebody_looks():
    _starting.observer(stays=0.05)
    page, pid = pages.of_observer()
    with contextlib.closing(page.events()) as events:
        next(events)
        ended, used = time.monotonic() + 0.3, processor_time(pid)
        waiting.until(lambda: time.monotonic() > ended)
        assert processor_time(pid) - used < 0.1  # nobody runs, so it sleeps
    waiting.until(lambda: waiting.gone(pid))


def test_a_program_goes_on_when_its_observer_is_killed_and_can_be_watched_again():
    first = manyhands.watch(browser=False)
    assert manyhands.map(work, [0, 0], workers=2)
    _, pid = pages.of_observer()
    os.kill(pid, signal.SIGKILL)
    waiting.until(lambda: waiting.gone(pid))
    waiting.until(lambda: not _starting.is_watched())
    assert manyhands.map(work, [0, 0], workers=2)
    second = manyhands.watch(browser=False)
    assert second.url != first.url
    page = pages.Page(second.url).enter()
    workers = set(manyhands.map(work, [0.1] * 4, workers=2))
    assert page.until(lambda run: workers <= {lane["pid"] for lane in run["lanes"]})


def test_what_a_killed_observer_has_left_is_in_nobodys_way():
    manyhands.watch(browser=False).stop()
    _, pid = pages.of_observer()
    os.kill(pid, signal.SIGKILL)
    waiting.until(lambda: waiting.gone(pid))
    assert FOLDER.exists()
    assert _commands.ask("runs") is None
    with manyhands.watch(browser=False) as watching:
        assert pages.Page(watching.url).enter().until(pages.state("running"))


def test_who_starts_an_observer_may_be_killed_meanwhile():
    code = """
    import os, signal, subprocess
    from manyhands.watch import _starting
    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)
    _starting._heard = killed
    _starting.observer(stays=0.2)
    """
    assert scripts.run(code).returncode == -signal.SIGKILL
    waiting.until(lambda: not FOLDER.exists())  # it has been there, waited for the program, and left
    with manyhands.watch(browser=False):
        pass


def test_an_observer_that_cannot_start_says_why():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WatchFailed, match=f"127.0.0.1:{port} cannot be the address of the page: Address already in use"):
            _starting.observer(port=port)
    assert not FOLDER.exists()


def test_where_there_is_no_folder_to_meet_in_watching_fails_in_words(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "watch").touch()
    code = "import runpy, sys; sys.argv = ['manyhands', 'run', '--watch', '-m', 'this']; runpy.run_module('manyhands', run_name='__main__')"
    done = scripts.run(code, MANYHANDS_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("manyhands run: there is no observer, and none could be started: ")
    assert "Traceback" not in done.stderr


def test_what_is_to_be_kept_is_there_when_the_program_has_ended(tmp_path):
    # Nothing here says what is in the file: whoever makes it does, or says that nobody can.
    code = f"import manyhands; manyhands.watch(browser=False, save={str(tmp_path / 'run.html')!r})"
    done = scripts.run(code)
    kept = (tmp_path / "run.html").exists()
    assert ("this run is kept in" in done.stderr) == kept
    assert ("this run could not be kept: " in done.stderr) != kept
    assert [path.name for path in tmp_path.iterdir()] == ["run.html"] * kept


def test_who_watches_once_more_does_not_forget_what_is_to_be_kept(tmp_path):
    first, second = str(tmp_path / "run.jsonl"), str(tmp_path / "more.jsonl")
    done = scripts.run(f"""
        import manyhands

        def join():
            manyhands.watch.trace()  # in workers, too

        manyhands.watch(browser=False, save={first!r})
        with manyhands.Pool(1, initializer=join) as pool:
            pool.map(abs, range(3))
        manyhands.watch(browser=False, save={second!r})
        manyhands.watch(browser=False)
    """)
    assert f"this run is kept in {first}, {second}\n" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more.jsonl", "run.jsonl"]


def test_trace_leaves_what_has_been_allowed():
    code = "watching.stop(); manyhands.watch(browser=False, control=True, arguments=True); manyhands.watch.trace(); input()"
    with watched(code) as (_, page):
        run = page.until(lambda run: run if run["level"] == "auto" else None)
    assert run["control"]


def test_an_observer_that_is_asked_to_end_leaves_nothing():
    manyhands.watch(browser=False)
    _, pid = pages.of_observer()
    os.kill(pid, signal.SIGTERM)
    waiting.until(lambda: waiting.gone(pid))
    assert not FOLDER.exists()


@pytest.mark.parametrize("host", ["localhost", "::1", "0.0.0.0"])
def test_the_address_of_the_page_can_be_chosen(host):
    if host == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with manyhands.watch(browser=False, host=host) as watching:
        page = pages.Page(watching.url).enter()
        assert page.until(pages.state("running"))
        assert page.ask("GET", "/events", host=f"evil.example:{page.host.rpartition(':')[2]}").status == 421


def test_threads_that_ask_at_once_join_once():
    found = []
    threads = [threading.Thread(target=lambda: found.append(manyhands.watch(browser=False).url)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    page, _ = pages.of_observer()
    with contextlib.closing(page.events()) as events:
        assert len(next(events)["runs"]) == 1


def test_nothing_keeps_a_program_alive():
    code = WATCHED + "manyhands.map(abs, range(100), workers=2); print(time.time(), flush=True)"
    with scripts.started(code) as process:
        pages.announced(process)
        process.wait(20)
        lasted = time.time() - float(process.stdout.read())
    plain = scripts.run("import manyhands, time; manyhands.map(abs, range(100), workers=2); print(time.time(), flush=True)")
    assert plain.returncode == 0
    assert lasted < 2


# ---------------------------------------------------------------- in the program


def test_watching_leaves_nothing_behind_in_the_program():
    for _ in range(3):  # what is left is found after the test
        with manyhands.watch(browser=False):
            manyhands.map(work, [0], workers=1)


def test_watching_begins_anew_after_its_end():
    with manyhands.watch(browser=False, name="first"):
        pids = set(manyhands.map(work, [0.05] * 4, workers=2))
    with manyhands.watch(browser=False, name="second") as watching:
        assert pids == set(manyhands.map(work, [0.05] * 4, workers=2))  # the same workers, which change over
        page = pages.Page(watching.url).enter()
        run = page.until(lambda run: run if run["name"] == "second" and pids <= {lane["pid"] for lane in run["lanes"]} else None)
    assert run["state"] == "running"


def test_importing_manyhands_loads_nothing_of_it():
    heavy = {"asyncio", "json", "socket", "starlette", "subprocess"}
    code = f"import sys, manyhands, manyhands.watch; print(sorted({heavy} & set(sys.modules)))"
    assert scripts.run(code).stdout == "[]\n"


def test_a_notebook_shows_the_page_in_a_frame():
    with manyhands.watch(browser=False) as watching:
        shown = watching._repr_html_()
        address = shown.partition('src="')[2].partition('"')[0]
        page = pages.Page(address)
        answer = page.get(page.entrance)
    assert shown.startswith("<iframe ")
    assert answer.status in {200, 404}  # 404: the page has not been built
    assert "frame-ancestors" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"name": ""}, "a text"),
        ({"level": "much"}, "one of 'sample'"),
        ({"files": 3}, "part of the paths"),
        ({"files": [""]}, "part of the paths"),
        ({"arguments": 1}, "True or False"),
        ({"control": "yes"}, "True or False"),
        ({"terminal": None}, "True or False"),
        ({"browser": "firefox"}, "True, False, or None"),
        ({"port": -1}, "a number from 1"),
        ({"port": 65536}, "a number from 1"),
        ({"port": True}, "a number from 1"),
        ({"host": ""}, "an address"),
        ({"host": "a b"}, "an address"),
        ({"save": "/nowhere/at/all.html"}, "a file in a folder that is there"),
        ({"save": 3}, "the path"),
    ],
)
def test_what_cannot_be_chosen_is_refused_by_name(given, allowed):
    (name, value), *_ = given.items()
    with pytest.raises(ValueError, match=" is not allowed; ") as caught:
        manyhands.watch(**given)
    assert str(caught.value).startswith(f"{name}={value!r} is not allowed; {name} is ")
    assert allowed in str(caught.value)
    assert not FOLDER.exists()


def test_without_the_packages_the_error_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(_starting, "PACKAGES", ("starlette", "no_such_package"))
    with pytest.raises(WatchMissing, match=r"needs no_such_package: pip install starlette uvicorn; terminal=True and save= do without"):
        manyhands.watch(browser=False)


def test_without_the_packages_a_run_can_be_saved(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['starlette'] = None")  # it is not found
    code = "import manyhands; manyhands.watch(save='run.html'); manyhands.map(abs, [1], backend='sequential')"
    path = os.pathsep.join([str(tmp_path), str(Path(manyhands.__file__).parent.parent)])
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert "on no page: that needs pip install starlette uvicorn" in ran.stderr
    assert (tmp_path / "run.html").read_text().startswith("<!doctype html>")


def test_where_there_is_a_desktop_the_page_is_opened(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    wants = _choices.wants_browser
    assert wants(True, is_terminal=False)
    assert not wants(None, is_terminal=True)
    monkeypatch.setenv("DISPLAY", ":0")
    assert wants(None, is_terminal=True)
    assert not wants(None, is_terminal=False)
    assert not wants(False, is_terminal=True)
    monkeypatch.setenv("SSH_CONNECTION", "1")
    assert not wants(None, is_terminal=True)


def test_the_browser_gets_an_address_that_is_good_for_one_time(tmp_path, monkeypatch):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/new\nmv {tmp_path}/new {tmp_path}/opened\n')
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(browser))
    with manyhands.watch(browser=True) as watching:
        opened = Path(tmp_path, "opened")
        waiting.until(opened.exists)
        address = opened.read_text()
        assert address != watching.url
        page = pages.Page(address).enter()
        assert page.until(pages.state("running"))
        assert pages.Page(address).get(page.entrance).status == 403


# ---------------------------------------------------------------- by options


@pytest.fixture
def begun(monkeypatch):
    """How often watching has been begun by an option; it is not."""
    calls = []
    monkeypatch.setattr(_watched, "_by_option", False)
    monkeypatch.setattr(_watching, "begin", lambda: calls.append(1))
    return calls


def in_a_block():
    with manyhands.options(watch=True):
        manyhands.map(abs, [1], workers=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: manyhands.map(abs, [1], workers=1, watch=True),
        lambda: list(manyhands.imap(abs, [1], workers=1, watch=True)),
        lambda: manyhands.Parallel(2, watch=True)(manyhands.delayed(abs)(i) for i in [1]),
        lambda: manyhands.Executor(1, watch=True).shutdown(),
        lambda: manyhands.Pool(1, watch=True).terminate(),
        in_a_block,
    ],
)
def test_an_option_has_the_program_watched(call, begun):
    call()
    assert begun == [1]
    call()
    assert begun == [1]


def test_nothing_else_has_the_program_watched(begun, monkeypatch):
    manyhands.map(abs, [1], workers=1)
    manyhands.map(abs, [1], workers=1, watch=False)
    with manyhands.options(watch=True):
        manyhands.map(abs, [1], workers=1, watch=False)
    monkeypatch.setenv("MANYHANDS_WATCH", "0")
    manyhands.map(abs, [1], workers=1)
    monkeypatch.setenv("MANYHANDS_WATCH", "yes")
    with pytest.raises(ValueError, match="MANYHANDS_WATCH='yes' cannot be read; it is 0 or 1"):
        manyhands.map(abs, [1], workers=1)
    assert not begun


def test_the_environment_has_a_program_watched():
    with scripts.started("import manyhands, time; manyhands.map(abs, [1], workers=1); time.sleep(60)", MANYHANDS_WATCH="1") as process:
        page = pages.announced(process)
        assert page.until(lambda run: any(lane["role"] == "worker" for lane in run["lanes"]))


def test_what_has_been_stopped_is_not_begun_again_by_an_option():
    with scripts.started(
        """
        import manyhands, time
        with manyhands.options(watch=True):
            manyhands.map(abs, [1], workers=1)
            manyhands.watch(browser=False).stop()
            manyhands.map(abs, [1], workers=1)
        from manyhands.watch import _starting
        print(_starting.is_watched(), flush=True)
        """
    ) as process:
        assert process.communicate(timeout=20)[0] == "False\n"


# ---------------------------------------------------------------- the command line


def run_command(*args, **options):
    command = [sys.executable, "-m", "manyhands", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=40, env=scripts.environment(), check=False, **options)


SCRIPT = """
import sys
print(sys.argv, __name__, __file__, __package__, sys.path[0], sorted(globals()))
def fail(what):
    if what == "raise":
        raise ValueError("no")
    if what == "interrupt":
        raise KeyboardInterrupt
    sys.exit({"text": "bye", "3": 3}.get(what, 0))
fail(sys.argv[1])
"""


@pytest.mark.parametrize("args", [("0", "--watch", "-m"), ("raise",), ("text",), ("3",), ("interrupt",)])
def test_run_runs_a_script_as_python_does(args, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    plain = subprocess.run(
        [sys.executable, "script.py", *args], capture_output=True, text=True, cwd=tmp_path, env=scripts.environment(), check=False
    )
    ours = run_command("run", "script.py", *args, cwd=tmp_path)
    assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, plain.stderr, plain.returncode)


def test_run_runs_modules_and_packages(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "__main__.py").write_text(SCRIPT)
    for args in (["-m", "package", "0"], ["package", "0"]):
        plain = subprocess.run(
            [sys.executable, *args], capture_output=True, text=True, cwd=tmp_path, env=scripts.environment(), check=False
        )
        ours = run_command("run", *args, cwd=tmp_path)
        assert (ours.stdout, ours.stderr, ours.returncode) == (plain.stdout, plain.stderr, plain.returncode)


@pytest.mark.parametrize(
    ("args", "said", "status"),
    [
        (["nothing.py"], "can't open file", 2),
        (["-m", "no.such.module"], "no.such.module", 1),
        (["--port", "99999", "script.py"], "port=99999 is not allowed", 2),
    ],
)
def test_run_says_what_cannot_be_run(args, said, status, tmp_path):
    done = run_command("run", *args, cwd=tmp_path)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == status


def test_run_watches_a_program_that_knows_nothing_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import os, time\nwhile not os.path.exists('enough'):\n    time.sleep(0.01)\nraise SystemExit(3)\n")
    command = [sys.executable, "-m", "manyhands", "run", "--watch", "--no-browser", "--name", "mine", str(script)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=scripts.environment()) as process:
        try:
            page = pages.announced(process)
            frames = page.until(lambda run: run["name"] == "mine" and run["lanes"][0]["stack"])
            (tmp_path / "enough").touch()
            run = page.until(pages.state("failed"))
        finally:
            process.kill()
    assert {file for file, *_ in frames} == {str(script)}  # nothing of ours
    assert run["how"] == "exit status 3"


def test_watch_lists_the_runs_and_the_address_of_the_page():
    none = run_command("watch")
    assert (none.returncode, none.stdout) == (1, "")
    assert "No program of yours is being watched" in none.stderr
    with manyhands.watch(browser=False, name="simulation") as watching:
        some = run_command("watch", "--no-browser")
    lines = some.stdout.splitlines()
    assert lines[0].startswith("simulation           running for ")
    assert lines[-1] == watching.url
    assert some.returncode == 0


def test_the_files_of_an_observer_are_for_their_user_alone():
    with manyhands.watch(browser=False):
        modes = {path.name: path.stat().st_mode & 0o777 for path in (FOLDER, *FOLDER.iterdir())}
        facts = json.loads((FOLDER / "page").read_text())
    assert modes.pop("watch") == 0o700
    assert set(modes) == {"s", "page", "lock", "log"}
    assert all(mode & 0o077 == 0 for mode in modes.values())
    assert facts["url"].startswith("http://127.0.0.1:")


def test_pools_of_the_standard_library_are_shown_of_a_program_that_asks_to_be_watched(tmp_path):
    enough = tmp_path / "enough"
    os.mkfifo(enough)
    code = f"""
import multiprocessing
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    pool.map(abs, range(10), chunksize=1)
    open({str(enough)!r}).read()
watching.stop()
print([name for name in os.environ if name.startswith("MANYHANDS_WATCH")])
with context.Pool(1) as pool:
    print(pool.map(abs, [-1]))
"""
    with watched(code) as (process, page):
        run = page.until(lambda run: run if run["done"] == 10 else None)
        assert sum(lane["tasks"] for lane in run["lanes"]) == 10
        enough.write_text("yes")
        assert process.stdout.read() == "[]\n[1]\n"
