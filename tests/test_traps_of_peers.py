"""Programs to which other libraries give a wrong answer, or none, and this one the right one.

Each runs once with every library that a test names, nothing else changed, and what each says is asserted: that the trap is real, and that
here there is none. Nothing is left to chance: where it matters what happens first, a named pipe makes one side wait for the other.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import textwrap

import pytest
import scripts

# What gives a program ``Executor``, ``map`` or ``Parallel``. The standard library forks here, before there is any thread: workers that it
# starts in another way do not find the functions of a program that has no file.
LIBRARIES = {
    "manyhands": "from manyhands import Executor, Parallel, delayed, map",
    "joblib": "from joblib import Parallel, delayed",
    "loky": "from loky import ProcessPoolExecutor as Executor",
    "ProcessPoolExecutor": """
        import functools, multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        Executor = functools.partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("fork"))
    """,
    "Pool": """
        import multiprocessing, types
        class Executor:
            def __init__(self, workers):
                self.pool = multiprocessing.get_context("fork").Pool(workers)
            def __enter__(self):
                return self
            def __exit__(self, *error):
                self.pool.terminate()
            def submit(self, function, *args):
                return types.SimpleNamespace(result=self.pool.apply_async(function, args).get)
        def map(function, inputs):
            with Executor(2) as executor:
                return executor.pool.map(function, inputs)
    """,
    # No pool at all: what was pickled at submit() is loaded and run at result().
    "pickle": """
        import pickle, types
        class Executor:
            def __init__(self, workers):
                pass
            def __enter__(self):
                return self
            def __exit__(self, *error):
                pass
            def submit(self, function, *args):
                pickled = pickle.dumps((function, args))
                def result():
                    function, args = pickle.loads(pickled)
                    return function(*args)
                return types.SimpleNamespace(result=result)
    """,
}

COMMON = """
    import os, sys
    gate = sys.argv[1]
    def closed():
        "A task that waits for the program: to open a named pipe waits for who opens its other end."
        open(gate).close()
    def open_gate():
        open(gate, "w").close()
    def outcome(future):
        try:
            return str(future.result())
        except Exception as error:
            return f"{type(error).__name__}: {error}"
"""


def libraries(*peers):
    """Run a test with manyhands and with others; with those only that are installed. They are not imported here."""
    there = {name: name not in {"joblib", "loky"} or importlib.util.find_spec(name) for name in peers}
    marked = [pytest.param(name, marks=pytest.mark.skipif(not there[name], reason=f"{name} is not installed")) for name in peers]
    return pytest.mark.parametrize("library", ["manyhands", *marked])


def said(library, folder, program, seconds=40):
    """What a program prints, line by line. Whatever becomes of it, no process of its outlives it."""
    gate = str(folder / "gate")
    os.mkfifo(gate)
    code = "\n".join(textwrap.dedent(part) for part in (LIBRARIES[library], COMMON, program))
    # No byte code: it would hide an edit within the same second. And what joblib writes goes with the folder.
    environment = {
        "PYTHONPATH": os.pathsep.join((scripts.HERE, str(folder))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "JOBLIB_TEMP_FOLDER": str(folder),
    }
    with scripts.started(code, gate, **environment) as process:
        out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    if library == "manyhands":
        assert err == ""
    return out.splitlines()


# ------------------------------------------------------------ arguments that change


@libraries("joblib")
def test_an_array_that_changes_between_two_calls(tmp_path, library):
    """joblib writes what is larger than 1 MB to a file, once for each array, and has workers read that."""
    program = """
        import numpy
        array = numpy.zeros(250_000)  # 2 MB
        with Parallel(n_jobs=2) as parallel:
            for value in range(3):
                array[:] = value
                print([int(largest) for largest in parallel(delayed(numpy.max)(array) for _ in range(2))])
    """
    expected = {"manyhands": ["[0, 0]", "[1, 1]", "[2, 2]"], "joblib": ["[0, 0]"] * 3}
    assert said(library, tmp_path, program) == expected[library]


CHANGING = """
import array
def changing():
    one = array.array("q", [0])
    for value in range(16):
        one[0] = value
        yield one
