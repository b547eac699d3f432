"""Real pickles and tarballs in, a checked `Dataset` out; what is wrong is said in one line."""

import io
import pickle
import shutil
import tarfile

import numpy as np
import pandas as pd
import pytest

from cnnlab import data, models
from cnnlab.data.formats import cifar
from cnnlab.errors import ConfigError, DataError


def write_batch(path, images, labels, **changes):
    frame = pd.DataFrame(np.asarray(images).reshape(len(images), -1)).assign(label=labels)
    for column, values in changes.items():
        frame[column] = values
    frame.to_pickle(path)


def small_batches(path, *, batches=2, side=4, labels=(0, 1, 2)):
    rng = np.random.default_rng(0)
    for name in [f"train_batch{i}.pkl" for i in range(1, batches + 1)] + ["test_batch1.pkl"]:
        write_batch(path / name, rng.integers(0, 256, (9, side, side), dtype=np.uint8), list(labels) * 3)
    return path


@pytest.mark.parametrize(("batches", "side"), [(1, 4), (3, 5), (11, 8)])
def test_number_of_batches_and_image_side_are_read_from_the_files(tmp_path, batches, side):
    found = data.load_gray_batches(small_batches(tmp_path, batches=batches, side=side))
    assert found.train_images.shape == (9 * batches, side, side, 1)
    assert found.train_images.dtype == np.uint8
    assert found.test_images.shape == (9, side, side, 1)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("cat", "dog", "ape"), ("ape", "cat", "dog")),
        ((10, 30, 20), ("10", "20", "30")),
        ((1.0, 0.0, 2.0), ("0", "1", "2")),
    ],
)
def test_labels_may_be_strings_or_any_whole_numbers(tmp_path, labels, names):
    found = data.load_gray_batches(small_batches(tmp_path, labels=labels))
    assert found.class_names == names
    assert [found.class_names[i] for i in found.train_labels[:3]] == [
        str(getattr(v, "__int__", lambda v=v: v)()) for v in labels
    ]


def test_whole_number_classes_take_their_names_from_an_archive_beside_them(folder):
    assert data.load(folder).gray.class_names[:2] == ("zero", "one")
    assert data.load_gray_batches(folder).class_names[:2] == ("0", "1")


def test_channel_first_rows_become_channel_last_images(tmp_path):
    image = np.zeros((3, 4, 4), np.uint8)
    image[0], image[1, 0], image[2, :, 0] = 10, 20, 30
    make_archive(tmp_path / data.ARCHIVE, image.reshape(1, -1), [0])
    first = data.load_cifar10(tmp_path).train_images[0]
    assert first[0, 0].tolist() == [10, 20, 30]
    assert first[3, 3].tolist() == [10, 0, 0]


def make_archive(path, rows, labels, names=(b"a", b"b"), leave_out=(), **changes):
    with tarfile.open(path, "w:gz") as archive:
        for name in ["batches.meta", *[f"data_batch_{i}" for i in range(1, 6)], "test_batch"]:
            value = {b"label_names": list(names)} if name == "batches.meta" else {b"data": rows, b"labels": labels}
            value.update(changes.get(name, {}))
            if name not in leave_out:
                content = pickle.dumps(value, protocol=2)
                member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def test_the_archive_and_its_extracted_folder_are_the_same_dataset(folder, tmp_path):
    with tarfile.open(folder / data.ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    assert data.load_cifar10(tmp_path / cifar.FOLDER).digest == data.load_cifar10(folder / data.ARCHIVE).digest
    assert data.load_cifar10(tmp_path).digest == data.load_cifar10(folder).digest


def test_grayscale_images_are_derived_where_there_is_only_the_archive(folder, tmp_path):
    shutil.copy(folder / data.ARCHIVE, tmp_path)
    found = data.load(tmp_path)
    assert found.derived_gray
    assert found.gray.digest == data.load(folder).gray.digest


def test_there_is_no_colour_where_there_are_only_grayscale_batches(tmp_path):
    assert data.load(small_batches(tmp_path)).colour is None


def test_luma_weights_green_most_and_keeps_grays():
    pixels = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [77, 77, 77]]]], np.uint8)
    assert data.luma(pixels).ravel().tolist() == [76, 150, 29, 77]


