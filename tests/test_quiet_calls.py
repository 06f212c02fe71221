"""Which generator expressions run none of the user's code between two calls; and that what does is still sent as it was."""

import functools
import weakref

import numpy as np
import pytest

from manyhands import NotSerializable, Parallel, Pool, delayed, readonly
from manyhands._codec import _sealed
from manyhands._engine import _store
from manyhands.compat import joblib
from manyhands.parallel import is_quiet

LARGE = 100_000  # numbers: a segment of its own


def f(*args, **kwargs):
    return args, kwargs


def g(value):
    return value


def first(array, i):
    return float(array[0]) + i


noted = delayed(f)
A = np.zeros(3)


class WithAList:
    def __iter__(self):
        return iter([1])


class Users:
    part = 1

    def __iter__(self):
        return self

    def __next__(self):
        return 1

    def __getitem__(self, key):
        return key

    def __call__(self, value):
        return value


class UsersList(list):
    def __iter__(self):
        return map(g, [1])


users = Users()
rows = [(1, 2), [3, 4]]
same = g


def quiet():
    a, local = A, f
    yield (delayed(f)(a, i) for i in range(3))
    yield (delayed(f)(A, i) for i in [1, users])
    yield (delayed(local)(a, i) for i in (1, 2))
    yield (delayed(f)(a, k=i, j=2) for i in range(1 << 80))
    yield (delayed(f)() for _ in range(3))
    yield (delayed(f)(a, (i, [i, 1]), {"k": i, "l": a}) for i in range(3))
    yield (noted(a, i) for i in range(3))
    yield (noted(a, i, k=None) for i, b in zip([1], (2,), strict=False))
    yield (noted(a, i, b, c) for i, (b, c) in enumerate(zip([1], (2,), strict=True)))
    yield (noted(a, i, b) for i, b in enumerate([users]))
    yield (noted(a, i, b) for i, b in rows)
    yield (noted(a, i, b, c) for i, (b, c) in enumerate(rows))
    yield (noted(i, b) for i, b in {"a": users}.items())
    yield (noted(i) for i in {"a": 1})
    yield (noted(i) for i in "text")
    yield (noted(i) for i in WithAList())  # that has been asked already
    yield (delayed(i)(a) for i in (f, users))
    yield ((f, (a, i), {}) for i in range(3))
    yield ((f, (a, i), {"k": i}) for i in range(3))
    yield [delayed(f)(i) for i in range(3)]
    yield tuple(delayed(f)(g(i)) for i in range(3))


def not_quiet():
    a = A
    begun = (delayed(f)(i) for i in range(3))
    next(begun)
    ended = (delayed(f)(i) for i in range(0))
    list(ended)
    yield begun
    yield ended
    yield (delayed(f)(g(i)) for i in range(3))
    yield (delayed(f)(users.part) for i in range(3))
    yield (delayed(f)(users[i]) for i in range(3))
    yield (delayed(f)(a[i]) for i in range(3))
    yield (delayed(f)(a + i) for i in range(3))
    yield (delayed(f)(-a) for i in range(3))
    yield (delayed(f)(a == i) for i in range(3))
    yield (delayed(f)(f"{a}") for i in range(3))
    yield (delayed(f)(not a) for i in range(3))
    yield (delayed(f)(i if i else a) for i in range(3))
    yield (delayed(f)([j for j in users]) for i in range(3))  # noqa: C416 - is what it is about
    yield (delayed(f)(list(users)) for i in range(3))
    yield (delayed(f)(*users) for i in range(3))
    yield (delayed(f)((*users, 1)) for i in range(3))
    yield (delayed(f)(**i) for i in [{}])
    yield (delayed(f)({users: i}) for i in range(3))
    yield (delayed(f)({users, i}) for i in range(3))
    yield (delayed(f)(lambda: i) for i in range(3))  # noqa: B023 - as above
    yield (delayed(f)(last := i) for i in range(3))  # noqa: F841 - as above
    yield (delayed(f)(i) for i in range(3) if g(i))
    yield (delayed(f)(i) for i in [users] if i)
    yield (delayed(f)(i, j) for i in range(3) for j in users)
    yield (delayed(f)(i) for i in users)
    yield (delayed(f)(i) for i in UsersList())
    yield (delayed(f)(i) for i in map(g, [1]))
    yield (delayed(f)(i) for i in (g(i) for i in range(3)))
    yield (delayed(f)(i) for i, _ in zip([1], users, strict=False))
    yield (delayed(f)(i) for i, _ in enumerate(users))
    yield (delayed(f)(i) for i, _ in [users])
    yield (delayed(f)(i) for i, (_, _) in enumerate([users]))
    yield (delayed(f)(i) for i, *_ in [users])
    yield (same(i) for i in range(3))
    yield (same(f)(i) for i in range(3))
    yield (users(i) for i in range(3))
    yield (functools.partial(f)(i) for i in range(3))
    yield (i(a) for i in [noted])
    yield (call for call in [users])
    yield ((f, users, {}) for i in range(3))
    yield ((f, (a,), users) for i in range(3))
    yield (unknown(i) for i in range(3))  # noqa: F821 - as above
    yield (delayed(function=f)(i) for i in range(3))
    yield [users]
    yield [(f, users, {})]
    yield iter([delayed(f)(1)])
    yield users
    yield generator_function()


