"""Recognise images that are unlike those a model learned from: another body part, upside down, inverted.

A network marks whatever it is given. This module describes the training images by small pictures of them
(preprocessing/thumbnails.py) and a probabilistic principal component analysis (Tipping and Bishop, Journal of
the Royal Statistical Society B 61, 1999), and says how far another image lies from them. No labels and no
masks are used.
"""

import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import eigh

from clamnet_tf.errors import RunError
from clamnet_tf.files import atomic_path, open_regular
from clamnet_tf.preprocessing.thumbnails import SIDE

LEAST_PATIENTS = 10
"""Fewer training patients say too little of what images look like."""
_COMPONENTS = 16
_FOLDS = 5
_BEYOND = 1.5  # times the distance that 99 of 100 held-out training images do not reach
_CLEARLY = 1.25  # a turned image must fit this many times better, or more where training images vary
_LEAST = 1e-9  # distance, where training images are all alike
_NOISE = 1e-6  # variance of values of 0 to 1: images that are all alike have none at all
_LARGEST = 20_000_000  # bytes of a file's arrays; those of 16 channels have 1.2 million
_DAMAGE = (  # what numpy and zipfile raise for damaged archives
    OSError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    SyntaxError,
    RuntimeError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_FEW = 4  # slices: the median of fewer scatters as single slices do

_TURNS = {
    "upside down": (lambda small: small[:, ::-1], lambda small: small[:, ::-1, ::-1]),
    "lying on its side": (
        lambda small: np.rot90(small, 1, (1, 2)),
        lambda small: np.rot90(small, 3, (1, 2)),
        lambda small: small.transpose(0, 2, 1, 3),
        lambda small: np.rot90(small, 2, (1, 2)).transpose(0, 2, 1, 3),
    ),
}
INVERTED = "inverted, dark for bright"


@dataclass(frozen=True)
class Appearance:
    """How an image looks, compared with the training images.

    Attributes:
        distance: Distance to the training images, 1 at the limit beyond which an image is unlike them.
        stored: "upside down", "lying on its side" or "inverted, dark for bright" when the image would look
            as training images do if it were not, and does so clearly less as it is; None otherwise.
    """

    distance: float
    stored: str | None


@dataclass(frozen=True, eq=False)
class AppearanceModel:
    """Describe what the training images of a model look like.

    Attributes:
        mean: (P,) mean thumbnail, P = 32 x 32 x channels.
        components: (q, P) principal components, of length 1.
        variances: (q,) variance along each.
        noise: Variance of every other direction.
        limits: Distances beyond which an image is unlike the training images; like the next two, first of an
            image of fewer than 4 slices, then of larger volumes.
        turned: How many times better a turned image must fit to be called so.
        inverted: The same of an inverted image.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    noise: float
    limits: tuple[float, float]
    turned: tuple[float, float]
    inverted: tuple[float, float]

    @property
    def channels(self) -> int:
        """Return the number of channels of the images."""
        return len(self.mean) // SIDE**2

    @classmethod
    def fit(cls, volumes: Sequence[np.ndarray], patients: Sequence[str]) -> "AppearanceModel | None":
        """Fit the model to the training images.

        The limits come from a cross-validation over patients: of every fold's images, the distance to the
        images of the other folds.

        Args:
            volumes: (n, 32, 32, channels) thumbnails of each training volume, n at least 1.
            patients: Patient of each volume.

        Returns:
            The model; None with fewer than 10 patients.
        """
        names = sorted(set(patients))
        if len(names) < LEAST_PATIENTS:
            return None
        fold_of = {name: index % _FOLDS for index, name in enumerate(names)}
        singles, medians = [], []  # rows: distance as it is, ratio when turned, ratio when inverted
        for fold in range(_FOLDS):
            here = [fold_of[patient] == fold for patient in patients]
            axes = _Axes.of([volume for volume, held_out in zip(volumes, here) if not held_out])
            for volume in (volume for volume, held_out in zip(volumes, here) if held_out):
                medians.append(_ratios(axes, volume))
                singles += [_ratios(axes, volume[index : index + 1]) for index in range(len(volume))]
        axes = _Axes.of(volumes)
        found = [np.array(rows) for rows in (singles, medians)]
        limits = [_BEYOND * float(np.quantile(rows[:, 0], 0.99)) for rows in found]
        gains = [[1.1 / float(np.quantile(rows[:, column], 0.01)) for rows in found] for column in (1, 2)]
        needed = [(max(_CLEARLY, single), max(_CLEARLY, volume)) for single, volume in gains]
        return cls(
            axes.mean,
            axes.components,
            axes.variances,
            axes.noise,
            (limits[0], limits[1]),
            needed[0],
            needed[1],
        )

    def assess(self, volume: np.ndarray) -> Appearance | None:
        """Compare an image with the training images.

        Args:
            volume: (n, 32, 32, channels) thumbnails of the image.

        Returns:
            The comparison; None when the image has no slice to compare (n is 0).

        Raises:
            ValueError: The image has another number of channels.
        """
        if volume.shape[1:] != (SIDE, SIDE, self.channels):
            raise ValueError(
                f"thumbnails: expected (n, {SIDE}, {SIDE}, {self.channels}); received {volume.shape}."
            )
        if not len(volume):
            return None
        axes = _Axes(self.mean, self.components, self.variances, self.noise)
        size = int(len(volume) >= _FEW)
        limit = self.limits[size]
        own = _distance(axes, volume)
        others = _turned(axes, volume) | {INVERTED: _distance(axes, 1 - volume)}
        better = {
            name: other
            for name, other in others.items()
            if other <= limit / _BEYOND
            and own > (self.inverted if name == INVERTED else self.turned)[size] * other
        }
        return Appearance(own / limit, min(better, key=lambda name: better[name]) if better else None)

    def save(self, path) -> None:
        """Write the model to an .npz file, mean and components in single precision."""
        with atomic_path(Path(path)) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(
                stream,
                mean=self.mean.astype(np.float32),
                components=self.components.astype(np.float32),
                variances=self.variances,
                noise=np.float64(self.noise),
                rules=np.array([self.limits, self.turned, self.inverted]),
            )

    @classmethod
    def load(cls, path) -> "AppearanceModel":
        """Read a model from an .npz file.

        Raises:
            RunError: The file is missing or damaged.
        """
        try:
            with open_regular(Path(path)) as stream:
                mean, components, variances, noise, rules = _arrays(stream)
        except _DAMAGE as error:
            raise RunError(
                f"{path}: expected what training images look like, as fit writes it; received a damaged "
                f"file ({type(error).__name__}: {error}). Copy it again from the trained run, or remove it: "
                f"predict then does not notice images unlike those the model learned from."
            ) from error
        limits, turned, inverted = ((float(single), float(volume)) for single, volume in rules)
        return cls(mean, components, variances, float(noise), limits, turned, inverted)


def _arrays(stream) -> list[np.ndarray]:
    """Return mean, components, variances, noise and rules of an open file.

    Raises:
        One of _DAMAGE: They are not what `AppearanceModel.save` writes.
    """
    names = ("mean", "components", "variances", "noise", "rules")
    with zipfile.ZipFile(stream) as archive:
        size = sum(archive.getinfo(f"{name}.npy").file_size for name in names)
    if size > _LARGEST:
        raise ValueError(f"arrays of {size} bytes")
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as content:
        arrays = [content[name] for name in names]
    if any(array.dtype.kind != "f" for array in arrays):
        raise ValueError("values that are no floating-point numbers")
    mean, components, variances, noise, rules = (array.astype(np.float64) for array in arrays)
    pixels, count = mean.size, variances.size
    shapes = ((pixels,), (count, pixels), (count,), (), (3, 2))
    if tuple(array.shape for array in arrays) != shapes or not pixels or pixels % SIDE**2:
        raise ValueError(f"arrays of shapes {', '.join(str(array.shape) for array in arrays)}")
    if not all(np.isfinite(array).all() for array in (mean, components)):
        raise ValueError("values that are not finite")
    if not all(np.isfinite(array).all() and (array > 0).all() for array in (variances, noise, rules)):
        raise ValueError("variances or limits that are not positive")
    return [mean, components, variances, noise, rules]


@dataclass(frozen=True, eq=False)
class _Axes:
    """Mean and principal axes of thumbnails; attributes as in AppearanceModel."""

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    noise: float

    @classmethod
    def of(cls, volumes: Sequence[np.ndarray]) -> "_Axes":
        """Return those of volumes of thumbnails (n, 32, 32, channels)."""
        flat = np.concatenate([volume.reshape(len(volume), -1) for volume in volumes]).astype(np.float64)
        mean = flat.mean(axis=0)
        off = flat - mean
        wide = len(off) < off.shape[1]
        products = off @ off.T if wide else off.T @ off
        count = min(_COMPONENTS, max(len(flat) // 4, 1), len(products))
        squares, vectors = eigh(products, subset_by_index=[len(products) - count, len(products) - 1])
        axes = vectors[:, ::-1].T @ off if wide else vectors[:, ::-1].T
        lengths = np.linalg.norm(axes, axis=1, keepdims=True)
        axes = np.divide(axes, lengths, out=np.zeros_like(axes), where=lengths > 0)
        degrees = max(len(flat) - 1, 1)
        rest = float(np.trace(products) - squares.sum()) / degrees / (flat.shape[1] - count)
        return cls(mean, axes, np.maximum(squares[::-1] / degrees, _NOISE), max(rest, _NOISE))

    def distances(self, volume: np.ndarray) -> np.ndarray:
        """Return the squared Mahalanobis distance (n,) of each thumbnail (n, 32, 32, channels)."""
        off = volume.reshape(len(volume), -1) - self.mean
        along = off @ self.components.T
        rest = np.maximum((off**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return (along**2 / self.variances).sum(axis=1) + rest / self.noise


def _distance(axes: _Axes, volume: np.ndarray) -> float:
    """Return the distance of a volume: the median of its slices, at least _LEAST."""
    return max(float(np.median(axes.distances(volume))), _LEAST)


def _turned(axes: _Axes, volume: np.ndarray) -> dict[str, float]:
    """Return how a volume may be stored -> its distance when it is turned back, the least of several ways."""
    return {name: min(_distance(axes, turn(volume)) for turn in turns) for name, turns in _TURNS.items()}


def _ratios(axes: _Axes, volume: np.ndarray) -> tuple[float, float, float]:
    """Return the distance of a volume, and how many times larger it is turned (at least) and inverted."""
    own = _distance(axes, volume)
    return own, min(_turned(axes, volume).values()) / own, _distance(axes, 1 - volume) / own
