"""From one stage's results to tables and sentences. No sentence here says more than the numbers it is given."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from numpy.typing import NDArray

from cnnlab import plots
from cnnlab.data import DataFolder, Dataset, Split
from cnnlab.evidence import PINNED, Comparison
from cnnlab.plots import Picture
from cnnlab.protocols import Candidate, Profile, Protocol
from cnnlab.records import Record
from cnnlab.tables import mean_sd, table, text
from cnnlab.tuning import StageResult, Tuning


def settings(profile: Profile, protocol: Protocol) -> Markdown:
    """Say how much is run and how."""
    seeds, epochs = (f"{n} {name}{'s' * (n > 1)}" for n, name in ((profile.seeds, "seed"), (profile.epochs, "epoch")))
    if protocol.pinned:
        rule = "every stage runs the published study's own fits and hands on its picks"
    elif profile.seeds > 1:
        rule = "a stage hands on the trial with the fewest parameters within one standard error of the best `val_f1`"
    else:
        rule = "a stage hands on the trial with the best `val_f1`, for one run of each has no standard error"
    more = " Hopeless trials are dropped early, by successive halving." if profile.halving else ""
    more += "" if profile.precision == "float32" else f" Precision of the fits: {profile.precision}."
    return Markdown(
        f"Profile **{profile.name}**: {seeds} of each trial, at most {epochs} with a patience of "
        f"{profile.patience}. Protocol **{protocol.name}**: {protocol.split} split; {rule}.{more}"
    )


def data_summary(folder: DataFolder, split: Split) -> Markdown:
    """Say what images there are."""
    images = folder.gray
    height, width, _ = images.image_shape
    origin = "derived from the colour images (BT.601 luma)" if folder.derived_gray else "read from the pickled batches"
    colour = (
        f"Colour images for Part B: {len(folder.colour.train_labels):,} to train on, "
        f"{len(folder.colour.test_labels):,} to test on."
        if folder.colour
        else "There are no colour images, so Part B is left out."
    )
    return Markdown(
        f"{len(images.train_labels):,} training and {len(images.test_labels):,} test images of {height} x {width} "
        f"pixels in {len(images.class_names)} classes; the grayscale ones are {origin}. {colour}\n\n"
        f"The runs use {len(split.train):,} images for `train`, {len(split.val):,} for `val` and {len(split.test):,} "
        f"for `test`. Data digest `{images.digest[:12]}`, split digest `{split.digest[:12]}`."
    )


def class_table(dataset: Dataset, split: Split) -> HTML:
    """Count the images of each class, in the files and in the split."""
    n_classes = len(dataset.class_names)
    counts = {
        "train files": dataset.train_labels,
        "test files": dataset.test_labels,
        "train": dataset.train_labels[split.train],
        "val": dataset.train_labels[split.val],
        "test": dataset.test_labels[split.test],
    }
    columns = {name: np.bincount(labels, minlength=n_classes).tolist() for name, labels in counts.items()}
    return table(pd.DataFrame({"class": dataset.class_names, **columns}))


def pixel_table(folder: DataFolder) -> HTML:
    """Return mean, spread and range of the pixels of each set of images and channel."""
    rows = []
    for kind, dataset in (("gray", folder.gray), ("colour", folder.colour)):
        if dataset is None:
            continue
        for part, images in (("train", dataset.train_images), ("test", dataset.test_images)):
            for channel, name in enumerate(("gray",) if images.shape[-1] == 1 else ("red", "green", "blue")):
                # A mean over counts of the 256 values is exact and needs no copy of the images in floats.
                counts = np.bincount(images[..., channel].ravel(), minlength=256)
                values, total = np.arange(256), counts.sum()
                mean = (counts * values).sum() / total
                present = np.flatnonzero(counts)
                rows.append(
                    {
                        "images": kind,
                        "part": part,
                        "channel": name,
                        "mean": mean,
                        "SD": np.sqrt((counts * (values - mean) ** 2).sum() / total),
                        "lowest": int(present[0]),
                        "highest": int(present[-1]),
                    }
                )
    return table(rows, {"mean": ".1f", "SD": ".1f"})


def sample_images(dataset: Dataset, split: Split) -> Picture:
    """Show two training images of each of the first ten classes, with their class names."""
    labels = dataset.train_labels[split.train]
    shown = range(min(10, len(dataset.class_names)))
    picks = [split.train[np.flatnonzero(labels == label)[turn::2][:1]] for turn in (0, 1) for label in shown]
    chosen = np.concatenate(picks)
    names = [dataset.class_names[label] for label in dataset.train_labels[chosen]]
    kind = "grayscale" if dataset.image_shape[-1] == 1 else "colour"
    return plots.images(
        dataset.train_images[chosen],
        names,
        f"{len(chosen)} {kind} training images of: {', '.join(dict.fromkeys(names))}.",
    )


def stage_intro(result: StageResult) -> Markdown:
    """Give a stage's heading, question and reason, and what is left out of it."""
    stage = result.stage
    left_out = (
        f"\n\nNot run in this profile, being 4 to 16 times as costly: {', '.join(result.left_out)}."
        if result.left_out
        else ""
    )
    dropped = "".join(
        f"\n- {text(one.name)}: `val_accuracy` {one.val_accuracy:.3f} "
        f"{f'after {one.epochs} epochs' if one.epochs else 'after a whole fit'}, where the best had {one.best:.3f}"
        for one in result.dropped
    )
    if dropped:
        dropped = f"\n\nDropped early, by successive halving on one seed; nothing more is known of them:\n{dropped}"
    return Markdown(f"# CNN-{stage.cnn}: {stage.title}\n\n**{stage.question}**\n\n{stage.why}{left_out}{dropped}")


