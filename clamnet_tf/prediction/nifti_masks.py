"""Write masks as NIfTI.

Masks of a NIfTI file have its axes and affine, masks of DICOM the patient's geometry, masks of pictures none.
"""

from pathlib import Path

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.files import atomic_path
from clamnet_tf.imaging.volume import Grid, to_stored
from clamnet_tf.prediction.marked_volume import MarkedVolume, stack_spacing
from clamnet_tf.prediction.planes import affine_of, planes_of, unevenness
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume

SHEARED = (
    "its slices are sheared (tilted gantry); its NIfTI mask stores the shear in the sform and has "
    "qform_code 0, because a qform cannot represent it"
)
_SHEAR_MM = 0.1
"""Shift of the last slice against the first one from which an affine counts as sheared."""
NO_GEOMETRY = "its NIfTI mask has neither sform nor qform, because the image has no position in the patient"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LONGEST_DESCRIPTION = 79  # bytes of the header's field, minus the terminating one


def write_nifti(
    volume: MarkedVolume, out: Path, *, keep_identifiers: bool = False, what: str = "mask"
) -> dict[int, Path]:
    """Write <name>_mask.nii.gz of a volume: uint8, 1 = marked; or <name>_uncertainty.nii.gz: float32, 0..1.

    With named classes the values are the class numbers, which the header's description names. For a NIfTI
    volume there is one mask per file, with the file's axes, shape and affine; texts and extensions of its
    header, where exporters put names of patients, are dropped unless `keep_identifiers`. For all others there
    is one mask per volume, axes (columns, rows, slices) in the order of DICOM, LPS turned into RAS. Without a
    position the mask has the pixel spacing where it is known, and sform_code and qform_code are 0.

    Args:
        volume: Marked volume.
        out: Output folder.
        keep_identifiers: Whether texts of the file's header may enter the mask.
        what: "mask" or "uncertainty".

    Returns:
        Index of each slice -> file that holds it, relative to `out`.

    Raises:
        DataError: DICOM slices are not evenly spaced, so that one affine cannot describe them.
    """
    values = volume.mask if what == "mask" else volume.uncertainty
    if volume.kind != "nifti":
        path = volume.stem.with_name(f"{volume.stem.name}_{what}.nii.gz")
        _save(_from_planes(volume, values), out / path)
        return dict.fromkeys(range(len(volume.slices)), path)
    written = {}
    for grid, stem, start in volume.files:
        count = len(grid.references)
        path = stem.with_name(f"{stem.name}_{what}.nii.gz")
        _save(
            _like_its_file(grid, values[start : start + count], volume.names, keep_identifiers),
            out / path,
        )
        written |= dict.fromkeys(range(start, start + count), path)
    return written


def _save(image, path: Path) -> None:
    """Write a NIfTI image atomically."""
    import nibabel

    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)


def _describe(header, names: tuple[str, ...], dtype) -> None:
    """Write into the header what the values mean, as far as the field holds it, and the display window.

    The window of the image would show a mask as black. Masks are uint8, uncertainty is float32.
    """
    if dtype != np.uint8:
        header.set_intent("estimate")
        header["descrip"] = b"clamnet-tf: disagreement of the networks, 0 to 1"
        header["cal_min"], header["cal_max"] = 0, 1
        return
    header.set_intent("label")
    meanings = ", ".join(f"{value} {name}" for value, name in enumerate(names, start=1)) or "1 = marked"
    header["descrip"] = f"clamnet-tf: {meanings}".encode()[:_LONGEST_DESCRIPTION]
    header["cal_min"], header["cal_max"] = 0, max(1, len(names))


def _like_its_file(grid: Grid, values: np.ndarray, names: tuple[str, ...], keep_identifiers: bool):
    """Return (slices, rows, columns) as a NIfTI image of the kind, axes, shape and affine of the
    file.
    """
    header = grid.nifti_header.copy()
    header.set_data_dtype(values.dtype)
    header.set_slope_inter(1, 0)
    _describe(header, names, values.dtype)
    if not keep_identifiers:
        header["aux_file"] = b""
        if "db_name" in header.keys():  # noqa: SIM118 - a header is no mapping
            header["db_name"] = b""
        header.extensions.clear()
    import nibabel

    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    return kind(np.ascontiguousarray(to_stored(values, grid).reshape(grid.shape)), grid.nifti_affine, header)


def _from_planes(volume: MarkedVolume, values: np.ndarray):
    """Return (slices, rows, columns) of a volume that is not NIfTI as a NIfTI image."""
    import nibabel

    array = np.ascontiguousarray(values.transpose(2, 1, 0))
    header = nibabel.Nifti1Header()
    header.set_data_dtype(array.dtype)
    _describe(header, volume.names, array.dtype)
    header.set_xyzt_units("mm")
    spacing = volume.spacing_mm
    if any(plane is None for plane in volume.planes):
        image = nibabel.Nifti1Image(array, None, header)
        image.header.set_zooms(spacing[::-1] if spacing else (1.0, 1.0, 1.0))
        if not spacing:
            image.header.set_xyzt_units("unknown")
        return image
    uneven = unevenness(volume.planes)
    if uneven:
        raise DataError(
            f"{volume.name}: cannot be written as NIfTI, which needs evenly spaced slices: {uneven}. Use "
            f"--format dicom-seg or png."
        )
    lps = affine_of(volume.planes, spacing[0] if spacing else 1.0)
    ras = _LPS_TO_RAS @ lps[:, [2, 1, 0, 3]]
    image = nibabel.Nifti1Image(array, ras, header)
    image.set_sform(ras, "scanner")
    if is_sheared(volume):
        image.set_qform(
            None, 0
        )  # a quaternion cannot hold a shear: readers of the qform would be millimetres off
    else:
        image.set_qform(ras, "scanner")
    return image


def affine_of_series(volume: AssembledVolume) -> np.ndarray | None:
    """Return the affine of the mask that `write_nifti` writes for a volume that is not NIfTI.

    It leads from (column, row, slice, 1) to mm, RAS; None where the slices have no place in the patient.
    """
    planes = planes_of(volume)
    if any(plane is None for plane in planes):
        return None
    spacing = stack_spacing(volume)
    return _LPS_TO_RAS @ affine_of(planes, spacing[0] if spacing else 1.0)[:, [2, 1, 0, 3]]


def is_sheared(volume: MarkedVolume) -> bool:
    """Return whether the slices of a regular grid are shifted against their normal, as by a tilted gantry."""
    if (
        volume.kind == "nifti"
        or any(plane is None for plane in volume.planes)
        or len(volume.planes) < 2
        or unevenness(volume.planes)
    ):
        return False
    affine = affine_of(volume.planes, 1.0)
    span = affine[:3, 0] * (len(volume.planes) - 1)
    return bool(np.linalg.norm(span - volume.planes[0].normal * (span @ volume.planes[0].normal)) > _SHEAR_MM)
