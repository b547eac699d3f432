"""The built-in sample: a small ten-class image set, made offline from what scikit-learn ships.

Handwritten digits are enlarged, slightly rotated, shifted, coloured and blended onto patches of two photographs. After
a minute of training, a small CNN and a better one differ; no result on it says anything about CIFAR-10.
"""

import io
import pickle
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnlab import surroundings
from cnnlab.data.dataset import Dataset, gray
from cnnlab.data.finding import ARCHIVE
from cnnlab.data.folder import write_gray_batches
from cnnlab.data.formats import cifar

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLACE = ("data", "sample")
"""The folder that is made if it is missing: `data/sample`, wherever the project is."""
SIDE = 32  # height and width of an image, in pixels
SEED = 7
ROTATION = 12.0  # largest rotation of a digit, in degrees either way
SHIFT = 2.0  # largest shift of a digit from the centre, in pixels either way
ZOOM = (2.8, 3.4)  # smallest and largest enlargement of the 8x8 digits
OPACITY = (0.7, 1.0)  # smallest and largest opacity of a digit
COLOUR = (0.5, 1.0)  # smallest and largest red, green and blue of a digit
BACKGROUND = 0.5  # brightness of the photograph, low enough to recognise the digit in grayscale


def make(train: int = 2500, test: int = 1000, seed: int = SEED) -> Dataset:
    """Make the colour sample: (n, 32, 32, 3) uint8 images in ten balanced classes.

    Training and test images come from different handwritten digits: two thirds of each class are for training.

    Args:
        train: Number of training images.
        test: Number of test images.
        seed: Of all random choices; the same seed gives the same pixels.
    """
    from sklearn.datasets import load_digits, load_sample_images

    digits = load_digits()
    photos = load_sample_images().images
    rng = np.random.default_rng(seed)
    digits_of_class = [rng.permutation(np.flatnonzero(digits.target == label)) for label in range(10)]
    parts = []
    for size, low, high in ((train, 0.0, 2 / 3), (test, 2 / 3, 1.0)):
        labels = rng.permutation(np.arange(size) % 10)
        pools = [indices[int(low * len(indices)) : int(high * len(indices))] for indices in digits_of_class]
        images = [_blend(digits.images[rng.choice(pools[label])] / 16, photos, rng) for label in labels]
        parts.append((np.stack(images), labels.astype(np.int64)))
    return Dataset(*parts[0], *parts[1], NAMES)


def _blend(digit: NDArray[np.float64], photos: list[NDArray[np.uint8]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw an (8, 8) digit with values of 0 to 1 over a random patch of a photograph."""
    from scipy.ndimage import affine_transform

    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / rng.uniform(*ZOOM)
    centre = np.array([SIDE / 2 - 0.5] * 2) + rng.uniform(-SHIFT, SHIFT, 2)
    mask = affine_transform(digit, matrix, 3.5 - matrix @ centre, output_shape=(SIDE, SIDE), order=1)
    photo = photos[rng.integers(len(photos))]
    stride = rng.integers(1, 4)
    top, left = rng.integers(0, np.array(photo.shape[:2]) - SIDE * stride)
    patch = photo[top : top + SIDE * stride : stride, left : left + SIDE * stride : stride] / 255
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    opacity = (rng.uniform(*OPACITY) * mask)[..., None]
    image = (1 - opacity) * BACKGROUND * patch + opacity * rng.uniform(*COLOUR, 3)
    return np.rint(255 * image).clip(0, 255).astype(np.uint8)


def write(directory: str | Path, colour: Dataset | None = None, n_batches: int = 5) -> None:
    """Write the sample as a CIFAR-10 archive and as grayscale batches.

    The files are made beside the folder and moved in when all are complete.

    Args:
        directory: The folder; made if missing.
        colour: The images; `make()` by default.
        n_batches: Number of training batches.
    """
    colour = colour or make()
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as name:
        temporary = Path(name)
        _write_archive(colour, temporary / ARCHIVE, n_batches)
        write_gray_batches(gray(colour), temporary, n_batches)
        temporary.chmod(0o755)
        try:
            temporary.rename(directory)  # all at once: if the process is killed, there is no incomplete folder
        except OSError:  # the folder exists and has files
            for path in sorted(temporary.iterdir()):
                path.replace(directory / path.name)


def find_folder(path: str | Path) -> Path:
    """Return the absolute path of a folder of images. The built-in sample is written if its folder is missing.

    Args:
        path: The folder. A relative path starts in the project's folder, whatever the working directory is.
    """
    folder = surroundings.project_path(path)
    if folder.parts[-2:] == PLACE and not folder.exists():
        write(folder)
    return folder


def _write_archive(colour: Dataset, path: Path, n_batches: int) -> None:
    rows_of_batch = np.array_split(np.arange(len(colour.train_labels)), n_batches)
    contents: dict[str, dict[bytes, object]] = {
        "batches.meta": {
            b"num_cases_per_batch": len(rows_of_batch[0]),
            b"label_names": [name.encode() for name in colour.class_names],
            b"num_vis": int(np.prod(colour.image_shape)),
        }
    }
    batches = [
        (f"data_batch_{number}", colour.train_images[rows], colour.train_labels[rows], f"training batch {number}")
        for number, rows in enumerate(rows_of_batch, 1)
    ]
    for name, images, labels, title in [
        *batches,
        ("test_batch", colour.test_images, colour.test_labels, "testing batch 1"),
    ]:
        contents[name] = {
            b"batch_label": title.encode(),
            b"labels": labels.tolist(),
            b"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1),
            b"filenames": [f"{name}_{row:05d}.png".encode() for row in range(len(images))],
        }
    with tarfile.open(path, "w:gz", compresslevel=6) as archive:
        for name, content in contents.items():
            pickled = pickle.dumps(content, protocol=2)
            member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")  # without time and owner
            member.size = len(pickled)
            archive.addfile(member, io.BytesIO(pickled))