def spoil_pickle(path):
    (path / "train_batch2.pkl").write_bytes(b"\x80\x04nonsense")


def spoil_gap(path):
    (path / "train_batch1.pkl").unlink()


def spoil_test(path):
    (path / "test_batch1.pkl").unlink()


def spoil_label(path):
    write_batch(path / "test_batch1.pkl", np.ones((2, 4, 4)) * 9, [0, 7])


def spoil_no_label(path):
    write_batch(path / "train_batch1.pkl", np.ones((2, 4, 4)) * 9, [0, np.nan])


def spoil_column(path):
    pd.DataFrame(np.ones((2, 16))).to_pickle(path / "train_batch1.pkl")


def spoil_range(path):
    write_batch(path / "train_batch1.pkl", np.full((2, 4, 4), 256), [0, 1])


def spoil_nan(path):
    write_batch(path / "train_batch1.pkl", np.full((2, 4, 4), np.nan), [0, 1])


def spoil_scaled(path):
    write_batch(path / "train_batch1.pkl", np.full((2, 4, 4), 0.5), [0, 1])


def spoil_text(path):
    write_batch(path / "train_batch1.pkl", np.full((2, 4, 4), "x"), [0, 1])


def spoil_shape(path):
    write_batch(path / "train_batch1.pkl", np.ones((2, 15)) * 9, [0, 1])


def spoil_size(path):
    write_batch(path / "train_batch2.pkl", np.ones((3, 5, 5)) * 9, [0, 1, 2])


def spoil_kind(path):
    write_batch(path / "test_batch1.pkl", np.ones((2, 4, 4)) * 9, ["0", "1"])


def spoil_no_pixels(path):
    pd.DataFrame({"label": [0, 1]}).to_pickle(path / "train_batch1.pkl")


def spoil_one_kind(path):
    write_batch(path / "train_batch2.pkl", np.ones((2, 4, 4)) * 9, ["0", "1"])


def spoil_type(path):
    (path / "train_batch1.pkl").write_bytes(pickle.dumps([1, 2]))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_pickle, "train_batch2.pkl.*Received: a file that is broken.*to_pickle"),
        (spoil_gap, "Expected train_batch1.pkl.*Received: train_batch2.pkl.*Add the missing batch"),
        (spoil_test, "Expected test_batch1.pkl"),
        (spoil_label, "among the 3 training classes.*Received: 7"),
        (spoil_no_label, "a label in every row"),
        (spoil_column, "one column named label"),
        (spoil_range, "0 to 255.*256"),
        (spoil_nan, "0 to 255.*nan"),
        (spoil_scaled, "Multiply them by 255"),
        (spoil_text, "numbers as pixels"),
        (spoil_shape, "square images.*15"),
        (spoil_size, "16 pixel columns in train_batch2.pkl.*25"),
        (spoil_kind, "labels of one kind"),
        (spoil_one_kind, "labels of one kind"),
        (spoil_no_pixels, "rows of pixels"),
        (spoil_type, "Received: a list"),
    ],
)
def test_a_spoilt_grayscale_batch_is_named_in_one_line(tmp_path, spoil, words):
    spoil(small_batches(tmp_path))
    with pytest.raises(DataError, match=words) as caught:
        data.load_gray_batches(tmp_path)
    assert "\n" not in str(caught.value)


