"""The pictures of the page are clean SVG, for a screen and for a phone, with the values of every mark in words."""

import re
from collections.abc import Callable
from dataclasses import replace
from math import nan
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from cnnlab import data
from cnnlab.report import plots
from cnnlab.report.plots.labels import text_width
from cnnlab.report.plots.picture import STYLE, Canvas, plot
from cnnlab.report.plots.svg import PALETTE, mini_interval
from cnnlab.study import Trial
from conftest import make_curve, make_record, make_result

SHAPES = {"svg", "g", "path", "circle", "text"}
LOOKS = {"fill", "stroke", "stroke-width", "stroke-dasharray", "fill-opacity", "stroke-opacity", "opacity",
         "text-anchor", "font-size", "font-weight", "transform"}  # fmt: skip
PLACES = {"d", "x", "y", "cx", "cy", "r", "width", "height", "viewBox"}
WORDS = {"class", "role", "aria-label", "data-trial"}
COLOUR = re.compile(rf"none|var\(--({'|'.join(PALETTE)})\)")
ODD = ["$x^2$ & <b>", "a|`b`", "x" * 80, "W" * 80, "\u05e9\u05dc\u05d5\u05dd", "\u732b" * 30, "a\nb", '"', "  "]


def study(names, seeds=3, epochs=5, noise=0.02):
    """A stage with curves: the first trial is the incumbent and the best."""
    rng = np.random.default_rng(0)
    scores = {name: tuple(0.7 - 0.03 * place + rng.normal(0, noise, seeds)) for place, name in enumerate(names)}
    result = make_result("dense", **scores)
    runs = {}
    for (name, seed), record in result.runs.items():
        fall, rise = np.geomspace(2, 0.5, epochs), np.linspace(0.2, 0.7, epochs)
        history = {
            "loss": fall.tolist(),
            "val_loss": (fall + rng.uniform(0, 0.2, epochs)).tolist(),
            "val_f1": (rise + rng.normal(0, 0.02, epochs)).tolist(),
        }
        best = 1 + int(np.argmin(history["val_loss"]))
        runs[name, seed] = make_record(Trial(), seed, scores=record.scores, history=history, best_epoch=best)
    return replace(result, runs=runs)


def curves(result, **options):
    return plots.curves(result.records_by_trial, plots.colours(result), result.trials[0].name, **options)


def differences(result):
    return plots.differences({one.trial: one for one in result.decision.comparisons}, "mean val_f1, less the first")


def confusion(n_classes):
    matrix = np.diag(np.full(n_classes, 9)) + np.eye(n_classes, k=1, dtype=int)
    return plots.confusion(matrix, (ODD + [f"class {i}" for i in range(n_classes)])[:n_classes])


def class_counts(n_classes):
    labels = np.arange(6 * n_classes) % n_classes
    pixels = np.zeros((len(labels), 8, 8, 1), np.uint8)
    names = (ODD + [f"class {i:03d}" for i in range(n_classes)])[:n_classes]
    dataset = data.Dataset(pixels, labels, pixels, labels, tuple(names))
    return plots.class_counts(dataset, data.split(dataset, "stratified", 3 * n_classes, 2 * n_classes, 2 * n_classes))


def calibration(share_of_nan):
    probs = np.random.default_rng(0).dirichlet(np.ones(3) / 2, 200).astype(np.float32)
    probs[: int(200 * share_of_nan)] = nan
    return plots.calibration(probs, np.arange(200) % 3)


def diverged():
    lost = {"loss": [nan, nan], "val_loss": [nan, nan], "val_f1": [0.1, 0.1]}
    late = {"loss": [2.0, 1e9], "val_loss": [2.0, float("inf")], "val_f1": [0.3, 0.1]}
    usual = make_record(Trial())
    groups = {"usual": [usual], "lost": [make_record(Trial(), history=lost, best_epoch=1)],
              "late": [make_record(Trial(), history=late, best_epoch=1)]}  # fmt: skip
    return plots.curves(groups, None, "usual")


