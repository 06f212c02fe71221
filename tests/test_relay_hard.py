"""Lines, records and warnings of workers where streams block, are locked, or are used by handlers that use the pool themselves."""

from __future__ import annotations

import io
import logging
import logging.handlers
import multiprocessing
import multiprocessing.shared_memory
import os
import signal
import subprocess
import sys
import threading
import warnings

import pytest
import scripts
import waiting

import manyhands
from manyhands import Executor


def say(x):
    print("task", x)
    return x


class Tee:
    """A stream with a lock that a program may hold for longer."""

    def __init__(self):
        self.lock = threading.RLock()
        self.shown = io.StringIO()

    def write(self, text):
        with self.lock:
            return self.shown.write(text)


def test_a_stream_that_is_locked_by_somebody_who_waits_for_a_result(monkeypatch):
    tee = Tee()
    monkeypatch.setattr(sys, "stdout", tee)
    with Executor(2) as executor, tee.lock:
        futures = [executor.submit(say, x) for x in range(20)]
        assert [future.result(20) for future in futures] == list(range(20))
        assert manyhands.map(say, range(20), workers=2) == list(range(20))
    waiting.until(lambda: tee.shown.getvalue().count("task") == 40)


def log(x):
    logging.getLogger("app").warning("record %d", x)
    return x


def test_a_handler_that_waits_for_a_result():
    shipped = []

    class Ship(logging.Handler):
        def emit(self, record):
            shipped.append(executor.submit(abs, -1).result(20))

    handler = Ship()
    logging.getLogger("app").addHandler(handler)
    try:
        with Executor(2) as executor:
            assert list(executor.map(log, range(3))) == [0, 1, 2]
            waiting.until(lambda: len(shipped) == 3)
    finally:
        logging.getLogger("app").removeHandler(handler)


def print_much_and_tell(path):
    print("." * 300_000)
    with open(path, "w") as fifo:
        fifo.write("word")


def test_a_callback_that_waits_for_a_task_which_prints_more_than_a_pipe_holds(tmp_path, capsys):
    fifo, words = tmp_path / "fifo", []
    os.mkfifo(fifo)
    with Executor(2) as executor:
        much = executor.submit(print_much_and_tell, fifo)
        executor.submit(int).add_done_callback(lambda _: words.append(fifo.read_text()))
        much.result(20)
        waiting.until(lambda: words)
    assert words == ["word"]
    assert capsys.readouterr().out == "." * 300_000 + "\n"


def test_a_handler_and_a_hook_that_raise_cost_nothing(capsys, monkeypatch):
    class Raise(logging.Filter):
        def filter(self, record):
            raise KeyError("in the handler")

    def leave(*_):
        raise SystemExit

    monkeypatch.setattr(sys, "excepthook", leave)
    raising = Raise()
    logging.getLogger("app").addFilter(raising)
    try:
        with Executor(1) as executor:
            assert [executor.submit(log, x).result(20) for x in range(3)] == [0, 1, 2]
    finally:
        logging.getLogger("app").removeFilter(raising)


