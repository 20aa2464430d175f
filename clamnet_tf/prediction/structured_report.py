"""Write the measurements of a marked DICOM volume as a structured report (SR, PS3.3 A.35.2) with highdicom.

The report follows template TID 1500 (PS3.16). For each segment of the segmentation it holds volume, longest
diameter and score, the algorithm with the digest of its network, and a reference to the segment. It is marked
as neither final nor verified: no person has looked at it.
"""

import warnings
from pathlib import Path

import numpy as np
import pydicom
from scipy import ndimage, spatial

from clamnet_tf import __version__
from clamnet_tf.errors import DataError
from clamnet_tf.files import atomic_path
from clamnet_tf.prediction.coded_concepts import finding, procedure, region
from clamnet_tf.prediction.dicom_seg import Algorithm, require_highdicom, series_number, source_headers
from clamnet_tf.prediction.dicom_seg_privacy import keep_required
from clamnet_tf.prediction.dicom_seg_uids import StableUids
from clamnet_tf.prediction.marked_volume import MarkedVolume
from clamnet_tf.prediction.tables import volume_row

_VOLUME = ("118565006", "SCT", "Volume"), ("ml", "UCUM", "milliliter")
_AREA = ("42798000", "SCT", "Area"), ("mm2", "UCUM", "square millimeter")
_DIAMETER = ("103339001", "SCT", "Long axis"), ("mm", "UCUM", "millimeter")
#: The score is no probability of disease, so it gets a name of its own (99..: private, PS3.16 section 8).
_SCORE = ("presence-score", "99CLAMNET", "Presence score of the network"), ("1", "UCUM", "no units")
_TOO_FLAT = 3  # points of a convex hull in a plane


def write_structured_report(
    volume: MarkedVolume, path: Path, *, segmentation: str, segmentation_path: Path, algorithm: Algorithm
) -> None:
    """Write one report on the segmentation of a volume, with a group of measurements per segment.

    UIDs follow from the same causes as those of the segmentation (dicom_seg_uids).

    Args:
        volume: Marked volume, read from DICOM.
        path: File to write.
        segmentation: "binary", "labelmap" or "fractional", as the segmentation was written.
        segmentation_path: File of the segmentation.
        algorithm: What made the marks.

    Raises:
        DataError: The header of the source is incomplete.
        EnvironmentFailure: highdicom is not installed.
    """
    highdicom = require_highdicom()
    sources, _ = source_headers(volume)
    uids = StableUids(volume, segmentation, algorithm)
    written = pydicom.dcmread(segmentation_path, stop_before_pixels=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about the source's own values, which are copied unchanged
        try:
            report = highdicom.sr.EnhancedSR(
                evidence=[written, *sources],
                content=_content(highdicom, volume, sources[0], written, algorithm, uids)[0],
                series_instance_uid=highdicom.UID(uids.of("report series")),
                series_number=series_number(sources[0]) + 1,
                sop_instance_uid=highdicom.UID(uids.of("report")),
                instance_number=1,
                manufacturer="clamnet-tf",
                is_complete=True,
                series_description=f"clamnet-tf {algorithm.name}: measurements"[:64],
            )
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise DataError(
                f"{volume.name}: cannot be described in a structured report, because its header is "
                f"incomplete ({error}). Leave out --format dicom-sr."
            ) from error
        report.ManufacturerModelName = f"clamnet-tf {algorithm.name}"[:64]
        report.SoftwareVersions = __version__
        keep_required(report, sources[0])
        with atomic_path(path) as temporary:
            report.save_as(temporary, enforce_file_format=True)


def longest_diameter(mask: np.ndarray, rows_mm: float, columns_mm: float) -> float:
    """Return the longest distance within one connected region of one slice, in mm.

    The ends are midpoints of pixel edges, so a row of n pixels is n pixels long. Pixels that share a corner
    are connected.

    Args:
        mask: (S, H, W) bool.
        rows_mm: Distance of rows.
        columns_mm: Distance of columns.

    Returns:
        The longest of all slices; 0 for an empty mask.
    """
    longest = 0.0
    for plane in mask:
        labels, _ = ndimage.label(plane, np.ones((3, 3)))
        for number, window in enumerate(ndimage.find_objects(labels), start=1):
            pixels = np.argwhere(labels[window] == number)
            ends = np.concatenate([pixels + step for step in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))])
            ends = np.unique(ends, axis=0) * (rows_mm, columns_mm)
            if len(ends) > _TOO_FLAT:
                ends = ends[spatial.ConvexHull(ends).vertices]
            longest = max(longest, float(spatial.distance.pdist(ends).max()))
    return longest


