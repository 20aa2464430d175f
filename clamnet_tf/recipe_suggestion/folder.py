"""Find the images of a folder, with or without labels, and refuse one that holds several kinds of images."""

import collections
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf import spreadsheet
from clamnet_tf.datasets.layouts.dicom_headers import read_header
from clamnet_tf.datasets.layouts.label_words import LabelSource
from clamnet_tf.datasets.layouts.listing import Listing, list_folder, part_masks, suffix
from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.table_files import SUFFIXES
from clamnet_tf.errors import DataError, ImageError, LabelsMissing, UserInputError
from clamnet_tf.files import write_text
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.formats import FORMATS
from clamnet_tf.imaging.other_formats import OTHER_FORMATS, PICTURES, VOLUMES
from clamnet_tf.recipe_suggestion.image_survey import NO_IMAGE, UNREADABLE, ImageSurvey

HOW_TO_LABEL = """What is needed: one label per image (or per slice, series or study), normal or abnormal.
Outlines are not needed. Give the labels in one of these ways:
  - Put the images into folders by label: normal/, and one named after the finding.
  - Fill in a table: clamnet-tf init {folder} --write-labels labels.csv
    writes one with a row per image or DICOM series (0 normal, 1 abnormal, empty: not known). Then add
    --labels labels.csv to every command.
  - If you have a table already, call its label column `label`, keep a column that names the images or UIDs,
    and name the file with --labels FILE. Say what a word means with --normal WORD or --abnormal WORD.
Images of one patient need the same text in a column `patient`, so that no patient is both trained and tested
on. To mark images with a trained network, no labels are needed: clamnet-tf zoo list, clamnet-tf predict."""


@dataclass(frozen=True)
class Folder:
    """Describe the contents of a folder of images.

    Attributes:
        path: the folder or manifest.
        images: its image files, without recognised masks.
        manifest: its cases; None where the labels cannot be recognised.
        error: why the labels cannot be recognised; None where they can.
        listing: all its files; None for a manifest.
    """

    path: Path
    images: tuple[Path, ...]
    manifest: Manifest | None = None
    error: UserInputError | None = None
    listing: Listing | None = None

    def unread(self) -> list[str]:
        """Return a line on every format of images among the files that is not read."""
        return [] if self.listing is None else _unread(self.listing)


def open_folder(path: Path, labels: LabelSource) -> Folder:
    """Find the images of a folder or manifest, and their labels where they are there.

    Raises:
        DataError: there is no such folder, it holds no image, or a manifest cannot be read.
    """
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        manifest = recognize(path, labels.table, labels.said)
        return Folder(path, _images_of(manifest), manifest)
    listing = list_folder(path)
    try:
        manifest = recognize(path, labels.table, labels.said)
    except (DataError, ImageError) as error:
        images, _ = part_masks(listing.of_kind(tuple(FORMATS)))
        if not images:
            counts = ", ".join(f"{count} {ending}" for ending, count in listing.suffix_counts.items())
            found = "".join(f"\n{line}" for line in _unread(listing))
            raise DataError(
                f"{path}: holds no image that can be read (found: {counts}). Name the folder of the images."
                f"{found}"
            ) from error
        return Folder(path, tuple(images), error=error, listing=listing)
    return Folder(path, _images_of(manifest), manifest, listing=listing)


def _images_of(manifest: Manifest) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(case.image for case in manifest.cases))


def _unread(listing: Listing) -> list[str]:
    counts = collections.Counter(suffix(path) for path in listing.files if listing.kind(path) is None)
    first = {suffix(path): path for path in reversed(listing.files) if listing.kind(path) is None}
    lines = []
    for ending, count in counts.items():
        try:
            kind = sniff.sniff(first[ending])
        except ImageError:
            continue
        if kind in (*PICTURES, *VOLUMES):
            words, cure = OTHER_FORMATS[kind]
            lines.append(f"{count} files {ending} are not read: the first is {words}. {cure}.")
    return lines


def refuse_mixture(folder: Folder, survey: ImageSurvey) -> None:
    """Raise DataError when the images are of several kinds, or of a kind that no recipe is for."""
    kinds = {words: count for words, count in survey.groups.items() if words not in (UNREADABLE, NO_IMAGE)}
    counts = "\n".join(f"  {count} x {words}" for words, count in survey.groups.items())
    families = {"pictures" if words.endswith("pictures") else words for words in kinds}
    if not kinds:
        raise DataError(f"{folder.path}: none of its files is an image that can be read:\n{counts}")
    if len(families) > 1:
        raise DataError(
            f"{folder.path}: holds several kinds of images, and a recipe is for one:\n{counts}\n"
            "A network learns from images that were made alike. Put each kind into a folder of its own and "
            "call init for each, or list the images of one kind in a manifest.csv (image, patient, label)."
        )
    foreign = next((words for words in kinds if words.startswith("DICOM of modality")), None)
    if foreign:
        raise DataError(
            f"{folder.path}: its images are {foreign}; recipes are for ct (CT), mri (MR) and xray (CR, DX, "
            "MG and others). If they resemble one of these, convert them to PNG and name it by --modality."
        )
    channels = sorted(set(survey.channels))
    if len(channels) > 1:
        raise DataError(
            f"{folder.path}: holds images of {' and '.join(map(str, channels))} channels (first in colour: "
            f"{survey.colour or 'none'}); a network takes one number. Convert them, or leave some out."
        )


def labels_needed(folder: Folder) -> UserInputError:
    """Return the error for images without labels: why they were not found, and how to give them."""
    assert folder.error is not None
    if not isinstance(folder.error, LabelsMissing):
        return folder.error  # labels are there, with a fault that the message names
    reason = str(folder.error).split("\nLayouts that exist:")[0]
    return LabelsMissing(f"{reason}\n\n{HOW_TO_LABEL.format(folder=folder.path)}")


def write_label_table(folder: Folder, out: Path) -> int:
    """Write a table with one row per image, or per DICOM series, and an empty column `label`.

    Args:
        folder: the folder.
        out: CSV file; it must not exist.

    Returns:
        The number of rows.

    Raises:
        DataError: the file exists, or the images are of a manifest.
    """
    listing = folder.listing
    if out.exists():
        raise DataError(f"{out}: exists already, and perhaps holds labels; remove it or name another file.")
    if listing is None:
        raise DataError(f"{folder.path}: is a manifest, which has a column label of its own.")
    dicom = [path for path in folder.images if listing.kind(path) == "dicom"]
    if dicom:
        headers = [header for header in map(read_header, dicom) if header.is_image]
        rows = [(series, "") for series in dict.fromkeys(header.series for header in headers)]
        lines = [spreadsheet.line(row) for row in (("SeriesInstanceUID", "label"), *rows)]
    else:
        names = [listing.relative(path).as_posix() for path in folder.images]
        lines = [
            spreadsheet.line(row)
            for row in (("image", "patient", "label"), *((name, "", "") for name in names))
        ]
    write_text(out, "".join(lines))
    return len(lines) - 1
