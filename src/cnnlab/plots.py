"""From results to pictures, each with its text alternative made from the same numbers."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.lines
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from cnnlab.data import Dataset, Split
from cnnlab.evidence import Comparison, pooled_sd
from cnnlab.records import Record
from cnnlab.tables import mean_sd, table
from cnnlab.tuning import StageResult

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255", "#999933")
"""Okabe and Ito's palette for colour-blind readers, less its yellow and black, with two of Tol's (muted) after it."""
INCUMBENT = "#333333"
"""What the stage before handed on, in every picture; the other trials of a stage take the colours in their order."""
UNSETTLED = "#8a8a8a"
"""A difference that is not distinguishable from none."""
BINS = 10
"""Of a calibration curve (Guo et al. 2017, On Calibration of Modern Neural Networks, use 15 for 10,000 images)."""
LISTED_EPOCHS = 20
"""Most epochs of a trial's curves that are listed in numbers; of longer fits, evenly spaced ones."""

STYLE = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.bbox": "tight",
}
DPI = 96
SHARPNESS = 2
"""Pixels of a picture for each pixel it takes on the page."""


@dataclass(frozen=True)
class Picture:
    """A PNG picture with its text alternative and its numbers, shown by Jupyter and by the report.

    Attributes:
        png: The file's content.
        alt: What it shows, in words and numbers.
        width: Width on the page, in pixels.
        numbers: A table of what is drawn, folded away; "" for a picture that draws no numbers.
        photo: Whether its colours are its content, so that a dark page must leave them alone.
    """

    png: bytes
    alt: str
    width: int
    numbers: str = ""
    photo: bool = False

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:  # noqa: ARG002 - IPython's
        about = {"alt": self.alt, "width": self.width, "photo": self.photo}
        return {"image/png": self.png, "text/plain": self.alt}, {"image/png": about}

    def _ipython_display_(self) -> None:
        # Not as one piece of HTML: Jupyter shows no picture in that before its reader has said to trust it.
        from IPython.display import HTML, display

        content, about = self._repr_mimebundle_()
        display(content, raw=True, metadata=about)
        if self.numbers:
            display(HTML(self.folded))

    @property
    def folded(self) -> str:
        """The numbers as HTML, folded away; "" if there are none."""
        return f'<details class="numbers"><summary>Numbers</summary>{self.numbers}</details>' if self.numbers else ""


def _picture(
    figure: Figure,
    alt: str,
    numbers: Sequence[Mapping[str, Any]] | pd.DataFrame = (),
    formats: Mapping[str, str] | None = None,
    *,
    photo: bool = False,
) -> Picture:
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI * SHARPNESS, facecolor="white")
    image = Image.open(raw).convert("RGB")
    small = io.BytesIO()
    # A palette of 256 colours makes a chart's file a third as large; nobody can see the difference.
    image.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    listed = table(numbers, formats).data if len(numbers) else ""
    return Picture(small.getvalue(), alt, image.width // SHARPNESS, listed, photo)


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


@mpl.rc_context(STYLE)
def class_counts(dataset: Dataset, split: Split) -> Picture:
    """Draw how many images of each class stand in each part of the split."""
    parts = {
        "train": dataset.train_labels[split.train],
        "val": dataset.train_labels[split.val],
        "test": dataset.test_labels[split.test],
    }
    n_classes = len(dataset.class_names)
    counts = {part: np.bincount(labels, minlength=n_classes) for part, labels in parts.items()}
    figure, axes = _figure(7, 2.4)
    axis: Axes = axes[0, 0]
    for place, (part, values) in enumerate(counts.items()):
        axis.bar(np.arange(n_classes) + (place - 1) * 0.27, values, 0.25, label=part, color=COLOURS[place])
    axis.set_xticks(range(n_classes), dataset.class_names, rotation=30, ha="right", parse_math=False)
    axis.set_ylabel("images")
    axis.grid(False, axis="x")
    axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    ranges = ", ".join(f"{part} {values.min()} to {values.max()}" for part, values in counts.items())
    return _picture(
        figure,
        f"Images per class, bars for each of {n_classes} classes: {ranges}.",
        pd.DataFrame({"class": dataset.class_names, **counts}),
    )


@mpl.rc_context(STYLE)
def images(pictures: NDArray[np.uint8], titles: Sequence[str], alt: str, columns: int = 10) -> Picture:
    """Draw images (n, h, w, c) uint8 in a grid, each under its title."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    lines = 1 + max((title.count("\n") for title in titles), default=0)
    figure, axes = _figure(0.85 * columns, (0.83 + 0.17 * lines) * rows, rows, columns)
    for place, axis in enumerate(axes.flat):
        axis.axis("off")
        if place < len(pictures):
            image = pictures[place]
            axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
            axis.set_title(titles[place], fontsize=8, pad=2, parse_math=False)
    return _picture(figure, alt, photo=True)


def colours(result: StageResult) -> dict[str, str]:
    """Return the colour of each of a stage's trials, the same in all its pictures."""
    incumbent = next((candidate.name for candidate in result.candidates if candidate.incumbent), None)
    others = [candidate.name for candidate in result.candidates if candidate.name != incumbent]
    found = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(others)}
    return found if incumbent is None else {incumbent: INCUMBENT, **found}


