"""The command line: `cnnlab`, or `python -m cnnlab`."""

import functools
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cnnlab import __version__, files, study, surroundings
from cnnlab.errors import CnnlabError, ConfigError, RecordWarning, StudyError


class _Path(click.Path):
    """An absolute path. A relative one starts in the working directory, as the shell completes it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(os.fsdecode(super().convert(value, param, ctx))).absolute()


FOLDER = _Path(file_okay=False)
FILE_OR_FOLDER = _Path()


def _in_project(path: str) -> dict[str, Any]:
    """Return the options of a parameter whose default is a path in the project's folder."""
    return {"default": lambda: surroundings.project_path(path), "show_default": path}


class _Group(click.Group):
    """Prints an error that the user can fix in one line, and exits with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CnnlabError as error:
            message = str(error)
        except BrokenPipeError:  # the reader, as `head`, has closed the pipe: click exits quietly
            raise
        except OSError as error:
            path = f": {error.filename!r}" if error.filename else ""
            message = f"{error.strerror or error}{path}. {files.advice(error)}"
        click.echo(f"cnnlab: {message}", err=True)
        return ctx.exit(2)


@click.group(cls=_Group, context_settings={"max_content_width": 110, "show_default": True})
@click.version_option(__version__)
def main() -> None:
    """CNN tuning studies whose report gives every choice its evidence."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack the letters of a class name or a path
            stream.reconfigure(errors="backslashreplace")


class _Whole(click.ParamType[int]):
    """A whole number of at least 1."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ARG002
        digits = str(value).replace("_", "")
        is_number = digits.isascii() and digits.isdigit() and len(digits) < 100  # Python reads no more than 4,300
        number = int(digits) if is_number else value
        study.require_whole(str(param.name).upper() if param else "the number", number)
        return int(number)


_WHOLE = _Whole()
_accept_option = click.option(
    "--accept",
    default="",
    help="Kinds of warnings about the images to accept, as near-copies,layout.",
)


_NUMBERS = {
    "seeds": "Seeds per trial.",
    "epochs": "Most epochs of a fit.",
    "patience": "Epochs without a better val_loss before a fit ends.",
    "train": "Most training images.",
    "val": "Most validation images.",
    "test": "Most test images.",
}
_data_option = click.option(
    "--data", type=FILE_OR_FOLDER, **_in_project("data/sample"), help="Folder or archive of images (data/README.md)."
)
_trust_option = click.option("--trust", is_flag=True, help="Run the code of the study's own model.")


def _budget_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a budget, which reach the command as `profile` and `budget`."""

    @functools.wraps(command)
    def collect(**settings: Any) -> None:
        budget = {name: settings.pop(name) for name in (*_NUMBERS, "stages", "skip")}
        command(budget={name: value for name, value in budget.items() if value}, **settings)

    made: Callable[..., None] = collect
    for option in (
        click.option("--skip", default="", help='Stages to skip, as dropout,loss; or "mistakes".'),
        click.option("--stages", default="", help="Stages to run, as dropout,loss; all,mistakes adds the mistakes."),
        *(
            click.option(f"--{name}", type=_WHOLE, help=f"{text}  [default: the profile's]")
            for name, text in reversed(_NUMBERS.items())
        ),
        click.option("--profile", default="quick", help=f"How much is run: {', '.join(study.PROFILES)}."),
    ):
        made = option(made)
    return made


