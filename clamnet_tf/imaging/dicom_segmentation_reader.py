"""Read DICOM segmentations (SEG and label maps, PS3.3 A.51) as masks on the image that they belong to.

Each frame is placed by the source image that it names, else by its position, orientation and pixel spacing:
voxel on voxel, never interpolated. Frames of other slices than the image's are skipped, because one SEG often
covers a complete series.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.errors import EnvironmentFailure, ImageError
from clamnet_tf.imaging.dicom_header import DAMAGE, functional_group, number, open_dataset, quiet
from clamnet_tf.imaging.volume import Volume, check_size

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", LABEL_MAP)
_OFF_GRID = 0.1  # voxels by which rounding of positions may move a frame
_BYTES_EACH = 8  # per pixel of a frame: unpacked bits, the copy by highdicom, the label map


@dataclass(frozen=True)
class _Frame:
    """One plane of a segmentation.

    Attributes:
        pixels: (rows, columns).
        segment: number of its segment, 0 in a label map.
        sources: (SOPInstanceUID, frame from 0 or None) of the images that it was drawn on.
        corner, right, down: centre of the first pixel and steps per pixel in mm; None when not stated.
    """

    pixels: np.ndarray
    segment: int
    sources: tuple[tuple[str, int | None], ...]
    corner: np.ndarray | None
    right: np.ndarray | None
    down: np.ndarray | None


@dataclass(frozen=True)
class _Segmentation:
    """A segmentation file: its frames, segment labels, source images, frame of reference and notes."""

    frames: tuple[_Frame, ...]
    labels: dict[int, str]
    sources: frozenset[str]
    frame_of_reference: str | None
    notes: tuple[str, ...]


def read_segmentation(path: Path, image: Volume, classes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a segmentation onto the grid of its image.

    Args:
        path: the SEG file.
        image: the image to which it belongs.
        classes: number of lesion classes. With several, segment k is class k; with one, every segment is the
            lesion.

    Returns:
        (uint8 (slices, rows, columns), notes on assumptions).

    Raises:
        ImageError: the file is damaged, of another image, or on another grid.
        EnvironmentFailure: highdicom is not installed.
    """
    path = Path(path)
    segmentation = _open(path, path.stat().st_mtime_ns)
    by_name = {
        (reference.sop_instance_uid, reference.frame): index
        for index, reference in enumerate(image.grid.references)
        if reference.sop_instance_uid
    }
    notes = list(segmentation.notes) + _check_belongs(path, segmentation, image, {uid for uid, _ in by_name})
    mask, segments = np.zeros(image.array.shape[:3], np.uint8), set()
    for frame in segmentation.frames:
        if not frame.pixels.any():
            continue
        indices = _by_source(frame, by_name, image)
        indices = _by_geometry(path, frame, image) if indices is None else indices
        if indices is None:
            continue
        values = (
            frame.pixels[frame.pixels > 0] if frame.segment == 0 else np.full(len(indices[0]), frame.segment)
        )
        segments |= set(values.tolist())
        if classes == 1:
            mask[indices] = 1
            continue
        if max(values) > classes:
            raise ImageError(
                f"{path}: holds segment {max(values)}, and the recipe has {classes} lesion classes. Number "
                "the segments in the recipe's order."
            )
        if ((mask[indices] > 0) & (mask[indices] != values)).any():
            raise ImageError(
                f"{path}: its segments overlap, but a mask of several classes has one class per pixel. "
                "Separate them, or evaluate one class."
            )
        mask[indices] = values
    if classes == 1 and len(segments) > 1:
        names = ", ".join(segmentation.labels.get(segment, str(segment)) for segment in sorted(segments))
        notes.append(f"holds the segments {names}; all of them are taken as the lesion")
    return mask, tuple(notes)


def source_instances(path: Path) -> frozenset[str]:
    """Return the SOPInstanceUIDs of the images that a segmentation says it was drawn on.

    Raises:
        ImageError: the file is damaged.
        EnvironmentFailure: highdicom is not installed.
    """
    return _open(Path(path), Path(path).stat().st_mtime_ns).sources


