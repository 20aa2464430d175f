"""A CSV of labels beside image files: pictures (one file, one label) or NIfTI volumes (one label per volume or slice)."""

import os
from dataclasses import replace
from pathlib import Path

from clamnet_tf.data.folders.classes import patient_of_name
from clamnet_tf.data.folders.label_table import LabelTable, find_table
from clamnet_tf.data.folders.listing import DICOM, NIFTI, PICTURES, Listing, suffix
from clamnet_tf.data.manifest import Case, Manifest, RowReader, check_repeats, read_cells
from clamnet_tf.errors import DataError

_IMAGE_FOLDERS = ("image", "images", "img", "imgs")
_KEYS = ("image", "patient")


def recognize_nifti(listing: Listing, labels: Path | None) -> Manifest | None:
    """NIfTI volumes with a label table, or None. An optional slice column holds k of img[:, :, k], from 0, as the file stores it."""
    return _recognize(listing, labels, NIFTI, "nifti_csv", slices_are_indices=True)


def recognize_pictures(listing: Listing, labels: Path | None) -> Manifest | None:
    """Image files (also DICOM files that the table names) with a label table, or None.

    A slice column orders the images of a patient, unless one image is listed with several slices.
    """
    return _recognize(listing, labels, PICTURES + DICOM, "csv_images", slices_are_indices=False)


def _recognize(listing, labels, suffixes, layout, slices_are_indices) -> Manifest | None:
    files = listing.with_suffix(suffixes)
    table = find_table(listing, labels, _KEYS) if files else None
    if table is None:
        return None
    finder, reader = _Finder(listing, files, table), RowReader(table.path.parent)
    rows = []
    for line, cells in table.rows:
        path = finder.find(reader, line, cells)
        text = {**cells, "image": str(path) if path else "", "label": "", "series": cells.get("series", "")}
        if not cells.get("patient"):
            text["patient"] = (patient_of_name(path.name) or path.name) if path else "unknown"
        before = len(reader.problems)
        case = read_cells(reader, line, text)
        if path is None:  # already reported by the finder
            reader.problems[before:] = [problem for problem in reader.problems[before:] if not problem[1].startswith("image:")]
        else:
            rows.append((line, replace(case, label=table.labels[line])))
    repeated = len({case.image for _, case in rows}) < len(rows)
    if not slices_are_indices and not repeated:
        rows = [(line, _slice_as_position(case)) for line, case in rows]
    check_repeats(reader, rows)
    reader.finish(table.path)
    cases = tuple(case for _, case in rows)
    return Manifest(listing.root, cases, tuple(_account(listing, layout, table, files, cases)), layout)


def _slice_as_position(case: Case) -> Case:
    if isinstance(case.slice_index, str):  # a SOPInstanceUID: the file is asked whether it is that one
        return case
    position = float(case.slice_index) if case.position is None and case.slice_index is not None else case.position
    return replace(case, slice_index=None, position=position)


class _Finder:
    """Finds the file that a row means: by path, by file name with or without suffix, or by the patient's name."""

    def __init__(self, listing: Listing, files, table: LabelTable):
        self.listing, self.table, self.files = listing, table, set(files)
        self.by_name: dict[str, list[Path]] = {}
        for path in files:
            stem = path.name[: -len(suffix(path))] if suffix(path) else path.name
            keys = {path.name, stem}
            if "image" not in table.columns:
                keys.add(path.parent.name)
            for key in keys:
                self.by_name.setdefault(key, []).append(path)

    def find(self, reader: RowReader, line: int, cells) -> Path | None:
        column = "image" if "image" in self.table.columns else "patient"
        text = cells[column]
        if not text:
            reader.problem(line, f"{self.table.columns[column]}: is empty")
            return None
        for folder in (self.table.path.parent, self.listing.root):
            path = Path(os.path.abspath(folder / text))
            if path in self.files:
                return path
        found = self.by_name.get(text, [])
        if len(found) > 1:
            preferred = [path for path in found if path.parent.name.lower() in _IMAGE_FOLDERS]
            found = preferred if len(preferred) == 1 else found
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(str(self.listing.relative(path)) for path in found[:3])
            reader.problem(line, f"{self.table.columns[column]}: {text!r} could be any of {len(found)} files ({names} ...); write its path")
        else:
            reader.problem(line, f"{self.table.columns[column]}: no such file: {text!r} (searched below {self.listing.root})")
        return None


def _account(listing, layout, table: LabelTable, files, cases):
    kind = "NIfTI volumes" if layout == "nifti_csv" else "images"
    yield f"Layout {layout}: {len({case.image for case in cases})} of {len(files)} {kind} below {listing.root} are in the table."
    yield from table.account
    if "patient" not in table.columns:
        own = sum(case.patient == case.image.name for case in cases)
        yield f"The table has no patient column: patient from the file name for {len(cases) - own} rows."
        if own:
            yield f"ATTENTION: {own} rows have no recognisable patient; each file is a patient of its own. Add a patient column if patients have several."
    if layout == "nifti_csv" and any(case.slice_index is None and case.label for case in cases):
        yield "ATTENTION: labels are per volume: every slice of an abnormal volume counts as abnormal. Add a slice column if single slices are labelled."
    if "slice" in table.columns and layout == "csv_images" and all(case.slice_index is None for case in cases):
        yield "The slice column orders the images of a patient."


def no_labels_given(listing: Listing) -> DataError | None:
    """The error for NIfTI files without any label table; None when there are none."""
    if not listing.with_suffix(NIFTI):
        return None
    return DataError(
        f"{listing.root}: {len(listing.with_suffix(NIFTI))} NIfTI volumes but no table of their labels; add labels.csv with the columns "
        "image,label (optional patient, slice: k of img[:, :, k], mask), or name one with --labels."
    )
