"""Pictures are real PNG files whose alt texts contain their numbers."""

import io
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from cnnlab import data
from cnnlab.report import plots
from cnnlab.report.plots.labels import drawable, fitting, text_width, wrapped
from cnnlab.study import Trial
from conftest import make_record, make_result


def check(picture, *words):
    image = Image.open(io.BytesIO(picture.png))
    assert image.width == picture.width * plots.SHARPNESS or image.width == picture.width * plots.SHARPNESS + 1
    assert np.ptp(np.asarray(image.convert("L"))) > 50, "something is drawn"
    for word in words:
        assert word in picture.alt
    bundle, metadata = picture._repr_mimebundle_()
    assert set(bundle) - {"application/vnd.cnnlab.plot+html"} == {"image/png", "text/plain"}
    assert bundle.get("application/vnd.cnnlab.plot+html", "") == picture.html
    assert metadata["image/png"]["alt"] == picture.alt


def numbers(picture):
    """The table of a picture's numbers, as text."""
    head, *rows = BeautifulSoup(picture.numbers, "html.parser").find_all("tr")
    cells = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in (head, *rows)]
    return pd.DataFrame(cells[1:], columns=cells[0])


def test_scores_and_curves_name_every_trial():
    result = make_result("dense", old=(0.5, 0.6), new=(0.7, 0.8))
    check(
        plots.scores(result),
        "old 0.550 ± 0.071",
        "new 0.750 ± 0.071",
        "the incumbent old: new +0.200 (",
        "Selected: new",
    )
    check(plots.curves(result.records_by_trial), "best epochs: old 0.500; new 0.500")


def test_differences_have_intervals():
    comparisons = make_result("dense", old=(0.5, 0.6), new=(0.7, 0.8), far=(0.1, 0.2)).decision.comparisons
    picture = plots.differences({one.trial: one for one in comparisons}, "val_f1, less old")
    check(picture, "Differences with 95 % intervals, val_f1, less old: new +0.200")
    check(picture, *(f"{one.trial} {one.difference:+.3f}, {one.low:+.3f} to {one.high:+.3f}" for one in comparisons))
    one_run = make_result("dense", old=(0.5,), new=(0.7,)).decision.comparisons
    check(plots.differences({"new": one_run[0]}, "val_f1"), "new +0.200.")


def test_nine_trials_fit():
    check(plots.curves(make_result("dense", **{f"trial {i}": (0.5,) for i in range(9)}).records_by_trial), "trial 8")


def test_small_numbers_keep_clear_of_the_label_of_their_axis():
    """Scores of many classes are small, and so are some losses."""
    history = {name: [0.0047, 0.0031] for name in ("loss", "val_loss", "val_f1")}
    shown = BeautifulSoup(
        plots.curves({"a": [make_record(Trial(), history=history, best_epoch=2)]}).html, "html.parser"
    )
    for plot in shown.find_all("svg"):
        label = float(plot.find("text", string="loss")["x"])
        ticks = [text for text in plot.find_all("text") if re.fullmatch(r"0\.\d+", text.get_text())]
        assert any(text.get_text() == "0.002" for text in ticks)
        assert all(float(text["x"]) - text_width(text.get_text()) * 0.75 > label + 4 for text in ticks)
        assert not any(text.get_text() == "0.0030" for text in ticks), "the scale of val_f1 does not enlarge noise"


def test_the_numbers_of_a_picture_are_folded_away():
    picture = plots.scores(make_result("dense", old=(0.5, 0.6), new=(0.7, 0.8)))
    rows = numbers(picture)
    assert rows["trial"].tolist() == ["old", "old", "new", "new"]
    assert rows["seed"].tolist() == ["1", "2", "1", "2"]
    assert rows["val_f1"].tolist() == ["0.5000", "0.6000", "0.7000", "0.8000"]
    assert picture.folded.startswith('<details class="numbers"><summary>Numbers</summary><table')
    assert plots.Picture(b"", "A photograph.", 1).folded == ""