def generator_function():
    for i in range(3):
        yield delayed(f)(i)


@pytest.mark.parametrize("iterable", list(quiet()), ids=lambda _: "")
def test_what_runs_no_code_of_the_users(iterable):
    assert is_quiet(iterable)


@pytest.mark.parametrize("iterable", list(not_quiet()), ids=lambda _: "")
def test_what_does_or_might(iterable):
    assert not is_quiet(iterable)


def test_a_generator_that_has_been_looked_at_gives_all_its_calls():
    calls = (delayed(f)(i, b) for i, b in enumerate(zip([1, 2], (3, 4), strict=True)))
    assert is_quiet(calls)
    assert [args for _, args, _ in calls] == [(0, (1, 3)), (1, (2, 4))]


@pytest.fixture
def compared(monkeypatch):
    """The arrays that have been compared."""
    lengths = []
    holds = _store._Entry.holds

    def count(entry, view):
        lengths.append(view.nbytes)
        return holds(entry, view)

    monkeypatch.setattr(_store._Entry, "holds", count)
    return lengths


@pytest.fixture(params=[Parallel, joblib.Parallel], ids=["ours", "joblib"])
def parallel(request):
    return request.param(n_jobs=2)


def test_within_a_quiet_expression_nothing_is_compared(parallel, compared):
    a = np.zeros(LARGE)
    assert parallel(delayed(first)(a, i) for i in range(20)) == list(range(20))
    assert parallel(delayed(first)(a, i=i) for i in range(20)) == list(range(20))
    assert parallel([delayed(first)(a, i) for i in range(20)]) == list(range(20))
    assert len(compared) == 2  # once in each call after the first


def test_a_change_between_two_calls_is_seen(parallel):
    a = np.zeros(LARGE)
    for number in range(3):
        a[0] = number
        assert parallel(delayed(first)(a, i) for i in range(5)) == [number + i for i in range(5)]


def test_a_generator_that_changes_what_it_yields_sends_each_as_it_was(parallel):
    a = np.zeros(LARGE)

    def changed(i):
        a[0] = 10 * i
        return i

    def calls():
        for i in range(5):
            a[0] = 10 * i
            yield delayed(first)(a, i)

    assert parallel(calls()) == [11 * i for i in range(5)]
    assert parallel(delayed(first)(a, changed(i)) for i in range(5)) == [11 * i for i in range(5)]


@pytest.fixture(params=["map", "map in chunks", "Pool.starmap", "Pool.starmap_async"])
def starmap(request):
    """``starmap(function, first arguments, second arguments)`` of executors and pools, which read all inputs at once."""
    if request.param.startswith("map"):
        with executor_of_two() as executor:
            chunksize = 2 if "chunks" in request.param else 1
            yield lambda *given: list(executor.map(*given, chunksize=chunksize))
        return
    with Pool(2) as pool:
        if request.param == "Pool.starmap":
            yield lambda fn, *given: pool.starmap(fn, list(zip(*given, strict=True)))
        else:
            yield lambda fn, *given: pool.starmap_async(fn, list(zip(*given, strict=True))).get()
        pool.close()
        pool.join()


def test_within_a_map_over_lists_nothing_is_compared(starmap, compared):
    a = np.zeros(LARGE)
    for number in range(3):
        a[0] = number
        assert starmap(first, [a] * 20, range(20)) == [number + i for i in range(20)]
    assert starmap(lambda *given: first(*given), [a] * 5, range(5)) == [2 + i for i in range(5)]
    assert len(compared) == 3  # once in each call after the first


def test_pickling_may_change_an_array_in_a_map_over_lists(starmap):
    a = np.zeros(LARGE)
    assert starmap(first, [a] * 3, [0, Changing(a), 0])[2] == 1


