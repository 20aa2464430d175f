"""NIfTI masks of images that are no NIfTI: of DICOM in the patient's space, checked against nibabel's DICOM
reader.
"""

import warnings

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # "highly experimental": a second opinion all the same
    from nibabel.nicom import dicomwrappers

BRIGHT = 150
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def by_nibabel(files):
    """{(x, y, z) in 0.01 mm, RAS} of bright pixels of single-frame files: nibabel's affine takes (row,
    column, 0) to LPS.
    """
    points = set()
    for path in files:
        source = pydicom.dcmread(path)
        index = np.argwhere(source.pixel_array >= BRIGHT)
        affine = LPS_TO_RAS @ dicomwrappers.wrapper_from_data(source).affine
        points |= rounded(nibabel.affines.apply_affine(affine, np.c_[index, np.zeros(len(index))]))
    return points


def rounded(points):
    return set(map(tuple, np.round(points * 100).astype(int).tolist()))


def test_masks_of_dicom_lie_where_nibabel_sees_the_bright_pixels(
    run, predict, tmp_path, studies, bright_points, rows_of
):
    result, out, rows = predict(run, tmp_path / "studies", options=["--format", "nifti"])
    assert (
        result.exit_code == 1
        and result.stderr.count("cannot be written as NIfTI, which needs evenly spaced slices: uneven gaps")
        == 1
    ), "the series with gaps"
    for name in ("axial", "backwards", "oblique", "enhanced"):
        mask = nibabel.load(next((out / name).glob("*_mask.nii.gz")))
        points = rounded(nibabel.affines.apply_affine(mask.affine, np.argwhere(np.asarray(mask.dataobj) > 0)))
        own = {(-x, -y, z) for x, y, z in bright_points(studies[name])}
        assert len(own) > 100 and near(points, own), name
        assert name == "enhanced" or near(points, by_nibabel(studies[name])), name
        assert (
            int(mask.header["sform_code"]) == int(mask.header["qform_code"]) == 1
            and mask.header.get_intent()[0] == "label"
        )
        np.testing.assert_allclose(mask.get_qform(), mask.affine, atol=1e-4)
    axial = nibabel.load(next((out / "axial").glob("*_mask.nii.gz")))
    assert "".join(nibabel.aff2axcodes(axial.affine)) == "LPS" and axial.shape == (24, 32, 5)
    chest = nibabel.load(out / "xray" / "chest_mask.nii.gz")
    assert int(chest.header["sform_code"]) == int(chest.header["qform_code"]) == 0
    np.testing.assert_allclose(chest.header.get_zooms()[:2], (0.75, 0.5))
    np.testing.assert_array_equal(
        np.asarray(chest.dataobj)[..., 0].T, pydicom.dcmread(studies["xray"][0]).pixel_array >= BRIGHT
    )
    assert "its NIfTI mask has neither sform nor qform" in result.stdout
    table = {row["volume"].split("/")[0].split(":")[0]: row for row in rows_of(out / "volumes.csv")}
    assert (table["axial"]["nifti"], table["gaps"]["nifti"], table["xray"]["geometry"]) == (
        "axial/im_mask.nii.gz",
        "",
        "none",
    )
    positions(rows, studies)


def near(points, others):
    """Equal but for the last rounded digit."""
    return all(
        any((x + dx, y + dy, z + dz) in others for dx in (-1, 0, 1) for dy in (-1, 0, 1) for dz in (-1, 0, 1))
        for x, y, z in points
    ) and len(points) == len(others)


def positions(rows, studies):
    """position_mm along the normal and z_mm of marks.csv, by the headers."""
    for path in (*studies["oblique"], *studies["backwards"]):
        source = pydicom.dcmread(path)
        row = next(row for row in rows if row["input"] == f"{path.parent.name}/{path.name}")
        direction = np.cross(source.ImageOrientationPatient[:3], source.ImageOrientationPatient[3:])
        assert float(row["position_mm"]) == pytest.approx(
            np.dot(source.ImagePositionPatient, direction), abs=1e-3
        )
        assert float(row["z_mm"]) == pytest.approx(source.ImagePositionPatient[2], abs=1e-3)


def test_a_picture_has_no_place_in_a_patient(run, predict, tmp_path, rng, head):
    pages = head(rng, 3).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    result, out, _ = predict(run, tmp_path / "stack.tif", options=["--format", "nifti"])
    mask = nibabel.load(out / "stack_mask.nii.gz")
    assert (
        result.exit_code == 0
        and int(mask.header["sform_code"]) == 0
        and mask.header.get_xyzt_units()[0] == "unknown"
    )
    np.testing.assert_array_equal(np.asarray(mask.dataobj).transpose(2, 1, 0), pages >= BRIGHT)


def test_texts_of_a_nifti_header_do_not_reach_its_mask(run, predict, tmp_path, rng, head):
    image = nibabel.Nifti1Image(head(rng, 4).T.astype(np.int16), np.diag([1, 2, 3, 1.0]))
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = (
        b"Doe^Jane",
        b"doe.txt",
        b"DOE",
    )
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Jane Doe, born 1950"))
    nibabel.save(image, tmp_path / "scan.nii")
    for options, kept in (([], False), (["--keep-identifiers"], True)):
        _, out, _ = predict(
            run, tmp_path / "scan.nii", options=["--format", "nifti", *options], out=tmp_path / f"out{kept}"
        )
        mask = nibabel.load(out / "scan_mask.nii.gz")
        assert bool(mask.header.extensions) == kept and (b"doe" in mask.header.binaryblock.lower()) == kept
