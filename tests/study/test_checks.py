"""A study is checked against a budget and the images before anything is run."""

from pathlib import Path

import pytest

from cnnlab.errors import ConfigError, StudyError
from cnnlab.study import (
    PROFILES,
    Architecture,
    built_in,
    make_budget,
    new_text,
    notes,
    parse,
    require_depth,
    require_size,
)

LAPTOP = PROFILES["laptop"]  # at most 20 epochs, patience 5
STAGE = "[[stage]]\nname = 'a'\n"


def study(text):
    return parse(text, Path("mine.toml"))


def short(lines):
    """Notes without the words that they share."""
    lines = [line.replace("stage 'a', trial ", "").replace(" has no effect, because", ":") for line in lines]
    return [line.replace(" in this budget, so it shares its runs", "") for line in lines]


IDLE = "other settings switch it off, as long as no earlier stage changes them."
LONG = "a fit of at most 20 epochs never waits so long (EPOCHS)."


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("vary = 'epochs'\nvalues = [4, 20]", []),
        ("vary = 'epochs'\nvalues = [40]", ["'40': epochs = 40: the budget allows at most 20 epochs (EPOCHS)."]),
        ("vary = 'patience'\nvalues = [2, 19, 'none']", []),
        ("vary = 'patience'\nvalues = [20]", [f"'20': patience = 20: {LONG}"]),
        (
            "trials = { x = { patience = 4, epochs = 4 } }",
            ["'x': patience = 4: a fit of at most 4 epochs never waits so long (EPOCHS)."],
        ),
        (
            "trials = { x = { patience = 9, epochs = 1 } }",
            ["'x': patience = 9: a fit of at most 1 epoch never waits so long (EPOCHS)."],
        ),
        (
            "trials = { x = { patience = 30, epochs = 30 }, y = { patience = 'none' } }",
            [
                f"'x': patience = 30: {LONG}",
                "'x': epochs = 30: the budget allows at most 20 epochs (EPOCHS).",
                "'y': it is equal to the trial 'x'.",
            ],
        ),
        ("vary = 'batch_norm_momentum'\nvalues = [0.9]", [f"'0.9': batch_norm_momentum = 0.9: {IDLE}"]),
        ("trials = { x = { batch_norm_momentum = 0.9, batch_norm = true } }", []),
        ("vary = 'dropout'\nvalues = [0.1, 0]", ["'0': dropout = 0: a rate of 0 is no dropout."]),
        ("vary = 'dropout'\nvalues = [0.1, []]", []),
        ("vary = 'one_hot'\nvalues = [false]", [f"'false': one_hot = False: {IDLE}"]),
        ("vary = 'momentum'\nvalues = [0, 0.9]", [f"'0.9': momentum = 0.9: {IDLE}"]),  # of adam
        ("trials = { x = { optimizer = 'sgd', momentum = 0.9 }, y = { optimizer = 'sgd' } }", []),
        ("trials = { x = { head = 'average', dense_units = 9 } }", [f"'x': dense_units = 9: {IDLE}"]),
        ("trials = { x = { loss = 'hinge', label_smoothing = 0.1 } }", [f"'x': label_smoothing = 0.1: {IDLE}"]),
        ("vary = 'schedule'\nvalues = ['cosine', 'one-cycle']", []),
        ("vary = 'layout'\nvalues = ['published']", [f"'published': layout = 'published': {IDLE}"]),
        ("trials = { x = { epochs = 9 }, y = { epochs = 9 } }", ["'y': it is equal to the trial 'x'."]),
        ("incumbent = false\ntrials = { x = {}, y = {} }", []),  # the incumbent under two names
        ("vary = 'optimizer'\nvalues = ['SGD', 'sgd']", ["'sgd': it is equal to the trial 'SGD'."]),
        ("trials = { x = { optimizer = 'sgd' }, y = { optimizer = 'sgd', learning_rate = 0.01 } }",
         ["'y': it is equal to the trial 'x'."]),
        ("vary = 'dense_units'\nvalues = [32, 64]", []),  # one of them is the start: it need not be the incumbent
    ],
)  # fmt: skip
def test_notes(text, lines):
    """Equal trials, and settings without effect in a budget, are named with the reason."""
    assert short(notes(study(STAGE + text), LAPTOP)) == lines


