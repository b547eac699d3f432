"""Malicious and harmless archives. Each is small, and made in a moment."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = "cifar-10-batches-py"
NAME = f"{FOLDER}/data_batch_1"
NAMES = [f"{FOLDER}/{name}" for name in ("batches.meta", "data_batch_1", "data_batch_2", "test_batch")]
END = bytes(1024)
GIB = 1 << 30


def header(name: str = NAME, size: int = 0, kind: bytes = b"0", changes: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """Return one block with some bytes changed and a valid checksum."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size
    info.linkname = "/etc/passwd" if kind in b"12" else ""
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    for place, content in changes:
        block[place : place + len(content)] = content
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(content: bytes = b"content", name: str = NAME, kind: bytes = b"0") -> bytes:
    return header(name, len(content), kind) + content + bytes(-len(content) % 512)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    body = b""
    for key, value in records:
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        body += b"%d" % length + rest
    return member(body, "pax", kind)


def bomb(start: bytes, times: int, chunk: bytes, end: bytes = b"", pack: Callable[[bytes], bytes] = gzip.compress):
    """Write a start, a chunk repeated `times`, and an end: several gzip or bzip2 streams are read as one."""
    return lambda path: path.write_bytes(pack(start) + pack(chunk) * times + pack(end))


def plain(*parts: bytes):
    return lambda path: path.write_bytes(b"".join(parts))


def packed(*parts: bytes, cut: int | None = None, after: bytes = b"", flip: int | None = None):
    """Write a .tar.gz: truncated, with bytes `after` it, or with the byte at `flip` changed."""

    def write(path: Path) -> None:
        content = bytearray(gzip.compress(b"".join(parts), mtime=0)[:cut] + after)
        if flip is not None:
            content[flip] ^= 1
        path.write_bytes(content)

    return write


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES:
            archive.writestr(name, "content")


WHOLE = b"".join(member(name.encode() * 100, name) for name in NAMES)
ZEROS = bytes(64 << 20)
MANY = header("readme.html") * 100_000
EXTENDED_SPARSE = header(kind=b"S", changes=[(482, b"\1")])
SPARSE_BLOCK = b"00000000001\0" * 42 + b"\1" + bytes(7)

MALICIOUS: dict[str, Callable[[Path], object]] = {
    # Sizes
    "a negative size that leads back": plain(member(name="readme.html"), header(size=-512), END),
    "a negative size in a pax record": plain(member(name="readme.html"), pax((b"size", b"-1536")), header(), END),
    "a negative size of an extended header": plain(member(name="readme.html"), header(size=-1536, kind=b"x"), END),
    "an enormous declared size": packed(header(size=1 << 60), END),
    "a size beyond the archive": plain(header(size=1 << 20), b"content"),
    "a skipped size beyond the archive": plain(header("readme.html", 1 << 20), b"content"),
    "sizes that contradict each other": plain(pax((b"size", b"512")), member(bytes(1024)), END),
    "a size that is no number": plain(header(changes=[(124, b"many")]), END),
    # Bombs
    "4 GiB of zeros as a batch": bomb(header(size=4 * GIB), 64, ZEROS, END),
    "2 GiB of zeros as a batch": bomb(header(size=2 * GIB), 32, ZEROS, END),
    "7 GiB of zeros as a batch, bzip2": bomb(header(size=7 * GIB), 112, ZEROS, END, bz2.compress),
    "7 GiB of zeros beside the batches": bomb(header("readme.html", 7 * GIB), 112, ZEROS, WHOLE + END),
    "60 MiB of zeros as a batch, cut short": bomb(header(size=60 << 20), 59, bytes(1 << 20)),
    "an endless end": bomb(WHOLE, 64, ZEROS),
    "nothing but zeros": bomb(b"", 64, ZEROS),
    # Headers
    "a pax header of 4 GiB": bomb(header(size=4 * GIB, kind=b"x"), 64, ZEROS, WHOLE + END),
    "a long name of 4 GiB": bomb(header(size=4 * GIB, kind=b"L"), 64, ZEROS, WHOLE + END),
    "four million headers": bomb(WHOLE, 40, MANY, END),
    "global headers without end": bomb(WHOLE, 2000, pax((b"comment", bytes(1000)), kind=b"g") * 100, END),
    "a header that extends a header that extends": packed(pax((b"a", b"b")) * 20_000, WHOLE, END),
    "a pax header of digits": packed(member(b"1" * (1 << 20), kind=b"x"), WHOLE, END),
    "a pax header of a key in a key": packed(member(b"2 " * (1 << 19), kind=b"x")[:-1] + b"=", WHOLE, END),
    "pax records by the million": bomb(b"", 40, member(b"5 a=\n" * 200_000, kind=b"x"), WHOLE + END),
    "a pax header cut short": plain(member(b"99 path=x\n", kind=b"x"), WHOLE, END),
    "a wrong checksum": plain(WHOLE, b"0" + header()[1:], WHOLE, END),
    "a wrong checksum at the start": plain(b"0" + header()[1:], WHOLE, END),
    # Sparse files
    "a sparse map without end": bomb(EXTENDED_SPARSE, 200, SPARSE_BLOCK * 10_000),
    "a sparse map cut short": plain(EXTENDED_SPARSE, SPARSE_BLOCK),
    "a sparse file of nothing": plain(header(kind=b"S", changes=[(386, bytes(96)), (483, b"77777777777\0")]), END),
    "a sparse pax map without end": bomb(
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")) + header() + b"999999999\n",
        100,
        b"1\n" * (1 << 20),
    ),
    "a sparse pax map of nonsense": plain(pax((b"GNU.sparse.map", b"0,x,nan")), header(), END),
    "a sparse pax file of nothing": plain(
        pax((b"GNU.sparse.map", b"0,0"), (b"GNU.sparse.size", b"9" * 18)), WHOLE, END
    ),
    "a sparse file of another name": plain(
        pax((b"GNU.sparse.map", b"0,7"), (b"GNU.sparse.name", NAME.encode())), member(name="a/b"), END
    ),
    # No regular files
    "a symbolic link": plain(header(kind=b"2"), END),
    "a hard link": plain(header(kind=b"1"), END),
    "a character device": plain(header(kind=b"3"), END),
    "a block device": plain(header(kind=b"4"), END),
    "a pipe": plain(header(kind=b"6"), END),
    "a folder": plain(header(kind=b"5"), END),
    "a member of no known type": plain(member(kind=b"Z"), END),
    "a batch that is there twice": plain(WHOLE, member(), END),
    "a batch that is there twice, once by a long name": plain(
        WHOLE, member(NAME.encode() + b"\0", "x", b"L"), WHOLE, END
    ),
    # Broken compression
    "gzip cut in a batch": packed(WHOLE, END, cut=150),
    "gzip cut before its checksum": packed(WHOLE, END, cut=-8),
    "gzip with a wrong checksum": packed(WHOLE, END, flip=-8),
    "gzip with a wrong length": packed(WHOLE, END, flip=-1),
    "gzip with a wrong byte": packed(WHOLE, END, flip=100),
    "gzip followed by something": packed(WHOLE, END, after=b"something"),
    "gzip of nothing, again and again": lambda path: path.write_bytes(gzip.compress(b"") * 50_000),
    "gzip with a name without end": lambda path: path.write_bytes(b"\x1f\x8b\x08\x08" + b"x" * (4 << 20)),
    "bzip2 cut short": lambda path: path.write_bytes(bz2.compress(WHOLE + END)[:-9]),
    "bzip2 with a wrong checksum": lambda path: path.write_bytes(bz2.compress(WHOLE + END)[:-5] + b"wrong"),
    "bzip2 of nothing, again and again": lambda path: path.write_bytes(bz2.compress(b"") * 50_000),
    # Truncated, or no tar archive
    "a header cut short": plain(WHOLE, header()[:100]),
    "a batch cut short": plain(WHOLE[:600]),
    "no end": plain(WHOLE),
    "something after the end": plain(WHOLE, END, WHOLE),
    "an empty file": plain(),
    "a page": plain(b"<html><script>alert(1)</script>not\nfound</html>"),
    "a pickle": plain(pickle.dumps(list(range(10_000)))),
    "an xz archive": lambda path: path.write_bytes(lzma.compress(WHOLE + END)),
    "a zip archive": zipped,
}
"""What is wrong with an archive, and the function that writes it to a path."""


