"""The groups of commands about study files (`cnnlab study`) and images (`cnnlab data`)."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from cnnlab import files, study, surroundings
from cnnlab.cli.options import (
    FILE_OR_FOLDER,
    FOLDER,
    STUDY,
    accept_option,
    budget_options,
    data_option,
    size_option,
    trust_option,
)
from cnnlab.cli.process import echo, long_work, shown
from cnnlab.errors import ConfigError, StudyError


@click.group("study")
def study_group() -> None:
    """Write, check or show study files."""


@study_group.command("new", epilog="Example: cnnlab study new mine.toml --from published")
@click.argument("file", type=FILE_OR_FOLDER)
@click.option(
    "--from",
    "source",
    default="",
    show_default="a short example",
    help=f"Study to start from: {', '.join(study.BUNDLED)}.",
)
def study_new(file: Path, source: str) -> None:
    """Write a study file with comments, to be changed. An existing file is kept."""
    content = study.new_text(source)
    try:
        files.write(file, content.encode(), replace=False)
    except FileExistsError as error:
        raise ConfigError(
            f"Expected the name of a new file. Received: {str(shown(file))!r}, which exists. Name another."
        ) from error
    echo([f"{shown(file)}: change it, then .venv/bin/cnnlab study check {shlex.quote(str(shown(file)))}"])


@study_group.command("check", epilog="Example: cnnlab study check mine.toml --epochs 10")
@click.argument("named", metavar="STUDY", type=STUDY)
@data_option
@size_option
@budget_options
@trust_option
def study_check(named: Path | str, data: Path, size: str, profile: str, budget: dict[str, Any], trust: bool) -> None:
    """Check a study for some images and a budget; nothing is trained.

    STUDY is a study file, or "recipe" or "published". Names everything that is wrong, and exits with 2. Notes about
    equal trials and settings without effect are no errors.
    """
    try:
        made = study.read(named)
        with long_work(None):
            from cnnlab.tuning import check_study

            notes = check_study(made, data, profile, budget, size=size, trust=trust)
    except StudyError as error:
        echo([f"cnnlab: {error.name}: {problem}" for problem in error.problems], err=True)
        sys.exit(2)
    counts = (
        f"{number} {noun}{'' if number == 1 else 's'}"
        for noun, number in (
            ("stage", len(made.stages)),
            ("trial", sum(len(stage.trials) for stage in made.stages)),
            ("claim", len(made.claims)),
        )
    )
    echo([*notes, f"{Path(named).name}: {', '.join(counts)}. No errors."])


@study_group.command("show", epilog="Example: cnnlab study show mine.toml")
@click.argument("named", metavar="STUDY", type=STUDY, default="published")
def study_show(named: Path | str) -> None:
    """Print the stages of a study with their trials and parameters.

    STUDY is a study file, or "recipe" or "published".
    """
    from cnnlab.tuning import study_lines

    echo(study_lines(study.read(named)))


@click.group()
def data() -> None:
    """Make, download, convert or check images."""


@data.command("sample", epilog="Example: cnnlab data sample data/sample")
@click.argument("directory", type=FOLDER, default=lambda: surroundings.project_path("data/sample"))
def data_sample(directory: Path) -> None:
    """Make the built-in sample in both formats, without a network."""
    from cnnlab.data import sample

    sample.write(directory)
    click.echo(shown(directory))


@data.command("fetch", epilog="Example: cnnlab data fetch data/cifar10")
@click.argument("directory", type=FOLDER, default=lambda: surroundings.project_path("data/cifar10"))
def data_fetch(directory: Path) -> None:
    """Download the real CIFAR-10 (170 MB). An interrupted download resumes."""
    from cnnlab.data import download

    click.echo(shown(download.fetch(directory)))


@data.command("gray", epilog="Example: cnnlab data gray data/cifar10")
@click.argument("images", type=FILE_OR_FOLDER)
def data_gray(images: Path) -> None:
    """Write the grayscale batches (luma) of a CIFAR archive or folder, as pickles.

    They go into IMAGES, or beside it if it is an archive.
    """
    from cnnlab import data as reading

    folder = images if images.is_dir() else images.parent
    echo(reading.write_gray_batches(reading.gray(reading.load_cifar10(images)), folder))


@data.command("check", epilog="Example: cnnlab data check my-images --profile full")
@click.argument("images", type=FILE_OR_FOLDER)
@click.option("--profile", default="quick", help=f"Budget to check them for: {', '.join(study.PROFILES)}.")
@size_option
@accept_option
def data_check(images: Path, profile: str, size: str, accept: str) -> None:
    """Describe images, and warn of what may be wrong with them; nothing is trained.

    IMAGES is a folder or an archive. Exits with 2 if the images cannot be used, and with 0 if there are only warnings.
    """
    from cnnlab.tuning import describe_images

    lines, warnings = describe_images(images, profile, accept, size)
    echo(lines)
    echo(warnings, err=True)
