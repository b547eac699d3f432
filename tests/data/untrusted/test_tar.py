"""Honest archives of every kind in, their batches out; hostile ones end soon, in little memory, with one line."""

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
from tar_corpus import END, FOLDER, HARMLESS, HOSTILE, NAME, NAMES, WHOLE, honest, member, naive

from cnnlab.data.untrusted import tar
from cnnlab.errors import DataError

WANTED = re.compile(rf"(\./)?{FOLDER}/(data_batch_\d+|test_batch|batches\.meta)")
WHOLE_BATCHES = {name.rpartition("/")[2]: name.encode() * 100 for name in NAMES}
SECONDS = 20
MEMORY = 300 << 20


def read(path, wanted=WANTED):
    return dict(tar.members(path, wanted))


def is_one_line(message):
    return message.startswith("Expected ") and " Received: " in message and message.isprintable() and len(message) < 999


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
@pytest.mark.parametrize("before", ["", "./"])
def test_honest_archives_of_every_format_and_compression_are_read(tmp_path, form, mode, before):
    """The name of the file does not tell its compression, the folder's other file is skipped."""
    path = tmp_path / "archive"
    contents = honest(path, mode, form, before)
    assert list(tar.members(path, WANTED)) == list(contents.items())
    sizes = naive(path)
    assert {name: sizes[f"{before}{FOLDER}/{name}"] for name in contents} == {k: len(v) for k, v in contents.items()}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_whole_in_every_format(tmp_path, form):
    folders = "/".join(["folder" * 10] * 3)
    contents = honest(tmp_path / "archive", form=form, before=f"{folders}/")
    assert read(tmp_path / "archive", re.compile(f"{folders}/{WANTED.pattern}")) == contents
    assert not read(tmp_path / "archive")


def test_an_archive_without_anything_wanted_gives_nothing(tmp_path):
    (tmp_path / "archive").write_bytes(member(name="readme.html") + END)
    assert not read(tmp_path / "archive")


def test_blank_images_may_shrink_like_a_bomb(tmp_path):
    (tmp_path / "archive").write_bytes(gzip.compress(member(bytes(32 << 20)) + END))
    assert read(tmp_path / "archive") == {"data_batch_1": bytes(32 << 20)}


@pytest.mark.parametrize("before", HARMLESS.values(), ids=HARMLESS)
def test_what_is_not_wanted_is_skipped_whatever_it_is(tmp_path, before):
    """Names that lead out of the folder are no names of batches; nonsense beside a name is never read."""
    (tmp_path / "archive").write_bytes(before + WHOLE + END)
    assert read(tmp_path / "archive") == WHOLE_BATCHES


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


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_ends_soon_in_little_memory_with_one_line(tmp_path, name):
    """In a process of its own, which may take 300 MiB and 20 seconds; most take a hundredth of both."""
    path = tmp_path / "hostile.tar.gz"
    HOSTILE[name](path)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, path, WANTED.pattern], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert not done.stderr
    assert is_one_line(done.stdout.removesuffix("\n"))
    assert "'hostile.tar.gz'" in done.stdout
    assert "MemoryError" not in done.stdout


def test_a_hostile_archive_meets_a_limit_that_would_show(tmp_path):
    """The test before can fail: a process that may take as little cannot hold what one archive asks for."""
    resource_limit = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY}, {MEMORY}))"
    code = f"{resource_limit}; import sys; from tar_corpus import naive; naive(sys.argv[1])"
    HOSTILE["a long name of 4 GiB"](tmp_path / "archive")
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "archive"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "MemoryError" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a negative size that leads back", "to have 0 to 2,147,483,648 bytes. Received: -512"),
        ("a pax header of 4 GiB", "at most 4,194,304 bytes.*4,294,967,296"),
        ("7 GiB of zeros beside the batches", "to unpack to at most .*pack it without compression"),
        ("an endless end", "to end after its last file"),
        ("four million headers", "at most 10,000 headers"),
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
def test_the_line_says_what_is_wrong(tmp_path, name, words):
    HOSTILE[name](tmp_path / "a")
    with pytest.raises(DataError, match=words):
        read(tmp_path / "a")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name",
    ["x\n\ry", "<script>alert(1)</script>", "\x1b[2J", "x" * 5000, "\u202e\u2028" * 200, "\udc80"],
    ids=["lines", "markup", "escapes", "long", "direction", "bytes"],
)
def test_a_name_is_shown_in_one_printable_line(tmp_path, name, form):
    path = tmp_path / "archive"
    with tarfile.open(path, "w", format=form) as written:
        info = tarfile.TarInfo(name)
        info.type = tarfile.SYMTYPE
        written.addfile(info)
    with pytest.raises(DataError, match="a symbolic link") as caught:
        read(path, re.compile(".*", re.DOTALL))
    assert is_one_line(str(caught.value))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
def test_a_mutated_archive_is_read_or_refused(tmp_path, mode):
    """No mutation ends in anything but files or a `DataError`; where the packing has a checksum, most are refused."""
    path = tmp_path / "archive"
    contents = honest(path, mode)
    whole = path.read_bytes()
    rng = random.Random(20220)
    refused = 0
    for _ in range(500):
        spoilt = bytearray(whole)
        match rng.randrange(4 if mode == "w" else 3):
            case 0:
                for _ in range(rng.randint(1, 5)):
                    spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
            case 1:
                del spoilt[rng.randrange(len(spoilt)) :]
            case 2:
                place = rng.randrange(len(spoilt))
                spoilt[place : place + rng.choice([0, 8, 512])] = rng.randbytes(rng.choice([1, 8, 512]))
            case 3:  # a header's fields, with a checksum that is right
                start = rng.randrange(0, len(spoilt) - 512, 512)
                spoilt[start + rng.choice([0, 100, 124, 136, 156, 257, 345, 482])] = rng.randrange(256)
                spoilt[start + 148 : start + 156] = b" " * 8
                spoilt[start + 148 : start + 156] = b"%06o\0 " % sum(spoilt[start : start + 512])
        path.write_bytes(spoilt)
        try:
            found = read(path)
        except DataError as error:
            assert is_one_line(str(error))
            refused += 1
        else:
            assert mode == "w" or found == contents
    assert refused > 100
    assert mode != "w" or refused < 500


def test_a_path_that_cannot_be_read_is_named_with_the_systems_words(tmp_path):
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


def test_an_archive_that_takes_too_long_is_refused_though_it_unpacks_to_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tar, "SECONDS", 0.01)
    HOSTILE["gzip of nothing, again and again"](tmp_path / "archive")
    with pytest.raises(DataError, match=r"more than 0\.01 seconds"):
        read(tmp_path / "archive")


def test_the_time_a_caller_takes_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(tar, "SECONDS", 1)
    contents = honest(tmp_path / "archive")
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
def test_an_archive_beyond_a_limit_is_refused(tmp_path, monkeypatch, limit, value, words):
    (tmp_path / "archive").write_bytes(b"".join(member(bytes(700), name) for name in NAMES) + bytes(20_000))
    assert len(read(tmp_path / "archive")) == 4
    monkeypatch.setattr(tar, limit, value)
    with pytest.raises(DataError, match=words):
        read(tmp_path / "archive")