@mpl.rc_context(STYLE)
def scores(result: StageResult) -> Picture:
    """Draw each trial's `val_f1`: a dot a run, a bar for the mean with its pooled standard error."""
    names = [candidate.name for candidate in result.candidates]
    values = [[record.scores["val_f1"] for record in result.records(name)] for name in names]
    frame = pd.DataFrame([(name, score) for name, of in zip(names, values, strict=True) for score in of])
    sd, _ = pooled_sd(frame.set_axis(["trial", "val_f1"], axis=1))
    figure, axes = _figure(7, 0.6 + 0.34 * len(names))
    axis: Axes = axes[0, 0]
    for place, (name, of) in enumerate(zip(names, values, strict=True)):
        colour = colours(result)[name]
        axis.plot(of, [place] * len(of), "o", color=colour, alpha=0.45, markersize=5, markeredgewidth=0)
        axis.errorbar(
            np.mean(of), place, xerr=sd / np.sqrt(len(of)), fmt="|", color=colour, markersize=14, markeredgewidth=2.2
        )
        if name == result.decision.chosen:
            axis.axhspan(place - 0.45, place + 0.45, color=colour, alpha=0.1, linewidth=0)
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlabel("val_f1 (dot: one run; bar: mean with one standard error)")
    listed = ", ".join(f"{name} {mean_sd(of)}" for name, of in zip(names, values, strict=True))
    spread = f" One standard error {sd / np.sqrt(len(values[0])):.3f}." if len(values[0]) > 1 else ""
    return _picture(
        figure,
        f"val_f1 by {result.stage.title.lower()}, mean over runs: {listed}.{spread} Chosen: {result.decision.chosen}.",
        [
            {"trial": name, "seed": record.seed, "val_f1": record.scores["val_f1"]}
            for name in names
            for record in result.records(name)
        ],
        {"val_f1": ".4f"},
    )


