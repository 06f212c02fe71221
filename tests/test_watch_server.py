"""The page's server: who is let in, what it tells, and that it never gives what is not of a run."""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import resource
import socket
import threading
import time
from pathlib import Path

import pages
import pytest
import waiting

import manyhands
from manyhands._probe import _probe
from manyhands.watch import _commands, _starting
from manyhands.watch.observer import _broadcast, _questions, _server, _sources, _static
from manyhands.watch.observer._keys import Admitted, Entered, Keys, Refused, Request, hosts_of
from manyhands.watch.observer._model import Run

PORT = 4711
HERE = f"127.0.0.1:{PORT}"


# ---------------------------------------------------------------- who is let in


@pytest.fixture
def keys():
    return Keys("127.0.0.1", PORT)


def cookie_of(keys):
    return keys.cookie.partition("=")[2].partition(";")[0]


def request(keys, method="GET", path="/events", hosts=(HERE,), cookie=True, **more):
    return Request(method, path, hosts, cookie=cookie_of(keys) if cookie else "", **more)


def status(verdict):
    return verdict.status if isinstance(verdict, Refused) else 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("evil.example",),
        (f"evil.example:{PORT}",),
        ("127.0.0.1",),
        (f"127.0.0.1:{PORT + 1}",),
        (f"127.0.0.1:{PORT}.evil.example",),
        (f"127.0.0.1:{PORT}@evil.example",),
        (f"127.1:{PORT}",),
        (f"2130706433:{PORT}",),
        (f"0.0.0.0:{PORT}",),
        (f"127.0.0.1.:{PORT}",),
        (f"localhost:{PORT} ",),
        (HERE, HERE),
        (HERE, "evil.example"),
        ("",),
    ],
)
def test_only_its_own_name_is_answered_whatever_the_method(keys, method, hosts):
    origins = (f"http://{hosts[0]}",) if hosts else ()
    asked = request(keys, method, "/", hosts, origins=origins, content_types=("application/json",), token=keys.token)
    assert keys.judge(asked) == Refused(421, "This is not the name of this page.\n")


@pytest.mark.parametrize("host", [HERE, f"localhost:{PORT}", f"LOCALHOST:{PORT}"])
def test_its_own_names_are_answered(keys, host):
    assert keys.judge(request(keys, hosts=(host,))) == Admitted("/events")


@pytest.mark.parametrize(
    ("host", "port", "names"),
    [
        ("127.0.0.1", 80, {"127.0.0.1", "localhost", "127.0.0.1:80", "localhost:80"}),
        ("::1", 5, {"[::1]:5", "localhost:5"}),
        ("localhost", 5, {"localhost:5", "127.0.0.1:5"}),
        ("127.0.0.5", 5, {"127.0.0.5:5", "127.0.0.1:5", "localhost:5"}),
        ("192.168.1.5", 5, {"192.168.1.5:5"}),
        ("Compute7", 5, {"compute7:5"}),
    ],
)
def test_the_names_of_a_page(host, port, names):
    assert hosts_of(host, port) == names


def test_a_page_for_everybody_is_answered_by_the_address_that_was_reached():
    keys = Keys("0.0.0.0", PORT)
    assert keys.judge(request(keys, hosts=(f"10.0.0.7:{PORT}",), at="10.0.0.7")) == Admitted("/events")
    for host in ("*", f"*:{PORT}", f"10.0.0.8:{PORT}", "10.0.0.7", f"evil.example:{PORT}"):
        assert status(keys.judge(request(keys, hosts=(host,), at="10.0.0.7"))) == 421


@pytest.mark.parametrize("path", ["/", "/events", "/source", "/control", "/app.js", "/nothing"])
def test_nobody_is_let_in_without_a_cookie(keys, path):
    for cookie in ("", "x", cookie_of(keys)[:-1], cookie_of(keys) + "x", keys.token, keys.frame):
        assert status(keys.judge(Request("GET", path, (HERE,), cookie=cookie))) == 403


