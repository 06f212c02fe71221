"""Counting lines inside a watched process."""

from __future__ import annotations

import argparse
import ast
import asyncio
import calendar
import configparser
import contextlib
import copy
import csv
import dataclasses
import difflib
import dis
import enum
import fractions
import gc
import heapq
import html.parser
import io
import json
import os
import pprint
import re
import shlex
import socket
import statistics
import string
import sys
import textwrap
import threading
import time
import tokenize
import traceback
import types
import urllib.parse
from functools import partial
from json import decoder, scanner
from typing import Any

import pytest
import waiting
from tests.line_counts import traced, watched

import manyhands
from manyhands._probe import _cost, _estimates, _link, _sampling, _segment
from manyhands._probe._files import Chosen, chooser, is_own
from manyhands._probe._naming import Names

monitored = sys.version_info >= (3, 12)
pytestmark = pytest.mark.skipif(not monitored and sys.gettrace() is not None, reason="before Python 3.12, only one can trace")

HERE = {"contains": [os.path.basename(__file__)]}
LIBRARY = os.path.dirname(os.__file__)


def corpus() -> None:
    """Functions of the standard library, of all sorts."""
    re.purge()
    text = json.dumps({"a": [1, 2, {"b": None}], "c": "x" * 10}, indent=2)
    reading = decoder.JSONDecoder()
    reading.parse_string = decoder.py_scanstring
    reading.scan_once = scanner.py_make_scanner(reading)
    reading.decode(text)
    textwrap.wrap("hello world " * 50, 33)
    list(difflib.unified_diff(["a", "b", "c", "d", "e", "f"], ["a", "c", "d", "x", "f"]))
    file = io.StringIO()
    writer = csv.DictWriter(file, ["a", "b"])
    writer.writeheader()
    writer.writerow({"a": 1, "b": 2})
    list(csv.DictReader(io.StringIO(file.getvalue())))
    csv.Sniffer().sniff("a;b;c\n1;2;3\n")
    tree = ast.parse("def f(x):\n  return [y for y in x if y]\n" * 3)
    ast.dump(tree)
    ast.unparse(tree)
    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("--foo", type=int, default=3)
    parser.parse_args(["--foo", "3"])
    parser.format_help()
    statistics.stdev([1, 2, fractions.Fraction("3/7"), 4.5])
    heapq.nsmallest(3, list(heapq.merge([1, 3], [2, 4])), key=lambda number: -number)
    settings = configparser.ConfigParser()
    settings.read_string("[a]\nx=1\ny=%(x)s\n")
    assert settings["a"]["y"] == "1"
    pprint.pformat({"x": shlex.split("a 'b c' d") * 30})
    dataclasses.asdict(dataclasses.make_dataclass("D", [("a", int, 1)])())
    with contextlib.suppress(ValueError):
        enum.Enum("E", "A B")(3)
    list(tokenize.generate_tokens(io.StringIO("x = 1 + 2\nif x:\n  y()\n").readline))
    urllib.parse.urlparse("http://a.b/c?d=e#f")
    calendar.month(2024, 2)
    copy.deepcopy({"a": [1, {2: 3}]})
    string.Template("$a b").substitute(a=1)
    html.parser.HTMLParser().feed("<a href='x'>b &amp; c</a>")
    asyncio.run(_gathered())
    try:
        raise KeyError(1)
    except KeyError:
        traceback.format_exc()
    thread = threading.Thread(target=textwrap.dedent, args=("  a\n  b",))
    thread.start()
    thread.join()


async def _gathered() -> list[int]:
    async def one(number: int) -> int:
        await asyncio.sleep(0)
        return number

    return await asyncio.gather(*(one(number) for number in range(5)))


_MODULES = """
    textwrap difflib csv ast argparse statistics fractions heapq configparser pprint shlex dataclasses copy string calendar enum tokenize
    scanner parse parser _parser _compiler traceback _abc keyword
"""
COUNTED = frozenset(_MODULES.split())


def is_counted(path: str) -> bool:
    """Files of the corpus that nothing else uses."""
    is_library = path.startswith(LIBRARY) and "importlib" not in path and "site-packages" not in path
    return is_library and os.path.basename(path).removesuffix(".py") in COUNTED


