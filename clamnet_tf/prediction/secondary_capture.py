"""Write overlays as a series of secondary capture images (PS3.3 A.8.1), for viewers that cannot show SEG.

The series holds the marked slices. When nothing is marked it holds the middle slice, so that a viewer shows
that the study was examined. Its pixels are pictures, not measurements; inputs of `predict` leave them out.
"""

import warnings
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from clamnet_tf import __version__
from clamnet_tf.errors import DataError
from clamnet_tf.files import atomic_path
from clamnet_tf.prediction.dicom_seg import Algorithm, require_highdicom, series_number, source_headers
from clamnet_tf.prediction.dicom_seg_privacy import keep_required
from clamnet_tf.prediction.dicom_seg_uids import StableUids
from clamnet_tf.prediction.marked_volume import MarkedVolume

_DIRECTIONS = (("L", "R"), ("P", "A"), ("H", "F"))  # towards + and - of x, y, z (PS3.3 C.7.6.1.1.1)
_SMALLEST_PART = 0.05  # of a direction that is named


def write_secondary_captures(
    volume: MarkedVolume, folder: Path, pictures, *, segmentation: str, algorithm: Algorithm
) -> list[Path]:
    """Write one secondary capture per marked slice as <folder>/<number>_sc.dcm and return the files.

    Args:
        volume: Marked volume, read from DICOM.
        folder: Folder for the files.
        pictures: Called with the index of a slice; returns (H, W, 3) uint8.
        segmentation: "binary", "labelmap" or "fractional", as the segmentation was written.
        algorithm: What made the marks.

    Raises:
        DataError: The header of the source is incomplete.
        EnvironmentFailure: highdicom is not installed.
    """
    require_highdicom()
    headers, _ = source_headers(volume)
    by_path = dict(zip(volume.paths, headers))
    uids = StableUids(volume, segmentation, algorithm)
    marked = [index for index, found in enumerate(volume.slices) if found.marked_px]
    comment = "" if marked else "examined, nothing marked"
    files = []
    for number, index in enumerate(marked or [len(volume.slices) // 2], start=1):
        source, path = by_path[volume.slices[index].reference.path], folder / f"{number:04d}_sc.dcm"
        picture = np.ascontiguousarray(pictures(index), np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about the source's own values, copied unchanged
            try:
                capture = _build(source, picture, volume, index, number, algorithm, uids, comment)
            except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
                raise DataError(
                    f"{volume.name}: cannot be written as a secondary capture, because its header is "
                    f"incomplete ({error}). Leave out --format dicom-sc."
                ) from error
            with atomic_path(path) as temporary:
                capture.save_as(temporary, enforce_file_format=True)
        files.append(path)
    return files


def _build(source: Dataset, picture, volume, index, number, algorithm, uids, comment: str) -> Dataset:
    """Build one secondary capture."""
    highdicom = require_highdicom()
    plane, reference = volume.slices[index].plane, volume.slices[index].reference
    capture = highdicom.sc.SCImage.from_ref_dataset(
        source,
        picture,
        "RGB",
        8,
        "PATIENT",
        highdicom.UID(uids.of("captures")),
        series_number(source) + 2,
        highdicom.UID(uids.of(f"capture {number}")),
        number,
        "clamnet-tf",
        patient_orientation=("L", "P"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    capture.PatientOrientation = (
        [_letters(plane.right), _letters(plane.down)]
        if plane is not None
        else source.get("PatientOrientation") or None
    )
    capture.Laterality = source.get("Laterality") or ""  # type 2C
    capture.SeriesDescription = f"clamnet-tf {algorithm.name}: overlay, not for diagnosis"[:64]
    capture.ManufacturerModelName = f"clamnet-tf {algorithm.name}"[:64]
    capture.SoftwareVersions = f"{__version__}, model {algorithm.model_sha256[:12]}"
    capture.BurnedInAnnotation = "NO"
    if comment:
        capture.ImageComments = comment
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    if source.get("NumberOfFrames"):
        item.ReferencedFrameNumber = reference.frame + 1
    capture.SourceImageSequence = [item]
    keep_required(capture, source)
    return capture


def _letters(direction) -> str:
    """Return the letters of a direction in the patient, the main one first, such as LP."""
    direction = direction / np.linalg.norm(direction)
    parts = sorted(zip(np.abs(direction), direction, _DIRECTIONS), key=lambda part: -part[0])
    return "".join(names[int(value < 0)] for size, value, names in parts if size > _SMALLEST_PART)
