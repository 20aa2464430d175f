"""Build the average head of the simulated cohort: tissue maps of the MNI152 template, skull and scalp.

The maps come with nilearn (ICBM 2009a symmetric template, 1 mm, brain only; McConnell Brain Imaging Centre).
Its files are read directly, so that nothing is downloaded and nilearn itself is not imported. Head surface,
orbits and sinuses are not in the template; they are simple shapes in the same coordinates: millimetres, x to
the patient's right, y forward, z up, origin at the anterior commissure.
"""

import functools
import hashlib
import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from clamnet_tf.errors import EnvironmentFailure

TEMPLATE_FILES = {
    "grey": "mni_icbm152_gm_tal_nlin_sym_09a_converted.nii.gz",
    "white": "mni_icbm152_wm_tal_nlin_sym_09a_converted.nii.gz",
    "t1": "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
}
_COARSE_MM = 2.0
_PAD_MM = 24.0
_LOADING = threading.Lock()


@dataclass(frozen=True)
class Map:
    """A scalar map in template space.

    Attributes:
        values: float32, axes x, y, z.
        origin_mm: position of the first value.
        step_mm: distance of the values.
    """

    values: np.ndarray
    origin_mm: tuple[float, float, float]
    step_mm: float

    def at(self, x, y, z) -> np.ndarray:
        """Interpolate linearly at points given as three equal-shaped float arrays; outside, edge values are
        returned.
        """
        indices = [(axis - start) / self.step_mm for axis, start in zip((x, y, z), self.origin_mm)]
        return ndimage.map_coordinates(self.values, indices, order=1, mode="nearest", prefilter=False)


@dataclass(frozen=True)
class Head:
    """Maps of the average head.

    Attributes:
        grey, white: tissue probabilities, 0..1.
        depth: signed distance to the inner skull in mm, positive inside.
        surface: signed distance to the skin in mm, positive inside.
        ventricle: distance to the lateral and third ventricles in mm.
    """

    grey: Map
    white: Map
    depth: Map
    surface: Map
    ventricle: Map


def template_folder() -> Path:
    """Return the folder of nilearn's bundled template; raise EnvironmentFailure when a part is missing."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFailure(
            "The built-in cohort needs the brain template that comes with the package nilearn, which is not "
            "installed; "
            "run pip install 'clamnet-tf[train]', or give your own images with --data."
        )
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    missing = [name for name in TEMPLATE_FILES.values() if not (folder / name).is_file()]
    if missing:
        raise EnvironmentFailure(
            f"{folder}: nilearn's brain template lacks {', '.join(missing)}; install a release that has it "
            "(`pip install 'nilearn>=0.10'`), or give your own images with --data."
        )
    return folder


@functools.lru_cache(maxsize=1)
def template_hash() -> str:
    """Return the sha256 over the template files, so that a cached cohort records its source."""
    digest = hashlib.sha256()
    for name in TEMPLATE_FILES.values():
        digest.update((template_folder() / name).read_bytes())
    return digest.hexdigest()


def average_head() -> Head:
    """Load the template and derive the distance maps (about 3 s, 100 MB).

    This happens once per process, whichever thread asks first.
    """
    with _LOADING:
        return _average_head()


@functools.lru_cache(maxsize=1)
def _average_head() -> Head:
    folder = template_folder()
    loaded = {key: nibabel.load(folder / name) for key, name in TEMPLATE_FILES.items()}
    origin = tuple(float(value) for value in loaded["grey"].affine[:3, 3])
    grey, white = (np.asarray(loaded[key].dataobj, np.float32) / 255.0 for key in ("grey", "white"))
    brain = np.asarray(loaded["t1"].dataobj) > 0

    pad = int(_PAD_MM / _COARSE_MM)
    coarse_origin = tuple(value - _PAD_MM for value in origin)
    shrink = lambda array: np.pad(array[::2, ::2, ::2], pad)
    axes = [start + _COARSE_MM * np.arange(size) for start, size in zip(coarse_origin, shrink(brain).shape)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)

    depth = _signed_distance(_closed(shrink(brain), radius_mm=12.0))
    surface = _signed_distance(_head_mask(depth, x, y, z))
    fluid = shrink(grey) + shrink(white) < 0.5
    box = (abs(x) < 40) & (y > -62) & (y < 42) & (z > -4) & (z < 36) & (depth > 16)
    fissure = (abs(x) < 14) & ((y < -34) | (y > 26))
    ventricle = ndimage.distance_transform_edt(~(fluid & box & ~fissure), sampling=_COARSE_MM)

    coarse = lambda values: Map(values.astype(np.float32), coarse_origin, _COARSE_MM)
    return Head(
        Map(grey, origin, 1.0), Map(white, origin, 1.0), coarse(depth), coarse(surface), coarse(ventricle)
    )


def _closed(mask: np.ndarray, radius_mm: float) -> np.ndarray:
    """Close a mask morphologically by distance transforms and fill its holes."""
    near = ndimage.distance_transform_edt(~mask, sampling=_COARSE_MM) <= radius_mm
    return ndimage.binary_fill_holes(ndimage.distance_transform_edt(near, sampling=_COARSE_MM) > radius_mm)


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    inside = ndimage.distance_transform_edt(mask, sampling=_COARSE_MM)
    outside = ndimage.distance_transform_edt(~mask, sampling=_COARSE_MM)
    return ndimage.gaussian_filter(inside - outside, 1.0, mode="nearest")


def _head_mask(depth, x, y, z) -> np.ndarray:
    """Return the skull with its scalp, and below the eyebrows an egg-shaped face with a nose."""
    half_width = 74.0 - 0.06 * np.maximum(-z, 0.0)
    front = 84.0 - 0.12 * np.maximum(-30.0 - z, 0.0)
    back = -112.0 + 0.35 * np.maximum(-25.0 - z, 0.0)
    middle, half_length = (front + back) / 2, (front - back) / 2
    narrow = 1.0 - 0.10 * np.clip((y - middle) / half_length, -1.0, 1.0)
    egg = (abs(x) / (half_width * narrow)) ** 2.3 + (abs(y - middle) / half_length) ** 2.3 < 1.0
    nose = (abs(x) / 16.0) ** 2 + ((y - front) / (4.0 + 0.45 * np.clip(-22.0 - z, 0.0, 40.0))) ** 2 < 1.0
    mask = (depth > -12.0) | ((z < -2.0) & egg) | ((z < -24.0) & nose)
    return ndimage.gaussian_filter(mask.astype(np.float32), 2.0) > 0.5