def test_a_map_over_what_changes_an_array_sends_each_as_it_was():
    a = np.zeros(LARGE)

    def arrays():
        for number in range(5):
            a[0] = number
            yield a

    with executor_of_two() as executor:
        assert list(executor.map(first, arrays(), range(5))) == [2 * i for i in range(5)]
        a[0] = 0
        for i, found in enumerate(executor.map(first, [a] * 20, range(20), buffersize=2)):
            assert found >= i
            a[0] += 1
        assert found > i


def test_a_map_does_not_keep_what_it_has_sent():
    a = np.zeros(LARGE)
    kept = weakref.ref(a)
    with executor_of_two() as executor:
        results = executor.map(first, [a], [1])
        del a
        assert kept() is None
        assert list(results) == [1]


def test_a_map_of_what_cannot_be_sent():
    with executor_of_two() as executor:
        results = executor.map(functools.partial(g, (n for n in ())), [1])
        with pytest.raises(NotSerializable, match="a generator"):
            next(results)


def failing(array, i):
    raise ValueError(i)


def test_who_keeps_a_parallel_does_not_keep_what_it_has_sent(parallel):
    a = np.zeros(LARGE)
    with pytest.raises(ValueError, match=r"\d"):  # what is left, the fixture of all tests sees
        parallel(delayed(failing)(a, i) for i in range(200))


class Changing:
    """Changes an array whenever it is pickled."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        self.array[0] += 1
        return int, ()


def test_pickling_may_change_an_array(parallel):
    a = np.zeros(LARGE)
    assert parallel(delayed(first)(a, c) for c in [0, Changing(a), 0])[2] == 1
    before = a[0]
    assert parallel(delayed(first)(a, i=c) for c in [0, Changing(a), 0])[2] == before + 1


def test_pickling_a_function_may_change_an_array(parallel):
    a = np.zeros(LARGE)
    functions = [first, functools.partial(g_of, Changing(a)), first]
    assert parallel(delayed(fn)(a, 0) for fn in functions)[2] == a[0] > 0


def g_of(_, array, i):
    return float(array[0]) + i


def executor_of_two():
    from manyhands import Executor

    return Executor(2)


def test_a_readonly_array_that_nobody_else_has_is_not_compared(parallel, compared):
    for order in "CF":
        a = readonly(np.zeros((LARGE, 2), order=order))
        with executor_of_two() as executor:
            assert [executor.submit(total, a).result() for _ in range(5)] == [0] * 5
        assert parallel(delayed(total)(g(a)) for i in range(5)) == [0] * 5
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            a.flags.writeable = True
    assert compared == []


def total(array):
    return float(array.sum())


def test_a_readonly_view_of_what_somebody_has_is(compared):
    a = np.zeros(LARGE)
    view = readonly(a)
    with executor_of_two() as executor:
        for number in range(3):
            a[0] = number
            assert executor.submit(first, view, 0).result() == number
        assert len(compared) == 2
        assert a.flags.writeable
        del a
        for _ in range(3):
            assert executor.submit(first, view, 0).result() == 2
        assert len(compared) == 3  # once when nobody can write to it any more


def test_views_that_were_made_before_are_somebody():
    for make in (lambda a: a[:5], memoryview, lambda a: a.reshape(2, -1)):
        a = np.zeros(LARGE)
        other = make(a)
        a = readonly(a)
        assert not _sealed.seal(a)
        del other
        assert _sealed.seal(a)


def test_an_array_whose_flag_is_cleared_may_change():
    a = np.zeros(LARGE)
    earlier = a[:]
    a.flags.writeable = False
    with executor_of_two() as executor:
        for number in range(3):
            earlier[0] = number
            assert executor.submit(first, a, 0).result() == number
        for number in range(3):
            a.flags.writeable = True
            a[0] = number
            a.flags.writeable = False
            assert executor.submit(first, a, 0).result() == number


def test_what_is_made_of_bytes_is_not_compared(compared):
    a = np.frombuffer(bytes(8 * LARGE))
    with executor_of_two() as executor:
        assert [executor.submit(first, a, 0).result() for _ in range(5)] == [0] * 5
    assert compared == []


def test_shared_arrays_are_not_compared(compared):
    from manyhands import shared_array

    a = shared_array(LARGE)
    with executor_of_two() as executor:
        assert [executor.submit(first, part, 0).result() for part in (a, readonly(a)) for _ in range(3)] == [0] * 6
    assert compared == []
