"""Find the files of one study by their names, for formats with a file per volume (NIfTI, NRRD, MetaImage)."""

import collections
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.layouts.listing import stem_of
from clamnet_tf.recipe.sequences import Sequences

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
