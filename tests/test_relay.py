"""What workers print, log and warn of comes from the program itself."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
import warnings

import pytest
import scripts
import waiting

import manyhands
from manyhands import Executor, options


@pytest.fixture(params=["zygote", "spawn", "fork"])
def executor(request):
    with Executor(2, start_method=request.param) as executor:
        yield executor


def say(x):
    print("out", x)
    print("err", x, file=sys.stderr)
    return x


# ---------------------------------------------------------------- lines


def test_lines_come_from_the_program_before_the_result(executor, capsys):
    assert executor.submit(say, 1).result() == 1
    assert capsys.readouterr() == ("out 1\n", "err 1\n")
    assert list(executor.map(say, range(50))) == list(range(50))
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == sorted(f"out {x}" for x in range(50))
    assert sorted(err.splitlines()) == sorted(f"err {x}" for x in range(50))


def test_lines_of_a_call_are_there_when_it_returns(capsys):
    for call in range(20):
        manyhands.map(say, range(20), workers=2)
        assert len(capsys.readouterr().out.splitlines()) == 20, call
        assert len(list(manyhands.imap(say, range(20), workers=2))) == 20
        assert len(capsys.readouterr().out.splitlines()) == 20, call


def say_much(letter):
    def repeat(part):
        for _ in range(20):
            print(letter, *(part for _ in range(1500)), sep="")

    threads = [threading.Thread(target=repeat, args=(part,)) for part in "01"]
    for thread in threads:
        thread.start()
    repeat("2")
    for thread in threads:
        thread.join()


def test_no_line_is_torn(capsys):
    manyhands.map(say_much, "abcd", workers=2, chunk=1)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(letter + part * 1500 for letter in "abcd" for part in "012" for _ in range(20))


def test_a_text_larger_than_a_pipe(capsys):
    manyhands.map(lambda n: print("é" * n), [300_000, 300_000], workers=2)
    assert capsys.readouterr().out == ("é" * 300_000 + "\n") * 2


def test_a_line_that_is_not_ended(capsys):
    def begin(x):
        print(x, end="")
        print(".", end="")

    manyhands.map(begin, range(1), workers=1)
    assert capsys.readouterr().out == "0."
    with pytest.raises(KeyError):
        manyhands.map(lambda _: print("last words", end="") or {}[1], [1])
    assert capsys.readouterr().out.endswith("last words")


def test_a_line_that_the_program_ends(capsys):
    """Workers of the next call begin no other line: no empty one follows."""
    with Executor(1) as first, Executor(1) as second:
        list(first.map(lambda _: print(".", end=""), range(3), chunksize=3))
        print()
        list(second.map(say, [1], chunksize=3))
    assert capsys.readouterr().out == "...\nout 1\n"


def dots(folder):
    print("..", end="", flush=True)
    waiting.until(lambda: os.path.exists(f"{folder}/go"))
    print(end=".\n")


def test_what_is_flushed_is_seen_while_the_task_goes_on(tmp_path, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    with Executor(1) as executor:
        future = executor.submit(dots, tmp_path)
        waiting.until(lambda: shown.getvalue() == "..")
        (tmp_path / "go").touch()
        future.result()
    assert shown.getvalue() == "...\n"


def test_two_workers_do_not_share_a_line(tmp_path, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    with Executor(2) as executor:
        future = executor.submit(dots, tmp_path)
        waiting.until(lambda: shown.getvalue() == "..")
        executor.submit(say, 1).result()
        (tmp_path / "go").touch()
        future.result()
    assert shown.getvalue() == "..\nout 1\n.\n"


def test_tags(capsys):
    def two_lines(x):
        print("a\nb", x)
        print("open", end="")

    manyhands.map(two_lines, range(2), workers=1, chunk=1, tag_output=True)
    two, lines = "test_tags.<locals>.two_lines", capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"[{two} 0] a", f"[{two} 0] b 0"]
    assert lines[2].startswith(f"[{two} 0] open")
    with options(tag_output=True):
        manyhands.map(say, [1], workers=1)
    with Executor(1) as executor:
        executor.with_options(tag_output=True).submit(say, 1).result()
        executor.submit(say, 2).result()
    assert [line for line in capsys.readouterr().out.splitlines() if line] == ["[say 0] out 1", "[say 0] out 1", "out 2"]
    with pytest.raises(ValueError, match="tag_output='yes' is not allowed"):
        manyhands.map(say, [1], tag_output="yes")


def test_the_stream_is_like_any_other(executor, capsys):
    def use():
        sys.stdout.write("a\n")
        sys.stdout.writelines(["b\n", "c\n"])
        sys.stdout.buffer.write("é\n".encode()[:1])
        sys.stdout.buffer.write("é\n".encode()[1:])
        sys.stdout.buffer.flush()
        sys.stdout.reconfigure(line_buffering=True)
        with pytest.raises(TypeError, match="must be str, not bytes"):
            sys.stdout.write(b"x")
        sys.stdout.close()
        print("d", sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.closed, sys.stdout.writable())
        assert isinstance(sys.stdout.fileno(), int)

    executor.submit(use).result()
    assert capsys.readouterr().out == "a\nb\nc\né\nd utf-8 False False True\n"


def test_a_process_that_a_task_has_forked(capsys):
    def fork():
        print("begun", end="")
        pid = os.fork()
        if pid == 0:
            print("child")
            os._exit(0)
        os.waitpid(pid, 0)

    manyhands.map(lambda _: fork(), [1])
    assert sorted(capsys.readouterr().out.split("\n")) == ["begun", "child"]


def die(_):
    print("said")
    os.kill(os.getpid(), 9)


def test_what_a_worker_has_said_before_it_was_killed(capsys):
    with pytest.raises(manyhands.WorkerDied):
        manyhands.map(die, [1])
    assert capsys.readouterr().out == "said\n"


def test_initializers_and_what_is_said_at_the_end(executor, capsys):
    executor.submit(register_farewell).result()
    executor.shutdown()
    assert capsys.readouterr().out == "farewell\n"
    with Executor(1, initializer=print, initargs=("hello",)) as executor:
        executor.submit(int).result()
        assert capsys.readouterr().out == "hello\n"


def register_farewell():
    import atexit

    atexit.register(print, "farewell")


def test_what_is_said_while_the_program_ends():
    program = "import atexit, manyhands\nmanyhands.map(lambda _: atexit.register(print, 'farewell'), [1])\nprint('end')\n"
    done = scripts.run(program)
    assert (done.stdout, done.stderr) == ("end\nfarewell\n", "")


def test_a_program_whose_output_nobody_reads_any_more():
    program = """
        import sys, manyhands
        sys.stdout.close()
        assert manyhands.map(lambda x: print(x) or x, range(9)) == [*range(9)]
        sys.stderr.write("done")
    """
    done = scripts.run(program)
    assert done.stderr == "done"


def test_a_terminal_that_is_not_for_all_letters():
    program = "import manyhands\nmanyhands.map(lambda _: print('é'), [1])"
    done = scripts.run(program, PYTHONIOENCODING="ascii")
    assert done.stdout == "\\xe9\n"


def test_a_call_within_a_call(capsys):
    def outer(x):
        with Executor(1) as executor:
            return executor.submit(say, x).result()

    assert manyhands.map(outer, [1]) == [1]
    assert capsys.readouterr().out == "out 1\n"


def test_a_pool_that_idles_says_what_its_threads_say(tmp_path, capsys):
    def later(path):
        def wait_and_say():
            waiting.until(path.exists)
            print("late", flush=True)

        threading.Thread(target=wait_and_say, daemon=True).start()

    shown = []
    with Executor(1) as executor:
        executor.submit(later, tmp_path / "go").result()
        (tmp_path / "go").touch()
        waiting.until(lambda: shown.append(capsys.readouterr().out) or "late\n" in shown)


def test_bars_of_tqdm_are_not_destroyed():
    tqdm = pytest.importorskip("tqdm")
    tqdm.tqdm.monitor_interval = 0  # no thread
    shown = io.StringIO()
    stderr, sys.stderr = sys.stderr, shown
    try:
        with tqdm.tqdm(total=3, file=shown, ascii=True) as bar:
            for x in manyhands.imap(say, range(3), workers=2, ordered=False):
                bar.update()
                assert x < 3
    finally:
        sys.stderr = stderr
    lines = [line.split("\r")[-1].rstrip() for line in shown.getvalue().split("\n")]
    assert sorted(line for line in lines if line.startswith("err")) == ["err 0", "err 1", "err 2"]


# ---------------------------------------------------------------- log records


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    def texts(self):
        found, self.records = [f"{r.levelname} {r.name}: {r.getMessage()}" for r in self.records], []
        return found


@pytest.fixture
def kept():
    """The one handler of the program: of a logger of its own, so that pytest's do not matter."""
    logger, handler = logging.getLogger("app"), Kept()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def log(x):
    logger = logging.getLogger("app.part")
    logger.debug("debug %d", x)
    logger.info("info %d", x)
    return logger.isEnabledFor(logging.DEBUG)


