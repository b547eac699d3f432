"""The options that several commands share, and their types."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cnnlab import study, surroundings
from cnnlab.errors import ConfigError


class AbsolutePath(click.Path):
    """An absolute path. A relative one starts in the working directory, as the shell completes it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path that was given; `~` is the user's folder also where the shell has left it, as in `DATA=~/x`.

        Raises:
            ConfigError: It is empty.
        """
        if not value:
            name = str(param.name).upper() if param else "the path"
            raise ConfigError(f"Expected a path for {name}. Received: an empty one. Use . for this folder.")
        return Path(os.fsdecode(super().convert(surroundings.expanded(value), param, ctx))).absolute()


class StudyName(AbsolutePath):
    """The name of a study with which cnnlab comes, or else the absolute path of a study file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what `study.read` reads."""
        return value if value in study.BUNDLED else super().convert(value, param, ctx)


FOLDER = AbsolutePath(file_okay=False)
FILE_OR_FOLDER = AbsolutePath()
STUDY = StudyName()


def in_project(path: str) -> dict[str, Any]:
    """Return the options of a parameter whose default is a path in the project's folder."""
    return {"default": lambda: surroundings.project_path(path), "show_default": path}


class Whole(click.ParamType[int]):
    """A whole number of at least 1."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ARG002
        """Return the number that was given; raise ConfigError if it is none."""
        digits = str(value).replace("_", "")
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 100  # Python reads no more than 4,300
        number = int(digits) if is_number else value
        study.require_whole(str(param.name).upper() if param else "the number", number)
        return int(number)


WHOLE = Whole()
accept_option = click.option(
    "--accept",
    default="",
    show_default=False,
    help="Kinds of warnings about the images to accept, as near-copies,layout.",
)


_NUMBERS = {
    "seeds": "Seeds per trial.",
    "epochs": "Maximum number of epochs per fit.",
    "patience": "Epochs without a better val_loss before a fit ends.",
    "train": "Maximum number of training images.",
    "val": "Maximum number of validation images.",
    "test": "Maximum number of test images.",
}
data_option = click.option(
    "--data", type=FILE_OR_FOLDER, **in_project("data/sample"), help="Folder or archive of images (data/README.md)."
)
size_option = click.option(
    "--size",
    default="",
    show_default="their own if all are alike and at most 64, else 32",
    help="Height and width to which images are cropped and resized, as 48 or 48x64.",
)
trust_option = click.option("--trust", is_flag=True, help="Run the code of the study's own model.")


def budget_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a budget, which reach the command as `profile` and `budget`."""

    @functools.wraps(command)
    def collect(**settings: Any) -> None:
        budget = {name: settings.pop(name) for name in (*_NUMBERS, "stages", "skip")}
        command(budget={name: value for name, value in budget.items() if value}, **settings)

    made: Callable[..., None] = collect
    for option in (
        click.option(
            "--skip",
            default="",
            show_default=False,
            help='Stages to skip, as dropout,loss; or "learning-curve", "mistakes".',
        ),
        click.option(
            "--stages",
            default="",
            show_default="all",
            help="Stages to run, as dropout,loss; all,mistakes adds the mistakes.",
        ),
        *(
            click.option(f"--{name}", type=WHOLE, help=f"{text}  [default: the profile's]")
            for name, text in reversed(_NUMBERS.items())
        ),
        click.option("--profile", default="quick", help=f"How much is run: {', '.join(study.PROFILES)}."),
    ):
        made = option(made)
    return made


def study_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a command that runs a study; precision and halving are part of its `budget`."""

    @functools.wraps(command)
    def collect(
        budget: dict[str, Any], precision: str, halving: bool, splits: str, study: Path | str | None, **settings: Any
    ) -> None:
        budget |= {"precision": precision, "halving": halving, "splits": splits or None}
        command(budget=budget, study=study or "", **settings)

    made: Callable[..., None] = collect
    for option in (
        trust_option,
        click.option(
            "--splits",
            default="",
            show_default="resampled; fixed under the published protocol",
            help="Training and validation images: other ones for each seed (resampled), or the same (fixed).",
        ),
        click.option("--halving", is_flag=True, help="Drop trials of a stage with low scores early."),
        click.option("--precision", default="float32", help=f"Precision of every fit: {', '.join(study.PRECISIONS)}."),
        click.option("--fresh", is_flag=True, help="Repeat stored runs too."),
        click.option("--scheduler", help="Address of a Dask scheduler, as tcp://host:8786.  [default: this machine]"),
        accept_option,
        click.option("--runs", type=FOLDER, **in_project("reports/runs"), help="Folder of stored runs."),
        click.option("--protocol", default="corrected", help=f"How it is run: {', '.join(study.PROTOCOLS)}."),
        budget_options,
        size_option,
        data_option,
        click.option(
            "--time",
            "limit",
            default="",
            show_default=False,
            help="Use the largest budget that fits this time, as 2h or 90m.",
        ),
        click.option(
            "--study",
            type=STUDY,
            help=f"Study file (docs/studies.md), or {study.BUNDLED[1]}.  [default: {study.BUNDLED[0]}]",
        ),
    ):
        made = option(made)
    return made
