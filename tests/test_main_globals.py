"""Global variables of a script, in its workers: what the standard library's pools promise, and changes at home besides."""

from __future__ import annotations

import pytest
import scripts


def said(code, *arguments):
    done = scripts.run(code, *arguments)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_what_an_initializer_sets_is_there(start_method):
    code = """
        import sys, manyhands
        database = None
        def connect(name):
            global database, cursor
            database, cursor = name, 1
        def query(i):
            return database, cursor, i
        with manyhands.Executor(2, initializer=connect, initargs=("pg",), start_method=sys.argv[1]) as executor:
            print(list(executor.map(query, range(2))))
            print(executor.submit(lambda: database).result())
    """
    assert said(code, start_method) == ["[('pg', 1, 0), ('pg', 1, 1)]", "pg"]


def test_functions_share_what_they_change():
    code = """
        import manyhands
        cache, calls = {}, 0
        def put(x):
            global calls
            calls += 1
            cache[x] = True
        def look():
            return sorted(cache), calls
        with manyhands.Executor(1) as executor:
            list(executor.map(put, range(3)))
            print(executor.submit(look).result())
        print(look())
    """
    assert said(code) == ["([0, 1, 2], 3)", "([], 0)"]


def test_each_call_sees_the_globals_that_it_was_sent_with():
    code = """
        import manyhands
        factor = 3
        def scaled(x):
            return x * factor
        def outer(x):
            return scaled(x)
        with manyhands.Executor(1) as executor:
            futures = []
            for factor in (3, 4, 3, 5):
                futures += [executor.submit(function, x) for x in (1, 2) for function in (scaled, outer)]
            print([future.result() for future in futures])
    """
    assert said(code) == [str([x * factor for factor in (3, 4, 3, 5) for x in (1, 2) for _ in "so"])]


def test_what_tasks_make_of_a_value_stays_until_another_is_sent():
    code = """
        import manyhands
        count = 0
        def increase(_):
            global count
            count += 1
            return count
        with manyhands.Executor(1) as executor:
            print(list(executor.map(increase, range(2))))
            count = 10
            print(list(executor.map(increase, range(2))))
            print(list(executor.map(increase, range(2))))
    """
    assert said(code) == ["[1, 2]", "[11, 12]", "[13, 14]"]


def test_values_of_functions_that_were_forgotten_go():
    code = """
        import manyhands
        from manyhands._engine import _functions
        _functions._MOST = 4
        class Large:
            alive = 0
            def __init__(self):
                self.number = number
            def __setstate__(self, state):
                self.__dict__.update(state)
                Large.alive += 1
            def __del__(self):
                Large.alive -= 1
        def use(_):
            return value.number
        with manyhands.Executor(1) as executor:
            for number in range(50):
                value = Large()
                assert executor.submit(use, 0).result() == number
            print(executor.submit(lambda: Large.alive).result() < 15)
    """
    assert said(code) == ["True"]


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
@pytest.mark.parametrize("pool", ["Executor(2, initializer=connect, start_method=sys.argv[1])", "Pool(2, connect)"])
def test_what_an_initializer_sets_is_not_sent(start_method, pool):
    code = """
        import sqlite3, sys, manyhands
        database = sqlite3.connect(":memory:")
        def connect():
            global database
            database = sqlite3.connect(":memory:")
        def ask(x):
            return database.execute("select ?*2", (x,)).fetchone()[0]
        with manyhands.POOL as pool:
            print(list(pool.map(ask, range(3))))
    """
    assert said(code.replace("POOL", pool), start_method) == ["[0, 2, 4]"]


def test_what_a_function_only_sets_is_not_sent():
    code = """
        import manyhands
        lines = (line for line in "cannot be pickled")
        state = "at home"
        def put(x):
            global lines, state
            lines, state = [x], x
        def look():
            return state
        def count():
            return len(lines)
        with manyhands.Executor(1) as executor:
            print(executor.submit(look).result(), executor.submit(put, 1).result(), executor.submit(look).result())
        with manyhands.Executor(1) as executor:
            print(executor.submit(put, 1).result(), executor.submit(look).result())
            state = "later"
            print(executor.submit(look).result())
    """
    assert said(code) == ["at home None 1", "None 1", "later"]


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_what_an_initializer_sets_is_the_workers_own(start_method):
    code = """
        import sys, manyhands
        chatty, model = False, None
        def begin(wanted):
            global chatty, model
            if wanted:
                chatty = True
            model = ["of the worker"]
        def look():
            return chatty, model
        for wanted in (False, True):
            with manyhands.Executor(1, initializer=begin, initargs=(wanted,), start_method=sys.argv[1]) as executor:
                print(executor.submit(look).result())
                model = "of the program"
                print(executor.submit(look).result())
    """
    assert said(code, start_method) == [f"({wanted}, ['of the worker'])" for wanted in (False, False, True, True)]
