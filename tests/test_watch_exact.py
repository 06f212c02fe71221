"""Lines are counted exactly, though not each run of each line is told of: programs made at random, beside what settrace tells."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.line_counts import Place, traced
from tests.line_programs import FILE, program
from tests.test_watch_lines import corpus, is_counted

if sys.version_info < (3, 12):
    pytest.skip("before Python 3.12, each run is told of", allow_module_level=True)

from manyhands._probe import _lines, _sparing
from manyhands._probe._counts import Exact
from manyhands._probe._files import Chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Work = Callable[[Callable[[], None]], None]

SEEDS = st.integers(0, 1 << 32)
few = settings(max_examples=10, deadline=None, phases=[Phase.reuse, Phase.generate])  # a smaller seed is no smaller program
fewer = settings(few, max_examples=6)


@pytest.fixture(autouse=True, scope="module")
def _soon() -> Iterator[None]:
    """What has run three times runs often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sparing, "_OFTEN", 3)
        patch.setattr(_sparing, "_MOSTLY", 0.3)
        patch.setattr(_sparing, "_RARELY", 4)
        patch.setattr(_lines, "_MOST_TIME", 1 << 60)
        yield


class Counted:
    """Counts of a program. It looks at them, and chooses what is not to be told of, whenever the program calls :meth:`look`.

    Attributes:
        runs: of each line.
        seen: what they were at each look.
        spared: how many lines were not told of.
    """

    def __init__(self, file: Callable[[str], bool] = FILE.__eq__, *, sparing: bool = True) -> None:
        self.counter = Exact(_lines.NO_MORE)
        self.means = _lines.Means(self.counter, Chosen(file))
        self.runs: Counter[Place] = Counter()
        self.seen: list[dict[Place, int]] = []
        self.spared = 0
        self._is_sparing = sparing
        self._looking = threading.Lock()

    def of(self, work: Callable[[], object]) -> Counter[Place]:
        """Do it, and count."""
        self.means.start()
        try:
            work()
        finally:
            self.spared = sum(len(code.spared) for code in self.sparing._codes.values())
            self.means.stop()
            self.take()
        return self.runs

    @property
    def sparing(self) -> Any:
        return self.counter.sparing

    def take(self) -> None:
        for news in self.counter.news():
            self.runs[news.file, news.line] += news.runs

    def look(self) -> None:
        if self._looking.acquire(blocking=False):
            try:
                self.take()
                self.seen.append(dict(self.runs))
                if self._is_sparing:
                    self.means.spare([place for place, runs in self.runs.items() if runs >= _sparing._OFTEN])
            finally:
                self._looking.release()


def settrace(work: Work) -> Counter[Place]:
    return traced(lambda: work(lambda: None), lambda path: path == FILE)


def shown(work: Work, found: Counter[Place], expected: Counter[Place]) -> str:
    """Where counts differ."""
    text = str(work.__doc__).splitlines()
    lines = sorted(line for _, line in found.keys() | expected.keys() if found[FILE, line] != expected[FILE, line])
    return "\n".join(f"{line}: {found[FILE, line]}, not {expected[FILE, line]}: {text[line - 1]}" for line in lines)


@few
@given(seed=SEEDS)
def test_programs_are_counted_as_settrace_counts_them(seed):
    work, counted = program(Random(seed)), Counted()
    found, expected = counted.of(partial(work, counted.look)), settrace(work)
    assert found == expected, shown(work, found, expected)


@few
@given(seed=SEEDS)
def test_at_each_moment_the_counts_are_those_of_lines_that_are_all_told_of(seed):
    work, counted, plain = program(Random(seed)), Counted(), Counted(sparing=False)
    counted.of(partial(work, counted.look))
    plain.of(partial(work, plain.look))
    assert plain.spared == 0
    assert counted.seen == plain.seen
    assert counted.runs == plain.runs


@fewer
@given(seed=SEEDS)
def test_another_tool_that_has_all_events_begin_anew_has_nothing_counted_twice(seed):
    work, counted = program(Random(seed)), Counted()

    def look() -> None:
        counted.look()
        sys.monitoring.restart_events()

    found, expected = counted.of(partial(work, look)), settrace(work)
    assert found == expected, shown(work, found, expected)


@fewer
@given(seed=SEEDS)
def test_a_program_whose_lines_come_again_in_other_code_while_it_runs(seed):
    work, again, looks = program(Random(seed)), program(Random(seed)), 0

    def twice(look: Callable[[], None]) -> None:
        nonlocal looks
        looks = 0
        work(partial(looked, look))

    def looked(look: Callable[[], None]) -> None:
        nonlocal looks
        looks += 1
        look()
        if looks in {5, 20}:
            again(look)

    counted = Counted()
    found, expected = counted.of(partial(twice, counted.look)), settrace(twice)
    assert found == expected, shown(work, found, expected)


@fewer
@given(seed=SEEDS)
def test_threads_in_the_same_code(seed):
    work, counted = program(Random(seed)), Counted()

    def at_once() -> None:
        threads = [threading.Thread(target=work, args=(counted.look,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        found = counted.of(at_once)
    finally:
        sys.setswitchinterval(before)
    expected = Counter({place: 3 * runs for place, runs in settrace(work).items()})
    assert found == expected, shown(work, found, expected)


@fewer
@given(seed=SEEDS, first=st.integers(1, 20))
def test_counting_that_begins_in_the_midst_of_it(seed, first):
    work = program(Random(seed))

    def counted_from_then_on(counted: Counted) -> Counted:
        looks = 0

        def look() -> None:
            nonlocal looks
            looks += 1
            if looks == first:
                counted.means.start()
            if looks >= first:
                counted.look()

        try:
            work(look)
        finally:
            counted.means.stop()
            counted.take()
        return counted

    found, expected = counted_from_then_on(Counted()), counted_from_then_on(Counted(sparing=False))
    assert found.seen == expected.seen
    assert found.runs == expected.runs


def test_modules_of_the_standard_library_are_counted_as_settrace_counts_them(monkeypatch):
    monkeypatch.setattr(_sparing, "_OFTEN", 30)
    counted = Counted(is_counted)

    def twice(look: Callable[[], None]) -> None:
        for _ in range(2):
            corpus()
            look()

    corpus()  # caches are filled
    found, expected = counted.of(partial(twice, counted.look)), traced(partial(twice, lambda: None), is_counted)
    assert counted.spared > 100
    assert {place: runs for place, runs in found.items() if runs != expected[place]} == {}
    assert sum(found.values()) == sum(expected.values())


def test_of_a_loop_of_two_lines_one_is_told_of():
    source = "def loop(count):\n    total = 0\n    for number in range(count):\n        total += number\n    return total\n"
    names: dict[str, Any] = {}
    exec(compile(source, FILE, "exec"), names)
    counted = Counted()

    def work() -> None:
        for _ in range(3):
            names["loop"](100)
            counted.look()
        assert list(map(len, (code.spared for code in counted.sparing._codes.values()))) >= [1]

    assert counted.of(work) == {(FILE, 2): 3, (FILE, 3): 303, (FILE, 4): 300, (FILE, 5): 3}
