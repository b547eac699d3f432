"""Valid archives of every kind are read; malicious ones are refused in one line, quickly and in little memory."""

import gzip
import os
import random
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from tar_corpus import END, FOLDER, HARMLESS, MALICIOUS, NAME, NAMES, WHOLE, member, read_with_tarfile, write_valid

from cnnlab.data.untrusted import tar
from cnnlab.errors import DataError

WANTED = re.compile(rf"(\./)?{FOLDER}/(data_batch_\d+|test_batch|batches\.meta)")
BATCHES = {name.rpartition("/")[2]: name.encode() * 100 for name in NAMES}
SECONDS = 20
MEMORY = 300 << 20
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""NumPy takes 40 MB for each core of the machine as it is imported, which counts as memory of the reader."""


def read(path, wanted=WANTED):
    return dict(tar.members(path, wanted))


def is_one_line(message):
    return message.startswith("Expected ") and " Received: " in message and message.isprintable() and len(message) < 999


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
@pytest.mark.parametrize("before", ["", "./"])
def test_formats_and_compressions(tmp_path, form, mode, before):
    """The content tells the compression, not the file's name; other files of the folder are skipped."""
    path = tmp_path / "archive"
    contents = write_valid(path, mode, form, before)
    assert list(tar.members(path, WANTED)) == list(contents.items())
    sizes = read_with_tarfile(path)
    assert {name: sizes[f"{before}{FOLDER}/{name}"] for name in contents} == {k: len(v) for k, v in contents.items()}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tmp_path, form):
    folders = "/".join(["folder" * 10] * 3)
    contents = write_valid(tmp_path / "archive", form=form, before=f"{folders}/")
    assert read(tmp_path / "archive", re.compile(f"{folders}/{WANTED.pattern}")) == contents
    assert not read(tmp_path / "archive")


def test_no_wanted_file(tmp_path):
    (tmp_path / "archive").write_bytes(member(name="readme.html") + END)
    assert not read(tmp_path / "archive")


def test_blank_images(tmp_path):
    """They may shrink as much as a bomb."""
    (tmp_path / "archive").write_bytes(gzip.compress(member(bytes(32 << 20)) + END))
    assert read(tmp_path / "archive") == {"data_batch_1": bytes(32 << 20)}


@pytest.mark.parametrize("before", HARMLESS.values(), ids=HARMLESS)
def test_harmless_member(tmp_path, before):
    """Any member that is not wanted is skipped. Names that lead out of the folder are no names of batches."""
    (tmp_path / "archive").write_bytes(before + WHOLE + END)
    assert read(tmp_path / "archive") == BATCHES


