"""The kinds of result of `predict --format`, and writing those that were asked for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from clamnet_tf.errors import DataError
from clamnet_tf.prediction.dicom_seg import Algorithm, write_dicom_seg
from clamnet_tf.prediction.marked_volume import MarkedVolume
from clamnet_tf.prediction.nifti_masks import NO_GEOMETRY, SHEARED, is_sheared, write_nifti
from clamnet_tf.reporting.overlays import display_gray, overlay, with_legend, write_png

FORMATS = ("png", "nifti", "dicom-seg", "overlay", "report")


@dataclass
class Written:
    """slices: per slice of the volume, format -> its file below the output folder; volume: files of the whole
    volume;
    failures: formats that this volume cannot have, and why; notes: what a reader of the files should know."""

    slices: list[dict[str, str]]
    volume: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def formats_for(volume: MarkedVolume, asked: Iterable[str]) -> tuple[str, ...]:
    """Those asked for; when none are: overlays, the report, and masks as NIfTI for NIfTI and as PNG for all
    others.
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
    """Write masks and overlays below `out`; a format that the volume cannot have is told in `failures`, the
    others are written.

    <name>_mask.png (0 and 255; of classes with names their numbers) and <name>_overlay.png per slice,
    <name>_<slice>_... for a file of several slices; <name>_mask.nii.gz and <name>_seg.dcm as nifti_masks and
    dicom_seg say. The report is not written here.
    """
    written = Written([{} for _ in volume.slices])
    for number, one in enumerate(volume.slices):
        for kind in ("png", "overlay"):
            if kind in formats:
                path = one.stem.with_name(f"{one.stem.name}_{'mask' if kind == 'png' else kind}.png")
                write_png(out / path, _picture(volume, number, kind))
                written.slices[number][kind] = path.as_posix()
    for kind, write in (("nifti", _nifti), ("dicom-seg", _dicom_seg)):
        if kind in formats:
            try:
                write(volume, out, written, segmentation, algorithm, keep_identifiers)
            except DataError as error:
                written.failures.append(str(error))
    return written


def _picture(volume: MarkedVolume, number: int, kind: str):
    mask = volume.mask[number] if volume.names else volume.mask[number] > 0
    if kind == "png":
        return mask
    picture = overlay(display_gray(volume.array[number], volume.channel, volume.organ[number]), mask)
    return with_legend(picture, volume.names) if volume.names else picture


def _nifti(volume, out, written, segmentation, algorithm, keep_identifiers) -> None:
    paths = write_nifti(volume, out, keep_identifiers=keep_identifiers)
    for number, path in paths.items():
        written.slices[number]["nifti"] = path.as_posix()
    if len(set(paths.values())) == 1:
        written.volume["nifti"] = paths[0].as_posix()
    if volume.kind != "nifti" and any(plane is None for plane in volume.planes):
        written.notes.append(f"{volume.name}: {NO_GEOMETRY}")
    if is_sheared(volume):
        written.notes.append(f"{volume.name}: {SHEARED}")


def _dicom_seg(volume, out, written, segmentation, algorithm, keep_identifiers) -> None:
    path = volume.stem.with_name(f"{volume.stem.name}_seg.dcm")
    write_dicom_seg(volume, out / path, segmentation=segmentation, algorithm=algorithm)
    written.volume["dicom-seg"] = path.as_posix()
    for files in written.slices:
        files["dicom-seg"] = path.as_posix()