"""


@libraries("Pool")
def test_a_generator_that_changes_what_it_has_given_in_map(tmp_path, library):
    """Pool makes a list of it first: of one array, sixteen times."""
    program = "print(map(sum, changing()))"
    expected = {"manyhands": list(range(16)), "Pool": [15] * 16}
    assert json.loads(*said(library, tmp_path, CHANGING + program)) == expected[library]


@libraries("ProcessPoolExecutor")
def test_a_generator_that_changes_what_it_has_given_to_submit(tmp_path, library):
    """ProcessPoolExecutor pickles what one of its workers is to run next: here only the first two before the generator has ended."""
    program = """
        with Executor(1) as executor:
            executor.submit(closed)
            futures = [executor.submit(sum, one) for one in changing()]
            open_gate()
            print([future.result() for future in futures])
    """
    results = json.loads(*said(library, tmp_path, CHANGING + textwrap.dedent(program)))
    if library == "manyhands":
        assert results == list(range(16))
    else:
        assert results[2:] == [15] * 14


@libraries("joblib")
def test_a_generator_that_changes_what_it_has_given_to_parallel(tmp_path, library):
    """joblib takes an input for each worker before it sends the first."""
    program = "print(Parallel(n_jobs=2)(delayed(sum)(one) for one in changing()))"
    results = json.loads(*said(library, tmp_path, CHANGING + program))
    if library == "manyhands":
        assert results == list(range(16))
    else:
        assert results[0] != 0


# ------------------------------------------------------------ code that changes

APP = """
def f(x):
    return x + 1
def meet(pipe, mode):
    open(pipe, mode).close()  # two of them wait for one another, so that they are in two workers
    return f(1)
"""

EDIT = """
import importlib, pathlib, app
def edit():
    file = pathlib.Path(app.__file__)
    file.write_text(file.read_text().replace("x + 1", "x + 100"))
    importlib.reload(app)
    assert app.f(1) == 101
