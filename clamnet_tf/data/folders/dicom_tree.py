"""A tree of DICOM files and a CSV of labels per study, series or instance (or patient).

The most specific of the columns SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID, patient that the table has
decides. Every file becomes a case; files of a series are one volume, ordered by projected position.
"""

from pathlib import Path

from clamnet_tf.data.file_names import nearest_name
from clamnet_tf.data.folders.dicom_headers import Header, read_headers
from clamnet_tf.data.folders.label_table import LabelTable, find_table, tables_that_do_not_serve
from clamnet_tf.data.folders.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.data.folders.listing import Listing
from clamnet_tf.data.manifest import Case, Manifest, RowReader, listed
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.readers import SUFFIXES, suffix_of

LEVELS = ("instance", "series", "study", "patient")


def recognize(listing: Listing, labels: Path | None, said: LabelWords = NOTHING_SAID) -> Manifest | None:
    """The Manifest of a DICOM tree, or None when there is no DICOM file or no table with one of the UID columns.

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
    chosen = _rows_by_uid(table, level, {getattr(header, level) for header in headers})
    labelled = [header for header in headers if getattr(header, level) in chosen]
    mixed = _check_series(listing, labelled)
    cases = []
    for header in labelled:
        line, cells = chosen[getattr(header, level)]
        cases.append(_case(header, cells, table.labels[line], header.series in mixed))
    return Manifest(listing.root, tuple(cases), tuple(_account(table, level, files, headers, cases, mixed)), "dicom_tree")


def dicom_files(listing: Listing) -> list[Path]:
    """Files whose content is DICOM, or whose name alone says so; DICOMDIR left out."""
    return [
        path
        for path in listing.files
        if path.name != "DICOMDIR"
        and (listing.kind(path) == "dicom" or SUFFIXES.get(suffix_of(path)) == "dicom")
    ]


def _rows_by_uid(table: LabelTable, level: str, known) -> dict[str, tuple[int, dict]]:
    """{uid: (line, cells)}; DataError for empty, unknown or contradictory rows."""
    reader, chosen = RowReader(table.path.parent), {}
    column = table.columns[level]
    for line, cells in table.rows:
        uid = cells[level]
        if not uid:
            reader.problem(line, f"{column}: is empty")
        elif uid not in known:
            reader.problem(
                line,
                f"{column}: no DICOM file below the folder has"
                f" {uid!r}{nearest_name(uid, filter(None, known))}",
            )
        elif uid in chosen and table.labels[chosen[uid][0]] != table.labels[line]:
            reader.problem(line, f"{column}: {uid!r} is labelled {cells['label']!r} here and differently in line {chosen[uid][0]}")
        chosen.setdefault(uid, (line, cells))
        reader.number(line, "eta", cells.get("eta", ""), "a probability in (0, 1]", lambda value: 0 < value <= 1)
        reader.side(line, "split", cells.get("split", ""))
    reader.finish(table.path)
    return chosen


def _check_series(listing: Listing, headers) -> set[str]:
    """Series whose files differ in size or orientation (localizers); DataError for two files of one SOP instance."""
    first: dict[str, Header] = {}
    twice = []
    grids: dict[str, set] = {}
    for header in headers:
        if header.instance and first.setdefault(header.instance, header) is not header:
            twice.append(f"{listing.relative(first[header.instance].path)} and {listing.relative(header.path)}")
        grids.setdefault(header.series, set()).add(header.grid)
    if twice:
        raise DataError(f"{listing.root}: the same SOP instance stands in two files; remove one of each pair:\n{listed(twice)}")
    return {series for series, found in grids.items() if len(found) > 1}


def _case(header: Header, cells, label, alone: bool) -> Case:
    return Case(
        image=header.path,
        patient=cells.get("patient") or header.patient or f"study {header.study}",
        label=label,
        site=cells.get("site") or header.site,
        series=f"{header.series} {header.instance}" if alone else header.series,
        position=header.position,
        eta=float(cells["eta"]) if cells.get("eta") else None,
        split=RowReader(header.path.parent).side(0, "split", cells.get("split", "")),
    )


def _account(table: LabelTable, level, files, headers, cases, mixed):
    studies, series = ({getattr(header, name) for header in headers} for name in ("study", "series"))
    yield f"Layout dicom_tree: {len(headers)} images in {len(series)} series of {len(studies)} studies; labels per {level}."
    yield from table.account
    if len(files) > len(headers):
        yield f"{len(files) - len(headers)} DICOM files are not images (reports, segmentations ...) and are left out."
    if len(headers) > len(cases):
        yield f"ATTENTION: {len(headers) - len(cases)} images have no row in the table and are left out."
    if level != "instance":
        yield f"ATTENTION: the label of a {level} counts for each of its slices. Label by SOPInstanceUID if single slices are known to be normal."
    if mixed:
        yield f"ATTENTION: {len(mixed)} series mix sizes or orientations (localizers?); each of their files is a volume of its own. First: {min(mixed)}."
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
        f"{listing.root}: {len(files)} DICOM files but no table of their labels; add labels.csv with the columns StudyInstanceUID "
        f"(or SeriesInstanceUID, SOPInstanceUID) and label, or name one with --labels.{why}"
    )
