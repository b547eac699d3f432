"""A stored model is asked about images of any kind; what cannot be used is one line."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from cnnlab import models
from cnnlab.cli import main
from cnnlab.data import luma
from cnnlab.errors import DataError, ModelError
from cnnlab.models import predict
from cnnlab.study import Architecture

CLASSES = ["red", "green", "blue"]
RNG = np.random.default_rng(0)
GRAY_8, COLOUR_8 = (8, 8, 1), (8, 8, 3)


def store(folder, model, classes=CLASSES):
    """A model as a report leaves it: with the names of its classes beside it."""
    folder.mkdir(exist_ok=True)
    model.save(folder / "model.keras")
    (folder / "manifest.json").write_text(json.dumps({"data": {"classes": classes}}))
    return folder / "model.keras"


@pytest.fixture(scope="module")
def gray_model(tmp_path_factory):
    """A model of random weights that takes gray images of 12 x 12."""
    architecture = Architecture(filters=(4,), dense_units=8)
    path = store(tmp_path_factory.mktemp("gray"), models.build(architecture, (12, 12, 1), 3, seed=1))
    weights = models.build(architecture, (12, 12, 1), 3, seed=1).get_weights()
    path.write_bytes(models.deployable(architecture, weights, (12, 12, 1), 3, scale=True))
    return path


@pytest.fixture(scope="module")
def colour_model(tmp_path_factory):
    """A model that names the channel which is highest in images of 8 x 6 (8 wide)."""
    from keras import Input, Sequential, layers

    model = Sequential(
        [Input((6, 8, 3)), layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D(), layers.Activation("softmax")]
    )
    return store(tmp_path_factory.mktemp("colour"), model)


def call(*words):
    return CliRunner().invoke(main, ["predict", *map(str, words)])


def picture(mode, size=(40, 30)):
    """A smooth image of a mode, black at its left and white at its right."""
    ramp = np.tile(np.linspace(0, 255, size[0], dtype=np.uint8), (size[1], 1))
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 257)
    if mode == "I":
        return Image.fromarray(ramp.astype(np.int32) * 257)
    gray = Image.fromarray(ramp)
    return gray.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else gray.convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        ("L", "png", 0), ("RGB", "png", 0), ("P", "png", 3), ("LA", "png", 0), ("RGBA", "png", 0), ("I;16", "png", 0),
        ("I;16", "pgm", 0), ("L", "jpg", 3), ("RGB", "jpg", 3), ("CMYK", "jpg", 3), ("L", "gif", 0), ("P", "gif", 3),
        ("L", "bmp", 0), ("RGB", "webp", 8), ("RGBA", "webp", 8), ("L", "tif", 0), ("I;16", "tif", 0),
        ("I", "tif", 0), ("CMYK", "tif", 0), ("YCbCr", "tif", 2), ("RGB", "ppm", 0), ("L", "pgm", 0), ("RGB", "tga", 0),
        ("RGB", "jp2", 3), ("RGB", "ico", 3),
    ],
)  # fmt: skip
def test_an_image_looks_the_same_in_every_mode_and_format(mode, suffix, tolerance, tmp_path):
    path = tmp_path / f"image.{suffix}"
    picture(mode).save(path)
    size = (32, 24) if suffix == "ico" else (40, 30)
    with Image.open(path) as stored:
        assert stored.size == size or suffix == "ico"
    expected = predict.read(_plain(tmp_path), GRAY_8)
    assert expected.shape == GRAY_8
    assert expected.dtype == np.uint8
    for shape in (GRAY_8, COLOUR_8):
        found = predict.read(path, shape)
        assert found.shape == shape
        assert np.abs(found.astype(int) - expected).max() <= tolerance


def _plain(folder):
    path = folder / "plain.png"
    picture("L").save(path)
    return path


def test_an_image_of_the_models_size_is_taken_pixel_by_pixel(tmp_path):
    pixels = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(predict.read(tmp_path / "image.png", (6, 8, 3)), pixels)
    np.testing.assert_array_equal(predict.read(tmp_path / "image.png", (6, 8, 1)), luma(pixels))


def test_black_and_white_pixels_become_shades_when_they_are_shrunk(tmp_path):
    board = np.indices((64, 64)).sum(axis=0) % 2 == 0
    Image.fromarray(board).save(tmp_path / "board.png")
    found = predict.read(tmp_path / "board.png", GRAY_8)
    assert 120 < found.min() <= found.max() < 135


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparent_pixels_are_white(mode, tmp_path):
    clear = {"RGBA": (0, 0, 0, 0), "LA": (0, 0)}.get(mode, 0 if mode != "RGB" else (0, 0, 0))
    image = Image.new(mode, (16, 16), clear)
    key = {"P": 0, "L": 0, "RGB": (0, 0, 0)}.get(mode)
    image.save(tmp_path / "clear.png", **({} if key is None else {"transparency": key}))
    assert (predict.read(tmp_path / "clear.png", COLOUR_8) == 255).all()


def test_a_picture_is_turned_upright_as_its_exif_data_say(tmp_path):
    upright = picture("L", (40, 40))
    for orientation, method in ((3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright.transpose(method).save(tmp_path / "turned.png", exif=exif)
        np.testing.assert_array_equal(
            predict.read(tmp_path / "turned.png", GRAY_8)[..., 0], np.asarray(upright.resize((8, 8), 1))
        )


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("spoilt", [b"no TIFF header", b"II*\0\x08\0\0\0\x09"])
def test_spoilt_exif_data_do_not_spoil_a_picture(spoilt, suffix, tmp_path):
    Image.new("L", (20, 20), 99).save(tmp_path / f"image.{suffix}", exif=b"Exif\0\0" + spoilt)
    assert abs(predict.read(tmp_path / f"image.{suffix}", GRAY_8).mean() - 99) < 2


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("L", (20, 20), shade) for shade in (0, 255, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert predict.read(tmp_path / "moving.gif", GRAY_8).max() == 0


def test_the_middle_of_an_image_is_taken(tmp_path):
    pixels = np.zeros((30, 90), np.uint8)
    pixels[:, 20:70] = 200
    for name, image in (("wide.png", pixels), ("high.png", pixels.T)):
        Image.fromarray(image).save(tmp_path / name)
        assert (predict.read(tmp_path / name, GRAY_8) == 200).all()


def png(width, height):
    """The beginning of a PNG file of a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")))
    chunks = [struct.pack(">I", len(of)) + kind + of + struct.pack(">I", zlib.crc32(kind + of)) for kind, of in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def spoil(folder):
    """Files that are no usable images, by name."""
    whole = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (50, 50, 3), dtype=np.uint8)).save(whole, "JPEG")
    floats = io.BytesIO()
    Image.fromarray(RNG.random((9, 9), np.float32)).save(floats, "TIFF")
    deep = io.BytesIO()
    Image.fromarray(np.full((9, 9), 70_000, np.int32)).save(deep, "TIFF")
    eps = io.BytesIO()
    picture("L").save(eps, "EPS")
    contents = {
        "empty.png": b"", "text.jpg": b"no image\n" * 9, "cut.jpg": whole.getvalue()[:900],
        "bomb.png": png(20_000, 9_000),
        "large.png": png(10_000, 9_000), "floats.tif": floats.getvalue(), "deep.tif": deep.getvalue(),
        "program.eps": eps.getvalue(), "cut.png": png(9, 9),
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.png").mkdir()
    return [*contents, "folder.png", "missing.png", "n" * 300 + ".png", "\x1b[31m\nline.png"]


def test_a_file_that_is_no_image_is_one_line_and_the_others_are_predicted(gray_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = spoil(tmp_path)
    picture("L").save("first.png")
    picture("RGB").save("last.jpg")
    answer = call("first.png", *bad, "last.jpg", "--model", gray_model, "--json")
    assert answer.exit_code == 2
    assert [said["image"] for said in json.loads(answer.stdout)] == ["first.png", "last.jpg"]
    lines = answer.stderr.splitlines()
    assert len(lines) == len(bad)
    for name, line in zip(bad, lines, strict=True):
        assert line.startswith("cnnlab: Expected an image")
        assert repr(name) in line
        assert line.isprintable()
    assert "which is a folder" in lines[bad.index("folder.png")]
    assert "floats, whose maximum is not known" in lines[bad.index("floats.tif")]


def test_without_any_image_json_is_an_empty_list(gray_model):
    answer = call("missing.png", "--model", gray_model, "--json")
    assert (answer.exit_code, json.loads(answer.stdout)) == (2, [])
    assert call("missing.png", "--model", gray_model).stdout == ""


@pytest.mark.parametrize("colour", [(200, 0, 0), (0, 200, 0), (0, 0, 200)])
def test_a_table_names_the_class_of_an_image_and_those_that_come_next(colour, colour_model, tmp_path):
    Image.new("RGB", (100, 80), colour).save(tmp_path / "image.png")
    answer = call(tmp_path / "image.png", "--model", colour_model)
    assert (answer.exit_code, answer.stderr) == (0, "")
    head, row = answer.stdout.splitlines()
    assert head.split() == ["image", "class", "probability", "next"]
    first, *others = sorted(CLASSES, key=lambda name: -colour[CLASSES.index(name)])
    assert row.split()[1:3] == [first, "0.523"]
    assert row.endswith(f"{others[0]} 0.239, {others[1]} 0.239")


def test_at_most_five_classes_are_named_and_no_name_moves_the_cursor():
    classes = {f"class {place}": 0.1 + place / 100 for place in range(7)} | {"\x1b[2J\n": 0.01}
    shown = predict.table([predict.Prediction("a\udc80.png", classes), predict.Prediction("b" * 99, classes)])
    head, *rows = shown.splitlines()
    assert len(rows) == 2
    assert rows[0].startswith("'a\\udc80.png'  ")
    assert rows[1].split()[1:4] == ["class", "6", "0.160"]
    assert rows[0].endswith("class 5 0.150, class 4 0.140, class 3 0.130, class 2 0.120")
    assert "'\\x1b[2J\\n' 1.000" not in head
    assert "'\\x1b[2J\\n'" in predict.table([predict.Prediction("a", {"\x1b[2J\n": 1.0})])


def test_json_holds_every_class_and_what_the_model_itself_says(gray_model, tmp_path):
    import keras

    pixels = RNG.integers(0, 256, (70, 12, 12), dtype=np.uint8)
    for place, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{place:02d}.png")
    answer = call(*sorted(tmp_path.iterdir()), "--model", gray_model, "--json")
    assert (answer.exit_code, answer.stderr) == (0, "")
    said = json.loads(answer.stdout)
    assert len(said) == 70 > predict.BATCH
    theirs = keras.saving.load_model(gray_model).predict(pixels[..., None].astype("float32"), verbose=0)
    for row, one in zip(theirs, said, strict=True):
        assert list(one["probabilities"]) == CLASSES
        np.testing.assert_allclose(list(one["probabilities"].values()), row, rtol=1e-4)
        assert one["class"] == CLASSES[row.argmax()]


def test_the_command_writes_nothing_but_its_answer(gray_model, tmp_path):
    picture("L").save(tmp_path / "good.png")
    (tmp_path / "bad.tif").write_bytes(b"II*\0\x08\0\0\0\xff\xff")
    done = subprocess.run(
        [sys.executable, "-m", "cnnlab", "predict", "good.png", "bad.tif", "--model", gray_model, "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("TF_")},
    )  # fmt: skip
    assert done.returncode == 2
    assert [said["image"] for said in json.loads(done.stdout)] == ["good.png"]
    assert done.stderr.startswith("cnnlab: Expected an image")
    assert done.stderr.count("\n") == 1


def refused(path):
    """The one line with which a model is refused."""
    answer = call(__file__, "--model", path)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("cnnlab: Expected")
    return answer.stderr


def test_a_model_that_is_missing_or_broken_is_one_line(gray_model, tmp_path):
    assert "which is no file" in refused(tmp_path / "model.keras")
    assert "which is no file" in refused(tmp_path)
    shutil.copytree(gray_model.parent, tmp_path / "copy")
    content = gray_model.read_bytes()
    copy = tmp_path / "copy" / "model.keras"
    copy.write_bytes(content[:-300])
    assert "is none, or is broken" in refused(copy)
    place = content.index(b"PK", len(content) // 2)
    copy.write_bytes(content[: place - 900] + b"spoilt" + content[place - 894 :])
    assert "Expected a whole Keras model" in refused(copy)
    shutil.copy(gray_model, tmp_path / "copy" / "model.h5")
    assert "a .keras file" in refused(tmp_path / "copy" / "model.h5")


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (None, "No such file"),
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"data": {}}', "KeyError: 'classes'"),
        ('{"data": {"classes": ["a", "b"]}}', "Expected 3 class names in"),
        ('{"data": {"classes": ["a", "b", 3]}}', "a list of class names"),
        ('{"data": {"classes": "abc"}}', "a list of class names"),
    ],
)
def test_a_model_without_names_for_its_classes_is_refused(manifest, words, gray_model, tmp_path):
    shutil.copy(gray_model, tmp_path)
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    assert words in refused(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["crane", "crane", "crane"], ["crane", "crane (2)", "crane (3)"]),
        (["a", "a (2)", "a"], ["a", "a (2)", "a (3)"]),
        (["", " ", "\u732b"], ["", " ", "\u732b"]),
        (["accuracy", "macro avg", "1"], ["accuracy", "macro avg", "1"]),
        (["x" * 200, "\ud800", "a\nb"], ["x" * 200, "\ud800", "a\nb"]),
    ],
)
def test_any_names_of_classes_are_told_apart(names, shown, gray_model, tmp_path):
    """Those of a report's own model are always accepted."""
    shutil.copy(gray_model, tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"data": {"classes": names}}))
    image = tmp_path / "image.png"
    picture("L").save(image)
    done = call(image, "--model", tmp_path / "model.keras", "--json")
    assert done.exit_code == 0, done.output
    [prediction] = json.loads(done.stdout)
    assert list(prediction["probabilities"]) == shown
    assert done.stdout.isascii(), "a terminal of any encoding can show it"
    assert call(image, "--model", tmp_path / "model.keras").exit_code == 0


