"""Places for remote stores, looked into from behind: a bucket of a local S3, a folder, fsspec's memory."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import waiting


class Folder:
    """``file://``"""

    def __init__(self, path):
        self._path = Path(path)
        self.url, self.options = f"file://{path}", {}

    def names(self):
        return sorted(str(path.relative_to(self._path)) for path in self._path.rglob("*") if path.is_file())

    def read(self, name):
        return (self._path / name).read_bytes()

    def write(self, name, data):
        (self._path / name).write_bytes(data)

    def remove(self, name):
        (self._path / name).unlink()

    def end(self):
        shutil.rmtree(self._path, ignore_errors=True)


class InMemory:
    """``memory://``, of this process alone"""

    def __init__(self):
        import fsspec

        self._top = f"/{uuid.uuid4().hex}"
        self._system = fsspec.filesystem("memory")
        self.url, self.options = f"memory:/{self._top}", {}

    def names(self):
        return sorted(name.removeprefix(f"{self._top}/") for name in self._system.store if name.startswith(self._top))

    def read(self, name):
        return self._system.cat_file(f"{self._top}/{name}")

    def write(self, name, data):
        self._system.pipe_file(f"{self._top}/{name}", data)

    def remove(self, name):
        self._system.rm_file(f"{self._top}/{name}")

    def end(self):
        if self.names():
            self._system.rm(self._top, recursive=True)


class Bucket:
    """``s3://``"""

    def __init__(self, server):
        self._top = f"{server}/b{uuid.uuid4().hex}"
        self.url = f"s3://{self._top.rpartition('/')[2]}"
        self.options = options_of(server)
        self._ask("PUT", "")

    def names(self):
        return sorted(re.findall("<Key>(.*?)</Key>", self._ask("GET", "?list-type=2").decode()))

    def read(self, name):
        return self._ask("GET", f"/{name}")

    def write(self, name, data):
        self._ask("PUT", f"/{name}", data)

    def remove(self, name):
        self._ask("DELETE", f"/{name}")

    def remove_itself(self):
        self._ask("DELETE", "")

    def end(self):
        """The server is going to end."""

    def _ask(self, method, name, data=None):
        # The server asks who it is, and believes it.
        who = "AWS4-HMAC-SHA256 Credential=k/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=s"
        headers = {"Authorization": who, "Content-Type": "application/octet-stream"}
        with urllib.request.urlopen(urllib.request.Request(self._top + name, data, headers, method=method), timeout=20) as answer:
            return answer.read()


def options_of(server):
    """For a server that refuses, no second try."""
    config = {"retries": {"max_attempts": 0}, "connect_timeout": 5, "read_timeout": 5}
    return {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": server, "region_name": "us-east-1"}, "config_kwargs": config}


# moto's own program serves in several threads, and fails where two of them write one key.
_SERVER = """
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

serve, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()


def one_by_one(environment, start):
    with lock:
        return list(serve(environment, start))


run_simple("127.0.0.1", int(sys.argv[1]), one_by_one, threaded=True)
"""


@contextlib.contextmanager
def s3_server():
    """The address of an S3 that forgets all at its end; None: it takes packages that are not installed."""
    if importlib.util.find_spec("s3fs") is None or importlib.util.find_spec("moto") is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        waiting.until(lambda: server.poll() is not None or _answers(port), 50)
        assert server.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