def _content(highdicom, volume: MarkedVolume, header, segmentation, algorithm: Algorithm, uids: StableUids):
    """Build the content of the report."""
    sr = highdicom.sr
    code, source = sr.CodedConcept, segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
    identification = sr.AlgorithmIdentification(
        name=f"clamnet-tf {algorithm.name}",
        version=f"{__version__}, model {algorithm.model_sha256[:12]}",
        parameters=[
            f"threshold {algorithm.threshold:.6g}",
            f"model_sha256 {algorithm.model_sha256}",
            f"settings_sha256 {algorithm.settings_sha256}",
        ],
        family=code("123110", "DCM", "Artificial Intelligence"),
    )
    observer = sr.ObserverContext(
        observer_type=code("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=highdicom.UID(uids.of_model()),
            name=f"clamnet-tf {algorithm.name}",
            manufacturer_name="clamnet-tf",
            model_name=algorithm.name,
            serial_number=algorithm.model_sha256,
        ),
    )
    body_region = region(header.get("BodyPartExamined") or "", algorithm.condition)
    _, category, kind = finding(algorithm.condition)
    groups = []
    for segment in segmentation.SegmentSequence:
        number = int(segment.SegmentNumber)
        if number == 0:  # the background of a label map
            continue
        groups.append(
            sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(
                    uid=highdicom.UID(segment.TrackingUID), identifier=segment.TrackingID
                ),
                referenced_segment=sr.ReferencedSegment(
                    segmentation.SOPClassUID,
                    segmentation.SOPInstanceUID,
                    number,
                    source_series=sr.SourceSeriesForSegmentation(source),
                ),
                finding_category=code(*category),
                finding_type=code(*kind),
                finding_sites=[sr.FindingSite(code(*body_region))] if body_region else None,
                algorithm_id=identification,
                measurements=[
                    sr.Measurement(name=code(*name), value=round(value, 4), unit=code(*unit))
                    for (name, unit), value in measurements(volume, number)
                ],
            )
        )
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=code(*procedure(header.get("Modality") or "")),
        imaging_measurements=groups,
        title=code("126000", "DCM", "Imaging Measurement Report"),
    )


def measurements(volume: MarkedVolume, segment: int) -> list[tuple[tuple, float]]:
    """Return ((code of the name, code of the unit), value) of what is known of a segment.

    The longest diameter is that of the stored slices; it is left out when nothing is marked. A single slice
    has an area in place of a volume. Without a spacing only the score is known.

    Args:
        volume: Marked volume.
        segment: Number of the segment, from 1.
    """
    row, mask = volume_row(volume, {}), volume.mask == segment
    prefix = volume.names[segment - 1] if volume.names else ""
    millilitres = row[f"{prefix}_ml"] if prefix else row["marked_ml"]
    found: list[tuple[tuple, float]] = []
    if millilitres is not None:
        found.append((_VOLUME, millilitres))
    elif volume.spacing_mm is not None and len(volume.slices) == 1:
        found.append((_AREA, float(mask.sum() * volume.spacing_mm[1] * volume.spacing_mm[2])))
    if volume.spacing_mm is not None and mask.any():
        found.append((_DIAMETER, longest_diameter(mask, *volume.spacing_mm[1:])))
    found.append((_SCORE, float(row[f"{prefix}_score"] if prefix else row["presence_score"])))
    return found