def _study_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a command that runs a study; precision and halving are part of its `budget`."""

    @functools.wraps(command)
    def collect(budget: dict[str, Any], precision: str, halving: bool, study: Path | None, **settings: Any) -> None:
        budget |= {"precision": precision, "halving": halving}
        command(budget=budget, study=study or "", **settings)

    made: Callable[..., None] = collect
    for option in (
        _trust_option,
        click.option("--halving", is_flag=True, help="Drop hopeless trials of a stage early."),
        click.option("--precision", default="float32", help=f"Precision of every fit: {', '.join(study.PRECISIONS)}."),
        click.option("--fresh", is_flag=True, help="Repeat stored runs too."),
        click.option("--scheduler", help="Address of a Dask scheduler, as tcp://host:8786.  [default: this machine]"),
        _accept_option,
        click.option("--runs", type=FOLDER, **_in_project("reports/runs"), help="Folder of stored runs."),
        click.option("--protocol", default="corrected", help=f"How it is run: {', '.join(study.PROTOCOLS)}."),
        _budget_options,
        _data_option,
        click.option("--time", "limit", default="", help="Use the largest budget that fits this time, as 2h or 90m."),
        click.option(
            "--study", type=FILE_OR_FOLDER, help="Study file (docs/studies.md).  [default: the published study]"
        ),
    ):
        made = option(made)
    return made


@contextmanager
def long_work(runs: Path, fresh: bool = False, scheduler: str | None = None) -> Iterator[None]:
    """Print warnings about stored runs in one line each, stop all child processes on Ctrl-C, and close the environment.

    Libraries read the environment when they are imported, so import them inside.
    """
    keep_dask = bool(scheduler or os.environ.get(surroundings.ADDRESS))
    with surroundings.closed(keep_dask=keep_dask), _signals_and_warnings(runs, fresh):
        yield


@contextmanager
def _signals_and_warnings(runs: Path, fresh: bool) -> Iterator[None]:
    from tqdm.auto import tqdm

    from cnnlab.engine import lifetime

    again = f"the same command{' without --fresh (FRESH=)' if fresh else ''}"
    exit_message = f"cnnlab: stopped. Finished runs are in {str(runs)!r}; {again} continues from there."
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *more: Any) -> None:
        if issubclass(category, RecordWarning):
            tqdm.write(f"cnnlab: {message}", file=sys.stderr)
        else:
            usual(message, category, *more)

    with warnings.catch_warnings(), lifetime.kill_children_on_exit(exit_message, os.environ[surroundings.FOLDER]):
        warnings.simplefilter("default", RecordWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _shown(path: Path) -> Path:
    """Return a path as the shell would name it: relative if it is in the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _echo(lines: Iterable[object], *, err: bool = False) -> None:
    for line in lines:
        click.echo(line, err=err)


@main.command(epilog="Example: cnnlab report --profile smoke --report reports/try")
@_study_options
@click.option("--report", type=FOLDER, help="Folder of the report.  [default: reports/, then study or profile]")
@click.option("--check", is_flag=True, help="Exit with 1 if a claim is refuted.")
def report(report: Path | None, check: bool, runs: Path, limit: str, **settings: Any) -> None:
    """Run every stage that is not stored yet, and write the report.

    A second command with nothing changed repeats no run and no notebook. Exits with 1 if a part of the report is
    missing.
    """
    with long_work(runs, settings["fresh"], settings["scheduler"]):
        from cnnlab import report as reports
        from cnnlab.tuning import ClaimStatus, Tuning, fit_time

        with Tuning(runs=runs, **settings) as tuning:
            if limit:
                click.echo(fit_time(tuning, limit), err=True)
            name = tuning.budget.profile if tuning.study.is_built_in else tuning.study.name
            out = report or surroundings.project_path("reports") / name
            made = reports.make(tuning, out)
    missing = [f"Missing: {chapter.title}: {chapter.error}" for chapter in made.chapters if chapter.error]
    refuted = []
    for claim_result in made.claim_results:
        if check and claim_result.status == ClaimStatus.REFUTED and (one := claim_result.comparison):
            interval = f"{one.difference:+.3f}, {one.low:+.3f} to {one.high:+.3f}"
            refuted.append(f"Refuted: {claim_result.claim.says} ({interval})")
    _echo([*missing, *refuted], err=True)
    _echo([*made.findings, _shown(out / "index.html")])
    sys.exit(1 if missing or refuted else 0)


