"""A folder per class is read, with and without parts above it; what does not fit is said in one line."""

import pickle
import zipfile

import numpy as np
import pytest
from pictures_on_disk import draw, folders, pixels
from PIL import Image

from cnnlab import data
from cnnlab.data import Size
from cnnlab.errors import DataError


def kinds(dataset):
    return {warning.name: warning.text for warning in dataset.warnings}


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "valid", "TESTING"), ("training_set", "validation", "test_set"),
     ("train", "dev", "eval"), ("images_train", "val_images", "test data")],
)  # fmt: skip
@pytest.mark.parametrize("above", ["", "pets/images/"])
def test_parts_by_their_usual_names(tmp_path, train, val, test, above):
    loaded = data.load(folders(tmp_path, f"{above}{train}", f"{above}{val}", f"{above}{test}", n=4))
    assert loaded.format == "folders of classes"
    dataset = loaded.colour
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train_images.shape == (16, 12, 12, 3)
    assert dataset.given_val.tolist() == list(range(8, 16))
    assert not dataset.is_test_held_out
    assert dataset.train_files[0] == f"{above}{train}/cat/0000.png"
    np.testing.assert_array_equal(dataset.train_images[0], pixels(0))
    np.testing.assert_array_equal(dataset.test_images, [pixels(number) for number in range(16, 24)])
    assert dataset.test_labels.tolist() == [0] * 4 + [1] * 4
    assert not dataset.warnings
    np.testing.assert_array_equal(loaded.gray.train_images, data.luma(dataset.train_images))


def test_validation_images_that_cannot_be_read_are_not_replaced_by_others(tmp_path):
    folders(tmp_path, "train", "val", "test", n=4)
    for path in (tmp_path / "val").rglob("*.png"):
        path.unlink()
        path.with_suffix(".heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(DataError, match="validation images that can be read"):
        data.load(tmp_path)


def test_a_fifth_is_held_out_where_there_is_no_test_part(tmp_path):
    dataset = data.load(folders(tmp_path, n=20)).colour
    assert dataset.is_test_held_out
    assert np.bincount(dataset.test_labels).tolist() == [4, 4]
    assert len(dataset.train_files) == 32
    assert not set(dataset.train_files) & set(dataset.test_files)
    assert data.load(tmp_path).colour.digest == dataset.digest


def test_what_systems_leave_behind_is_skipped(tmp_path):
    digest = data.load(folders(tmp_path)).colour.digest
    for name in (
        ".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/._0000.png", "__MACOSX/cat/0000.png", ".hidden/0.png",
        "dog/desktop.ini", "@eaDir/0000.png", "cat/System Volume Information/0.png", "lost+found/0.png",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"something")
    dataset = data.load(tmp_path).colour
    assert dataset.digest == digest
    assert not dataset.warnings


def test_classes_that_are_numbers_are_in_their_order(tmp_path):
    assert data.load(folders(tmp_path, classes=("10", "9", "1"), n=4)).colour.class_names == ("1", "9", "10")


@pytest.mark.parametrize(
    "classes", [("test", "control"), ("train", "car", "plane"), ("eval", "sold"), ("training", "rest")]
)
def test_a_class_named_like_a_part_is_a_class(tmp_path, classes):
    assert data.load(folders(tmp_path / "direct", classes=classes)).colour.class_names == tuple(sorted(classes))
    parts = folders(tmp_path / "parts", "train", "test", classes=classes, n=4)
    dataset = data.load(parts).colour
    assert dataset.class_names == tuple(sorted(classes))
    assert len(dataset.test_images) == 4 * len(classes)


def test_images_below_folders_of_a_class_belong_to_it(tmp_path):
    folders(tmp_path)
    draw(tmp_path / "dog/small/poodle/99.png", 99)
    assert len(data.load(tmp_path).colour.train_images) + len(data.load(tmp_path).colour.test_images) == 21


def test_a_size_and_images_of_several_sizes(tmp_path):
    folders(tmp_path)
    draw(tmp_path / "cat/large.png", 77, side=90)
    assert data.load(tmp_path).colour.image_shape == (32, 32, 3)
    assert data.load(tmp_path, Size(24, 36)).colour.image_shape == (24, 36, 3)


def test_the_digest_of_images_whose_names_sort_in_archive_order_is_that_of_the_archive(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 8, 8, 3), np.uint8), np.arange(60) % 3
    rng.shuffle(labels)
    names = ("airplane", "bird", "cat")
    (tmp_path / "batches").mkdir()
    for name, rows in (("data_batch_1", slice(0, 20)), ("data_batch_2", slice(20, 40)), ("test_batch", slice(40, 60))):
        batch = {"data": images[rows].transpose(0, 3, 1, 2).reshape(20, -1), "labels": labels[rows].tolist()}
        (tmp_path / "batches" / name).write_bytes(pickle.dumps(batch))
    (tmp_path / "batches" / "batches.meta").write_bytes(pickle.dumps({"label_names": list(names)}))
    for index in range(60):
        path = tmp_path / "png" / ("train" if index < 40 else "test") / names[labels[index]] / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(path)
    batches, photos = data.load(tmp_path / "batches").colour, data.load(tmp_path / "png").colour
    assert photos.digest == batches.digest


