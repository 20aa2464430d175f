"""Match corrected masks with the images of a run by the names that `predict` gave them."""

import collections
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.unlabelled_inputs import RESULT_SETTINGS, RESULT_TABLE, Inputs
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.formats import suffix_of
from clamnet_tf.imaging.mask_files import needs_image
from clamnet_tf.imaging.readers import kind_of
from clamnet_tf.prediction.output_paths import volume_output_names
from clamnet_tf.preprocessing.volumes import Group

_MASK = re.compile(r"(?P<stem>.+)_mask", re.IGNORECASE)
_NUMBERED = re.compile(r"(?P<stem>.+)_(?P<number>[0-9]+)")
_SHOWN = 10


@dataclass(frozen=True)
class Correction:
    """A corrected mask and what it belongs to.

    Attributes:
        path: the file.
        case: index of the one case of the inputs that it belongs to, or None.
        number: number of the slice in that case's file, as `predict` writes it, or None for the whole file.
        group: index of the group of files that it belongs to as a volume, or None.
        is_segmentation: whether it is a DICOM segmentation, which names its images itself.
    """

    path: Path
    case: int | None = None
    number: int | None = None
    group: int | None = None
    is_segmentation: bool = False


def find_corrections(folder: Path, inputs: Inputs, groups: list[Group]) -> list[Correction]:
    """Match every file of a folder of corrected masks.

    A name may begin at a deeper folder than the names of the inputs, or at a higher one, since `predict` may
    have been given a part of them or more.

    Args:
        folder: PNG and NIfTI files <name>_mask.*, and DICOM segmentations, in any subfolders.
        inputs: the images of the run, as `predict` names them.
        groups: their groups, see `preprocessing.volumes.group_cases`.

    Raises:
        DataError: the folder is missing, empty or what `predict` wrote, or files in it belong to no image or
            to several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"--corrections {folder}: expected a folder of corrected masks; there is none.")
    if any((folder / name).exists() for name in (RESULT_TABLE, RESULT_SETTINGS)):
        raise DataError(
            f"--corrections {folder}: is a folder that predict wrote; which of its masks a person has "
            "checked is not known. Copy those masks, with their folders, into a folder of their own."
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise DataError(f"--corrections {folder}: expected corrected masks; the folder is empty.")
    of_case = _Names(inputs.outputs)
    of_group = _Names(volume_output_names(inputs, groups))
    found, problems = [], []
    for path in files:
        try:
            found.append(_match(path, path.relative_to(folder), of_case, of_group))
        except _NoMatchError as problem:
            problems.append(f"{path.relative_to(folder)}: {problem}")
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"--corrections {folder}: {len(problems)} file(s) belong to no image of the run:\n"
            + "\n".join(problems[:_SHOWN])
            + more
        )
    return found


class _NoMatchError(Exception):
    """A file belongs to no image, or to several; the text says so."""


class _Names:
    """The names of results, looked up by their last part."""

    def __init__(self, names: Iterable[Path]):
        self.by_name: dict[str, list[tuple[int, tuple[str, ...]]]] = collections.defaultdict(list)
        for index, name in enumerate(names):
            self.by_name[name.name].append((index, name.parts))

    def find(self, parts: tuple[str, ...]) -> int | None:
        """Return the index of the name that equals `parts`, else of the only one whose end agrees with it."""
        candidates = self.by_name.get(parts[-1], [])
        equal = [index for index, own in candidates if own == parts]
        ends = equal or [
            index
            for index, own in candidates
            if (length := min(len(own), len(parts))) and own[-length:] == parts[-length:]
        ]
        if len(ends) > 1:
            raise _NoMatchError(
                f"could belong to {len(ends)} images of that name; keep the folders that predict wrote"
            )
        return ends[0] if ends else None


def _match(path: Path, relative: Path, of_case: _Names, of_group: _Names) -> Correction:
    """Match one file."""
    suffix = suffix_of(path) or ""
    kind = kind_of(path)
    if kind == "dicom":
        if not needs_image(path):
            raise _NoMatchError("is a DICOM file, but no segmentation")
        return Correction(path, is_segmentation=True)
    stem = path.name[: -len(suffix)] if suffix else path.name
    match = _MASK.fullmatch(stem)
    if kind not in ("png", "nifti") or match is None:
        raise _NoMatchError(
            "is no corrected mask: expected <name>_mask.png, <name>_mask.nii.gz, or a DICOM segmentation"
        )
    parts = (*relative.parent.parts, match["stem"])
    case = of_case.find(parts)
    if case is not None:
        return Correction(path, case=case)
    if kind == "nifti":
        group = of_group.find(parts)
        if group is not None:
            return Correction(path, group=group)
    elif numbered := _NUMBERED.fullmatch(match["stem"]):
        case = of_case.find((*relative.parent.parts, numbered["stem"]))
        if case is not None:
            return Correction(path, case=case, number=int(numbered["number"]))
    raise _NoMatchError(
        f"no image of the run has the name {match['stem']}, from which predict names its mask"
    )
