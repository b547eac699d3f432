"""Which files are images, by the endings of their names."""

_READ = "jpg jpeg jpe jfif png apng bmp dib gif tif tiff webp avif jp2 j2k ppm pgm pbm pnm tga"
_NAMED = "heic heif hif jxl svg dng nef nrw cr2 cr3 crw arw orf pef raf rw2 srw 3fr"  # as formats that are not read
ENDINGS = frozenset(f"{_READ} {_NAMED}".split())
"""Endings of image files."""
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