def test_empty_class_folders_and_stray_images_are_named(tmp_path):
    folders(tmp_path, "train", "test", n=4)
    (tmp_path / "train/owl").mkdir()
    draw(tmp_path / "cover.png", 99)
    draw(tmp_path / "test/unsorted.png", 98)
    draw(tmp_path / "extra/some.png", 97)
    warnings = kinds(data.load(tmp_path).colour)
    assert "'train/owl'" in warnings["unused-classes"]
    texts = [warning.text for warning in data.load(tmp_path).colour.warnings]
    assert any("2 images are in no class folder: 'cover.png', 'test/unsorted.png'" in text for text in texts)
    assert any("'extra/some.png'" in text for text in texts)


def leave_one_class(path):
    folders(path, classes=("cat",))


def leave_test_only(path):
    folders(path, "test", "val")


def leave_two_trains(path):
    folders(path, "train", "training", "test")


def leave_flat_parts(path):
    for part in ("train", "test"):
        draw(path / part / "1.png", 1)


def leave_flat(path):
    for number in range(3):
        draw(path / f"{number}.png", number)


def leave_unknown_class(path):
    folders(path, "train", "test")
    draw(path / "test/owl/1.png", 1)


def leave_two_sets(path):
    folders(path, "color", "grayscale")


def leave_parts_below(path):
    folders(path, "cat", "dog", classes=("train", "test"))


def leave_a_class_of_two(path):
    folders(path)
    for number in (1, 2):
        draw(path / "owl" / f"{number}.png", number)


def leave_an_unprintable_class(path):
    folders(path, classes=("cat", "d\x07g"))


def leave_broken_class(path):
    folders(path, "train", "test")
    (path / "train/owl").mkdir()
    (path / "train/owl/1.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("leave", "words"),
    [
        (leave_one_class, "at least two classes in .*Received: one, 'cat'"),
        (leave_test_only, "'test', 'val', without train"),
        (leave_two_trains, "one folder of train images.*'train', 'training'"),
        (leave_flat_parts, "'test', 'train', without class folders.*table of labels"),
        (leave_flat, "a folder per class in .*in no class folder"),
        (leave_unknown_class, "test labels among the 2 training classes. Received: 'owl'"),
        (leave_two_sets, "one set of class folders.*'cat', 'dog' in each of 'color', 'grayscale'"),
        (leave_parts_below, "Put the parts above the classes: train/cat"),
        (leave_a_class_of_two, "at least 3 images of each class where there is no test part. Received: 2 of .*'owl'"),
        (leave_an_unprintable_class, "class names of at most 200 printable characters"),
        (leave_broken_class, "images of each class that can be read.*'owl'"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, leave, words):
    leave(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        data.load(tmp_path)
    assert str(caught.value).isprintable()


def test_links_may_not_leave_the_folder(tmp_path):
    folders(tmp_path / "data")
    outside = draw(tmp_path / "secret/1.png", 500)
    (tmp_path / "data/cat/linked.png").symlink_to(outside)
    (tmp_path / "data/owl").symlink_to(outside.parent)
    (tmp_path / "data/dog/inside.png").symlink_to(tmp_path / "data/dog/0010.png")
    (tmp_path / "data/dog/broken.png").symlink_to("nowhere")
    dataset = data.load(tmp_path / "data").colour
    files = dataset.train_files + dataset.test_files
    assert "dog/inside.png" in files
    assert len(files) == 21
    text = kinds(dataset)["unread-files"]
    assert "broken link" in text or "leaves the folder" in text
    texts = " ".join(warning.text for warning in dataset.warnings)
    assert "'cat/linked.png', 'owl/': it is a link that leaves the folder" in texts


def test_several_formats_in_one_place_are_named(tmp_path):
    folders(tmp_path / "photos")
    np.savez(tmp_path / "mine.npz", x_train=np.zeros((9, 8, 8)), y_train=np.arange(9) % 3)
    with pytest.raises(
        DataError, match=r"images of one format in .*folders of classes \(.*arrays \(.npz\) \('mine.npz'"
    ):
        data.load(tmp_path)


def test_more_files_than_batches_may_have(tmp_path, monkeypatch):
    """Images do not count as other files do."""
    monkeypatch.setattr("cnnlab.data.finding.finder.MAX_FILES", 5)
    assert len(data.load(folders(tmp_path)).colour.train_images) == 16
    monkeypatch.setattr("cnnlab.data.finding.finder.MAX_PICTURES", 19)
    with pytest.raises(DataError, match="at most 19 images"):
        data.load(tmp_path)


def test_test_images_without_class_folders_are_named_and_a_fifth_is_held_out(tmp_path):
    """Competitions give test images without labels."""
    folders(tmp_path, "train/train")
    for number in range(4):
        draw(tmp_path / "test" / f"{number}.png", number)
    dataset = data.load(tmp_path).colour
    assert dataset.is_test_held_out
    assert dataset.class_names == ("cat", "dog")
    assert "4 images are in no class folder: 'test/0.png'" in kinds(dataset)["unlabelled-images"]


def test_a_document_with_images_in_it_is_no_archive_of_images(tmp_path):
    folders(tmp_path)
    with zipfile.ZipFile(tmp_path / "report.docx", "w") as document:
        for number in range(3):
            document.write(tmp_path / "cat/0000.png", f"word/media/image{number}.png")
    assert data.load(tmp_path).format == "folders of classes"
