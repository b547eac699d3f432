"""What to do next: steps with their figures, estimated times and commands, ranked by gain for cost."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cnnlab.evidence import Scores, compare, mean_interval
from cnnlab.records import HISTORY
from cnnlab.study import bundled, parse
from cnnlab.tuning import CurvePoint, LearningCurve, Tuning, make_command, next_lines, next_steps
from cnnlab.tuning.advice import BudgetNote, NextStep, NoteKind
from conftest import make_record, make_result, make_search, name_val

SPLIT = {"digest": "s", "pool": 160, "train": 20, "val": 6, "test": 10}
CLEAR, CLOSE = (0.80, 0.81, 0.82), (0.50, 0.51, 0.52)


@pytest.fixture
def tuning(folder, tmp_path, monkeypatch):
    """A study of three seeds and two epochs at most, on two workers."""
    monkeypatch.setattr("cnnlab.engine.engine.cores", lambda: 2)
    return Tuning(folder, tmp_path / "runs", budget={"seeds": 3, "epochs": 24})


def with_records(result, **changes):
    """The same result with changed records."""
    return replace(result, runs={key: replace(record, **changes) for key, record in result.runs.items()})


def with_evidence(result, **numbers):
    """The same result with another comparison as its evidence."""
    one = replace(result.decision.evidence, **numbers)
    return replace(result, decision=replace(result.decision, evidence=one, comparisons=(one,)))


def inconclusive(stage, difference, seeds_needed):
    made = with_records(make_result(stage, old=CLOSE, new=CLOSE), split=SPLIT, best_epoch=1)
    return with_evidence(
        made, difference=difference, low=difference - 0.1, high=difference + 0.1, seeds_needed=float(seeds_needed)
    )


def conclusive(stage="dense"):
    return with_records(make_result(stage, old=CLOSE, new=CLEAR), split=SPLIT, best_epoch=1)


def curve(half, full, pool=160):
    """A learning curve of the final model's val_f1 with half of and all of the images."""
    points = [
        CurvePoint(
            name,
            [make_record(conclusive().selected.settings, split=SPLIT | {"train": images, "pool": pool})],
            sum(runs) / len(runs), mean_interval(Scores(np.array(runs))), 0.5, (math.nan, math.nan),
        )
        for name, images, runs in (("quarter", 5, half), ("half", 10, half), ("all", 20, full))
    ]  # fmt: skip
    [gain] = compare({"half": Scores(np.array(half)), "all": Scores(np.array(full))})
    return LearningCurve(tuple(points), gain)


def steps_about(steps, part):
    """The steps whose commands contain a text."""
    return [step for step in steps if part in step.command]


def test_the_fewest_seeds_that_settle_a_stage_are_named_with_what_more_would_settle(tuning):
    results = [
        inconclusive("dropout", 0.031, 9),
        inconclusive("dense", -0.05, 5),
        inconclusive("loss", 0.01, 31),  # more than thirty
        inconclusive("optimizer", 0.002, math.inf),
    ]
    [step] = next_steps(tuning, results, None, {})
    assert step.what == (
        "5 seeds per trial instead of 3 would probably settle dense (-0.050); 9 also dropout (+0.031)."
    )
    assert step.gain == 0.05
    assert " SEEDS=5 " in step.command
    # The runs of all four results are the same six, of one second each, on two workers.
    assert step.seconds == pytest.approx(6 * (5 - 3) / 3 / 2)
    assert step.cost == "estimated 2 s"


def test_a_long_list_of_stages_is_shortened(tuning):
    names = ("dropout", "dense", "loss", "optimizer", "batch-size", "activation")
    [step] = next_steps(tuning, [inconclusive(name, 0.031, 9) for name in names], None, {})
    assert "settle dropout (+0.031), dense (+0.031), loss (+0.031), optimizer (+0.031) and 2 more." in step.what


def test_no_more_than_thirty_seeds_are_suggested(folder, tmp_path):
    many = Tuning(folder, tmp_path, budget={"seeds": 20})
    assert next_steps(many, [inconclusive("dense", 0.03, 31)], None, {}) == []
    assert next_steps(many, [inconclusive("dense", 0.03, 30)], None, {})


