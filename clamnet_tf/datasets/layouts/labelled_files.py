"""Recognise a table of labels beside files: pictures with one label each, or volumes labelled as a whole or
by slice.
"""

from dataclasses import replace
from pathlib import Path

from clamnet_tf.datasets.layouts.classes import patient_of_name
from clamnet_tf.datasets.layouts.file_finder import FileFinder
from clamnet_tf.datasets.layouts.label_table import LabelTable, find_table, tables_that_do_not_serve
from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.datasets.layouts.listing import PICTURES, VOLUMES, Listing
from clamnet_tf.datasets.manifest import Case, Manifest, check_repeats, read_cells
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.row_reader import RowReader
from clamnet_tf.errors import DataError, LabelsMissing
from clamnet_tf.imaging.formats import FORMATS

_KEYS = ("image", "patient")


def recognize_nifti(
    listing: Listing, labels: Path | None, label_words: LabelWords = NOTHING_SAID
) -> Manifest | None:
    """Return the Manifest of volumes with a label table, or None for another layout.

    A slice column holds k of img[:, :, k], from 0, as stored.
    """
    return _recognize(listing, labels, label_words, VOLUMES, "nifti_csv", slices_are_indices=True)


def recognize_pictures(
    listing: Listing, labels: Path | None, label_words: LabelWords = NOTHING_SAID
) -> Manifest | None:
    """Return the Manifest of image files (also DICOM files that the table names) with a label table, or None.

    A slice column orders the images of a patient, unless one image is listed with several slices.
    """
    return _recognize(
        listing, labels, label_words, (*PICTURES, "dicom"), "csv_images", slices_are_indices=False
    )


def _recognize(listing, labels, label_words, kinds, layout, slices_are_indices) -> Manifest | None:
    files = listing.of_kind(kinds)
    table = find_table(listing, labels, _KEYS, label_words) if files else None
    if table is None:
        return None
    finder, reader = FileFinder(listing, files, table), RowReader(table.path.parent)
    rows = []
    for line, cells in table.rows:
        paths = finder.find(reader, line, cells)
        before = len(reader.problems)
        for path in paths or [None]:
            text = {
                **cells,
                "image": str(path) if path else "",
                "label": "",
                "series": cells.get("series", ""),
            }
            if not cells.get("patient"):
                text["patient"] = (patient_of_name(path.name) or path.name) if path else "unknown"
            case = read_cells(reader, line, text)
            if path is not None:
                rows.append((line, replace(case, label=table.labels[line])))
        if not paths:  # already reported by the finder
            reader.problems[before:] = [
                problem for problem in reader.problems[before:] if not problem[1].startswith("image:")
            ]
    repeated = len({case.image for _, case in rows}) < len(rows)
    if not slices_are_indices and not repeated:
        rows = [(line, _slice_as_position(case)) for line, case in rows]
    check_repeats(reader, rows)
    reader.finish(table.path)
    cases = tuple(case for _, case in rows)
    return Manifest(listing.root, cases, tuple(_account(listing, layout, table, finder, cases)), layout)


def _slice_as_position(case: Case) -> Case:
    if isinstance(case.slice_index, str):  # a SOPInstanceUID, which is checked when the file is read
        return case
    position = (
        float(case.slice_index) if case.position is None and case.slice_index is not None else case.position
    )
    return replace(case, slice_index=None, position=position)


def _account(listing, layout, table: LabelTable, finder: FileFinder, cases):
    kind = "volumes" if layout == "nifti_csv" else "images"
    yield (
        f"Layout {layout}: {len({case.image for case in cases})} of {len(finder.files)} {kind} below"
        f" {listing.root} are in the table."
    )
    yield from table.account
    if finder.elsewhere:
        yield (
            f"ATTENTION: {finder.elsewhere} rows name files of another machine; files whose paths end alike"
            " were taken."
        )
    if len(cases) > len(table.rows):
        yield (
            f"ATTENTION: {len(table.rows)} participants have {len(cases)} images (sessions, runs); the label"
            " of each counts for all of its images."
        )
    if "patient" not in table.columns:
        unnamed = sum(case.patient == case.image.name for case in cases)
        yield f"The table has no patient column: patient from the file name for {len(cases) - unnamed} rows."
        if unnamed:
            yield (
                f"ATTENTION: {unnamed} rows have no recognisable patient; each file is a patient of its own. "
                f"Add a patient column if patients have several."
            )
    if layout == "nifti_csv" and any(case.slice_index is None and case.label for case in cases):
        yield (
            "ATTENTION: labels are per volume: every slice of an abnormal volume counts as abnormal. Add a "
            "slice column if single slices are labelled; train with data.labels: study if they are not, so "
            "that each slice only may hold the lesion."
        )
    if (
        "slice" in table.columns
        and layout == "csv_images"
        and all(case.slice_index is None for case in cases)
    ):
        yield "The slice column orders the images of a patient."


def no_labels_given(listing: Listing) -> DataError | None:
    """Return the error for volumes without a label table, with the reason for each unused table, or None."""
    volumes = listing.of_kind(VOLUMES)
    if not volumes:
        return None
    kinds = " and ".join(
        FORMATS[kind].title for kind in VOLUMES if any(listing.kind(path) == kind for path in volumes)
    )
    reasons = tables_that_do_not_serve(listing)
    why = "\nTables that cannot be used:\n" + listed(reasons, 5) if reasons else ""
    return LabelsMissing(
        f"{listing.root}: {len(volumes)} {kinds} volumes but no table of their labels; add labels.csv with"
        f" the columns image,label (optional patient, slice: k of img[:, :, k], mask), or name one with "
        f"--labels.{why}"
    )