PICTURES: dict[str, Callable[[], plots.Picture]] = {
    "scores": lambda: plots.scores(study(["none", "a", "b"])),
    "scores, odd names": lambda: plots.scores(study(ODD)),
    "scores, one seed": lambda: plots.scores(study(["none", "a"], seeds=1)),
    "scores, one trial": lambda: plots.scores(study(["none"])),
    "scores, all the same": lambda: plots.scores(make_result("dense", old=(0.1, 0.1), new=(0.1, 0.1))),
    "scores, long intervals": lambda: plots.scores(study(["none", "a"], seeds=2, noise=0.1)),
    "curves": lambda: curves(study(["none", "a", "b"])),
    "curves, odd names": lambda: curves(study(ODD)),
    "curves, one epoch": lambda: curves(study(["none", "a"], epochs=1)),
    "curves, one trial": lambda: curves(study(["none"], seeds=1)),
    "curves, diverged": diverged,
    "differences": lambda: differences(study(["none", *ODD])),
    "differences, one seed": lambda: differences(study(["none", "a"], seeds=1)),
    "confusion, 2": lambda: confusion(2),
    "confusion, 20": lambda: confusion(20),
    "calibration": lambda: calibration(0),
    "calibration, diverged": lambda: calibration(1),
    "learning curve": lambda: plots.learning_curve(make_curve(3)),
    "learning curve, one seed": lambda: plots.learning_curve(make_curve(1)),
    "class counts, 2": lambda: class_counts(2),
    "class counts, 100": lambda: class_counts(100),
}


def svgs(picture):
    """The picture for a screen and the one for a phone."""
    figure = ElementTree.fromstring(picture.html)
    assert (figure.tag, figure.attrib) == ("figure", {"class": "picture"})
    wide, narrow = figure
    assert (wide.get("class"), narrow.get("class")) == ("plot wide", "plot narrow")
    return wide, narrow


def marks(svg, trial=None):
    """The text of each mark, and the mark."""
    found = [group for group in svg.iter("g") if trial is None or group.get("data-trial") == trial]
    return {group.get("aria-label"): group for group in found}


def extent(path):
    """Left and right end of a path."""
    x, ends = 0.0, []
    for command, numbers in re.findall(r"([MlLc])([^MlLcz]*)", path.get("d")):
        places = [float(number) for number in re.findall(r"-?[\d.]+", numbers)][::2]
        for place in places:
            x = place if command == "M" else x + place
            ends.append(x)
    return min(ends), max(ends)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", PICTURES)
def test_a_page_s_picture_is_clean_and_nothing_in_it_is_cut(name, own_log):
    picture = PICTURES[name]()
    assert picture.png.startswith(b"\x89PNG")
    for svg, widest in zip(svgs(picture), (960, 350), strict=True):
        assert svg.get("role") == "group"
        assert svg.get("aria-label") == picture.alt
        assert 200 <= float(svg.get("width")) <= widest
        for element in svg.iter():
            assert element.tag in SHAPES
            assert set(element.keys()) <= LOOKS | PLACES | WORDS
            assert all(COLOUR.fullmatch(element.get(look, "none")) for look in ("fill", "stroke"))
            if element.tag == "g":
                assert (element.get("class"), element.get("role")) == ("mark", "img")
                assert len(element), "no mark is empty"
        check_places(svg)
    assert not own_log.records


def check_places(svg):
    """Texts, measured in a font that is wider than that of the page, and all shapes lie in the picture."""
    _, _, width, height = map(float, svg.get("viewBox").split())
    with mpl.rc_context(STYLE):
        for text in svg.iter("text"):
            size = float(text.get("font-size", svg.get("font-size")))
            letters = re.sub(r"[\u3000-\U0010ffff]", "W", text.text)  # as wide, and in the usual font
            length = text_width(letters, size, "bold" if text.get("font-weight") else "normal") * 0.75
            start = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")] * length
            x, y = float(text.get("x")), float(text.get("y"))
            if turn := text.get("transform"):
                assert turn.startswith("rotate(-90 ")
                left, right, top, bottom = x - size, x, y - length + start, y + start
            else:
                left, right, top, bottom = x - start, x - start + length, y - 0.8 * size, y + 0.2 * size
            assert min(left, top) >= -0.5, text.text
            assert right <= width + 0.5, text.text
            assert bottom <= height + 0.5, text.text
    for path in svg.iter("path"):
        left, right = extent(path)
        assert left >= -1
        assert right <= width + 1