def test_a_model_that_brings_code_is_refused_and_none_of_it_runs(tmp_path):
    import keras

    code = f"__import__('pathlib').Path({str(tmp_path / 'run')!r}).touch()"
    layer = keras.layers.Lambda(eval(f"lambda images: ({code}, images[:, 0, 0, :])[1]"), output_shape=(3,))
    path = store(tmp_path / "stranger", keras.Sequential([keras.Input((4, 4, 3)), layer]))
    (tmp_path / "run").unlink(missing_ok=True)
    assert "without code of its own" in refused(path)
    assert not (tmp_path / "run").exists()
    keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 4, 4, 3)))
    assert (tmp_path / "run").exists(), "with the safe mode off it would have run"


@pytest.mark.parametrize(
    ("shape", "units", "words"),
    [
        ((8,), 3, "from (None, 8) to (None, 3)"),
        ((None, None, 1), 3, "from (None, None, None, 1)"),
        ((8, 8, 2), 3, "from (None, 8, 8, 2)"),
        ((8, 8, 1), 1, "to (None, 1)"),
    ],
)
def test_a_model_of_another_kind_is_refused(shape, units, words, tmp_path):
    from keras import Input, Sequential, layers

    pool = [] if len(shape) == 1 else [layers.GlobalAveragePooling2D()]
    path = store(tmp_path / "other", Sequential([Input(shape), *pool, layers.Dense(units)]))
    assert words in refused(path)