def test_of_long_curves_some_epochs_are_listed():
    history = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "val_f1"), [0.5] * 300)
    long = make_record(Trial(), history=history)
    short = make_record(Trial(), 2)
    rows = numbers(plots.curves({"one": [long, short]}))
    assert len(rows) == plots.LISTED_EPOCHS
    assert rows["epoch"].iloc[[0, -1]].tolist() == ["1", "300"]
    assert rows["runs"].iloc[[0, -1]].tolist() == ["2", "1"]
    assert rows["loss"].iloc[0] == "1.250"


def test_a_trial_has_one_colour_and_the_incumbent_the_same_in_all_stages():
    stages = [make_result("dense", old=(0.5,), new=(0.9,)), make_result("loss", kept=(0.5,), a=(0.9,), b=(0.4,))]
    colours = [plots.colours(result) for result in stages]
    assert colours[0]["old"] == colours[1]["kept"] == "incumbent"
    assert list(colours[1].values()) == ["incumbent", "c0", "c1"]


def test_calibration_shows_the_share_of_right_predictions_by_confidence():
    probs = np.array([[0.95, 0.05]] * 4 + [[0.4, 0.6]] * 2, np.float32)
    picture = plots.calibration(probs, np.array([0, 0, 0, 1, 1, 1]))
    check(picture, "0.60 1.00, 0.95 0.75", "calibration error 0.267")
    assert "4" in picture.numbers


def test_calibration_counts_each_prediction_in_the_bin_of_its_point():
    """Also at the edges of the bins, at 1, and where some bins are empty."""
    confidence = np.array([0.5, 0.55, 0.6, 0.7, 1.0, 0.999], np.float32)
    probs = np.stack([confidence, 1 - confidence], axis=1)
    rows = numbers(plots.calibration(probs, np.array([0, 1, 0, 0, 0, 1])))
    assert rows["predictions"].astype(int).sum() == 6
    for row in rows.to_dict("records"):
        assert float(row["from"]) - 1e-3 <= float(row["mean confidence"]) <= float(row["to"]) + 1e-3


def test_a_confusion_matrix_names_its_most_frequent_error():
    check(
        plots.confusion(np.array([[5, 3], [1, 6]]), ["cat", "dog"]), "cat predicted as dog, 3 times", "11 of them right"
    )


def test_class_names_may_be_anything():
    names = ["true", "true", "<b>"]
    picture = plots.confusion(np.eye(3, dtype=int), names)
    check(picture, "3 of them right.")
    assert "error" not in picture.alt
    assert list(numbers(picture)) == ["true", *names]
    assert "<b>" not in picture.numbers


def test_class_counts_and_images_are_drawn_for_gray_and_colour(gray, colour):
    split = data.split(gray, "stratified", 100, 40, 50)
    check(plots.class_counts(gray, split), "train 10 to 10", "val 4 to 4")
    for dataset in (gray, colour):
        check(plots.images(dataset.train_images[:12], ["$x$"] * 12, "Twelve images."), "Twelve")


ODD = ["accuracy", "_hidden", "$x^2$", "<b>", "a|`b`", "  ", "x" * 200, "\u05e9\u05dc", "\u732b", "\U0001f984", "a\nb"]


def many_classes(names):
    labels = np.arange(6 * len(names)) % len(names)
    images = np.random.default_rng(0).integers(0, 255, (len(labels), 8, 8, 1), dtype=np.uint8)
    return data.Dataset(images, labels, images, labels, tuple(names))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "names",
    [["a", "b"], ODD, [f"class {i:03d}" for i in range(100)], [f"a name of many letters {i}" for i in range(250)]],
)
def test_any_number_of_classes_with_any_names_is_drawn_without_a_warning(names, own_log):
    dataset, n = many_classes(names), len(names)
    split = data.split(dataset, "stratified", 3 * n, 2 * n, 2 * n)
    check(plots.class_counts(dataset, split), f"each of {n} classes")
    matrix = np.diag(np.full(n, 5))
    matrix[0, 1] = 2
    picture = plots.confusion(matrix, names)
    check(picture, f"{5 * n} of them right", "predicted as")
    assert picture.width <= 11 * 96
    assert len(picture.numbers) < 20_000, "not a table of all pairs of many classes"
    check(
        plots.images(dataset.train_images[: min(n, 11)], [f"{name}\nas {name}" for name in names[:11]], "Images."),
        "Images",
    )
    assert not own_log.records