@main.command(epilog="Example: cnnlab run --profile full --scheduler tcp://login1:8786")
@_study_options
def run(runs: Path, limit: str, **settings: Any) -> None:
    """Run every stage and mistake that is not stored yet, without notebooks, for example on a cluster.

    Exits with 1 if runs have failed; the others are stored.
    """
    with long_work(runs, settings["fresh"], settings["scheduler"]):
        from cnnlab.tuning import TimeLeft, Tuning, fit_time, progress, run_study

        with Tuning(runs=runs, **settings) as tuning:
            if limit:
                click.echo(fit_time(tuning, limit, report=False), err=True)
            left = lambda: TimeLeft(tuning, tuning.calibration, report=False)  # noqa: E731
            with progress.Bar(tuning.planned_runs(), left) as bar:
                done = run_study(tuning, bar)
    for result in done.stages:
        made = result.decision
        click.echo(f"{made.stage:15} {made.selected:32} val_f1 {made.val_f1_mean:.3f}  (n = {made.n_seeds})")
    if done.failures:
        click.echo(f"Missing: {', '.join(done.failures)}. Run the same command again.", err=True)
    sys.exit(1 if done.failures else 0)


@main.command(epilog="Example: cnnlab plan --profile laptop --data data/cifar10")
@_study_options
def plan(runs: Path, limit: str, **settings: Any) -> None:
    """Estimate what a report takes: runs, epochs, images, disk and time of each stage. Nothing is run.

    It measures some trials on this machine's cores, or on the scheduler's workers, for at most 30 s.
    """
    with long_work(runs, settings["fresh"], settings["scheduler"]):
        from cnnlab.tuning import Tuning, fit_time, plan_lines

        with Tuning(runs=runs, **settings) as tuning:
            if limit:
                click.echo(fit_time(tuning, limit))
            _echo(plan_lines(tuning))


@main.command(epilog="Example: cnnlab predict cat.jpg holiday/*.png --model reports/quick/model.keras")
@click.argument("images", metavar="IMAGE...", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--model",
    type=FILE_OR_FOLDER,
    **_in_project("reports/quick/model.keras"),
    help="Model of a report. The names of its classes are in manifest.json in the same folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the probabilities of all classes as JSON.")
def predict(images: tuple[str, ...], model: Path, as_json: bool) -> None:
    """Print the most likely classes of images of any size and format.

    Exits with 2 if an image cannot be read; the others are predicted nevertheless.
    """
    from cnnlab.models import predict as predicting

    errors: list[CnnlabError] = []

    def on_failure(error: CnnlabError) -> None:
        errors.append(error)
        click.echo(f"cnnlab: {error}", err=True)

    predictions = list(predicting.Classifier.load(model).predict(images, on_failure))
    if as_json:
        click.echo(json.dumps([prediction.to_json() for prediction in predictions], indent=1))
    elif predictions:
        click.echo(predicting.table(predictions))
    sys.exit(2 if errors else 0)


@main.command(epilog="Example: cnnlab diff reports/quick reports/mine")
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
def diff(a: Path, b: Path) -> None:
    """Compare two reports, stage by stage.

    Prints the settings, data and versions that differ, and the scores that moved by more than the noise between seeds.
    """
    from cnnlab.report import diff as differences

    _echo(differences.lines(differences.read(a), differences.read(b)))


@main.group("study")
def study_group() -> None:
    """Write, check or show study files."""


@study_group.command("new", epilog="Example: cnnlab study new mine.toml --from published")
@click.argument("file", type=FILE_OR_FOLDER)
@click.option("--from", "source", default="", help="Study to start from: published.  [default: a short example]")
def study_new(file: Path, source: str) -> None:
    """Write a study file with comments, to be changed. An existing file is kept."""
    content = study.new_text(source)
    try:
        files.write(file, content.encode(), replace=False)
    except FileExistsError as error:
        raise ConfigError(
            f"Expected the name of a new file. Received: {str(_shown(file))!r}, which exists. Name another."
        ) from error
    _echo([f"{_shown(file)}: change it, then cnnlab study check {_shown(file)}"])


