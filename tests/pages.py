"""The page of an observer, as a browser uses it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import time
import urllib.parse
from pathlib import Path
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        assert self.status == 200, (self.status, self.body)
        return json.loads(self.body)


class Page:
    """Of an address with its token."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host = parts.netloc
        self.entrance = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self.cookie = ""

    def ask(self, method, path, body=None, host=None, **headers):
        """One request; headers with ``_`` for ``-``. Without a cookie before :meth:`enter`."""
        with contextlib.closing(self._connected()) as connection:
            self._send(connection, method, path, body, host, headers)
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, told):
        return self.ask("POST", path, json.dumps(told), Origin=f"http://{self.host}", Content_Type="application/json")

    def enter(self):
        answer = self.get(self.entrance)
        assert answer.status == 200, answer
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return self

    def events(self, seconds=20.0):
        """What comes, as long as somebody asks for it."""
        with contextlib.closing(self._connected(seconds)) as connection:
            self._send(connection, "GET", "/events", None, None, {})
            answer = connection.getresponse()
            assert answer.status == 200
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                line = answer.readline()
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def until(self, condition, seconds=20.0):
        """The first true value of ``condition(run)`` for any run in what comes."""
        runs = None
        with contextlib.closing(self.events(seconds)) as events:
            for event in events:
                runs = event["runs"]
                for run in runs:
                    if value := condition(run):
                        return value
        raise AssertionError(f"did not come about: {runs}")

    def _connected(self, seconds=20.0):
        return http.client.HTTPConnection(self.host, timeout=seconds)

    def _send(self, connection, method, path, body, host, headers):
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if host is not False:
            connection.putheader("Host", host or self.host)
        if self.cookie:
            connection.putheader("Cookie", self.cookie)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() if body is not None else None)


def state(expected):
    """A condition: the run is in that state; gives the run."""
    return lambda run: run if run["state"] == expected else None


def announced(process):
    """The page that a program tells of on standard error."""
    for line in process.stderr:
        if found := re.search(r"http://\S+", line):
            return Page(found.group()).enter()
    raise AssertionError("no page")


def of_observer():
    """The page of the observer that is there, and its process id."""
    facts = json.loads(Path(os.environ["MANYHANDS_RUNTIME_DIR"], "watch", "page").read_text())
    return Page(facts["url"]).enter(), facts["pid"]