def test_a_label_fits_its_place_and_shows_both_ends_of_a_long_name():
    with mpl.rc_context():
        assert drawable(["short", " a\n b ", "", " "]) == ["short", "a b", "''", "' '"]
        [long] = drawable(["prefix " + "x" * 200 + " 17"], 20)
        assert len(long) == 20
        assert long.startswith("prefix ")
        assert long.endswith("x 17")


@pytest.mark.parametrize("name", ["W" * 80, "i" * 80, "\u732b" * 30, "short"])
def test_a_label_is_not_wider_than_its_place(name):
    with mpl.rc_context(plots.picture.STYLE):
        label = fitting(name, 150, weight="bold")
        assert text_width(label, weight="bold") <= 150
        assert label == name or len(label) > 5
        lines = wrapped(f"A caption of many words that stand in lines {label}.", 160)
        assert " ".join(lines) == f"A caption of many words that stand in lines {label}."
        assert all(text_width(line) <= 160 for line in lines)


def test_letters_of_other_scripts_are_drawn_with_a_font_that_has_them_or_escaped(monkeypatch):
    with mpl.rc_context(plots.picture.STYLE):
        monkeypatch.setattr(plots.labels, "_family_with", lambda letter: "DejaVu Sans" if letter < "\u3000" else "")
        assert drawable(["\u732b", "B\u00e4r", "a\u200db"]) == ["\\u732b", "B\u00e4r", "ab"]
        monkeypatch.setattr(
            plots.labels, "_family_with", lambda letter: "Noto" if letter >= "\u3000" else "DejaVu Sans"
        )
        assert drawable(["\u732b"]) == ["\u732b"]
        assert mpl.rcParams["font.family"] == ["DejaVu Sans", "Noto"]


def test_a_user_s_matplotlib_settings_change_no_picture():
    usual = plots.scores(make_result("dense", old=(0.5, 0.6), new=(0.7, 0.8)))
    changed = {"axes.facecolor": "black", "text.color": "white", "lines.linewidth": 9, "font.family": ["serif"]}
    with mpl.rc_context(
        {**changed, "savefig.pad_inches": 3, "text.usetex": True, "axes.prop_cycle": mpl.cycler(color="k")}
    ):
        assert plots.scores(make_result("dense", old=(0.5, 0.6), new=(0.7, 0.8))).png == usual.png


def test_a_fit_that_diverged_is_drawn():
    """With losses and probabilities that are no numbers."""
    nan = [float("nan")] * 2
    history = {"loss": nan, "val_loss": nan, "val_f1": [0.1, 0.1]}
    check(plots.curves({"nan": [make_record(Trial(), history=history, best_epoch=1)]}), "nan 0.100")
    check(plots.calibration(np.full((3, 2), np.nan, np.float32), np.array([0, 1, 1])), "the fit diverged")
    check(plots.calibration(np.array([[1, 0], [np.nan] * 2], np.float32), np.array([0, 1])), "1.00 1.00")


def test_runs_that_all_score_the_same_are_drawn():
    result = make_result("dense", old=(0.1, 0.1), new=(0.1, 0.1))
    check(plots.scores(result), "old 0.100")
    check(plots.differences({one.trial: one for one in result.decision.comparisons}, "val_f1"), "+0.000")


def test_drawing_leaves_the_users_matplotlib_settings_alone():
    before = dict(mpl.rcParams)
    plots.scores(make_result("base", base=(0.5,)))
    assert dict(mpl.rcParams) == before