CHILD = f"""
import re, resource, sys
from pathlib import Path
from cnnlab.data.untrusted import tar
from cnnlab.errors import DataError
resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY}, {MEMORY}))
try:
    for _ in tar.members(Path(sys.argv[1]), re.compile(sys.argv[2])):
        pass
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("name", MALICIOUS)
def test_malicious_archive(tmp_path, name):
    """It is refused in one line, by another process with at most 300 MiB and 20 seconds; most need 1 % of both."""
    path = tmp_path / "malicious.tar.gz"
    MALICIOUS[name](path)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, path, WANTED.pattern],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
        env=ONE_THREAD,
    )
    assert not done.stderr
    assert is_one_line(done.stdout.removesuffix("\n"))
    assert "'malicious.tar.gz'" in done.stdout
    assert "MemoryError" not in done.stdout


def test_memory_limit(tmp_path):
    """The previous test can fail: with the same limit, `tarfile` runs out of memory."""
    resource_limit = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY}, {MEMORY}))"
    code = f"{resource_limit}; import sys; from tar_corpus import read_with_tarfile; read_with_tarfile(sys.argv[1])"
    MALICIOUS["a long name of 4 GiB"](tmp_path / "archive")
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "archive"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=ONE_THREAD,
    )
    assert "MemoryError" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a negative size that leads back", "to have 0 to 2,147,483,648 bytes. Received: -512"),
        ("a pax header of 4 GiB", "at most 4,194,304 bytes.*4,294,967,296"),
        ("7 GiB of zeros beside the batches", "to unpack to at most .*pack it without compression"),
        ("an endless end", "to end after its last file"),
        ("four million headers", "at most [0-9,]+ headers"),
        ("a wrong checksum", "bad checksum.*Fetch it again"),
        ("a symbolic link", f"{NAME}' in 'a' to be a regular file. Received: a symbolic link"),
        ("a sparse file of another name", "Received: a sparse one"),
        ("a member of no known type", "Received: a member of type b'Z'"),
        ("a batch that is there twice, once by a long name", f"{NAME}' in 'a' once. Received: it twice"),
        ("gzip with a wrong checksum", "CRC check failed"),
        ("gzip cut in a batch", "ended before"),
        ("no end", "ends early"),
        ("an xz archive", r"\(.tar, .tar.gz or .tar.bz2\)"),
    ],
)
def test_message(tmp_path, name, words):
    MALICIOUS[name](tmp_path / "a")
    with pytest.raises(DataError, match=words):
        read(tmp_path / "a")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name",
    ["x\n\ry", "<script>alert(1)</script>", "\x1b[2J", "x" * 5000, "\u202e\u2028" * 200, "\udc80"],
    ids=["lines", "markup", "escapes", "long", "direction", "bytes"],
)
def test_name_in_message(tmp_path, name, form):
    path = tmp_path / "archive"
    with tarfile.open(path, "w", format=form) as written:
        info = tarfile.TarInfo(name)
        info.type = tarfile.SYMTYPE
        written.addfile(info)
    with pytest.raises(DataError, match="a symbolic link") as caught:
        read(path, re.compile(".*", re.DOTALL))
    assert is_one_line(str(caught.value))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
def test_mutations(tmp_path, mode):
    """Each is read or refused with a `DataError`; with a checksum of gzip or bzip2, most are refused."""
    path = tmp_path / "archive"
    contents = write_valid(path, mode)
    whole = path.read_bytes()
    rng = random.Random(20220)
    refused = 0
    for _ in range(500):
        mutated = bytearray(whole)
        match rng.randrange(4 if mode == "w" else 3):
            case 0:
                for _ in range(rng.randint(1, 5)):
                    mutated[rng.randrange(len(mutated))] ^= 1 << rng.randrange(8)
            case 1:
                del mutated[rng.randrange(len(mutated)) :]
            case 2:
                place = rng.randrange(len(mutated))
                mutated[place : place + rng.choice([0, 8, 512])] = rng.randbytes(rng.choice([1, 8, 512]))
            case 3:  # a header's fields, with a valid checksum
                start = rng.randrange(0, len(mutated) - 512, 512)
                mutated[start + rng.choice([0, 100, 124, 136, 156, 257, 345, 482])] = rng.randrange(256)
                mutated[start + 148 : start + 156] = b" " * 8
                mutated[start + 148 : start + 156] = b"%06o\0 " % sum(mutated[start : start + 512])
        path.write_bytes(mutated)
        try:
            batches = read(path)
        except DataError as error:
            assert is_one_line(str(error))
            refused += 1
        else:
            assert mode == "w" or batches == contents
    assert refused > 100
    assert mode != "w" or refused < 500


def test_unreadable_path(tmp_path):
    """The error has the words of the operating system."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, words in {
        "nothing": "'nothing'.*No such file or directory.*Check the path",
        "loop": "symbolic links",
        "x" * 999: "File name too long",
        "x\0": "null",
        ".": "to be a file",
        "pipe": "to be a file. Received: a folder, a pipe",
    }.items():
        with pytest.raises(DataError, match=words) as caught:
            read(tmp_path / name)
        assert is_one_line(str(caught.value))


def test_time_limit(tmp_path, monkeypatch):
    """It counts also while nothing is unpacked."""
    monkeypatch.setattr(tar, "SECONDS", 0.01)
    MALICIOUS["gzip of nothing, again and again"](tmp_path / "archive")
    with pytest.raises(DataError, match=r"more than 0\.01 seconds"):
        read(tmp_path / "archive")


def test_time_of_the_caller(tmp_path, monkeypatch):
    """It does not count."""
    monkeypatch.setattr(tar, "SECONDS", 1)
    contents = write_valid(tmp_path / "archive")
    seen = []
    for name, _ in tar.members(tmp_path / "archive", WANTED):
        seen.append(name)
        time.sleep(0.3)
    assert seen == list(contents)


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MAX_BYTES", 5_000, "at most 5,000 bytes"),
        ("MAX_MEMBER", 699, "to have 0 to 699 bytes. Received: 700"),
        ("MAX_HEADERS", 3, "at most 3 headers"),
    ],
)
def test_limits(tmp_path, monkeypatch, limit, value, words):
    (tmp_path / "archive").write_bytes(b"".join(member(bytes(700), name) for name in NAMES) + bytes(20_000))
    assert len(read(tmp_path / "archive")) == 4
    monkeypatch.setattr(tar, limit, value)
    monkeypatch.setattr(tar, "HEADER_BYTES", 1 << 20)
    with pytest.raises(DataError, match=words):
        read(tmp_path / "archive")
