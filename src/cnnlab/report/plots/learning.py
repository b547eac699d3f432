"""The plot of the learning curve."""

import matplotlib as mpl
from matplotlib.axes import Axes

from cnnlab.report.plots.picture import COLOURS, STYLE, Picture, _figure, _picture
from cnnlab.tuning import CurvePoint, LearningCurve

_SCORES = (("val_f1", COLOURS[1], "white"), ("test_f1", COLOURS[0], COLOURS[0]))  # as in `path`


@mpl.rc_context(STYLE)
def learning_curve(curve: LearningCurve) -> Picture:
    """Draw the F1 of the final model by its number of training images: a dot a run, a line through the means.

    Bars are 95 % intervals of the means. Validation scores are hollow, test scores filled.
    """
    figure, axes = _figure(5.2, 3.2)
    axis: Axes = axes[0, 0]
    images = [point.images for point in curve.points]
    for score, colour, face in _SCORES:
        shift = 0.985 if score == "val_f1" else 1.015  # side by side, or their intervals would cover each other
        places = [shift * number for number in images]
        for place, point in zip(places, curve.points, strict=True):
            runs = [record.scores[score] for record in point.records]
            axis.plot([place] * len(runs), runs, "o", color=colour, markerfacecolor=face, markersize=4, alpha=0.7)
            low, high = _interval(point, score)
            axis.plot([place, place], [low, high], color=colour, linewidth=1.6)  # nothing where they are NaN
        axis.plot(places, [getattr(point, score) for point in curve.points], color=colour, linewidth=1.4, label=score)
    axis.set_xscale("log", base=2)
    axis.set_xticks(images, [f"{number:,}" for number in images])
    axis.minorticks_off()
    axis.set_xlabel("training images")
    axis.set_ylabel("macro-F1 of the final model")
    axis.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    return _picture(figure, _alt(curve), [_row(point) for point in curve.points], {"training images": ",d"} | _FORMATS)


_FORMATS = {f"{score}{end}": ".4f" for score, *_ in _SCORES for end in ("", " low", " high")}


def _interval(point: CurvePoint, score: str) -> tuple[float, float]:
    return point.val_interval if score == "val_f1" else point.test_interval


def _row(point: CurvePoint) -> dict[str, object]:
    row: dict[str, object] = {"training images": point.images, "runs": len(point.records)}
    for score, *_ in _SCORES:
        low, high = _interval(point, score)
        row |= {score: getattr(point, score), f"{score} low": low, f"{score} high": high}
    return row


def _alt(curve: LearningCurve) -> str:
    parts = []
    for point in curve.points:
        scores = []
        for score, *_ in _SCORES:
            low, high = _interval(point, score)
            interval = f" ({low:.3f} to {high:.3f})" if len(point.records) > 1 else ""
            scores.append(f"{score} {getattr(point, score):.3f}{interval}")
        parts.append(f"{point.images:,} images: {', '.join(scores)}")
    return f"Macro-F1 of the final model by training images, means with 95 % intervals: {'; '.join(parts)}."
