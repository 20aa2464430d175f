"""What stands for identifiers of patients in everything that `fit` and `evaluate` write: tables, pages,
pictures, logs.

The rule is that of `predict` (datasets/deidentify.py): what a DICOM header says of patient, visit,
institution and staff is
replaced wherever it is repeated, unless --keep-identifiers is given; names that no header repeats are the
user's own.
Data are split and trained on under their true names, so that results do not depend on hiding; names change on
the way out.
"""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.deidentify import Identifiers
from clamnet_tf.datasets.layouts.dicom_headers import read_header
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.errors import ClamnetError, DataError, ImageError
from clamnet_tf.imaging.readers import kind_of


@dataclasses.dataclass(frozen=True, eq=False)
class Pseudonyms:
    """identifiers: found in headers. patients: true name -> the name that is written, all different.
    digest: of all true names together, so that a split file of other data, whose patient1 is another person,
    is noticed."""

    identifiers: Identifiers
    patients: dict[str, str]
    digest: str

    def hide(self, text: str) -> str:
        """`text`, a path or a message, without identifiers."""
        return self.identifiers.hide(text)

    def patient(self, name: str) -> str:
        """Return the name that is written for a patient."""
        return self.patients.get(name, name)

    @property
    def any(self) -> bool:
        """Whether the name of any patient is replaced."""
        return any(true != shown for true, shown in self.patients.items())


def with_hidden(manifest: Manifest, keep_identifiers: bool) -> Manifest:
    """The manifest that knows what to write for its identifiers; unchanged to keep them.

    Reads the header of one DICOM file per patient, folder and series.
    """
    if keep_identifiers:
        return manifest
    found, seen = Identifiers(), set()
    for case in manifest.cases:
        key = (case.image.parent, case.patient, case.series)
        if key in seen or (path := _dicom_of(case)) is None:
            continue
        seen.add(key)
        with contextlib.suppress(ImageError):  # said when it is read
            found.add(read_header(path).texts)
    names = list(dict.fromkeys(case.patient for case in manifest.cases))
    digest = hashlib.sha256("\0".join(sorted(names)).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return dataclasses.replace(manifest, hidden=Pseudonyms(found, _all_different(names, found.hide), digest))


def hidden_table(table, manifest: Manifest):
    """A SliceTable with the patients and sites that are written."""
    hidden = manifest.hidden
    if hidden is None:
        return table
    patients = np.array([hidden.patient(str(name)) for name in table.patient], dtype=np.str_)
    sites = np.array([hidden.hide(str(name)) for name in table.site], dtype=np.str_)
    return dataclasses.replace(table, patient=patients, site=sites)


def true_name(text: str, column: str | None, known, hidden: Pseudonyms | None, table) -> str:
    """The true name of a patient of a split file, which may hold the names that were written.

    Args:
        text: as in the file. column: its cell of the column data, None without that column. known: true
        names.
        hidden: of the data. table: the file, for messages.

    Raises:
        DataError: the file was written for other data: there, the same word stands for somebody else.
    """
    if hidden is None or not column:
        return text
    if column != hidden.digest:
        raise DataError(
            f"{table}: was written for other data ({column}; these are {hidden.digest}), and names patients "
            f"by words that stand for other "
            "people there. Give the data it was written for, or train and split with --keep-identifiers."
        )
    back = {shown: true for true, shown in hidden.patients.items()}
    return back.get(text, text)


@contextlib.contextmanager
def hiding(hide: Callable[[], Callable[[str], str]]) -> Iterator[None]:
    """Errors of the project leave the block without identifiers. hide: gives the function that hides, as it
    is by then.
    """
    try:
        yield
    except ClamnetError as error:
        told = hide()(str(error))
        if told == str(error):
            raise
        raise type(error)(told) from None


def _dicom_of(case: Case) -> Path | None:
    """A DICOM file of a case, None when it is of another kind."""
    if case.image.is_dir():
        for here, folders, names in os.walk(case.image):
            folders.sort()
            for name in sorted(names):
                if _is_dicom(Path(here, name)):
                    return Path(here, name)
        return None
    return case.image if _is_dicom(case.image) else None


def _is_dicom(path: Path) -> bool:
    """Whether a file is read as DICOM; False for one that cannot be opened, which is named when it is
    read.
    """
    try:
        return kind_of(path) == "dicom"
    except ImageError:
        return False


def _all_different(names: list[str], hide) -> dict[str, str]:
    shown, taken = {}, set()
    for name in names:
        base = word = hide(name)
        count = 1
        while word in taken:
            count += 1
            word = f"{base}_{count}"
        taken.add(word)
        shown[name] = word
    return shown
