"""Verdicts, estimates and states of runs that a newcomer has seen to be told wrongly. No process, and no clock."""

from __future__ import annotations

import os

import pytest
from test_watch_model import NS, OURS, USER, Told, at, estimate

from manyhands._probe import _segment as told

FEED = (os.path.join(os.path.dirname(OURS), "_engine", "_feed.py"), 67, "take")
PICKLING = (os.path.join(os.path.dirname(OURS), "_codec", "_pickling.py"), 8, "encode")


def words(told_, when):
    verdict = told_.snapshot(when)["verdict"]
    return verdict["kind"], verdict["text"], verdict["remedy"]


def replaced(*, each=1.0, pause=0.0, lives=5, until=20.0, workers=2):
    """Each place has a new worker every so many tasks; the tasks of a place follow one another, and take as long."""
    told_ = Told(workers=0)
    told_.begin(total=1000, workers=workers)
    told_.ledger(0.0, 1000)
    for place in range(workers):
        now, pid = 0.0, 100 * (1 + place)
        while now + lives * each <= until:
            worker = told_.run.greet({"pid": pid, "role": "worker", "name": f"worker {place}"}, int(now * NS))
            for index in range(lives):
                now += each
                told_.done(now, pid, each, first=index)
            worker.end(int(now * NS))
            now, pid = now + pause, pid + 1
    told_.progress(until, 40)
    return told_


# ---------------------------------------------------------------- workers that are replaced


def test_a_worker_and_its_successor_are_not_two_that_have_unequal_work():
    told_ = Told(workers=0)
    told_.begin(total=40)
    told_.ledger(0.0, 40)
    for pid, name, since, count in ((10, "worker 0", 0, 20), (11, "worker 1", 0, 10), (12, "worker 1", 10, 10)):
        worker = told_.run.greet({"pid": pid, "role": "worker", "name": name}, since * NS)
        for index in range(count):
            told_.done(since + index + 1.0, pid, 1.0, first=index)
        if pid == 11:
            worker.end(10 * NS)
    assert words(told_, 20.0)[0] == "good"
    told_.progress(20.0, 40)
    told_.end(20.0)
    assert words(told_, 20.0) == ("good", "well used: workers were busy 100%", "")


@pytest.mark.parametrize("is_over", [False, True])
def test_workers_that_are_replaced_often_are_busy_all_the_same(is_over):
    told_ = replaced()
    if is_over:
        told_.end(20.0)
    assert words(told_, 20.0)[0] == "good"


def test_the_time_until_there_is_a_successor():
    told_ = replaced(pause=5.0, until=25.0)
    told_.end(25.0)
    kind, text, remedy = words(told_, 25.0)
    assert (kind, text) == ("replacing", "workers were idle 40%: 4 have ended, and it took 5 s until another was there")
    assert "max_tasks_per_child" in remedy


def test_processes_of_a_pool_that_follow_one_another_have_a_place_as_well():
    told_ = Told(workers=0)
    for number, (pid, since, until) in enumerate(((10, 0, 20), (11, 0, 8), (12, 8, 16), (13, 16, 20))):
        process = told_.run.greet({"pid": pid, "role": "process", "name": f"ForkPoolWorker-{number}"}, since * NS)
        for second in range(since, until):
            told_.done(second + 1.0, pid, 0.5, call=0)
        if until < 20:
            process.end(until * NS)
    told_.run.end(20 * NS, "done", "")
    assert words(told_, 20.0)[1].startswith("workers were idle 50%")


def test_of_the_workers_of_a_place_the_later_ones_have_a_number():
    told_ = Told(workers=0)
    for pid in (20, 21, 22):
        told_.run.greet({"pid": pid, "role": "worker", "name": "worker 0"}, 0)
    told_.run.greet({"pid": 21, "role": "worker", "name": "worker 0"}, 0)  # it had not been watched for a while
    told_.run.greet({"pid": 23, "role": "worker", "name": "worker 1"}, 0)
    names = {lane["pid"]: lane["name"] for lane in told_.snapshot(1.0)["lanes"]}
    assert [names[pid] for pid in (20, 21, 22, 23)] == ["worker 0", "worker 0 (2)", "worker 0 (3)", "worker 1"]