def test_each_run_mean_and_difference_is_a_mark_with_its_values():
    result = study(["none", "a"])
    [one] = result.decision.comparisons
    for svg in svgs(plots.scores(result)):
        found = marks(svg, "a")
        values = [record.scores["val_f1"] for record in result.records("a")]
        assert [f"a, seed {seed}: val_f1 {value:.3f}" in found for seed, value in enumerate(values, 1)] == [True] * 3
        assert f"a: mean val_f1 {np.mean(values):.3f} of 3 runs" in found
        difference = f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f}), {one.verdict}"
        assert f"a less incumbent none: {difference}" in found
    for svg in svgs(curves(result)):
        record = result.records("a")[1]
        value = record.history["val_f1"][record.best_epoch - 1]
        assert f"a, seed 2: val_f1 {value:.3f} in epoch {record.best_epoch}" in marks(svg, "a")
        assert len(marks(svg, "a")) == 6, "loss and F1 of each run"


def test_trials_are_sorted_and_an_interval_crosses_the_line_exactly_if_it_is_inconclusive():
    result = make_result("dense", old=(0.6, 0.61), near=(0.61, 0.62), far=(0.4, 0.41), best=(0.8, 0.81))
    verdicts = {one.trial: one.is_conclusive for one in result.decision.comparisons}
    assert set(verdicts.values()) == {True, False}
    for svg in svgs(plots.scores(result)):
        labels = [text.text for text in svg.iter("text") if text.text.split()[0] in ("old", "near", "far", "best")]
        assert labels == ["best", "near", "old (incumbent)", "far"]
        [line] = {extent(path)[0] for path in svg.findall("path") if path.get("stroke") == "var(--ink)"}
        for text, group in marks(svg).items():
            if " less incumbent old" in text:
                left, right = extent(group[0])
                trial = text.split()[0]
                assert (left < line < right) != verdicts[trial]
                assert (group[0].get("fill") == "var(--soft)") != verdicts[trial]


def test_without_an_incumbent_the_first_trial_is_the_reference():
    wide, _ = svgs(plots.scores(make_result("base", first=(0.6, 0.61), other=(0.7, 0.72))))
    labels = [text.text for text in wide.iter("text")]
    assert labels.index("other") < labels.index("first (reference)")
    assert any(text.startswith("other less reference first: +0.105") for text in marks(wide, "other"))


def test_the_page_has_letters_for_which_this_machine_has_no_font(monkeypatch):
    monkeypatch.setattr(plots.labels, "_family_with", lambda letter: "DejaVu Sans" if letter < "\u3000" else "")
    wide, _ = svgs(plots.scores(make_result("base", **{"\u732b \U0001f984": (0.6, 0.61), "b": (0.7, 0.72)})))
    assert "\u732b \U0001f984 (reference)" in [text.text for text in wide.iter("text")]


def test_trials_with_the_same_runs_say_so():
    result = make_result("dense", old=(0.6, 0.61), new=(0.6, 0.61))
    result = replace(result, runs={(name, seed): result.runs["old", seed] for name, seed in result.runs})
    wide, _ = svgs(plots.scores(result))
    assert "new (same as old)" in [text.text for text in wide.iter("text")]


def test_a_long_interval_ends_in_an_arrow_and_does_not_push_the_dots_together():
    result = make_result("dense", old=(0.50, 0.51), new=(0.70, 0.50))
    wide, _ = svgs(plots.scores(result))
    dots = [float(dot.get("cx")) for dot in wide.iter("circle")]
    assert max(dots) - min(dots) > 0.2 * float(wide.get("width"))


