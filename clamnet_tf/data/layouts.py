"""Recognise what a data folder holds. One function per layout, tried in the order of LAYOUTS."""

import collections
import os
from dataclasses import replace
from pathlib import Path

from clamnet_tf.data.account import summary
from clamnet_tf.data.folders import class_folders, dicom_tree, kaggle_3m, labelled_files, manifest_file
from clamnet_tf.data.folders.listing import Listing, list_folder
from clamnet_tf.data.manifest import Manifest, read_manifest, read_table
from clamnet_tf.data.table_limits import shown_columns
from clamnet_tf.errors import DataError

# name: (listing, labels) -> Manifest, or None when the folder is not of this layout
LAYOUTS = {
    "manifest": manifest_file.recognize,
    "kaggle_3m": kaggle_3m.recognize,
    "dicom_tree": dicom_tree.recognize,
    "nifti_csv": labelled_files.recognize_nifti,
    "csv_images": labelled_files.recognize_pictures,
    "class_folders": class_folders.recognize,
}

DESCRIPTIONS = {
    "manifest": "manifest.csv with the columns image, patient, label (site, series, slice, position, eta, mask, split, organ)",
    "kaggle_3m": "<patient>/<patient>_<n>.tif beside <patient>/<patient>_<n>_mask.tif",
    "dicom_tree": "DICOM files in any folders, with a CSV of labels per StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID",
    "nifti_csv": "NIfTI volumes with a CSV image,label (patient, slice from 0, mask ...)",
    "csv_images": "PNG, JPEG, TIFF, npy or DICOM files with a CSV image,label (patient, site, slice, mask ...)",
    "class_folders": "one folder of normal images (NORMAL, healthy, no_finding ...) and others named after findings; train/, val/, test/ above are used",
}


def recognize(folder, labels=None) -> Manifest:
    """The cases of a data folder, in natural order, with the account of how they were recognised.

    folder: a data folder, or a manifest CSV. labels: a CSV of labels, when it is not in the folder.
    DataError when the folder is missing, empty, of no known layout, or wrong in a way that the message lists.
    """
    folder = Path(folder)
    if folder.suffix.lower() == ".csv" and folder.is_file():
        if labels is not None:
            raise DataError(f"{folder} is a manifest and has labels of its own; give its folder together with --labels, or leave --labels out.")
        return _finished(read_manifest(folder))
    listing = list_folder(folder)
    labels = None if labels is None else Path(os.path.abspath(labels))
    for recognizer in LAYOUTS.values():
        manifest = recognizer(listing, labels)
        if manifest is not None:
            return _finished(manifest)
    raise _nothing_recognised(listing, labels)


def _finished(manifest: Manifest) -> Manifest:
    if not manifest.cases:
        raise DataError(f"{manifest.root}: {' '.join(manifest.account)} No image is left; check the table against the files.")
    return replace(manifest, account=(*manifest.account, *summary(manifest)))


def _nothing_recognised(listing: Listing, labels: Path | None) -> DataError:
    if labels is None:
        for module in (dicom_tree, labelled_files):
            if error := module.no_labels_given(listing):
                return error
    counts = ", ".join(f"{count} {suffix}" for suffix, count in listing.suffix_counts.items())
    folders = collections.Counter(listing.relative(path).parts[0] for path in listing.files if len(listing.relative(path).parts) > 1)
    inside = ", ".join(f"{name} ({count} files)" for name, count in list(folders.items())[:10]) or "none"
    tables = "; ".join(f"{listing.relative(path)} ({_columns(path)})" for path in listing.with_suffix((".csv", ".tsv"))[:3])
    lines = [f"{listing.root}: no layout recognised. Found files: {counts}. Folders: {inside}{' ...' if len(folders) > 10 else ''}."]
    if labels is not None:
        lines.append(f"The table {labels} has none of the columns that name images: image, patient, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID.")
    elif tables:
        lines.append(f"Tables: {tables}; a label table needs a column 'label' and one that names images (image, patient or a DICOM UID).")
    lines.append("Layouts that exist:")
    lines += [f"  {name}: {text}" for name, text in DESCRIPTIONS.items()]
    return DataError("\n".join(lines))


def _columns(path: Path) -> str:
    try:
        return "columns " + shown_columns(read_table(path)[0])
    except DataError:
        return "not readable as a table"