# ---------------------------------------------------------------- tasks that wait


def looked_at(told_, processors, queued=0.0):
    for second in range(11):
        for worker in told_.workers:
            worker.seen(second * NS, 10**8, processors, 1, queued)


@pytest.mark.parametrize("is_over", [False, True])
def test_tasks_that_wait_are_not_well_used_processors(is_over):
    told_ = Told(processors=2)
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    told_.steady(10.0)
    looked_at(told_, 0.1)
    if is_over:
        told_.end(10.0)
    kind, text, remedy = words(told_, 10.0)
    wait = "tasks waited for 90% of their time: workers used" if is_over else "tasks wait for 90% of their time: workers use"
    assert (kind, text) == ("blocked", f"{wait} 0.2 of 2 processors")
    assert "workers=" in remedy


def test_tasks_that_wait_for_a_processor():
    told_ = Told(processors=2)
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    told_.steady(10.0)
    looked_at(told_, 0.4, queued=0.5)
    text = "tasks wait for 60% of their time, mostly for a processor: workers use 0.8 of 2 processors"
    assert words(told_, 10.0) == ("blocked", text, "see what else runs on this machine")


def test_tasks_that_compute_do_not_wait():
    told_ = Told(processors=2)
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    told_.steady(10.0)
    looked_at(told_, 0.9)
    assert told_.verdict(10.0) == "good"


# ---------------------------------------------------------------- what the program does


@pytest.mark.parametrize(
    ("stack", "kind", "said"),
    [
        ([("/usr/lib/python3.11/random.py", 5, "f"), USER, FEED, USER], "inputs", "making the inputs takes the program 90% of its time"),
        ([FEED, USER], "inputs", "making the inputs takes the program 90% of its time"),  # a file is read, say
        ([PICKLING, FEED, USER], "parent", "reading and pickling inputs takes 90% of its time"),
        ([USER, PICKLING, FEED, USER], "parent", "reading and pickling inputs takes 90% of its time"),  # __reduce__
    ],
)
def test_making_inputs_is_not_pickling_them(stack, kind, said):
    told_ = Told()
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    told_.steady(5.0, busy=0.5)
    at(told_, told_.program, 1, 0.5, *stack)
    told_.progress(5.0, 500, preparing=4.5)
    found, text, remedy = words(told_, 5.0)
    assert found == kind
    assert text.endswith(said)
    assert remedy == ("make them in the tasks" if kind == "inputs" else "use larger chunks or share()")


def test_inputs_that_are_being_made_just_now_count():
    told_ = Told()
    told_.begin(total=None)
    told_.ledger(0.1, 200)
    told_.steady(5.0, busy=0.5)
    at(told_, told_.program, 1, 0.5, USER, FEED, USER)
    told_.progress(5.0, 200)
    assert words(told_, 5.0)[0] == "inputs"


def test_what_kept_workers_waiting_is_told_at_the_end_as_well():
    told_ = Told()
    told_.begin(total=100)
    told_.steady(5.0, busy=0.1)
    told_.ledger(5.0, 100, away=4.4)
    told_.progress(5.0, 100)
    told_.end(5.0)
    kind, text, remedy = words(told_, 60.0)
    assert (kind, text) == ("parent", "workers were idle 90%: the program did other things for 88% of the time")
    assert remedy == "take results without doing much with each"


# ---------------------------------------------------------------- a task that takes longer


def last_one_of_forty_runs(*, worker=10):
    told_ = Told()
    told_.begin(total=41)
    told_.ledger(0.1, 41)
    told_.steady(2.0)
    told_.running(2.0, worker, 40)
    return told_


@pytest.mark.parametrize("worker", [10, 12])  # the last has ended none before
def test_nobody_knows_how_long_a_task_takes_that_is_unlike_the_others(worker):
    told_ = last_one_of_forty_runs(worker=worker)
    for when in (2.5, 6.0, 12.0):
        assert estimate(told_, when) is None


def test_how_long_tasks_take_that_nobody_has_submitted_is_not_known():
    told_ = Told()
    told_.begin(total=None)
    told_.ledger(0.1, 40)
    told_.steady(2.0)
    assert estimate(told_, 2.0) is None


