"""Say which files of a study hold the channels of one image (docs/how-to/sequences.md)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SequenceImage:
    """One channel of a study.

    Attributes:
        name: name of the sequence.
        files: one file, the files of one DICOM volume, or one folder of a DICOM series; () when the study
            lacks the sequence.
    """

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class SequenceGroup:
    """The series or files of one study that together are one image.

    `manifest.Case.image` is the reference, or a file of it; slices, masks, crops and results are on its grid.

    Attributes:
        images: one per channel, in the order of the channels.
        reference: index of the sequence onto which the others are resampled.
        filler: index of the sequence that takes the place of a missing one; None: none may be missing.
        registration: "none" or "rigid", how the others are brought onto the reference.
        notes: what was chosen among several candidates.
    """

    images: tuple[SequenceImage, ...]
    reference: int
    filler: int | None = None
    registration: str = "none"
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Return all files, in the order of the channels."""
        return tuple(path for image in self.images for path in image.files)

    def row(self) -> dict:
        """Return the group as a dict for JSON; `from_row` reads it back."""
        return {
            "images": [[image.name, [str(path) for path in image.files]] for image in self.images],
            "reference": self.reference,
            "filler": self.filler,
            "registration": self.registration,
            "notes": list(self.notes),
        }

    @classmethod
    def from_row(cls, row: dict) -> "SequenceGroup":
        """Make a group of what `row` returned."""
        images = tuple(SequenceImage(name, tuple(map(Path, files))) for name, files in row["images"])
        return cls(images, row["reference"], row["filler"], row["registration"], tuple(row["notes"]))


def group_of(sequences, files_of: dict[int, tuple[Path, ...]], notes=()) -> SequenceGroup:
    """Return the group of a study.

    Where the reference sequence is missing, the filler, or else the first sequence that is there, is the
    reference.

    Args:
        sequences: recipe.sequences.Sequences of the model.
        files_of: index of a sequence -> its files; at least one sequence.
        notes: what was chosen among several candidates.
    """
    images = tuple(
        SequenceImage(name, tuple(files_of.get(index, ()))) for index, name in enumerate(sequences.names)
    )
    wanted = (sequences.reference, sequences.filler, *range(len(images)))
    reference = next(index for index in wanted if index is not None and images[index].files)
    return SequenceGroup(images, reference, sequences.filler, sequences.registration, tuple(notes))


def described(group: SequenceGroup, name_of: Callable[[Path], str]) -> str:
    """Return which file or series is which sequence, in one line.

    Args:
        group: the study.
        name_of: returns the name by which a file is called.
    """
    parts = []
    for index, image in enumerate(group.images):
        what = name_of(image.files[0]) if image.files else "missing"
        more = f" and {len(image.files) - 1} more" if len(image.files) > 1 else ""
        parts.append(f"{image.name} {what}{more}" + (" (reference)" if index == group.reference else ""))
    return ", ".join(parts)
