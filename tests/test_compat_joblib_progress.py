"""Progress bars, as programs make them of joblib's callbacks and of subclasses of ``Parallel``."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import re
import threading
import time

import joblib_tasks as tasks
import pytest
from joblib_bars import Bar, tqdm_joblib

from manyhands.compat.joblib import Parallel, delayed
from manyhands.compat.joblib import parallel as names

BACKENDS = ["loky", "multiprocessing", "threading", "sequential"]
OF_WORKERS = BACKENDS[:3]
RETURNS = ["list", "generator", "generator_unordered"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
def test_a_callback_that_is_put_in_place(backend, return_as):
    with tqdm_joblib(Bar()) as bar:
        assert len(list(Parallel(n_jobs=2, backend=backend, return_as=return_as)(delayed(tasks.square)(i) for i in range(20)))) == 20
    assert bar.n == 20
    Parallel(n_jobs=2)(delayed(tasks.square)(i) for i in range(20))
    assert bar.n == 20


class ProgressParallel(Parallel):
    def __init__(self, bar, *args, total=None, **kwargs):
        self.bar, self.total = bar, total
        super().__init__(*args, **kwargs)

    def __call__(self, *args, **kwargs):
        return Parallel.__call__(self, *args, **kwargs)

    def print_progress(self):
        self.bar.total = self.n_dispatched_tasks if self.total is None else self.total
        self.bar.n = self.n_completed_tasks
        self.bar.refresh()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_subclass_that_shows_progress(backend):
    bar = Bar()
    assert ProgressParallel(bar, n_jobs=2, backend=backend, batch_size=1)(delayed(tasks.square)(i) for i in range(20)) == [
        i * i for i in range(20)
    ]
    assert (bar.n, bar.total) == (20, 20)
    assert bar.seen == sorted(bar.seen)
    assert len(bar.seen) > 5


def test_a_method_that_is_put_in_place(monkeypatch):
    seen = []
    monkeypatch.setattr(names.Parallel, "print_progress", lambda self: seen.append(self.n_completed_tasks))
    Parallel(n_jobs=2)(delayed(tasks.square)(i) for i in range(20))
    assert seen[-1] == 20


def test_progress_does_not_wait_for_the_first_call():
    go = threading.Event()

    class Going(Parallel):
        def print_progress(self):
            if self.n_completed_tasks >= 9:
                go.set()

    calls = [delayed(go.wait)(20), *(delayed(tasks.square)(i) for i in range(9))]
    assert Going(n_jobs=2, backend="threading")(calls) == [True, *(i * i for i in range(9))]


@pytest.mark.parametrize(("verbose", "stream"), [(1, "err"), (11, "err"), (51, "out")])
@pytest.mark.parametrize("inputs", [list, iter])
def test_verbose(verbose, stream, inputs, capsys):
    Parallel(n_jobs=2, verbose=verbose, batch_size=1)(inputs([delayed(tasks.square)(i) for i in range(12)]))
    captured = capsys.readouterr()
    lines = getattr(captured, stream).splitlines()
    assert lines[0] == "[Parallel(n_jobs=2)]: Using backend LokyBackend with 2 concurrent workers."
    assert re.fullmatch(r"\[Parallel\(n_jobs=2\)\]: Done +12 out of +12 \| elapsed: +[\d.]+s finished", lines[-1])
    pattern = r"\[Parallel\(n_jobs=2\)\]: Done +\d+ (out of +12|tasks +) ?\| elapsed: +[\d.]+s( remaining: +[\d.]+s)?"
    assert all(re.fullmatch(pattern, line) for line in lines[1:-1])
    assert len(lines) > 4 or verbose == 1
    assert getattr(captured, "out" if stream == "err" else "err") == ""


# ------------------------------------------------------------ callbacks


def test_a_callback_whose_call_is_put_in_place(monkeypatch):
    done = []
    before = names.BatchCompletionCallBack.__call__

    def told(self, *args, **kwargs):
        done.append(self.batch_size)
        return before(self, *args, **kwargs)

    monkeypatch.setattr(names.BatchCompletionCallBack, "__call__", told)
    Parallel(n_jobs=2)(delayed(tasks.square)(i) for i in range(20))
    assert sum(done) == 20


@pytest.mark.parametrize("batch_size", ["auto", 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_callback_counts_its_batch_when_it_is_passed_on(monkeypatch, backend, batch_size):
    seen = []

    class Told(names.BatchCompletionCallBack):
        def __call__(self, *args, **kwargs):
            before = self.parallel.n_completed_tasks
            super().__call__(*args, **kwargs)
            seen.append((before, before + self.batch_size, self.parallel.n_completed_tasks))

    monkeypatch.setattr(names, "BatchCompletionCallBack", Told)
    parallel = Parallel(n_jobs=2, backend=backend, batch_size=batch_size)
    parallel(delayed(tasks.square)(i) for i in range(20))
    assert all(wanted == after for _, wanted, after in seen)
    assert [after for *_, after in seen[:-1]] == [before for before, *_ in seen[1:]]
    assert (seen[0][0], seen[-1][-1], parallel.n_completed_tasks) == (0, 20, 20)


def test_a_callback_of_its_own_that_counts_itself(monkeypatch):
    seen = []

    class Told:
        def __init__(self, dispatch_timestamp, batch_size, parallel):
            self.batch_size, self.parallel = batch_size, parallel

        def __call__(self, out):
            self.parallel.n_completed_tasks += self.batch_size
            self.parallel.print_progress()
            seen.append(self.parallel.n_completed_tasks)
            if self.parallel._original_iterator is not None:
                self.parallel.dispatch_next()

    monkeypatch.setattr(names, "BatchCompletionCallBack", Told)
    assert Parallel(n_jobs=2)(delayed(tasks.square)(i) for i in range(20)) == [i * i for i in range(20)]
    assert seen == sorted(seen)
    assert seen[-1] == 20


# ------------------------------------------------------------ subclasses


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_method_of_the_object(backend):
    seen = []
    parallel = Parallel(n_jobs=2, backend=backend)
    parallel.print_progress = functools.partial(lambda self: seen.append(self.n_completed_tasks), parallel)
    parallel(delayed(tasks.square)(i) for i in range(20))
    assert seen == sorted(set(seen))
    assert seen[-1] == 20


@pytest.mark.parametrize("backend", BACKENDS)
def test_progress_is_shown_once_for_each_batch(backend):
    class Counting(Parallel):
        def print_progress(self):
            bar.update()
            ends.append(self.n_completed_tasks == 12)

    bar, ends = Bar(), []
    Counting(n_jobs=2, backend=backend, batch_size=1)(delayed(tasks.square)(i) for i in range(12))
    assert bar.n == 12
    assert ends == [False] * 11 + [True]


class Dispatched(Parallel):
    """The bar is made when the first batch is dispatched."""

    bar = None

    def __init__(self, *args, total=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.total, self.asked = total, 0

    def dispatch_one_batch(self, iterator):
        self.asked += 1
        if self.bar is None:
            self.bar = Bar()
        return super().dispatch_one_batch(iterator)

    def print_progress(self):
        if self.total is None and self._original_iterator is None:
            self.total = self.n_dispatched_tasks
        self.bar.update(self.n_completed_tasks - self.bar.n)


@pytest.mark.parametrize("pre_dispatch", ["2 * n_jobs", "all"])
@pytest.mark.parametrize("return_as", RETURNS)
@pytest.mark.parametrize("backend", OF_WORKERS)
def test_a_subclass_that_is_asked_to_dispatch(backend, return_as, pre_dispatch):
    parallel = Dispatched(n_jobs=2, backend=backend, return_as=return_as, pre_dispatch=pre_dispatch)
    for _ in range(2):
        assert sorted(parallel(delayed(tasks.square)(i) for i in range(40))) == [i * i for i in range(40)]
        assert (parallel.bar.n, parallel.total, parallel.n_dispatched_tasks) == (40, 40, 40)
        assert parallel.asked > parallel.n_dispatched_batches > 1
        del parallel.bar
    with pytest.raises(KeyError):
        list(parallel(delayed(tasks.fail)(i) for i in range(40)))
    with parallel as same:
        assert sorted(same(delayed(tasks.square)(i) for i in range(3))) == [0, 1, 4]


def test_a_subclass_that_ends_the_dispatching():
    class Enough(Parallel):
        def dispatch_one_batch(self, iterator):
            return self.n_dispatched_tasks < 6 and super().dispatch_one_batch(iterator)

    parallel = Enough(n_jobs=2, batch_size=1)
    assert parallel(delayed(tasks.square)(i) for i in range(1000)) == [0, 1, 4, 9, 16, 25]


def test_a_subclass_that_looks_at_what_is_dispatched():
    class Noting(Parallel):
        def dispatch_one_batch(self, iterator):
            return super().dispatch_one_batch(noted.append(call[1]) or call for call in iterator)

        def dispatch_next(self):
            nexts.append(self.n_dispatched_tasks)
            super().dispatch_next()

        def _dispatch(self, batch):
            sizes.append(len(batch))
            super()._dispatch(batch)

    noted, nexts, sizes = [], [], []
    assert Noting(n_jobs=2, batch_size=5)(delayed(tasks.square)(i) for i in range(40)) == [i * i for i in range(40)]
    assert noted == [(i,) for i in range(40)]
    assert sizes == [5] * 8
    assert nexts


@pytest.mark.parametrize("place", ["class", "object"])
def test_dispatching_that_is_put_in_place(monkeypatch, place):
    parallel, asked = Parallel(n_jobs=2), []
    before = Parallel.dispatch_one_batch

    def dispatch(self, iterator):
        asked.append(iterator)
        return before(self, iterator)

    if place == "class":
        monkeypatch.setattr(names.Parallel, "dispatch_one_batch", dispatch)
    else:
        parallel.dispatch_one_batch = functools.partial(dispatch, parallel)
    assert parallel(delayed(tasks.square)(i) for i in range(4)) == [0, 1, 4, 9]
    assert asked


@pytest.mark.parametrize("return_as", RETURNS)
def test_a_subclass_that_dispatches_and_has_a_timeout(return_as):
    with pytest.raises(multiprocessing.TimeoutError):
        list(Dispatched(n_jobs=2, timeout=0.2, return_as=return_as)(delayed(time.sleep)(x) for x in (0, 60)))


@pytest.mark.parametrize("return_as", RETURNS)
@pytest.mark.parametrize("backend", OF_WORKERS)
def test_a_subclass_that_dispatches_what_cannot_be_read(backend, return_as):
    def calls():
        yield from (delayed(tasks.square)(i) for i in range(20))
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(Dispatched(n_jobs=2, backend=backend, return_as=return_as)(calls()))


def test_a_subclass_that_passes_progress_on(capsys):
    class Passing(Dispatched):
        def print_progress(self):
            Parallel.print_progress(self)

    for kind in (Passing, type("Told", (Parallel,), {"print_progress": lambda self: Parallel.print_progress(self)})):
        kind(n_jobs=2, verbose=11)(delayed(tasks.square)(i) for i in range(12))
        lines = capsys.readouterr().err.splitlines()
        assert re.fullmatch(r"\[\w+\(n_jobs=2\)\]: Done +12 out of +12 \| elapsed: +[\d.]+s finished", lines[-1])
        assert sum("finished" in line for line in lines) == 1


def test_a_subclass_that_says_it_elsewhere(caplog):
    class Logged(Parallel):
        def _print(self, msg):
            logging.getLogger("of the program").warning(msg)

    Logged(n_jobs=2, verbose=1)(delayed(tasks.square)(i) for i in range(12))
    assert "Using backend LokyBackend with 2 concurrent workers." in caplog.messages
    assert re.fullmatch(r"Done +12 out of +12 .*finished", caplog.messages[-1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_how_many_batches_there_were(backend):
    parallel = Parallel(n_jobs=2, backend=backend, batch_size=5)
    assert parallel.n_dispatched_batches == 0
    parallel(delayed(tasks.square)(i) for i in range(20))
    assert parallel.n_dispatched_batches == (20 if backend == "sequential" else 4)
