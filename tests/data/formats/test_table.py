"""Images with a table of labels are read; unclear columns, and rows and images without a partner, are named."""

import numpy as np
import pandas as pd
import pytest
from pictures_on_disk import draw, folders

from cnnlab import data
from cnnlab.errors import DataError

N = 20
LABELS = ["cat", "dog"] * (N // 2)


def images(root, n=N, folder="images"):
    for number in range(n):
        draw(root / folder / f"im{number:03d}.png", number)
    return [f"im{number:03d}.png" for number in range(n)]


def write(root, /, name="labels.csv", sep=",", **columns):
    pd.DataFrame(columns).to_csv(root / name, index=False, sep=sep)


@pytest.mark.parametrize(
    ("file", "label"),
    [("file", "label"), ("file_name", "class"), ("Filename", "Target"), ("image", "category"), ("path", "diagnosis"),
     ("image_id", "dx"), ("id", "breed")],
)  # fmt: skip
def test_columns_are_recognised(tmp_path, file, label):
    write(tmp_path, **{file: images(tmp_path), "age": range(N), label: LABELS})
    loaded = data.load(tmp_path)
    assert loaded.format == "images with a table"
    dataset = loaded.colour
    assert dataset.class_names == ("cat", "dog")
    assert dataset.is_test_held_out
    assert not dataset.warnings
    for name, number in zip(dataset.train_files, dataset.train_labels, strict=True):
        assert number == int(name[-7:-4]) % 2


@pytest.mark.parametrize(
    "spell",
    [lambda name: name, lambda name: name.removesuffix(".png"), lambda name: f"images/{name}",
     lambda name: f"./images/{name}", lambda name: f"images\\{name}", lambda name: f"/home/ada/images/{name}",
     lambda name: f"images/{name}".removesuffix(".png")],
)  # fmt: skip
@pytest.mark.parametrize(("name", "sep"), [("labels.csv", ","), ("metadata.csv", ";"), ("mine.tsv", "\t")])
def test_names_of_files(tmp_path, spell, name, sep):
    write(tmp_path, name, sep, file=[spell(name) for name in images(tmp_path)], label=LABELS)
    dataset = data.load(tmp_path).colour
    assert len(dataset.train_files) + len(dataset.test_files) == N
    assert dataset.train_files[0].startswith("images/im0")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_labels_with_accents_in_the_encodings_of_spreadsheets(tmp_path, encoding):
    table = pd.DataFrame({"file": images(tmp_path), "label": ["Bär", "Bör"] * (N // 2)})
    table.to_csv(tmp_path / "labels.csv", index=False, encoding=encoding)
    assert data.load(tmp_path).colour.class_names == ("Bär", "Bör")


def test_cells_beyond_the_header_are_not_cut_off(tmp_path):
    rows = [f"{name},Acer rubrum, {'L.' if number % 2 else 'Mill.'}" for number, name in enumerate(images(tmp_path))]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    with pytest.raises(DataError, match=r"Received: rows with more\. Put cells that contain ',' in double quotes"):
        data.load(tmp_path)


def test_a_table_beside_its_images(tmp_path):
    names = images(tmp_path, folder="")
    write(tmp_path, file=names, label=LABELS)
    assert len(data.load(tmp_path).colour.train_files) == 16


def test_parts_and_groups_of_a_table(tmp_path):
    parts = ["train"] * 12 + ["valid"] * 4 + ["testing"] * 4
    write(tmp_path, file=images(tmp_path), label=LABELS, split=parts, patient=[f"p{row // 4}" for row in range(N)])
    dataset = data.load(tmp_path).colour
    assert dataset.given_val.tolist() == [12, 13, 14, 15]
    assert len(dataset.test_images) == 4
    assert dataset.groups.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert not dataset.is_test_held_out


def test_a_table_for_each_part(tmp_path):
    for part, n in (("train", 12), ("test", 6)):
        names = images(tmp_path, n, part)  # the same names in both folders
        write(tmp_path, f"{part}.csv", id=[name.removesuffix(".png") for name in names], label=LABELS[:n])
    dataset = data.load(tmp_path).colour
    assert (len(dataset.train_files), len(dataset.test_files)) == (12, 6)
    assert dataset.test_files[0] == "test/im000.png"


@pytest.mark.parametrize(("first", "n_test"), [("train", 8), ("images", 0)])
def test_without_a_column_for_it_the_folders_tell_the_part(tmp_path, first, n_test):
    """A folder test alone may mean something else."""
    for number in range(N):
        draw(tmp_path / (first if number < 12 else "test") / f"im{number:03d}.png", number)
    write(tmp_path, file=[f"im{number:03d}" for number in range(N)], label=LABELS)
    dataset = data.load(tmp_path).colour
    assert dataset.is_test_held_out == (not n_test)
    if n_test:
        assert [file.startswith("test/") for file in dataset.test_files] == [True] * n_test


def test_a_table_says_what_images_in_several_folders_are(tmp_path):
    names = images(tmp_path, folder="part_1")
    for name in names[10:]:
        (tmp_path / "part_2").mkdir(exist_ok=True)
        (tmp_path / "part_1" / name).rename(tmp_path / "part_2" / name)
    write(tmp_path, "HAM_metadata.csv", lesion_id=names, image_id=[name[:-4] for name in names], dx=LABELS)
    loaded = data.load(tmp_path)
    assert loaded.format == "images with a table"
    assert loaded.colour.groups is not None


def test_a_held_out_test_part_has_whole_groups(tmp_path):
    groups = [f"p{row // 2 // 2}" for row in range(40)]
    write(tmp_path, file=images(tmp_path, 40), label=LABELS * 2, group=groups)
    dataset = data.load(tmp_path).colour
    of_file = dict(zip((f"images/im{number:03d}.png" for number in range(40)), groups, strict=True))
    held, kept = ({of_file[file] for file in files} for files in (dataset.test_files, dataset.train_files))
    assert held
    assert not held & kept
    assert set(dataset.test_labels) == {0, 1}


def test_rows_and_images_without_a_partner_are_named(tmp_path):
    names = images(tmp_path)
    rows = [*names[:18], "gone.png", names[0]]
    write(tmp_path, file=rows, label=[*LABELS[:17], "", "cat", LABELS[0]])
    texts = {warning.name: [] for warning in data.load(tmp_path).colour.warnings}
    for warning in data.load(tmp_path).colour.warnings:
        texts[warning.name].append(warning.text)
    assert texts == {
        "missing-files": ["1 of 20 files are missing in 'labels.csv': 'gone.png'. Add them, or remove their rows."],
        "unlabelled-images": [
            "1 of 20 rows have no label in 'labels.csv': 'images/im017.png'. Add it, or remove the rows.",
            "3 images without a label in the table: 'images/im017.png', 'images/im018.png', 'images/im019.png'. "
            "Add their labels, or ignore this.",
        ],
        "repeated-rows": ["1 of 20 rows repeat another one in 'labels.csv': 'im000.png'. Remove them."],
    }


def two_file_columns(path, names):
    write(path, image=names, path=names, label=LABELS)


def two_label_columns(path, names):
    write(path, image=names, diagnosis=LABELS, category=LABELS)


def no_label(path, names):
    write(path, image=names, age=range(N))


def no_file(path, names):
    write(path, where=names, label=LABELS)


def no_match(path, names):
    write(path, file=[f"x{name}" for name in names], label=LABELS)


def most_missing(path, names):
    write(path, file=[names[0], *(f"x{name}" for name in names[1:])], label=LABELS)


def two_of_one_name(path, names):
    draw(path / "more" / names[0], 1)
    write(path, file=names, label=LABELS)


def two_endings(path, names):
    draw(path / "images" / names[0].replace("png", "bmp"), 1)
    write(path, file=[name[:-4] for name in names], label=LABELS)


def two_labels(path, names):
    write(path, file=[*names[:-1], names[0]], label=LABELS)


def unknown_part(path, names):
    write(path, file=names, label=LABELS, split=["train", "later"] * 10)


def group_in_two_parts(path, names):
    write(path, file=names, label=LABELS, split=["train"] * 15 + ["test"] * 5, group=["a", "b"] * 10)


def one_group(path, names):
    write(path, file=names, label=LABELS, group=["a"] * N)


def a_group_per_class(path, names):
    write(path, file=names, label=LABELS, group=LABELS)


def two_tables(path, names):
    write(path, file=names, label=LABELS)
    write(path, "metadata.csv", file=names, label=LABELS)


def no_table(path, names):
    (path / "labels.csv").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (two_file_columns, "one column for the file of each image.*'image', 'path'. Rename the right one to file"),
        (two_label_columns, "one column for the label.*'diagnosis', 'category'. Rename the right one to label"),
        (no_label, "a column with the labels in 'labels.csv'.*'image', 'age'. Rename the right one to label"),
        (no_file, "a column with the names of the files.*'where', 'label'. Rename the right one to file"),
        (no_match, "names of files that exist"),
        (most_missing, "files that 'labels.csv' names. Received: 19 missing"),
        (two_of_one_name, "one image 'im000.png'.*'images/im000.png', 'more/im000.png'"),
        (two_endings, "one image 'im000'.*'images/im000.bmp', 'images/im000.png'"),
        (two_labels, "one label and one part for 'images/im000.png'. Received: 'cat' in train and 'dog' in train"),
        (unknown_part, "train, val or test in column 'split'.*'later'"),
        (group_in_two_parts, "all images of a group in one part. Received: 'b' in train and in test"),
        (one_group, "at least two groups"),
        (a_group_per_class, "groups that can be divided"),
        (two_tables, "one table of labels"),
        (no_table, "'labels.csv' to be a table with commas"),
    ],
)
def test_what_is_not_clear_is_said_in_one_line(tmp_path, spoil, words):
    spoil(tmp_path, images(tmp_path))
    with pytest.raises(DataError, match=words) as caught:
        data.load(tmp_path)
    assert str(caught.value).isprintable()


def test_the_right_name_wins_over_others(tmp_path):
    names = images(tmp_path)
    write(tmp_path, file=names, path=range(N), label=LABELS, category=["x"] * N, group=names, patient=["p"] * N)
    assert data.load(tmp_path).colour.class_names == ("cat", "dog")


def test_a_table_that_is_not_read_beside_class_folders_is_named(tmp_path):
    folders(tmp_path)
    write(tmp_path, "metadata.csv", image=["a.png"], age=[3])
    loaded = data.load(tmp_path)
    assert loaded.format == "folders of classes"
    [warning] = loaded.colour.warnings
    assert warning.text.startswith("Not read: 'metadata.csv': expected a column with the labels")


def test_classes_that_are_numbers(tmp_path):
    write(tmp_path, file=images(tmp_path), label=[2, 10] * 10)
    dataset = data.load(tmp_path).colour
    assert dataset.class_names == ("2", "10")
    assert np.bincount(dataset.test_labels).tolist() == [2, 2]
