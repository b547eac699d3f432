"""The built-in sample: a small ten-class image set made offline from what scikit-learn ships.

Handwritten digits are enlarged, turned a little, shifted, coloured and blended onto patches of two photographs. A
data set of its own difficulty, so that a small CNN and a better one differ after a minute of training; nothing
measured on it says anything about CIFAR-10.
"""

import io
import pickle
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnlab.data.dataset import Dataset, gray
from cnnlab.data.folder import ARCHIVE, write_gray_batches
from cnnlab.data.formats import cifar

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


PLACE = ("data", "sample")
"""The folder whose missing sample is made: `data/sample`, wherever the project lies."""


SIDE = 32


SEED = 7


TURN = 12.0
"""Largest turn of a digit, in degrees either way."""


SHIFT = 2.0
"""Largest shift of a digit from the centre, in pixels either way."""


ENLARGE = (2.8, 3.4)
"""Smallest and largest enlargement of the 8x8 digits."""


STRENGTH = (0.7, 1.0)
"""Smallest and largest opacity of a digit over the photograph."""


INK = (0.5, 1.0)
"""Smallest and largest red, green and blue of a digit, of 1."""


DIM = 0.5
"""Brightness left to the photograph, so that a digit can be made out in gray as well."""


def make(train: int = 2500, test: int = 1000, seed: int = SEED) -> Dataset:
    """Make the colour sample: (n, 32, 32, 3) uint8 images in ten balanced classes.

    Training and test images come from different handwritten digits: two thirds of each class are for training.

    Args:
        train: Number of training images.
        test: Number of test images.
        seed: Of every random choice; the same seed gives the same pixels.
    """
    from sklearn.datasets import load_digits, load_sample_images

    digits = load_digits()
    photos = load_sample_images().images
    rng = np.random.default_rng(seed)
    sources = [rng.permutation(np.flatnonzero(digits.target == label)) for label in range(10)]
    parts = []
    for size, low, high in ((train, 0.0, 2 / 3), (test, 2 / 3, 1.0)):
        labels = rng.permutation(np.arange(size) % 10)
        pools = [of[int(low * len(of)) : int(high * len(of))] for of in sources]
        images = [_blend(digits.images[rng.choice(pools[label])] / 16, photos, rng) for label in labels]
        parts.append((np.stack(images), labels.astype(np.int64)))
    return Dataset(*parts[0], *parts[1], NAMES)


def _blend(digit: NDArray[np.float64], photos: list[NDArray[np.uint8]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one (8, 8) digit of 0 to 1 over a random patch of a photograph."""
    from scipy.ndimage import affine_transform

    angle = np.deg2rad(rng.uniform(-TURN, TURN))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / rng.uniform(*ENLARGE)
    centre = np.array([SIDE / 2 - 0.5] * 2) + rng.uniform(-SHIFT, SHIFT, 2)
    mask = affine_transform(digit, turn, 3.5 - turn @ centre, output_shape=(SIDE, SIDE), order=1)
    photo = photos[rng.integers(len(photos))]
    zoom = rng.integers(1, 4)
    top, left = rng.integers(0, np.array(photo.shape[:2]) - SIDE * zoom)
    patch = photo[top : top + SIDE * zoom : zoom, left : left + SIDE * zoom : zoom] / 255
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    opacity = (rng.uniform(*STRENGTH) * mask)[..., None]
    image = (1 - opacity) * DIM * patch + opacity * rng.uniform(*INK, 3)
    return np.rint(255 * image).clip(0, 255).astype(np.uint8)


def write(directory: str | Path, colour: Dataset | None = None, n_batches: int = 5) -> None:
    """Write the sample in both formats that cnnlab reads: a CIFAR-10 archive and grayscale batches.

    Nothing is half-written: the files are made beside the folder and moved in when all are there.

    Args:
        directory: Where to; made if missing.
        colour: The images; `make()` by default.
        n_batches: Number of training batches.
    """
    colour = colour or make()
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as scratch:
        _write_archive(colour, Path(scratch) / ARCHIVE, n_batches)
        write_gray_batches(gray(colour), scratch, n_batches)
        Path(scratch).chmod(0o755)
        try:
            Path(scratch).rename(directory)  # all at once: whoever is killed here leaves no half of a folder
        except OSError:  # there is one, with files in it
            for path in sorted(Path(scratch).iterdir()):
                path.replace(directory / path.name)


def _write_archive(colour: Dataset, path: Path, n_batches: int) -> None:
    pieces = np.array_split(np.arange(len(colour.train_labels)), n_batches)
    batches: dict[str, dict[bytes, object]] = {
        "batches.meta": {
            b"num_cases_per_batch": len(pieces[0]),
            b"label_names": [name.encode() for name in colour.class_names],
            b"num_vis": int(np.prod(colour.image_shape)),
        }
    }
    parts = [
        (f"data_batch_{number}", colour.train_images[rows], colour.train_labels[rows], f"training batch {number}")
        for number, rows in enumerate(pieces, 1)
    ]
    parts.append(("test_batch", colour.test_images, colour.test_labels, "testing batch 1"))
    for name, images, labels, title in parts:
        batches[name] = {
            b"batch_label": title.encode(),
            b"labels": labels.tolist(),
            b"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1),
            b"filenames": [f"{name}_{row:05d}.png".encode() for row in range(len(images))],
        }
    # Fixed times and owners: the same sample is the same file.
    with tarfile.open(path, "w:gz", compresslevel=6) as archive:
        for name, batch in batches.items():
            payload = pickle.dumps(batch, protocol=2)
            member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            member.size = len(payload)
            archive.addfile(member, io.BytesIO(payload))