def test_records_come_through_the_handlers_of_the_program(executor, kept):
    assert executor.submit(log, 1).result() is False
    assert kept.texts() == ["INFO app.part: info 1"]
    logging.getLogger("app").setLevel(logging.DEBUG)
    assert executor.submit(log, 2).result() is True
    assert kept.texts() == ["DEBUG app.part: debug 2", "INFO app.part: info 2"]
    logging.disable(logging.INFO)
    try:
        assert executor.submit(log, 3).result() is False
        assert kept.texts() == []
    finally:
        logging.disable(logging.NOTSET)
    executor.submit(log, 4).result()
    assert len(kept.texts()) == 2
    logging.getLogger("app.part").setLevel(logging.ERROR)
    try:
        executor.submit(log, 5).result()
        assert kept.texts() == []
    finally:
        logging.getLogger("app.part").setLevel(logging.NOTSET)
    executor.submit(log, 6).result()
    assert len(kept.texts()) == 2


def test_what_a_record_tells(kept):
    class Odd:
        def __repr__(self):
            return "<odd>"

    def fail():
        try:
            raise KeyError("key")
        except KeyError:
            logging.getLogger("app").exception("it failed", extra={"odd": Odd(), "number": 3})
        logging.getLogger("app").error("%d", "x")

    with Executor(1) as executor:
        executor.submit(fail).result()
        (pid,) = executor.worker_pids()
    first, second = kept.records
    assert (first.process, first.processName, first.funcName, first.odd, first.number) == (pid, "Worker-0", "fail", "<odd>", 3)
    assert "KeyError: 'key'" in first.exc_text
    assert "Traceback" in logging.Formatter().format(first)
    assert "cannot be formatted" in second.getMessage()


