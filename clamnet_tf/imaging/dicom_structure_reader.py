"""RT structure sets (RTSTRUCT, PS3.3 C.8.8.6) as masks: closed planar contours in the image's own slices.

Contours are polygons in the patient's millimetres; a pixel belongs to one when its centre lies inside. Of
several contours in one slice those inside of others are holes (even-odd rule). Anything else would need
interpolation, and is refused.
"""

from pathlib import Path

import numpy as np
from skimage.draw import polygon2mask

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom_header import DAMAGE, open_dataset, quiet
from clamnet_tf.imaging.volume import Volume

STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
_OFF_PLANE = 0.1  # of the distance between slices
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read_structures(path: Path, image: Volume, classes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rasterise the structures of a file onto the grid of its image.

    Args:
        path: the RTSTRUCT file. image: what it was drawn on. classes: how many lesion classes there are: as
            many structures must be there, numbered in the recipe's order; of a single class there must be
            one.

    Returns:
        (uint8 (slices, rows, columns), notes on what was assumed).

    Raises:
        ImageError: several structures, contours that are open or lie between the image's slices, another
            image.
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
    for place, roi in enumerate(sorted(contours), start=1):
        drawn = _rasterise(path, contours[roi], image)
        if (mask.astype(bool) & drawn).any():
            raise ImageError(
                f"{path}: its structures overlap; a mask of several markers gives each pixel one."
            )
        mask[drawn] = place
        notes += _gaps(drawn)
    return mask, tuple(notes)


def _contours(path, dataset, names):
    """{ROI number: [points (n, 3) in mm]} and the images that they name."""
    contours: dict[int, list[np.ndarray]] = {}
    referenced: set[str] = set()
    for roi in dataset.get("ROIContourSequence") or ():
        for contour in roi.get("ContourSequence") or ():
            number, kind = int(roi.ReferencedROINumber), str(contour.ContourGeometricType)
            if kind not in _CLOSED:
                raise ImageError(
                    f"{path}: structure {names.get(number, number)} has a contour of type {kind}; only "
                    "closed planar ones enclose pixels. Leave it out."
                )
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            if len(points) < 3 or not np.isfinite(points).all():
                raise ImageError(
                    f"{path}: structure {names.get(number, number)} has a contour of {len(points)} points; "
                    "at least 3 are needed. Export it again."
                )
            contours.setdefault(number, []).append(points)
            referenced |= {
                str(one.ReferencedSOPInstanceUID) for one in contour.get("ContourImageSequence") or ()
            }
    return contours, referenced


def _check_belongs(path, image: Volume, frames: set, referenced: set) -> list[str]:
    name = image.sources[0]
    if image.affine is None:
        raise ImageError(
            f"{path}: contours are millimetres in the patient, and {name} does not say where it lies. Give "
            "the mask on the image's grid."
        )
    own = {reference.sop_instance_uid for reference in image.grid.references} - {None, ""}
    if own & referenced:
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
    assert image.affine is not None and image.spacing_mm is not None  # checked by the caller
    drawn = np.zeros(image.array.shape[:3], bool)
    name, normal = image.sources[0], np.cross(image.affine[:3, 1], image.affine[:3, 2])
    normal /= np.linalg.norm(normal)
    corners = _corners(image)
    heights = corners @ normal
    between = np.abs(np.diff(np.sort(heights))).min() if len(heights) > 1 else image.spacing_mm[0]
    across = np.stack([image.affine[:3, 1], image.affine[:3, 2], normal], axis=1)
    for points in contours:
        own = points @ normal
        if np.ptp(own) > _OFF_PLANE * between:
            raise ImageError(
                f"{path}: a contour is not parallel to the slices of {name} ({np.ptp(own):.2f} mm from end "
                "to end). Draw it on this image's slices."
            )
        place = int(np.abs(heights - own.mean()).argmin())
        apart = abs(heights[place] - own.mean())
        if apart > _OFF_PLANE * between:
            if len(heights) == 1 or not heights.min() < own.mean() < heights.max():
                continue
            raise ImageError(
                f"{path}: a contour lies {apart:.2f} mm off the nearest slice of {name}. Resample the "
                "structure onto this image's slices."
            )
        index = np.linalg.solve(across, (points - corners[place]).T)[:2].T
        if index.min() < -0.5 or (index > np.array(drawn.shape[1:]) - 0.5).any():
            raise ImageError(f"{path}: a contour leaves {name}. Name the mask of this image.")
        drawn[place] ^= polygon2mask(drawn.shape[1:], index)
    return drawn


def _corners(image: Volume) -> np.ndarray:
    """Centre of the first pixel of every slice in mm, (slices, 3): as the files say, else by the affine."""
    positions = [reference.position for reference in image.grid.references]
    if (
        len(positions) == len(image.array)
        and None not in positions
        and image.grid.axes == (0, 1, 2)
        and not any(image.grid.flips)
    ):
        return np.array(positions, float)
    assert image.affine is not None
    return np.array([(image.affine @ (number, 0, 0, 1))[:3] for number in range(len(image.array))])


def _gaps(drawn) -> list[str]:
    own = np.flatnonzero(drawn.any((1, 2)))
    missing = own[-1] - own[0] + 1 - len(own) if len(own) else 0
    return (
        [f"structure has no contour in {missing} slice(s) between others; they are taken as empty"]
        if missing
        else []
    )
