"""DICOM in: one file (also multi-frame), or a folder with one series, as a Volume.

Three questions, three modules: what a header says (dicom_header), where slices are (dicom_geometry), what their
pixels mean (dicom_pixels).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.dicom_geometry import arrange, names
from clamnet_tf.imaging.dicom_header import NOT_IMAGES, Frame, open_dataset, read_frames
from clamnet_tf.imaging.dicom_pixels import read_pixels
from clamnet_tf.imaging.volume import Grid, SliceReference, Volume, check_size, finite_float32

_BYTES_EACH = 9  # of a value: the float32 result of all files; what one file takes besides is asked for where it is read
_NO_SERIES = "(no SeriesInstanceUID)"


def read_dicom_file(path: Path, *, backend: str = "pydicom") -> Volume:
    """One DICOM file as a volume: a single slice, or its frames sorted by position (as stored when they have none).

    See `dicom_pixels.read_pixels` for values and channels, `dicom_geometry.arrange` for order and affine.
    """
    path = Path(path)
    dataset = open_dataset(path, pixels=True)
    frames = read_frames(dataset, path)
    values = read_pixels(dataset, path, backend=backend)
    return _assemble(frames, values, (path,), path)


def read_dicom_folder(folder: Path, *, series: str | None = None, backend: str = "pydicom") -> Volume:
    """The one DICOM series in a folder (and its subfolders), or the one named by its SeriesInstanceUID."""
    folder = Path(folder)
    found = group_series(folder)
    if not found:
        raise ImageError(f"{folder}: no DICOM image in this folder ({_inventory(folder)}). Name a folder that holds one DICOM series.")
    if series is None and len(found) > 1:
        listed = names([f"{uid} ({len(files)} files, e.g. {files[0].relative_to(folder)})" for uid, files in found.items()], 8)
        raise ImageError(
            f"{folder}: holds {len(found)} DICOM series, one is needed: {listed}. Choose one by read_volume(folder, series=UID) "
            "or by a column 'series' in the table of labels, or move each series to a folder of its own."
        )
    if series is not None and series not in found:
        raise ImageError(f"{folder}: no series {series}; it holds {names(list(found), 8)}.")
    return read_dicom_files(found[series] if series is not None else next(iter(found.values())), folder, backend=backend)


def read_dicom_files(files: Iterable[Path], where: Path, *, backend: str = "pydicom") -> Volume:
    """The files of one series, in any order, as one volume; `where` is named in messages about several files."""
    files = [Path(path) for path in files]
    headers: list[Frame] = []
    counts = []
    for path in files:
        frames = read_frames(open_dataset(path, pixels=False), path)
        headers += frames
        counts.append(len(frames))
    arrange(headers, where)  # refuse a bad series before its pixels are read
    total = sum(path.stat().st_size for path in files)
    check_size(where, (len(headers), headers[0].rows, headers[0].columns, headers[0].samples), bytes_each=_BYTES_EACH, file_bytes=total)
    values = None
    start = 0
    for path, count in zip(files, counts):
        pixels = read_pixels(open_dataset(path, pixels=True), path, backend=backend)
        if values is None:
            values = np.empty((len(headers), *pixels.shape[1:]), np.float32)
        if pixels.shape[1:] != values.shape[1:]:
            raise ImageError(
                f"{where}: slices differ in channels: {values.shape[-1]} in {files[0].name}, {pixels.shape[-1]} in {path.name}. "
                "Move the odd ones to another folder."
            )
        values[start : start + count] = pixels
        start += count
    return _assemble(headers, values, None, where)


def group_series(folder: Path) -> dict[str, tuple[Path, ...]]:
    """SeriesInstanceUID -> its image files, for a tree of any depth; both in sorted order.

    Files that are not DICOM, and DICOM objects without an image (reports, DICOMDIR, plans, segmentations), are passed
    over. A DICOM file that cannot be read is an ImageError that names it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: is not a folder; name a folder of DICOM files.")
    series: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or not path.is_file() or sniff.sniff(path) != "dicom":
            continue
        dataset = open_dataset(path, pixels=False)
        with decoding(lambda reason, path=path: ImageError(f"{path}: its DICOM header cannot be understood: {reason}. Export the image again.")):
            if dataset.get("Rows") is None or str(dataset.get("SOPClassUID", "")) in NOT_IMAGES:
                continue
            series.setdefault(str(dataset.get("SeriesInstanceUID") or _NO_SERIES), []).append(path)
    return {uid: tuple(files) for uid, files in sorted(series.items())}


def _assemble(frames, values, sources, where) -> Volume:
    arrangement = arrange(frames, where)
    ordered = [frames[n] for n in arrangement.order]
    if arrangement.order != tuple(range(len(frames))):
        values = values[list(arrangement.order)]
    references = tuple(
        SliceReference(
            f.path, f.index, f.sop_class_uid, f.sop_instance_uid, None if f.position is None else tuple(float(v) for v in f.position)
        )
        for f in ordered
    )
    in_one_file = sources is not None
    shape = values.shape[:3] if len(frames) > 1 or not in_one_file else values.shape[1:3]
    grid = Grid(
        kind="dicom",
        shape=shape,
        order=arrangement.order if in_one_file and len(frames) > 1 else None,  # a folder has no order of its own
        references=references,
        notes=arrangement.notes,
    )
    sources = sources if in_one_file else tuple(f.path for f in ordered)
    return Volume(finite_float32(where, values), arrangement.spacing_mm, arrangement.affine, sources, grid)


def _inventory(folder) -> str:
    """'12 .png, 1 .txt' or 'it is empty'."""
    counts: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            kind = path.suffix.lower() or "without suffix"
            counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda item: -item[1])[:5]) or "it is empty"
