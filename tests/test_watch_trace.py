"""heartrate's call, ``manyhands.watch.trace``: in the program, in threads, in the initializers of workers."""

from __future__ import annotations

import ast
import re
import socket
import textwrap
import urllib.parse

import pages
import pytest
import scripts

from manyhands.watch import files, trace

WORK = """
import helpers
def work(count):
    total = 0
    for number in range(count):
        total += number
    return helpers.twice(total)
"""
HELPERS = """
{}
def twice(number):
    number *= 2
    return number
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "helpers.py").write_text(HELPERS.format("import os  # heartrate"))
    (tmp_path / "unmarked.py").write_text(HELPERS.format("import os"))
    return tmp_path


def program(folder, code):
    """Start a script that is made of ``work`` and this code."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(WORK) + textwrap.dedent(code))
    return scripts.started(f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); runpy.run_path({str(path)!r}, run_name='__main__')")


def counts(page, run, path, lane=None):
    """How often lines of a file have run, by number."""
    found = next((file["id"] for file in page.get(f"/files?run={run['id']}").json() if file["path"] == str(path)), None)
    if found is None:
        return {}
    of_lane = f"&pid={lane}" if lane else ""
    heat = page.get(f"/source?run={run['id']}&file={urllib.parse.quote(str(found))}{of_lane}").json()["heat"]
    return {int(line): hits for line, (hits, *_) in heat.items()}


def lanes(role, number):
    """A condition: a run has so many lanes of a role; gives the run."""
    return lambda run: run if sum(lane["role"] == role for lane in run["lanes"]) == number else None


def test_the_calling_file_and_those_with_the_comment_are_counted_in_all_workers(folder):
    code = """
    import sys, time
    import manyhands, unmarked
    manyhands.watch.trace(port=0)
    manyhands.map(work, [100, 100], workers=1)
    work(100)
    unmarked.twice(1)
    time.sleep(60)
    """
    with program(folder, code) as process:
        page = pages.announced(process)
        run = page.until(lambda run: run if counts(page, run, folder / "script.py").get(6, 0) >= 300 else None)
        assert counts(page, run, folder / "script.py")[4] == 3
        of_helpers = counts(page, run, folder / "helpers.py")
        assert (of_helpers[4], of_helpers[5]) == (3, 3)
        assert counts(page, run, folder / "unmarked.py") == {}


@pytest.mark.parametrize(
    "pool", ["multiprocessing.get_context('fork').Pool", "concurrent.futures.ProcessPoolExecutor", "manyhands.Executor"]
)
def test_workers_that_call_it_in_their_initializer_are_one_run_on_one_page(folder, pool):
    code = f"""
    import concurrent.futures, multiprocessing, os, time
    import manyhands
    def begin():
        manyhands.watch.trace(port=0)
    if __name__ == "__main__":
        print("begun", flush=True)
        with {pool}(2, initializer=begin) as workers:
            list(workers.map(work, [10] * 15))
            list(workers.map(time.sleep, [0.1] * 4))
            while not os.path.exists({str(folder / "end")!r}):
                time.sleep(0.05)
    """
    with program(folder, code) as process:
        page = pages.announced(process)
        run = page.until(lanes("worker", 2))
        page.until(lambda run: counts(page, run, folder / "script.py").get(6, 0) == 150)
        event = next(page.events())
        assert [each["id"] for each in event["runs"]] == [run["id"]]
        assert {lane["role"] for lane in run["lanes"]} <= {"worker", "program"}
        (folder / "end").touch()
        assert page.until(lambda run: run["state"] != "running" and run["state"])


def test_a_pool_of_manyhands_is_shown_as_a_whole(folder):
    """With its program and its tasks, though only its workers have called it; and they end with their program, and are not lost."""
    code = """
    import time
    import manyhands
    def begin():
        manyhands.watch.trace(port=0)
    def wait(n):
        time.sleep(0.05)
    with manyhands.Pool(2, initializer=begin) as pool:
        pool.map(wait, range(40), chunksize=1)
    """
    with program(folder, code) as process:
        page = pages.announced(process)
        page.until(lambda run: run["total"] == 40 and {lane["role"] for lane in run["lanes"]} == {"program", "worker"})
        run = page.until(lambda run: run if run["state"] != "running" else None)
    assert (run["state"], run["done"]) == ("done", 40)
    assert sorted(lane["name"] for lane in run["lanes"]) == [run["name"], "worker 0", "worker 1"]
    assert [lane["how"] for lane in run["lanes"] if lane["died"]] == []


def test_a_library_that_calls_it_is_not_the_calling_file(folder):
    """As in ``Pool(initializer=trace)``: then it is the file that has made the pool, where that is on the stack."""
    code = """
    import multiprocessing
    import manyhands
    def callers(_):
        from manyhands.watch import _trace
        return list(_trace._callers)
    if __name__ == "__main__":
        begin = dict(initializer=manyhands.watch.trace, initargs=(manyhands.watch.files.all, 0))
        with multiprocessing.get_context("fork").Pool(1, **begin) as pool:
            print(pool.map(callers, [0]), flush=True)
    """
    with program(folder, code) as process:
        assert ast.literal_eval(process.stdout.readline()) == [[str(folder / "script.py")]]


def test_two_threads_may_call_it(folder):
    code = """
    import threading, time
    import manyhands
    def both():
        manyhands.watch.trace(port=0)
        work(100)
    threads = [threading.Thread(target=both) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    time.sleep(60)
    """
    with program(folder, code) as process:
        page = pages.announced(process)
        page.until(lambda run: counts(page, run, folder / "script.py").get(6, 0) >= 100)
        assert len(next(page.events())["runs"]) == 1


def test_where_the_port_is_taken_another_one_is_used(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with program(folder, f"import manyhands, time\nmanyhands.watch.trace(port={port})\ntime.sleep(60)") as process:
            page = pages.announced(process)
    assert page.host != f"127.0.0.1:{port}"


def test_what_files_may_be_chosen_by(tmp_path):
    marked = tmp_path / "marked.py"
    marked.write_text("x = 1  #   heartrate")
    assert files.all(str(marked))
    assert files.path_contains("mark", "other")(str(marked))
    assert not files.path_contains("other")(str(marked))
    assert files.contains_regex(r"#\s*heartrate")(str(marked))
    assert not files.contains_regex("elsewhere")(str(marked))
    with pytest.raises(re.error):
        files.contains_regex("(")


@pytest.mark.parametrize("wrong", [{"files": 1}, {"daemon": 1}, {"port": -1}, {"host": ""}, {"browser": "no"}])
def test_what_is_wrong_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        trace(**wrong)
