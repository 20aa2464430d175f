"""Write the kinds of results that `predict --format` offers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.prediction.dicom_seg import Algorithm, write_dicom_seg
from clamnet_tf.prediction.marked_volume import MarkedVolume
from clamnet_tf.prediction.nifti_masks import NO_GEOMETRY, SHEARED, is_sheared, write_nifti
from clamnet_tf.reporting.overlays import display_gray, overlay, with_legend, write_png
from clamnet_tf.threads import in_threads

FORMATS = ("png", "nifti", "dicom-seg", "dicom-sr", "dicom-sc", "overlay", "report")


@dataclass
class Written:
    """Hold what was written for one volume.

    Attributes:
        slices: Per slice of the volume, format -> its file, relative to the output folder.
        volume: Format -> file of the whole volume.
        failures: Why formats could not be written for this volume.
        notes: What a reader of the files should know.
    """

    slices: list[dict[str, str]]
    volume: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def formats_for(volume: MarkedVolume, asked: Iterable[str]) -> tuple[str, ...]:
    """Return the requested formats, or the default ones when none were requested.

    The defaults are overlays, the report, and masks as NIfTI for NIfTI files and as PNG for all others.
    """
    return tuple(asked) or ("nifti" if volume.kind == "nifti" else "png", "overlay", "report")


def write_masks(
    volume: MarkedVolume,
    out: Path,
    formats: Iterable[str],
    *,
    segmentation: str,
    algorithm: Algorithm,
    keep_identifiers: bool,
) -> Written:
    """Write masks and overlays of a volume below `out`.

    Per slice the files are <name>_mask.png (0 and 255; with named classes the class numbers) and
    <name>_overlay.png, or <name>_<slice>_... for a file of several slices. <name>_mask.nii.gz and
    <name>_seg.dcm are described in nifti_masks and dicom_seg. <name>_sr.dcm refers to <name>_seg.dcm
    (structured_report), and <name>_sc/0001_sc.dcm and so on show the marked slices (secondary_capture).
    A volume with uncertainty also gets it in these formats: <name>_uncertainty.png (0..255),
    <name>_uncertainty.nii.gz and <name>_uncertainty_seg.dcm. The report is not written here.

    Args:
        volume: Marked volume.
        out: Output folder.
        formats: Names from FORMATS.
        segmentation: "binary", "labelmap" or "fractional", of DICOM-SEG.
        algorithm: What made the marks, for DICOM-SEG.
        keep_identifiers: Whether texts of file headers may enter the results.

    Returns:
        What was written. A format that the volume cannot have is reported in `failures`; the others are
        written.
    """
    written = Written([{} for _ in volume.slices])
    written.slices = in_threads(
        lambda index: _write_pictures(volume, index, out, formats), range(len(volume.slices))
    )
    for kind, write in (
        ("nifti", _nifti),
        ("dicom-seg", _dicom_seg),
        ("dicom-sr", _dicom_sr),
        ("dicom-sc", _dicom_sc),
    ):
        if kind in formats:
            try:
                write(volume, out, written, segmentation, algorithm, keep_identifiers)
            except DataError as error:
                written.failures.append(str(error))
    return written


def _write_pictures(volume: MarkedVolume, index: int, out: Path, formats) -> dict[str, str]:
    """Write the mask, overlay and uncertainty of one slice as PNG; return format -> file."""
    files, stem = {}, volume.slices[index].stem
    for kind, name in (("png", "mask"), ("overlay", "overlay")):
        if kind in formats:
            path = stem.with_name(f"{stem.name}_{name}.png")
            write_png(out / path, _picture(volume, index, kind))
            files[kind] = path.as_posix()
    if "png" in formats and volume.uncertainty is not None:
        path = stem.with_name(f"{stem.name}_uncertainty.png")
        write_png(out / path, np.rint(255 * volume.uncertainty[index]).astype(np.uint8))
    return files


def _picture(volume: MarkedVolume, index: int, kind: str):
    """Return the mask or the overlay of one slice as an image array."""
    mask = volume.mask[index] if volume.names else volume.mask[index] > 0
    if kind == "png":
        return mask
    picture = overlay(display_gray(volume.array[index], volume.channel, volume.organ[index]), mask)
    return with_legend(picture, volume.names) if volume.names else picture


def _nifti(volume, out, written, segmentation, algorithm, keep_identifiers) -> None:
    """Write the NIfTI masks and note what a reader must know of them."""
    paths = write_nifti(volume, out, keep_identifiers=keep_identifiers)
    for index, path in paths.items():
        written.slices[index]["nifti"] = path.as_posix()
    if volume.uncertainty is not None:
        write_nifti(volume, out, keep_identifiers=keep_identifiers, what="uncertainty")
    if len(set(paths.values())) == 1:
        written.volume["nifti"] = paths[0].as_posix()
    if volume.kind != "nifti" and any(plane is None for plane in volume.planes):
        written.notes.append(f"{volume.name}: {NO_GEOMETRY}")
    if is_sheared(volume):
        written.notes.append(f"{volume.name}: {SHEARED}")


def _dicom_seg(volume, out, written, segmentation, algorithm, keep_identifiers) -> None:
    """Write the DICOM segmentation."""
    path = volume.stem.with_name(f"{volume.stem.name}_seg.dcm")
    write_dicom_seg(volume, out / path, segmentation=segmentation, algorithm=algorithm)
    written.volume["dicom-seg"] = path.as_posix()
    for files in written.slices:
        files["dicom-seg"] = path.as_posix()
    if volume.uncertainty is not None:
        path = volume.stem.with_name(f"{volume.stem.name}_uncertainty_seg.dcm")
        write_dicom_seg(volume, out / path, segmentation="uncertainty", algorithm=algorithm)


def _dicom_sr(volume, out, written, segmentation, algorithm, keep_identifiers) -> None:
    """Write the structured report on the segmentation; without a segmentation its failure is reported."""
    if "dicom-seg" not in written.volume:
        return
    from clamnet_tf.prediction.structured_report import write_structured_report  # loads pydicom

    path = volume.stem.with_name(f"{volume.stem.name}_sr.dcm")
    write_structured_report(
        volume,
        out / path,
        segmentation=segmentation,
        segmentation_path=out / written.volume["dicom-seg"],
        algorithm=algorithm,
    )
    written.volume["dicom-sr"] = path.as_posix()


def _dicom_sc(volume, out, written, segmentation, algorithm, keep_identifiers) -> None:
    """Write overlays of the marked slices as DICOM images, for volumes that are DICOM."""
    if volume.kind != "dicom":
        raise DataError(
            f"{volume.name}: expected a DICOM image, to whose study a secondary capture can belong; received "
            f"{volume.kind}. Use --format overlay."
        )
    from clamnet_tf.prediction.secondary_capture import write_secondary_captures  # loads pydicom

    folder = volume.stem.with_name(f"{volume.stem.name}_sc")
    write_secondary_captures(
        volume,
        out / folder,
        lambda index: _picture(volume, index, "overlay"),
        segmentation=segmentation,
        algorithm=algorithm,
    )
    written.volume["dicom-sc"] = folder.as_posix()