def model_table(layers: Sequence[Mapping[str, str | int]]) -> HTML:
    """Return a model's layers with output shapes and parameters, and their sum."""
    total = {"layer": "total", "output": "", "params": sum(int(row["params"]) for row in layers)}
    return table([*layers, total], {"params": ",d"})


def model_picture(png: bytes, layers: Sequence[Mapping[str, str | int]]) -> Picture:
    """Return a visualkeras drawing with its text alternative."""
    from io import BytesIO

    from PIL import Image

    names = ", ".join(str(row["layer"]) for row in layers)
    return Picture(
        png, f"Drawing of the model, layer by layer: {names}.", Image.open(BytesIO(png)).width // plots.SHARPNESS
    )


def trial_table(result: StageResult) -> HTML:
    """Return the stage's trials with size, cost and scores; the chosen one is marked."""
    rows = []
    for candidate in result.candidates:
        found = result.records(candidate.name)
        mark = " (chosen)" if candidate.name == result.decision.chosen else ""
        rows.append(
            {
                "trial": candidate.name + mark,
                "incumbent": "yes" if candidate.incumbent else "",
                **score_columns(found),
                "published F1": _published(candidate),
            }
        )
    return table(rows, {"params": ",d", "epochs": ".1f", "seconds": ".1f"})


def _published(candidate: Candidate) -> str:
    """Return the published study's figure, with a star where its fit was not what it says."""
    fit = candidate.published
    return f"{fit.test_f1:.3f}{'*' * bool(fit.changes)}" if fit else ""


def published_note(result: StageResult) -> Markdown:
    """Say how the published fits differ from our trials of the same name."""
    notes = [
        f"{text(fit.trial)}: {', '.join(f'{text(name)} {value}' for name, value in fit.changes.items())}"
        for fit in (candidate.published for candidate in result.candidates)
        if fit and fit.changes
    ]
    about = "Published F1: macro-F1 on the published study's own test images, one run each."
    slips = f" \\* The study's fit was not what it says; it ran with {'; '.join(notes)}." if notes else ""
    return Markdown(about + slips)


