"""Recognise the Kaggle LGG MRI set: <patient>/<patient>_<n>.tif beside <patient>/<patient>_<n>_mask.tif.

The label is 1 where the mask is not empty; this is the only place where a mask is read for a label. The
position is n. The site is the institution code, the second part of a TCGA name (TCGA_CS_4941_19960909 -> CS).
"""

import collections
import re
from pathlib import Path

from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.datasets.layouts.listing import Listing
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.mask_values import IGNORED

_NAME = re.compile(r"(?P<patient>.+)_(?P<number>[0-9]+)(?P<mask>_mask)?\.tiff?", re.IGNORECASE)


def recognize(
    listing: Listing, labels: Path | None, label_words: LabelWords = NOTHING_SAID
) -> Manifest | None:
    """Return the Manifest of a kaggle_3m folder (or of a folder around it), or None for another layout.

    Raises:
        DataError: a slice is there twice or has no mask.
    """
    if labels is not None:
        return None
    images: dict[tuple[str, int], Path] = {}
    masks: dict[tuple[str, int], Path] = {}
    twice = []
    for path in listing.files:
        match = _NAME.fullmatch(path.name)
        if match and path.parent.name == match["patient"]:
            first_path = (masks if match["mask"] else images).setdefault(
                (match["patient"], int(match["number"])), path
            )
            if first_path is not path:
                twice.append(f"{listing.relative(first_path)} and {listing.relative(path)}")
    if not images or not masks:
        return None
    if twice:
        raise DataError(
            f"{listing.root}: layout kaggle_3m, but {len(twice)} slice(s) of a patient are there "
            f"twice:\n{listed(twice)}\n"
            "Name one of the copies with --data, or remove the other."
        )
    missing = [str(listing.relative(path)) for key, path in images.items() if key not in masks]
    if missing:
        raise DataError(
            f"{listing.root}: layout kaggle_3m, where the label comes from <image>_mask.tif, but "
            f"{len(missing)} image(s) have no mask:\n"
            f"{listed(missing)}\nAdd the masks, or give the labels in a manifest.csv."
        )
    cases, paths_by_note = [], {}
    for (patient, number), path in images.items():
        parts = patient.split("_")
        mask = read_mask(masks[patient, number], ignored=True)
        for note in mask.notes:
            paths_by_note.setdefault(note, []).append(masks[patient, number])
        cases.append(
            Case(
                image=path,
                patient=patient,
                label=int(((mask.values > 0) & (mask.values != IGNORED)).any()),
                site=parts[1] if len(parts) >= 3 and parts[0] == "TCGA" else None,
                series=patient,
                position=float(number),
                mask=masks[patient, number],
            )
        )
    counts = collections.Counter(case.label for case in cases)
    account = (
        f"Layout kaggle_3m: <patient>/<patient>_<n>.tif with _mask.tif, {len(cases)} slices of "
        f"{len({c.patient for c in cases})} patients.",
        f"Labels: {counts[1]} slices abnormal (mask not empty), {counts[0]} normal; the masks were read for "
        f"this label only.",
        "Patient = folder name; position = n; site = institution code of the TCGA name.",
    )
    account += tuple(
        f"Masks: {len(paths)} (first {listing.relative(paths[0])}): {note}."
        for note, paths in paths_by_note.items()
    )
    return Manifest(listing.root, tuple(cases), account, "kaggle_3m")
