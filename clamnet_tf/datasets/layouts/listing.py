"""Walk over a data folder once: list its files in natural order, with their kinds."""

import collections
import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.companions import companions, header_of
from clamnet_tf.imaging.formats import picture_formats, suffix_of, volume_formats
from clamnet_tf.imaging.readers import kind_of

VOLUMES, PICTURES = volume_formats(), picture_formats()
_MASK = re.compile(r"(?P<stem>.+)_mask(?P<more>_[0-9]+)?", re.IGNORECASE)
SKIPPED_FOLDERS = ("__MACOSX",)
_SKIPPED = (".", "~$")  # hidden files, and the file that Excel keeps beside an open workbook


def natural_key(text) -> list:
    """Return a sort key under which 'slice 2' comes before 'slice 10'."""
    return [
        (0, int(part), part) if part.isdigit() else (1, 0, part.lower())
        for part in re.split(r"([0-9]+)", str(text))
        if part
    ]


def suffix(path: Path) -> str:
    """Return the suffix in lower case, with '.nii.gz' as one, or ''."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


@dataclass(frozen=True)
class Listing:
    """The files below `root`, absolute, in natural order of their relative paths, without hidden ones."""

    root: Path
    files: tuple[Path, ...]

    def kind(self, path: Path) -> str | None:
        """Return the kind as which a file is read, by content, else by name.

        Returns:
            None for a file that is not an image, and for the second file of a volume.
        """
        return self._kinds.get(path)

    def of_kind(self, kinds) -> list[Path]:
        """Return the files that are of one of `kinds`, in order."""
        return [path for path in self.files if self._kinds[path] in kinds]

    @functools.cached_property
    def _kinds(self) -> dict[Path, str | None]:
        kinds: dict[Path, str | None] = {}
        for path in self.files:
            try:
                kinds[path] = None if path.name.upper() == "DICOMDIR" else kind_of(path)
            except ImageError:  # reported when it is read, if its name promises an image
                kinds[path] = None
        second = {
            other
            for path, kind in kinds.items()
            if kind in VOLUMES and header_of(path) is None
            for other in companions(path, kind)
        }
        return {path: None if path in second and kind != "dicom" else kind for path, kind in kinds.items()}

    @functools.cached_property
    def suffix_counts(self) -> dict[str, int]:
        """{suffix: number of files}, the most frequent first."""
        counts = collections.Counter(suffix(path) or "(no suffix)" for path in self.files)
        return dict(counts.most_common())

    def relative(self, path: Path) -> Path:
        """Return a path relative to `root`."""
        return path.relative_to(self.root)


def stem_of(path: Path) -> str:
    """Return the name without an image suffix: 1.2.840.5 is unchanged, scan.nii.gz becomes scan."""
    ending = suffix_of(path)
    return path.name[: -len(ending)] if ending else path.name


def part_masks(files) -> tuple[list[Path], dict[Path, Path]]:
    """Return (images, {image: mask}).

    A file <name>_mask beside a file <name> is its mask, whatever the suffixes. A second mask <name>_mask_1 is
    neither an image nor used.
    """
    plain = {(path.parent, stem_of(path)): path for path in files}
    images, masks = [], {}
    for path in files:
        match = _MASK.fullmatch(stem_of(path))
        image = plain.get((path.parent, match["stem"])) if match else None
        if image is None:
            images.append(path)
        elif not match["more"]:
            masks[image] = path
    return images, masks


def list_folder(folder) -> Listing:
    """List the files of `folder`, following symbolic links but not loops.

    Raises:
        DataError: the folder is missing or holds no file.
    """
    root = Path(os.path.abspath(folder))
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{folder}: {problem}; --data expects a folder of images, or a manifest CSV.")
    files, visited = [], set()
    for current, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(current)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED_FOLDERS]
        paths = (Path(current, name) for name in names if not name.startswith(_SKIPPED))
        # Pipes are left out; dead links are reported when they are read.
        files += [path for path in paths if path.is_file() or not path.exists()]
    if not files:
        raise DataError(
            f"{folder}: the folder is empty; it must hold images (see `clamnet-tf data inspect --help` for "
            f"the layouts)."
        )
    files.sort(key=lambda path: [natural_key(part) for part in path.relative_to(root).parts])
    return Listing(root, tuple(files))
