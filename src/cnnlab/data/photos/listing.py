"""Find the images in a folder."""

from pathlib import Path

from cnnlab.data.photos.decoding import SUFFIXES, UNREAD_PHOTOS

LEFT_BEHIND = {
    "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir", "lost+found", "system volume information"
}  # fmt: skip
"""Names, in lower case, of what systems leave in folders."""


def image_files(folder: Path) -> list[Path]:
    """Return the images in a folder and the folders below it, in the order of their names, also those not read.

    Hidden files, those of systems, and links to folders are skipped. A folder below that cannot be read is returned
    itself.

    Args:
        folder: The folder.

    Raises:
        OSError: The folder cannot be read.
    """
    found = []
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if name.startswith(".") or name in LEFT_BEHIND:
            continue
        if path.is_dir():
            try:
                found += [] if path.is_symlink() else image_files(path)
            except OSError:
                found.append(path)
        elif path.suffix.lower() in SUFFIXES | UNREAD_PHOTOS.keys():
            found.append(path)
    return found