def test_exact_counts_what_settrace_counts():
    corpus()  # caches are filled
    expected = traced(corpus, is_counted)
    with watched("exact", is_counted) as told:
        corpus()
    assert len(expected) > 2000
    assert {place: runs for place, runs in told.runs.items() if runs != expected[place]} == {}
    assert sum(told.runs.values()) == sum(expected.values())


def test_touch_marks_the_lines_that_ran_and_no_others():
    corpus()
    expected = traced(corpus, is_counted)
    with watched("touch", is_counted) as told:
        corpus()
        corpus()
    assert set(told.runs) <= set(expected)
    assert set(told.runs.values()) == {1}
    missing = set(expected) - set(told.runs)
    assert not missing or (not monitored and len(missing) < len(expected) / 2)  # then it sees what runs in its windows


def twisted(count: int) -> int:
    """Recursion, generators, exceptions, comprehensions."""
    if count <= 0:
        return 0
    total = sum(number for number in pieces(count))
    with contextlib.suppress(ZeroDivisionError):
        total += 1 // (count % 2)
    try:
        total += [0, 1][count]
    except IndexError:
        total -= 1
    finally:
        total += len([number for number in range(count) if number % 2])
    return total + twisted(count - 1)


def pieces(count: int):
    """A generator that is left early now and then."""
    for number in range(count):
        try:
            yield number
        finally:
            count -= 1


@pytest.mark.parametrize("level", ["exact", pytest.param("auto", marks=pytest.mark.skipif(not monitored, reason="then it estimates more"))])
def test_what_is_cold_is_counted_exactly_with_recursion_generators_and_exceptions(level):
    first, last = twisted.__code__.co_firstlineno, pieces.__code__.co_firstlineno + 7
    expected = traced(lambda: twisted(30), lambda path: path == __file__)
    with watched(level, HERE) as told:
        twisted(30)
    assert _between(told.runs, first, last) == _between(expected, first, last)
    assert len(_between(expected, first, last)) >= 15


def _between(runs, first: int, last: int) -> dict[int, int]:
    return {line: count for (file, line), count in runs.items() if file == __file__ and first <= line < last}


def loop(count: int) -> int:
    total = 0
    for number in range(count):
        total += number
        if not number % 100:
            total -= 1
    return total


