"""Write a marked DICOM volume as a DICOM segmentation object (SEG, PS3.3 A.51) with highdicom.

Positions, orientations and pixel spacing come from the same frames that were marked: mask row r, column c of
frame f lies on row r, column c of frame f of the source. Nothing is resampled, and a volume that was
reoriented for marking is turned back to its stored orientation. Gaps, oblique, sagittal and coronal planes
and any order of slices therefore stay as they are. Of the source's patient and study the object keeps what
the standard requires, since no archive could file it otherwise, and nothing else (dicom_seg_privacy).
"""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clamnet_tf import __version__
from clamnet_tf.errors import DataError, EnvironmentFailure
from clamnet_tf.files import atomic_path
from clamnet_tf.imaging.volume import unsorted
from clamnet_tf.prediction.coded_concepts import finding, region
from clamnet_tf.prediction.dicom_seg_uids import StableUids
from clamnet_tf.prediction.marked_volume import MarkedVolume

if TYPE_CHECKING:  # only what writes DICOM loads pydicom
    from pydicom.dataset import Dataset

SEGMENTATIONS = ("binary", "labelmap", "fractional", "uncertainty")
_KINDS = {"binary": "mask", "labelmap": "label map", "fractional": "probability", "uncertainty": ""}
LARGEST_FRACTION = 255  # probability 1 in a fractional segmentation
_NEEDED = (  # type 2: must be there, may be empty; de-identified files often lack them
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_LONGEST_TEXT, _LONGEST_CODE = 64, 16  # LO and CS, PS3.5 6.2


@dataclass(frozen=True)
class Algorithm:
    """Describe what made the marks.

    Attributes:
        name: Name of the recipe.
        condition: Condition of the recipe.
        model_sha256: sha256 of the network's file.
        threshold: Threshold of the probability, 0..1.
        names: Names of the lesion classes, one segment each; () for one class without a name.
        settings_sha256: Digest of what else decides the pixels: the recipe and the postprocessing that was
            selected.
    """

    name: str
    condition: str
    model_sha256: str
    threshold: float
    names: tuple[str, ...] = ()
    settings_sha256: str = ""


def require_highdicom():
    """Return the module highdicom. Raises EnvironmentFailure when it is not installed."""
    try:
        import highdicom
    except ImportError:
        raise EnvironmentFailure(
            "DICOM segmentations need the package highdicom, which is not installed. Run: pip install "
            "'clamnet-tf[dicom]'"
        ) from None
    return highdicom


def write_dicom_seg(volume: MarkedVolume, path: Path, *, segmentation: str, algorithm: Algorithm) -> None:
    """Write one SEG object for the series of a volume, with one segment per lesion class.

    Frames without marks are left out, as viewers expect. When nothing at all is marked, every frame is
    written, empty: an object must have frames, and "examined, nothing found" is a result.

    UIDs are those of dicom_seg_uids: the same images, model and settings give the same UIDs.

    Args:
        volume: Marked volume, read from DICOM.
        path: File to write.
        segmentation: "binary" (1 bit, the mask), "labelmap" (the number of the segment in each pixel, an
            object that older archives do not know), "fractional" (0..255 = probability 0..1, before the
            threshold), or "uncertainty" (0..255 = disagreement of the networks 0..1, fractional, one segment
            of all classes).
        algorithm: What made the marks.

    Raises:
        DataError: The volume is not DICOM, or it has several slices without a frame of reference or position,
            which SEG cannot place.
        EnvironmentFailure: highdicom is not installed.
    """
    if volume.kind != "dicom":
        raise DataError(
            f"{volume.name}: expected a DICOM image, to which a DICOM segmentation can refer; received "
            f"{volume.kind}. Use --format nifti or png."
        )
    highdicom = require_highdicom()
    sources, order = source_headers(volume)
    pixels = {
        "binary": volume.mask,
        "labelmap": volume.mask,
        "fractional": volume.probability,
        "uncertainty": volume.uncertainty,
    }[segmentation]
    if segmentation == "uncertainty":
        algorithm = replace(algorithm, names=())
    if pixels.ndim == 4 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]  # highdicom takes the frames of a single segment without the last axis
    if order is not None:
        pixels = unsorted(pixels, volume.files[0][0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about the source's own values, which are copied unchanged
        try:
            segmentation_object = _build(
                highdicom,
                sources,
                np.ascontiguousarray(pixels),
                segmentation,
                algorithm,
                StableUids(volume, segmentation, algorithm),
            )
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise DataError(
                f"{volume.name}: cannot be written as a DICOM segmentation, because its header is "
                f"incomplete ({error}). Use --format nifti or png."
            ) from error
        from clamnet_tf.prediction.dicom_seg_privacy import keep_required

        keep_required(segmentation_object, sources[0])
        with atomic_path(path) as temporary:
            segmentation_object.save_as(temporary)


def source_headers(volume: MarkedVolume) -> "tuple[list[Dataset], int | None]":
    """Return the headers of the source images, and the index of the file whose stored frame order must be
    restored, or None.

    Raises:
        DataError: The headers lack what an object that refers to them needs.
    """
    from clamnet_tf.imaging.dicom_header import open_dataset

    headers = [open_dataset(path, pixels=False) for path in volume.paths]
    several = len(volume.slices) > 1
    for header in headers:
        for keyword in _NEEDED:
            if keyword not in header:
                setattr(header, keyword, None if keyword != "PatientID" else "")
        if not header.get("FrameOfReferenceUID") and "FrameOfReferenceUID" in header:
            del header.FrameOfReferenceUID
        if (
            not header.get("StudyInstanceUID")
            or not header.get("SeriesInstanceUID")
            or not header.get("SOPInstanceUID")
        ):
            raise DataError(
                f"{volume.name}: has no study, series or instance UID, so no DICOM segmentation can "
                f"refer to it. Use --format nifti or png."
            )
        if several and ("FrameOfReferenceUID" not in header or any(plane is None for plane in volume.planes)):
            raise DataError(
                f"{volume.name}: has several slices without frame of reference or position, so a DICOM "
                f"segmentation cannot place them. Use --format nifti or png."
            )
    return headers, (0 if len(headers) == 1 and several else None)


def _build(
    highdicom,
    sources: "list[Dataset]",
    pixels: np.ndarray,
    segmentation: str,
    algorithm: Algorithm,
    uids: StableUids,
):
    """Build the highdicom Segmentation."""
    from pydicom.uid import ExplicitVRLittleEndian

    source = sources[0]
    code = highdicom.sr.CodedConcept
    identification = highdicom.AlgorithmIdentificationSequence(
        name=f"clamnet-tf {algorithm.name}"[:_LONGEST_TEXT],
        version=f"{__version__}, model {algorithm.model_sha256[:12]}",
        family=code("123110", "DCM", "Artificial Intelligence"),
        source="clamnet-tf",
        parameters={"threshold": f"{algorithm.threshold:.6g}", "model_sha256": algorithm.model_sha256},
    )
    body_region = region(source.get("BodyPartExamined") or "", algorithm.condition)
    label, category, kind = finding(algorithm.condition)
    if segmentation == "uncertainty":
        label = f"Uncertainty of {label.lower()}"[:_LONGEST_TEXT]
    stored = pixels if pixels.dtype == np.uint8 else np.rint(pixels * LARGEST_FRACTION)  # as highdicom rounds
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=segment_number,
            segment_label=segment_label,
            segmented_property_category=code(*category),
            segmented_property_type=code(*kind),
            algorithm_type="AUTOMATIC",
            algorithm_identification=identification,
            tracking_uid=highdicom.UID(uids.of(f"tracking {segment_number}")),
            tracking_id=f"clamnet-tf {tracked}"[:_LONGEST_TEXT],
            anatomic_regions=[code(*body_region)] if body_region else None,
        )
        for segment_number, (segment_label, tracked) in enumerate(
            [
                (name.replace("_", " ").capitalize(), f"{algorithm.condition} {name}")
                for name in algorithm.names
            ]
            or [(label, algorithm.condition)],
            start=1,
        )
    ]
    built = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels if pixels.dtype == np.uint8 else np.clip(pixels, 0, 1),
        segmentation_type={"binary": "BINARY", "labelmap": "LABELMAP"}.get(segmentation, "FRACTIONAL"),
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(uids.of("series")),
        series_number=series_number(source),
        sop_instance_uid=highdicom.UID(uids.of("instance")),
        instance_number=1,
        manufacturer="clamnet-tf",
        manufacturer_model_name=f"clamnet-tf {algorithm.name}"[:_LONGEST_TEXT],
        software_versions=__version__,
        device_serial_number=algorithm.model_sha256[:_LONGEST_TEXT],
        fractional_type="PROBABILITY",
        max_fractional_value=LARGEST_FRACTION,
        content_label=label.upper()[:_LONGEST_CODE],
        content_description=f"Marked by clamnet-tf {algorithm.name}"[:_LONGEST_TEXT],
        series_description=f"clamnet-tf {algorithm.name}: {label.lower()} {_KINDS[segmentation]}"[
            :_LONGEST_TEXT
        ].rstrip(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=bool((stored > 0).any()),
    )
    if (
        "SharedFunctionalGroupsSequence" in built
        and "PlaneOrientationSequence" not in built.SharedFunctionalGroupsSequence[0]
    ):
        built.PatientOrientation = (
            source.get("PatientOrientation") or None
        )  # of a projection; type 2C, may be empty
    if "ContentCreatorName" not in built:
        built.ContentCreatorName = None  # type 2: no person made it
    return built


def series_number(source: "Dataset") -> int:
    """Return a series number after those of the scanner, so that viewers list the object after its source."""
    return 9000 + int(source.get("SeriesNumber") or 0) % 1000
