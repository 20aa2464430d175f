"""Read DICOM as a Volume: one file (also multi-frame), or a folder with one series.

Three modules answer three questions: what a header says (dicom_header), where slices are (dicom_geometry),
and what their pixels mean (dicom_pixels).
"""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.dicom_geometry import arrange, names
from clamnet_tf.imaging.dicom_header import Frame, open_dataset, read_frames, why_no_image
from clamnet_tf.imaging.dicom_pixels import read_pixels
from clamnet_tf.imaging.orientation import (
    IDENTITY,
    check_turned,
    index_transform,
    plane_name,
    reorient,
    spacing_of,
    to_axial,
)
from clamnet_tf.imaging.presentation import Presented, present
from clamnet_tf.imaging.series_sorting import SortedSeries, sort_series
from clamnet_tf.imaging.volume import SET_ASIDE, Grid, SliceReference, Volume, check_size, finite_float32

# Bytes per value for the float32 result of all files; the memory of one file is checked where it is read.
_BYTES_EACH = 9
_NO_SERIES = "(no SeriesInstanceUID)"


def read_dicom_file(path: Path, *, backend: str = "pydicom", presentation: bool = False) -> Volume:
    """Read one DICOM file as a volume: a single slice, or its frames sorted by position.

    Frames without a position stay in stored order. The volume is turned to axial slices
    (`orientation.to_axial`); a single sagittal or coronal slice stays as stored. See
    `dicom_pixels.read_pixels` for values and channels, `dicom_geometry.arrange` for order and affine.

    Args:
        path: the file.
        backend: data.dicom_backend of a recipe.
        presentation: whether to return the values that the file defines for display (`presentation.present`).
    """
    path = Path(path)
    dataset = open_dataset(path, pixels=True)
    frames = read_frames(dataset, path)
    if len(frames) > 1 and frames[0].position is not None:
        _the_only_volume(sort_series(frames, lambda frame: None), path)
    values, stored = read_pixels(dataset, path, backend=backend, stored_too=True)
    presented = present(dataset, values, stored, path) if presentation else Presented(values)
    return _assemble(frames, presented, (path,), path)


def read_dicom_folder(
    folder: Path, *, series: str | None = None, backend: str = "pydicom", presentation: bool = False
) -> Volume:
    """Read the only DICOM series in a folder (and its subfolders), or the one that `series` names.

    Args:
        folder: the folder.
        series: SeriesInstanceUID; for a series that holds several volumes, followed by a space and the words
            by which the message names the volume.
        backend: data.dicom_backend of a recipe.
        presentation: whether to return the values that the files define for display.
    """
    folder = Path(folder)
    all_series = group_series(folder)
    if not all_series:
        raise ImageError(
            f"{folder}: no DICOM image in this folder ({_inventory(folder)}). Name a folder that holds one "
            f"DICOM series."
        )
    uid, _, part = (series or "").partition(" ")
    if series is None and len(all_series) > 1:
        listed = names(
            [
                f"{uid} ({len(files)} files, e.g. {files[0].relative_to(folder)})"
                for uid, files in all_series.items()
            ],
            8,
        )
        raise ImageError(
            f"{folder}: holds {len(all_series)} DICOM series, one is needed: {listed}. Choose one by "
            f"read_volume(folder, series=UID) "
            "or by a column 'series' in the table of labels, or move each series to a folder of its own."
        )
    if series is not None and series in all_series:
        uid, part = series, ""
    if series is not None and uid not in all_series:
        raise ImageError(f"{folder}: no series {series}; it holds {names(list(all_series), 8)}.")
    files = all_series[uid] if series is not None else next(iter(all_series.values()))
    return read_dicom_files(files, folder, part=part, backend=backend, presentation=presentation)