def test_a_model_whose_answers_are_no_probabilities_is_refused(tmp_path):
    from keras import Input, Sequential, layers

    _plain(tmp_path)
    path = store(tmp_path / "other", Sequential([Input((6, 8, 3)), layers.GlobalAveragePooling2D()]))
    answer = call(tmp_path / "plain.png", "--model", path, "--json")
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "Expected probabilities, which add up to 1" in answer.stderr


def test_in_python_what_cannot_be_used_is_an_error(tmp_path):
    with pytest.raises(ModelError):
        predict.Classifier.load(tmp_path / "model.keras")
    with pytest.raises(DataError):
        predict.read(tmp_path / "image.png", GRAY_8)


def fill(folder):
    """A folder of images in the colours of the model's classes, with what people and systems leave in it."""
    for name, shade in (("b/2.png", (0, 200, 0)), ("a.jpg", (200, 0, 0)), ("b/10.webp", (0, 0, 200))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), shade).save(folder / name)
    for name in (".DS_Store", "b/Thumbs.db", "b/._2.png", "notes.txt", "__MACOSX/a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "nothing").mkdir()


def test_folders_and_files_are_predicted_in_order(colour_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "in")
    Image.new("RGB", (50, 40), (200, 0, 0)).save("last.png")
    answer = call("in", "last.png", "--model", colour_model, "--json")
    assert (answer.exit_code, answer.stderr) == (0, "")
    classes = {said["image"]: said["class"] for said in json.loads(answer.stdout)}
    expected = {"in/a.jpg": "red", "in/b/10.webp": "blue", "in/b/2.png": "green", "last.png": "red"}
    assert list(classes.items()) == list(expected.items())


def test_an_image_that_cannot_be_read_and_a_folder_without_any_are_one_line_each(colour_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "in")
    (tmp_path / "in" / "b" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    answer = call("in/nothing", "in", "--model", colour_model, "--json")
    assert answer.exit_code == 2
    assert len(json.loads(answer.stdout)) == 3
    empty, heic = answer.stderr.splitlines()
    assert empty == (
        "cnnlab: Expected an image. Received: 'in/nothing', which is a folder without images that can be read. Check "
        "its name."
    )
    assert "Received: 'in/b/x.heic' (it is HEIC)." in heic


def test_a_csv_file_has_a_row_for_each_image_and_a_column_for_each_class(colour_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "in")
    answer = call("in", "--csv", "out.csv", "--model", colour_model)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "out.csv\n", "")
    frame = pd.read_csv("out.csv")
    assert list(frame) == ["image", "class", "probability", *CLASSES]
    assert frame["image"].tolist() == ["in/a.jpg", "in/b/10.webp", "in/b/2.png"]
    assert frame["class"].tolist() == ["red", "blue", "green"]
    np.testing.assert_allclose(frame["probability"], frame[CLASSES].max(axis=1))
    said = json.loads(call("in", "--csv", "again.csv", "--model", colour_model, "--json").stdout)
    assert [one["probabilities"] for one in said] == frame[CLASSES].to_dict("records")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


def test_any_names_can_be_written_to_a_csv_file(tmp_path):
    names = ["class", "a,b", '"', "line\nbreak", "\udc80", "\u732b", "image (2)", "image"]
    prediction = predict.Prediction("a\udc80,\n.png", dict.fromkeys(names, 0.1) | {"a,b": 0.3})
    predict.write_csv([prediction], names, tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "out.csv")
    shown = ["class (2)", "a,b", '"', "line\nbreak", "\\udc80", "\u732b", "image (2)", "image (3)"]
    assert list(frame) == ["image", "class", "probability", *shown]
    assert frame.iloc[0, :3].tolist() == ["a\\udc80,\n.png", "a,b", 0.3]


def test_a_csv_file_that_cannot_be_written_is_one_line_before_anything_is_predicted(tmp_path):
    """The model is not even looked for."""
    (tmp_path / "file").write_text("")
    for name, words in {"none/out.csv": "No such file", "file/out.csv": "Not a directory", ".": "Is a dir"}.items():
        answer = call(__file__, "--csv", tmp_path / name, "--model", tmp_path / "no.keras")
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert answer.stderr.startswith(f"cnnlab: {words}")
        assert str(tmp_path / name) in answer.stderr
        assert answer.stderr.count("\n") == 1


def test_a_csv_file_without_a_row_still_has_its_head(colour_model, tmp_path):
    assert call("none.png", "--csv", tmp_path / "out.csv", "--model", colour_model).exit_code == 2
    assert (tmp_path / "out.csv").read_text() == f"image,class,probability,{','.join(CLASSES)}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv"]
