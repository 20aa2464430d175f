"""Find the files of one study by their names, for formats with a file per volume (NIfTI, NRRD, MetaImage)."""

import collections
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.layouts.listing import stem_of
from clamnet_tf.errors import UnfitImages
from clamnet_tf.imaging.formats import format_promised
from clamnet_tf.recipe.sequences import Sequences
from clamnet_tf.recipe.standard_sequences import STANDARD, USUAL_NAMES

_BIDS = re.compile(r"(?P<study>sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?)(_|$)")


@dataclass(frozen=True)
class FileStudy:
    """Files that may be the sequences of one study.

    Attributes:
        folder, name: where they are, and what their names have in common.
        files_of: index of a sequence -> the files whose names match it, in the given order.
    """

    folder: Path
    name: str
    files_of: dict[int, tuple[Path, ...]]

    @property
    def files(self) -> tuple[Path, ...]:
        """Return all files."""
        return tuple(path for files in self.files_of.values() for path in files)

    def problem(self, names: tuple[str, ...]) -> str | None:
        """Return why the study cannot be used, when several files match one sequence; else None."""
        for index, files in self.files_of.items():
            if len(files) > 1:
                found = ", ".join(path.name for path in files)
                return (
                    f"{self.folder / self.name}: {len(files)} files match the sequence {names[index]}: "
                    f"{found}. Keep one of them, name the files in a manifest, or make the patterns of "
                    "data.sequences narrower."
                )
        return None


def refuse_sequence(path: Path, modality: str) -> None:
    """Refuse a volume that is named like an MR sequence, for a model of another modality.

    NIfTI and the like do not say their modality, so the name is the only evidence. DICOM says it, and in
    names of pictures T1 and T2 are as often points in time.

    Raises:
        UnfitImages: the name ends like that of a T1, T2 or FLAIR sequence.
    """
    promised = format_promised(path)
    if promised is None or not promised.is_volume:
        return
    for key, sequence in STANDARD.items():
        if any(re.search(pattern, stem_of(path)) for pattern in sequence.files):
            raise UnfitImages(
                f"{path}: is named like an MR sequence ({USUAL_NAMES[key]}), and the model is for "
                f"{'CT' if modality == 'ct' else 'X-rays'}; its format does not say the modality. Choose "
                "another model, rename the file if the name means something else, or insist with "
                "--any-modality."
            )


def sequence_of_name(path: Path, sequences: Sequences) -> tuple[int, str] | None:
    """Return (index of the sequence, name of the study) of a file, or None when its name matches none.

    Where several patterns match, the one that matches most of the name decides, so that T1POST is not T1.
    """
    stem = stem_of(path)
    best: tuple[int, int, str] | None = None
    for index, sequence in enumerate(sequences.sequences):
        for pattern in sequence.files:
            match = pattern.search(stem)
            length = match.end() - match.start() if match else 0
            if match and length and (best is None or length > best[0]):
                bids = _BIDS.match(stem)
                rest = bids["study"] if bids else (stem[: match.start()] + stem[match.end() :]).strip("_-. ")
                best = (length, index, rest)
    return None if best is None else best[1:]


def studies_of_names(paths: Iterable[Path], sequences: Sequences) -> list[FileStudy]:
    """Return the studies whose files match the sequences by name, in the order of their first file.

    The files of a study lie in one folder, and their names differ in what the patterns match alone; BIDS
    names agree in subject and session.
    """
    studies: dict[tuple[Path, str], dict[int, list[Path]]] = collections.defaultdict(dict)
    for path in paths:
        found = sequence_of_name(path, sequences)
        if found:
            index, name = found
            studies[path.parent, name].setdefault(index, []).append(path)
    return [
        FileStudy(folder, name, {index: tuple(files) for index, files in sorted(files_of.items())})
        for (folder, name), files_of in studies.items()
    ]
