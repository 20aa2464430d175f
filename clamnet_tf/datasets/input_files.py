"""Collect the files that `predict` was given: images, cases of manifests, and files that are skipped."""

import collections
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from clamnet_tf.datasets.deidentify import Identifiers
from clamnet_tf.datasets.layouts.listing import list_folder, stem_of
from clamnet_tf.datasets.layouts.other_files import other_files
from clamnet_tf.datasets.manifest import Case, read_manifest
from clamnet_tf.datasets.table_files import SUFFIXES as TABLE_SUFFIXES
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.formats import suffix_of, titles
from clamnet_tf.imaging.readers import kind_of
from clamnet_tf.recipe.sequences import Sequences

RESULT_TABLE = "marks.csv"  # written by predict; a folder that holds one is skipped
RESULT_SETTINGS = "prediction.json"  # likewise; written first, so that a killed prediction leaves it too
RESULT_COLUMNS = ("input", "slice", "volume", "presence_score")  # first columns of RESULT_TABLE
_MASK = re.compile(r"(?P<stem>.+)_mask(_[0-9]+)?", re.IGNORECASE)
_MASKS = "masks (<name>_mask.*)"
_SEGMENTATION = re.compile(  # names of outlines in public archives: BraTS, BIDS, nnU-Net, MSLUB
    r"(?:.*[_.-])?(seg|dseg|segmentation|gt|label|labels|labelmap|groundtruth)", re.IGNORECASE
)
_SEGMENTATION_FOLDERS = ("labelstr", "labelsts", "labelsval")
_SEGMENTATIONS = "outlines (<name>_seg.*, <name>_gt.*, <name>_label.*, folders labelsTr and labelsTs)"


@dataclass
class InputFiles:
    """The given files by their use, all absolute, without repeats.

    Attributes:
        kinds: {path: kind as in imaging.readers, None for a file that is not an image}.
        table_cases: {path: case} of manifest CSVs.
        named: files that were given by their own name, not by their folder.
        roots: the folders that were given, and those around single files.
        failures: one message per file or folder that cannot be used.
        skipped: {description: number of skipped files}.
        identifiers: identifiers of patients in DICOM headers.
        keep_identifiers: whether `identifiers` is to stay empty.
        sequences: the sequences of the model, in whose order the columns of manifests are put; None: none.
    """

    kinds: dict[Path, str | None] = field(default_factory=dict)
    table_cases: dict[Path, Case] = field(default_factory=dict)
    named: set[Path] = field(default_factory=set)
    roots: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    skipped: collections.Counter = field(default_factory=collections.Counter)
    identifiers: Identifiers = field(default_factory=Identifiers)
    keep_identifiers: bool = False
    sequences: Sequences | None = None

    def add(self, given: Path) -> None:
        """Add a file, a folder with everything below it, or a manifest."""
        path = Path(os.path.abspath(given))
        if path.is_dir():
            self._add_folder(given, path)
        elif not path.exists():
            self.failures.append(f"{given}: there is no such file or folder; check the name.")
        elif path.suffix.lower() in TABLE_SUFFIXES:
            self._add_manifest(path)
        else:
            self.named.add(path)
            try:
                self._add_file(path, path.parent, kind_of(path))
            except ImageError as error:
                self.failures.append(str(error))

    def drop_masks(self) -> None:
        """Remove <name>_mask beside <name> from files that were named singly, as by a shell pattern.

        Files whose names say that they are outlines (`is_outline`) are removed beside any other image.
        """
        stems = {(path.parent, stem_of(path)) for path in self.named}
        for path in self.named:
            match = _MASK.fullmatch(stem_of(path))
            if match and (path.parent, match["stem"]) in stems and self.kinds.pop(path, None):
                self.skipped[_MASKS] += 1
        outlines = [
            path for path in self.named if self.kinds.get(path) and is_outline(path, path.parent.parent)
        ]
        for path in outlines:
            if self.kinds[path] != "dicom" and len(self.named) > len(outlines):
                del self.kinds[path]
                self.skipped[_SEGMENTATIONS] += 1

    def _add_file(self, path: Path, root: Path, kind: str | None) -> None:
        if path not in self.kinds and path not in self.table_cases:
            self.kinds[path] = kind
        if root not in self.roots:
            self.roots.append(root)

    def _add_folder(self, given: Path, folder: Path) -> None:
        try:
            listing = list_folder(folder)
        except DataError:
            self.failures.append(f"{given}: the folder holds no files.")
            return
        results = [
            path.parent
            for path in listing.files
            if path.name in (RESULT_TABLE, RESULT_SETTINGS) and _is_result(path)
        ]
        skipped: collections.Counter[str] = collections.Counter()
        other_paths = []
        for path in listing.files:
            if any(path.is_relative_to(folder) for folder in results):
                skipped[f"results of earlier predictions (folders with a {RESULT_TABLE})"] += 1
            elif listing.kind(path) is None or path.name == "DICOMDIR":
                other_paths.append(path)
            elif suffix_of(path) and _MASK.fullmatch(stem_of(path)):
                skipped[_MASKS] += 1
            elif listing.kind(path) != "dicom" and is_outline(path, folder):
                skipped[_SEGMENTATIONS] += 1
            else:
                self._add_file(path, folder, listing.kind(path))
        other_counts, failures = other_files(listing, other_paths)
        skipped += other_counts
        self.skipped += skipped
        self.failures += failures
        if folder not in self.roots:
            content = ", ".join(f"{count} {description}" for description, count in skipped.items())
            more = f" {len(failures)} file(s) cannot be read." if failures else ""
            self.failures.append(
                f"{given}: no image in this folder, only {content or 'files that cannot be read'}.{more} "
                f"Name the folder that holds {titles(last='or')} files."
            )

    def _add_manifest(self, path: Path) -> None:
        from clamnet_tf.datasets.sequence_manifest import by_columns  # loads pydicom

        try:
            cases = read_manifest(path).cases
            cases = tuple(by_columns(case, self.sequences) for case in cases)
        except DataError as error:
            self.failures.append(str(error))
            return
        for case in cases:
            if case.image not in self.kinds:
                self.table_cases.setdefault(
                    case.image,
                    replace(case, label=None, mask=None, split=None, eta=None, slice_index=None, markers=()),
                )
        self.roots += [path.parent, *dict.fromkeys(case.image.parent for case in cases)]


def is_outline(path: Path, folder: Path) -> bool:
    """Return whether name or folder of a file below `folder` say that it is an outline, not an image."""
    parts = path.relative_to(folder).parts[:-1] if path.is_relative_to(folder) else ()
    inside = {part.lower() for part in (folder.name, *parts)}
    return bool(_SEGMENTATION.fullmatch(stem_of(path)) or inside & set(_SEGMENTATION_FOLDERS))


def _is_result(path: Path) -> bool:
    """Return whether a table or settings file was written by predict."""
    try:
        with open(path, encoding="utf-8") as stream:
            head = stream.read(2000)
            return (
                head.startswith(",".join(RESULT_COLUMNS))
                if path.name == RESULT_TABLE
                else '"keep_identifiers"' in head
            )
    except (OSError, UnicodeDecodeError):
        return False
