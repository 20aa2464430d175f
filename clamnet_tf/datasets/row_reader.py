"""Turn the cells of a table of images into values, and collect what is wrong with them by line."""

import math
import os
import re
from pathlib import Path

from clamnet_tf.datasets.file_names import FolderNames
from clamnet_tf.datasets.problems import listed, nearest
from clamnet_tf.datasets.table_limits import LONGEST_NUMBER, shown_cell
from clamnet_tf.errors import DataError

LABEL_LEVELS = {"slice": "slice", "study": "study"}
LATERALITIES = {"left": "left", "l": "left", "right": "right", "r": "right"}
NO_LATERALITY = ("b", "both", "u", "unpaired")
SIDE_NAMES = {"train": "train", "val": "val", "test": "test", "validation": "val"}
_UID = re.compile(r"[0-9]+(\.[0-9]+){3,}")
LONGEST_NAME, LONGEST_PATH = 255, 4000  # limits of a file system: bytes of one name, characters of a path


class RowReader:
    """Turns the cells of one table into values and collects every problem with its line number.

    Every method takes the line and, where it is not fixed, the column for messages; a cell that is wrong adds
    a problem and gives None or an empty text: the values are valid only while `problems` is empty.
    """

    def __init__(self, root: Path):
        self.root = Path(os.path.abspath(root))
        self.problems: list[tuple[int, str]] = []
        self.folders = FolderNames()

    def problem(self, line: int, message: str) -> None:
        """Add a problem of one line."""
        self.problems.append((line, message))

    def required_text(self, line, column, text):
        """Return the text of a cell that must not be empty."""
        if not text:
            self.problem(line, f"{column}: is empty")
        return text

    def whole(self, line, column, text, advice):
        """Return a whole number from 0, or None when the cell is empty or wrong."""
        if not text:
            return None
        if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER:
            return int(text)
        self.problem(line, f"{column}: expected {advice}, received {shown_cell(text)}")
        return None

    def slice(self, line, text):
        """Return a slice's number, a SOPInstanceUID as text, or None."""
        if _UID.fullmatch(text):
            return text
        return self.whole(line, "slice", text, "a slice's number in its file, or a SOPInstanceUID")

    def number(self, line, column, text, advice="a number", valid=lambda value: True):
        """Return a finite float for which `valid` holds, or None."""
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value) and valid(value):
            return value
        self.problem(line, f"{column}: expected {advice}, received {shown_cell(text)}")
        return None

    def file(self, line, column, text, folder_allowed=False):
        """Return an existing path, or None.

        Relative text is taken from the table's folder and may not leave it. A name that differs from a file's
        only in case, Unicode form or separators means that file, if there is exactly one.
        """
        if not text:
            return None
        if (
            "\0" in text
            or any(len(os.fsencode(part)) > LONGEST_NAME for part in Path(text).parts)
            or len(text) > LONGEST_PATH
        ):
            self.problem(line, f"{column}: {shown_cell(text)} is not a path")
            return None
        path = Path(os.path.normpath(self.root / text))
        if not os.path.isabs(text) and not path.is_relative_to(self.root):
            self.problem(
                line,
                f"{column}: {text!r} leaves the folder {self.root}; copy the file into it or give an "
                f"absolute path",
            )
            return None
        usable = lambda path: path.is_file() or (folder_allowed and path.is_dir())
        if usable(path):
            return path
        start = Path(path.anchor) if os.path.isabs(text) else self.root
        matches = [
            path
            for path in self.folders.find(start, text)
            if usable(path) and (os.path.isabs(text) or path.is_relative_to(self.root))
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(str(path) for path in matches[:3])
            self.problem(
                line,
                f"{column}: {text!r} could be any of {len(matches)} files that differ in case or letters "
                f"alone: {names}",
            )
        else:
            self.problem(line, f"{column}: no such file: {text!r}{self.folders.nearest(start, text)}")
        return None

    def side(self, line, column, text):
        """Return train, val or test ('validation' is accepted), or None."""
        return self._one_of(line, column, text, SIDE_NAMES, "train, val or test")

    def level(self, line, column, text):
        """Return slice or study, or None."""
        return self._one_of(line, column, text, LABEL_LEVELS, "slice or study")

    def laterality(self, line, column, text):
        """Return left or right, or None where the cell is empty or says both or unpaired."""
        if text.lower() in NO_LATERALITY:
            return None
        return self._one_of(line, column, text, LATERALITIES, "left or right (L, R), both or unpaired")

    def _one_of(self, line, column, text, values, expected):
        if text and text.lower() not in values:
            near = nearest(text, values)
            self.problem(line, f"{column}: expected {expected}, received {text!r}{near}")
        return values.get(text.lower())

    def names(self, line, column, text, label):
        """Return names joined by + as a sorted tuple; names must differ and belong to abnormal images."""
        names = [name.strip() for name in text.split("+")] if text else []
        if "" in names or len(set(names)) < len(names):
            self.problem(line, f"{column}: expected names joined by +, each once, received {text!r}")
        elif names and label == 0:
            self.problem(line, f"{column}: expected nothing, since label is 0, received {text!r}")
        return tuple(sorted(names))

    def finish(self, table) -> None:
        """Raise one DataError with all problems, if there are any."""
        if self.problems:
            lines = [f"line {line}: {message}" for line, message in sorted(self.problems)]
            raise DataError(f"{table}: {len(lines)} problem(s):\n{listed(lines)}")