@mpl.rc_context(STYLE)
def differences(comparisons: Mapping[str, Comparison], score: str) -> Picture:
    """Draw differences of mean F1 with their 95 % intervals; those with a verdict are filled.

    Args:
        comparisons: Label to comparison.
        score: What was compared, as "val_f1".
    """
    figure, axes = _figure(7, 0.7 + 0.3 * len(comparisons))
    axis: Axes = axes[0, 0]
    axis.axvline(0, color="#555555", linewidth=1)
    for place, one in enumerate(comparisons.values()):
        colour = COLOURS[0] if one.settled else UNSETTLED
        if not np.isnan(one.low):
            axis.plot([one.low, one.high], [place, place], color=colour, linewidth=1.6)
        axis.plot(one.difference, place, "o", color=colour, markerfacecolor=colour if one.settled else "white")
    axis.set_yticks(range(len(comparisons)), list(comparisons), parse_math=False)
    axis.set_ylim(len(comparisons) - 0.5, -0.5)
    axis.set_xlabel(f"difference of mean {score}\n(95 % interval; filled: better or worse)")
    listed = "; ".join(
        f"{name} {one.difference:+.3f}, {one.low:+.3f} to {one.high:+.3f}, {one.verdict}"
        if not np.isnan(one.low)
        else f"{name} {one.difference:+.3f}"
        for name, one in comparisons.items()
    )
    return _picture(
        figure,
        f"Differences of mean {score} with 95 % intervals: {listed}.",
        [
            {"comparison": name, "difference": one.difference, "low": one.low, "high": one.high, "verdict": one.verdict}
            for name, one in comparisons.items()
        ],
        dict.fromkeys(("difference", "low", "high"), "+.4f"),
    )


@mpl.rc_context(STYLE)
def curves(groups: Mapping[str, Sequence[Record]], colour: Mapping[str, str] | None = None) -> Picture:
    """Draw loss and accuracy by epoch for every trial and seed: training dashed, validation solid.

    Args:
        groups: Each trial's records, by its name.
        colour: Each trial's colour, see `colours`; None to take them in order.
    """
    colour = colour or {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(groups)}
    names = list(groups)
    columns = min(4, len(names))
    blocks = -(-len(names) // columns)
    figure, axes = _figure(0.6 + 2.1 * columns, 2.9 * blocks, 2 * blocks, columns)
    for axis in axes.flat:
        axis.axis("off")
    for place, name in enumerate(names):
        block, column = divmod(place, columns)
        for row, metric in enumerate(("loss", "accuracy")):
            axis = axes[2 * block + row, column]
            axis.axis("on")
            for record in groups[name]:
                _curve(axis, record, metric, colour[name])
            if metric == "accuracy":
                axis.set_ylim(0, 1)
                axis.set_xlabel("epoch")
            else:
                axis.set_title(name, fontsize=8, parse_math=False)
            if column == 0:
                axis.set_ylabel(metric)
    figure.legend(
        handles=[
            mpl.lines.Line2D([], [], color="#555555", linestyle="--", label="train"),
            mpl.lines.Line2D([], [], color="#555555", label="val"),
        ],
        loc="outside upper center",
        ncols=2,
    )
    lasts = []
    for name in names:
        histories = [record.history for record in groups[name]]
        final = [np.mean([history[part][-1] for history in histories]) for part in ("accuracy", "val_accuracy")]
        lasts.append(f"{name} train {final[0]:.2f}, val {final[1]:.2f}")
    return _picture(
        figure,
        f"Loss and accuracy by epoch, training dashed, validation solid. Last accuracy: {'; '.join(lasts)}.",
        [row for name in names for row in _mean_curve(name, groups[name])],
        dict.fromkeys(_METRICS, ".3f"),
    )


_METRICS = ("loss", "val_loss", "accuracy", "val_accuracy")


def _mean_curve(name: str, found: Sequence[Record]) -> list[dict[str, Any]]:
    """Return a trial's curves as rows: means over the runs that have come so far, for some of the epochs."""
    longest = max(record.epochs for record in found)
    listed = np.unique(np.linspace(1, longest, min(longest, LISTED_EPOCHS)).round().astype(int))
    rows = []
    for epoch in listed.tolist():
        still = [record.history for record in found if record.epochs >= epoch]
        means = {metric: float(np.mean([history[metric][epoch - 1] for history in still])) for metric in _METRICS}
        rows.append({"trial": name, "epoch": epoch, "runs": len(still), **means})
    return rows


def _curve(axis: Axes, record: Record, metric: str, colour: str) -> None:
    epochs = range(1, record.epochs + 1)
    marker = "." if record.epochs == 1 else ""  # a line of one point cannot be seen
    axis.plot(epochs, record.history[metric], color=colour, linestyle="--", linewidth=1, marker=marker, alpha=0.6)
    axis.plot(epochs, record.history[f"val_{metric}"], color=colour, linewidth=1.3, marker=marker)
    axis.axvline(record.best_epoch, color=colour, linewidth=0.6, linestyle=":", alpha=0.6)
    # Room on both sides, so that a fit of one epoch has an axis of whole epochs too.
    axis.set_xlim(min(axis.get_xlim()[0], 0.5), max(axis.get_xlim()[1], record.epochs + 0.5))
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True, min_n_ticks=1))


