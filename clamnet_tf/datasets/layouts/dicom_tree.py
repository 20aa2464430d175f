"""A tree of DICOM files and a CSV of labels per study, series or instance (or patient).

The most specific of the columns SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID, patient that the table
has decides; with a column slice, which holds InstanceNumber, a row of a series, study or patient names one
image of it. Every file becomes a case; files of a series are one volume, ordered by projected position,
unless the series holds several.
"""

import collections
from pathlib import Path

from clamnet_tf.datasets.file_names import nearest_name
from clamnet_tf.datasets.layouts.dicom_headers import Header, read_headers
from clamnet_tf.datasets.layouts.dicom_series import sort_headers
from clamnet_tf.datasets.layouts.label_table import LabelTable, find_table, tables_that_do_not_serve
from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.datasets.layouts.listing import Listing
from clamnet_tf.datasets.manifest import Case, Manifest, RowReader, listed
from clamnet_tf.datasets.stacking import differs
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.formats import SUFFIXES, suffix_of
from clamnet_tf.imaging.image_grids import stored_plane

LEVELS = ("instance", "series", "study", "patient")


def recognize(listing: Listing, labels: Path | None, said: LabelWords = NOTHING_SAID) -> Manifest | None:
    """The Manifest of a DICOM tree, or None when there is no DICOM file or no table with one of the UID
    columns.

    DataError when files cannot be read, or when the table names UIDs that no file has or contradicts itself.
    """
    files = dicom_files(listing)
    table = find_table(listing, labels, LEVELS[:3], said) if files else None
    if files and table is None:
        table = find_table(listing, labels, ("patient",), said)
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
    aside = [line for one in series for line in one.notes(lambda header: str(listing.relative(header.path)))]
    told = (
        [
            f"ATTENTION: {len(aside)} images belong to no volume and are left out:",
            *listed(aside, 10).split("\n"),
        ]
        if aside
        else []
    )
    copies = sum(len(one.copies) for one in series)
    told += (
        [f"{copies} images repeat another one (same place, same pixels) and are left out."] if copies else []
    )
    return Manifest(listing.root, tuple(cases), (*account, *told), "dicom_tree")


def dicom_files(listing: Listing) -> list[Path]:
    """Files whose content is DICOM, or whose name alone says so; DICOMDIR left out."""
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
    """{uid, or (uid, InstanceNumber): (line, cells)}; DataError for empty, unknown or contradictory rows."""
    reader, chosen = RowReader(table.path.parent), {}
    column, known = (
        table.columns[level],
        collections.Counter(_key(header, level, numbered) for header in headers),
    )
    uids = {getattr(header, level) for header in headers}
    for line, cells in table.rows:
        uid = cells[level]
        number = (
            reader.whole(line, "slice", cells["slice"], "an InstanceNumber, which is a whole number")
            if numbered
            else None
        )
        key = (uid, number) if numbered else uid
        what = f"{uid!r} with InstanceNumber {number}" if numbered else repr(uid)
        if not uid:
            reader.problem(line, f"{column}: is empty")
        elif uid not in uids:
            near = nearest_name(uid, filter(None, uids))
            reader.problem(line, f"{column}: no DICOM file below the folder has {uid!r}{near}")
        elif key not in known:
            reader.problem(line, f"{column}: no DICOM file below the folder has {what}")
        elif numbered and level == "series" and known[key] > 1:
            reader.problem(
                line,
                f"slice: {known[key]} images of {uid!r} have InstanceNumber {number}; label by "
                f"SOPInstanceUID",
            )
        elif key in chosen and table.labels[chosen[key][0]] != table.labels[line]:
            first = chosen[key][0]
            reader.problem(
                line, f"{column}: {what} is labelled {cells['label']!r} here and differently in line {first}"
            )
        chosen.setdefault(key, (line, cells))
        reader.number(
            line, "eta", cells.get("eta", ""), "a probability in (0, 1]", lambda value: 0 < value <= 1
        )
        reader.side(line, "split", cells.get("split", ""))
    reader.finish(table.path)
    return chosen


def _check_instances(listing: Listing, headers) -> None:
    """DataError for two files of one SOP instance."""
    first: dict[str, Header] = {}
    twice = []
    for header in headers:
        if header.instance and first.setdefault(header.instance, header) is not header:
            twice.append(
                f"{listing.relative(first[header.instance].path)} and {listing.relative(header.path)}"
            )
    if twice:
        raise DataError(
            f"{listing.root}: the same SOP instance stands in two files; remove one of each "
            f"pair:\n{listed(twice)}"
        )


def _volumes(listing: Listing, series) -> dict[Path, str]:
    """{file: key of its volume}; DataError for images that share a position and nothing tells apart."""
    unclear = [f"series {one.uid}: {why}" for one in series for _, why in one.unclear]
    if unclear:
        raise DataError(
            f"{listing.root}: {len(unclear)} series cannot be taken apart into volumes:\n{listed(unclear)}"
        )
    return {header.path: volume.key for one in series for volume in one.volumes for header in volume.headers}


def _check_planes(listing: Listing, series, cases) -> None:
    """DataError for sagittal or coronal series whose slices are labelled one by one: they become axial
    ones.
    """
    of_path, problems = {case.image: case for case in cases}, []
    for volume in (volume for one in series for volume in one.volumes):
        frame = volume.headers[0].frame
        found = [of_path[header.path] for header in volume.headers]
        plane = stored_plane(frame)
        odd = next((case for case in found if differs(case, found[0])), None)
        if odd is not None and plane != "axial":
            problems.append(
                f"series {volume.uid}: {plane}, and {listing.relative(odd.image)} is labelled otherwise "
                f"than {listing.relative(found[0].image)}"
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
    )


def _account(table: LabelTable, level, files, headers, cases, labelled: int):
    studies, series = ({getattr(header, name) for header in headers} for name in ("study", "series"))
    yield f"Layout dicom_tree: {len(headers)} images in {len(series)} series of {len(studies)} studies; labels per {level}."
    yield from table.account
    if len(files) > len(headers):
        yield f"{len(files) - len(headers)} DICOM files are not images (reports, segmentations ...) and are left out."
    if len(headers) > labelled:
        yield f"ATTENTION: {len(headers) - labelled} images have no row in the table and are left out."
    if level in LEVELS[1:]:
        yield f"ATTENTION: the label of a {level} counts for each of its slices. Label by SOPInstanceUID if single slices are known to be normal."
    nameless = {case.patient for case in cases if case.patient.startswith("study ")}
    if nameless:
        yield f"ATTENTION: {len(nameless)} studies have no PatientID; each study is taken as a patient of its own."


def no_labels_given(listing: Listing) -> DataError | None:
    """The error for DICOM files without any label table; None when there are none."""
    files = dicom_files(listing)
    if not files:
        return None
    reasons = tables_that_do_not_serve(listing)
    why = "\nTables that are there and do not serve:\n" + listed(reasons, 5) if reasons else ""
    return DataError(
        f"{listing.root}: {len(files)} DICOM files but no table of their labels; add labels.csv with the "
        f"columns StudyInstanceUID "
        f"(or SeriesInstanceUID, SOPInstanceUID) and label, or name one with --labels.{why}"
    )
