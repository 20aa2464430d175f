"""Class folders: NORMAL/*.png against one or more others, optionally below train, val and test.

Patient: the folder below the class folder, else PatientID of a DICOM file, else a known pattern of the file name,
else every file is a patient of its own, and the account says so.
"""

import collections
import os
from pathlib import Path

from clamnet_tf.data.folders.classes import class_numbers, is_normal, patient_of_name
from clamnet_tf.data.folders.dicom_headers import read_headers
from clamnet_tf.data.folders.dicom_series import SeriesVolume, sort_headers
from clamnet_tf.data.folders.listing import DICOM, NIFTI, PICTURES, Listing, part_masks, suffix
from clamnet_tf.data.manifest import SIDE_NAMES, Case, Manifest, listed
from clamnet_tf.errors import DataError

SIDE_FOLDERS = {**SIDE_NAMES, "training": "train", "valid": "val", "testing": "test"}


def recognize(listing: Listing, labels: Path | None) -> Manifest | None:
    """The Manifest of class folders, or None. DataError when there is one class only."""
    if labels is not None:
        return None
    images, masks = part_masks(listing.with_suffix(PICTURES + NIFTI + DICOM))
    placed = [_place(path, parts) for path, parts in _below_wrappers(listing, images)]
    if not placed or any(place is None for place in placed):
        return None
    counts = collections.Counter(place.name for place in placed)
    normal = [name for name in counts if is_normal(name)]
    if len(counts) == 1 and (normal or any(place.side for place in placed)):
        name = next(iter(counts))
        raise DataError(
            f"{listing.root}: one class only: every image is in a folder {name!r} ({counts[name]} images); "
            "training needs normal images in one folder (NORMAL, healthy, negative, no_finding ...) and abnormal ones in another."
        )
    if not normal:
        return None
    if len(normal) == len(counts):
        raise DataError(
            f"{listing.root}: one class only: the folders {', '.join(normal)} all mean normal; put abnormal images into a folder named after the finding."
        )
    numbers = class_numbers(counts)
    headers = read_headers([place.path for place in placed if suffix(place.path) in DICOM])
    series = sort_headers([header for header in headers.values() if header.is_image])
    unclear = [f"series {one.uid}: {why}" for one in series for _, why in one.unclear]
    if unclear:
        raise DataError(f"{listing.root}: {len(unclear)} series cannot be taken apart into volumes:\n{listed(unclear)}")
    volumes = {header.path: volume for one in series for volume in one.volumes for header in volume.headers}
    aside = [line for one in series for line in one.notes(lambda header: str(listing.relative(header.path)))]
    left_out = {header.path for one in series for header, _ in (*one.strays, *one.copies)}
    placed = [place for place in placed if place.path not in left_out]
    cases = tuple(
        _case(place, numbers[place.name], headers.get(place.path), volumes.get(place.path), masks.get(place.path)) for place in placed
    )
    account = (*_account(placed, counts, numbers, cases), *(f"ATTENTION: {line}" for line in aside[:20]))
    return Manifest(listing.root, cases, account, "class_folders")


class _Place(collections.namedtuple("_Place", "path side name patient")):
    """A file, its side (or None), its class folder's name, and the name of the folder below that (or None)."""


def _below_wrappers(listing: Listing, images) -> list[tuple[Path, tuple[str, ...]]]:
    """(path, parts of the relative path) without leading folders that all images share and that name no class or side."""
    parts = [listing.relative(path).parts for path in images]
    while parts and all(len(each) > 2 and each[0] == parts[0][0] for each in parts):
        if parts[0][0].lower() in SIDE_FOLDERS or is_normal(parts[0][0]):
            break
        parts = [each[1:] for each in parts]
    return list(zip(images, parts))


def _place(path: Path, parts) -> _Place | None:
    side = SIDE_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None
    rest = parts[1:] if side else parts
    if len(rest) < 2:
        return None
    return _Place(path, side, rest[0], rest[1] if len(rest) > 2 else None)


def _case(place: _Place, label: int, header, volume: SeriesVolume | None, mask: Path | None) -> Case:
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
    yield "Layout class_folders: " + ", ".join(f"{name} = {numbers[name]} ({count} images)" for name, count in counts.items()) + "."
    sides = collections.Counter(case.split for case in cases)
    if set(sides) != {None}:
        yield "Sides given by folders: " + ", ".join(f"{side or 'none'} {count}" for side, count in sides.items()) + "."
    alone = [case for place, case in zip(placed, cases) if case.patient == f"{place.name}/{place.path.name}"]
    named = len(cases) - len(alone)
    if named:
        yield f"Patient: from folder, header or file name for {named} images ({len({c.patient for c in cases}) - len(alone)} patients)."
    if alone:
        yield (
            f"ATTENTION: {len(alone)} images have no recognisable patient (for example {alone[0].image.name}); each is taken as a patient of its own. "
            "If patients have several images, write a manifest.csv with a patient column, or train and test will share patients."
        )
