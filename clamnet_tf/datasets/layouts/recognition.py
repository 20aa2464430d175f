"""Recognise the layout of a data folder; one function per layout, tried in the order of LAYOUTS."""

import collections
import os
import unicodedata
from dataclasses import replace
from pathlib import Path

from clamnet_tf.datasets.layouts import class_folders, dicom_tree, kaggle_3m, labelled_files, manifest_file
from clamnet_tf.datasets.layouts.label_table import tables_that_do_not_serve
from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.datasets.layouts.listing import Listing, list_folder
from clamnet_tf.datasets.manifest import Case, Manifest, read_manifest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.summary import dataset_summary
from clamnet_tf.datasets.table_files import SUFFIXES
from clamnet_tf.errors import DataError, LabelsMissing
from clamnet_tf.imaging.formats import picture_formats, titles, volume_formats
from clamnet_tf.texts import printable

# name: function (listing, labels, label words) -> Manifest, or None for a folder of another layout
LAYOUTS = {
    "manifest": manifest_file.recognize,
    "kaggle_3m": kaggle_3m.recognize,
    "dicom_tree": dicom_tree.recognize,
    "nifti_csv": labelled_files.recognize_nifti,
    "csv_images": labelled_files.recognize_pictures,
    "class_folders": class_folders.recognize,
}

DESCRIPTIONS = {
    "manifest": (
        "manifest.csv with the columns image, patient, label (site, series, slice, position, eta, mask,"
        " split, organ)"
    ),
    "kaggle_3m": "<patient>/<patient>_<n>.tif beside <patient>/<patient>_<n>_mask.tif",
    "dicom_tree": (
        "DICOM files in any folders, with a table of labels per StudyInstanceUID, SeriesInstanceUID (also"
        " with InstanceNumber) or SOPInstanceUID"
    ),
    "nifti_csv": (
        f"{titles(volume_formats(), 'or')} volumes with a table image,label (patient, slice: k of img[:, :, "
        f"k], mask ...), BIDS"
        " participants.tsv too"
    ),
    "csv_images": (
        f"{titles((*picture_formats(), 'dicom'), 'or')} files with a table image,label (patient, site, "
        f"slice, mask ...)"
    ),
    "class_folders": (
        "one folder of normal images (NORMAL, healthy, no_finding ...) and others named after findings;"
        " train/, val/, test/ above are used"
    ),
}


def recognize(folder, labels=None, label_words: LabelWords = NOTHING_SAID) -> Manifest:
    """Return the cases of a data folder, in natural order, with the account of how they were recognised.

    Args:
        folder: a data folder, or a manifest (CSV or Excel).
        labels: a table of labels, if it is not in the folder.
        label_words: meanings of label words (normal or abnormal) that the user gave.

    Raises:
        DataError: the folder is missing, empty, of no known layout, or wrong in a way that the message lists.
    """
    folder = Path(folder)
    if folder.suffix.lower() in SUFFIXES and folder.is_file():
        if labels is not None:
            raise DataError(
                f"{folder} is a manifest and has labels of its own; give its folder together with --labels, "
                f"or leave --labels out."
            )
        return _finished(_without_words(read_manifest(folder), label_words))
    listing = list_folder(folder)
    labels = None if labels is None else Path(os.path.abspath(labels))
    for recognizer in LAYOUTS.values():
        manifest = recognizer(listing, labels, label_words)
        if manifest is not None:
            return _finished(
                _without_words(manifest, label_words)
                if manifest.layout in ("manifest", "kaggle_3m")
                else manifest
            )
    raise _nothing_recognised(listing, labels)


def _without_words(manifest: Manifest, label_words: LabelWords) -> Manifest:
    """Return the manifest; raise DataError when the user gave words although its labels are numbers."""
    if label_words:
        raise DataError(
            f"{manifest.root}: --normal and --abnormal say what label words mean; the labels of a"
            f" {manifest.layout} are numbers. Leave them out."
        )
    return manifest


def _finished(manifest: Manifest) -> Manifest:
    if not manifest.cases:
        raise DataError(
            f"{manifest.root}: {' '.join(manifest.account)} No image is left; check the table against the "
            f"files."
        )
    manifest = replace(manifest, cases=tuple(_with_plain_names(case) for case in manifest.cases))
    return replace(manifest, account=(*manifest.account, *dataset_summary(manifest)))


def _with_plain_names(case: Case) -> Case:
    """Return the case with names in one Unicode form.

    So a patient whose folders were written on two systems is one patient.
    """
    texts = {name: getattr(case, name) for name in ("patient", "site", "series")}
    if all(text is None or text.isascii() for text in texts.values()):
        return case
    return replace(
        case, **{name: text and unicodedata.normalize("NFC", printable(text)) for name, text in texts.items()}
    )


def _nothing_recognised(listing: Listing, labels: Path | None) -> DataError:
    if labels is None:
        for module in (dicom_tree, labelled_files):
            if error := module.no_labels_given(listing):
                return error
    counts = ", ".join(f"{count} {suffix}" for suffix, count in listing.suffix_counts.items())
    folders = collections.Counter(
        listing.relative(path).parts[0] for path in listing.files if len(listing.relative(path).parts) > 1
    )
    inside = ", ".join(f"{name} ({count} files)" for name, count in list(folders.items())[:10]) or "none"
    lines = [
        f"{listing.root}: no layout recognised. Found files: {counts}. Folders: "
        f"{inside}{' ...' if len(folders) > 10 else ''}."
    ]
    if labels is not None:
        lines.append(
            f"The table {labels} has none of the columns that name images: image, patient, "
            f"StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID."
        )
    elif tables := tables_that_do_not_serve(listing):
        lines.append(f"Tables that cannot be used:\n{listed(tables, 5)}")
    if len(folders) > 1 and labels is None:
        lines.append("If each folder is a class, say which one means normal with --normal FOLDER.")
    lines.append("Layouts that exist:")
    lines += [f"  {name}: {text}" for name, text in DESCRIPTIONS.items()]
    return LabelsMissing("\n".join(lines))