def test_a_token_lets_in_at_the_entrance_alone(keys):
    assert keys.judge(request(keys, path="/", cookie=False, token=keys.token)) == Entered()
    for path, token in [("/", "x"), ("/", keys.frame), ("/", cookie_of(keys)), ("/events", keys.token), ("/source", keys.token)]:
        assert status(keys.judge(request(keys, path=path, cookie=False, token=token))) == 403
    assert status(keys.judge(request(keys, "POST", "/", cookie=False, token=keys.token))) == 403


def test_a_token_for_once_is_good_once(keys):
    once = keys.for_once()
    assert keys.judge(request(keys, path="/", cookie=False, token=once)) == Entered()
    assert status(keys.judge(request(keys, path="/", cookie=False, token=once))) == 403


def test_a_frame_has_its_token_in_the_path(keys):
    assert keys.judge(request(keys, path=f"/frame/{keys.frame}/", cookie=False)) == Admitted("/", is_framed=True)
    assert keys.judge(request(keys, path=f"/frame/{keys.frame}/a/b.js", cookie=False)) == Admitted("/a/b.js", is_framed=True)
    for path in ("/frame/", "/frame/x/", f"/frame/{keys.token}/", f"/x/{keys.frame}/", f"/frame/{keys.frame}x/"):
        assert status(keys.judge(request(keys, path=path, cookie=False))) == 403
    assert status(keys.judge(request(keys, path=f"/frame/{keys.frame}/", hosts=("evil.example",), cookie=False))) == 421


@pytest.mark.parametrize(
    ("origins", "kinds", "expected"),
    [
        ((f"http://{HERE}",), ("application/json",), 200),
        ((f"http://{HERE}",), ("application/json; charset=utf-8",), 200),
        ((), ("application/json",), 403),
        (("null",), ("application/json",), 403),
        (("http://evil.example",), ("application/json",), 403),
        ((f"https://{HERE}",), ("application/json",), 403),
        ((f"http://localhost:{PORT}",), ("application/json",), 403),
        ((f"http://{HERE}", f"http://{HERE}"), ("application/json",), 403),
        ((f"http://{HERE}",), (), 403),
        ((f"http://{HERE}",), ("text/plain",), 403),
        ((f"http://{HERE}",), ("application/x-www-form-urlencoded",), 403),
    ],
)
def test_only_the_page_itself_may_change_something(keys, origins, kinds, expected):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert status(keys.judge(request(keys, method, "/control", origins=origins, content_types=kinds))) == expected


def test_the_page_has_a_folder_of_its_own_for_its_cookie(keys):
    assert keys.cookie.endswith(f"; Path={keys.home}")
    assert keys.judge(request(keys, path=keys.home)) == Admitted("/")
    assert keys.judge(request(keys, path=f"{keys.home}a/b.js")) == Admitted("/a/b.js")
    assert keys.judge(request(keys, path=f"{keys.home}/etc/passwd")) == Admitted("//etc/passwd")
    assert status(keys.judge(request(keys, path=keys.home, cookie=False))) == 403


def test_tokens_are_long_and_never_the_same(keys):
    other = Keys("127.0.0.1", PORT)
    tokens = {each for key in (keys, other) for each in (key.token, key.frame, key.home, cookie_of(key), key.for_once(), key.for_once())}
    assert len(tokens) == 12
    assert min(map(len, tokens)) >= 32


# ---------------------------------------------------------------- a page that is there


@pytest.fixture
def page():
    """Of an observer of this process."""
    with manyhands.watch(browser=False) as watching:
        yield pages.Page(watching.url)


