"""Pictures are real PNG files whose text alternatives hold their numbers."""

import io

import numpy as np
from PIL import Image

from cnnlab import data, plots
from conftest import make_result


def check(picture, *words):
    image = Image.open(io.BytesIO(picture.png))
    assert image.width == picture.width * plots.SHARPNESS or image.width == picture.width * plots.SHARPNESS + 1
    assert np.ptp(np.asarray(image.convert("L"))) > 50, "something is drawn"
    for word in words:
        assert word in picture.alt
    bundle, metadata = picture._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}
    assert metadata["image/png"]["alt"] == picture.alt


def test_scores_and_curves_name_every_trial():
    result = make_result("dense", old=(0.5, 0.6), new=(0.7, 0.8))
    check(plots.scores(result), "old 0.550", "new 0.750", "Chosen: new", "standard error 0.050")
    check(plots.curves(result.groups), "old train 0.60, val 0.50", "new train")


def test_differences_are_given_with_their_intervals():
    comparisons = make_result("dense", old=(0.5, 0.6), new=(0.7, 0.8), far=(0.1, 0.2)).decision.comparisons
    picture = plots.differences({one.against: one for one in comparisons}, "val_f1")
    check(picture, *(f"{one.against} {one.difference:+.3f}, {one.low:+.3f} to {one.high:+.3f}" for one in comparisons))
    one_run = make_result("dense", old=(0.5,), new=(0.7,)).decision.comparisons
    check(plots.differences({"old": one_run[0]}, "val_f1"), "old +0.200.")


def test_nine_trials_have_room():
    check(plots.curves(make_result("dense", **{f"trial {i}": (0.5,) for i in range(9)}).groups), "trial 8")


def test_the_path_gives_each_stages_test_score():
    check(plots.path([make_result("base", base=(0.5,)), make_result("dense", old=(0.5,), new=(0.9,))]), "dense 0.900")


def test_a_confusion_matrix_names_its_most_frequent_mistake():
    check(plots.confusion(np.array([[5, 3], [1, 6]]), ["cat", "dog"]), "cat taken for dog, 3 times", "11 of them right")


def test_class_counts_and_images_are_drawn_for_gray_and_colour(gray, colour):
    split = data.split(gray, "stratified", 100, 40, 50)
    check(plots.class_counts(gray, split), "train 10 to 10", "val 4 to 4")
    for dataset in (gray, colour):
        check(plots.images(dataset.train_images[:12], ["$x$"] * 12, "Twelve images."), "Twelve")


def test_drawing_leaves_the_users_matplotlib_settings_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.scores(make_result("base", base=(0.5,)))
    assert dict(mpl.rcParams) == before
