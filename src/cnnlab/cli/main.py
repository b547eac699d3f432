"""The commands about studies and their reports."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import click

from cnnlab import __version__, files, surroundings
from cnnlab.cli.groups import data, study_group
from cnnlab.cli.options import FILE_OR_FOLDER, FOLDER, in_project, study_options
from cnnlab.cli.process import echo, long_work, shown
from cnnlab.errors import CnnlabError


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


main.add_command(study_group)
main.add_command(data)


@main.command(epilog="Example: cnnlab report --profile smoke --report reports/try")
@study_options
@click.option("--report", type=FOLDER, help="Folder of the report.  [default: reports/, then study or profile]")
@click.option("--check", is_flag=True, help="Exit with 1 if a claim is refuted.")
def report(report: Path | None, check: bool, runs: Path, limit: str, **settings: Any) -> None:
    """Run every stage that is not stored yet, and write the report.

    A second command with nothing changed repeats no run and no notebook. Exits with 1 if a part of the report is
    missing.
    """
    with long_work(runs, settings["fresh"], settings["scheduler"]):
        from cnnlab import report as reports
        from cnnlab.tuning import ClaimStatus, Tuning, fit_time, progress

        with Tuning(runs=runs, **settings) as tuning:
            tuning.callback = progress.ImagesBar()
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
    echo([*missing, *refuted], err=True)
    echo([*made.findings, shown(out / "index.html")])
    sys.exit(1 if missing or refuted else 0)


@main.command(epilog="Example: cnnlab run --profile full --scheduler tcp://login1:8786")
@study_options
def run(runs: Path, limit: str, **settings: Any) -> None:
    """Run every stage and mistake that is not stored yet, without notebooks, for example on a cluster.

    Exits with 1 if runs have failed; the others are stored.
    """
    with long_work(runs, settings["fresh"], settings["scheduler"]):
        from cnnlab.tuning import (
            TimeLeft,
            Tuning,
            fit_time,
            next_lines,
            next_steps,
            notes_by_stage,
            progress,
            run_study,
        )

        with Tuning(runs=runs, **settings) as tuning:
            tuning.callback = progress.ImagesBar()
            if limit:
                click.echo(fit_time(tuning, limit, report=False), err=True)
            with progress.Bar(tuning.planned_runs(), lambda: TimeLeft(tuning, tuning.calibration, report=False)) as bar:
                done = run_study(tuning, bar)
            steps = next_steps(tuning, done.stages, done.curve, notes_by_stage(tuning, done.stages))
    for result in done.stages:
        made = result.decision
        click.echo(f"{made.stage:15} {made.selected:32} val_f1 {made.val_f1_mean:.3f}  (n = {made.n_seeds})")
    echo(next_lines(steps) if done.stages else [])
    if done.failures:
        click.echo(f"Missing: {', '.join(done.failures)}. Run the same command again.", err=True)
    sys.exit(1 if done.failures else 0)


@main.command(epilog="Example: cnnlab plan --profile laptop --data data/cifar10")
@study_options
def plan(runs: Path, limit: str, **settings: Any) -> None:
    """Estimate what a report takes: runs, epochs, images, disk and time of each stage. Nothing is run.

    It measures some trials on this machine's cores, or on the scheduler's workers, for at most 30 s.
    """
    with long_work(runs, settings["fresh"], settings["scheduler"]):
        from cnnlab.tuning import Tuning, fit_time, plan_lines, progress

        with Tuning(runs=runs, **settings) as tuning:
            tuning.callback = progress.ImagesBar()
            if limit:
                click.echo(fit_time(tuning, limit))
            echo(plan_lines(tuning))


@main.command(epilog="Example: cnnlab predict cat.jpg holiday/ --csv found.csv --model reports/quick/model.keras")
@click.argument("images", metavar="IMAGE_OR_FOLDER...", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--model",
    type=FILE_OR_FOLDER,
    **in_project("reports/quick/model.keras"),
    help="Model of a report. The names of its classes are in manifest.json in the same folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the probabilities of all classes as JSON.")
@click.option(
    "--csv", "csv_file", type=FILE_OR_FOLDER, help="Write a row for each image to this file, instead of a table."
)
def predict(images: tuple[str, ...], model: Path, as_json: bool, csv_file: Path | None) -> None:
    """Print the most likely classes of images of any size and format.

    Of a folder, all images in it and in the folders below it are predicted, in the order of their names.

    Exits with 2 if an image cannot be read; the others are predicted nevertheless.
    """
    from cnnlab.models import predict as predicting

    errors: list[CnnlabError] = []

    def on_failure(error: CnnlabError) -> None:
        errors.append(error)
        click.echo(f"cnnlab: {error}", err=True)

    if csv_file:
        predicting.check_writable(csv_file)
    classifier = predicting.Classifier.load(model)
    predictions = list(classifier.predict(predicting.find_images(images), on_failure))
    if csv_file:
        predicting.write_csv(predictions, classifier.class_names, csv_file)
    if as_json:
        click.echo(json.dumps([prediction.to_json() for prediction in predictions], indent=1))
    elif csv_file:
        click.echo(shown(csv_file))
    elif predictions:
        click.echo(predicting.table(predictions))
    sys.exit(2 if errors else 0)


@main.command(epilog="Example: cnnlab diff reports/quick reports/mine")
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
def diff(a: Path, b: Path) -> None:
    """Compare two reports, stage by stage.

    Prints the settings, data and versions that differ, and for each stage the difference of test_f1, B less A, with its
    95 % interval.
    """
    from cnnlab.report import diff as differences

    echo(differences.lines(differences.read(a), differences.read(b)))


@main.command(epilog="Example: cnnlab runs --remove unused")
@click.option("--runs", type=FOLDER, **in_project("reports/runs"), help="Folder of stored runs.")
@click.option(
    "--remove", type=click.Choice(["unused", "all"]), help="Remove those that this version cannot use, or all of them."
)
def runs(runs: Path, remove: str | None) -> None:
    """Count stored runs, or remove them."""
    from cnnlab.records import describe_runs, remove_runs

    if remove:
        click.echo(remove_runs(runs, only_unused=remove == "unused"))
    echo(describe_runs(runs))