@mpl.rc_context(STYLE)
def confusion(matrix: NDArray[np.int64], class_names: Sequence[str]) -> Picture:
    """Draw a confusion matrix.

    Args:
        matrix: (n_classes, n_classes) counts, true classes in rows.
        class_names: Their names.
    """
    n_classes = len(class_names)
    size = min(1.6 + 0.42 * n_classes, 8)
    figure, axes = _figure(size, size)
    axis: Axes = axes[0, 0]
    rows = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(rows, cmap="Blues", vmin=0, vmax=1)
    axis.grid(False)
    axis.set_xticks(range(n_classes), class_names, rotation=45, ha="right", parse_math=False)
    axis.set_yticks(range(n_classes), class_names, parse_math=False)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if n_classes <= 20:
        for (row, column), count in np.ndenumerate(matrix):
            axis.text(
                column, row, f"{count}", ha="center", va="center", fontsize=7,
                color="white" if rows[row, column] > 0.5 else "#333333",
            )  # fmt: skip
    mistakes = matrix - np.diag(np.diag(matrix))
    true, predicted = divmod(int(mistakes.argmax()), n_classes)
    worst = f" Most frequent mistake: {class_names[true]} taken for {class_names[predicted]}, {mistakes.max()} times."
    numbers = pd.DataFrame(matrix, columns=list(class_names))
    numbers.insert(0, "true", list(class_names), allow_duplicates=True)
    return _picture(
        figure,
        f"Confusion matrix of {int(matrix.sum())} predictions, {int(np.trace(matrix))} of them right."
        + worst * bool(mistakes.any()),
        numbers,
    )


@mpl.rc_context(STYLE)
def calibration(probs: NDArray[np.float32], labels: NDArray[np.int64]) -> Picture:
    """Draw how often predictions of a certain confidence are right (Guo et al. 2017, arXiv:1706.04599, section 2).

    Args:
        probs: (n, n_classes) predicted probabilities.
        labels: (n,) true classes.
    """
    confidence, right = probs.max(axis=1).astype(float), probs.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = [
        {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "predictions": int((place == number).sum()),
            "mean confidence": float(confidence[place == number].mean()),
            "right": float(right[place == number].mean()),
        }
        for number in range(BINS)
        if (place == number).any()
    ]
    error = sum(row["predictions"] * abs(row["mean confidence"] - row["right"]) for row in rows) / len(labels)
    figure, axes = _figure(4.6, 4.6, 2, height_ratios=(3, 1), sharex=True)
    upper, lower = axes[:, 0]
    upper.plot([0, 1], [0, 1], color=UNSETTLED, linestyle="--", linewidth=1)
    upper.plot([row["mean confidence"] for row in rows], [row["right"] for row in rows], "o-", color=COLOURS[0])
    upper.set_ylabel("share that is right")
    upper.set_ylim(0, 1)
    lower.bar(
        [row["from"] + 0.5 / BINS for row in rows], [row["predictions"] for row in rows], 0.9 / BINS, color=COLOURS[0]
    )
    lower.set_xlim(0, 1)
    lower.set_xlabel("confidence (probability of the predicted class)")
    lower.set_ylabel("predictions")
    listed = ", ".join(f"{row['mean confidence']:.2f} {row['right']:.2f}" for row in rows)
    return _picture(
        figure,
        f"Share of right predictions by mean confidence: {listed}. Expected calibration error {error:.3f}.",
        rows,
        {"from": ".1f", "to": ".1f", "mean confidence": ".3f", "right": ".3f"},
    )


