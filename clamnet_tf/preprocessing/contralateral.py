"""Add the same patient's other breast to prepared mammograms as channels (recipe: data.contralateral).

Both breasts were cropped to their own square and resized to the same side, so the other one only needs to be
mirrored. Which one is the other is said by headers and manifest (datasets.contralateral). Where they do not
state the sides, the two images of a patient count as left and right only when the breasts face opposite ways.
"""

import dataclasses
import hashlib
import json
from collections import Counter

import numpy as np

from clamnet_tf.datasets.contralateral import SAME_WAY, pair_breasts
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.added_channels import images_with_channels
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.preprocessing.organs.breast import chest_wall_is_left
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume

ONE_ARRAY = "an array says nothing of the patient's other images; give the folder or the files of both"
UNREADABLE = "the image of the other breast cannot be used"
NO_BREAST = "no breast was found in the image of the other side"
_CLEAR = 0.02  # loss by mirroring from which images of stated sides were all turned to one side


def mirroring_gain(organ: np.ndarray, other_organ: np.ndarray) -> float:
    """Return how much better the outline of a breast is met by the mirrored other breast than by itself.

    Args:
        organ: (side, side), above 0 inside the breast.
        other_organ: (side, side), above 0 inside the other breast.

    Returns:
        The difference of the two intersections over unions, in -1..1: above 0 when the breasts face opposite
        ways, below 0 when they face the same way.
    """
    organ, other_organ = np.asarray(organ) > 0, np.asarray(other_organ) > 0
    return _overlap(organ, other_organ[:, ::-1]) - _overlap(organ, other_organ)


def is_mirrored(organ, other_organ, *, stated: bool) -> tuple[bool | None, str]:
    """Return whether the other breast must be mirrored to be compared.

    Args:
        organ: (side, side), above 0 inside the breast.
        other_organ: (side, side), above 0 inside the other breast.
        stated: whether headers or the manifest state that one is left and one right; then they are mirrored
            unless they clearly face the same way, as in sets whose images were all turned to one side.

    Returns:
        (whether it is mirrored, ""); or (None, why the two cannot be compared).
    """
    if not np.any(other_organ):
        return None, NO_BREAST
    if stated:
        return mirroring_gain(organ, other_organ) > -_CLEAR, ""
    walls = [chest_wall_is_left(np.asarray(each) > 0) for each in (organ, other_organ) if np.any(each)]
    opposite = len(set(walls)) == 2
    return (True, "") if opposite else (None, SAME_WAY)


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection over union of two (side, side) bool; 0 when both are empty."""
    return float((first & second).sum() / max(1, (first | second).sum()))


def with_contralateral(prepared: Prepared, manifest: Manifest, cache=None) -> Prepared:
    """Return the same slices with the other breast of each patient as further channels.

    Channels 0 to C - 1 are the image, C to 2C - 1 the other breast, or 0 where there is none. The result is
    stored in the cache; its account says how many images are compared and why others are not.

    Args:
        prepared: the prepared slices, one per case.
        manifest: the manifest they were prepared from.
        cache: folder of the cache; None: the default one.

    Raises:
        DataError: a file holds several slices, as tomosynthesis does.
        EnvironmentFailure: the cache is full or read-only.
    """
    case_rows = _rows_of_cases(prepared, manifest)
    pairing = pair_breasts(manifest.cases)
    others: list[tuple[int, bool] | None] = [None] * len(case_rows)  # per row: row of the other, mirrored
    reasons: Counter[str] = Counter()
    for case, row in enumerate(case_rows):
        partner, reason = pairing.partners[case], pairing.reasons[case]
        if partner is not None:
            other = case_rows[partner]
            organs = np.asarray(prepared.organ[row]), np.asarray(prepared.organ[other])
            mirrored, reason = is_mirrored(*organs, stated=pairing.stated[case])
            others[row] = None if mirrored is None else (other, mirrored)
        if reason:
            reasons[reason] += 1
    channels = prepared.images.shape[3]

    def with_others(part: slice) -> np.ndarray:
        images = np.asarray(prepared.images[part], np.float16)
        added = np.zeros_like(images)
        for place, other in enumerate(others[part]):
            if other is not None:
                added[place] = _turned(np.asarray(prepared.images[other[0]]), other[1])
        return np.concatenate([images, added], axis=-1)

    key = hashlib.sha256(json.dumps(["contralateral", prepared.key, others]).encode()).hexdigest()
    images = images_with_channels(prepared, f"contralateral-{key[:20]}", channels, with_others, cache)
    compared = sum(other is not None for other in others)
    lines = [f"{compared} of {len(others)} images are compared with the patient's other breast."]
    lines += [f"{count} images without a comparison: {reason}." for reason, count in reasons.items()]
    return dataclasses.replace(
        prepared, images=images, key=key, account=(*prepared.account, *lines), single=prepared
    )


def volume_with_contralateral(
    ready: PreparedVolume, other: PreparedVolume | None, *, stated: bool, reason: str
) -> tuple[PreparedVolume, tuple[str, ...]]:
    """Return one prepared mammogram with its patient's other breast as further channels, and notes.

    Args:
        ready: the prepared mammogram, one slice.
        other: that of the other breast; None: there is none, and the channels are 0.
        stated: see `is_mirrored`.
        reason: why there is no other breast, when it is None.

    Raises:
        DataError: a volume has several slices.
    """
    for each in (ready, other):
        if each is not None and len(each.images) != 1:
            raise DataError(_several_slices(len(each.images)))
    added = np.zeros_like(ready.images)
    if other is not None:
        mirrored, reason = is_mirrored(ready.organ[0], other.organ[0], stated=stated)
        if mirrored is not None:
            added[0] = _turned(other.images[0], mirrored)
    joined = dataclasses.replace(ready, images=np.concatenate([ready.images, added], axis=-1))
    return joined, (f"not compared with the other breast: {reason}",) if reason else ()


def _turned(image: np.ndarray, mirrored: bool) -> np.ndarray:
    """Return an image (side, side, C), its columns reversed where `mirrored`."""
    return image[:, ::-1] if mirrored else image


def _rows_of_cases(prepared: Prepared, manifest: Manifest) -> list[int]:
    """Return the row of the one slice of each case."""
    rows: list[int | None] = [None] * len(manifest.cases)
    for row, case in enumerate(prepared.table.case.tolist()):
        if rows[case] is not None:
            raise DataError(f"{manifest.cases[case].image}: {_several_slices(2)}")
        rows[case] = row
    return [row for row in rows if row is not None]


def _several_slices(count: int) -> str:
    return (
        f"data.contralateral compares one image per file with the other breast; received {count} or more "
        "slices, as of tomosynthesis. Leave the file out, or use a recipe without data.contralateral."
    )