"""


@libraries("ProcessPoolExecutor", "loky")
def test_a_module_that_was_edited_and_reloaded(tmp_path, library):
    (tmp_path / "app.py").write_text(APP)
    program = """
        with Executor(1) as executor:
            print(executor.submit(app.f, 1).result())
            edit()
            print(executor.submit(app.f, 1).result())
    """
    expected = ["2", "101"] if library == "manyhands" else ["2", "2"]
    assert said(library, tmp_path, EDIT + textwrap.dedent(program)) == expected


@libraries("ProcessPoolExecutor")
def test_a_module_that_was_edited_and_reloaded_as_a_script_uses_it(tmp_path, library):
    (tmp_path / "app.py").write_text(APP)
    program = """
        def work(x):
            return app.f(x)
        with Executor(1) as executor:
            print(executor.submit(work, 1).result())
            edit()
            print(executor.submit(work, 1).result())
    """
    expected = ["2", "101"] if library == "manyhands" else ["2", "2"]
    assert said(library, tmp_path, EDIT + textwrap.dedent(program)) == expected


@libraries("joblib")
def test_a_module_that_was_edited_and_reloaded_in_parallel(tmp_path, library):
    (tmp_path / "app.py").write_text(APP)
    program = """
        parallel = Parallel(n_jobs=2, batch_size=1)
        print(parallel(delayed(app.meet)(gate, mode) for mode in "rw"))
        edit()
        print(parallel(delayed(app.f)(1) for _ in range(2)))
    """
    expected = {"manyhands": ["[2, 2]", "[101, 101]"], "joblib": ["[2, 2]"] * 2}
    assert said(library, tmp_path, EDIT + textwrap.dedent(program)) == expected[library]


@libraries("ProcessPoolExecutor", "Pool")
def test_a_name_that_is_bound_anew_while_the_workers_are_warm(tmp_path, library):
    program = """
        def combine(x, y):
            return x + y
        with Executor(1) as executor:
            print(executor.submit(combine, 2, 3).result())
            def combine(x, y):
                return x * y
            print(executor.submit(combine, 2, 3).result())
    """
    expected = ["5", "6"] if library == "manyhands" else ["5", "5"]
    assert said(library, tmp_path, program) == expected


MEANINGS = {
    "add = operator.mul": "6",
    "add = 2": "TypeError: 'int' object is not callable",
    "del add": "AttributeError: Can't get attribute 'add'",
}


@libraries("pickle", "ProcessPoolExecutor")
@pytest.mark.parametrize("change", MEANINGS)
def test_a_name_that_means_something_else_when_the_task_runs(tmp_path, library, change):
    """What was pickled before goes astray. What ProcessPoolExecutor gets to after, it cannot pickle, though it had been accepted."""
    program = f"""
        import operator
        def add(x, y):
            return x + y
        with Executor(1) as executor:
            executor.submit(closed)
            futures = [executor.submit(add, 2, 3) for _ in range(8)]
            {change}
            {"" if library == "pickle" else "open_gate()"}
            print(outcome(futures[-1]))
    """
    [line] = said(library, tmp_path, program)
    if library == "manyhands":
        assert line == "5"
    elif library == "pickle":
        assert line.startswith(MEANINGS[change])
    else:
        assert line.startswith("PicklingError: Can't pickle <function add at ")


# ------------------------------------------------------------ what a call leaves to the next


@libraries("joblib")
def test_a_parallel_that_is_called_again_after_an_error(tmp_path, library):
    """joblib 1.6 gives results of the call that failed before those of the next: four times of five, so of forty never none."""
    program = """
        def fail(x):
            if x == 3:
                raise KeyError(x)
            return x
        wrong = 0
        for _ in range(40):
            parallel = Parallel(n_jobs=2, backend="threading")
            try:
                parallel(delayed(fail)(x) for x in range(10))
            except KeyError:
                pass
            wrong += parallel(delayed(fail)(x) for x in range(3)) != [0, 1, 2]
        print(wrong)
    """
    (wrong,) = said(library, tmp_path, program)
    if library == "manyhands":
        assert wrong == "0"
    elif importlib.metadata.version("joblib").startswith("1.6."):
        assert int(wrong) > 0


# ------------------------------------------------------------ code that is not found

DECORATORS = """
import functools
def bare(function):
    def wrapper(clause):
        return function(clause)
    return wrapper
def named(function):
    wrapper = bare(function)
    wrapper.__qualname__ = function.__qualname__
    return wrapper
def wrapped(function):
    return functools.wraps(function)(bare(function))
"""


@libraries("ProcessPoolExecutor", "Pool")
@pytest.mark.parametrize("decorator", ["bare", "named", "wrapped"])
def test_a_decorated_function(tmp_path, library, decorator):
    program = f"""
        @{decorator}
        def count(clause):
            return clause.count("lorem")
        with Executor(2) as executor:
            for future in [executor.submit(count, clause) for clause in ("lorem ipsum", "lorem et lorem")]:
                print(outcome(future))
    """
    lines = said(library, tmp_path, DECORATORS + textwrap.dedent(program))
    if library != "manyhands" and decorator == "bare":
        assert len(lines) == 2
        assert all("local object 'bare.<locals>.wrapper'" in line for line in lines)
    else:
        assert lines == ["1", "2"]


@libraries("ProcessPoolExecutor")
def test_a_module_that_workers_cannot_import(tmp_path, library):
    """And whether the pool is of use afterwards."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "plugin.py").write_text("def f(x):\n    return x + 1\n")
    program = """
        import pathlib
        with Executor(1) as executor:
            print(executor.submit(len, "abc").result())
            sys.path.append(str(pathlib.Path(gate).with_name("plugins")))
            import plugin
            print(outcome(executor.submit(plugin.f, 1)))
            try:
                print(executor.submit(len, "abc").result())
            except Exception as error:
                print(type(error).__name__)
    """
    first, second, third = said(library, tmp_path, program)
    assert first == "3"
    if library == "manyhands":
        assert (second, third) == ("2", "3")
    else:
        assert second.startswith("BrokenProcessPool: ")
        assert third == "BrokenProcessPool"