def score_columns(found: Sequence[Record]) -> dict[str, Any]:
    """Return the columns that every table of trials has: size, cost, mean and SD of the scores."""
    return {
        "params": found[0].params,
        "runs": len(found),
        "epochs": float(np.mean([record.epochs for record in found])),
        "seconds": float(
            np.median([record.train_seconds for record in found])
        ),  # the first one may have traced the model
        "val_f1": mean_sd([record.scores["val_f1"] for record in found]),
        "test_f1": mean_sd([record.scores["test_f1"] for record in found]),
    }


def classification(tuning: Tuning, result: StageResult) -> tuple[HTML, Markdown, Picture]:
    """Return the chosen trial's classification report, its summary and its confusion matrix, all seeds together."""
    found = result.records(result.decision.chosen)
    true, guesses, _ = tuning.predictions(found, "test")
    names = found[0].data["class_names"]
    # By a worker, which has scikit-learn loaded: in a notebook's kernel that would take longer than all else.
    report, matrix = tuning.engine.call(_counted, np.tile(true, len(found)), guesses.ravel(), names)
    rows = [
        {"class": name, **{key: report[name][key] for key in ("precision", "recall", "f1-score")},
         "predictions": int(report[name]["support"])}
        for name in [*names, "macro avg", "weighted avg"]
    ]  # fmt: skip
    f1 = mean_sd([record.scores["test_f1"] for record in found])
    accuracy = mean_sd([record.scores["test_accuracy"] for record in found])
    runs = f"{len(found)} run{'s' * (len(found) > 1)}"
    summary = Markdown(
        f"**{text(result.decision.chosen)}** on the test images: macro-F1 **{f1}**, accuracy **{accuracy}** "
        f"({runs}; the table and the matrix count the predictions of all of them)."
    )
    return (
        table(rows, dict.fromkeys(("precision", "recall", "f1-score"), ".3f")),
        summary,
        plots.confusion(matrix, names),
    )


def _counted(
    true: NDArray[np.int64], predicted: NDArray[np.int64], names: Sequence[str]
) -> tuple[dict[str, dict[str, float]], NDArray[np.int64]]:
    """Return scikit-learn's classification report, by class, and the confusion matrix (n_classes, n_classes)."""
    from sklearn.metrics import classification_report, confusion_matrix

    labels = range(len(names))
    report = classification_report(
        true, predicted, labels=labels, target_names=names, output_dict=True, zero_division=0
    )
    return report, confusion_matrix(true, predicted, labels=labels)


def confused_pairs(tuning: Tuning, result: StageResult, most: int = 10) -> HTML:
    """Return the classes that the chosen trial's runs confuse most often, with their share of the true class."""
    found = result.records(result.decision.chosen)
    true, guesses, n_classes = tuning.predictions(found, "test")
    names = found[0].data["class_names"]
    counts = np.bincount((true * n_classes + guesses).ravel(), minlength=n_classes**2).reshape(n_classes, n_classes)
    of_class = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    places = [divmod(int(place), n_classes) for place in counts.ravel().argsort(kind="stable")[::-1][:most]]
    return table(
        [
            {
                "true": names[one],
                "taken for": names[other],
                "times": int(counts[one, other]),
                "share of the class": counts[one, other] / of_class[one],
            }
            for one, other in places
            if counts[one, other]
        ],
        {"share of the class": ".1%"},
    )


def misclassified(tuning: Tuning, result: StageResult, most: int = 20) -> tuple[Markdown, Picture | Markdown]:
    """Return how many test images the final model gets wrong, and those of them of which it is surest."""
    record = result.best_run
    arrays = tuning.store.arrays(record.digest, "test_labels", "test_probs")
    labels, probs = arrays["test_labels"], arrays["test_probs"]
    names, said, sure = record.data["class_names"], probs.argmax(axis=1), probs.max(axis=1)
    wrong = np.flatnonzero(said != labels)
    summary = Markdown(
        f"The run that `model.keras` holds (seed {record.seed}) gets {len(wrong):,} of {len(labels):,} test images "
        "wrong."
        + " Those of which it was surest: true class, what it said, and with which probability."
        * bool(len(wrong))
    )
    if not len(wrong):
        return summary, Markdown("")
    shown = wrong[(-sure[wrong]).argsort(kind="stable")[:most]]
    dataset = tuning.dataset(result.chosen.trial.input.colour)
    titles = [f"{names[labels[i]]}\nas {names[said[i]]}\n{sure[i]:.2f}" for i in shown]
    listed = ", ".join(f"{names[labels[i]]} as {names[said[i]]} {sure[i]:.2f}" for i in shown)
    images = dataset.test_images[tuning.split(dataset).test[shown]]
    return summary, plots.images(images, titles, f"{len(shown)} misclassified test images: {listed}.")