def test_the_guard_stands_before_everything(page):
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"):
        assert page.ask(method, "/events", host="evil.example").status == 421
        assert page.ask(method, page.entrance, host=f"evil.example:{page.host.rpartition(':')[2]}").status == 421
        assert page.ask(method, "/events").status == 403
    assert page.ask("GET", "/", host=False).status in {400, 421}
    assert page.get("/?token=wrong").status == 403
    answer = page.get(page.entrance)
    cookie = answer.headers["set-cookie"]
    home = cookie.rpartition("Path=")[2]
    assert cookie.endswith(f"; HttpOnly; SameSite=Strict; Path={home}")
    assert page.entrance.partition("=")[2] not in cookie
    assert f'url={home}"' in answer.body.decode()
    page.enter()
    assert {page.get(path).status for path in ("/", home)} <= {200, 404}  # 404: the page has not been built
    assert page.ask("POST", "/control", "{}", Origin="http://evil.example", Content_Type="application/json").status == 403
    assert page.ask("POST", "/control", "{}", Content_Type="application/json").status == 403
    assert page.post("/control", {"run": "x"}).status == 404
    assert page.ask("PUT", "/events", "{}", Origin=f"http://{page.host}", Content_Type="application/json").status == 405


def test_every_answer_binds_the_browser(page):
    answers = [page.get("/events"), page.get(page.entrance), page.ask("GET", "/", host="evil.example")]
    page.enter()
    answers += [page.get("/files?run=x"), page.get("/nothing"), page.post("/control", {})]
    for answer in answers:
        policy = answer.headers["content-security-policy"].split("; ")
        assert policy[0] == "default-src 'none'"
        assert not any("unsafe" in part or "http" in part or "*" in part for part in policy)
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_no_path_leads_out_of_the_page(page, tmp_path):
    page.enter()
    (tmp_path / "secret").write_text("secret")
    run = page.until(pages.state("running"))["id"]
    up = "../" * 12
    for path in (
        f"/{up}etc/passwd",
        "/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        f"/{up}_server.py",
        "/../_server.py",
        f"/./{up}{tmp_path}/secret",
        "/index.html/../../_server.py",
        "/index.html%00.js",
    ):
        answer = page.get(path)
        assert (answer.status, b"root:" in answer.body, b"secret" in answer.body) == (404, False, False), path
    for file in (f"{tmp_path}/secret", "../secret", "-1", "99999", "", "1e3", "0x1", "%00"):
        assert page.get(f"/source?run={run}&file={file}").status in {400, 404}


def test_what_is_asked_for_wrongly_is_told_so(page):
    page.enter()
    run = page.until(pages.state("running"))["id"]
    for path, expected in {
        "/timeline": 404,
        "/timeline?run=x": 404,
        f"/timeline?run={run}&from=x": 400,
        f"/timeline?run={run}&width=nan": 400,
        f"/timeline?run={run}&width=inf": 200,
        f"/stack?run={run}&pid=1": 404,
        f"/stack?run={run}": 400,
        f"/source?run={run}&file=0&pid=1": 404,
        f"/report?run={run}&x=1": None,
        "/report?run=x": 404,
    }.items():
        answer = page.get(path)
        assert expected is None or answer.status == expected, path
    assert page.get(f"/timeline?run={run}&from=-1e300&to=1e300&width=1e9").json()["lanes"] == []
    for told in ([], "x", 3):
        assert page.post("/control", told).status == 400
    assert page.ask("POST", "/control", "{", Origin=f"http://{page.host}", Content_Type="application/json").status == 400
    assert page.ask("POST", "/control", "x" * 100_000, Origin=f"http://{page.host}", Content_Type="application/json").status == 413


def test_control_is_refused_unless_it_is_switched_on(page):
    page.enter()
    run = page.until(pages.state("running"))["id"]
    asked = {"run": run, "pid": os.getpid(), "do": "pause"}
    assert page.post("/control", asked).status == 403
    manyhands.watch(browser=False, control=True)
    page.until(lambda run: run["control"])
    assert page.post("/control", asked).json()["done"] is False  # it is no worker
    assert page.post("/control", {**asked, "do": "explode"}).status == 400
    assert page.post("/control", {**asked, "do": ["pause"]}).status == 400
    assert page.post("/control", {**asked, "pid": 1}).status == 404
    assert page.post("/control", {**asked, "pid": None}).status == 404