def test_a_task_that_loads_logging_itself():
    program = """
import logging, sys, manyhands
logging.basicConfig(format="%(name)s says %(message)s", stream=sys.stdout, level=logging.INFO)

def task(_):
    import logging
    logging.info("one")
    logging.getLogger("x").warning("two")

manyhands.map(task, [1])
"""
    done = scripts.run(program)
    assert (done.stdout, done.stderr) == ("root says one\nx says two\n", "")


CLASS = """
import logging

class Telling(logging.Logger):
    def tell(self, text):
        self.warning("told %s", text)
"""
USER = """
import logging
log = logging.getLogger(__name__)

def task(x):
    log.tell(x)
"""


@pytest.mark.parametrize("class_is_in", ["the script", "a module"])
def test_loggers_of_a_class_of_the_programs(tmp_path, class_is_in):
    (tmp_path / "module_with_a_class.py").write_text(CLASS)
    (tmp_path / "module_that_logs.py").write_text(USER)
    program = f"""
{CLASS if class_is_in == "the script" else "import logging; from module_with_a_class import Telling"}
import manyhands
logging.basicConfig(format="%(name)s: %(message)s")
logging.getLogger("of the script").setLevel(logging.INFO)
executor = manyhands.Executor(1)
executor.submit(abs, 1).result()  # the worker is there

logging.setLoggerClass(Telling)
import module_that_logs
log = logging.getLogger("app")
log.setLevel(logging.INFO)

def task(x):
    log.tell(x)
    logging.setLoggerClass(logging.Logger)  # what a task sets, stays

executor.submit(module_that_logs.task, 1).result()
executor.submit(task, 2).result()
log.setLevel(logging.DEBUG)
print(executor.submit(lambda: logging.getLoggerClass() is logging.Logger).result())
logging.setLoggerClass(logging.Logger)
print(executor.submit(lambda: type(logging.getLogger("new")).__name__).result())
"""
    done = scripts.run(program, PYTHONPATH=str(tmp_path))
    assert (done.stderr, done.stdout) == ("module_that_logs: told 1\napp: told 2\n", "True\nLogger\n")


def test_loggers_of_a_class_that_cannot_be_sent():
    """Tasks that need it fail, and others do not."""
    program = """
import logging, manyhands

class Telling(logging.Logger):
    texts = (text for text in ["one"])

logging.setLoggerClass(Telling)
logging.basicConfig(format="%(message)s")
manyhands.map(lambda _: logging.getLogger("app").warning("two"), [1])
"""
    done = scripts.run(program)
    assert (done.stdout, done.stderr) == ("", "two\n")


def test_a_program_without_handlers():
    program = "import logging, manyhands\nmanyhands.map(lambda _: logging.getLogger('x').warning('two') or logging.warning('one'), [1])"
    done = scripts.run(program)
    assert (done.stdout, done.stderr) == ("", "two\nWARNING:root:one\n")


MODULE = """
import logging, sys
logger = logging.getLogger("module_with_a_handler")
logger.addHandler(logging.StreamHandler(sys.stdout))

def task(x):
    logger.warning("said %d", x)
"""


