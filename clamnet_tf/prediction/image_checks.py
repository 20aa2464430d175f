"""Check that an image fits the model that is to mark it."""

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.hounsfield_check import why_not_hounsfield
from clamnet_tf.inference.appearance import Appearance, AppearanceModel
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.thumbnails import thumbnails


def doubtful_unit(volume: AssembledVolume, recipe) -> tuple[str, ...]:
    """Return a note on values that are no Hounsfield units, for a CT model that takes values of any unit."""
    if recipe.modality != "ct" or recipe.data.window is not None:
        return ()
    if volume.grids and all(grid.eight_bits for grid in volume.grids):
        return ()
    values = volume.array[..., :1]
    if why_not_hounsfield(values) is None:
        return ()
    return (
        f"ATTENTION: is this a CT? Its values, {values.min():.4g} to {values.max():.4g}, are not Hounsfield "
        "units; the model cannot tell and marks all the same",
    )


def compared_with_training(volume: AssembledVolume, model: AppearanceModel | None) -> Appearance | None:
    """Compare an image with what the training images look like.

    Args:
        volume: Image.
        model: What the training images look like, or None.

    Returns:
        The comparison; None without a model, and for an image that has one value everywhere.
    """
    return None if model is None else model.assess(thumbnails(volume.array))


def unlike_training(found: Appearance | None) -> tuple[str, ...]:
    """Return a note on an image unlike those the model learned from: turned, inverted or of another kind."""
    if found is None:
        return ()
    if found.stored:
        return (
            f"ATTENTION: is this image stored {found.stored}? If it were not, it would look much more like "
            "the images that the model learned from. It is marked all the same",
        )
    if found.distance > 1:
        return (
            "ATTENTION: this image looks unlike those that the model learned from: is it of the same body "
            "part, view and kind? It is marked all the same",
        )
    return ()


def require_channels(image, array: np.ndarray, expected: int) -> None:
    """Refuse an image of another number of channels than the model's.

    Args:
        image: File of the image, for the message.
        array: (slices, rows, columns, channels).
        expected: Number of channels of the model's images.

    Raises:
        DataError: The number differs; the message says what to do.
    """
    received = array.shape[-1]
    if received != expected:
        raise DataError(_other_channels(image, expected, received))


def _other_channels(image, expected: int, received: int) -> str:
    """Return the message for an image of another number of channels than the model's."""
    what = (
        f"{image}: the model expects {expected} channel(s), as in its training images; received {received}. "
    )
    if received == 1 < expected:
        return what + (
            "Where the sequences of one patient are series or files of their own, they must be recognised by "
            "their headers or names, as data.sequences of the recipe says (docs/how-to/sequences.md); a "
            "manifest with a column per sequence names them itself. Or use a model of one channel."
        )
    return what + "Convert the image, or use a model trained on such images."
