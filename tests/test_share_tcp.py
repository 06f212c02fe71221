"""Shared objects for other machines: who may come in, what may be asked, and what becomes of nonsense."""

from __future__ import annotations

import contextlib
import datetime
import gc
import hashlib
import hmac
import os
import pickle
import random
import socket
import ssl
import struct
import subprocess
import threading
from collections import Counter

import numpy as np
import pytest
import scripts
import waiting
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import manyhands
from manyhands import lock, share, snapshot
from manyhands.errors import NotExposed, NotSerializable, NotShared, OwnerDied, RemoteError, ShareRefused
from manyhands.sharing import _data, _handshake
from manyhands.sharing._sealed_lanes import SealedLane

pytestmark = pytest.mark.timeout(120)

KEY = b"a key of thirty-two bytes, no less"


class Own(Exception):
    pass


class Thing:
    def __init__(self):
        self.n = 0
        self.items = [1, [2]]
        self.array = np.arange(3.0)
        self.squares = (i * i for i in range(100))
        self.guard = threading.Lock()
        self._private = 1

    def inc(self, k=1):
        self.n += k
        return self.n

    def give(self, value):
        return value

    def fail(self, kind):
        raise {"value": ValueError("no", 3), "own": Own("mine")}[kind]

    def __len__(self):
        return 5


@pytest.fixture
def thing():
    return Thing()


@pytest.fixture
def listener(thing):
    expose = {"thing": share(thing), "table": share({}), "number": share(5), "text": share("{0}"), "words.update": share(Counter())}
    with share.listen("tcp://127.0.0.1:0", key=KEY, expose=expose) as listening:
        yield listening


@pytest.fixture
def far(listener):
    return share.connect(f"{listener.address}/thing", key=KEY)


# ---------------------------------------------------------------- what can be done


def test_calls_attributes_and_operators(far, thing):
    assert (far.inc(), far.inc(k=2), far.n, len(far)) == (1, 3, 3, 5)
    far.n = 7
    far.n += 1
    assert thing.n == 8
    with pytest.raises(AttributeError, match="nothing"):
        _ = far.nothing


def test_containers_and_iterators_go_by_reference(far, thing):
    far.items[1].append(3)
    far.items.append("x")
    assert thing.items == [1, [2, 3], "x"]
    assert far.items == [1, [2, 3], "x"]
    assert list(far.items)[:1] == [1]
    assert [next(far.squares) for _ in range(3)] == [0, 1, 4]
    assert far.give(far.items) == thing.items
    assert far.items is far.items
    kept = snapshot(far.items)
    far.items.clear()
    assert kept == [1, [2, 3], "x"]


def test_boxes_dicts_and_long_iterations(listener):
    number = share.connect(f"{listener.address}/number", key=KEY)
    number += 3
    assert number == 8
    table = share.connect(f"{listener.address}/table", key=KEY)
    table.update({i: i for i in range(5000)})
    assert sum(table) == sum(range(5000))
    table["a"] = [1]
    table["a"].append(2)
    assert (table["a"] == [1, 2], len(table), "a" in table) == (True, 5001, True)


def test_arrays_come_as_copies_that_say_so(far, thing):
    assert far.array.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        far.array[0] = 5
    got = far.give(np.arange(6).reshape(2, 3)[:, ::2])
    assert got.tolist() == [[0, 2], [3, 5]]
    got[0] = 1
    assert far.give(share(np.ones(3))).tolist() == [1.0] * 3


def test_errors_are_those_of_the_object_where_the_class_is_pythons(far):
    with pytest.raises(ValueError, match="no") as raised:
        far.fail("value")
    assert raised.value.args == ("no", 3)
    with pytest.raises(RemoteError, match="Own: mine"):
        far.fail("own")
    with pytest.raises(ValueError, match="no"), manyhands.batch(far) as b:  # noqa: PT012 - the block is what fails
        counted = b.inc()
        b.fail("value")
    assert (counted.result(), far.inc()) == (1, 2)


def test_calls_that_are_not_waited_for(far, thing):
    futures = [manyhands.later(far).inc() for _ in range(3)]
    assert [future.result(30) for future in futures] == [1, 2, 3]
    with pytest.raises(ValueError, match="no"):
        manyhands.later(far).fail("value").result(30)
    with lock(far):
        assert manyhands.later(far).inc().result(30) == 4
    manyhands.later(far, reply=False).inc()
    assert manyhands.later(far).inc().result(30) == 6


def test_tuples_in_which_something_can_be_changed(far, thing):
    thing.items = {"a": [1], "b": 2}
    for _, part in far.items.items():
        if part != 2:
            part.append(3)
    assert thing.items == {"a": [1, 3], "b": 2}


def test_transactions_and_threads(far, thing):
    def count():
        for _ in range(50):
            with lock(far):
                far.n = far.n + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert thing.n == 200