def test_a_module_that_adds_a_handler_when_it_is_imported(tmp_path):
    (tmp_path / "module_with_a_handler.py").write_text(MODULE)
    program = "import manyhands, module_with_a_handler\nmanyhands.map(module_with_a_handler.task, range(3))"
    done = scripts.run(program, PYTHONPATH=str(tmp_path))
    assert sorted(done.stdout.splitlines()) == ["said 0", "said 1", "said 2"]
    assert done.stderr == ""


def add_file(path):
    logging.getLogger("app").addHandler(logging.FileHandler(path))


def test_a_handler_that_the_initializer_adds(tmp_path, kept):
    path = tmp_path / "worker.log"
    with Executor(1, initializer=add_file, initargs=(path,)) as executor:
        executor.submit(log, 1).result()
    assert path.read_text() == "info 1\n"
    assert kept.texts() == ["INFO app.part: info 1"]


# ---------------------------------------------------------------- warnings


def warn(x):
    warnings.warn("careful", stacklevel=1)
    return x


def of_tasks(caught):
    """Without what Python 3.12 says of a fork, since the thread that limits a test's time is none of manyhands'."""
    return [w for w in caught if "fork()" not in str(w.message)]


def test_warnings_are_shown_once_for_all_workers(executor):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        assert list(executor.map(warn, range(20))) == list(range(20))
    assert [(w.category, str(w.message), w.filename) for w in of_tasks(caught)] == [(UserWarning, "careful", __file__)]


def test_warnings_follow_the_filters_of_the_program(executor):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        executor.submit(warn, 1).result()
        assert of_tasks(caught) == []
        warnings.simplefilter("always")
        for _ in range(3):
            executor.submit(warn, 1).result()
        assert len(of_tasks(caught)) == 3
        warnings.filterwarnings("ignore", message="care")
        executor.submit(warn, 1).result()
        assert len(of_tasks(caught)) == 3
        warnings.filterwarnings("error", message="care", module="test_relay|.*test_relay")
        with pytest.raises(UserWarning, match="careful"):
            executor.submit(warn, 1).result()


class OddWarning(UserWarning):
    def __init__(self, text, more):
        super().__init__(text)


def test_classes_of_warnings(tmp_path, executor):
    (tmp_path / "module_that_warns.py").write_text(
        "import warnings\nclass Local(FutureWarning): pass\ndef task(): warnings.warn('x', Local)"
    )

    def load_and_warn():
        sys.path.insert(0, str(tmp_path))
        import module_that_warns

        module_that_warns.task()
        warnings.warn(OddWarning("odd", 2), stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        executor.submit(load_and_warn).result()
    first, second = of_tasks(caught)
    assert (first.category, str(first.message)) == (FutureWarning, "x")  # the nearest that is loaded here
    assert str(second.message) == "odd"
    assert "module_that_warns" not in sys.modules


def test_a_filter_for_a_class_that_the_worker_loads_later(tmp_path):
    (tmp_path / "module_that_warns_later.py").write_text(
        "import warnings\nclass Mine(UserWarning): pass\ndef task(_): warnings.warn('x', Mine)"
    )
    program = """
import warnings, manyhands, module_that_warns_later
def task(x):
    return module_that_warns_later.task(x)
manyhands.map(abs, [1, 2])
warnings.simplefilter("ignore", module_that_warns_later.Mine)
manyhands.map(task, [1, 2])
"""
    done = scripts.run(program, PYTHONPATH=str(tmp_path))
    assert done.stderr == ""


def test_a_task_that_catches_its_warnings(executor):
    def catch():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("careful", stacklevel=1)
        return len(caught)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert executor.submit(catch).result() == 1
    assert of_tasks(caught) == []


# ---------------------------------------------------------------- numbers of workers


def number(_):
    time.sleep(0)
    return os.getpid(), manyhands.worker_id()


@pytest.mark.parametrize("backend", ["processes", "threads", "sequential"])
def test_numbers_of_workers(backend):
    assert manyhands.worker_id() is None
    ids = {n for _, n in manyhands.map(number, range(200), workers=3, chunk=1, backend=backend)}
    assert ids <= {0, 1, 2}
    assert 0 in ids
    assert manyhands.worker_id() is None


def test_a_worker_that_is_replaced_has_the_number_of_the_one_before():
    with Executor(2, max_tasks_per_child=3) as executor:
        ids = {}
        for pid, n in executor.map(number, range(60)):
            assert ids.setdefault(pid, n) == n
    assert len(ids) >= 20
    assert set(ids.values()) <= {0, 1, 2}  # a third may begin while the first takes its leave