def test_a_task_that_takes_somewhat_longer_is_waited_for():
    told_ = last_one_of_forty_runs()
    left, error = estimate(told_, 2.2)
    assert left == pytest.approx(0.1)
    assert error == pytest.approx(0.1)


def test_one_long_task_among_many_that_are_left_is_no_reason_to_say_nothing():
    told_ = Told()
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    done = told_.steady(10.0)
    told_.running(9.0, 10, 500)
    assert estimate(told_, 10.0)[0] == pytest.approx((1000 - done) * 0.05, rel=0.05)


# ---------------------------------------------------------------- busy and idle


def state(told_, pid, when):
    return next(lane for lane in told_.snapshot(when)["lanes"] if lane["pid"] == pid)["state"]


@pytest.mark.parametrize(("share", "expected"), [(0.1, "idle"), (0.3, "idle"), (0.8, "busy"), (1.0, "busy")])
def test_a_worker_is_busy_if_it_is_so_most_of_the_time(share, expected):
    told_ = Told()
    told_.begin(total=10_000)
    for index in range(1, 201):
        told_.done(index * 0.01, 10, 0.01 * share, first=index)
    assert state(told_, 10, 2.0) == expected
    assert state(told_, 10, 4.0) == "idle"


def test_a_worker_is_busy_that_is_seen_at_work():
    told_ = Told()
    worker = told_.workers[0]
    at(told_, worker, 1, 1.0, USER)
    worker.figures = (0, 0, 0, 2 * NS, *worker.figures[4:])  # looked at then, and it was still there
    assert state(told_, 10, 2.0) == "busy"
    worker.read([told.Record(told.SAMPLE, 2 * NS, 10, 0, 0, 0, 0)])
    assert state(told_, 10, 4.0) == "idle"


# ---------------------------------------------------------------- pauses


def test_a_pause_is_no_work():
    told_ = Told()
    told_.begin(total=1000)
    told_.ledger(0.1, 1000)
    for pid in (10, 11):
        told_.done(1.0, pid, 1.0, first=pid)
        told_.running(1.0, pid, 10 + pid)
    at(told_, told_.workers[0], 1, 1.0, USER)
    told_.record(told.PAUSED, 4.0, 10, 1)
    before, later = told_.snapshot(4.0), told_.snapshot(20.0)
    assert [lane["busy"] for lane in later["lanes"][1:]] == [1.0, 1.0]
    assert before["efficiency"] == later["efficiency"] == 1.0
    assert later["verdict"]["text"] == "worker 10 is paused in the midst of a task"
    told_.record(told.PAUSED, 24.0, 10, 0)
    at(told_, told_.workers[0], 2, 25.0, USER)
    told_.done(25.0, 10, 24.0, first=20)
    shown = told_.snapshot(25.0)
    assert shown["slowest"][0]["took"] == pytest.approx(4.0)
    assert shown["files"][0]["own"] == pytest.approx(5.0)  # with the task before, in which nobody looked
    assert shown["lanes"][1]["busy"] == pytest.approx(1.0)


def test_workers_that_are_paused_are_counted():
    told_ = Told()
    told_.begin(total=1000)
    told_.running(0.0, 10, 1)
    for pid in (10, 11):
        told_.record(told.PAUSED, 1.0, pid, 1)
    assert words(told_, 2.0)[1] == "2 workers are paused, 1 in the midst of a task"
    told_.running(0.0, 11, 2)
    assert words(told_, 2.0)[1] == "2 workers are paused, all in the midst of a task"


# ---------------------------------------------------------------- attempts


def test_attempts_are_no_failures():
    told_ = Told()
    told_.begin(total=100)
    place, error = 10 << 32 | told_.text("work"), told_.text("ValueError: no")
    for index, attempt, again in ((0, 1, 1), (0, 2, 0), (1, 1, 1), (1, 2, 0), (7, 1, 1)):  # the last may do better next time
        told_.record(told.TASK_FAILED, 9.0, 1, index << 16 | attempt << 1 | again, error, place, 8 * NS)
    (error,) = told_.snapshot(9.0)["errors"]
    assert (error["count"], error["attempts"], error["tasks"]) == (2, 5, [0, 1, 7])
