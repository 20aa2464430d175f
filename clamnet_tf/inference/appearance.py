"""Recognise images that are unlike those a model learned from: another body part, upside down, inverted.

A network marks whatever it is given. This module describes the training images by small pictures of them
(preprocessing/thumbnails.py) and a probabilistic principal component analysis (Tipping and Bishop, Journal of
the Royal Statistical Society B 61, 1999), and says how far another image lies from them. No labels and no
masks are used.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.errors import RunError
from clamnet_tf.files import atomic_path
from clamnet_tf.preprocessing.thumbnails import SIDE

LEAST_PATIENTS = 10
"""Fewer training patients say too little of what images look like."""
_COMPONENTS = 16
_FOLDS = 5
_BEYOND = 1.5  # times the distance that 99 of 100 held-out training images do not reach
_CLEARLY = 1.25  # a turned image must fit this many times better, or more where training images vary
_LEAST = 1e-9  # distance, where training images are all alike
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
        limits: (of a single slice, of the median of a volume's slices): distances beyond which an image is
            unlike the training images.
        turned: A turned image must fit this many times better to be called so.
        inverted: The same of an inverted image.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    noise: float
    limits: tuple[float, float]
    turned: float
    inverted: float

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
        slices, medians, turned, inverted = [], [], [], []
        for fold in range(_FOLDS):
            here = [fold_of[patient] == fold for patient in patients]
            axes = _Axes.of([volume for volume, held_out in zip(volumes, here) if not held_out])
            for volume in (volume for volume, held_out in zip(volumes, here) if held_out):
                own = axes.distances(volume)
                slices += own.tolist()
                medians.append(max(float(np.median(own)), _LEAST))
                turned.append(min(_turned(axes, volume).values()) / medians[-1])
                inverted.append(float(np.median(axes.distances(1 - volume))) / medians[-1])
        axes = _Axes.of(volumes)
        limits = [_BEYOND * max(float(np.quantile(values, 0.99)), _LEAST) for values in (slices, medians)]
        gains = [max(float(np.quantile(values, 0.01)), _LEAST) for values in (turned, inverted)]
        return cls(
            axes.mean,
            axes.components,
            axes.variances,
            axes.noise,
            (limits[0], limits[1]),
            *(max(_CLEARLY, 1.1 / gain) for gain in gains),
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
        limit = self.limits[len(volume) >= _FEW]
        own = float(np.median(axes.distances(volume)))
        others = _turned(axes, volume) | {INVERTED: float(np.median(axes.distances(1 - volume)))}
        needed = {name: self.inverted if name == INVERTED else self.turned for name in others}
        better = {
            name: other
            for name, other in others.items()
            if other <= limit / _BEYOND and own > needed[name] * max(other, _LEAST)
        }
        return Appearance(own / limit, min(better, key=lambda name: better[name]) if better else None)

    def save(self, path) -> None:
        """Write the model to an .npz file; components in half precision, which moves distances by less than
        1 %.
        """
        with atomic_path(Path(path)) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(
                stream,
                mean=self.mean.astype(np.float16),
                components=self.components.astype(np.float16),
                variances=self.variances,
                noise=np.float64(self.noise),
                limits=np.array(self.limits),
                needed=np.array([self.turned, self.inverted]),
            )

    @classmethod
    def load(cls, path) -> "AppearanceModel":
        """Read a model from an .npz file.

        Raises:
            RunError: The file is missing or damaged.
        """
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as content:
                stored = {name: content[name].astype(np.float64) for name in content.files}
            model = cls(
                stored["mean"],
                stored["components"],
                stored["variances"],
                float(stored["noise"]),
                (float(stored["limits"][0]), float(stored["limits"][1])),
                float(stored["needed"][0]),
                float(stored["needed"][1]),
            )
            whole, count = len(model.mean), len(model.variances)
            if model.components.shape != (count, whole) or whole % SIDE**2 or not whole:
                raise ValueError(f"components of shape {model.components.shape}, mean of length {whole}")
            if not all(np.isfinite(each).all() for each in stored.values()) or min(model.limits) <= 0:
                raise ValueError("values that are not finite, or limits that are not positive")
        except (OSError, KeyError, IndexError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(
                f"{path}: expected what training images look like, as fit writes it; received a damaged "
                f"file ({type(error).__name__}: {error}). Copy it again from the trained run, or remove it: "
                f"predict then does not notice images unlike those the model learned from."
            ) from error
        return model


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
        _, lengths, axes = np.linalg.svd(flat - mean, full_matrices=False)
        variances = lengths**2 / max(len(flat) - 1, 1)
        count = min(_COMPONENTS, max(len(flat) // 4, 1))
        floor = 1e-6  # of 0 to 1: images that are all alike have no variance at all
        noise = max(float(variances[count:].sum()) / (flat.shape[1] - count), floor)
        return cls(mean, axes[:count], np.maximum(variances[:count], floor), noise)

    def distances(self, volume: np.ndarray) -> np.ndarray:
        """Return the squared Mahalanobis distance (n,) of each thumbnail (n, 32, 32, channels)."""
        off = volume.reshape(len(volume), -1) - self.mean
        along = off @ self.components.T
        rest = np.maximum((off**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return (along**2 / self.variances).sum(axis=1) + rest / self.noise


def _turned(axes: _Axes, volume: np.ndarray) -> dict[str, float]:
    """Return how a volume may be stored -> its distance when it is turned back, the least of several ways."""
    return {
        name: min(float(np.median(axes.distances(turn(volume)))) for turn in turns)
        for name, turns in _TURNS.items()
    }
