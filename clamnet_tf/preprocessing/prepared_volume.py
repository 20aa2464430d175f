"""Turn one assembled volume into the slices of a network: organ, one crop box, normalisation, resizing.

The cache and `predict` both use it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.windows import normalize, window_of
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.crop import CropBox, crop_box
from clamnet_tf.preprocessing.organ_region import organ_region
from clamnet_tf.preprocessing.volumes import slice_hash
from clamnet_tf.recipe.schema_data import DataSection, OrganSection
from clamnet_tf.threads import in_threads

_LARGEST_FLOAT16 = 65504.0


@dataclass(frozen=True, eq=False)
class PreparedVolume:
    """The requested slices of one volume, in the order of `AssembledVolume.wanted`.

    Attributes:
        images: (n, side, side, C) float16, normalised, 0 outside the organ unless organ.surroundings are
            kept; float16 everywhere, so that a cached slice and one computed on the spot are the same
            numbers.
        organ: (n, side, side) uint8, 1 = organ, its rim taken off.
        box: the volume's crop on the original grid.
        area: per slice, organ fraction of the ORIGINAL image, in 0..1.
        pixel_hash: per slice, sha256 of its pixels; '' for a constant image.
        fallback: number of slices (of all that the volume has) where organ.method found nothing plausible and
            took the foreground.
        windowed: whether the files are 8-bit pictures, taken to show data.window already.
        notes: of the assembled volume, on what was accepted or changed to read it.
    """

    images: np.ndarray
    organ: np.ndarray
    box: CropBox
    area: tuple[float, ...]
    pixel_hash: tuple[str, ...]
    fallback: int = 0
    windowed: bool = False
    notes: tuple[str, ...] = ()


def prepare_volume(
    volume: AssembledVolume, image: Path, data: DataSection, organ: OrganSection, organ_network=None
) -> PreparedVolume:
    """Find the organ, lay one box around it, normalise by the statistics inside it, crop and resize to
    data.side.

    Args:
        volume: the assembled volume.
        image: file of the volume, for messages.
        data: recipe section `data`.
        organ: recipe section `organ`.
        organ_network: see `organ_region`.

    Returns:
        The prepared slices; a constant slice has an empty organ.

    Raises:
        DataError: values are too large for float16.
    """
    array, side = volume.array, data.side
    hashes = in_threads(slice_hash, array)
    region, fallback = organ_region(volume, organ, organ_network)
    region[[not value for value in hashes]] = False
    box = crop_box(region, organ.margin)
    eight_bits = bool(volume.grids) and all(grid.eight_bits for grid in volume.grids)
    measured = region if volume.excluded is None else region & ~volume.excluded
    values = normalize(array, measured, data.normalization, window_of(data.window, eight_bits))
    if organ.surroundings == "blank":
        values = values * region[..., None]
    largest = float(np.abs(values).max())
    if largest > _LARGEST_FLOAT16:
        raise DataError(
            f"{image}: values up to {largest:.0f} after data.normalization={data.normalization} "
            f"exceed {_LARGEST_FLOAT16:.0f}, the largest that the cache holds; use zscore, percentile or "
            f"window."
        )
    indices = [index for index, *_ in volume.wanted]
    images = np.empty((len(indices), side, side, array.shape[-1]), np.float16)
    regions = np.empty((len(indices), side, side), np.uint8)

    def crop(row: int, index: int) -> None:
        images[row] = box.crop(values[index], side)
        regions[row] = box.crop(region[index], side, nearest=True)

    in_threads(crop, range(len(indices)), indices)
    areas = tuple(float(region[index].mean()) for index in indices)
    return PreparedVolume(
        images,
        regions,
        box,
        areas,
        tuple(hashes[index] for index in indices),
        fallback,
        eight_bits and data.window is not None,
        _notes(volume),
    )


def _notes(volume: AssembledVolume) -> tuple[str, ...]:
    """Return the volume's notes without repetitions, those of its files' readers on the display of values
    included.
    """
    return tuple(dict.fromkeys(volume.notes))