def test_no_scale_of_f1_goes_beyond_0_and_1():
    result = make_result("dense", old=(0.99, 0.90), new=(0.2, 0.97), other=(0.01, 0.02))
    for svg in svgs(plots.scores(result)):
        texts = [text.text for text in svg.iter("text")]
        assert not any(text.startswith("\N{MINUS SIGN}") for text in texts)
        assert max(float(text) for text in texts if re.fullmatch(r"[\d.]+", text)) <= 1


def test_all_curves_have_the_same_scale_and_one_that_diverges_does_not_change_it():
    def paths(late):
        history = {"loss": [2.0, late], "val_loss": [2.0, late], "val_f1": [0.3, 0.1]}
        groups = {name: [make_record(Trial())] for name in ("one", "two")}
        wide, _ = svgs(plots.curves(groups | {"late": [make_record(Trial(), history=history)]}, None, "one"))
        found = marks(wide).items()
        return {text: [path.get("d").partition("l")[2] for path in group.iter("path")] for text, group in found}

    usual, extreme = paths(1e3), paths(1e9)
    for rest in ("val_loss 1.500 in epoch 2 of 2, training loss 1.000", "val_f1 0.500 in epoch 2"):
        assert usual[f"one, seed 1: {rest}"] == usual[f"two, seed 1: {rest}"] == extreme[f"one, seed 1: {rest}"]


def test_losses_of_different_functions_have_scales_of_their_own():
    history = {"loss": [20.0, 10.0], "val_loss": [20.0, 9.0], "val_f1": [0.1, 0.2]}
    hinge = make_record(Trial().change(loss="hinge"), history=history)
    wide, _ = svgs(plots.curves({"one": [make_record(Trial())], "two": [hinge]}, None, "one"))
    labels = [text.text for text in wide.iter("text")]
    assert {"1.6", "16"} <= set(labels)


def test_a_cell_says_how_many_of_the_true_class():
    matrix = np.array([[88, 12], [0, 50]])
    for svg in svgs(plots.confusion(matrix, ["cat", "dog"])):
        assert "true cat, predicted dog: 12 of 100, 12 %" in marks(svg)
        assert len(marks(svg)) == 3, "nothing where there is nothing"
        assert {"88", "12", "100"} <= {text.text for text in svg.iter("text")}
    assert plots.confusion(np.eye(30, dtype=int), [f"{i}" for i in range(30)]).html == ""


def test_eight_trials_with_five_runs_of_fifty_epochs_are_small():
    result = study([f"trial {i}" for i in range(8)], seeds=5, epochs=50)
    assert len(plots.scores(result).html) + len(curves(result).html) < 150_000


def test_a_colour_that_the_page_does_not_have_is_an_error():
    def draw(_width):
        canvas = Canvas(300, 100)
        canvas.write(10, 10, "text", color="#123456")
        return canvas

    with mpl.rc_context(STYLE), pytest.raises(ValueError, match="Received: '#123456'"):
        plot(draw, "A colour.")


@pytest.mark.parametrize(
    ("low", "difference", "high", "words", "conclusive"),
    [
        (0.01, 0.05, 0.09, "+0.050 (+0.010 to +0.090)", True),
        (-0.03, 0.05, 0.13, "+0.050 (-0.030 to +0.130)", False),
        (-9, -5, -1, "-5.000 (-9.000 to -1.000)", True),
        (nan, -0.05, nan, "-0.050, no interval", False),
    ],
)
def test_a_mini_interval_says_its_values(low, difference, high, words, conclusive):
    svg = ElementTree.fromstring(mini_interval(low, difference, high, 0.1))
    assert svg.get("aria-label") == words
    assert ("var(--c0)" in ElementTree.tostring(svg, "unicode")) == conclusive
    assert len(svg.findall("line")) == 1 + (words[-1] == ")")
    assert 0 < float(svg.find("circle").get("cx")) < 140
