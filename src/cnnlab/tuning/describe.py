"""Describe images and studies in lines of text, before anything is run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab import data, models, study, surroundings
from cnnlab.errors import ConfigError
from cnnlab.models import GRAY
from cnnlab.records import IMAGES
from cnnlab.study import PROTOCOLS, UNCHANGED, Architecture, OwnModel, Stage, Study, Trial, make_budget
from cnnlab.tuning.images import StudyImages, warning_lines
from cnnlab.tuning.progress import ImagesBar
from cnnlab.tuning.tuning import Tuning

RUNS = "reports/runs"  # the usual folder of stored runs, with the images beside them
N_CLASSES = 10  # for which the parameters of a study's models are shown


def describe_images(
    path: str | Path, profile: str = "quick", accept: str | Iterable[str] = (), size: str = ""
) -> tuple[list[str], list[str]]:
    """Return a description of the images in a folder, and the warnings about them, as lines of text.

    Args:
        path: The folder, or a file in it.
        profile: The budget that the images are checked for.
        accept: Kinds of warnings that the user accepts: they are not returned.
        size: Height and width to which images are cropped and resized, as in `Tuning`.

    Raises:
        ConfigError: The images are too small for the study's networks, or there is no such profile, kind of warning or
            size.
        DataError: They cannot be used.
    """
    images = StudyImages(
        path, make_budget(profile), PROTOCOLS["corrected"], accept, size=size,
        cache=surroundings.project_path(RUNS) / IMAGES, on_progress=ImagesBar().on_images,
    )  # fmt: skip
    images.folder = images.load(Path(path))  # unlike a study, this writes no sample where the folder is missing
    lines = [_first_line(images.folder)]
    for kind, dataset in (("grayscale", images.folder.gray), ("colour", images.folder.colour)):
        if dataset is None:
            lines.append("colour: none, so stages on colour images are skipped")
            continue
        study.require_size(Architecture(), dataset.image_shape)
        split = images.split(dataset)
        height, width, _ = dataset.image_shape
        origin = ", derived from the colour images" if kind == "grayscale" and images.folder.derived_gray else ""
        lines.append(
            f"{kind}{origin}: {len(dataset.train_labels):,} training and {len(dataset.test_labels):,} test images of "
            f"{height} x {width}, {len(dataset.class_names)} classes ({_first_names(dataset.class_names)}), "
            f"digest {dataset.digest[:12]}"
        )
    lines.append(
        f"profile {profile}: {len(split.train):,} train, {len(split.val):,} val and {len(split.test):,} test images"
    )
    return lines, warning_lines(images.warnings)


def _first_line(folder: data.DataFolder) -> str:
    """Return what was read."""
    dataset = folder.colour or folder.gray
    n_val = 0 if dataset.given_val is None else len(dataset.given_val)
    parts = [f"{len(dataset.train_labels) - n_val:,} training", f"{len(dataset.test_labels):,} test"]
    if n_val:
        parts.insert(1, f"{n_val:,} validation")
    height, width, _ = dataset.image_shape
    counts = f"{', '.join(parts[:-1])} and {parts[-1]} images of {height} x {width}, {len(dataset.class_names)} classes"
    held_out = ", no test part: a fifth of the images is held out to test on" if dataset.is_test_held_out else ""
    n_groups = 0 if dataset.groups is None else len(np.unique(dataset.groups))
    groups = f", {n_groups:,} groups to train and validate on, which stay together" if n_groups else ""
    return f"read: {folder.format}, {counts}{held_out}{groups}"


def _first_names(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def check_study(
    made: Study, data: str | Path, profile: str, changes: Mapping[str, Any], *, size: str = "", trust: bool = False
) -> list[str]:
    """Return what the user should know about a study, as lines of text.

    Args:
        made: The study.
        data: The folder of the images; the built-in sample is written if its folder is missing.
        profile: The named budget.
        changes: What differs from it, as in `Tuning`.
        size: Height and width to which images are cropped and resized, as in `Tuning`.
        trust: Build an own model, which runs its code.

    Raises:
        ConfigError: A number of the budget is out of its range, or the own model cannot be built.
        DataError: The images cannot be used.
        StudyError: Networks are too deep for the images.
    """
    if isinstance(made.base.architecture, OwnModel) and not trust:
        numbers = {name: value for name, value in changes.items() if name not in study.STUDY_PARTS}
        lines = study.notes(made, make_budget(profile, numbers))
        return [*lines, f"{made.base.architecture.file} was not run; --trust builds its model and checks it."]
    with Tuning(data, RUNS, profile, study=made, budget=changes, size=size, trust=trust) as tuning:
        tuning.callback = ImagesBar()
        return tuning.check()


def study_lines(made: Study) -> list[str]:
    """Return the stages of a study as lines of text: questions, trials, settings and parameters."""
    start = made.base.change(**made.start)
    lines = [
        made.title,
        f"Parameters are those for {GRAY[0]} x {GRAY[1]} {'colour' if start.input.colour else 'grayscale'} pixels in "
        f"{N_CLASSES} classes, as if no stage before changed the model.",
    ]
    for stage in made.stages:
        lines += ["", f"{stage.name}: {stage.question or stage.title}", *_trial_lines(stage, start)]
        if stage.search:
            lines += ["  winner of a search over:", *(f"    {dim.setting}: {dim}" for dim in stage.search.space)]
    return lines


def _trial_lines(stage: Stage, start: Trial) -> list[str]:
    changes: dict[str, dict[str, Any]] = {UNCHANGED: {}} if stage.keeps_incumbent else {}
    changes |= {trial.name: dict(trial.changes) for trial in stage.trials}
    rows = [(name, _settings_text(settings), _params_text(start, settings)) for name, settings in changes.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [f"  {name:{widths[0]}}  {params:>{widths[2]}}  {settings}".rstrip() for name, settings, params in rows]


def _settings_text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_value(value)}" for name, value in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else "none" if value is None else str(value)


def _params_text(start: Trial, settings: Mapping[str, Any]) -> str:
    """Return the parameters of a trial; "" for a model of the user's own, or one that the start does not suit."""
    try:
        trial = start.change(**settings)
        if isinstance(trial.architecture, OwnModel):
            return ""
        shape = (*GRAY[:2], 3 if trial.input.colour else 1)
        study.require_size(trial.architecture, shape)
        return f"{models.model_cost(trial.architecture, shape, N_CLASSES).params:,}"
    except ConfigError:
        return ""
