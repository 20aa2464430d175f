"""Masks of volumes that are stored in another orientation: DICOM-SEG that was written on the stored slices is read back on the turned ones."""

import pytest


@pytest.mark.parametrize("storage", ["axial", "sagittal", "coronal", "prone"])
def test_a_segmentation_of_a_turned_series_measures_dice_1(bright_run, command, marked, write_series, seg_points, bright_points, tmp_path, storage):
    study = tmp_path / "studies" / storage
    write_series(study, storage)
    call = marked(bright_run, study, formats="dicom-seg")
    (segmentation,) = call.out.rglob("*_seg.dcm")
    assert call.code == 0 and seg_points(segmentation) == bright_points
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"image,patient,label,mask\n{study},p,1,{segmentation}\n")
    measured = command("evaluate", bright_run, "--data", manifest, "--out", tmp_path / "figures", out=tmp_path / "figures")
    assert measured.code == 0, measured.stdout + measured.stderr
    (row,) = measured.table("patients.csv")
    assert float(row["dice"]) == 1.0 and int(row["truth_px"]) == len(bright_points)
