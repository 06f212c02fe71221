"""What is made of what watched programs tell: the timeline, the estimate, the verdict, the snapshot. No process, and no clock."""

from __future__ import annotations

import itertools
import os
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import manyhands
from manyhands._probe import _segment as told
from manyhands.watch.observer import _questions, _verdicts
from manyhands.watch.observer._calls import Rate, Spread
from manyhands.watch.observer._estimate import eta
from manyhands.watch.observer._model import Run
from manyhands.watch.observer._process import Text
from manyhands.watch.observer._snapshot import snapshot
from manyhands.watch.observer._timeline import FAILED, Timeline

NS = 1_000_000_000
PROGRAM, WORKERS = 1, (10, 11, 12, 13)


# ---------------------------------------------------------------- timelines

tasks = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3000), st.integers(0, 3), st.integers(0, 1)), max_size=200)


def filled(tasks):
    """A timeline of (pause, length, function, flags) one after the other; and the tasks as they were."""
    line, now, known = Timeline(), 0, []
    for index, (pause, length, function, flags) in enumerate(tasks):
        begin, now = now + pause, now + pause + length
        line.add(begin, now, function=function, flags=flags, first=index)
        known.append((begin, now, function, flags))
    return line, known


@given(tasks, st.integers(0, 400_000), st.integers(1, 400_000), st.integers(1, 300))
def test_a_picture_shows_what_is_there_and_is_no_wider_than_it_has_to_be(tasks, begin, length, width):
    line, known = filled(tasks)
    end = begin + length
    bars = line.bars(begin, end, width)
    inside = [task for task in known if task[1] > begin and task[0] < end]
    assert sum(bar.count for bar in bars) >= len(inside)
    assert sum(bar.busy for bar in bars) >= sum(end - begin for begin, end, _, _ in inside)
    pixel = max(1, length // width)
    assert all(later.begin >= earlier.begin and later.end >= earlier.end for earlier, later in itertools.pairwise(bars))
    assert all(bar.count == 1 or bar.end - bar.begin <= pixel for bar in bars)
    assert len(bars) <= 2 * width + 2 or pixel == 1
    failed = [task for task in inside if task[3] & FAILED]
    assert all(any(bar.flags & FAILED and bar.begin <= task[0] and task[1] <= bar.end for bar in bars) for task in failed)


@pytest.mark.parametrize("width", [5, 10, 20, 40, 80, 160, 320])
def test_no_bar_of_several_tasks_is_wider_than_a_pixel(width):
    line, _ = filled([(10, 990, 0, 0)] * 640)
    bars = line.bars(0, 640_000, width)
    assert sum(bar.count for bar in bars) == 640
    assert all(bar.count == 1 or bar.end - bar.begin <= 640_000 // width for bar in bars)
    assert len(bars) <= 2 * width


@given(tasks)
def test_every_task_can_be_seen_alone(tasks):
    line, known = filled(tasks)
    end = known[-1][1] + 1 if known else 1
    bars = line.bars(0, end, end)
    assert [(bar.begin, bar.end, bar.function, bar.flags) for bar in bars if bar.count == 1 and bar.end - bar.begin > 1] == [
        task for task in known if task[1] - task[0] > 1
    ]


def test_a_million_tasks_take_little_memory_and_are_drawn_at_once():
    line, now, lengths = Timeline(), 0, [random.Random(1).randrange(500_000, 3_000_000) for _ in range(100)]
    begin = time.process_time()
    for index in range(1_000_000 // 20):
        now += lengths[index % 100]
        line.add(now - lengths[index % 100], now, first=index)
    per_task = (time.process_time() - begin) / (1_000_000 // 20)
    assert per_task < 40e-6  # 2 µs on a machine that does nothing else
    size = sum(column.itemsize * len(column) for row in line._rows for column in (row.begin, row.end, row.busy, row.what, row.first))
    assert size < 48 * len(line)
    begin = time.process_time()
    bars = line.bars(0, now, 1200)
    assert time.process_time() - begin < 0.5
    assert len(bars) <= 2400
    assert sum(bar.count for bar in bars) == 50_000


def test_the_function_of_a_bar_is_that_which_took_longest():
    line = Timeline()
    for index in range(64):
        line.add(index * 100, index * 100 + (90 if index % 8 == 3 else 5), function=7 if index % 8 == 3 else 1)
    assert {bar.function for bar in line.bars(0, 6400, 8)} == {7}


# ---------------------------------------------------------------- rates and spreads


def test_a_rate_is_that_of_the_last_seconds():
    rate = Rate(0)
    for second in range(100):
        rate.note(second * NS, 5 if second < 80 else 50)
    assert rate.lately(100 * NS) == pytest.approx(50, rel=0.15)
    assert rate.lately(200 * NS) == 0


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(1e3, 1e9)), min_size=1, max_size=50))
def test_a_spread_knows_the_mean(groups):
    spread = Spread()
    for count, each in groups:
        spread.note(count, int(count * each))
    mean = sum(int(count * each) for count, each in groups) / sum(count for count, _ in groups)
    assert spread.mean == pytest.approx(mean, rel=1e-6)
    assert spread.variation >= 0


@pytest.mark.parametrize("together", [1, 20])
def test_how_much_tasks_differ_does_not_depend_on_how_they_are_told(together):
    spread, numbers = Spread(), random.Random(3)
    for _ in range(2000 // together):
        spread.note(together, sum(round(numbers.gauss(1e6, 2e5)) for _ in range(together)))
    assert spread.variation == pytest.approx(0.2, rel=0.25)


# ---------------------------------------------------------------- a run that is told


class Told:
    """A run of a program with some workers, told by records. Times are seconds."""

    def __init__(self, workers=2, processors=4):
        self.run = Run("token", "program.py", 0)
        self.texts = {}
        self.program = self.run.greet({"pid": PROGRAM, "role": "program", "name": "program.py"}, 0)
        self.program.hear({"machine": {"processors": processors}})
        self.workers = [self.run.greet({"pid": pid, "role": "worker", "name": f"worker {pid}"}, 0) for pid in WORKERS[:workers]]

    def text(self, text):
        if text not in self.texts:
            self.texts[text] = len(self.texts) + 1
            self.program.hear({"text": self.texts[text], "is": text})
        return self.texts[text]

    def record(self, kind, at, *words):
        words = [int(word) for word in words] + [0] * (5 - len(words))
        self.program.read([told.Record(kind, int(at * NS), *words)])
        self.run.catch_up()

    def begin(self, at=0.0, total=100, workers=2, function="work", call=1):
        self.record(told.CALL_BEGUN, at, call, self.text(function), 0 if total is None else total + 1, workers, self.text("processes"))

    def done(self, at, worker, seconds, first=0, count=1, call=1, function="work"):
        begun = at - seconds
        self.record(told.TASKS_DONE, at, call, first << 32 | count, worker << 32 | self.text(function), begun * NS, seconds * NS)

    def progress(self, at, done, *, failed=0, sent=0, received=0, preparing=0.0, collecting=0.0, call=1):
        self.record(told.PROGRESS, at, call, done << 32 | failed, sent, received, int(preparing * 1000) << 32 | int(collecting * 1000))

    def ledger(self, at, submitted, *, first_start=0.0, away=0.0, chunk=1, fixed=False, hired=False, call=1):
        self.record(told.LEDGER, at, call, submitted, first_start * NS, away * 1000, chunk << 2 | fixed << 1 | hired)

    def running(self, at, worker, index, call=1):
        self.record(told.RUNNING, at, worker, call << 32 | index, self.text("work"), 0, 1)

    def end(self, at, call=1):
        self.record(told.CALL_ENDED, at, call)

    def steady(self, until, *, each=0.1, workers=(10, 11), busy=1.0):
        """Tasks that take ``each``, one after the other in every worker, for a share of the time."""
        count = int(until / (each / busy))
        for index in range(count):
            for worker in workers:
                self.done((index + 1) * each / busy, worker, each, first=index)
        self.progress(until, count * len(workers))
        return count * len(workers)

    def snapshot(self, at):
        return snapshot(self.run, int(at * NS))

    def verdict(self, at):
        found = _verdicts.find(self.run, int(at * NS))
        return None if found is None else found.kind


@pytest.mark.parametrize(
    ("how", "explained", "died"),
    [
        ("", None, False),
        ("killed by SIGKILL", None, True),
        ("killed by SIGTERM", None, False),  # pools of multiprocessing end their workers so
        ("killed by SIGTERM", "killed by SIGTERM", True),  # ours say what was not meant
    ],
)
def test_a_process_has_died_if_it_was_not_meant_to(how, explained, died):
    process = Told().run.processes[10]
    process.end(NS, how)
    if explained is not None:
        process.explain(explained)
        process.end(2 * NS, how)
    assert process.has_died == died


def test_a_snapshot_counts_what_was_told():
    told_ = Told()
    told_.begin(total=100)
    told_.done(1.0, 10, 0.5, first=0)
    told_.done(1.1, 11, 0.6, first=1, count=3)
    told_.progress(1.1, 4, failed=1, sent=1000, received=10)
    shown = told_.snapshot(2.0)
    assert (shown["done"], shown["failed"], shown["total"], shown["sent"]) == (4, 1, 100, 1000)
    lanes = {lane["pid"]: lane for lane in shown["lanes"]}
    assert (lanes[10]["tasks"], lanes[11]["tasks"]) == (1, 3)
    assert lanes[10]["busy"] == pytest.approx(0.25)
    assert lanes[10]["function"] == "work"


def test_a_text_may_be_told_after_what_names_it():
    told_ = Told()
    told_.program.read([told.Record(told.CACHE, NS, 77, 3 << 32 | 1, NS, 0, 0)])
    told_.run.catch_up()
    assert told_.snapshot(1.0)["cache"] == []
    told_.program.hear({"text": 77, "is": "module.slow"})
    told_.run.catch_up()
    (cache,) = told_.snapshot(1.0)["cache"]
    assert (cache["function"], cache["hits"], cache["misses"], cache["saved"]) == ("module.slow", 3, 1, 1.0)


def test_the_task_of_a_lane_is_there_until_it_has_ended():
    told_ = Told()
    told_.begin()
    told_.running(1.0, 10, 5)
    told_.done(0.9, 10, 0.5, first=4)  # told late
    lane = next(lane for lane in told_.snapshot(2.0)["lanes"] if lane["pid"] == 10)
    assert (lane["task"]["number"], lane["task"]["for"], lane["state"]) == (5, 1.0, "busy")
    told_.done(2.5, 10, 1.5, first=5)
    lane = next(lane for lane in told_.snapshot(4.0)["lanes"] if lane["pid"] == 10)
    assert (lane["task"], lane["state"]) == (None, "idle")


def test_of_calls_that_ended_long_ago_sums_are_kept():
    told_ = Told()
    for call in range(1, 501):
        told_.begin(call / 10, total=3, call=call)
        told_.progress(call / 10, 3, call=call)
        told_.end(call / 10, call=call)
    shown = told_.snapshot(60.0)
    assert (shown["done"], shown["total"]) == (1500, 1500)
    assert len(told_.run.calls) < 250


def test_a_worker_that_its_pool_has_ended_has_not_died():
    told_ = Told()
    told_.workers[0].end(NS, "killed by SIGKILL")
    assert told_.snapshot(1.0)["lanes"][1]["died"]
    told_.record(told.WORKER_ENDED, 1.0, 10, 1, told_.text("was stopped: its task was cancelled"))
    lane = told_.snapshot(1.0)["lanes"][1]
    assert (lane["state"], lane["died"], lane["how"]) == ("gone", False, "was stopped: its task was cancelled")


def test_of_many_workers_that_have_gone_the_last_are_shown():
    told_ = Told(workers=0)
    for pid in range(100, 1400):
        told_.run.greet({"pid": pid, "role": "worker"}, pid * NS).end(pid * NS + 1)
    shown = told_.snapshot(1400.0)
    assert [lane["pid"] for lane in shown["lanes"] if lane["role"] == "worker"] == list(range(1380, 1400))
    assert len(told_.run.processes) < 450


def test_what_comes_from_a_cache_is_marked_in_the_timeline():
    told_ = Told()
    told_.begin()
    told_.done(1.0, 10, 0.9, first=0)
    told_.done(1.2, 10, 0.01, first=1)
    told_.record(told.CACHE, 1.3, told_.text("program.work"), 1 << 32 | 1, 0.9 * NS, 0.9 * NS)
    answer = _questions.timeline(told_.run, 0.0, 2.0, 1000, 2 * NS)
    (lane,) = answer["lanes"]
    assert [(bar[5], bar[6]) for bar in lane["bars"]] == [(0, 0), (2, 1)]
    assert answer["functions"] == ["work"]


def test_the_timeline_has_the_arguments_of_tasks_where_they_are_known():
    told_ = Told()
    told_.begin()
    told_.done(1.0, 10, 0.5, first=0)
    told_.done(1.2, 10, 0.1, first=1)
    (worker,) = told_.run.timelines
    told_.run.note_arguments(worker, 0, int(0.5 * NS), Text({1: "'a.txt'"}, 1))
    (lane,) = _questions.timeline(told_.run, 0.0, 2.0, 1000, 2 * NS)["lanes"]
    assert [bar[7:] for bar in lane["bars"]] == [["'a.txt'"], []]


def test_loose_tasks_have_a_total_as_far_as_it_is_known():
    told_ = Told()
    told_.done(1.0, 10, 0.5, call=0)
    assert told_.snapshot(1.0)["total"] is None
    told_.record(told.LEDGER, 1.0, 0, 9)
    shown = told_.snapshot(1.0)
    assert (shown["done"], shown["total"]) == (1, 10)


# ---------------------------------------------------------------- estimates


def estimate(told_, at):
    return eta(told_.run, told_.run.calls[PROGRAM, 1], int(at * NS))


def test_an_estimate_needs_some_tasks():
    told_ = Told()
    told_.begin(total=100)
    told_.progress(1.0, 2)
    assert estimate(told_, 1.0) is None
    told_.begin(total=None, call=2)
    told_.progress(1.0, 50, call=2)
    assert eta(told_.run, told_.run.calls[PROGRAM, 2], NS) is None


def test_an_estimate_of_steady_tasks_is_right():
    told_ = Told()
    told_.begin(total=1000)
    done = told_.steady(10.0, each=0.1)
    left, error = estimate(told_, 10.0)
    assert left == pytest.approx((1000 - done) * 0.05, rel=0.05)
    assert 0 < error < 0.2 * left


def test_of_inputs_that_are_read_as_they_are_needed_nobody_knows_how_many_there_are():
    told_ = Told()
    told_.begin(total=None)
    told_.ledger(0.1, 52, chunk=1)
    told_.progress(1.0, 50)
    assert estimate(told_, 1.0) is None
    assert told_.snapshot(1.0)["total"] is None
    told_.progress(2.0, 52)
    told_.end(2.0)
    assert told_.snapshot(2.0)["total"] == 52


def test_when_a_straggler_ends_cannot_be_told():
    told_ = Told()
    told_.begin(total=41)
    told_.ledger(0.1, 41)
    told_.steady(2.0)
    told_.running(2.0, 10, 40)
    assert estimate(told_, 2.05)[0] < 0.1
    assert estimate(told_, 8.0) is None


def test_what_the_first_tasks_tell_is_not_sure():
    told_ = Told()
    told_.begin(total=100)
    for worker in (10, 11):
        told_.done(0.5, worker, 0.3, count=2)
    told_.progress(0.5, 4)
    left, error = estimate(told_, 0.5)
    assert error >= left / 4


def test_the_time_until_there_were_workers_does_not_count():
    told_ = Told()
    told_.begin(total=100)
    told_.ledger(6.0, 100, first_start=5.0)
    for index in range(10):
        told_.done(5.1 + index * 0.1, 10, 0.1, first=index)
    told_.progress(6.0, 10)
    assert estimate(told_, 6.0)[0] == pytest.approx(9.0, rel=0.1)


def test_what_has_been_done_of_long_tasks_counts():
    told_ = Told()
    told_.begin(total=8)
    for index in range(6):
        told_.done(60.0 * (1 + index // 2), 10 + index % 2, 60.0, first=index)
    told_.progress(180.0, 6)
    for worker in (10, 11):
        told_.running(180.0, worker, 6 + worker % 2)
    assert estimate(told_, 210.0)[0] == pytest.approx(30.0, rel=0.2)


def misses(seed):
    """How far an estimate is from what came, in units of its error; tasks differ as those do that wait for something at random."""
    numbers = random.Random(seed)
    lengths = [numbers.expovariate(1.0) for _ in range(200)]
    told_ = Told(workers=1)
    told_.begin(total=200, workers=1)
    now = 0.0
    for index, length in enumerate(lengths[:60]):
        now += length
        told_.done(now, 10, length, first=index)
        told_.progress(now, index + 1)
    left, error = estimate(told_, now)
    assert error < 0.5 * left
    return abs(left - sum(lengths[60:])) / error


def test_two_in_three_estimates_are_as_right_as_they_say():
    found = [misses(seed) for seed in range(60)]
    assert 30 <= sum(each < 1 for each in found) <= 52
    assert sum(each < 2 for each in found) >= 50


# ---------------------------------------------------------------- verdicts


def test_nothing_is_said_too_soon():
    told_ = Told()
    assert told_.verdict(1.0) is None
    told_.begin()
    assert told_.verdict(0.5) is None


def test_well_used_workers():
    told_ = Told()
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    told_.steady(5.0)
    assert told_.verdict(5.0) == "good"
    shown = told_.snapshot(5.0)["verdict"]
    assert shown == {"kind": "good", "text": "well used: workers are busy 100%", "remedy": ""}


def test_a_parent_that_is_the_bottleneck():
    told_ = Told()
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    told_.steady(5.0, busy=0.5)
    told_.progress(5.0, 500, preparing=3.05)
    assert told_.verdict(5.0) == "parent"
    verdict = told_.snapshot(5.0)["verdict"]
    assert verdict["text"] == "workers are idle 50%: the parent is the bottleneck, reading and pickling inputs takes 61% of its time"
    assert verdict["remedy"] == "use larger chunks or share()"


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({"preparing": 3.0, "sent": 10**9}, "pickling"),
        ({"collecting": 3.0}, "pickling"),
        ({"preparing": 0.1}, "waiting"),
    ],
)
def test_what_keeps_workers_waiting(how, kind):
    told_ = Told()
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    told_.steady(5.0, busy=0.5)
    told_.progress(5.0, 500, **how)
    assert told_.verdict(5.0) == kind


def test_what_kept_workers_waiting_is_known_afterwards():
    told_ = Told()
    told_.begin(total=500)
    told_.ledger(0.1, 500)
    told_.steady(5.0, busy=0.5)
    told_.progress(5.0, 500, preparing=3.05)
    told_.end(5.0)
    assert told_.verdict(9.0) == "parent"
    text = "workers were idle 50%: the parent was the bottleneck, reading and pickling inputs took 61% of its time"
    assert told_.snapshot(9.0)["verdict"]["text"] == text


def test_a_generator_that_is_slow_is_not_helped_by_larger_chunks():
    told_ = Told()
    told_.begin(total=None)
    told_.ledger(0.1, 502, chunk=1)
    told_.steady(5.0, busy=0.5)
    told_.progress(5.0, 500, preparing=4.0)
    assert told_.verdict(5.0) == "parent"
    assert told_.snapshot(5.0)["verdict"]["remedy"] == "have the tasks make or read their inputs themselves, or share()"


def test_a_program_that_does_something_else():
    told_ = Told()
    told_.begin(total=1000)
    told_.steady(5.0, busy=0.5)
    told_.ledger(5.0, 1000, away=4.0)
    assert told_.verdict(5.0) == "parent"
    assert "other things for 80%" in told_.snapshot(5.0)["verdict"]["text"]


def test_tasks_that_are_too_small():
    told_ = Told()
    told_.begin(total=10**6)
    told_.ledger(0.1, 10**6, chunk=1, fixed=True)
    for worker in (10, 11):
        told_.done(5.0, worker, 1.0, count=100_000)
    told_.progress(5.0, 200_000, preparing=4.0)
    assert told_.verdict(5.0) == "tiny"
    assert told_.snapshot(5.0)["verdict"]["remedy"] == 'send more of them together than 1, or chunk="auto"'


def test_a_straggler_is_named_while_it_runs_and_afterwards():
    told_ = Told()
    told_.begin(total=41)
    told_.ledger(0.1, 41)
    told_.steady(2.0)
    told_.running(2.0, 10, 40)
    assert told_.verdict(8.0) == "straggler"
    assert "1 of 2 workers wait for the last task: it has run 6 s" in told_.snapshot(8.0)["verdict"]["text"]
    told_.done(9.0, 10, 7.0, first=40)
    told_.progress(9.0, 41)
    told_.end(9.0)
    assert told_.verdict(20.0) == "straggler"
    assert "task 40 alone took 7 s of 9 s, others 100 ms each" in told_.snapshot(20.0)["verdict"]["text"]


def test_uneven_work():
    told_ = Told()
    told_.begin(total=40)
    told_.ledger(0.1, 40, chunk=10, fixed=True)
    for index in range(30):
        told_.done((index + 1) * 0.2, 10, 0.2, first=index)
    for index in range(10):
        told_.done((index + 1) * 0.2, 11, 0.2, first=30 + index)
    told_.progress(6.0, 40)
    told_.end(6.0)
    assert told_.verdict(6.0) == "imbalance"
    assert told_.snapshot(6.0)["verdict"]["remedy"] == "use more and smaller tasks, in smaller chunks"


def test_threads_that_compete_for_processors():
    told_ = Told(workers=2, processors=4)
    told_.begin(total=1000)
    told_.steady(5.0)
    for worker in told_.workers:
        worker.seen(5 * NS, 10**8, 2.0, 4)
    assert told_.verdict(5.0) == "oversubscribed"
    verdict = told_.snapshot(5.0)["verdict"]
    assert verdict["text"] == "8 threads of 2 workers compete for 4 processors"
    assert verdict["remedy"] == "give numeric libraries 2 threads a worker (OMP_NUM_THREADS=2)"


def test_memory_that_grows():
    told_ = Told()
    told_.begin(total=1000)
    told_.steady(5.0)
    for second in range(60):
        told_.workers[0].seen(second * NS, 10**8 + second * 10**7, 1.0, 1)
        told_.workers[1].seen(second * NS, 10**8, 1.0, 1)
    assert told_.verdict(60.0) == "memory"
    assert told_.snapshot(60.0)["verdict"]["text"].startswith("the memory of worker 10 grows by 10 MB a second")
    for worker in told_.workers:
        worker.seen(60 * NS, 0, 0.0, 0)  # it is just ending
        worker.end(60 * NS)
    told_.run.end(60 * NS, "done", "")
    assert min(lane["memory"] for lane in told_.snapshot(90.0)["lanes"] if lane["role"] == "worker") > 0
    assert told_.snapshot(90.0)["verdict"]["text"] == "the memory of worker 10 grew by 10 MB a second, to 690 MB in the end"


def test_memory_that_grew_once_does_not_grow():
    told_ = Told()
    told_.begin(total=1000)
    told_.steady(5.0)
    for second in range(60):
        told_.workers[0].seen(second * NS, 10**8 if second < 10 else 10**9, 1.0, 1)
    assert told_.verdict(60.0) != "memory"


def test_tasks_that_fail():
    told_ = Told()
    told_.begin(total=100)
    for index in range(8):
        place = 10 << 32 | told_.text("work")
        told_.record(told.TASK_FAILED, 1 + index, 1, index << 16 | 2, told_.text("ValueError: no"), place, index * NS)
    told_.progress(9.0, 10, failed=8)
    assert told_.verdict(9.0) == "failing"
    assert told_.snapshot(9.0)["verdict"]["text"] == "8 of 10 tasks have failed, most with ValueError"


def test_few_tasks_for_many_workers():
    told_ = Told(workers=2)
    told_.begin(total=2, workers=8)
    told_.ledger(0.1, 2)
    told_.done(5.0, 10, 5.0)
    told_.done(1.0, 11, 1.0)
    told_.progress(5.0, 2)
    told_.end(5.0)
    assert told_.verdict(5.0) == "few"


@pytest.mark.parametrize("state", ["done", "failed", "interrupted", "died"])
def test_workers_that_end_with_their_program_are_not_lost(state):
    told_ = Told()
    told_.workers[0].end(9 * NS, "killed by SIGSEGV")
    told_.workers[1].end(int(9.9 * NS), "killed by SIGKILL")  # may be heard of before
    late = told_.run.greet({"pid": 12, "role": "worker"}, 0)
    told_.run.end(10 * NS, state, "")
    late.end(10 * NS + 1, "killed by SIGKILL")
    died = {lane["pid"] for lane in told_.snapshot(11.0)["lanes"] if lane["died"]}
    assert died == ({10} if state in {"interrupted", "died"} else {10, 11})


def at(told_, process, stack, when, *frames, task=1, own_task=0, cpu=0.0):
    """A thread of a process, its main one, is seen at a stack of (file, line, name), the innermost first."""
    for number, (file, _, name) in enumerate(frames):
        process.hear({"code": 100 * stack + number, "file": file, "name": name, "line": 1})
    process.hear({"stack": stack, "frames": [[100 * stack + number, frame[1]] for number, frame in enumerate(frames)]})
    thread = process.pid if not own_task else 77
    process.read([told.Record(told.SAMPLE, int(when * NS), thread, stack, int(cpu * NS), task, own_task)])


USER = ("/home/me/model.py", 8, "solve")
OURS = os.path.join(os.path.dirname(manyhands.__file__), "_x.py")


def test_a_line_that_waits_in_a_task_is_hot():
    told_ = Told()
    for when in (1.0, 1.5, 2.0):
        at(told_, told_.workers[0], 1, when, USER)
        at(told_, told_.program, 1, when, USER, task=0, own_task=1)
        at(told_, told_.workers[1], 1, when, ("/home/me/idle.py", 1, "f"), task=0)
    assert [(file["path"], file["own"]) for file in told_.snapshot(2.0)["files"]] == [(USER[0], 2.0)]


def test_the_time_of_short_tasks_is_that_of_the_lines_they_are_seen_at():
    """Looks find a worker between its tasks, most often: there it gives up Python's lock."""
    told_ = Told()
    worker = told_.workers[0]
    for second in range(1, 11):
        at(told_, worker, *((1, second, USER) if second == 4 else (0, second)), task=0, cpu=0.9)
        told_.done(second, 10, 0.9, first=second * 100, count=100)
    (file,) = told_.snapshot(10.0)["files"]
    assert file["own"] == pytest.approx(9.0, abs=1.0)
    assert file["hits"] < 10  # looks, not tasks


@pytest.mark.parametrize(("level", "counts"), [("sample", "looks"), ("touch", "touched"), ("auto", "runs"), ("exact", "runs")])
def test_it_is_told_what_hits_are(level, counts):
    told_ = Told()
    worker = told_.workers[0]
    figures = [0] * told.FIGURES
    figures[told.LEVEL] = told.LEVELS.index(level)
    worker.figures = tuple(figures)
    at(told_, worker, 1, 1.0, USER)
    at(told_, worker, 1, 2.0, USER)
    if level != "sample":
        worker.read([told.Record(told.LINES, NS, 100, 8, 1, 0, 0)])
    assert [file["counts"] for file in told_.snapshot(2.0)["files"]] == [counts]
    assert _questions.heat(told_.run, worker, USER[0], None)["counts"] == counts
    assert [file["counts"] for file in _questions.files(told_.run)] == [counts]


def test_what_manyhands_does_for_a_line_is_its_own():
    told_ = Told()
    inside = [("/usr/lib/python3.11/threading.py", 5, "wait"), (OURS, 3, "_wait"), (OURS, 2, "map")]
    at(told_, told_.workers[0], 1, 1.0, *inside, USER)
    at(told_, told_.workers[1], 1, 1.0, *inside)
    lanes = {lane["pid"]: lane["stack"] for lane in told_.snapshot(1.0)["lanes"]}
    assert lanes[10] == [list(USER)]
    assert lanes[11] == []


def test_the_programs_own_files_come_first():
    told_ = Told()
    at(told_, told_.workers[0], 1, 1.0, ("/usr/lib/python3.11/json/decoder.py", 5, "decode"), USER)
    at(told_, told_.workers[0], 2, 9.0, USER)
    at(told_, told_.workers[0], 3, 10.0, (OURS, 1, "f"))
    assert [file["path"] for file in told_.snapshot(9.0)["files"]] == [USER[0], "/usr/lib/python3.11/json/decoder.py"]


def test_tasks_of_no_call_have_an_efficiency_and_a_number():
    told_ = Told()
    told_.record(told.LEDGER, 0.0, 0, 100)
    for number in range(20):
        told_.done((number + 1) / 2, 10, 0.25, first=number, call=0)
        told_.record(told.LEDGER, (number + 1) / 2, 0, 98 - number)  # told at another time
    shown = told_.snapshot(10.0)
    assert (shown["done"], shown["total"]) == (20, 100)
    assert shown["efficiency"] == pytest.approx(0.5)
    assert not shown["verdict"]["text"].startswith("well")
