"""Find the files that a row of a label table means: by path, by file name or by the patient's name."""

import os
import re
from pathlib import Path

from clamnet_tf.datasets.file_names import alike, nearest_name
from clamnet_tf.datasets.layouts.label_table import LabelTable
from clamnet_tf.datasets.layouts.listing import Listing, stem_of
from clamnet_tf.datasets.row_reader import RowReader
from clamnet_tf.imaging.companions import companions

_IMAGE_FOLDERS = ("image", "images", "img", "imgs")
_ELSEWHERE = re.compile(r"([A-Za-z]:[\\/]|\\\\|/)")  # start of a path of another machine: C:\ \\server /
# Folders of a BIDS data set that hold no raw images.
_NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli")
_DERIVED = re.compile(r".*_(mask|dseg|probseg|pseg)", re.IGNORECASE)  # BIDS: files computed from an image


class FileFinder:
    """Finds files for rows. Names that differ only in case, Unicode form or separators count as equal.

    Attributes:
        elsewhere: number of rows that named a path of another machine and were found by its end.
    """

    def __init__(self, listing: Listing, files, table: LabelTable):
        self.listing, self.table, self.elsewhere = listing, table, 0
        self.bids = (listing.root / "dataset_description.json").is_file()
        self.files = [path for path in files if not (self.bids and self._derived(path))]
        self.by_path: dict[str, list[Path]] = {}
        self.by_name: dict[str, list[Path]] = {}
        for path in self.files:
            second = companions(path, listing.kind(path) or "")  # scan.img means the volume of scan.hdr
            for spelled in (path, *second):
                self.by_path.setdefault(alike(str(spelled)), []).append(path)
            for key in self._keys(path) | {alike(other.name) for other in second}:
                self.by_name.setdefault(key, []).append(path)

    def find(self, reader: RowReader, line: int, cells) -> list[Path]:
        """Return the files of one row, usually one; [] when a problem was added to `reader`."""
        column = "image" if "image" in self.table.columns else "patient"
        text, column_name = cells[column], self.table.columns[column]
        if not text:
            reader.problem(line, f"{column_name}: is empty")
            return []
        paths = self._at_path(text) or self.by_name.get(alike(text), []) or self._at_end(text)
        exact = [path for path in paths if path.name == text or stem_of(path) == text]
        paths = exact if len(exact) == 1 else paths
        if len(paths) > 1:
            preferred = [path for path in paths if path.parent.name.lower() in _IMAGE_FOLDERS]
            paths = preferred if len(preferred) == 1 else paths
        if len(paths) > 1 and column == "patient" and all(path.name.startswith("sub-") for path in paths):
            return self._of_participant(reader, line, text, column_name, paths)
        if len(paths) == 1:
            return paths
        if paths:
            names = ", ".join(str(self.listing.relative(path)) for path in paths[:3])
            reader.problem(
                line,
                f"{column_name}: {text!r} could be any of {len(paths)} files ({names} ...); write its path",
            )
        else:
            near = nearest_name(text, [name for path in self.files for name in (path.name, stem_of(path))])
            reader.problem(
                line, f"{column_name}: no such file: {text!r} (searched below {self.listing.root}){near}"
            )
        return []

    def _keys(self, path: Path) -> set[str]:
        """Return the names under which a file is found."""
        keys = {path.name, stem_of(path)}
        if "image" not in self.table.columns:
            folders = self.listing.relative(path).parts[:-1]
            keys.add(path.parent.name)
            subject = next(
                (part for part in (*folders, path.name.split("_")[0]) if part.startswith("sub-")), None
            )
            keys |= {subject, subject.removeprefix("sub-")} if subject else set()
        return {alike(key) for key in keys}

    def _derived(self, path: Path) -> bool:
        """Return whether a file of a BIDS data set was computed from an image."""
        return (
            self.listing.relative(path).parts[0] in _NOT_RAW or _DERIVED.fullmatch(stem_of(path)) is not None
        )

    def _at_path(self, text: str) -> list[Path]:
        """Return the files at a path relative to the table or to the data folder."""
        for folder in (self.table.path.parent, self.listing.root):
            for spelled in dict.fromkeys((text, text.replace("\\", "/"))):
                path = os.path.abspath(folder / spelled)
                matches = self.by_path.get(alike(path), [])
                if exact := [match for match in matches if str(match) == path]:
                    return exact
                if matches:
                    return matches
        return []

    def _at_end(self, text: str) -> list[Path]:
        """Return the files whose path has the longest common end with an absolute path of another machine."""
        if not _ELSEWHERE.match(text):
            return []
        parts = alike(text).split("/")
        for start in range(1, len(parts)):
            end = "/" + "/".join(parts[start:])
            matches = [path for key, paths in self.by_path.items() if key.endswith(end) for path in paths]
            if matches:
                self.elsewhere += 1
                return matches
        return []

    def _of_participant(self, reader, line, text, column_name, paths) -> list[Path]:
        """Return all images of a BIDS participant when they are of one kind.

        Sessions and runs share the participant's label.
        """
        kinds = sorted({stem_of(path).rsplit("_", 1)[-1] for path in paths})
        if len(kinds) == 1:
            return paths
        kind_names = ", ".join(kinds)
        reader.problem(
            line,
            f"{column_name}: {text!r} has {len(paths)} images of {len(kinds)} kinds ({kind_names}); "
            "write a labels.csv whose column image names those of one kind",
        )
        return []
