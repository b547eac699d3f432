"""Compressed batches are unpacked within bounds; bombs, broken and mutated ones are refused in one line."""

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
import zipfile

import pytest

from cnnlab.data.untrusted import compressed, tar
from cnnlab.errors import DataError

CONTENT = bytes(range(256)) * 50


def zipped(content, names=("batch",), method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as written:
        for name in names:
            written.writestr(name, content)
    return file.getvalue()


PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zip": zipped}


def is_one_line(message):
    return message.startswith("Expected ") and " Received: " in message and message.isprintable() and len(message) < 500


@pytest.mark.parametrize("kind", PACK)
def test_unpack(kind):
    assert compressed.unpack(PACK[kind](CONTENT), "x") == CONTENT
    assert compressed.unpack(PACK[kind](b""), "x") == b""


def test_plain_content():
    assert compressed.unpack(CONTENT, "x") is CONTENT


def test_zip_of_a_mac():
    assert compressed.unpack(zipped(CONTENT, ["batch", "__MACOSX/._batch"]), "x") == CONTENT


@pytest.mark.parametrize("kind", PACK)
def test_bomb(kind):
    """A few bytes that unpack to gigabytes are refused after the free ones."""
    packed = {
        "gzip": gzip.compress(bytes(64 << 20)) * 8,
        "bzip2": bz2.compress(bytes(64 << 20)) * 8,
        "xz": lzma.compress(bytes(256 << 20), preset=1),
        "zip": zipped(bytes(256 << 20)),
    }[kind]
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"to unpack to at most .* Store it uncompressed") as caught:
            compressed.unpack(packed, "x")
        assert tracemalloc.get_traced_memory()[1] < 300 << 20
    finally:
        tracemalloc.stop()
    assert is_one_line(str(caught.value))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x28\xb5\x2f\xfd rest", "Zstandard. Decompress it"),
        (b"\x04\x22\x4d\x18 rest", "LZ4"),
        (b"7z\xbc\xaf\x27\x1c rest", "7-Zip"),
        (zipped(CONTENT, ["a", "b"]), "it holds 2 files, not one: extract it"),
        (zipped(CONTENT, method=zipfile.ZIP_LZMA), "unusual compression"),
        (zipped(CONTENT, method=zipfile.ZIP_BZIP2), "unusual compression"),
        (zipped(b"x", [f"{'n' * 100}{i}" for i in range(20_000)]), "zip file"),
        (gzip.compress(CONTENT)[:-9], "whole gzip file"),
        (gzip.compress(CONTENT)[:-8] + bytes(8), "CRC"),
        (gzip.compress(CONTENT) + b"something", "whole gzip file"),
        (bz2.compress(CONTENT)[:-9], "whole bzip2 file"),
        (lzma.compress(CONTENT)[:-9], "whole xz file"),
        (lzma.compress(CONTENT) + b"something", "something follows its end"),
        (b"\x1f\x8b\x08\x08" + b"x" * 99, "whole gzip file"),
    ],
    ids=range(14),
)  # fmt: skip
def test_refused(content, words):
    with pytest.raises(DataError, match=words) as caught:
        compressed.unpack(content, "x")
    assert is_one_line(str(caught.value))


def test_several_xz_streams():
    """As `cat a.xz b.xz` and parallel packers write them, also with zeros between them."""
    packed = lzma.compress(CONTENT[:50]) + bytes(8) + lzma.compress(CONTENT[50:]) + bytes(4)
    assert compressed.unpack(packed, "x") == CONTENT
    with pytest.raises(DataError, match="whole xz file"):
        compressed.unpack(packed[:-20], "x")
    compressed.unpack(lzma.compress(b"") * 50_000, "x")


def test_compressed_twice():
    with pytest.raises(DataError, match="to be compressed once"):
        compressed.unpack(gzip.compress(lzma.compress(CONTENT)), "x")


def test_memory_of_xz(monkeypatch):
    """A file that asks for a larger dictionary than any preset is refused."""
    monkeypatch.setattr(compressed, "XZ_MEMORY", 1 << 20)
    with pytest.raises(DataError, match=r"[Mm]emory"):
        compressed.unpack(lzma.compress(CONTENT), "x")


def test_time_limit(monkeypatch):
    monkeypatch.setattr(tar, "SECONDS", -1)
    with pytest.raises(DataError, match="takes more than"):
        compressed.unpack(gzip.compress(b"") * 1000, "x")


@pytest.mark.parametrize("kind", PACK)
def test_mutations(kind):
    """Each is unpacked as written or refused with a `DataError`."""
    whole = PACK[kind](CONTENT)
    rng = random.Random(20220)
    refused = 0
    for _ in range(800):
        mutated = bytearray(whole)
        match rng.randrange(3):
            case 0:
                for _ in range(rng.randint(1, 5)):
                    mutated[rng.randrange(len(mutated))] ^= 1 << rng.randrange(8)
            case 1:
                del mutated[rng.randrange(len(mutated)) :]
            case 2:
                place = rng.randrange(len(mutated))
                mutated[place : place + rng.choice([0, 8, 64])] = rng.randbytes(rng.choice([1, 8, 64]))
        try:
            content = compressed.unpack(bytes(mutated), "x")
        except DataError as error:
            assert is_one_line(str(error))
            refused += 1
        else:
            assert content in (CONTENT, bytes(mutated), b"")
    assert refused > 100
