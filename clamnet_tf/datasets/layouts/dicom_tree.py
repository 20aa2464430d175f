"""Recognise a tree of DICOM files with a table of labels per study, series, instance or patient.

The most specific of the columns SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID and patient decides. With
a column slice, which holds InstanceNumber, a row of a series, study or patient names one image of it. Every
file becomes a case. Files of a series are one volume, ordered by projected position, unless the series holds
several volumes.
"""

import collections
from pathlib import Path

from clamnet_tf.datasets.file_names import nearest_name
from clamnet_tf.datasets.layouts.dicom_headers import Header, read_headers
from clamnet_tf.datasets.layouts.dicom_series import sort_headers
from clamnet_tf.datasets.layouts.label_table import LabelTable, find_table, tables_that_do_not_serve
from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.datasets.layouts.listing import Listing
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.row_reader import RowReader
from clamnet_tf.datasets.stacking import differs
from clamnet_tf.errors import DataError, LabelsMissing
from clamnet_tf.imaging.formats import SUFFIXES, suffix_of
from clamnet_tf.imaging.image_grids import stored_plane

LEVELS = ("instance", "series", "study", "patient")


def recognize(
    listing: Listing, labels: Path | None, label_words: LabelWords = NOTHING_SAID
) -> Manifest | None:
    """Return the Manifest of a DICOM tree, or None without a DICOM file or a table with one of the UID
    columns.

    Raises:
        DataError: files cannot be read, or the table contradicts itself or names UIDs that no file has.
    """
    files = dicom_files(listing)
    table = find_table(listing, labels, LEVELS[:3], label_words) if files else None
    if files and table is None:
        table = find_table(listing, labels, ("patient",), label_words)
        table = table if table and "image" not in table.columns else None
    if table is None:
        return None
    headers = [header for header in read_headers(files).values() if header.is_image]
    level = next(name for name in LEVELS if name in table.columns)
    numbered = level != "instance" and "slice" in table.columns
    chosen = _rows_by_uid(table, level, numbered, headers)
    labelled = [header for header in headers if _key(header, level, numbered) in chosen]
    _check_instances(listing, labelled)
    series = sort_headers(labelled)
    keys = _volumes(listing, series)
    cases = []
    for header in labelled:
        if header.path in keys:
            line, cells = chosen[_key(header, level, numbered)]
            cases.append(_case(header, cells, table.labels[line], keys[header.path]))
    _check_planes(listing, series, cases)
    account = _account(
        table, level + (" and InstanceNumber" if numbered else ""), files, headers, cases, len(labelled)
    )
    aside = [
        line for item in series for line in item.notes(lambda header: str(listing.relative(header.path)))
    ]
    lines = (
        [
            f"ATTENTION: {len(aside)} images belong to no volume and are left out:",
            *listed(aside, 10).split("\n"),
        ]
        if aside
        else []
    )
    copies = sum(len(item.copies) for item in series)
    lines += (
        [f"{copies} images repeat another one (same position, same pixels) and are left out."]
        if copies
        else []
    )
    return Manifest(listing.root, tuple(cases), (*account, *lines), "dicom_tree")


def dicom_files(listing: Listing) -> list[Path]:
    """Return the files whose content or name says DICOM, without DICOMDIR."""
    return [
        path
        for path in listing.files
        if path.name != "DICOMDIR"
        and (listing.kind(path) == "dicom" or SUFFIXES.get(suffix_of(path)) == "dicom")
    ]


def _key(header: Header, level: str, numbered: bool):
    """Return what a row of the table names: a UID, or a UID and an InstanceNumber."""
    uid = getattr(header, level)
    return (uid, header.frame.instance_number) if numbered else uid


def _rows_by_uid(table: LabelTable, level: str, numbered: bool, headers) -> dict:
    """Return {uid, or (uid, InstanceNumber): (line, cells)}; raise DataError for wrong rows.

    Wrong are rows that are empty, that no file has, or that contradict another row.
    """
    reader, chosen = RowReader(table.path.parent), {}
    column, known = (
        table.columns[level],
        collections.Counter(_key(header, level, numbered) for header in headers),
    )
    uids = {getattr(header, level) for header in headers}
    for line, cells in table.rows:
        uid = cells[level]
        instance_number = (
            reader.whole(line, "slice", cells["slice"], "an InstanceNumber, which is a whole number")
            if numbered
            else None
        )
        key = (uid, instance_number) if numbered else uid
        name = f"{uid!r} with InstanceNumber {instance_number}" if numbered else repr(uid)
        if not uid:
            reader.problem(line, f"{column}: is empty")
        elif uid not in uids:
            near = nearest_name(uid, filter(None, uids))
            reader.problem(line, f"{column}: no DICOM file below the folder has {uid!r}{near}")
        elif key not in known:
            reader.problem(line, f"{column}: no DICOM file below the folder has {name}")
        elif numbered and level == "series" and known[key] > 1:
            reader.problem(
                line,
                f"slice: {known[key]} images of {uid!r} have InstanceNumber {instance_number}; label by "
                f"SOPInstanceUID",
            )
        elif key in chosen and table.labels[chosen[key][0]] != table.labels[line]:
            first_line = chosen[key][0]
            reader.problem(
                line,
                f"{column}: {name} is labelled {cells['label']!r} here and differently in line {first_line}",
            )
        chosen.setdefault(key, (line, cells))
        reader.number(
            line, "eta", cells.get("eta", ""), "a probability in (0, 1]", lambda value: 0 < value <= 1
        )
        reader.side(line, "split", cells.get("split", ""))
        reader.level(line, "label_level", cells.get("label_level", ""))
    reader.finish(table.path)
    return chosen


