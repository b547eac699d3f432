"""Downloads from a real server on this machine: complete, broken, wrong."""

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cnnlab import data
from cnnlab.data.download import SHA256, URL, fetch
from cnnlab.errors import DataError

CONTENT = bytes(range(256)) * 4000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT, or the requested range of it; closes the connection after `limit` bytes."""

    limit: int | None = None
    ignores_ranges = False
    content = CONTENT

    def __init__(self):
        self.ranges = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/cifar-10-python.tar.gz"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        requested = self.headers.get("Range")
        self.server.ranges.append(requested)
        if self.server.ignores_ranges:
            requested = None
        start = int(requested.removeprefix("bytes=").split("-")[0]) if requested else 0
        content = self.server.content
        if not content:
            self.send_error(404)
            return
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if requested else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if requested:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start:][: self.server.limit])

    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # the user's proxy does not know this server
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_fetch(tmp_path, server):
    path = fetch(tmp_path / "new", server.url, SHA)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [data.ARCHIVE]


def test_resume(tmp_path, server):
    server.limit = 300_000
    with pytest.raises(DataError, match="the part that was received is kept"):
        fetch(tmp_path, server.url, SHA)
    server.limit = None
    assert fetch(tmp_path, server.url, SHA).read_bytes() == CONTENT
    first, second = (int(requested.removeprefix("bytes=").rstrip("-")) for requested in server.ranges)
    assert first == 0
    assert 200_000 < second <= 300_000


def test_complete_part(tmp_path, server):
    (tmp_path / f"{data.ARCHIVE}.part").write_bytes(CONTENT)
    assert fetch(tmp_path, server.url, SHA).read_bytes() == CONTENT


def test_fetch_twice(tmp_path, server):
    fetch(tmp_path, server.url, SHA)
    fetch(tmp_path, server.url, SHA)
    assert len(server.ranges) == 1


def test_wrong_checksum(tmp_path, server):
    """A wrong download is deleted, a wrong file of the user is not."""
    server.content = CONTENT[:-1]
    with pytest.raises(DataError, match="Try again"):
        fetch(tmp_path, server.url, SHA)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / data.ARCHIVE).write_bytes(b"mine")
    with pytest.raises(DataError, match="Move it away"):
        fetch(tmp_path, server.url, SHA)
    assert (tmp_path / data.ARCHIVE).read_bytes() == b"mine"


@pytest.fixture
def closed_port():
    """A port that is nobody else's, and where nobody listens."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


def test_missing_page_and_unreachable_server(tmp_path, server, closed_port):
    server.content = b""
    with pytest.raises(DataError, match="404"):
        fetch(tmp_path, server.url, SHA)
    with pytest.raises(DataError, match=r"Expected cifar-10-python.tar.gz from http"):
        fetch(tmp_path, f"http://127.0.0.1:{closed_port}/x.tar.gz", SHA)


def test_server_without_ranges(tmp_path, server):
    (tmp_path / f"{data.ARCHIVE}.part").write_bytes(b"x" * 1000)
    server.ignores_ranges = True
    assert fetch(tmp_path, server.url, SHA).read_bytes() == CONTENT


def test_address():
    assert URL == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    assert len(SHA256) == 64