def read_dicom_files(
    files: Iterable[Path],
    where: Path,
    *,
    part: str = "",
    backend: str = "pydicom",
    presentation: bool = False,
) -> Volume:
    """Read the files of one series, in any order, as one volume.

    Images that belong to no volume are set aside, copies are counted once, and the notes of the grid name
    both.

    Args:
        files: the files.
        where: folder or file that messages about several files name.
        part: which of several volumes of the series, in the words of the message that lists them.
        backend: data.dicom_backend of a recipe.
        presentation: whether to return the values that the files define for display.
    """
    headers: list[Frame] = []
    notes: tuple[str, ...] = ()
    for path in files:
        headers += read_frames(open_dataset(path, pixels=False), Path(path))
    if not any(frame.index for frame in headers) and len(headers) > 1:
        headers, notes = _the_only_volume(sort_series(headers, pixel_digest), where, part)
    arrange(headers, where)  # refuse a bad series before its pixels are read
    total = sum(path.stat().st_size for path in dict.fromkeys(frame.path for frame in headers))
    shape = (len(headers), headers[0].rows, headers[0].columns, headers[0].samples)
    check_size(where, shape, bytes_each=_BYTES_EACH, file_bytes=total)
    values: np.ndarray | None = None
    excluded: np.ndarray | None = None
    start = 0
    for path in dict.fromkeys(frame.path for frame in headers):
        dataset = open_dataset(path, pixels=True)
        pixels, stored = read_pixels(dataset, path, backend=backend, stored_too=True)
        presented = present(dataset, pixels, stored, path) if presentation else Presented(pixels)
        pixels, notes = presented.values, (*notes, *presented.notes)
        if values is None:
            values = np.empty((len(headers), *pixels.shape[1:]), np.float32)
        if pixels.shape[1:] != values.shape[1:]:
            raise ImageError(
                f"{where}: slices differ in channels: {values.shape[-1]} in {headers[0].path.name}, "
                f"{pixels.shape[-1]} in {path.name}. "
                "Move the odd ones to another folder."
            )
        values[start : start + len(pixels)] = pixels
        if presented.excluded is not None:
            excluded = np.zeros(values.shape[:3], bool) if excluded is None else excluded
            excluded[start : start + len(pixels)] = presented.excluded
        start += len(pixels)
    assert values is not None  # there is at least one file
    return _assemble(headers, Presented(values, excluded, tuple(dict.fromkeys(notes))), None, where)


def pixel_digest(frame: Frame) -> str | None:
    """Return the sha256 of shape and values of a file of one frame, None where it cannot be read."""
    try:
        values = read_pixels(open_dataset(frame.path, pixels=True), frame.path)
    except ImageError:
        return None
    return hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes()).hexdigest()


def _the_only_volume(
    sorted_series: SortedSeries, where, part: str = ""
) -> tuple[list[Frame], tuple[str, ...]]:
    """Return (images of the only volume of a series, or of the one that `part` names; notes on others)."""
    if sorted_series.unclear:
        raise ImageError(f"{where}: {sorted_series.unclear[0][1]}.")
    chosen = [
        images for words, images in sorted_series.volumes if words == part or len(sorted_series.volumes) == 1
    ]
    if len(chosen) != 1:
        listed = names([f"{words!r} ({len(images)} images)" for words, images in sorted_series.volumes], 6)
        several_files = len({frame.path for _, images in sorted_series.volumes for frame in images}) > 1
        cure = (
            "Choose one by read_volume(folder, series='UID words'), list its files in a manifest.csv, or "
            "move each volume to a folder of its own"
            if several_files
            else "Convert the file with `dcm2niix`, which writes one NIfTI file per volume"
        )
        raise ImageError(
            f"{where}: holds {len(sorted_series.volumes)} volumes, one is needed: {listed}. {cure}."
        )
    notes = [f"{frame.path.name}{SET_ASIDE}{why}" for frame, why in sorted_series.strays]
    notes += [
        f"{copy.path.name} was left out: it repeats {original.path.name}"
        for copy, original in sorted_series.copies
    ]
    return list(chosen[0]), tuple(notes)