CLIENT = """
    import os, signal, sys
    from manyhands import lock, share
    far = share.connect(sys.argv[1], key=bytes.fromhex(sys.argv[2]))
    {}
"""


def test_another_process_and_what_it_leaves_when_it_is_killed(listener, thing):
    address = f"{listener.address}/thing"
    done = scripts.run(CLIENT.format("print([far.inc() for _ in range(3)])"), address, KEY.hex())
    assert done.stdout.strip() == "[1, 2, 3]", done.stderr
    killed = """
    with lock(far):
        far.inc()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    scripts.run(CLIENT.format(killed.strip()), address, KEY.hex())
    far = share.connect(address, key=KEY)
    with pytest.warns(manyhands.errors.LockAbandoned), lock(far, timeout=30):
        assert far.n == 4
    del far
    waiting.until(lambda: not listener._clients or len(listener._clients) == 1)


def test_a_fork_has_connections_of_its_own(far, thing):
    assert far.inc() == 1
    child = os.fork()
    if not child:
        os._exit(far.inc() != 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert far.inc() == 3


def test_proxies_are_not_pickled(far):
    with pytest.raises(TypeError, match=r"share.connect\(\) where it is used"):
        pickle.dumps(far)


def test_what_is_dropped_is_let_go(listener, far, thing):
    for _ in range(50):
        thing.items[1] = [0]
        assert far.items[1] == [0]
    gc.collect()
    far.inc()
    (client,) = listener._clients.values()
    waiting.until(lambda: far.inc() and len(client.holds) <= 4)


# ---------------------------------------------------------------- what cannot


def asked(far, operation, name, *args):
    return manyhands.sharing._proxies.reference_of(far).request(operation, name, args)


REFUSED = {
    "a private name": (lambda far: far._private, NotExposed),
    "its dictionary": (lambda far: far.__dict__, NotExposed),
    "a special method that is none": (lambda far: asked(far, 0, "__reduce_ex__", 5), NotExposed),
    "setting its class": (lambda far: asked(far, 2, "__class__", 1), NotExposed),
    "a lock": (lambda far: far.guard, ShareRefused),
    "the frame of a generator": (lambda far: far.squares.gi_frame, ShareRefused),
    "its code": (lambda far: far.squares.gi_code, ShareRefused),
    "a function to be run": (lambda far: lock.run(far, len), NotSerializable),
    "running by hand": (lambda far: asked(far, 7, "", "x"), ShareRefused),
    "closing it": (lambda far: asked(far, 11, ""), ShareRefused),
    "a class as an argument": (lambda far: far.give(Thing), NotSerializable),
    "an object as an argument": (lambda far: far.give(Thing()), NotSerializable),
    "an object in a list": (lambda far: far.give([{"a": Own()}]), NotSerializable),
    "what another process shares": (lambda far: far.give(share([])), NotSerializable),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_may_not_be_asked(what, far):
    ask, error = REFUSED[what]
    with pytest.raises(error):
        ask(far)
    assert far.inc() == 1


def test_numbers_that_were_not_told_are_nobodys(listener, far, thing):
    hidden = share({"secret": 1})
    number = manyhands.sharing._proxies.reference_of(hidden).number
    machine = manyhands.sharing._proxies.reference_of(far).machine
    with pytest.raises(NotShared):
        machine.request(0, number, "__getitem__", ("secret",), {})
    assert hidden["secret"] == 1


def test_only_what_is_exposed(listener):
    with pytest.raises(ShareRefused, match="nothing is exposed under the name 'other'"):
        share.connect(f"{listener.address}/other", key=KEY)
    with pytest.raises(ShareRefused, match="tcp://host:port/name"):
        share.connect(listener.address, key=KEY)
    words = share.connect(f"{listener.address}/words", key=KEY)
    words.update("abc")
    with pytest.raises(NotExposed, match="what may be used is update"):
        words.most_common()
    with pytest.raises(NotExposed):
        len(words)
    text = share.connect(f"{listener.address}/text", key=KEY)
    assert text.upper() == "{0}"
    with pytest.raises(NotExposed):
        text.format(1)


@pytest.mark.parametrize("key", [None, b"", "short", b"fifteen bytes.."])
def test_keys_that_are_none(key):
    with pytest.raises(ValueError, match="at least 16 bytes"):
        share.listen("tcp://127.0.0.1:0", key=key, expose={"a": share([])})
    with pytest.raises(ValueError, match="at least 16 bytes"):
        share.connect("tcp://127.0.0.1:1/a", key=key)


@pytest.mark.parametrize("address", ["127.0.0.1:5", "tcp://127.0.0.1", "tcp://:5", "udp://a:5", "tcp://a:b", "tcp://a:99999", ""])
def test_addresses_that_are_none(address):
    with pytest.raises(ValueError, match="is no address"):
        share.listen(address, key=KEY, expose={"a": share([])})


def test_a_list_exposes_what_is_shared_under_names(thing):
    shared = [share(thing, name="of a listener"), share([1], name="other")]
    shared.append(share({"a": 1}, name="third"))
    with share.listen("tcp://127.0.0.1:0", key=KEY, expose=["other", "third.get"]) as listening:
        other, third = (share.connect(f"{listening.address}/{name}", key=KEY) for name in ("other", "third"))
        other.append(2)
        assert (shared[1], third.get("a")) == ([1, 2], 1)
        with pytest.raises(NotExposed, match=r"what may be used is get$"):
            third.clear()
        with pytest.raises(ShareRefused):
            share.connect(f"{listening.address}/of a listener", key=KEY)
        del other, third
    for each in shared:
        share.close(each)


def test_what_may_be_used_is_said(far):
    with pytest.raises(NotExposed, match=r"what may be used is .*inc, .*n, "):
        _ = far._private


def test_what_is_wrong_with_expose_is_said():
    for expose, error in (
        ({}, ValueError),
        ({"a-b": []}, ValueError),
        ({"a.b-c": []}, ValueError),
        (["a"], ValueError),
        ([[]], TypeError),
        ("a", TypeError),
    ):
        with pytest.raises(error):
            share.listen("tcp://127.0.0.1:0", key=KEY, expose=expose)
    with pytest.raises(ValueError, match="'a' is exposed twice"):
        share.listen("tcp://127.0.0.1:0", key=KEY, expose={"a.x": [], "a.y": []})


def test_nobody_there_another_key_and_the_end(listener, thing):
    with pytest.raises(ShareRefused, match="does not know the key"):
        share.connect(f"{listener.address}/thing", key=b"another key, but long enough")
    far = share.connect(f"{listener.address}/thing", key=KEY)
    listener.close()
    with pytest.raises(OwnerDied):
        far.inc()
    with pytest.raises(OwnerDied):
        share.connect(f"{listener.address}/thing", key=KEY)
    assert thing.n == 0


# ---------------------------------------------------------------- strangers


def raw(listener):
    host, _, port = listener.address.removeprefix("tcp://").partition(":")
    return socket.create_connection((host, int(port)), 30)


def said(connected, data):
    """Send it, and no more; the other side may have closed meanwhile."""
    with contextlib.suppress(OSError):
        connected.sendall(data)
        connected.shutdown(socket.SHUT_WR)


def gone(connected):
    """Whether the other side has closed."""
    try:
        while connected.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_whoever_begins_with_nonsense_is_left(listener, garbage):
    with raw(listener) as connected:
        said(connected, garbage)
        assert gone(connected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120))
def test_whoever_knows_the_beginning_but_not_the_key_gets_no_further(listener, garbage):
    with raw(listener) as connected:
        said(connected, b"manyhands share 1\n" + os.urandom(32) + garbage.ljust(40, b"\0"))
        assert len(connected.recv(64, socket.MSG_WAITALL)) == 64
        assert gone(connected)


@pytest.fixture
def lane(listener):
    """A client that knows the key, and says what it likes."""
    connected = raw(listener)
    proven = _handshake.as_client(connected, KEY, os.urandom(8))
    yield SealedLane(connected, proven.to_owner, proven.to_client)
    connected.close()


def request(*parts):
    return _data.encode(parts, lambda _: None)


def referring(what):
    return _data.encode((1, 0, 1, "inc", (Own,), {}), lambda obj: (what,) if obj is Own else None)


def sealed(lane, payload, number=None, length=None):
    number = lane._sent if number is None else number
    seal = hmac.new(lane._sending, struct.pack("<QI", number, len(payload)) + payload, hashlib.sha256).digest()
    return struct.pack("<I", len(payload) if length is None else length) + seal + payload


OPENING = request(1, 100, 0, "thing", (), {})
TAMPERED = {
    "another byte": lambda lane: sealed(lane, OPENING)[:-1] + b"x",
    "another seal": lambda lane: sealed(lane, OPENING)[:10] + b"\0" + sealed(lane, OPENING)[11:],
    "a later one": lambda lane: sealed(lane, OPENING, number=7),
    "too long": lambda lane: struct.pack("<I", (64 << 20) + 1) + bytes(32),
    "the longest": lambda lane: b"\xff" * 36,
    "no data": lambda lane: sealed(lane, b"garbage"),
    "nothing": lambda lane: sealed(lane, b""),
    "a pickle that calls": lambda lane: sealed(lane, pickle.dumps((1, 100, 0, os.system, ("true",), {}))),
    "no request": lambda lane: sealed(lane, request("hello")),
    "parts of other types": lambda lane: sealed(lane, request("1", 0, 0, "n", (), {})),
    "keywords that are none": lambda lane: sealed(lane, request(1, 0, 1, "inc", (), {1: 2})),
    "a reference to nothing": lambda lane: sealed(lane, referring(12345)),
    "a reference of nonsense": lambda lane: sealed(lane, referring([])),
    "tuples in tuples": lambda lane: sealed(lane, b"\x80\x05" + b"(" + b")" + b"\x85" * 500_000 + b"\x91" + b"."),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_message_that_is_not_as_it_should_be_ends_its_connection_and_no_other(what, lane, far):
    lane.send(OPENING)
    assert lane.receive()
    lane.socket.sendall(TAMPERED[what](lane))
    assert gone(lane.socket)
    assert far.inc() == 1


def test_a_frame_that_is_repeated_is_refused(lane, far, thing):
    lane.send(OPENING)
    number = _data.decode(lane.receive(), lambda said: said[0])[1]
    once = sealed(lane, request(1, 0, number, "inc", (), {}))
    lane.socket.sendall(once)
    assert lane.receive()
    lane.socket.sendall(once)
    assert gone(lane.socket)
    assert thing.n == 1


def test_a_session_that_is_recorded_cannot_be_played_again(listener, thing):
    class Recording:
        def __init__(self, connected):
            self.connected, self.sent = connected, b""

        def sendall(self, data):
            self.sent += data
            self.connected.sendall(data)

        def __getattr__(self, name):
            return getattr(self.connected, name)

    with raw(listener) as connected:
        recording = Recording(connected)
        proven = _handshake.as_client(recording, KEY, os.urandom(8))
        lane = SealedLane(recording, proven.to_owner, proven.to_client)
        lane.send(OPENING)
        number = _data.decode(lane.receive(), lambda said: said[0])[1]
        lane.send(request(1, 0, number, "inc", (), {}))
        lane.receive()
    assert thing.n == 1
    with raw(listener) as connected:
        connected.sendall(recording.sent)
        assert gone(connected)
    assert thing.n == 1


def test_mutated_streams_of_a_client_harm_nobody(listener, far):
    chance = random.Random(5)
    for _ in range(60):
        with raw(listener) as connected:
            proven = _handshake.as_client(connected, KEY, os.urandom(8))
            lane = SealedLane(connected, proven.to_owner, proven.to_client)
            stream = bytearray(sealed(lane, OPENING, 0) + sealed(lane, request(1, 4, 1, "", (), {}), 1))
            for _ in range(chance.randint(1, 4)):
                stream[chance.randrange(len(stream))] = chance.randrange(256)
            said(connected, stream)
            assert gone(connected)
    assert far.inc() == 1


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_messages_are_data_or_refused(data):
    payload = bytearray(request(1, 2, 3, "name", (1.5, [b"x", {"a": np.arange(2)}], datetime.datetime.now()), {"k": {1, 2}}))
    for _ in range(data.draw(st.integers(1, 5))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ShareRefused, MemoryError):
        _data.decode(payload, lambda _: None)


def test_those_who_say_nothing_do_not_keep_others_out(listener, monkeypatch):
    silent = [raw(listener) for _ in range(100)]
    waiting.until(lambda: any(is_closed(one) for one in silent))  # there are only so many
    for one in silent:
        one.close()

    def connected():
        try:
            return share.connect(f"{listener.address}/thing", key=KEY).inc()
        except (ShareRefused, OwnerDied):
            return None

    waiting.until(connected)


def is_closed(connected):
    connected.setblocking(False)
    try:
        return connected.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_who_dawdles_is_left(listener, monkeypatch):
    monkeypatch.setattr(_handshake, "_SECONDS", 0.2)
    with raw(listener) as connected:
        connected.sendall(b"many")
        assert gone(connected)


def test_a_message_that_is_too_long_is_refused_here(thing):
    with share.listen("tcp://127.0.0.1:0", key=KEY, expose={"thing": thing}, limit=10_000) as listening:
        far = share.connect(f"{listening.address}/thing", key=KEY, limit=10_000)
        with pytest.raises(ShareRefused, match="at most 10,000"):
            far.give(bytes(20_000))
        assert far.inc() == 1


def test_tls(thing, tmp_path):
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    what = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = subprocess.run(["openssl", "req", *what, "-keyout", key, "-out", cert], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no openssl to make a certificate")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=cert)
    with share.listen("tcp://127.0.0.1:0", key=KEY, expose={"thing": thing}, tls=server) as listening:
        far = share.connect(f"{listening.address}/thing", key=KEY, tls=client)
        assert far.inc() == 1
        with pytest.raises(ShareRefused):
            share.connect(f"{listening.address}/thing", key=KEY)
        with pytest.raises(ShareRefused):
            share.connect(f"{listening.address}/thing", key=KEY, tls=ssl.create_default_context())
        assert far.inc() == 2
