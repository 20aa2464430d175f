"""Read RT structure sets (RTSTRUCT, PS3.3 C.8.8.6) as masks: closed planar contours in the image's slices.

Contours are polygons in the patient's millimetres; a pixel belongs to one when its centre lies inside.
Contours inside others in the same slice are holes (even-odd rule). Anything else would need interpolation and
is refused.
"""

from pathlib import Path

import numpy as np
from skimage.draw import polygon2mask

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom_header import DAMAGE, open_dataset, quiet
from clamnet_tf.imaging.volume import Volume

STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_OFF_PLANE = 0.1  # share of the distance between slices
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read_structures(path: Path, image: Volume, classes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rasterise the structures of a file onto the grid of its image.

    Args:
        path: the RTSTRUCT file.
        image: the image on which it was drawn.
        classes: number of lesion classes. The file must have as many structures, numbered in the recipe's
            order.

    Returns:
        (uint8 (slices, rows, columns), notes on assumptions).

    Raises:
        ImageError: the number of structures differs, contours are open or lie between the image's slices, or
            the file belongs to another image.
    """
    path = Path(path)
    dataset = open_dataset(path, pixels=False)
    try:
        with quiet():
            names = {
                int(item.ROINumber): str(item.get("ROIName", ""))
                for item in dataset.get("StructureSetROISequence") or ()
            }
            contours, referenced = _contours(path, dataset, names)
            frames = {
                str(item.FrameOfReferenceUID)
                for item in dataset.get("ReferencedFrameOfReferenceSequence") or ()
                if item.get("FrameOfReferenceUID")
            }
            frames |= {
                str(item.ReferencedFrameOfReferenceUID)
                for item in dataset.get("StructureSetROISequence") or ()
                if item.get("ReferencedFrameOfReferenceUID")
            }
    except DAMAGE as error:
        raise ImageError(f"{path}: damaged or unusual structure set: {error}. Export it again.") from error
    if len(contours) != classes:
        listed = ", ".join(f"{number} {names.get(number, '')}".strip() for number in contours) or "none"
        raise ImageError(
            f"{path}: expected {classes} structure(s) with contours, received {len(contours)} ({listed}). "
            "Export the lesion's alone."
        )
    notes = _check_belongs(path, image, frames, referenced)
    mask = np.zeros(image.array.shape[:3], np.uint8)
    for class_index, roi in enumerate(sorted(contours), start=1):
        drawn = _rasterise(path, contours[roi], image)
        if (mask.astype(bool) & drawn).any():
            raise ImageError(
                f"{path}: its structures overlap, but a mask of several classes has one class per pixel. "
                "Separate them, or evaluate one class."
            )
        mask[drawn] = class_index
        notes += _gaps(drawn)
    return mask, tuple(notes)


def _contours(path, dataset, names):
    """Return {ROI number: [points (n, 3) in mm]} and the UIDs of the images that they name."""
    contours: dict[int, list[np.ndarray]] = {}
    referenced: set[str] = set()
    for roi in dataset.get("ROIContourSequence") or ():
        for contour in roi.get("ContourSequence") or ():
            roi_number, kind = int(roi.ReferencedROINumber), str(contour.ContourGeometricType)
            if kind not in _CLOSED:
                raise ImageError(
                    f"{path}: structure {names.get(roi_number, roi_number)} has a contour of type {kind}; "
                    "only closed planar ones enclose pixels. Leave it out."
                )
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            if len(points) < 3 or not np.isfinite(points).all():
                raise ImageError(
                    f"{path}: structure {names.get(roi_number, roi_number)} has a contour of {len(points)} "
                    "points; at least 3 are needed. Export it again."
                )
            contours.setdefault(roi_number, []).append(points)
            referenced |= {
                str(item.ReferencedSOPInstanceUID) for item in contour.get("ContourImageSequence") or ()
            }
    return contours, referenced


def _check_belongs(path, image: Volume, frames: set, referenced: set) -> list[str]:
    """Return notes on how the structures belong to the image; raise ImageError when they do not."""
    name = image.sources[0]
    if image.affine is None:
        raise ImageError(
            f"{path}: contours are millimetres in the patient, and {name} does not say where it lies. Give "
            "the mask on the image's grid."
        )
    image_uids = {reference.sop_instance_uid for reference in image.grid.references} - {None, ""}
    if image_uids & referenced:
        return []
    if image.grid.kind != "dicom":
        return ["structure set was placed on the image by its geometry alone"]
    frame = str(open_dataset(name, pixels=False).get("FrameOfReferenceUID") or "")
    if frame and frame in frames:
        return (
            []
            if len(image.array) == 1 or not referenced
            else ["structure set was drawn on other images of the same frame of reference"]
        )
    raise ImageError(
        f"{path}: was drawn on another image: it names neither {name} nor its frame of reference. Name the "
        "mask of this image."
    )


def _rasterise(path, contours, image: Volume) -> np.ndarray:
    """Return a bool array (slices, rows, columns) of the pixels inside the contours."""
    assert image.affine is not None and image.spacing_mm is not None  # checked by the caller
    drawn = np.zeros(image.array.shape[:3], bool)
    name, normal = image.sources[0], np.cross(image.affine[:3, 1], image.affine[:3, 2])
    normal /= np.linalg.norm(normal)
    corners = _corners(image)
    heights = corners @ normal
    between = np.abs(np.diff(np.sort(heights))).min() if len(heights) > 1 else image.spacing_mm[0]
    across = np.stack([image.affine[:3, 1], image.affine[:3, 2], normal], axis=1)
    for points in contours:
        point_heights = points @ normal
        if np.ptp(point_heights) > _OFF_PLANE * between:
            raise ImageError(
                f"{path}: a contour is not parallel to the slices of {name} ({np.ptp(point_heights):.2f} mm "
                "from end to end). Draw it on this image's slices."
            )
        slice_index = int(np.abs(heights - point_heights.mean()).argmin())
        apart = abs(heights[slice_index] - point_heights.mean())
        if apart > _OFF_PLANE * between:
            if len(heights) == 1 or not heights.min() < point_heights.mean() < heights.max():
                continue
            raise ImageError(
                f"{path}: a contour lies {apart:.2f} mm off the nearest slice of {name}. Resample the "
                "structure onto this image's slices."
            )
        index = np.linalg.solve(across, (points - corners[slice_index]).T)[:2].T
        if index.min() < -0.5 or (index > np.array(drawn.shape[1:]) - 0.5).any():
            raise ImageError(f"{path}: a contour leaves {name}. Name the mask of this image.")
        drawn[slice_index] ^= polygon2mask(drawn.shape[1:], index)
    return drawn


def _corners(image: Volume) -> np.ndarray:
    """Return the centre of the first pixel of every slice in mm, (slices, 3).

    They come from the files, else from the affine.
    """
    positions = [reference.position for reference in image.grid.references]
    if (
        len(positions) == len(image.array)
        and None not in positions
        and image.grid.axes == (0, 1, 2)
        and not any(image.grid.flips)
    ):
        return np.array(positions, float)
    assert image.affine is not None
    return np.array([(image.affine @ (index, 0, 0, 1))[:3] for index in range(len(image.array))])


def _gaps(drawn) -> list[str]:
    """Return a note on slices without a contour between others."""
    drawn_slices = np.flatnonzero(drawn.any((1, 2)))
    missing = drawn_slices[-1] - drawn_slices[0] + 1 - len(drawn_slices) if len(drawn_slices) else 0
    return (
        [f"structure has no contour in {missing} slice(s) between others; they are taken as empty"]
        if missing
        else []
    )