def test_one_seed_gives_no_verdict(folder, tmp_path):
    single = Tuning(folder, tmp_path, budget={"seeds": 1})
    result = with_records(make_result("dense", old=(0.5,), new=(0.6,)), split=SPLIT, best_epoch=1)
    [step] = next_steps(single, [result], None, {})
    assert "With one seed, every verdict is inconclusive" in step.what
    assert "SEEDS=3" in step.command
    assert step.gain == pytest.approx(0.1)
    base = with_records(make_result("base", base=(0.5,)), split=SPLIT, best_epoch=1)
    assert next_steps(single, [base], None, {}) == [], "a stage of one trial needs no verdict"


def test_more_epochs_are_suggested_where_runs_still_improved(tuning):
    rising = [0.1 + 0.02 * epoch for epoch in range(24)]
    history = dict.fromkeys(HISTORY, rising)
    result = with_records(conclusive(), history=history, best_epoch=24)
    [step] = next_steps(tuning, [result], None, {})
    assert "6 of 6 runs were best in their last epoch" in step.what
    assert "rose by 0.120 over the last quarter" in step.what
    assert " EPOCHS=48 " in step.command
    assert step.seconds == pytest.approx(2 * 6 / 2)
    ended = with_records(conclusive(), history=history, best_epoch=19)
    assert next_steps(tuning, [ended], None, {}) == []
    flat = with_records(result, history=dict.fromkeys(history, [0.5] * 24))
    assert next_steps(tuning, [flat], None, {}) == []


def test_more_training_images_are_suggested_where_the_learning_curve_rises(tuning):
    [step] = next_steps(tuning, [conclusive()], curve((0.4, 0.42, 0.41), (0.5, 0.52, 0.51)), {})
    assert "20 training images instead of 10 raised the final model's val_f1 by 0.100 (95 % interval +0.0" in step.what
    assert "Try 40; the folder has 140 more images." in step.what
    assert " TRAIN=40 " in step.command
    assert step.gain == pytest.approx(0.1)
    [single] = next_steps(tuning, [conclusive()], curve((0.4,), (0.5,)), {})
    assert "one run, so no interval" in single.what
    assert next_steps(tuning, [conclusive()], curve((0.5, 0.52, 0.51), (0.4, 0.42, 0.41)), {}) == []


def test_no_more_images_are_suggested_than_there_are(tuning):
    rising = curve((0.4, 0.42, 0.41), (0.5, 0.52, 0.51))
    many = with_records(conclusive(), split=SPLIT | {"train": 140})
    [step] = next_steps(tuning, [many], rising, {})
    assert " TRAIN=160 " in step.command, "of 200, without a fifth to validate on"
    used = with_records(conclusive(), split=SPLIT | {"train": 160})
    assert next_steps(tuning, [used], rising, {}) == []