HARMLESS: dict[str, bytes] = {
    "a way up": member(name=f"../{NAME}"),
    "a way up from inside": member(name=f"{FOLDER}/../{NAME}"),
    "the root": member(name=f"/{NAME}"),
    "a batch of another folder": member(name=f"x/{NAME}"),
    "a batch further down": member(name=f"{FOLDER}/x/data_batch_1"),
    "a line more": member(name=f"{NAME}\n"),
    "a NUL": pax((b"path", NAME.encode() + b"\0")) + member(),
    "no name": member(name=""),
    "a name of bytes": pax((b"path", b"\xff\xfe\x80")) + member(),
    "a long name of nothing": member(b"", "x", b"L") + member(name="x"),
    "an encoding that is none": pax((b"hdrcharset", b"\xff\xfe"), (b"\xff", b"\xff")) + member(name="x"),
    "times and owners that are none": pax((b"mtime", b"soon"), (b"uid", b"-" * 999)) + member(name="x"),
    "a comment for all": pax((b"comment", b"0" * 40), kind=b"g"),
    "a name for all": pax((b"path", b"all"), kind=b"g"),
    "a long link": member(b"x" * 9999, "x", b"K") + header("x", kind=b"2"),
    "a link with a size": header("x", 1 << 40, b"2"),
    "a sparse file in pax": pax((b"GNU.sparse.map", b"0,7"), (b"GNU.sparse.name", b"x")) + member(),
    "a member of no known type": member(name="x", kind=b"Z"),
}
"""Members that may stand before the batches: they are skipped."""


def write_valid(path: Path, mode: str = "w:gz", form: int = tarfile.PAX_FORMAT, before: str = "") -> dict[str, bytes]:
    """Write a valid archive with a folder and a file beside the batches; return the batches."""
    contents = {name: name.encode() * (700 * place) for place, name in enumerate(NAMES)}
    with tarfile.open(path, mode, format=form) as archive:
        folder = tarfile.TarInfo(before + FOLDER)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in [*contents.items(), (f"{FOLDER}/readme.html", b"<html></html>")]:
            info = tarfile.TarInfo(before + name)
            info.size, info.mtime = len(content), 1234567890.123
            archive.addfile(info, io.BytesIO(content))
    return {name.rpartition("/")[2]: content for name, content in contents.items()}


def read_with_tarfile(path: Path) -> dict[str, int]:
    """Read an archive without any check; return the size of each member."""
    sizes = {}
    with tarfile.open(path) as archive:
        for info in archive:
            file = archive.extractfile(info)
            if file is not None:
                sizes[info.name] = len(file.read())
    return sizes
