"""Class folders: NORMAL/*.png against one or more others, optionally below train, val and test.

Patient: the folder below the class folder, else PatientID of a DICOM file, else a known pattern of the file
name, else every file is a patient of its own, and the account says so.
"""

import collections
import os
from pathlib import Path

from clamnet_tf.datasets.layouts.classes import patient_of_name
from clamnet_tf.datasets.layouts.dicom_headers import read_headers
from clamnet_tf.datasets.layouts.dicom_series import SeriesVolume, sort_headers
from clamnet_tf.datasets.layouts.label_words import (
    NOTHING_SAID,
    LabelWords,
    class_numbers,
    is_normal,
    is_unknown,
    normal_names,
)
from clamnet_tf.datasets.layouts.listing import PICTURES, VOLUMES, Listing, part_masks
from clamnet_tf.datasets.manifest import SIDE_NAMES, Case, Manifest, listed
from clamnet_tf.errors import DataError

SIDE_FOLDERS = {**SIDE_NAMES, "training": "train", "valid": "val", "testing": "test"}


def recognize(listing: Listing, labels: Path | None, said: LabelWords = NOTHING_SAID) -> Manifest | None:
    """The Manifest of class folders, or None. DataError: one class only, or names that do not say which."""
    if labels is not None:
        return None
    images, masks = part_masks(listing.of_kind((*PICTURES, *VOLUMES, "dicom")))
    placed = [_place(path, parts) for path, parts in _below_wrappers(listing, images, said)]
    if not placed or any(place is None for place in placed):
        return None
    every = collections.Counter(place.name for place in placed)
    said.check(every, listing.root)
    unknown = {name for name in every if is_unknown(name) and said.said(name) is None}
    counts = collections.Counter({name: count for name, count in every.items() if name not in unknown})
    if not counts:
        return None
    normal, unclear = normal_names(counts, said)
    if len(counts) == 1 and (normal or unclear or any(place.side for place in placed)):
        name = next(iter(counts))
        raise DataError(
            f"{listing.root}: one class only: every image is in a folder {name!r} ({counts[name]} images);"
            " training needs normal images in one folder (NORMAL, healthy, negative, no_finding ...) and"
            " abnormal ones in another."
        )
    if not normal and not unclear:
        return None
    if len(normal) == len(counts):
        raise DataError(
            f"{listing.root}: one class only: the folders {', '.join(sorted(normal))} all mean normal; put"
            " abnormal images into a folder named after the finding, or say with --abnormal FOLDER which one"
            " is abnormal."
        )
    numbers = class_numbers(
        counts, said, listing.root, {name: f"{count} images" for name, count in counts.items()}
    )
    if 0 not in numbers.values():
        raise DataError(
            f"{listing.root}: no folder means normal: {', '.join(sorted(counts))}; say which one does with"
            " --normal FOLDER."
        )
    headers = read_headers([place.path for place in placed if listing.kind(place.path) == "dicom"])
    series = sort_headers([header for header in headers.values() if header.is_image])
    unclear = [f"series {one.uid}: {why}" for one in series for _, why in one.unclear]
    if unclear:
        raise DataError(
            f"{listing.root}: {len(unclear)} series cannot be taken apart into volumes:\n{listed(unclear)}"
        )
    volumes = {header.path: volume for one in series for volume in one.volumes for header in volume.headers}
    aside = [line for one in series for line in one.notes(lambda header: str(listing.relative(header.path)))]
    left_out = {header.path for one in series for header, _ in (*one.strays, *one.copies)}
    placed = [place for place in placed if place.path not in left_out]
    cases = tuple(
        _case(
            place,
            numbers.get(place.name),
            headers.get(place.path),
            volumes.get(place.path),
            masks.get(place.path),
        )
        for place in placed
    )
    lines = [
        f"Labels that are not known: the folder {name!r} ({every[name]} images)." for name in sorted(unknown)
    ]
    lines += [f"ATTENTION: {line}" for line in aside[:20]]
    return Manifest(listing.root, cases, (*_account(placed, counts, numbers, cases), *lines), "class_folders")


class _Place(collections.namedtuple("_Place", "path side name patient")):
    """A file, its side (or None), its class folder's name, and the name of the folder below that (or
    None).
    """


def _below_wrappers(listing: Listing, images, said: LabelWords) -> list[tuple[Path, tuple[str, ...]]]:
    """(path, parts of the relative path) without leading folders that all images share and that name no class
    or side.
    """
    parts = [listing.relative(path).parts for path in images]
    while parts and all(len(each) > 2 and each[0] == parts[0][0] for each in parts):
        if (
            parts[0][0].lower() in SIDE_FOLDERS
            or is_normal(parts[0][0])
            or said.said(parts[0][0]) is not None
        ):
            break
        parts = [each[1:] for each in parts]
    return list(zip(images, parts))


def _place(path: Path, parts) -> _Place | None:
    side = SIDE_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None
    rest = parts[1:] if side else parts
    if len(rest) < 2:
        return None
    return _Place(path, side, rest[0], rest[1] if len(rest) > 2 else None)


def _case(place: _Place, label: int | None, header, volume: SeriesVolume | None, mask: Path | None) -> Case:
    patient = place.patient or (header and header.patient) or patient_of_name(place.path.name)
    return Case(
        image=place.path,
        patient=patient or os.path.join(place.name, place.path.name).replace(os.sep, "/"),
        label=label,
        site=header.site if header else None,
        series=volume.key if volume else None,
        position=header.position if header else None,
        mask=mask,
        split=place.side,
    )


def _account(placed, counts, numbers, cases):
    yield (
        "Layout class_folders: "
        + ", ".join(f"{name} = {numbers[name]} ({count} images)" for name, count in counts.items())
        + "."
    )
    sides = collections.Counter(case.split for case in cases)
    if set(sides) != {None}:
        yield (
            "Sides given by folders: "
            + ", ".join(f"{side or 'none'} {count}" for side, count in sides.items())
            + "."
        )
    alone = [case for place, case in zip(placed, cases) if case.patient == f"{place.name}/{place.path.name}"]
    named = len(cases) - len(alone)
    if named:
        yield f"Patient: from folder, header or file name for {named} images ({len({c.patient for c in cases}) - len(alone)} patients)."
    if alone:
        yield (
            f"ATTENTION: {len(alone)} images have no recognisable patient (for example "
            f"{alone[0].image.name}); each is taken as a patient of its own. "
            "If patients have several images, write a manifest.csv with a patient column, or train and test "
            "will share patients."
        )