@functools.lru_cache(maxsize=2)
def _open(path: Path, changed: int) -> _Segmentation:
    """Return the content of a segmentation file; its modification time `changed` is part of the cache key."""
    try:
        import highdicom
    except ImportError:
        raise EnvironmentFailure(
            "DICOM segmentations need the package highdicom, which is not installed. Run: pip install "
            "'clamnet-tf[dicom]'"
        ) from None
    header = open_dataset(path, pixels=False)
    try:
        with quiet():
            count = int(number(header.get("NumberOfFrames")) or 1)
            check_size(path, (count, header.Rows, header.Columns, 1), bytes_each=_BYTES_EACH)
            if count != len(header.get("PerFrameFunctionalGroupsSequence") or ()):
                raise ValueError(
                    f"NumberOfFrames is {count}, but it describes "
                    f"{len(header.get('PerFrameFunctionalGroupsSequence') or ())} frames"
                )
            return _read(highdicom.seg.segread(path))
    except (*DAMAGE, RuntimeError) as error:
        raise ImageError(
            f"{path}: damaged or unusual DICOM segmentation: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. Export it again."
        ) from error


def _read(segmentation) -> _Segmentation:
    pixels = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    notes: tuple[str, ...] = ()
    label_map = str(segmentation.SOPClassUID) == LABEL_MAP
    if segmentation.SegmentationType == "FRACTIONAL":
        highest = int(segmentation.MaximumFractionalValue)
        pixels = (pixels > 0.5 * highest).astype(np.uint8)
        notes = (
            f"fractional segmentation ({str(segmentation.SegmentationFractionalType).lower()}) cut at half "
            "of its range",
        )
    frames = []
    for index, plane in enumerate(pixels):
        segment = 0
        if not label_map:
            group = functional_group(segmentation, index, "SegmentIdentificationSequence")
            segment = int(group.ReferencedSegmentNumber)  # type: ignore[union-attr]  # of None: damage
        frames.append(_Frame(plane, segment, _sources(segmentation, index), *_place(segmentation, index)))
    labels = {int(item.SegmentNumber): str(item.SegmentLabel) for item in segmentation.SegmentSequence}
    named_uids = {
        str(instance.ReferencedSOPInstanceUID)
        for series in segmentation.get("ReferencedSeriesSequence") or ()
        for instance in series.get("ReferencedInstanceSequence") or ()
    }
    named_uids |= {uid for frame in frames for uid, _ in frame.sources}
    return _Segmentation(
        tuple(frames),
        labels,
        frozenset(named_uids),
        str(segmentation.get("FrameOfReferenceUID") or "") or None,
        notes,
    )


def _sources(segmentation, index) -> tuple[tuple[str, int | None], ...]:
    """Return (SOPInstanceUID, frame from 0 or None) of the source images of a frame."""
    derivation = functional_group(segmentation, index, "DerivationImageSequence")
    sources = []
    for source in (derivation.get("SourceImageSequence") or ()) if derivation is not None else ():
        frame = source.get("ReferencedFrameNumber")
        frame = frame[0] if hasattr(frame, "__len__") and not isinstance(frame, str) else frame
        sources.append((str(source.ReferencedSOPInstanceUID), None if frame is None else int(frame) - 1))
    return tuple(sources)


def _place(segmentation, index):
    """Return (corner, right, down) of a frame in mm, None for each when not stated."""
    position, turned, measures = (
        functional_group(segmentation, index, f"{name}Sequence")
        for name in ("PlanePosition", "PlaneOrientation", "PixelMeasures")
    )
    if position is None or turned is None or measures is None or "PixelSpacing" not in measures:
        return None, None, None
    orientation = np.array(turned.ImageOrientationPatient, float)
    between_rows, between_columns = (float(value) for value in measures.PixelSpacing)
    return (
        np.array(position.ImagePositionPatient, float),
        orientation[:3] * between_columns,
        orientation[3:] * between_rows,
    )


def _check_belongs(path, segmentation: _Segmentation, image: Volume, image_uids: set) -> list[str]:
    """Return notes on how the segmentation belongs to the image; raise ImageError when it does not."""
    if image_uids & segmentation.sources:
        return []
    name = image.sources[0]
    if (
        image_uids
        and segmentation.frame_of_reference
        and segmentation.frame_of_reference == _frame_of_reference(image)
    ):
        return ["refers to another series of the same frame of reference, and was placed by its geometry"]
    if image_uids and segmentation.sources:
        raise ImageError(
            f"{path}: is the segmentation of another image: none of the {len(segmentation.sources)} images "
            f"that it names is {name}. Name the mask of this image."
        )
    if image.affine is None:
        raise ImageError(
            f"{path}: cannot be placed on {name}, which has neither the images that it names nor a "
            "position. Give the mask as PNG or NIfTI on the image's grid."
        )
    return ["was placed on the image by its geometry alone"]


def _frame_of_reference(image: Volume) -> str | None:
    return (
        str(open_dataset(image.sources[0], pixels=False).get("FrameOfReferenceUID") or "") or None
        if image.grid.kind == "dicom"
        else None
    )


