"""Read identity and position of DICOM files, without their pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.multival import MultiValue
from pydicom.uid import UID

from clamnet_tf.datasets.deidentify import PatientTexts, patient_texts
from clamnet_tf.datasets.problems import listed
from clamnet_tf.decoding import decoding
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.dicom_header import Frame, open_dataset, quiet, read_frames, why_no_image

_IDENTITY = (
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "InstitutionName",
    "Manufacturer",
    "ManufacturerModelName",
)


@dataclass(frozen=True)
class Header:
    """The facts of one DICOM file that group and order it.

    Attributes:
        path: the file.
        instance, series, study: its UIDs; `series` is the path where the file has none.
        patient, site: None when the file does not say.
        position: ImagePositionPatient projected on the normal of the slice, in mm (PS3.3 C.7.6.2.1.1), else
            InstanceNumber.
        grid: rows, columns, samples and direction cosines, which all slices of one volume share; None without
            an image.
        is_image: False for reports, segmentations, presentation states ...
        kind: name of the object's SOP class.
        is_cut_off: whether it is an image by its kind but has no size.
        is_localizer: whether it is a scout that shows where slices lie (ImageType, PS3.3 C.8.2.1.1.1 and
            C.8.3.1.1.1).
        is_labelled: whether the header says that text, perhaps a name, is burned into the pixels
            (BurnedInAnnotation).
        texts: identifiers of the patient that a path may repeat.
        frame: the first frame, None without an image.
        frames: number of frames.
    """

    path: Path
    instance: str
    series: str
    study: str
    patient: str | None
    site: str | None
    position: float | None
    grid: tuple | None
    is_image: bool
    kind: str = ""
    is_cut_off: bool = False
    is_localizer: bool = False
    is_labelled: bool = False
    texts: PatientTexts = PatientTexts()
    frame: Frame | None = None
    frames: int = 0


def read_headers(files) -> dict[Path, Header]:
    """Return {path: Header}; raise DataError that names every file that is not DICOM or is damaged."""
    headers, problems = {}, []
    for path in files:
        try:
            headers[path] = read_header(path)
        except ImageError as error:
            problems.append(str(error))
    if problems:
        raise DataError(
            f"{len(problems)} file(s) cannot be read as DICOM; replace or remove them:\n{listed(problems)}"
        )
    return headers


def read_header(path: Path) -> Header:
    """Return the Header of one file; raise ImageError when it is not DICOM or damaged."""
    dataset = open_dataset(path, pixels=False)
    with decoding(
        lambda reason: ImageError(
            f"{path}: its DICOM header cannot be understood: {reason}. Export the image again."
        )
    ):
        with quiet():
            text = {name: str(dataset.get(name) or "").strip() for name in _IDENTITY}
            kind, image_type = str(dataset.get("SOPClassUID") or ""), dataset.get("ImageType") or ()
            localizer = "LOCALIZER" in (
                list(image_type) if isinstance(image_type, (list, tuple, MultiValue)) else [str(image_type)]
            )
            texts, labelled = (
                patient_texts(dataset),
                str(dataset.get("BurnedInAnnotation") or "").strip() == "YES",
            )
            no_image = why_no_image(dataset)
            pictured = dataset.get("Rows") is not None and not no_image
    frames = read_frames(dataset, path) if pictured else []
    frame = frames[0] if frames else None
    name = UID(kind).name if kind else "no SOP class"
    return Header(
        path=path,
        instance=text["SOPInstanceUID"],
        series=text["SeriesInstanceUID"] or str(path),
        study=text["StudyInstanceUID"],
        patient=text["PatientID"] or None,
        site=text["InstitutionName"]
        or f"{text['Manufacturer']} {text['ManufacturerModelName']}".strip()
        or None,
        position=None if frame is None else _position(frame),
        grid=None if frame is None else _grid(frame),
        is_image=frame is not None,
        kind=name,
        is_cut_off=frame is None and not no_image and name.endswith("Image Storage"),
        is_localizer=localizer,
        is_labelled=labelled,
        texts=texts,
        frame=frame,
        frames=len(frames),
    )


def _position(frame) -> float | None:
    if frame.position is not None and frame.orientation is not None:
        return float(np.dot(frame.position, np.cross(frame.orientation[:3], frame.orientation[3:])))
    return None if frame.instance_number is None else float(frame.instance_number)


def _grid(frame) -> tuple:
    cosines = (
        ()
        if frame.orientation is None
        else tuple(round(float(value), 2) + 0.0 for value in frame.orientation)
    )
    return (frame.rows, frame.columns, frame.samples, *cosines)
