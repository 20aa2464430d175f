"""Replace identifiers of patients in everything that `fit` and `evaluate` write: tables, pages, pictures,
logs.

The rule is that of `predict` (datasets/deidentify.py): the texts by which a DICOM header identifies patient,
visit, institution and staff are replaced wherever they are repeated, unless --keep-identifiers is given.
Names that no header repeats are the user's own and are kept. Data are split and used in training under their
true names, so that results do not depend on this replacement; names change only when they are written.
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
    """The identifiers of a data set and the names that are written instead.

    Attributes:
        identifiers: identifiers found in headers.
        patients: {true name: the name that is written}; the written names are all different.
        digest: hash of all true names together, by which a split file of other data, whose patient1 is
            another person, is noticed.
    """

    identifiers: Identifiers
    patients: dict[str, str]
    digest: str

    def hide(self, text: str) -> str:
        """Return `text`, a path or a message, without identifiers."""
        return self.identifiers.hide(text)

    def patient(self, name: str) -> str:
        """Return the name that is written for a patient."""
        return self.patients.get(name, name)

    @property
    def any(self) -> bool:
        """Whether the name of any patient is replaced."""
        return any(name != written for name, written in self.patients.items())


def with_hidden(manifest: Manifest, keep_identifiers: bool) -> Manifest:
    """Return the manifest with pseudonyms for its identifiers, unchanged when they are to be kept.

    This reads the header of one DICOM file per patient, folder and series.
    """
    if keep_identifiers:
        return manifest
    identifiers, done = Identifiers(), set()
    for case in manifest.cases:
        key = (case.image.parent, case.patient, case.series)
        if key in done or (path := _dicom_of(case)) is None:
            continue
        done.add(key)
        with contextlib.suppress(ImageError):  # reported when the image is read
            identifiers.add(read_header(path).texts)
    names = list(dict.fromkeys(case.patient for case in manifest.cases))
    digest = hashlib.sha256("\0".join(sorted(names)).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return dataclasses.replace(
        manifest, hidden=Pseudonyms(identifiers, _all_different(names, identifiers.hide), digest)
    )


def hidden_table(table, manifest: Manifest):
    """Return a SliceTable with the names of patients and sites that are written."""
    hidden = manifest.hidden
    if hidden is None:
        return table
    patients = np.array([hidden.patient(str(name)) for name in table.patient], dtype=np.str_)
    sites = np.array([hidden.hide(str(name)) for name in table.site], dtype=np.str_)
    return dataclasses.replace(table, patient=patients, site=sites)


def true_name(text: str, column: str | None, known, hidden: Pseudonyms | None, table) -> str:
    """Return the true name of a patient of a split file, which may hold the names that were written.

    Args:
        text: name in the file.
        column: cell of the column data, None without that column.
        known: true names.
        hidden: pseudonyms of the data.
        table: the file, for messages.

    Raises:
        DataError: the file was written for other data, where the same word stands for another person.
    """
    if hidden is None or not column:
        return text
    if column != hidden.digest:
        raise DataError(
            f"{table}: was written for other data ({column}; these are {hidden.digest}), and names patients "
            f"by words that stand for other "
            "people there. Give the data it was written for, or train and split with --keep-identifiers."
        )
    true_names = {written: name for name, written in hidden.patients.items()}
    return true_names.get(text, text)


@contextlib.contextmanager
def hiding(hide: Callable[[], Callable[[str], str]]) -> Iterator[None]:
    """Remove identifiers from the project's errors that leave the block.

    Args:
        hide: returns the function that hides identifiers, as it is when the error leaves the block.
    """
    try:
        yield
    except ClamnetError as error:
        message = hide()(str(error))
        if message == str(error):
            raise
        raise type(error)(message) from None


def _dicom_of(case: Case) -> Path | None:
    """Return a DICOM file of a case, or None when the case is of another kind."""
    if case.image.is_dir():
        for folder, folders, names in os.walk(case.image):
            folders.sort()
            for name in sorted(names):
                if _is_dicom(Path(folder, name)):
                    return Path(folder, name)
        return None
    return case.image if _is_dicom(case.image) else None


def _is_dicom(path: Path) -> bool:
    """Return whether a file is read as DICOM; False for one that cannot be opened."""
    try:
        return kind_of(path) == "dicom"
    except ImageError:
        return False


def _all_different(names: list[str], hide) -> dict[str, str]:
    """Return {name: written name}, with a number appended where two written names would be equal."""
    written, taken = {}, set()
    for name in names:
        base = word = hide(name)
        count = 1
        while word in taken:
            count += 1
            word = f"{base}_{count}"
        taken.add(word)
        written[name] = word
    return written