def test_notes_about_the_start():
    start = "start = { epochs = 30, patience = 25, batch_norm_momentum = 0.9 }\n"
    assert notes(study(start + STAGE), LAPTOP) == [
        "start: epochs = 30 has no effect, because the budget allows at most 20 epochs (EPOCHS).",
        f"start: patience = 25 has no effect, because {LONG}",
    ]
    assert notes(study(start + STAGE), PROFILES["full"]) == []


def test_notes_depend_on_the_budget():
    text = STAGE + "trials = { short = { patience = 2 }, long = { patience = 10, epochs = 40 } }"
    assert notes(study(text), PROFILES["full"]) == []
    assert len(notes(study(text), make_budget("full", {"epochs": 10}))) == 2


def test_trial_that_suits_another_model_only():
    """Five rates need four blocks, which an earlier stage may select."""
    text = "[[stage]]\nname = 'blocks'\nvary = 'filters'\nvalues = [[8, 8, 8, 8]]\n"
    text += STAGE + "vary = 'dropout'\nvalues = [[0.1, 0.1, 0.1, 0.1, 0.1]]"
    [line] = notes(study(text), LAPTOP)
    assert "trial '0.1-0.1-0.1-0.1-0.1': it does not suit the study's first model" in line
    assert "may suit one that an earlier stage selects. Expected drop" in line


@pytest.mark.parametrize("profile", ["quick", "laptop", "full"])
def test_no_notes_about_the_studies_that_come_with_cnnlab(profile):
    assert notes(built_in(), PROFILES[profile]) == []
    assert notes(study(new_text("published")), PROFILES[profile]) == []
    assert notes(study(new_text()), PROFILES[profile]) == []


def test_no_notes_about_the_built_in_study_in_smoke():
    """One epoch."""
    assert notes(built_in(), PROFILES["smoke"]) == []


@pytest.mark.parametrize(
    ("layers", "side"),
    [
        ({"filters": (2,)}, 4),
        ({"filters": (2, 2, 2)}, 22),
        ({"filters": (2, 2, 2), "padding": "same"}, 8),
        ({"filters": (2, 2), "convs_per_block": 2}, 16),
        ({"filters": (2, 2), "convs_per_block": 2, "padding": "same"}, 4),
    ],
)
def test_least_side(layers, side):
    """The smaller side of the images counts."""
    require_size(Architecture(**layers), (side + 1, side, 1))
    with pytest.raises(ConfigError, match=f"at least {side} x {side} pixels for .* Received: {side - 1} x {side}"):
        require_size(Architecture(**layers), (side - 1, side, 1))


DEEP = (
    "start = { padding = 'valid' }\n" + STAGE + "vary = 'filters'\nvalues = [[4, 4, 4, 4], [4, 4], [4, 4, 4, 4, 4]]\n"
)


def test_networks_too_deep_for_the_images():
    """All of them are named."""
    with pytest.raises(StudyError) as caught:
        require_depth(study(DEEP), LAPTOP, (32, 40, 3))
    assert caught.value.problems == [
        f"stage 'a', trial '{name}': Expected images of at least {side} x {side} pixels for {blocks} blocks of 1 "
        "convolutions (valid padding) and a pooling. Received: 32 x 40. Use larger images, fewer blocks, or "
        "padding = 'same'."
        for name, side, blocks in (("4-4-4-4", 46, 4), ("4-4-4-4-4", 94, 5))
    ]
    require_depth(study(DEEP), LAPTOP, (94, 94, 3))


@pytest.mark.parametrize(
    "text",
    [
        # The budget skips the deep trials.
        DEEP + "expensive = ['4-4-4-4', '4-4-4-4-4']",
        # An earlier stage may select layers that suit the images.
        "[[stage]]\nname = 'first'\nincumbent = false\ntrials = { same = { padding = 'same' } }\n"
        + DEEP.partition("\n")[2],
    ],
)
def test_networks_that_may_suit_the_images(text):
    require_depth(study(text), LAPTOP, (32, 32, 3))


def test_built_in_study_suits_the_published_images():
    require_depth(built_in(), PROFILES["full"], (32, 32, 1))
    with pytest.raises(StudyError, match="stage 'base', trial 'base': Expected images of at least 22 x 22 pixels"):
        require_depth(built_in(), PROFILES["full"], (21, 32, 1))