def _check_instances(listing: Listing, headers) -> None:
    """Raise DataError when two files have the same SOP instance UID."""
    first_header: dict[str, Header] = {}
    twice = []
    for header in headers:
        if header.instance and first_header.setdefault(header.instance, header) is not header:
            twice.append(
                f"{listing.relative(first_header[header.instance].path)} and {listing.relative(header.path)}"
            )
    if twice:
        raise DataError(
            f"{listing.root}: the same SOP instance stands in two files; remove one of each "
            f"pair:\n{listed(twice)}"
        )


def _volumes(listing: Listing, series) -> dict[Path, str]:
    """Return {file: key of its volume}; raise DataError for images at one position that nothing
    distinguishes.
    """
    unclear = [f"series {item.uid}: {why}" for item in series for _, why in item.unclear]
    if unclear:
        raise DataError(
            f"{listing.root}: {len(unclear)} series cannot be separated into volumes:\n{listed(unclear)}"
        )
    return {
        header.path: volume.key for item in series for volume in item.volumes for header in volume.headers
    }


def _check_planes(listing: Listing, series, cases) -> None:
    """Raise DataError for sagittal or coronal series with labels per slice; they become axial slices."""
    of_path, problems = {case.image: case for case in cases}, []
    for volume in (volume for item in series for volume in item.volumes):
        frame = volume.headers[0].frame
        cases_of_volume = [of_path[header.path] for header in volume.headers]
        plane = stored_plane(frame)
        odd = next((case for case in cases_of_volume if differs(case, cases_of_volume[0])), None)
        if odd is not None and plane != "axial":
            problems.append(
                f"series {volume.uid}: {plane}, and {listing.relative(odd.image)} is labelled otherwise "
                f"than {listing.relative(cases_of_volume[0].image)}"
            )
    if problems:
        raise DataError(
            f"{listing.root}: {len(problems)} series hold slices that are brought to axial ones, so that "
            f"labels of single slices cannot be kept; label "
            f"these series as a whole:\n{listed(problems)}"
        )


def _case(header: Header, cells, label, series: str) -> Case:
    return Case(
        image=header.path,
        patient=cells.get("patient") or header.patient or f"study {header.study}",
        label=label,
        site=cells.get("site") or header.site,
        series=series,
        position=header.position,
        eta=float(cells["eta"]) if cells.get("eta") else None,
        split=RowReader(header.path.parent).side(0, "split", cells.get("split", "")),
        label_level=RowReader(header.path.parent).level(0, "label_level", cells.get("label_level", "")),
    )


def _account(table: LabelTable, level, files, headers, cases, labelled: int):
    studies, series = ({getattr(header, name) for header in headers} for name in ("study", "series"))
    yield (
        f"Layout dicom_tree: {len(headers)} images in {len(series)} series of {len(studies)} studies; labels "
        f"per {level}."
    )
    yield from table.account
    if len(files) > len(headers):
        yield (
            f"{len(files) - len(headers)} DICOM files are not images (reports, segmentations ...) and are "
            f"left out."
        )
    if len(headers) > labelled:
        yield f"ATTENTION: {len(headers) - labelled} images have no row in the table and are left out."
    if level in LEVELS[1:]:
        yield (
            f"ATTENTION: the label of a {level} counts for each of its slices. Label by SOPInstanceUID if "
            f"single slices are known to be normal; if they are not known, train with data.labels: study."
        )
    nameless = {case.patient for case in cases if case.patient.startswith("study ")}
    if nameless:
        yield (
            f"ATTENTION: {len(nameless)} studies have no PatientID; each study is taken as a patient of its "
            f"own."
        )


def no_labels_given(listing: Listing) -> DataError | None:
    """Return the error for DICOM files without any label table, or None when there are no DICOM files."""
    files = dicom_files(listing)
    if not files:
        return None
    reasons = tables_that_do_not_serve(listing)
    why = "\nTables that cannot be used:\n" + listed(reasons, 5) if reasons else ""
    return LabelsMissing(
        f"{listing.root}: {len(files)} DICOM files but no table of their labels; add labels.csv with the "
        f"columns StudyInstanceUID "
        f"(or SeriesInstanceUID, SOPInstanceUID) and label, or name one with --labels.{why}"
    )
