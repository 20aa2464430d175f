"""Check and adapt images to what a model expects: their modality, units and number of channels.

An image that is read with these expectations fits, is adapted (gray stored as RGB becomes one channel, an
X-ray gets the values that its file defines for display) or is refused with a message. `--any-modality`
accepts images that would be refused for their modality.
"""

from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from clamnet_tf.errors import UnfitImages
from clamnet_tf.imaging.colour_check import gray_of, is_colour
from clamnet_tf.imaging.hounsfield_check import why_not_hounsfield
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.imaging.volume import Volume

MODALITIES = {  # recipe.modality -> Modality (0008,0060) of DICOM files of that kind (PS3.3 C.7.3.1.1.1)
    "ct": ("CT",),
    "mri": ("MR",),
    "xray": ("CR", "DX", "RG", "RF", "XA", "MG", "IO", "PX"),
}
MOST_SHRUNK = 4  # times the side of a prepared slice; larger images give a note
UNSAID = ("", "OT", "SC")  # empty, other and secondary capture: the modality is not known
WORDS = {"ct": "a CT", "mri": "an MRI", "xray": "an X-ray"}


@dataclass(frozen=True)
class ExpectedImages:
    """Describe what images must be like. Without arguments nothing is expected.

    Attributes:
        modality: the recipe's modality.
        channels: 1 when gray stored as colour is to be reduced, else None.
        hounsfield: whether values must be Hounsfield units.
        presentation: whether an X-ray gets the values that its file defines for display.
        any_modality: whether an image that would be refused for its modality or units only gets a note.
        side: pixels of a prepared slice of a model that works on complete images (organ.method none), else
            None.
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
    """Return what `recipe` expects of its images.

    Args:
        recipe: Recipe of the model.
        channels: number of channels of the model's images; None when it is not known, as before training.
        any_modality: the option of that name.
    """
    data = recipe.data
    gray = channels == 1 if data.channels is None else recipe.modality != "mri" and list(data.channels) == [0]
    return ExpectedImages(
        modality=recipe.modality,
        channels=1 if gray else None,
        hounsfield=recipe.modality == "ct" and data.window is not None,
        presentation=recipe.modality == "xray" and data.window is None,
        any_modality=any_modality,
        side=data.side if recipe.organ.method == "none" else None,
    )


def read_expected(
    path: Path, expected: ExpectedImages, *, dicom_backend: str = "pydicom", files: tuple[Path, ...] = ()
) -> tuple[Volume, tuple[str, ...]]:
    """Read an image, check and adapt it, and return it with notes on what was accepted or changed.

    Args:
        path: file or folder, named in messages.
        expected: what the image must be like.
        dicom_backend: which library reads DICOM.
        files: the files of one DICOM volume, where they are several; else `path` is read.

    Raises:
        ImageError: it cannot be read.
        UnfitImages: it is another kind of image; the message names the file, the cause and the remedy.
    """
    if len(files) > 1:
        from clamnet_tf.imaging.dicom import read_dicom_files  # takes a fifth of a short prediction to load

        volume = read_dicom_files(files, path, backend=dicom_backend, presentation=expected.presentation)
    else:
        volume = read_volume(path, dicom_backend=dicom_backend, presentation=expected.presentation)
    return as_expected(path, volume, expected)


def as_expected(path: Path, volume: Volume, expected: ExpectedImages) -> tuple[Volume, tuple[str, ...]]:
    """Check and adapt an image in memory, and return it with notes on what was accepted or changed.

    Raises:
        UnfitImages: it is another kind of image; the message names the path, the cause and the remedy.
    """
    notes = _check_modality(path, volume, expected)
    if expected.presentation:
        notes += volume.grid.notes
    array = volume.array
    if expected.channels == 1 and array.shape[-1] > 1:
        gray = gray_of(array)
        if gray is not None:
            volume = replace(volume, array=gray)
            notes += ("gray stored in several equal channels, of which one is used",)
        elif is_colour(volume.grid, array.shape[-1]):
            raise UnfitImages(
                f"{path}: is a colour picture (its red, green and blue differ), and the model takes gray "
                "images of one channel. Convert it to gray "
                "if its colours mean nothing, or give the original image."
            )
    return volume, notes + _shrunk(array, expected.side)


def _shrunk(array: np.ndarray, side: int | None) -> tuple[str, ...]:
    """Return a note on an image that is shrunk so much that its field of view differs from the model's
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
    """Check the unit of a complete CT volume and return notes on it.

    Args:
        path: file or folder, named in messages.
        array: (slices, rows, columns, channels).
        expected: what the model expects.
        eight_bits: whether all images of the volume are pictures of 8 bits, which are taken to show the
            recipe's window.

    Raises:
        UnfitImages: the values are not Hounsfield units.
    """
    if not expected.hounsfield or eight_bits:
        return ()
    reason = next(
        filter(
            None,
            (why_not_hounsfield(array[..., channel : channel + 1]) for channel in range(array.shape[-1])),
        ),
        None,
    )
    if reason is None:
        return ()
    if expected.any_modality:
        return ("values are not Hounsfield units, and were accepted by --any-modality",)
    raise UnfitImages(f"{path}: {reason}")


def _check_modality(path, volume: Volume, expected: ExpectedImages) -> tuple[str, ...]:
    modality = volume.grid.modality
    if expected.modality is None or volume.grid.kind != "dicom":
        return ()
    accepted = MODALITIES[expected.modality]
    if modality not in accepted and modality not in UNSAID:
        if expected.any_modality:
            return (f"Modality {modality}, accepted by --any-modality for {WORDS[expected.modality]} model",)
        raise UnfitImages(
            f"{path}: its Modality is {modality}, and this is {WORDS[expected.modality]} model (expected "
            f"{' or '.join(accepted)}). Choose another model or "
            "other images; or insist with --any-modality."
        )
    if (
        expected.modality == "ct"
        and volume.grid.photometric == "MONOCHROME1"
        and expected.hounsfield
        and not expected.any_modality
    ):
        raise UnfitImages(
            f"{path}: its PhotometricInterpretation is MONOCHROME1 (low values white), expected "
            "MONOCHROME2, since Hounsfield units rise with density. "
            "Export the series again; or insist with --any-modality."
        )
    return (
        ()
        if modality in accepted
        else (
            f"the file does not say its modality ({modality or 'empty'}); it was taken as "
            f"{WORDS[expected.modality]} image",
        )
    )