def calibration(tuning: Tuning, result: StageResult) -> Picture:
    """Draw how often the chosen trial's runs are right on the test images, by how sure they were."""
    found = result.records(result.decision.chosen)
    arrays = [tuning.store.arrays(record.digest, "test_labels", "test_probs") for record in found]
    return plots.calibration(*(np.concatenate([of[name] for of in arrays]) for name in ("test_probs", "test_labels")))


def overfitting(result: StageResult) -> Markdown:
    """Say how far training and validation are apart in the chosen trial, and what happened after the best epoch."""
    found = result.records(result.decision.chosen)
    at_best = [record.best_epoch - 1 for record in found]
    train, val = (
        float(np.mean([record.history[name][epoch] for record, epoch in zip(found, at_best, strict=True)]))
        for name in ("accuracy", "val_accuracy")
    )
    gap = 100 * (train - val)
    rise = float(np.mean([r.history["val_loss"][-1] - min(r.history["val_loss"]) for r in found]))
    later = float(np.mean([record.epochs - record.best_epoch for record in found]))
    if gap > 5:
        reading = "the model fits the training images better than new ones: it overfits"
    elif gap < -5:
        reading = (
            "training accuracy is the lower one, being a mean over the epoch, with dropout and augmentation at work; "
            "no sign of overfitting"
        )
    else:
        reading = "little overfitting at that epoch, as far as a training accuracy averaged over the epoch can tell"
    after = (
        f" In the {later:.1f} epochs after it, `val_loss` ended {rise:.3f} above its lowest value."
        if later
        else " It was the last one: the fit may have had more to gain."
    )
    return Markdown(
        f"At the epoch with the lowest `val_loss`, training accuracy is {train:.3f} and validation accuracy {val:.3f} "
        f"(mean of {len(found)}), {abs(gap):.1f} points apart: {reading}.{after}"
    )


def decision(result: StageResult) -> Markdown:
    """Say what the stage hands on and why."""
    made = result.decision
    spread = "" if np.isnan(made.val_f1_se) else f" with a standard error of {made.val_f1_se:.3f}"
    lines = [
        f"**{text(made.chosen)}** goes on: mean `val_f1` {made.val_f1_mean:.3f}{spread}, "
        f"{made.chosen_params:,} parameters. Rule: {made.rule}."
    ]
    if made.chosen != made.best:
        best = float(np.mean([record.scores["val_f1"] for record in result.records(made.best)]))
        lines.append(f"The best mean is that of {text(made.best)}, {best:.3f}.")
    if result.chosen.incumbent and len(result.candidates) > 1:
        lines.append("It is what the stage before handed on: this stage changes nothing.")
    if made.evidence:
        against = next(c for c in result.candidates if c.name == made.evidence.against)
        name = "the incumbent" if against.incumbent else f"the best other trial, {text(against.name)}"
        lines.append(f"Against {name}: {verdict(made.evidence)}")
    fit = next((c.published for c in result.candidates if c.published and c.name == made.published_choice), None)
    if fit and len(result.candidates) > 1 and made.rule != PINNED:
        agreement = "the same" if made.agrees else "another one"
        star = "*" if fit.changes else ""
        lines.append(f"The published study picked {text(fit.trial)} (test F1 {fit.test_f1:.3f}{star}): {agreement}.")
    return Markdown(" ".join(lines))


