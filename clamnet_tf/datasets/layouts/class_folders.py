"""Recognise class folders: NORMAL/*.png beside one or more others, optionally below train, val and test.

The patient is the folder below the class folder, else PatientID of a DICOM file, else a known pattern of the
file name. Otherwise every file is a patient of its own, and the account says so.
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
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.row_reader import SIDE_NAMES
from clamnet_tf.errors import DataError, LabelsMissing

SIDE_FOLDERS = {**SIDE_NAMES, "training": "train", "valid": "val", "testing": "test"}


def recognize(
    listing: Listing, labels: Path | None, label_words: LabelWords = NOTHING_SAID
) -> Manifest | None:
    """Return the Manifest of class folders, or None for another layout.

    Raises:
        DataError: there is one class only, or no folder name says which class is normal.
    """
    if labels is not None:
        return None
    images, masks = part_masks(listing.of_kind((*PICTURES, *VOLUMES, "dicom")))
    placed = [_place(path, parts) for path, parts in _below_wrappers(listing, images, label_words)]
    if not placed or any(file is None for file in placed):
        return None
    all_counts = collections.Counter(file.name for file in placed)
    label_words.check(all_counts, listing.root)
    unknown = {name for name in all_counts if is_unknown(name) and label_words.says_normal(name) is None}
    counts = collections.Counter({name: count for name, count in all_counts.items() if name not in unknown})
    if not counts:
        return None
    normal, unclear_names = normal_names(counts, label_words)
    if len(counts) == 1 and (normal or unclear_names or any(file.side for file in placed)):
        name = next(iter(counts))
        raise LabelsMissing(
            f"{listing.root}: one class only: every image is in a folder {name!r} ({counts[name]} images);"
            " training needs normal images in one folder (NORMAL, healthy, negative, no_finding ...) and"
            " abnormal ones in another."
        )
    if not normal and not unclear_names:
        return None
    if len(normal) == len(counts):
        raise LabelsMissing(
            f"{listing.root}: one class only: the folders {', '.join(sorted(normal))} all mean normal; put"
            " abnormal images into a folder named after the finding, or say with --abnormal FOLDER which one"
            " is abnormal."
        )
    numbers = class_numbers(
        counts, label_words, listing.root, {name: f"{count} images" for name, count in counts.items()}
    )
    if 0 not in numbers.values():
        raise LabelsMissing(
            f"{listing.root}: no folder means normal: {', '.join(sorted(counts))}; say which one does with"
            " --normal FOLDER."
        )
    headers = read_headers([file.path for file in placed if listing.kind(file.path) == "dicom"])
    series = sort_headers([header for header in headers.values() if header.is_image])
    unclear = [f"series {item.uid}: {why}" for item in series for _, why in item.unclear]
    if unclear:
        raise DataError(
            f"{listing.root}: {len(unclear)} series cannot be separated into volumes:\n{listed(unclear)}"
        )
    volumes = {header.path: volume for item in series for volume in item.volumes for header in volume.headers}
    aside = [
        line for item in series for line in item.notes(lambda header: str(listing.relative(header.path)))
    ]
    left_out = {header.path for item in series for header, _ in (*item.strays, *item.copies)}
    placed = [file for file in placed if file.path not in left_out]
    cases = tuple(
        _case(
            file,
            numbers.get(file.name),
            headers.get(file.path),
            volumes.get(file.path),
            masks.get(file.path),
        )
        for file in placed
    )
    lines = [
        f"Labels that are not known: the folder {name!r} ({all_counts[name]} images)."
        for name in sorted(unknown)
    ]
    lines += [f"ATTENTION: {line}" for line in aside[:20]]
    return Manifest(listing.root, cases, (*_account(placed, counts, numbers, cases), *lines), "class_folders")


class _ClassFile(collections.namedtuple("_ClassFile", "path side name patient")):
    """A file, its side (or None), the name of its class folder, and that of the folder below (or None)."""


def _below_wrappers(listing: Listing, images, label_words: LabelWords) -> list[tuple[Path, tuple[str, ...]]]:
    """Return (path, parts of the relative path) without leading folders that all images share.

    A folder that names a class or a side is kept.
    """
    parts = [listing.relative(path).parts for path in images]
    while parts and all(len(names) > 2 and names[0] == parts[0][0] for names in parts):
        if (
            parts[0][0].lower() in SIDE_FOLDERS
            or is_normal(parts[0][0])
            or label_words.says_normal(parts[0][0]) is not None
        ):
            break
        parts = [names[1:] for names in parts]
    return list(zip(images, parts))


def _place(path: Path, parts) -> _ClassFile | None:
    """Return the _ClassFile of a file, or None when it lies in no class folder."""
    side = SIDE_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None
    rest = parts[1:] if side else parts
    if len(rest) < 2:
        return None
    return _ClassFile(path, side, rest[0], rest[1] if len(rest) > 2 else None)


def _case(
    file: _ClassFile, label: int | None, header, volume: SeriesVolume | None, mask: Path | None
) -> Case:
    patient = file.patient or (header and header.patient) or patient_of_name(file.path.name)
    return Case(
        image=file.path,
        patient=patient or os.path.join(file.name, file.path.name).replace(os.sep, "/"),
        label=label,
        site=header.site if header else None,
        series=volume.key if volume else None,
        position=header.position if header else None,
        mask=mask,
        split=file.side,
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
    unnamed = [case for file, case in zip(placed, cases) if case.patient == f"{file.name}/{file.path.name}"]
    named_count = len(cases) - len(unnamed)
    if named_count:
        patients = len({case.patient for case in cases}) - len(unnamed)
        yield f"Patient: from folder, header or file name for {named_count} images ({patients} patients)."
    if unnamed:
        yield (
            f"ATTENTION: {len(unnamed)} images have no recognisable patient (for example "
            f"{unnamed[0].image.name}); each is taken as a patient of its own. "
            "If patients have several images, write a manifest.csv with a patient column, or train and test "
            "will share patients."
        )
