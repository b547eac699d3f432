"""Images that occur twice, as pairs side by side."""

from IPython.display import Markdown

from cnnlab.data import CORRELATION, Dataset, Pairs, find_copies, image_name
from cnnlab.report import plots
from cnnlab.report.plots import Picture
from cnnlab.report.tables import count, visible_name
from cnnlab.tuning import StudyImages

SHOWN_PAIRS = 10
"""Pairs of each two parts that are shown; the others are counted."""
_ABOUT = f"""\
## Copies

Pairs of images that are equal, pixel by pixel (exact), or equal up to brightness, contrast and small changes (near): \
shrunk to at most 32 x 32 gray pixels, their correlation is at least {CORRELATION}. Plain drawings of one class may \
resemble each other this much without being copies, so look at them before you remove any. Pairs with two labels come \
first."""


def copied_images(images: StudyImages) -> list[Markdown | Picture]:
    """Return the first pairs of copies as pictures, each with a sentence; nothing where there are none.

    Kinds of copies that the user accepts are left out.
    """
    dataset = images.folder.colour or images.folder.gray
    in_train, in_test, across = find_copies(dataset)
    shown: list[Markdown | Picture] = []
    for pairs, exact in ((across, "test-copies"), (in_train, "identical-images"), (in_test, "identical-images")):
        kept = pairs
        for kind, is_exact in ((exact, True), ("near-copies", False)):
            if kind in images.accepted:
                kept = kept.of_kind(exact=not is_exact)
        if len(kept):
            shown += [Markdown(_summary(kept)), _picture(dataset, kept)]
    return [Markdown(_ABOUT), *shown] if shown else []


def _summary(pairs: Pairs) -> str:
    numbers = {"exact": int(pairs.is_exact.sum()), "near": int((~pairs.is_exact).sum())}
    kinds = " and ".join(f"{number:,} {kind}" for kind, number in numbers.items() if number)
    mixed = f", {int(pairs.is_mixed.sum()):,} of them with two labels" if pairs.is_mixed.any() else ""
    more = f" The first {SHOWN_PAIRS}:" if len(pairs) > SHOWN_PAIRS else ""
    return f"{kinds} {'pair' if len(pairs) == 1 else 'pairs'} of {_parts(pairs)}{mixed}.{more}"


def _parts(pairs: Pairs) -> str:
    first, second = pairs.parts
    return f"{first} images" if first == second else f"a {first} image and a {second} image"


def _picture(dataset: Dataset, pairs: Pairs) -> Picture:
    """Draw the first pairs, each below the names of its files and its labels."""
    pixels = dict(dataset.parts)
    labels = {"training": dataset.train_labels, "test": dataset.test_labels}
    left, right = (pixels[part][pairs.indices[:SHOWN_PAIRS, place]] for place, part in enumerate(pairs.parts))
    titles = []
    for pair, is_exact in zip(pairs.indices[:SHOWN_PAIRS].tolist(), pairs.is_exact, strict=False):
        both = list(zip(pairs.parts, pair, strict=True))
        names = [visible_name(dataset.class_names[labels[part][index]]) for part, index in both]
        kind = f"{' and '.join(dict.fromkeys(names))}, {'exact' if is_exact else 'near'}"
        titles.append("\n".join([*(image_name(dataset, part, index) for part, index in both), kind]))
    listed = "; ".join(title.replace("\n", " and ", 1).replace("\n", ": ") for title in titles)
    alt = f"{count(len(titles), 'pair')} of {_parts(pairs)}: {listed}."
    return plots.image_pairs(left, right, titles, alt)