def verdict(comparison: Comparison) -> str:
    """Return a comparison as Markdown: difference, interval, probability, verdict, and what could have been shown."""
    if np.isnan(comparison.low):
        return f"{comparison.difference:+.3f}, **{comparison.verdict}**: one run of each says nothing about noise."
    said = (
        f"{comparison.difference:+.3f} (95 % interval {interval(comparison)}); a new run of "
        f"it scores higher with a probability {chance(comparison)}. Verdict: **{comparison.verdict}** "
        f"(p {'below 1e-6' if comparison.p_holm < 1e-6 else f'= {comparison.p_holm:.2g}'} after Holm's correction). "
    )
    if comparison.settled:
        return said + f"Anything above {comparison.smallest:.3f} would have been enough."
    return said + (
        f"The smallest difference that these runs could have shown is {comparison.smallest:.3f}; {seeds(comparison)}."
    )


def seeds(comparison: Comparison) -> str:
    """Say how many seeds would settle a comparison that is not settled."""
    if comparison.difference == 0:
        return "there is no difference that more seeds could settle"
    if np.isinf(comparison.seeds_needed):
        return f"to settle one of {abs(comparison.difference):.3f}, more seeds alone will not do: it takes more images"
    return f"to settle one of {abs(comparison.difference):.3f}, it takes {comparison.seeds_needed:.0f} seeds a trial"


def comparison_table(comparisons: Sequence[Comparison], labels: Mapping[str, Sequence[str]] | None = None) -> HTML:
    """Return comparisons as a table, after further columns of labels."""
    rows = []
    for place, one in enumerate(comparisons):
        known = not np.isnan(one.low)
        rows.append(
            {
                **{name: column[place] for name, column in (labels or {}).items()},
                "trial": one.trial,
                "against": one.against,
                "difference": one.difference,
                "95 % interval": interval(one),
                "P(new run higher)": chance(one).removeprefix("of "),
                "p (Holm)": one.p_holm,
                "verdict": one.verdict,
                "could have shown": one.smallest,
                "seeds to settle": ""
                if not known or np.isnan(one.seeds_needed) or one.difference == 0
                else "more images"
                if np.isinf(one.seeds_needed)
                else f"{one.seeds_needed:.0f}",
            }
        )
    formats = {"difference": "+.3f", "p (Holm)": ".2g", "could have shown": ".3f"}
    return table(rows, formats)


def chance(comparison: Comparison) -> str:
    """Return "of 0.82", a comparison's probability, or "above 0.99": none is certain; "" where there is none."""
    if np.isnan(comparison.probability):
        return ""
    if comparison.probability > 0.99:
        return "above 0.99"
    return "below 0.01" if comparison.probability < 0.01 else f"of {comparison.probability:.2f}"


def interval(comparison: Comparison | None) -> str:
    """Return "-0.007 to +0.093", a comparison's 95 % interval; "" where there is none."""
    if comparison is None or np.isnan(comparison.low):
        return ""
    return f"{comparison.low:+.3f} to {comparison.high:+.3f}"


def evidence(result: StageResult) -> tuple[HTML | Markdown, Markdown]:
    """Return the chosen trial's comparisons with all others, and how to read them."""
    if not result.decision.comparisons:
        return Markdown("There is one trial, so nothing to compare."), Markdown("")
    images = result.records(result.decision.chosen)[0].split["val"]
    n_seeds = result.decision.n_seeds
    return comparison_table(result.decision.comparisons), Markdown(
        f"Differences of mean `val_f1` over {n_seeds} seed{'s' * (n_seeds > 1)} and {images:,} validation images. An "
        "interval is that of one comparison named in advance, over new seeds and new validation images, on the same "
        "training images; like the probability, it flatters a trial that was chosen as the best of several. The "
        "verdict does not: it uses Holm's correction over all pairs of the stage's trials, for any of them might have "
        "come out best. Could have shown: what the difference had to exceed for a verdict. Seeds to settle: how many a "
        "trial would find a difference of this size in 80 % of repetitions."
    )