@mpl.rc_context(STYLE)
def path(results: Sequence[StageResult]) -> Picture:
    """Draw the path of choices, a step a stage: the score of the model handed on, and what the choice rests on.

    On the left, a dot a run and a line through the means, validation hollow and test filled. On the right, with its
    interval, the difference of the trial that would change the model from the model that came in: filled where it was
    handed on, grey where it is not distinguishable. Where no model came in, as on the colour images and under the
    published protocol, it is that of the trial handed on from the best other one.
    """
    rows: list[dict[str, Any]] = []
    for result in results:
        made, one = result.decision, result.decision.evidence
        found = result.records(made.chosen)
        sign = -1 if result.chosen.incumbent else 1
        pair = (made.chosen, one.against)[::sign] if one else ("", "")
        low, high = sorted((sign * one.low, sign * one.high)) if one else (np.nan, np.nan)
        rows.append(
            {
                "stage": result.stage.name,
                "handed on": made.chosen,
                **{name: float(np.mean([record.scores[name] for record in found])) for name in ("val_f1", "test_f1")},
                "trial": pair[0],
                "against": pair[1],
                "difference": sign * one.difference if one else np.nan,
                "low": low,
                "high": high,
                "verdict": made.verdict,
            }
        )
    figure, axes = _figure(7.6, 1 + 0.33 * len(rows), 1, 2, sharey=True, width_ratios=(1, 1))
    left, right = axes[0]
    for part, colour, face in (("val_f1", COLOURS[1], "white"), ("test_f1", COLOURS[0], COLOURS[0])):
        left.plot([row[part] for row in rows], range(len(rows)), color=colour, linewidth=1.4, label=part)
        for place, result in enumerate(results):
            of = [record.scores[part] for record in result.records(result.decision.chosen)]
            left.plot(of, [place] * len(of), "o", color=colour, markerfacecolor=face, markersize=4, alpha=0.7)
    right.axvline(0, color="#555555", linewidth=1)
    for place, (row, result) in enumerate(zip(rows, results, strict=True)):
        colour = COLOURS[0] if result.decision.evidence and result.decision.evidence.settled else UNSETTLED
        right.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.8)
        right.plot(
            row["difference"], place, "o", color=colour, markerfacecolor="white" if result.chosen.incumbent else colour
        )
    left.set_yticks(
        range(len(rows)), [f"{row['stage']}: {_short(str(row['handed on']))}" for row in rows], parse_math=False
    )
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel("macro-F1\nof the model handed on")
    left.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    right.set_xlabel("difference of val_f1\nfrom what it is held against")
    right.locator_params(axis="x", nbins=4)  # Matplotlib reckons with shorter labels than these
    right.legend(
        handles=[
            mpl.lines.Line2D([], [], color=COLOURS[0], label="distinguishable"),
            mpl.lines.Line2D([], [], color=UNSETTLED, label="not"),
        ],
        ncols=2,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
    )
    listed = []
    for row in rows:
        said = f"{row['stage']} {row['handed on']}, test_f1 {row['test_f1']:.3f}"
        if not np.isnan(row["low"]):
            interval = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
            said += f", {row['trial']} less {row['against']} {interval}, {row['verdict']}"
        listed.append(said)
    return _picture(
        figure,
        f"The path of choices: {'; '.join(listed)}.",
        rows,
        {**dict.fromkeys(("val_f1", "test_f1"), ".4f"), **dict.fromkeys(("difference", "low", "high"), "+.4f")},
    )


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:25]}…"
