"""``Process``: one function in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import select
import signal
import sys
import time
from multiprocessing.connection import wait

import pytest
import scripts
import waiting

import manyhands
from manyhands import Process


def write(path, text):
    path.write_text(f"{text} {os.getpid()}")
    return text


def test_a_function_runs_in_a_process_of_its_own(tmp_path):
    process = Process(target=write, args=(tmp_path / "out",), kwargs={"text": "hello"}, name="writer")
    assert (process.pid, process.exitcode, process.is_alive(), process.name) == (None, None, False, "writer")
    process.start()
    assert process.pid == process.ident != os.getpid()
    process.join()
    assert (process.exitcode, process.is_alive(), process.result) == (0, False, "hello")
    assert (tmp_path / "out").read_text() == f"hello {process.pid}"
    process.close()


def test_lambdas_and_closures():
    factor = 3
    process = Process(target=lambda x: x * factor, args=(5,))
    process.start()
    process.join()
    assert process.result == 15
    process.close()


def fail():
    raise KeyError("of the process")


def test_what_it_raises_reaches_join():
    process = Process(target=fail)
    process.start()
    for _ in range(2):
        with pytest.raises(KeyError, match="of the process"):
            process.join()
    assert process.exitcode == 1
    process.close()


@pytest.mark.parametrize(("given", "code"), [(None, 0), (0, 0), (7, 7), ("a message", 1), (True, 1), (256, 0), (-1, 255)])
def test_sys_exit_is_an_end_like_another(given, code):
    process = Process(target=sys.exit, args=(given,))
    process.start()
    process.join()
    assert process.exitcode == code
    process.close()


def test_a_process_that_is_killed_from_outside(tmp_path):
    def sleep():
        (tmp_path / "begun").touch()
        time.sleep(60)

    process = Process(target=sleep)
    process.start()
    waiting.until((tmp_path / "begun").exists)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(manyhands.WorkerDied):
        process.join()
    assert process.exitcode == -signal.SIGKILL
    process.close()


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_one_that_the_program_ends(how):
    process = Process(target=time.sleep, args=(60,))
    process.start()
    process.join(0.05)
    assert process.is_alive()
    with pytest.raises(ValueError, match="cannot close"):
        process.close()
    getattr(process, how)()
    process.join()
    assert not process.is_alive()
    assert process.exitcode < 0
    process.close()


class Counting(Process):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def run(self):
        return sum(range(self.count))


def test_a_class_of_ones_own():
    process = Counting(5)
    process.start()
    process.join()
    assert process.result == 10
    process.close()


def test_misuse():
    with pytest.raises(TypeError, match="not callable"):
        Process(target=3)
    with pytest.raises(AssertionError, match="group"):
        Process(group=1)
    process = Process(target=print, args=((n for n in ()),))
    with pytest.raises(manyhands.NotSerializable, match="generator"):
        process.start()
    process.close()
    process = Process()
    with pytest.raises(AssertionError, match="has not been started"):
        process.join()
    process.start()
    with pytest.raises(AssertionError, match="twice"):
        process.start()
    process.join()
    process.close()


@pytest.mark.parametrize("daemon", [False, True])
def test_the_end_of_the_program(tmp_path, daemon):
    begin = time.monotonic()
    done = scripts.run(
        """
        import sys, time, pathlib, manyhands
        def work(folder):
            pathlib.Path(folder, "begun").touch()
            time.sleep(1 if not {daemon} else 60)
            pathlib.Path(folder, "done").touch()
        process = manyhands.Process(target=work, args=(sys.argv[1],), daemon={daemon})
        process.start()
        while not pathlib.Path(sys.argv[1], "begun").exists():
            process.join(0.01)
        """.replace("{daemon}", str(daemon)),
        tmp_path,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert (tmp_path / "done").exists() is not daemon
    assert time.monotonic() - begin < 40
    waiting.until(lambda: (tmp_path / "begun").exists())


@pytest.mark.parametrize(("how", "number"), [("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)])
@pytest.mark.parametrize("after", [0, 0.003, 0.01])
def test_one_that_is_ended_at_once(how, number, after):
    process = Process(target=time.sleep, args=(60,))
    process.start()
    time.sleep(after)
    getattr(process, how)()
    process.join()
    assert (process.exitcode, process.is_alive(), process.result) == (-number, False, None)
    assert repr(process).endswith(f"stopped, exit code {-number}>")
    process.close()


def test_nothing_is_asked_of_one_that_was_closed():
    process = Process(target=int, name="done")
    process.start()
    process.join()
    process.close()
    process.close()
    for ask in (process.is_alive, process.join, process.kill, process.start, lambda: process.exitcode, lambda: process.pid):
        with pytest.raises(ValueError, match=r"done closed>: the process object is closed"):
            ask()
    assert (process.result, repr(process)) == (0, "<manyhands.Process done closed>")


def crash(how, *, number):
    getattr(os, how)(os.getpid(), number)


class Crashing(Process):
    def run(self):
        crash("kill", number=signal.SIGSEGV)


def test_a_crash_names_what_the_program_has_given():
    given = {"args": ("kill",), "kwargs": {"number": 11}}
    for process, name in [(Process(target=crash, **given), r"crash\('kill', number=11\)"), (Crashing(), r"Crashing\.run\(Crashing\(")]:
        process.start()
        with pytest.raises(manyhands.WorkerDied, match=f"killed by SIGSEGV while it ran task 0: {name}"):
            process.join()
        assert process.exitcode == -signal.SIGSEGV
        process.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_is_killed_before_it_has_begun_is_not_run_again(number):
    exit_codes = []
    for _ in range(4):
        with manyhands.options(retries=2, retry_on=manyhands.WorkerDied):
            process = Process(target=time.sleep, args=(60,))
            process.start()
        pid = process.pid
        os.kill(pid, number)
        with pytest.raises(manyhands.WorkerDied, match=rf"worker {pid} was killed by {number.name}"):
            process.join()
        exit_codes.append(process.exitcode)
        assert process.pid == pid
        process.close()
    assert exit_codes == [-number] * 4


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("Process(target=boom).start()", 1),  # gone before it has failed
        ("p = Process(target=boom); p.start()", 1),  # there until the program ends
        ("p = Process(target=boom); p.start(); await_end(p); print(p.exitcode); del p; print('still here', file=sys.stderr)", 1),
        ("p = Process(target=boom); p.start(); await_end(p); p.close(); print('still here', file=sys.stderr)", 1),
        ("p = Process(target=boom, daemon=True); p.start(); await_end(p)", 1),
        ("p = Process(target=boom); p.start(); join(p); join(p)", 0),
        ("p = Process(target=time.sleep, args=(60,)); p.start(); p.kill()", 0),
        ("p = Process(target=time.sleep, args=(60,), daemon=True); p.start()", 0),
        ("p = Process(target=os._exit, args=(3,)); p.start(); await_end(p); print(p.exitcode)", 0),  # which says it all
        ("Process(target=os._exit, args=(3,)).start()", "ended with exit code 3"),
        ("p = Process(target=boom); p.start(); await_end(p); os.fork() or sys.exit(0); os.wait()", 1),  # not by the child
    ],
)
def test_an_error_that_nobody_asks_for_is_said(program, said):
    done = scripts.run(f"""
        import os, sys, time
        from manyhands import Process
        def boom():
            raise ValueError("of nobody")
        def await_end(process):
            while process.is_alive():
                os.sched_yield()
        def join(process):
            try:
                process.join()
            except ValueError:
                print("caught")
        {program}
    """)
    assert done.returncode == 0
    expected = ["Process Process-1 failed, and nobody has joined it:", "in boom", "ValueError: of nobody"] if said == 1 else [said]
    if not said:
        assert done.stderr == ""
    for text in expected if said else ():
        assert done.stderr.partition("still here")[0].count(text) in {1, 2}, done.stderr  # the error, and that of which it came
    assert done.stderr.count("nobody has joined") == bool(said)


def test_its_end_can_be_waited_for_with_others():
    reader, writer = multiprocessing.Pipe(duplex=False)
    quick, slow = Process(target=abs, args=(-1,)), Process(target=time.sleep, args=(60,))
    with pytest.raises(ValueError, match="has not been started"):
        _ = quick.sentinel
    for process in (quick, slow):
        process.start()
    assert wait([quick.sentinel, slow.sentinel, reader]) == [quick.sentinel]
    assert (quick.exitcode, quick.is_alive(), slow.exitcode) == (0, False, None)
    assert select.select([quick.sentinel], [], [], 0)[0] == [quick.sentinel]  # as often as one likes
    slow.kill()
    assert wait([slow.sentinel]) == [slow.sentinel]
    assert slow.exitcode == -signal.SIGKILL
    for end in (quick, slow, reader, writer):
        end.close()
    with pytest.raises(ValueError, match="closed"):
        _ = quick.sentinel


def test_one_that_is_asked_for_its_sentinel_when_it_has_ended():
    process = Process(target=fail)
    process.start()
    with pytest.raises(KeyError):
        process.join()
    assert select.select([process.sentinel], [], [])[0] == [process.sentinel]
    process.close()


def identity():
    current = multiprocessing.current_process()
    return current.name, bytes(current.authkey)


class Downloader(Process):
    pass


def test_name_and_key():
    first, second = Process(name="named"), Downloader(target=identity)
    assert second.name == f"Downloader-{int(Process().name.removeprefix('Process-')) - 1}"
    second.start()
    second.join()
    assert second.result == (second.name, multiprocessing.current_process().authkey) == (second.name, second.authkey)
    second.close()
    first.authkey = b"secret"
    assert first.authkey == b"secret"
    with pytest.raises(TypeError, match="security"):
        pickle.dumps(first.authkey)


def test_a_key_of_its_own():
    process = Process(target=identity)
    process.authkey = b"of its own"
    process.start()
    process.join()
    assert process.result == (process.name, b"of its own")
    process.close()


def test_daemon_is_for_before_the_start():
    process = Process(target=int)
    process.daemon = True
    process.start()
    with pytest.raises(AssertionError, match="already started"):
        process.daemon = False
    process.join()
    assert process.daemon is True
    process.close()