def spin(enough):
    while not enough.is_set():
        sum(range(100_000))


@contextlib.contextmanager
def at_work(function, *args):
    """A thread is in it."""
    enough = threading.Event()
    thread = threading.Thread(target=function, args=(*args, enough))
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def file_of(page, path):
    """The number of a file, and the run, as soon as it has been seen at work."""
    return page.until(lambda run: next(((run["id"], file["id"]) for file in run["files"] if file["path"] == path), None))


def test_the_source_of_what_runs_is_shown_with_its_heat(page):
    page.enter()
    lines = Path(__file__).read_text().split("\n")
    hottest = lines.index("        sum(range(100_000))") + 1
    with at_work(spin):
        run, file = file_of(page, __file__)
        assert file in {each["id"] for each in page.get(f"/files?run={run}").json() if each["name"] == "test_watch_server.py"}
        address = f"/source?run={run}&file={file}&pid={os.getpid()}"
        shown = waiting.until(lambda: found if str(hottest) in (found := page.get(address).json())["heat"] else None)
    assert shown["path"] == __file__
    assert shown["lines"] == lines
    assert {int(number) for number in shown["heat"]} <= set(shown["runnable"])
    assert lines.index("# " + "-" * 64 + " who is let in") + 1 not in shown["runnable"]


def test_code_that_was_typed_is_shown(page):
    text = "def typed(spin, enough):\n    return spin(enough)\n"
    linecache.cache["<typed>"] = (len(text), None, text.splitlines(keepends=True), "<typed>")
    names = {}
    exec(compile(text, "<typed>", "exec"), names)
    page.enter()
    with at_work(names["typed"], spin):
        run, file = file_of(page, "<typed>")
        shown = page.get(f"/source?run={run}&file={file}").json()
    assert (shown["lines"], shown["runnable"]) == (text.split("\n"), [1, 2])
    del linecache.cache["<typed>"]


def test_names_that_are_no_text_are_shown(page, monkeypatch):
    path = "<\udcff>"  # as in names of files that are not in UTF-8
    names = {}
    monkeypatch.setitem(linecache.cache, path, (0, None, ["def typed(spin, enough): return spin(enough)\n"], path))
    exec(compile("def typed(spin, enough): return spin(enough)\n", path, "exec"), names)
    page.enter()
    with at_work(names["typed"], spin):
        run, file = file_of(page, path)
        assert page.get(f"/source?run={run}&file={file}").json()["path"] == path
        assert path in {each["path"] for each in page.get(f"/files?run={run}").json()}


def test_others_who_connect_and_say_nothing_keep_nobody_out(page):
    page.enter()
    with contextlib.ExitStack() as stack, contextlib.closing(page.events()) as events:
        next(events)  # what is under way goes on
        host, _, port = page.host.partition(":")
        silent = [stack.enter_context(socket.create_connection((host, int(port)), 10)) for _ in range(_server.MOST_CONNECTIONS + 20)]
        assert page.get("/files?run=x").status == 404
        for each in silent[:20]:
            with contextlib.suppress(ConnectionResetError):
                assert each.recv(1) == b""
        next(events)
        files = len(os.listdir(f"/proc/{observer()}/fd"))
    assert files < _server.MOST_CONNECTIONS + 50


def test_the_observer_may_have_many_files_open_where_the_program_may_not():
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        with manyhands.watch(browser=False):
            assert resource.prlimit(observer(), resource.RLIMIT_NOFILE)[0] == min(1 << 16, most)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def observer():
    """Its process id."""
    return json.loads(Path(_starting.folder(), _commands.PAGE).read_text())["pid"]


