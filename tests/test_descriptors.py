"""Sockets and connections of ``multiprocessing`` as arguments: workers get copies, and nobody keeps one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import ssl
import threading

import pytest
import waiting

import manyhands
from manyhands import Executor, Pool, Process

METHODS = ["zygote", "spawn", "fork"]


@pytest.fixture
def pair():
    """A socket to give away, and the other end."""
    given, peer = socket.socketpair()
    peer.settimeout(20)
    with given, peer:
        yield given, peer


def answer(sock, text=b"hello"):
    with sock:
        sock.sendall(text)
    return os.getpid()


def open_here(_=None):
    return len(os.listdir("/proc/self/fd"))


def read_to_the_end(peer):
    """What it is sent until nobody has the other end any more."""
    return b"".join(iter(lambda: peer.recv(100), b""))


# ------------------------------------------------------------ they arrive


@pytest.mark.parametrize("method", METHODS)
def test_as_arguments_of_tasks(method):
    with Executor(1, start_method=method) as executor:
        before = executor.submit(open_here).result()
        given, peer = socket.socketpair()
        with given:
            pid = executor.submit(answer, given)  # which is a copy by now
        with peer:
            peer.settimeout(20)
            assert read_to_the_end(peer) == b"hello"
        assert pid.result() != os.getpid()
        assert executor.submit(open_here).result() == before


def of_a_row(row):
    return answer(row["socket"], row["text"])


def test_in_each_kind_of_call():
    with Pool(2) as pool:
        calls = {
            "apply": lambda given: pool.apply(answer, (given,)),
            "apply_async": lambda given: pool.apply_async(answer, (), {"sock": given}).get(20),
            "map": lambda given: pool.map(answer, [given]),
            "starmap": lambda given: pool.starmap(answer, [(given, b"hello")]),
            "imap": lambda given: list(pool.imap(answer, [given])),
            "inside": lambda given: pool.map(of_a_row, [{"text": b"hello", "socket": given}]),
            "manyhands.map": lambda given: manyhands.map(answer, [given]),
            "a generator": lambda given: list(manyhands.imap(answer, (s for s in [given]))),
            "Parallel": lambda given: manyhands.Parallel(n_jobs=2)(manyhands.delayed(answer)(s) for s in [given]),
        }
        for name, call in calls.items():
            given, peer = socket.socketpair()
            peer.settimeout(20)
            with peer:
                with given:
                    call(given)
                assert (name, read_to_the_end(peer)) == (name, b"hello")


def test_the_classic_server():
    def serve(connection, number):
        with connection, connection.makefile("rw") as file:
            file.write(f"{number}: {file.readline()}")

    with socket.create_server(("127.0.0.1", 0)) as server, Pool(2) as pool:

        def accept():
            for number in range(10):
                connection, _ = server.accept()
                with connection:
                    pool.apply_async(serve, (connection, number))

        thread = threading.Thread(target=accept)
        thread.start()
        for number in range(10):
            with socket.create_connection(server.getsockname(), timeout=20) as client:
                client.sendall(b"line\n")
                assert read_to_the_end(client) == b"%d: line\n" % number
        thread.join()
        pool.close()
        pool.join()


def send_and_close(connection, value):
    connection.send(value)
    connection.close()


def test_connections_of_multiprocessing():
    reader, writer = multiprocessing.Pipe(duplex=False)
    with Pool(1) as pool, reader:
        with writer:
            pool.apply_async(send_and_close, (writer, [1, 2]))
        assert reader.recv() == [1, 2]
        with pytest.raises(EOFError):
            reader.recv()


def test_all_sockets_of_many_tasks():
    pairs = [socket.socketpair() for _ in range(40)]
    with Executor(2) as executor:
        futures = [executor.submit(answer, given, b"%d" % number) for number, (given, _) in enumerate(pairs)]
        for given, _ in pairs:
            given.close()
        for number, (_, peer) in enumerate(pairs):
            with peer:
                assert read_to_the_end(peer) == b"%d" % number
        assert len({future.result() for future in futures}) <= 2


def timeout_and_kind(sock):
    with sock:
        return sock.gettimeout(), sock.family, sock.type, sock.get_inheritable()


@pytest.mark.parametrize("timeout", [None, 0.0, 2.5])
def test_it_is_the_same_socket(pair, timeout):
    given, _ = pair
    given.settimeout(timeout)
    with Executor(1) as executor:
        assert executor.submit(timeout_and_kind, given).result() == (timeout, given.family, given.type, False)
    assert given.gettimeout() == timeout


# ------------------------------------------------------------ nobody keeps one


def wait_for(path):
    waiting.until(path.exists)


def test_of_a_task_that_is_cancelled(pair, tmp_path):
    given, peer = pair
    with Executor(1) as executor:
        first = executor.submit(wait_for, tmp_path / "go")
        with given:
            future = executor.submit(answer, given)
        assert future.cancel()
        del future
        assert read_to_the_end(peer) == b""
        (tmp_path / "go").touch()
        first.result()


def block_with(sock, path):
    path.touch()
    waiting.until(lambda: False, 60)


def test_of_one_that_is_stopped(pair, tmp_path):
    given, peer = pair
    with Executor(1) as executor:
        with given:
            future = executor.submit(block_with, given, tmp_path / "begun")
        waiting.until((tmp_path / "begun").exists)
        assert future.cancel(running=True)
        assert read_to_the_end(peer) == b""
        assert executor.submit(abs, -1).result() == 1


def die_with(sock):
    os.kill(os.getpid(), signal.SIGKILL)


def test_of_one_that_ends_its_worker(pair):
    given, peer = pair
    with Executor(1) as executor:
        with given:
            future = executor.submit(die_with, given)
        with pytest.raises(manyhands.WorkerDied, match=r"die_with\(socket\(\)\)"):
            future.result()
        assert read_to_the_end(peer) == b""


def answer_at_last(sock, path):
    if not path.exists():
        path.touch()
        sock.sendall(b"first, ")
        die_with(sock)
    answer(sock, b"then")


def test_of_one_that_is_run_again(pair, tmp_path):
    given, peer = pair
    with Executor(1) as executor:
        with given:
            executor.with_options(retries=1, retry_on=manyhands.WorkerDied).submit(answer_at_last, given, tmp_path / "tried")
        assert read_to_the_end(peer) == b"first, then"


def test_of_one_that_does_not_look_at_it(pair):
    given, peer = pair
    with Executor(1) as executor:
        before = executor.submit(open_here).result()
        with given:
            assert executor.submit(open_here, given).result() > before
        assert read_to_the_end(peer) == b""
        assert executor.submit(open_here).result() == before


class Broken:
    def __reduce__(self):
        return fail, ()


def fail():
    raise ValueError("cannot be rebuilt")


def test_of_one_whose_arguments_cannot_be_rebuilt(pair):
    given, peer = pair
    with Executor(1) as executor:
        with given:
            future = executor.submit(print, given, Broken())
        with pytest.raises(ValueError, match="cannot be rebuilt"):
            future.result()
        assert read_to_the_end(peer) == b""


def test_of_one_that_cannot_be_sent(pair):
    given, peer = pair
    with Executor(1) as executor:
        with given, pytest.raises(manyhands.NotSerializable, match="a generator") as caught:
            executor.submit(print, given, (n for n in ())).result()
        assert "socket" not in str(caught.value)
        assert read_to_the_end(peer) == b""


@pytest.mark.parametrize("end", ["terminate_workers", "kill_workers", "shutdown"])
def test_of_one_that_never_began(pair, tmp_path, end):
    given, peer = pair
    executor = Executor(1)
    executor.submit(wait_for, tmp_path / "go")
    with given:
        executor.submit(answer, given)
    if end == "shutdown":
        (tmp_path / "go").touch()
    getattr(executor, end)()
    assert read_to_the_end(peer) == (b"hello" if end == "shutdown" else b"")


def test_a_forked_child_has_none(pair, tmp_path):
    given, peer = pair
    with Executor(1) as executor:
        first = executor.submit(wait_for, tmp_path / "go")
        with given:
            future = executor.submit(answer, given)
        given.close()
        child = multiprocessing.get_context("fork").Process(target=wait_for, args=(tmp_path / "end",))
        child.start()
        (tmp_path / "go").touch()
        assert (first.result(), future.result() > 0) == (None, True)
        assert read_to_the_end(peer) == b"hello"  # though the child lives
        (tmp_path / "end").touch()
        child.join()
        child.close()


# ------------------------------------------------------------ what is refused


def test_what_is_no_argument(pair):
    given, _ = pair
    with Executor(1) as executor:
        with pytest.raises(manyhands.NotSerializable, match=r"'given'.*a socket.socket.*belongs to this process.*pass it as an argument"):
            executor.submit(lambda: given.fileno()).result()
        with pytest.raises(manyhands.NotSerializable, match=r"socket.socket.*return what it gave"):
            executor.submit(socket.socket).result()


def test_what_is_no_plain_socket(pair):
    given, _ = pair
    closed = socket.socket()
    closed.close()
    with Executor(1) as executor, ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="example.org") as tls:
        with pytest.raises(manyhands.NotSerializable, match="it is closed"):
            executor.submit(print, closed).result()
        with pytest.raises(manyhands.NotSerializable, match="SSLSocket"):
            executor.submit(print, tls).result()
        many = [given.dup() for _ in range(64)]
        with pytest.raises(manyhands.NotSerializable, match="at most 63"):
            executor.submit(len, many).result()
        assert executor.submit(len, many[:60]).result() == 60
    for one in many:
        one.close()


# ------------------------------------------------------------ from the start


def test_a_process_has_them(pair):
    given, peer = pair
    process = Process(target=given.sendall, args=(b"method, ",))
    process.start()
    process.join()
    process.close()
    process = Process(target=answer, args=(given, b"argument"))
    process.start()
    given.close()
    assert read_to_the_end(peer) == b"method, argument"
    process.join()
    assert process.exitcode == 0
    process.close()


_given = []


def keep(*given):
    _given[:] = given


def send_kept(text):
    _given[0].sendall(text)


@pytest.mark.parametrize("forked", [False, True])
def test_workers_have_them(pair, forked):
    given, peer = pair
    given.settimeout(5)
    more = (multiprocessing.get_context("fork").Lock(),) if forked else ()
    with Executor(1, initializer=keep, initargs=(given, *more), max_tasks_per_child=1) as executor:
        given.close()
        for text in (b"one, ", b"two"):
            executor.submit(send_kept, text).result()
    assert read_to_the_end(peer) == b"one, two"