def test_ctrl_c_while_nobody_reads_what_is_printed():
    program = """
        import manyhands, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have the tests' own processes ignore it
        def much(x):
            print("x" * 200000)
        sys.stderr.write("ready")
        sys.stderr.flush()
        manyhands.map(much, range(4), workers=2)
    """
    with scripts.started(program) as process:
        assert process.stderr.read(5) == "ready"
        scripts.descendants(process, 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT


def quick(x):
    return x


def chatter(_):
    for _ in range(300):
        print("status:", "all", "is", "well", "- end")


def test_lines_that_are_in_the_making_when_results_are_sent(capsys):
    """A thread that a task has left writes while other tasks end."""

    def begin(_):
        thread = threading.Thread(target=chatter, args=(0,))
        thread.start()
        return thread.ident is not None

    with Executor(1) as executor:
        assert executor.submit(begin, 0).result()
        for x in range(300):
            assert executor.submit(quick, x).result() == x
    assert capsys.readouterr().out == "status: all is well - end\n" * 300


def test_lines_of_a_long_task_behind_quick_ones(capsys):
    """Results of the quick ones are asked for while it prints."""

    def mixed(x):
        if x == 40:
            until = waiting.time.process_time() + 0.2
            while waiting.time.process_time() < until:
                chatter(x)
        return x

    assert manyhands.map(mixed, range(41), workers=2, chunk=41) == list(range(41))
    lines = capsys.readouterr().out.splitlines()
    assert set(lines) == {"status: all is well - end"}


# ---------------------------------------------------------------- what tasks do with the streams


def test_bytes_are_not_changed():
    program = "import sys, manyhands\nmanyhands.map(lambda _: sys.stdout.buffer.write(b'\\x89P\\xff\\n'), [1])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=40, check=True)
    assert done.stdout == b"\x89P\xff\n"


def test_a_descriptor_that_a_task_leads_elsewhere(tmp_path):
    def capture(path):
        before = os.dup(sys.stdout.fileno())
        with open(path, "wb") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
        print("printed")
        subprocess.run(["echo", "from a program"], check=True)
        os.dup2(before, 1)
        os.close(before)

    manyhands.map(capture, [tmp_path / "captured"])
    assert (tmp_path / "captured").read_text() == "printed\nfrom a program\n"


def test_dots_of_two_workers(capsys):
    manyhands.map(lambda _: print(".", end="", flush=True), range(20), workers=2, chunk=1)
    assert capsys.readouterr().out == "." * 20


def test_a_thread_that_a_task_has_left_is_waited_for(capsys):
    def leave_one():
        def late():
            waiting.until(threading.main_thread().is_alive)
            print("thread has ended")

        threading.Thread(target=late).start()

    with Executor(1) as executor:
        executor.submit(leave_one).result()
    assert capsys.readouterr().out == "thread has ended\n"


# ---------------------------------------------------------------- records


def log_to_a_text(x):
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger("app").addHandler(handler)
    logging.getLogger("app").warning("in task %d", x)
    logging.getLogger("app").removeHandler(handler)
    return text.getvalue()


def test_a_handler_that_a_task_adds_is_its_own():
    logger, handler = logging.getLogger("app"), logging.StreamHandler(io.StringIO())
    logger.addHandler(handler)
    try:
        assert manyhands.map(log_to_a_text, range(2)) == ["in task 0\n", "in task 1\n"]
    finally:
        logger.removeHandler(handler)
    assert sorted(handler.stream.getvalue().split("\n")) == ["", "in task 0", "in task 1"]


class Kept(logging.handlers.QueueHandler):
    def emit(self, record):
        self.queue.append(record.getMessage())


def add_carrier():
    logging.getLogger("app").addHandler(Kept([]))


def test_records_that_a_handler_of_the_worker_carries_are_not_sent_twice():
    logger, handler = logging.getLogger("app"), logging.StreamHandler(io.StringIO())
    logger.addHandler(handler)
    try:
        with Executor(1, initializer=add_carrier) as executor:
            executor.submit(log, 1).result()
    finally:
        logger.removeHandler(handler)
    assert handler.stream.getvalue() == ""


def test_numbers_of_numpy_in_a_record():
    numpy = pytest.importorskip("numpy")

    def log_loss(_):
        logging.getLogger("app").warning("x", extra={"loss": numpy.float64(0.25), "small": numpy.float32(0.5), "array": numpy.arange(2)})

    logger, handler = logging.getLogger("app"), logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("%(loss).2f %(small).2f %(array)s"))
    logger.addHandler(handler)
    try:
        manyhands.map(log_loss, [1])
    finally:
        logger.removeHandler(handler)
    assert handler.stream.getvalue() == "0.25 0.50 array([0, 1])\n"


@pytest.mark.parametrize("start_method", ["zygote", "spawn"])
def test_what_a_preloaded_module_has_set_up(tmp_path, start_method):
    (tmp_path / "preloaded_set_up.py").write_text(
        "import logging, sys, warnings\n"
        "logging.getLogger('preloaded').addHandler(logging.StreamHandler(sys.stderr))\n"
        "warnings.filterwarnings('ignore', message='quiet')\n"
    )
    program = """
        import warnings, manyhands
        def ask():
            import logging
            import preloaded_set_up
            warnings.warn("quiet please")
            return len(logging.getLogger("preloaded").handlers)
        with manyhands.Executor(1, preload=["preloaded_set_up"], start_method=%r) as executor:
            print(executor.submit(ask).result())
    """
    done = scripts.run(program % start_method, PYTHONPATH=str(tmp_path))
    assert (done.stdout, done.stderr) == ("1\n", "")


# ---------------------------------------------------------------- warnings


class OddWarning(UserWarning):
    def __init__(self, text, more):
        super().__init__(text)


def test_a_warning_that_is_made_of_more_than_a_text_is_shown_once(executor_of_two):
    def warn(x):
        warnings.warn(OddWarning("odd", x), stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        list(executor_of_two.map(warn, range(10)))
    assert [(w.category, str(w.message)) for w in caught] == [(OddWarning, "odd")]
    assert isinstance(caught[0].message, OddWarning)


@pytest.fixture
def executor_of_two():
    with Executor(2) as executor:
        yield executor


# ---------------------------------------------------------------- among multiprocessing


def fill(name, i):
    shared = multiprocessing.shared_memory.SharedMemory(name=name)
    shared.buf[i] = i
    shared.close()


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_shared_memory_of_multiprocessing_outlives_workers(start_method):
    program = """
        import multiprocessing.shared_memory
        from manyhands import Executor
        def fill(name, i):
            shared = multiprocessing.shared_memory.SharedMemory(name=name)
            shared.buf[i] = i
            shared.close()
        shared = multiprocessing.shared_memory.SharedMemory(create=True, size=4)
        for _ in range(2):
            with Executor(2, start_method=%r) as executor:
                list(executor.map(fill, [shared.name] * 4, range(4)))
        print(list(shared.buf[:4]))
        shared.close()
        shared.unlink()
    """
    done = scripts.run(program % start_method)
    assert (done.stdout, done.stderr) == ("[0, 1, 2, 3]\n", "")


def who(_):
    process, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    return process.name, process._identity, parent.pid, parent.is_alive()


@pytest.mark.parametrize("start_method", ["zygote", "spawn", "fork"])
def test_what_multiprocessing_takes_a_worker_for(start_method):
    with Executor(1, start_method=start_method) as executor:
        assert executor.submit(who, 0).result() == ("Worker-0", (1,), os.getpid(), True)
