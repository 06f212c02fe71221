"""What can be said with ``share`` besides ``share(obj)``."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, resource_tracker

import pytest
import share_tasks
from share_tasks import Account, Savings, Shelf
from waiting import until

import manyhands
from manyhands import errors, lock, share, snapshot

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def there():
    """Runs functions in another process."""
    with manyhands.Executor(max_workers=1) as executor:
        yield lambda fn, *args: executor.submit(fn, *args).result()


@pytest.fixture(autouse=True, scope="module")
def stdlib():
    """What multiprocessing leaves behind is there before the test, and gone after it."""
    resource_tracker.ensure_running()
    yield
    resource_tracker._resource_tracker._stop()


# ---------------------------------------------------------------- share.new, share.cls


def test_new_makes_it_in_the_keeper():
    shelf = share.new(Shelf)
    assert isinstance(shelf, Shelf)
    assert isinstance(shelf.opened, threading.Event)  # which nobody could send
    assert share.new(os.getpid) != os.getpid()


def test_objects_in_two_keepers_are_in_two_processes():
    with share.keeper() as one, share.keeper() as other:
        assert one.new(Account).pid() == one.pid != other.pid == other.new(Account).pid()
        with pytest.raises(TypeError, match="unexpected keyword"):
            one.new(Account, wrong=1)


def test_a_shared_class_is_one_in_every_other_respect(there):
    account = Account(100)
    assert account.pid() != os.getpid()
    assert account.pay_in(1) == 101
    assert account.balance == 101
    assert isinstance(account, Account)
    assert not isinstance(account, Savings)
    assert Account.rate == 7 == account.rate
    assert Account.__name__ == "Account"
    assert Account.__module__ == "share_tasks"
    assert str(inspect.signature(Account)) == "(balance=0)"
    assert Account.rich().balance == 1_000_000
    assert there(share_tasks.Account.pay_in, account, 2) == 103  # as a function
    assert pickle.loads(pickle.dumps(Account)) is Account
    assert there(Account, 5).balance == 5


def test_a_subclass_of_a_shared_class_is_shared():
    savings = Savings(10, interest=2)
    assert savings.pid() == Account().pid()
    assert isinstance(savings, Account)
    assert (savings.pay_in(1), savings.interest) == (11, 2)


def test_a_copy_of_an_instance_is_a_plain_one():
    copied = snapshot(Account(3))
    assert type(copied) is Account
    assert copied.pid() == os.getpid()
    copied.balance = 4


def test_what_an_object_makes_in_its_keeper_stays_there():
    account = Account()
    another = account.another()
    assert another.pid() == account.pid()
    assert another.pay_in(1) == 2


def test_a_class_of_main_is_shared_as_well(there):
    @share.cls
    class Local:
        def __init__(self, x):
            self.x = x

    class More(Local):
        def twice(self):
            return 2 * self.x

    assert Local(3).x == 3
    assert isinstance(Local(3), Local)
    more = More(4)
    assert (more.twice(), isinstance(more, Local), isinstance(more, More)) == (8, True, True)
    assert there(lambda shared: shared.twice(), more) == 8


def test_a_class_with_a_metaclass_is_shared():
    import abc

    @share.cls
    class Base(abc.ABC):
        @abc.abstractmethod
        def answer(self): ...

    class Real(Base):
        def answer(self):
            return os.getpid()

    assert Real().answer() != os.getpid()
    with pytest.raises(TypeError, match="abstract"):
        Base()


def test_only_classes_are_shared_classes():
    with pytest.raises(TypeError, match="for classes"):
        share.cls(len)


# ---------------------------------------------------------------- names, keep, close


def test_a_name_is_found_by_any_process(there):
    shared = share([], name="jobs of a test: ä/ö")
    for method in ("spawn", "fork"):
        process = get_context(method).Process(target=share_tasks.named, args=("jobs of a test: ä/ö",))
        process.start()
        process.join()
        assert process.exitcode == 0
    assert len(shared) == 2
    assert share.get("jobs of a test: ä/ö") is shared
    there(share_tasks.named, "jobs of a test: ä/ö")
    assert len(shared) == 3
    share.close(shared)
    with pytest.raises(errors.NameUnknown):
        share.get("jobs of a test: ä/ö")


def test_a_name_keeps_its_object(there):
    assert there(share_tasks.share_as, "kept by its name") == 2
    found = share.get("kept by its name")
    assert list(found) == [1, 2]
    share.close(found)
    with pytest.raises(errors.NotShared):
        found.append(1)


def test_a_name_that_is_not_there_is_waited_for(there):
    with pytest.raises(errors.NameUnknown, match="the names that there are: none") as caught:
        share.get("nobody's", timeout=0.01)
    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value, TimeoutError)
    found = []
    waiting = threading.Thread(target=lambda: found.append(share.get("later", timeout=20)))
    waiting.start()
    shared = share([1], name="later")
    waiting.join()
    assert found[0] is shared


def test_a_name_is_taken_once_and_free_when_its_process_is_gone(there):
    first = share([], name="one")
    share(first, name="one")
    with pytest.raises(errors.NameTaken, match="'one'"):
        share([], name="one")
    with pytest.raises(errors.NameTaken, match="'one'"):
        there(share_tasks.share_as, "one")
    code = "import os, share_tasks; share_tasks.share_as('two'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False, cwd=os.path.dirname(__file__))
    with pytest.raises(errors.NameUnknown):
        share.get("two")
    assert share.get("one") is first
    second = share([2], name="two")
    assert share.get("two") is second


def test_names_that_are_too_long_are_refused():
    with pytest.raises(ValueError, match="not longer"):
        share([], name="x" * 300)
    with pytest.raises(ValueError, match="not allowed"):
        share([], name="")


def test_what_is_in_a_keeper_can_be_given_a_name(there):
    items = share(share.new(list), name="in the keeper")
    there(share_tasks.named, "in the keeper")
    assert len(items) == 1


def test_keep_keeps_it_although_all_proxies_are_gone():
    with share.keeper() as keeper:
        items = share(keeper.new(list, [1]), keep=True)
        number = manyhands.sharing._proxies.reference_of(items).number
        del items
        other = keeper.new(list)
        entries = lock.run(other, _numbers)
        assert number in entries


def _numbers(_):
    from manyhands.sharing._table import here

    return list(here.table.entries)


def test_closing_ends_it_for_everybody(there):
    items = share([])
    there(share_tasks.append, items, 1)
    share.close(items)
    with pytest.raises(errors.NotShared):
        items.append(1)
    with pytest.raises(errors.NotShared):
        there(share_tasks.append, items, 1)
    with pytest.raises(TypeError, match="takes what share"):
        share.close([])


# ---------------------------------------------------------------- by reference, by value


def test_ref_and_copy_force_how_a_result_goes():
    with share.keeper() as keeper:
        shelf = keeper.new(Shelf)
        shelf.by_reference().append(2)
        assert list(shelf.items) == [1, 2]
        copied = shelf.by_value()
        assert type(copied) is list
        copied.append(3)
        assert shelf.items == [1, 2]


def test_what_a_method_returns_by_reference_has_the_monitor_of_the_object(there):
    shelf = share(Shelf())
    part = shelf.by_reference()
    with lock(shelf):
        assert there(share_tasks.is_locked, part)
    assert not there(share_tasks.is_locked, part)


def test_ref_and_copy_force_how_an_argument_goes():
    with share.keeper() as keeper:
        shelf = keeper.new(Shelf)
        items = []
        shelf.take(items)
        assert items == []
        assert shelf.take(share.ref(items)).startswith("Shared")
        assert items == ["taken"]
        mine = share([])
        shelf.take(share.copy(mine))
        assert mine == []


# ---------------------------------------------------------------- concurrent, expose, boxes


def test_a_concurrent_method_does_not_keep_others_out(there):
    shelf = share(Shelf())
    with manyhands.Executor(max_workers=1) as executor:
        waiting = executor.submit(lambda shelf: shelf.wait(30), shelf)
        until(waiting.running)
        there(lambda shelf: shelf.open(), shelf)
        assert waiting.result() is True


def test_a_class_is_concurrent_as_a_whole():
    @share.concurrent
    class Gate:
        def __init__(self):
            self.barrier = threading.Barrier(2)

        def meet(self):
            return self.barrier.wait(20) >= 0

    with share.keeper() as keeper:
        gate = keeper.new(Gate)
        other = threading.Thread(target=gate.meet)
        other.start()
        assert gate.meet()
        other.join()


class Partly:
    def allowed(self):
        return 1

    def forbidden(self):
        return 2


def test_others_may_use_what_is_exposed(there):
    shared = share(Partly(), expose=["allowed"])
    found = there(share_tasks.try_names, shared)
    assert found == {"allowed": 1, "forbidden": "forbidden of Partly is not exposed; what may be used is allowed"}
    assert "Partly" in there(repr, shared)
    for use in (snapshot, share.close, lambda shared: lock.run(shared, len), lambda shared: share(shared, name="stolen")):
        with pytest.raises(errors.NotExposed):
            there(use, shared)
    assert not there(share_tasks.is_locked, shared)
    assert shared.forbidden() == 2  # the owner may


def test_expose_takes_names():
    with pytest.raises(TypeError, match="list of names"):
        share(Partly(), expose="allowed")
    with pytest.raises(ValueError, match="shared first"):
        share(share(Partly()), expose=["allowed"])


def test_a_box_is_assigned_a_value(there):
    n = share(0)
    n += 1
    there(share_tasks.set_to, n, 5)
    assert n == 5
    with pytest.raises(TypeError, match="boxes"):
        share.assign(share([]), 5)


def test_it_works_through_pools_of_the_standard_library():
    account = Account(0)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        list(executor.map(account.pay_in, range(10)))
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as executor:
        list(executor.map(account.pay_in, range(10)))
    assert account.balance == 90


@pytest.mark.parametrize("module", ["_words", "objects", "later", "_keepers"])
def test_the_examples_of_the_docstrings_run(module):
    tried = doctest.testmod(importlib.import_module(f"manyhands.sharing.{module}"), optionflags=doctest.ELLIPSIS)
    assert tried.attempted
    assert not tried.failed