@study_group.command("check", epilog="Example: cnnlab study check mine.toml --epochs 10")
@click.argument("file", type=FILE_OR_FOLDER)
@_data_option
@_budget_options
@_trust_option
def study_check(file: Path, data: Path, profile: str, budget: dict[str, Any], trust: bool) -> None:
    """Check a study file for some images and a budget; nothing is trained.

    Names everything that is wrong, and exits with 2. Notes about equal trials and settings without effect are no
    errors.
    """
    try:
        made = study.read(file)
        with long_work(file.parent):
            from cnnlab.tuning import check_study

            notes = check_study(made, data, profile, budget, trust=trust)
    except StudyError as error:
        _echo([f"cnnlab: {error.name}: {problem}" for problem in error.problems], err=True)
        sys.exit(2)
    counts = (
        f"{number} {noun}{'' if number == 1 else 's'}"
        for noun, number in (
            ("stage", len(made.stages)),
            ("trial", sum(len(stage.trials) for stage in made.stages)),
            ("claim", len(made.claims)),
        )
    )
    _echo([*notes, f"{file.name}: {', '.join(counts)}. No errors."])


@study_group.command("show", epilog="Example: cnnlab study show mine.toml")
@click.argument("name", default="published")
def study_show(name: str) -> None:
    """Print the stages of a study with their trials and parameters.

    NAME is a study file, or "published".
    """
    from cnnlab.tuning import study_lines

    _echo(study_lines(study.built_in() if name == "published" else study.read(Path(name).absolute())))


@main.command(epilog="Example: cnnlab runs --remove unused")
@click.option("--runs", type=FOLDER, **_in_project("reports/runs"), help="Folder of stored runs.")
@click.option(
    "--remove", type=click.Choice(["unused", "all"]), help="Remove those that this version cannot use, or all of them."
)
def runs(runs: Path, remove: str | None) -> None:
    """List stored runs, or remove them."""
    from cnnlab.records import describe_runs, remove_runs

    if remove:
        click.echo(remove_runs(runs, only_unused=remove == "unused"))
    _echo(describe_runs(runs))


@main.group()
def data() -> None:
    """Make, download, convert or check images."""


@data.command("sample", epilog="Example: cnnlab data sample data/sample")
@click.argument("directory", type=FOLDER, default=lambda: surroundings.project_path("data/sample"))
def data_sample(directory: Path) -> None:
    """Make the built-in sample in both formats, without a network."""
    from cnnlab.data import sample

    sample.write(directory)
    click.echo(_shown(directory))


@data.command("fetch", epilog="Example: cnnlab data fetch data/cifar10")
@click.argument("directory", type=FOLDER, default=lambda: surroundings.project_path("data/cifar10"))
def data_fetch(directory: Path) -> None:
    """Download the real CIFAR-10 (170 MB). An interrupted download resumes."""
    from cnnlab.data import download

    click.echo(_shown(download.fetch(directory)))


@data.command("gray", epilog="Example: cnnlab data gray data/cifar10")
@click.argument("images", type=FILE_OR_FOLDER)
def data_gray(images: Path) -> None:
    """Write the grayscale batches (luma) of a CIFAR archive or folder, as pickles, beside the archive."""
    from cnnlab import data as reading

    folder = images if images.is_dir() else images.parent
    _echo(reading.write_gray_batches(reading.gray(reading.load_cifar10(images)), folder))


@data.command("check", epilog="Example: cnnlab data check my-images --profile full")
@click.argument("images", type=FILE_OR_FOLDER)
@click.option("--profile", default="quick", help=f"Budget to check them for: {', '.join(study.PROFILES)}.")
@_accept_option
def data_check(images: Path, profile: str, accept: str) -> None:
    """Describe images, and warn of what may be wrong with them; nothing is trained.

    IMAGES is a folder or an archive. Exits with 2 if the images cannot be used, and with 0 if there are only warnings.
    """
    from cnnlab.tuning import describe_images

    lines, warnings = describe_images(images, profile, accept)
    _echo(lines)
    _echo(warnings, err=True)