def test_of_images_in_groups_no_more_are_suggested_than_the_parts_of_a_split_have(tuning):
    folder = tuning.images.folder
    tuning.images.folder = replace(folder, gray=replace(folder.gray, groups=np.arange(200) // 4))
    tuning.use_budget(replace(tuning.budget, val=10))
    used = with_records(
        conclusive(),
        split=SPLIT | {"pool": 200, "train": len(tuning.images.split(tuning.images.folder.gray).train), "val": 10},
    )
    assert next_steps(tuning, [used], curve((0.4, 0.42, 0.41), (0.5, 0.52, 0.51)), {}) == []


def test_more_validation_images_are_suggested_where_they_are_too_few(tuning):
    note = BudgetNote(NoteKind.FEW_IMAGES, "Too few.", ("old", "new"), {"images": 15})
    result = inconclusive("dense", 0.03, math.inf)
    [step] = next_steps(tuning, [result], None, {"dense": (note,)})
    assert step.what == "6 validation images are too few to show a difference of 0.02 in dense. Try 15."
    assert " VAL=15 " in step.command
    assert step.gain == 0.03
    many = replace(note, detail={"images": 4_000})
    [step] = next_steps(tuning, [result], None, {"dense": (many,)})
    assert " VAL=40 " in step.command, "a fifth of the images at most"
    assert "Try 40, a fifth of the folder's training images; 4,000 would be" in step.what
    name_val(tuning, range(50))
    [step] = next_steps(tuning, [result], None, {"dense": (many,)})
    assert "Try 50, all that the files name; 4,000 would be" in step.what
    assert " VAL=50 " in step.command


def test_images_that_the_files_name_for_validation_are_none_to_train_on(tuning):
    name_val(tuning, range(50))
    [step] = next_steps(tuning, [conclusive()], curve((0.4, 0.42, 0.41), (0.5, 0.52, 0.51)), {})
    assert "the folder has 130 more images." in step.what, "of 200, without 50 and the 20 that are used"


def test_the_commands_keep_the_size_of_the_images_and_the_warnings_that_are_accepted(folder, tmp_path):
    tuning = Tuning(folder, tmp_path, size="24x40", accept="near-copies,broken-images")
    assert " SIZE=24x40 " in make_command(tuning, "mine.toml") + " "
    assert " ACCEPT=broken-images,near-copies " in make_command(tuning, "mine.toml") + " "
    assert "SIZE" not in make_command(Tuning(folder, tmp_path), "mine.toml")


def edge(setting, value, side):
    return BudgetNote(NoteKind.EDGE, "", ("new",), {"setting": setting, "value": value, "side": side})


def test_selected_values_at_the_edge_of_their_ranges_ask_for_wider_ones(tuning, folder, tmp_path):
    notes = {"filters": (edge("filters", [16, 32, 64], "lower"),), "dense": (edge("dense_units", 512, "higher"),)}
    [step] = next_steps(tuning, [conclusive("filters"), conclusive()], None, notes)
    assert step.what == (
        "The selected value is at the edge of the range that was tried: filters 16-32-64 (try lower), dense_units 512 "
        "(try higher). Add values to these stages in mine.toml, which this command writes. Then: "
        f"{make_command(tuning, '', STUDY='mine.toml', RUNS=tuning.store.path)}"
    )
    new, then = step.command, step.what.partition("Then: ")[2]
    assert new == ".venv/bin/cnnlab study new mine.toml --from published"
    assert then.startswith("make report STUDY=mine.toml ")
    tuning.scope.asked, tuning.scope.not_wanted = {"all", "mistakes"}, {"mistakes", "loss"}
    [step] = next_steps(tuning, [conclusive("filters"), conclusive()], None, notes)
    assert " STAGES=all SKIP=loss" in step.what, "the new file has no mistakes"
    assert step.gain == pytest.approx(0.3)
    # Two more trials in each of two stages of two trials, and the second stage again; six seconds each, two workers.
    assert step.seconds == pytest.approx((6 + 6 + 6) / 2)
    path = tmp_path / "own study.toml"
    path.write_text('[[stage]]\nname = "dense"\nvary = "dense_units"\nvalues = [16, 32]\n')
    own = Tuning(folder, tmp_path, study=path)
    [step] = next_steps(own, [conclusive()], None, {"dense": notes["dense"]})
    assert "your study file" in step.what
    assert f"STUDY='{path}'" in step.command
    pinned = Tuning(folder, tmp_path, protocol="published")
    assert next_steps(pinned, [conclusive()], None, {"dense": notes["dense"]}) == []


def test_stages_without_a_difference_that_matters_can_be_skipped(tuning):
    tuning.scope.not_wanted.add("loss")
    small = with_evidence(inconclusive("dense", 0.001, 7), low=-0.015, high=0.017)
    [step] = next_steps(tuning, [conclusive("dropout"), small], None, {})
    assert step.what == "Skip next time: dense. All their intervals lie within -0.02 and +0.02."
    assert " SKIP=dense,loss " in step.command
    assert step.gain == 0
    assert step.seconds == 0, "all its runs are those of the other stage too"
    [step] = steps_about(next_steps(tuning, [conclusive("colour"), small], None, {}), "SKIP=")
    assert (step.seconds, step.cost) == (-3.0, "estimated to save 3 s")
    assert next_steps(tuning, [small], None, {}) == [], "some stage must be left"
    changed = replace(small, decision=replace(small.decision, selected="new"))
    assert next_steps(tuning, [conclusive("colour"), changed], None, {}) == [], (
        "later stages would start from another model"
    )
    wide = with_evidence(inconclusive("dense", 0.001, math.inf), low=-0.015, high=0.021)
    assert next_steps(tuning, [wide], None, {}) == []


def test_what_could_bring_more_for_its_cost_comes_first():
    steps = [NextStep("a", "x", 0.1, 6000.0), NextStep("b", "y", 0.05, 600.0), NextStep("c", "z", 0.5, math.nan)]
    assert sorted(steps, key=lambda step: -step.rate) == [steps[1], steps[0], steps[2]]
    assert NextStep("d", "x", 0.1, 1.0).rate == NextStep("e", "x", 0.1, 30.0).rate, "both take less than a minute"
    assert steps[2].cost == "time not estimated"


def test_a_terminal_shows_at_most_five_steps_or_that_there_are_none():
    assert next_lines([NextStep("More.", "make report SEEDS=5", 0.1, 720.0)]) == [
        "next: More. (estimated 12 min): make report SEEDS=5"
    ]
    assert len(next_lines([NextStep("More.", "make report", 0.1, 60.0)] * 7)) == 5
    assert next_lines([]) == ["next: These results suggest no next step."]


def test_a_command_names_what_the_study_was_run_with(folder, tmp_path):
    study = parse("[[stage]]\nname = 'a'\nvary = 'epochs'\nvalues = [2, 3]\n", tmp_path / "mine.toml")
    tuning = Tuning(folder, "reports/runs", study=study, budget={"seeds": 3, "train": 100, "stages": "a"})
    [step] = next_steps(tuning, [inconclusive("dense", 0.03, 5)], None, {})
    assert step.command == (
        f"make report STUDY=mine.toml PROFILE=quick PROTOCOL=corrected DATA={folder} TRAIN=100 STAGES=a SEEDS=5"
    )


def test_a_command_names_a_study_with_which_cnnlab_comes(folder, tmp_path):
    """Also where its file is read from a report, which has a copy of it."""
    (tmp_path / "study.toml").write_text(bundled("recipe").text)
    for named in ("recipe", tmp_path / "study.toml"):
        tuning = Tuning(folder, "reports/runs", study=named, budget={"seeds": 3})
        [step] = next_steps(tuning, [inconclusive("dense", 0.03, 5)], None, {})
        assert step.command == f"make report STUDY=recipe PROFILE=quick PROTOCOL=corrected DATA={folder} SEEDS=5"


def test_nothing_is_suggested_without_results(tuning):
    assert next_steps(tuning, [], None, {}) == []


def test_the_time_of_the_mistakes_is_part_of_the_estimate(cifar10, tmp_path, monkeypatch):
    monkeypatch.setattr("cnnlab.engine.engine.cores", lambda: 1)
    tuning = Tuning(cifar10, tmp_path, budget={"seeds": 3})
    [step] = next_steps(tuning, [inconclusive("dense", 0.03, 6)], None, {})
    assert step.seconds == pytest.approx(6 + tuning.planned_runs()["mistakes"])


def test_the_time_of_a_search_is_that_of_its_proposals_too(tuning):
    """Skipping a search whose differences do not matter saves the time of all its runs."""
    result = make_search(CLOSE, CLOSE, (0.3, 0.5, 0.4))
    one = replace(result.decision.comparisons[0], low=-0.01, high=0.01)
    result = replace(result, decision=replace(result.decision, comparisons=(one,), evidence=one))
    [step] = steps_about(next_steps(tuning, [conclusive("colour"), result], None, {}), "SKIP=search")
    assert step.seconds == -(2 * 3 + 3) * 1.0 / 2
