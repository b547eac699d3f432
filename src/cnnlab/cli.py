"""The command line: `cnnlab`, or `python -m cnnlab`."""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cnnlab import __version__, study
from cnnlab.engine import lifetime
from cnnlab.errors import CnnlabError, RecordWarning
from cnnlab.study import PRECISIONS

FOLDER = click.Path(path_type=Path, file_okay=False)


class _Group(click.Group):
    """Prints an error that the user can mend in one line and exits with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CnnlabError as error:
            message = str(error)
        except BrokenPipeError:  # whoever read has read enough; click ends quietly
            raise
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            message = f"{error.strerror or error}{place}. Free space or give leave to write there."
        click.echo(f"cnnlab: {message}", err=True)
        return ctx.exit(2)


@click.group(cls=_Group, context_settings={"max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """CNN tuning studies whose report gives every choice its evidence."""


def _study_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--halving", is_flag=True, help="Drop hopeless trials of a stage early."),
        click.option(
            "--precision", default="float32", show_default=True, help=f"{' or '.join(PRECISIONS)}, of every fit."
        ),
        click.option("--fresh", is_flag=True, help="Repeat stored runs too."),
        click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler, as tcp://host:8786; else this machine."),
        click.option("--runs", type=FOLDER, default="reports/runs", show_default=True, help="Folder of stored runs."),
        click.option(
            "--data", type=FOLDER, default="data/sample", show_default=True, help="Folder of images (data/README.md)."
        ),
        click.option("--protocol", default="corrected", show_default=True, help=f"{' or '.join(study.PROTOCOLS)}."),
        click.option("--profile", default="quick", show_default=True, help=f"{', '.join(study.PROFILES)}."),
    ):
        command = option(command)
    return command


@contextmanager
def _long_work(runs: Path, fresh: bool = False) -> Iterator[None]:
    """Say in a line what is set aside, and end at once, with all that was started, when told to."""
    from tqdm.auto import tqdm

    same = f"the same command{' without --fresh (FRESH=)' * fresh}"
    exit_message = f"cnnlab: stopped. Finished runs are in {str(runs)!r}; {same} goes on from there."
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *more: Any) -> None:
        if issubclass(category, RecordWarning):
            tqdm.write(f"cnnlab: {message}", file=sys.stderr)
        else:
            usual(message, category, *more)

    with warnings.catch_warnings(), lifetime.kill_children_on_exit(exit_message):
        warnings.simplefilter("default", RecordWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@main.command(epilog="Example: cnnlab report --profile smoke --report reports/try")
@_study_options
@click.option("--report", type=FOLDER, help="Folder of the report.  [default: reports/PROFILE]")
@click.option("--check", is_flag=True, help="End with 1 if a declared claim is refuted.")
def report(report: Path | None, profile: str, check: bool, runs: Path, **settings: Any) -> None:
    """Run every stage that is not stored yet and write the report.

    A second run with nothing changed repeats no run and no notebook. Ends with 1 if a part of the report is missing.
    """
    from cnnlab import report as reports
    from cnnlab.tuning import Tuning

    with _long_work(runs, settings["fresh"]), Tuning(profile=profile, runs=runs, **settings) as tuning:
        out = report or Path("reports") / tuning.profile.name
        made = reports.make(tuning, out)
    missing = [chapter for chapter in made.chapters if chapter.error]
    refuted = [claim_result for claim_result in made.claim_results if claim_result.status == "refuted"] if check else []
    for chapter in missing:
        click.echo(f"Missing: {chapter.title}: {chapter.error}", err=True)
    for claim_result in refuted:
        one = claim_result.comparison
        seen = f" ({one.difference:+.3f}, {one.low:+.3f} to {one.high:+.3f})" if one else ""
        click.echo(f"Refuted: {claim_result.claim.sentence}{seen}", err=True)
    for line in (*made.findings, out / "index.html"):
        click.echo(line)
    sys.exit(1 if missing or refuted else 0)


@main.command(epilog="Example: cnnlab run --profile full --scheduler tcp://login1:8786")
@_study_options
def run(runs: Path, **settings: Any) -> None:
    """Run every stage and mistake that is not stored yet, without notebooks: on a cluster, say.

    Ends with 1 if runs have failed; the others are stored.
    """
    from cnnlab.errors import DataError, RunError
    from cnnlab.study import ALL_MISTAKES
    from cnnlab.tuning import Tuning, progress

    lost: dict[str, CnnlabError] = {}
    with (
        _long_work(runs, settings["fresh"]),
        Tuning(runs=runs, **settings) as tuning,
        progress.Bar(tuning.planned_runs()) as bar,
    ):
        tuning.callback = bar
        results = list(tuning.iter_results(lambda stage, why: lost.update({stage.name: why})))
        try:
            tuning.mistake_results()
        except (RunError, DataError) as error:
            lost[ALL_MISTAKES] = error
    for result in results:
        made = result.decision
        click.echo(f"{made.stage:15} {made.selected:32} val_f1 {made.val_f1_mean:.3f}  (n = {made.n_seeds})")
    for name, why in lost.items():
        click.echo(f"Missing: {name}: {why}", err=True)
    sys.exit(1 if lost else 0)


@main.command(epilog="Example: cnnlab predict cat.jpg holiday/*.png --model reports/quick/model.keras")
@click.argument("images", metavar="IMAGE...", type=click.Path(), nargs=-1, required=True)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default="reports/quick/model.keras",
    show_default=True,
    help="A report's model; its classes are named in manifest.json beside it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the probabilities of all classes as JSON.")
def predict(images: tuple[str, ...], model: Path, as_json: bool) -> None:
    """Name the most likely classes of images, of any size and format.

    Ends with 2 if an image cannot be read; the others are predicted all the same.
    """
    from cnnlab.models import predict as predicting

    bad = 0

    def lose(error: CnnlabError) -> None:
        nonlocal bad
        bad += 1
        click.echo(f"cnnlab: {error}", err=True)

    found = list(predicting.Classifier.load(model).predict(images, lose))
    if as_json:
        click.echo(json.dumps([prediction.to_json() for prediction in found], indent=1))
    elif found:
        click.echo(predicting.table(found))
    sys.exit(2 if bad else 0)


@main.command(epilog="Example: cnnlab diff reports/quick reports/mine")
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
def diff(a: Path, b: Path) -> None:
    """Compare two reports stage by stage, or two folders of stored runs trial by trial.

    Says which settings, data and versions differ, and which scores moved by more than the noise between seeds.
    """
    from cnnlab.report import diff as differences

    for line in differences.lines(differences.read(a), differences.read(b)):
        click.echo(line)


@main.group()
def data() -> None:
    """Make, fetch, convert or check images."""


@data.command("sample", epilog="Example: cnnlab data sample data/sample")
@click.argument("directory", type=FOLDER, default="data/sample")
def data_sample(directory: Path) -> None:
    """Make the built-in sample, offline, in both formats."""
    from cnnlab.data import sample

    sample.write(directory)
    click.echo(directory)


@data.command("fetch", epilog="Example: cnnlab data fetch data/cifar10")
@click.argument("directory", type=FOLDER, default="data/cifar10")
def data_fetch(directory: Path) -> None:
    """Download the real CIFAR-10 (170 MB). A broken download goes on where it stopped."""
    from cnnlab.data import download

    click.echo(download.fetch(directory))


@data.command("gray", epilog="Example: cnnlab data gray data/cifar10")
@click.argument("directory", type=FOLDER)
def data_gray(directory: Path) -> None:
    """Write a CIFAR-10 archive's grayscale batches (luma) beside it, as pickles."""
    from cnnlab import data as images

    for path in images.write_gray_batches(images.gray(images.load_cifar10(directory)), directory):
        click.echo(path)


@data.command("check", epilog="Example: cnnlab data check my-images")
@click.argument("directory", type=FOLDER)
def data_check(directory: Path) -> None:
    """Say what images a folder holds, or what is wrong with them."""
    from cnnlab import data as images
    from cnnlab import models
    from cnnlab.study import Architecture

    folder = images.load(directory)
    default = study.PROFILES["quick"]
    for kind, found in (("grayscale", folder.gray), ("colour", folder.colour)):
        if found is None:
            click.echo("colour: none, so the colour stage will be left out")
            continue
        images.split(found, "stratified", default.train, default.val, default.test)
        models.require_size(Architecture(), found.image_shape)
        height, width, _ = found.image_shape
        origin = ", derived from the archive" if kind == "grayscale" and folder.derived_gray else ""
        click.echo(
            f"{kind}{origin}: {len(found.train_labels):,} training and {len(found.test_labels):,} test images of "
            f"{height} x {width}, {len(found.class_names)} classes ({', '.join(found.class_names)}), "
            f"digest {found.digest[:12]}"
        )
        for number in sorted(set(found.train_labels.tolist()) - set(found.test_labels.tolist())):
            click.echo(f"No test image of {found.class_names[number]}: that class will have a test F1 of 0.")