def test_events_come_while_somebody_looks(page):
    page.enter()
    with contextlib.closing(page.events()) as events:
        told = [next(events) for _ in range(3)]
    assert told[0]["runs"][0]["state"] == "running"
    assert told[0]["now"] < told[1]["now"] < told[2]["now"] <= time.time()
    assert told[0]["now"] < next(page.events())["now"]  # made for who looks now


def test_a_terminal_is_told_the_same_through_the_socket(page):
    long = "x" * 100_000
    with _commands.Look() as told:
        first, second = told.next(), told.next()
    assert [run["name"] for run in first["runs"]] == [run["name"] for run in second["runs"]]
    probe = _probe.here()
    for number in range(40):
        probe.tell({"error": f"E{number}", "message": long[:190], "traceback": long[:5000]})
    with _commands.Look() as told:
        while len((run := told.next()["runs"][0])["errors"]) < 30:  # more than one packet
            pass
    assert {len(error["traceback"]) for error in run["errors"]} == {5000}


def test_events_are_made_for_nobody_else():
    class Hub:
        looked, runs, activity = [], {}, 0

    changes = []
    broadcast = _broadcast.Broadcast(Hub, lambda: changes.append(broadcast.lookers))
    for _ in range(5):
        Hub.activity += 1
        Hub.looked[0]()
    assert broadcast.made == 0
    with broadcast.looking():
        Hub.looked[0]()
        assert broadcast.made == 1
    assert changes == [1, 0]


# ---------------------------------------------------------------- sources and files


def test_sources_are_files_of_text_and_nothing_else(tmp_path):
    sources = _sources.Sources()
    (tmp_path / "good.py").write_bytes("# é\r\nx = 1\r\n\r\ndef f():\r\n    return x\r\n".encode())
    (tmp_path / "latin.py").write_bytes("# -*- coding: latin-1 -*-\n# é".encode("latin-1"))
    (tmp_path / "broken.py").write_text("x = = 1\n")
    (tmp_path / "binary.so").write_bytes(b"\x7fELF\0\0\0")
    (tmp_path / "large.py").write_bytes(b"#" * (5 << 20))
    os.mkfifo(tmp_path / "pipe.py")
    assert sources.of_file(str(tmp_path / "good.py")) == (["# é", "x = 1", "", "def f():", "    return x", ""], [2, 4, 5])
    assert sources.of_file(str(tmp_path / "latin.py")).lines[1] == "# é"
    assert sources.of_file(str(tmp_path / "broken.py")) == (["x = = 1", ""], [])
    for name in ("binary.so", "large.py", "pipe.py", "nothing.py", ""):
        assert sources.of_file(str(tmp_path / name)) is None
    (tmp_path / "good.py").write_text("y = 2\n")
    assert sources.of_file(str(tmp_path / "good.py")).lines == ["y = 2", ""]


def test_code_of_a_notebook_is_shown_as_it_was_told():
    run = Run("token", "name", 0)
    process = run.greet({"pid": 1}, 0)
    process.hear({"source": "<cell 1>", "is": "a = 1\nb = 2"})
    process.hear({"source": "<cell 1>", "is": "something else"})
    assert _questions.source(_sources.Sources(), run, "<cell 1>").lines == ["a = 1", "b = 2"]
    assert _questions.source(_sources.Sources(), run, "<cell 2>") is None


def test_the_files_of_the_page_have_their_types_and_tags(tmp_path):
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "page.js").write_text("1")
    (tmp_path / "secret.key").write_text("x")
    files = _static.Files(str(tmp_path))
    assert files.find("").kind == "text/html; charset=utf-8"
    assert files.find("a/page.js") == (b"1", "text/javascript; charset=utf-8", files.find("a/page.js").tag)
    before = files.find("a/page.js").tag
    (tmp_path / "a" / "page.js").write_text("22")
    assert files.find("a/page.js").tag != before
    for name in ("secret.key", "../index.html", "a/../index.html", "a", "nothing.js", "a//page.js"):
        assert files.find(name) is None
