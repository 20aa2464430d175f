"""Masks of volumes that are stored in another orientation.

A DICOM-SEG that was written on the stored slices is read back on the turned ones.
"""

import pytest


@pytest.mark.parametrize("storage", ["axial", "sagittal", "coronal", "prone"])
def test_a_segmentation_of_a_turned_series_measures_dice_1(
    bright_run, command, marked, write_series, seg_points, bright_points, tmp_path, storage
):
    study = tmp_path / "studies" / storage
    write_series(study, storage)
    call = marked(bright_run, study, formats="dicom-seg")
    (segmentation,) = call.out.rglob("*_seg.dcm")
    assert call.code == 0 and seg_points(segmentation) == bright_points
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"image,patient,label,mask\n{study},p,1,{segmentation}\n")
    measured = command(
        "evaluate", bright_run, "--data", manifest, "--out", tmp_path / "figures", out=tmp_path / "figures"
    )
    assert measured.code == 0, measured.stdout + measured.stderr
    (row,) = measured.table("patients.csv")
    assert float(row["dice"]) == 1.0 and int(row["truth_px"]) == len(bright_points)


@pytest.mark.parametrize(("shift", "code"), [(0.0, 0), (0.2, 0), (7.0, 2)])
def test_a_nifti_mask_that_lies_elsewhere_is_refused(bright_run, command, tmp_path, shift, code):
    """The same shape is not the same place: 7 mm aside is another one, rounding is not."""
    nibabel = pytest.importorskip("nibabel")
    np = pytest.importorskip("numpy")
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    image = np.full((24, 24, 6), 20, np.int16)
    image[8:14, 8:14, 2:4] = 400
    nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / "scan.nii.gz")
    moved = affine.copy()
    moved[0, 3] += shift
    nibabel.save(nibabel.Nifti1Image((image > 100).astype(np.uint8), moved), tmp_path / "mask.nii.gz")
    (tmp_path / "manifest.csv").write_text("image,patient,label,mask\nscan.nii.gz,p,1,mask.nii.gz\n")
    call = command("evaluate", bright_run, "--data", tmp_path / "manifest.csv", "--out", tmp_path / "figures")
    assert call.code == code, call.stdout + call.stderr
    if code:
        assert "mask.nii.gz: the mask lies up to 7.0 mm away from its image" in call.stderr