def test_threads_are_counted_together():
    with watched("exact", HERE) as told:
        threads = [threading.Thread(target=loop, args=(20_000,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert told.of(loop) == {**told.of(loop), 1: 4, 2: 80_004, 3: 80_000, 4: 80_000, 5: 800, 6: 4}


def test_code_that_was_compiled_by_exec_is_counted_under_its_file():
    with watched("exact", {"contains": ["nowhere"]}) as told:
        exec(compile("total = 0\nfor n in range(10):\n    total += n\n", "/nowhere/made.py", "exec"), {})
    assert told.lines("/nowhere/made.py") == {1: 1, 2: 11, 3: 10}


def test_functions_that_are_sent_by_value_are_one_and_leave_nothing():
    source = "def task(x):\n    y = x + 1\n    return y\n"
    with watched("exact", {"contains": ["nowhere"]}) as told:
        for number in range(200):
            names: dict[str, Any] = {}
            exec(compile(source, "/nowhere/sent.py", "exec"), names)
            names["task"](number)
            names.clear()
        gc.collect()
        if monitored:
            assert len(told.probe._levels._means._armed) < 10
    assert told.lines("/nowhere/sent.py") == {1: 200, 2: 200, 3: 200}


def test_a_loop_that_is_under_way_is_counted_from_then_on():
    with watched("sample") as told:
        total = 0
        told.probe.count_lines("exact", HERE)
        for number in range(1000):
            total += number
    line = test_a_loop_that_is_under_way_is_counted_from_then_on.__code__.co_firstlineno + 5
    assert told.runs[__file__, line] == 1000


def test_the_observer_changes_the_level_and_the_files_while_it_runs():
    with watched("sample") as told:
        loop(100)
        told.ask({"files": HERE})
        told.ask({"level": "exact"})
        _until(lambda: told.probe._levels is not None and told.probe._levels.level == "exact")
        loop(100)
        told.ask({"level": "sample"})
        _until(lambda: told.probe._levels.level == "sample")
        loop(100)
    assert told.of(loop)[3] == 100


@pytest.mark.skipif(not monitored, reason="before Python 3.12, windows at level touch may miss it")
def test_what_ran_before_its_file_was_chosen_is_counted_as_soon_as_it_is():
    with watched("exact", {"contains": ["nowhere"]}) as told:
        loop(100)
        told.probe.count_lines("exact", HERE)
        loop(100)
        told.probe.count_lines("touch", HERE)
        loop(100)  # of which nothing more is told then
        told.probe.count_lines("exact", HERE)
        loop(100)
    assert told.of(loop)[3] == 201


def _noted(lines: list[int], _code, line: int) -> object:
    lines.append(line)
    return sys.monitoring.DISABLE


@pytest.mark.skipif(not monitored, reason="before Python 3.12, only one can trace")
def test_a_debugger_and_coverage_see_all_that_they_would_see_alone():
    expected = traced(partial(loop, 50), lambda path: path == __file__)
    monitoring, measured = sys.monitoring, []
    is_free = monitoring.get_tool(monitoring.COVERAGE_ID) is None
    if is_free:
        monitoring.use_tool_id(monitoring.COVERAGE_ID, "like coverage")
        once = partial(_noted, measured)
        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, once)
        monitoring.set_local_events(monitoring.COVERAGE_ID, loop.__code__, monitoring.events.LINE)
    try:
        with watched("exact", HERE) as told:
            assert traced(partial(loop, 50), lambda path: path == __file__) == expected
            told.probe.count_lines("auto", HERE)
            loop(50)
    finally:
        if is_free:
            monitoring.set_local_events(monitoring.COVERAGE_ID, loop.__code__, 0)
            monitoring.free_tool_id(monitoring.COVERAGE_ID)
    assert told.of(loop)[3] == 100
    if is_free:
        assert set(measured) == {loop.__code__.co_firstlineno + line for line in range(1, 7)}
        assert len(measured) < 10  # each once, a loop's line twice: it has not been had to begin anew


@pytest.mark.skipif(not monitored, reason="before Python 3.12, only one can trace")
def test_where_others_have_all_numbers_nothing_is_counted_and_it_is_said():
    taken = [tool for tool in (3, 4) if sys.monitoring.get_tool(tool) is None]
    for tool in taken:
        sys.monitoring.use_tool_id(tool, "somebody else")
    try:
        with watched("exact", HERE) as told:
            loop(10)
            assert told.probe._levels.level == "sample"
    finally:
        for tool in taken:
            sys.monitoring.free_tool_id(tool)
    assert not told.runs
    assert any("somebody else" in message.get("uncounted", "") for message in told.said)


@pytest.mark.skipif(monitored, reason="since Python 3.12, nothing is traced for it")
def test_a_thread_that_somebody_else_traces_is_left_alone():
    def mine(*_):
        return None

    sys.settrace(mine)
    try:
        with watched("exact", HERE) as told:
            loop(10)
            assert sys.gettrace() is mine
    finally:
        sys.settrace(None)
    assert not told.of(loop)


@pytest.mark.parametrize("level", ["touch", "auto", "exact"])
def test_nothing_is_left_switched_on(level):
    with watched(level, HERE) as told:
        loop(1000)
        thread = threading.Thread(target=loop, args=(1000,))
        thread.start()
        thread.join()
    assert told.of(loop)[3] > 0
    assert sys.gettrace() is None
    assert threading.gettrace() is None
    if monitored:
        assert [sys.monitoring.get_tool(tool) for tool in (3, 4)] == [None, None]
        for tool in (3, 4):
            sys.monitoring.use_tool_id(tool, "to see what is left")
            try:
                assert sys.monitoring.get_events(tool) == 0
                assert sys.monitoring.get_local_events(tool, loop.__code__) == 0
            finally:
                sys.monitoring.free_tool_id(tool)


def test_a_child_that_is_forked_counts_its_own():
    with watched("exact", HERE) as told:
        loop(10)
        child = os.fork()
        if not child:
            loop(10)
            os._exit(0)
        os.waitpid(child, 0)
    assert told.of(loop)[3] == 10


def test_which_files_are_the_programs_own():
    assert is_own("/home/me/project/main.py")
    assert is_own("<stdin>")
    assert not is_own(json.__file__)
    assert not is_own("/home/me/.venv/lib/python3.13/site-packages/numpy/core.py")
    assert not is_own(manyhands.__file__)
    assert not is_own("<string>")


def test_files_are_chosen_as_the_observer_says(tmp_path):
    marked = tmp_path / "marked.py"
    marked.write_text("import os  # heartrate\n")
    asked = {"regex": r"#\s*heartrate", "also": ["/other.py"]}
    chosen = Chosen(chooser(asked))
    assert str(marked) in chosen
    assert "/other.py" in chosen
    assert "/nowhere.py" not in chosen
    assert "/a/b.py" in Chosen(chooser(["a/b", "c"]))
    assert json.__file__ in Chosen(chooser({"all": True}))
    assert "/a.py" not in Chosen(chooser(lambda path: 1 / 0))


def _until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def mixed(seconds: float) -> int:
    """For some time: a tight loop, a less tight one, and functions."""
    rounds, until = 0, time.process_time() + seconds
    while time.process_time() < until:
        loop(2000)
        for _ in range(300):
            rounds += len(repr(rounds))
    return rounds


@pytest.mark.skipif(not monitored, reason="before Python 3.12, all is estimated by time")
def test_auto_is_within_the_error_that_it_states():
    counted: list[int] = []

    def work() -> None:
        for _ in range(250):
            counted.append(20_000)
            loop(20_000)

    with watched("auto", HERE) as told:
        work()
    want = sum(counted)
    for line, expected in ((2, want), (3, want), (4, want), (5, want // 100)):
        place = __file__, loop.__code__.co_firstlineno + line
        assert abs(told.runs[place] - expected) <= 1.5 * told.error(place) + 0.02 * expected  # the error holds for 19 of 20
        assert told.error(place) < 3 * expected
    assert told.of(loop)[1] == 250  # cold
    assert told.error((__file__, loop.__code__.co_firstlineno + 1)) == 0


def tight(count: int) -> int:
    total = 0
    for number in range(count):
        total += number
    return total


def in_bursts() -> int:
    for _ in range(30):
        tight(20_000)
        time.sleep(0.005)  # is the work: what waits takes no processor time
    return 30 * 20_000


def in_short_calls() -> int:
    for _ in range(100):
        tight(20_000)
    return 100 * 20_000


def in_threads() -> int:
    threads = [threading.Thread(target=in_bursts) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 3 * 30 * 20_000


@pytest.mark.parametrize("work", [in_bursts, in_short_calls, in_threads])
def test_auto_is_right_about_work_that_comes_in_bursts(work):
    with watched("auto", HERE) as told:
        want = work()
    place = __file__, tight.__code__.co_firstlineno + 3
    assert want / 8 < told.runs[place] < want * 8
    assert abs(told.runs[place] - want) <= 1.5 * told.error(place) + 0.02 * want


# ---------------------------------------------------------------- where threads are


def recursive(number: int) -> int:
    if number < 2:
        return number
    return recursive(number - 1)


def test_a_function_that_begins_is_at_its_first_line():
    """That is where a thread that calls functions gives up Python's lock; the line of ``def`` takes no time."""
    code, said = recursive.__code__, []
    begin = next(each.offset for each in dis.get_instructions(code) if each.opname == "RESUME")
    names = Names(said.append)
    for at in (-1, begin, begin + 2):
        names.stack(types.SimpleNamespace(f_code=code, f_lasti=at, f_back=None))  # type: ignore[arg-type]
    frames = [message["frames"] for message in said if "frames" in message]
    assert [line for ((_, line),) in frames] == [code.co_firstlineno + 1] * 3


# ---------------------------------------------------------------- faults


def test_a_line_that_was_closed_while_another_thread_looked_tells_nothing():
    hot = _estimates.Hot(_estimates.Cost(_cost.Measured(100.0, 20.0)))
    period = _estimates.Period(1_000_000, 0, 10.0, {4: 10})
    assert hot.turn(period, [_estimates.Closing(3, _estimates.Spent(1000, 10.0, {4: 10}, {}))]) == {}


def test_whatever_fails_at_a_look_the_next_one_comes():
    writer, there, here = _segment.Writer(), *socket.socketpair()
    looks = []

    def fail():
        looks.append(1)
        raise ValueError("a fault of ours")

    link = _link.Link(there)
    sampler = _sampling.Sampler(writer, link, Names(link.tell), lambda _: None, 1000.0)
    sampler.before.append(fail)
    sampler.start()
    waiting.until(lambda: len(looks) > 2)
    sampler.stop()
    link.finish()
    here.close()
    writer.forget()