ROWS = np.zeros((2, 48), np.uint8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"<html>not found</html>"), "to be a whole tar archive"),
        (lambda path: make_archive(path, ROWS, [0, 1], leave_out=["data_batch_3"]), "Expected data_batch_3"),
        (lambda path: make_archive(path, ROWS, [0, 2]), "labels of 0 to 1.*Received: 2"),
        (lambda path: make_archive(path, ROWS, [0]), "a label for each of 2 images"),
        (lambda path: make_archive(path, ROWS[:, :-1], [0, 1]), "square images"),
        (lambda path: make_archive(path, [1], [0]), "data .one row an image"),
        (lambda path: make_archive(path, ROWS, ["a", "b"]), "Received: 'a'"),
        (lambda path: make_archive(path, ROWS, [[0], [1]]), "Received: a list in an unusual place"),
        (lambda path: make_archive(path, ROWS, [0, 1], names=()), "label_names"),
    ],
)
def test_a_spoilt_archive_is_named_in_one_line(tmp_path, make, words):
    make(tmp_path / data.ARCHIVE)
    with pytest.raises(DataError, match=words) as caught:
        data.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_archive_that_ends_early_is_refused(folder, tmp_path):
    content = (folder / data.ARCHIVE).read_bytes()
    (tmp_path / data.ARCHIVE).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="Fetch it again"):
        data.load(tmp_path)


def test_an_empty_folder_and_a_missing_one_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match="cnnlab data sample"):
        data.load(tmp_path)
    with pytest.raises(DataError, match="a data folder"):
        data.load(tmp_path / "nowhere")


def test_a_stratified_split_keeps_shares_shares_no_image_and_is_always_the_same(gray):
    split = data.split(gray, "stratified", 100, 40, 50)
    assert not set(split.train) & set(split.val)
    for part, labels, size in (
        (split.train, gray.train_labels, 100),
        (split.val, gray.train_labels, 40),
        (split.test, gray.test_labels, 50),
    ):
        assert len(part) == size
        assert np.bincount(labels[part]).tolist() == [size // 10] * 10
    assert data.split(gray, "stratified", 100, 40, 50).digest == split.digest


def test_a_split_larger_than_the_data_takes_a_fifth_for_validation(gray):
    split = data.split(gray, "stratified", 40_000, 10_000, 10_000)
    assert (len(split.train), len(split.val), len(split.test)) == (160, 40, 100)


@pytest.mark.parametrize("size", [91, 99, 100, 101])
def test_a_split_that_would_leave_fewer_images_than_classes_over_takes_them_too(gray, size):
    assert len(data.split(gray, "stratified", 100, 40, size).test) == 100


def test_a_profile_too_small_for_the_classes_is_named(gray):
    with pytest.raises(DataError, match=r"as many images as there are classes, 10. Received: one of 7"):
        data.split(gray, "stratified", 100, 40, 7)


def test_the_published_split_validates_on_the_last_fifth(gray):
    split = data.split(gray, "last", 40_000, 10_000, 10_000)
    assert split.val.tolist() == list(range(160, 200))
    assert split.train.tolist() == list(range(160))


def test_a_class_too_small_to_split_is_named(tiny):
    lonely = data.Dataset(
        tiny.train_images, np.array([0] * 29 + [1]), tiny.test_images, tiny.test_labels, tiny.class_names
    )
    with pytest.raises(DataError, match="1 of class 'bright'"):
        data.split(lonely, "stratified", 20, 5, 5)
    with pytest.raises(ConfigError, match="stratified or last"):
        data.split(tiny, "random", 20, 5, 5)


def test_any_change_of_pixels_labels_or_names_changes_the_digest(tiny):
    from dataclasses import replace

    pixels = tiny.train_images.copy()
    pixels[0, 0, 0, 0] += 1
    digests = {
        tiny.digest,
        replace(tiny, train_images=pixels).digest,
        replace(tiny, test_labels=1 - tiny.test_labels).digest,
        replace(tiny, class_names=("bright", "dark")).digest,
    }
    assert len(digests) == 4


def test_the_published_layout_scrambles_colours_and_leaves_gray_alone(colour, gray):
    scrambled = models.lay_out(colour.train_images[:1], "published")
    np.testing.assert_array_equal(scrambled[0].ravel(), colour.train_images[0].transpose(2, 0, 1).ravel())
    for images in (colour.train_images, gray.train_images):
        np.testing.assert_array_equal(models.lay_out(images, "channels_last"), images)
    np.testing.assert_array_equal(models.lay_out(gray.train_images, "published"), gray.train_images)
