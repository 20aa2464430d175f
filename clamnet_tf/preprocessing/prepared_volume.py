"""One assembled volume -> the slices that a network sees: organ, one crop box, normalisation, resizing. For
the cache and for `predict`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.windows import normalize, window_of
from clamnet_tf.preprocessing.crop import CropBox, crop_box
from clamnet_tf.preprocessing.organ_region import organ_region
from clamnet_tf.preprocessing.volumes import AssembledVolume, slice_hash
from clamnet_tf.recipe.schema_data import DataSection, OrganSection

_LARGEST_FLOAT16 = 65504.0


@dataclass(frozen=True, eq=False)
class PreparedVolume:
    """The kept slices of one volume, in the order of `AssembledVolume.wanted`.

    images: (n, side, side, C) float16, normalised, 0 outside the organ unless organ.surroundings are kept;
        float16 everywhere, so that a cached slice and one computed on the spot are the same numbers
    organ: (n, side, side) uint8, 1 = organ, its rim taken off
    box: the volume's crop on the original grid
    area: per slice, organ fraction of the ORIGINAL image; pixel_hash: per slice, '' for a constant image
    fallback: slices (of all that the volume has) where organ.method found nothing plausible and took the
    foreground
    windowed: pictures of 8 bits, taken to show data.window already
    notes: of the assembled volume, on what was accepted or changed to read it
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

    A constant slice has an empty organ. `image` is named in messages; organ_network: as in `organ_region`.
    DataError: values too large for float16.
    """
    array, side = volume.array, data.side
    hashes = [slice_hash(one) for one in array]
    region, fallback = organ_region(volume, organ, organ_network)
    region[[not value for value in hashes]] = False
    box = crop_box(region, organ.margin)
    shown = bool(volume.grids) and all(grid.eight_bits for grid in volume.grids)
    measured = region if volume.excluded is None else region & ~volume.excluded
    values = normalize(array, measured, data.normalization, window_of(data.window, shown))
    if organ.surroundings == "blank":
        values = values * region[..., None]
    largest = float(np.abs(values).max())
    if largest > _LARGEST_FLOAT16:
        raise DataError(
            f"{image}: values up to {largest:.0f} after data.normalization={data.normalization} "
            f"exceed {_LARGEST_FLOAT16:.0f}, the largest that the cache holds; use zscore, percentile or "
            f"window."
        )
    numbers = [number for number, *_ in volume.wanted]
    images = np.empty((len(numbers), side, side, array.shape[-1]), np.float16)
    regions = np.empty((len(numbers), side, side), np.uint8)
    for row, number in enumerate(numbers):
        images[row] = box.crop(values[number], side)
        regions[row] = box.crop(region[number], side, nearest=True)
    areas = tuple(float(region[number].mean()) for number in numbers)
    return PreparedVolume(
        images,
        regions,
        box,
        areas,
        tuple(hashes[number] for number in numbers),
        fallback,
        shown and data.window is not None,
        _notes(volume),
    )


def _notes(volume: AssembledVolume) -> tuple[str, ...]:
    """Its own, and those of its files' readers on how values are shown."""
    return tuple(dict.fromkeys(volume.notes))
