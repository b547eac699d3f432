"""Studies are described in lines of text, before anything is run."""

from pathlib import Path

from cnnlab.study import built_in, bundled, parse, published_fits
from cnnlab.tuning import study_lines


def test_a_study_is_shown_with_its_trials_settings_and_parameters():
    text = """
        title = "Mine"
        start = { filters = [8, 16], padding = "same", dense_units = 16 }
        [[stage]]
        name = "model"
        question = "Which model?"
        [stage.trials]
        "a b" = { batch_norm = true, patience = "none" }
        rgb = { colour = true, dropout = [0.1, 0.2, 0.3] }
        [[stage]]
        name = "again"
        title = "Once more"
        [[stage]]
        name = "blocks"
        incumbent = false
        vary = "dropout"
        values = [[0.1, 0.1, 0.1, 0.1]]
    """
    title, parameters, *lines = study_lines(parse(text, Path("mine.toml")))
    assert title == "Mine"
    assert "32 x 32 grayscale pixels in 10 classes" in parameters
    assert lines == [
        "",
        "model: Which model?",
        "  unchanged  17,818",
        "  a b        17,978  batch_norm = true, patience = none",
        "  rgb        17,962  colour = true, dropout = [0.1, 0.2, 0.3]",
        "",
        "again: Once more",
        "  unchanged  17,818",
        "",
        "blocks: Blocks",
        "  0.1-0.1-0.1-0.1    dropout = [0.1, 0.1, 0.1, 0.1]",  # it does not suit the start
    ]


def test_a_search_is_shown_with_the_settings_that_it_varies():
    text = """
        start = { filters = [8, 16], padding = "same", dense_units = 16 }
        [[stage]]
        name = "base"
        [search.space]
        dropout = { from = 0.0, to = 0.2, step = 0.1 }
        learning_rate = { from = 0.001, to = 0.1, log = true }
    """
    *_, question, incumbent, winner, dropout, rate = study_lines(parse(text, Path("mine.toml")))
    assert question.startswith("search: Does a search over several settings at once")
    assert [incumbent, winner, dropout, rate] == [
        "  unchanged  17,818",
        "  winner of a search over:",
        "    dropout: 0.0, 0.1, 0.2",
        "    learning_rate: 0.001 to 0.1, on a log scale",
    ]


def test_parameters_of_an_own_model_are_not_known_without_its_code(tmp_path):
    (tmp_path / "models.py").write_text("def build(input_shape, n_classes, units=3): raise SystemExit")
    text = "model = 'models.py:build'\n[[stage]]\nname = 'a'\nvary = 'units'\nvalues = [1]"
    assert study_lines(parse(text, tmp_path / "mine.toml"))[-2:] == ["  unchanged", "  1            units = 1"]


def test_the_built_in_study_is_shown_with_the_published_parameters():
    lines = study_lines(built_in())
    assert sum(line == "" for line in lines) == len(built_in().stages)
    base = next(fit for fit in published_fits() if fit.stage == "base")
    assert f"  base  {base.params:,}" in lines


def test_a_study_of_colour_images_is_shown_with_the_parameters_for_these():
    _, parameters, _, _, plain, *_ = study_lines(bundled("recipe"))
    assert "32 x 32 colour pixels" in parameters
    assert plain == "  plain  552,874"
