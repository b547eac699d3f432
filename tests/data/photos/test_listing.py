"""The images in a folder are listed in the order of their names, without what systems leave behind."""

from pathlib import Path

from cnnlab.data.photos import image_files


def test_images_are_listed_in_order_and_nothing_else(tmp_path):
    images = ["a/1.JPG", "a/10.png", "a/b/c.webp", "a/x.heic", "b.tiff", "z/raw.NEF"]
    others = [
        ".hidden.png", "a/._1.JPG", ".git/x.png", "__MACOSX/a/1.JPG", "a/Thumbs.db", "Desktop.ini", "labels.csv",
        "a/notes.txt", "movie.mov", "a/@eaDir/1.JPG",
    ]  # fmt: skip
    for name in images + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)] == images


def test_a_folder_that_cannot_be_read_hides_no_other(tmp_path, monkeypatch):
    for name in ("a/1.png", "locked/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    read = Path.iterdir

    def refuse(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert image_files(tmp_path) == [tmp_path / "a/1.png", tmp_path / "locked"]