def _by_source(frame: _Frame, by_name: dict, image: Volume):
    """Return the indices (slices, rows, columns) of the marked pixels on the slice that the frame names.

    Returns:
        None when the frame names no slice of the image, or lies on it in another way.
    """
    if frame.pixels.shape != image.array.shape[1:3] or image.grid.axes != (0, 1, 2) or any(image.grid.flips):
        return None
    matches = {by_name[uid, index or 0] for uid, index in frame.sources if (uid, index or 0) in by_name}
    if len(matches) != 1:
        return None
    (slice_index,) = matches
    position = image.grid.references[slice_index].position
    if frame.corner is not None and position is not None and image.affine is not None:
        assert frame.right is not None and frame.down is not None  # stated with the corner
        size = min(np.linalg.norm(frame.right), np.linalg.norm(frame.down))
        apart = [
            frame.corner - position,
            (frame.down - image.affine[:3, 1]) * frame.pixels.shape[0],
            (frame.right - image.affine[:3, 2]) * frame.pixels.shape[1],
        ]
        if max(np.linalg.norm(difference) for difference in apart) > 0.5 * size:
            return None
    rows, columns = np.nonzero(frame.pixels)
    return np.full(len(rows), slice_index), rows, columns


def _by_geometry(path, frame: _Frame, image: Volume):
    """Return the indices of the marked pixels by their position in the patient, None when on no slice."""
    name = image.sources[0]
    if frame.corner is None or image.affine is None:
        if image.grid.references and image.grid.references[0].sop_instance_uid and frame.sources:
            return None
        raise ImageError(
            f"{path}: a frame names neither a slice of {name} nor a position. Give the mask as PNG or NIfTI "
            "on the image's grid."
        )
    assert frame.right is not None and frame.down is not None  # stated with the corner
    rows, columns = np.nonzero(frame.pixels)
    points = frame.corner[:, None] + np.outer(frame.right, columns) + np.outer(frame.down, rows)
    index = np.linalg.solve(image.affine, np.vstack([points, np.ones(points.shape[1])]))[:3]
    steps = np.linalg.solve(image.affine[:3, :3], np.stack([frame.right, frame.down], axis=1))
    if (
        np.abs(steps - np.round(steps)).max() * max(frame.pixels.shape) > 0.5
        or (np.abs(np.round(steps)).sum(0) != 1).any()
    ):
        raise ImageError(
            f"{path}: its pixels are of another size or direction than those of {name}. Resample it onto "
            "the image's grid (nearest neighbour)."
        )
    index = _slices_by_position(index, points, image)
    rounded = np.round(index)
    inside = ((rounded >= 0) & (rounded < np.array(image.array.shape[:3])[:, None])).all(axis=0)
    if len(image.array) == 1:
        inside &= np.abs(index[0]) <= _OFF_GRID
    if not inside.any():
        return None
    if np.abs(index - rounded)[:, inside].max() > _OFF_GRID:
        apart = np.abs(index - rounded)[:, inside].max()
        raise ImageError(
            f"{path}: lies {apart:.2f} voxels off the grid of {name}. Resample it onto the image's grid "
            "(nearest neighbour)."
        )
    if not inside.all():
        raise ImageError(f"{path}: marks pixels outside of {name}. Name the mask of this image.")
    return tuple(rounded.astype(int))


def _slices_by_position(index, points, image: Volume):
    """Return `index` with its first row by the positions of DICOM slices, which may be spaced unevenly."""
    positions = [reference.position for reference in image.grid.references]
    if image.grid.axes != (0, 1, 2) or any(image.grid.flips):
        return index
    if len(positions) != len(image.array) or None in positions or len(positions) == 1:
        return index
    assert image.affine is not None
    normal = np.cross(image.affine[:3, 1], image.affine[:3, 2])
    normal /= np.linalg.norm(normal)
    heights = np.array(positions) @ normal
    order = np.argsort(heights)
    if np.diff(heights[order]).min() <= 0:
        return index
    heights_of_points = normal @ points
    slices = np.interp(
        heights_of_points, heights[order], np.arange(len(order)), left=-1.0, right=float(len(order))
    )
    turned = order[np.clip(np.round(slices).astype(int), 0, len(order) - 1)] + (slices - np.round(slices))
    ends = (heights_of_points < heights.min() - 1e-3 * np.ptp(heights)) | (
        heights_of_points > heights.max() + 1e-3 * np.ptp(heights)
    )
    return np.vstack([np.where(ends, -1.0, turned), index[1:]])
