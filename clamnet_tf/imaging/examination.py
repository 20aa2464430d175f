"""Read from a DICOM header of whom, when and in which frame of reference an image was made."""

import os
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.dicom_header import open_dataset, quiet

_DATES = ("AcquisitionDate", "SeriesDate", "StudyDate")


@dataclass(frozen=True)
class Examination:
    """Hold the patient, day and frame of reference of a series, which those of one examination share.

    A field that the header does not have is "".

    Attributes:
        patient: PatientID.
        date: day of the acquisition, YYYYMMDD.
        frame_of_reference: FrameOfReferenceUID.
    """

    patient: str = ""
    date: str = ""
    frame_of_reference: str = ""


def examination_of(path: Path) -> Examination:
    """Return the Examination of a DICOM file, or of a folder's first one; an empty one for other files."""
    file = _first_dicom(path) if path.is_dir() else path
    if file is None or sniff.sniff(file) != "dicom":
        return Examination()
    dataset = open_dataset(file, pixels=False)
    with quiet():
        date = next(
            (text for name in _DATES if (text := str(dataset.get(name) or "").replace(".", "").strip())), ""
        )
        return Examination(
            str(dataset.get("PatientID") or "").strip(),
            date,
            str(dataset.get("FrameOfReferenceUID") or "").strip(),
        )


def _first_dicom(folder: Path) -> Path | None:
    """Return the first DICOM file below a folder in the order of names, or None."""
    for current, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if sniff.sniff(Path(current, name)) == "dicom":
                return Path(current, name)
    return None
