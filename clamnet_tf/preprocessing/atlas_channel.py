"""Add the deviation from normal slices to prepared slices as one more channel (recipe: data.normal_atlas)."""

import dataclasses
import hashlib
import json

import numpy as np

from clamnet_tf.errors import DataError, RunError
from clamnet_tf.preprocessing.added_channels import images_with_channels
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.preprocessing.normal_atlas import NormalAtlas
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume

_ENOUGH = 500  # normal slices, an even sample of them


def fit_atlas(section, prepared: Prepared, rows: np.ndarray, labels: np.ndarray) -> NormalAtlas:
    """Fit the atlas on the normal slices among the training slices.

    Args:
        section: recipe section data.normal_atlas.
        prepared: the prepared slices.
        rows: (n,) row numbers of training slices in `prepared`.
        labels: (n,) int labels of these rows; 0 is normal.

    Returns:
        The fitted NormalAtlas.

    Raises:
        DataError: the channel does not exist, or no normal slice shows the organ.
    """
    channels = prepared.images.shape[3]
    if section.channel >= channels:
        raise DataError(
            f"data.normal_atlas.channel: expected 0 to {channels - 1}, since these images have {channels} "
            f"channel(s); received {section.channel}."
        )
    normal = rows[labels == 0]
    normal = (
        normal[np.unique(np.linspace(0, len(normal) - 1, min(len(normal), _ENOUGH)).round().astype(int))]
        if len(normal)
        else normal
    )
    try:
        sign = 1 if section.lesions == "brighter" else -1
        return NormalAtlas.fit(
            prepared.images[normal],
            prepared.organ[normal],
            channel=section.channel,
            smoothing=section.smoothing,
            sign=sign,
            opening=section.opening,
            level=section.level,
            places=section.places,
        )
    except ValueError as error:
        raise DataError(
            f"data.normal_atlas: {error} among {len(normal)} normal training slices. Check labels, split "
            f"and organ.method."
        ) from error


def with_atlas_channel(prepared: Prepared, atlas: NormalAtlas, cache=None) -> Prepared:
    """Return the same slices with the deviation as last channel, computed block by block and stored in the
    cache.

    Args:
        prepared: the prepared slices.
        atlas: the fitted atlas.
        cache: folder of the cache; None: the default one.

    Raises:
        EnvironmentFailure: the cache is full or read-only.
    """
    key = hashlib.sha256(json.dumps([prepared.key, atlas.row()], sort_keys=True).encode()).hexdigest()

    def with_deviation(part: slice) -> np.ndarray:
        return atlas.append(prepared.images[part], prepared.organ[part])

    images = images_with_channels(prepared, f"deviation-{key[:20]}", 1, with_deviation, cache)
    return dataclasses.replace(prepared, images=images, key=key, atlas=atlas)


def volume_with_atlas_channel(ready: PreparedVolume, atlas: NormalAtlas | None) -> PreparedVolume:
    """Return one prepared volume with the deviation as last channel; unchanged when `atlas` is None."""
    return (
        ready if atlas is None else dataclasses.replace(ready, images=atlas.append(ready.images, ready.organ))
    )


def atlas_of(run, recipe) -> NormalAtlas | None:
    """Return the atlas that a finished run stores in its selection.json; None when its recipe has none.

    Raises:
        RunError: the atlas is missing or damaged.
    """
    if recipe.data.normal_atlas is None:
        return None
    try:
        return NormalAtlas.from_row(run.read_selection()["normal_atlas"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.selection}: has no usable normal_atlas, which its recipe demands "
            f"({type(error).__name__}: {error}). Train the run again."
        ) from error
