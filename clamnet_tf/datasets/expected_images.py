"""Check and adapt images to what a model expects: their modality, units and number of channels.

Read with these expectations, an image either fits, is brought to fit (gray stored as RGB becomes one channel,
an X-ray gets the values that its file says to show) or is refused by name. `--any-modality` insists on what
the modality alone forbids.
"""

from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.colour_check import gray_of, is_colour
from clamnet_tf.imaging.hounsfield_check import why_not_hounsfield
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.imaging.volume import Volume

MODALITIES = {  # recipe.modality -> Modality (0008,0060) of DICOM files of that kind (PS3.3 C.7.3.1.1.1)
    "ct": ("CT",),
    "mri": ("MR",),
    "xray": ("CR", "DX", "RG", "RF", "XA", "MG", "IO", "PX"),
}
MOST_SHRUNK = 4  # times the side of a prepared slice: larger images are noted
UNSAID = ("", "OT", "SC")  # other, secondary capture: says nothing
WORDS = {"ct": "a CT", "mri": "an MRI", "xray": "an X-ray"}


@dataclass(frozen=True)
class ExpectedImages:
    """Describe what images must be like. Without arguments nothing is expected.

    modality: of the recipe; channels: 1 when gray stored as colour is to be reduced, else None
    hounsfield: values must be Hounsfield units; presentation: of an X-ray the values that its file says to
        show
    any_modality: the user insists; what would be refused for its modality or its units is noted instead
    side: pixels of a prepared slice of a model that looks at whole images (organ.method none), else None
    """

    modality: Literal["mri", "ct", "xray"] | None = None
    channels: int | None = None
    hounsfield: bool = False
    presentation: bool = False
    any_modality: bool = False
    side: int | None = None

    def causes(self) -> list:
        """Return the expectations as JSON-able values, for the keys of slices prepared from such images."""
        return list(astuple(self))


def expected_images(recipe, channels: int | None = None, *, any_modality: bool = False) -> ExpectedImages:
    """Collect what `recipe` expects of its images.

    Args:
        recipe: Recipe of the model. channels: how many an image of the model has; None: not known, as before
            training.
        any_modality: the option of that name.
    """
    data = recipe.data
    one = channels == 1 if data.channels is None else recipe.modality != "mri" and list(data.channels) == [0]
    return ExpectedImages(
        modality=recipe.modality,
        channels=1 if one else None,
        hounsfield=recipe.modality == "ct" and data.window is not None,
        presentation=recipe.modality == "xray" and data.window is None,
        any_modality=any_modality,
        side=data.side if recipe.organ.method == "none" else None,
    )


def read_expected(
    path: Path, expected: ExpectedImages, *, dicom_backend: str = "pydicom"
) -> tuple[Volume, tuple[str, ...]]:
    """Read an image as it is expected, with notes on what was accepted or changed.

    Raises:
        ImageError: it cannot be read. DataError: it is another kind of image; the message names file, cause
            and cure.
    """
    volume = read_volume(path, dicom_backend=dicom_backend, presentation=expected.presentation)
    notes = _check_modality(path, volume, expected)
    if expected.presentation:
        notes += volume.grid.notes
    array = volume.array
    if expected.channels == 1 and array.shape[-1] > 1:
        gray = gray_of(array)
        if gray is not None:
            volume = replace(volume, array=gray)
            notes += ("gray stored in several equal channels; one of them is used",)
        elif is_colour(volume.grid, array.shape[-1]):
            raise DataError(
                f"{path}: is a colour picture (its red, green and blue differ), and the model takes gray "
                "images of one channel. Convert it to gray "
                "if its colours mean nothing, or give the original image."
            )
    return volume, notes + _shrunk(array, expected.side)


def _shrunk(array: np.ndarray, side: int | None) -> tuple[str, ...]:
    """A note on an image that is shrunk so far that it shows another field of view than the model's
    patches.
    """
    rows, columns = array.shape[1:3]
    if side is None or max(rows, columns) <= MOST_SHRUNK * side:
        return ()
    return (
        f"ATTENTION: {rows} x {columns} pixels are shrunk to {side} x {side}: was the model trained on "
        f"fields of view of this "
        "size? A model of small patches marks nothing meaningful in whole slices",
    )


def check_hounsfield(
    path: Path, array: np.ndarray, expected: ExpectedImages, eight_bits: bool
) -> tuple[str, ...]:
    """Check the unit of a whole CT volume (slices, rows, columns, channels), and return notes on it.

    eight_bits: whether all of it are pictures of 8 bits, which are taken to show the recipe's window.
    """
    if not expected.hounsfield or eight_bits:
        return ()
    reason = next(
        filter(
            None, (why_not_hounsfield(array[..., number : number + 1]) for number in range(array.shape[-1]))
        ),
        None,
    )
    if reason is None:
        return ()
    if expected.any_modality:
        return ("values are not Hounsfield units, and were accepted by --any-modality",)
    raise DataError(f"{path}: {reason}")


def _check_modality(path, volume: Volume, expected: ExpectedImages) -> tuple[str, ...]:
    found = volume.grid.modality
    if expected.modality is None or volume.grid.kind != "dicom":
        return ()
    wanted = MODALITIES[expected.modality]
    if found not in wanted and found not in UNSAID:
        if expected.any_modality:
            return (f"Modality {found}, accepted by --any-modality for {WORDS[expected.modality]} model",)
        raise DataError(
            f"{path}: its Modality is {found}, and this is {WORDS[expected.modality]} model (expected "
            f"{' or '.join(wanted)}). Choose another model or "
            "other images; or insist with --any-modality."
        )
    if (
        expected.modality == "ct"
        and volume.grid.photometric == "MONOCHROME1"
        and expected.hounsfield
        and not expected.any_modality
    ):
        raise DataError(
            f"{path}: its PhotometricInterpretation is MONOCHROME1 (low values white), expected "
            "MONOCHROME2, since Hounsfield units rise with density. "
            "Export the series again; or insist with --any-modality."
        )
    return (
        ()
        if found in wanted
        else (
            f"the file does not say its modality ({found or 'empty'}); it was taken as "
            f"{WORDS[expected.modality]} image",
        )
    )
