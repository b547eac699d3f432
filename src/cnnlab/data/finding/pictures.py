"""Which files are images, by the endings of their names."""

from cnnlab.data.photos.decoding import SUFFIXES, UNREAD_PHOTOS

ENDINGS = frozenset(suffix.removeprefix(".") for suffix in (*SUFFIXES, *UNREAD_PHOTOS, ".svg"))
"""Endings of image files, also of those that are named as formats that are not read."""
TABLES = ("csv", "tsv")
"""Endings of tables."""


def ending(name: str) -> str:
    """Return what follows the last dot of a name, in small letters."""
    return name.rpartition(".")[2].lower()


def is_picture(name: str) -> bool:
    """Return whether a file is an image by its name. macOS writes hidden files beside them, such as `._1.jpg`."""
    return ending(name) in ENDINGS and not name.startswith(".")


def stem(name: str) -> str:
    """Return a name, or a path, without the ending of an image."""
    return name.rpartition(".")[0] if ending(name) in ENDINGS else name