def group_series(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return {SeriesInstanceUID: its image files} for a tree of any depth, both sorted.

    Files that are not DICOM, and DICOM objects without an image (reports, DICOMDIR, plans, segmentations),
    are skipped.

    Raises:
        ImageError: a DICOM file cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: is not a folder; name a folder of DICOM files.")
    series: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or not path.is_file() or sniff.sniff(path) != "dicom":
            continue
        dataset = open_dataset(path, pixels=False)
        with decoding(functools.partial(_not_understood, path)):
            if dataset.get("Rows") is None or why_no_image(dataset):
                continue
            series.setdefault(str(dataset.get("SeriesInstanceUID") or _NO_SERIES), []).append(path)
    return {uid: tuple(files) for uid, files in sorted(series.items())}


def _not_understood(path, reason: str) -> ImageError:
    return ImageError(f"{path}: its DICOM header cannot be understood: {reason}. Export the image again.")


def _assemble(frames, presented: Presented, sources, where) -> Volume:
    """Sort frames into a stack and turn the stack to axial slices.

    Args:
        frames: the frames.
        presented: their values.
        sources: the path of a single file, None for a folder.
        where: folder or file, named in messages.
    """
    notes = tuple(dict.fromkeys(presented.notes))
    arrangement = arrange(frames, where)
    ordered = [frames[n] for n in arrangement.order]
    values, excluded = presented.values, presented.excluded
    if arrangement.order != tuple(range(len(frames))):
        values = values[list(arrangement.order)]
        excluded = None if excluded is None else excluded[list(arrangement.order)]
    in_one_file = sources is not None
    axes, flips = _turn(arrangement.directions, len(frames), where, arrangement.affine is not None)
    shape = values.shape[:3] if len(frames) > 1 or not in_one_file else values.shape[1:3]
    affine, spacing = arrangement.affine, arrangement.spacing_mm
    if affine is not None and (axes, flips) != IDENTITY:
        affine = affine @ index_transform(values.shape[:3], axes, flips)
        assert spacing is not None  # known with the affine
        spacing = spacing_of(affine) if axes[0] else (spacing[axes[0]], spacing[axes[1]], spacing[axes[2]])
    turned = reorient(values, axes, flips)
    if axes[0]:
        assert arrangement.directions is not None  # or nothing would be turned
        plane = plane_name(arrangement.directions)
        turned_notes = check_turned(where, turned.shape[:3], affine, plane)
        notes = (f"{plane} slices: brought to axial planes to be marked, and back", *turned_notes, *notes)
    grid = Grid(
        kind="dicom",
        shape=shape,
        axes=axes,
        flips=flips,
        # A folder has no order of its own.
        order=arrangement.order if in_one_file and len(frames) > 1 else None,
        references=_references(ordered, in_one_file),
        notes=(*arrangement.notes, *notes),
        modality=ordered[0].modality,
        photometric=ordered[0].photometric,
    )
    sources = sources if in_one_file else tuple(f.path for f in ordered)
    excluded = None if excluded is None else np.ascontiguousarray(reorient(excluded, axes, flips))
    return Volume(finite_float32(where, turned), spacing, affine, sources, grid, excluded)


def _turn(directions, count, where, spaced):
    """Return (axes, flips) of a stack; a single slice that is not axial cannot be turned."""
    if directions is None:
        return IDENTITY
    axes, flips = to_axial(where, directions)
    if count == 1 and axes[0] and not spaced:
        raise ImageError(
            f"{where}: a single {plane_name(directions)} slice without PixelSpacing. Give its whole series, "
            f"or an axial slice."
        )
    return IDENTITY if count == 1 and axes[0] else (axes, flips)


def _triple(position) -> tuple[float, float, float] | None:
    if position is None:
        return None
    x, y, z = (float(value) for value in position)
    return x, y, z


def _references(ordered, in_one_file) -> tuple[SliceReference, ...]:
    numbers = [f.index if in_one_file else f.instance_number for f in ordered]
    if len(set(numbers)) < len(numbers):
        numbers = [None] * len(numbers)
    return tuple(
        SliceReference(f.path, f.index, f.sop_class_uid, f.sop_instance_uid, _triple(f.position), number)
        for f, number in zip(ordered, numbers)
    )


def _inventory(folder) -> str:
    """Return '12 .png, 1 .txt' or 'it is empty'."""
    counts: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            kind = path.suffix.lower() or "without suffix"
            counts[kind] = counts.get(kind, 0) + 1
    return (
        ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda item: -item[1])[:5])
        or "it is empty"
    )
