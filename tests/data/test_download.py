"""Downloads from a real server on this machine: whole, broken off, wrong."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cnnlab import data
from cnnlab.data.download import SHA256, URL, fetch
from cnnlab.errors import DataError

CONTENT = bytes(range(256)) * 4000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT, from where it is asked to; hangs up after `limit` bytes, if there is one."""

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
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.server.ignores_ranges:
            asked = None
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        content = self.server.content
        if not content:
            self.send_error(404)
            return
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start:][: self.server.limit])

    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_download_is_checked_and_gets_its_name_when_it_is_whole(tmp_path, server):
    path = fetch(tmp_path / "new", server.url, SHA)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [data.ARCHIVE]


def test_a_broken_download_goes_on_where_it_stopped(tmp_path, server):
    server.limit = 300_000
    with pytest.raises(DataError, match="what has come is kept"):
        fetch(tmp_path, server.url, SHA)
    server.limit = None
    assert fetch(tmp_path, server.url, SHA).read_bytes() == CONTENT
    first, second = (int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.ranges)
    assert first == 0
    assert 200_000 < second <= 300_000


def test_a_part_that_is_already_whole_is_only_checked(tmp_path, server):
    (tmp_path / f"{data.ARCHIVE}.part").write_bytes(CONTENT)
    assert fetch(tmp_path, server.url, SHA).read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(tmp_path, server):
    fetch(tmp_path, server.url, SHA)
    fetch(tmp_path, server.url, SHA)
    assert len(server.ranges) == 1


def test_a_wrong_download_is_deleted_and_a_wrong_file_of_the_users_is_not(tmp_path, server):
    server.content = CONTENT[:-1]
    with pytest.raises(DataError, match="Try again"):
        fetch(tmp_path, server.url, SHA)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / data.ARCHIVE).write_bytes(b"mine")
    with pytest.raises(DataError, match="Move it away"):
        fetch(tmp_path, server.url, SHA)
    assert (tmp_path / data.ARCHIVE).read_bytes() == b"mine"


def test_a_missing_page_and_an_unreachable_server_are_one_line(tmp_path, server):
    server.content = b""
    with pytest.raises(DataError, match="404"):
        fetch(tmp_path, server.url, SHA)
    with pytest.raises(DataError, match=r"Expected cifar-10-python.tar.gz from http"):
        fetch(tmp_path, "http://127.0.0.1:9/x.tar.gz", SHA)


def test_a_server_that_cannot_go_on_from_the_middle_starts_again(tmp_path, server):
    (tmp_path / f"{data.ARCHIVE}.part").write_bytes(b"x" * 1000)
    server.ignores_ranges = True
    assert fetch(tmp_path, server.url, SHA).read_bytes() == CONTENT


def test_the_address_is_cifar_10s_home_page():
    assert URL == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    assert len(SHA256) == 64
