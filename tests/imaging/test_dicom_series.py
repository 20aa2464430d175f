"""Slices of a series: order, affine, and the ambiguous cases that are refused."""

import re
import shutil

import numpy as np
import pytest

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom import group_series, read_dicom_file, read_dicom_folder


@pytest.fixture
def series(write_slice, tmp_path, ramp):
    """Return a function: series(positions, **elements) -> folder with one file per position.

    File names are in the opposite order of the positions.
    """

    def make(positions, folder="series", **elements):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for number, position in enumerate(positions):
            name = place / f"{chr(ord('z') - number)}.dcm"
            write_slice(
                name,
                ramp(offset=1000 * number),
                ImagePositionPatient=list(position),
                InstanceNumber=number + 1,
                **elements,
            )
        return place

    return make


def axial(heights):
    return [(-10.0, -20.0, height) for height in heights]


def test_slices_are_sorted_by_position_not_by_name_or_number(series):
    volume = read_dicom_folder(series(axial([5, 0, 10, 2.5, 7.5])))
    np.testing.assert_array_equal(volume.array[:, 0, 0, 0], [1000, 3000, 0, 4000, 2000])
    assert [path.name for path in volume.sources] == ["y.dcm", "w.dcm", "z.dcm", "v.dcm", "x.dcm"]
    assert [reference.position[2] for reference in volume.grid.references] == [0, 2.5, 5, 7.5, 10]
    assert volume.spacing_mm == (2.5, 0.5, 0.75)
    assert volume.to_original(volume.array[..., 0]).shape == (5, 12, 10)


def test_bundled_ct_series(bundled):
    """Five real slices are stored from head to feet: InstanceNumber rises while the position falls."""
    folder = bundled("dicomdirtests/98892001/CT5N/2062").parent
    volume = read_dicom_folder(folder)
    assert [path.name for path in volume.sources] == ["3353", "3023", "2693", "2392", "2062"]
    assert volume.spacing_mm == pytest.approx((2.5, 0.488281, 0.488281))
    np.testing.assert_array_equal(volume.array[4], read_dicom_file(folder / "2062").array[0])


def test_affine_maps_voxels_to_the_standards_millimetres(write_slice, tmp_path, ramp):
    """PS3.3 equation C.7.6.2.1-1 holds voxel by voxel for an oblique coronal series, which becomes axial
    slices.
    """
    right, down = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    normal = np.cross(right, down)
    origins = [np.array([1.0, 2.0, 3.0]) + normal * 1.5 * n for n in (2, 0, 1, *range(3, 9))]
    for number, origin in enumerate(origins):
        elements = {
            "ImagePositionPatient": origin.round(6).tolist(),
            "ImageOrientationPatient": [*right, *down],
            "PixelSpacing": [1.0, 0.75],
        }
        write_slice(tmp_path / f"{number}.dcm", ramp(offset=1000 * number), **elements)
    volume = read_dicom_folder(tmp_path)
    assert [path.name for path in volume.sources][:4] == ["1.dcm", "2.dcm", "0.dcm", "3.dcm"]
    assert volume.array.shape == (12, 9, 10, 1) and volume.spacing_mm == pytest.approx((1.0, 1.5, 0.75))
    assert (volume.affine[[2, 1, 0], [0, 1, 2]] > 0).all(), "to the head, to the back, to the left"
    for number in range(9):
        for row, column in ((0, 0), (11, 0), (0, 9), (5, 7)):
            expected = origins[number] + right * 0.75 * column + down * 1.0 * row
            place = np.linalg.solve(volume.affine, [*expected, 1])[:3]
            np.testing.assert_allclose(place, place.round(), atol=1e-4)
            assert volume.array[(*place.round().astype(int), 0)] == 1000 * number + 10 * row + column
    stored = volume.to_original(volume.array[..., 0])
    np.testing.assert_array_equal(stored[0], ramp(offset=1000))


def test_a_single_slice_has_an_affine_too(write_slice, tmp_path, ramp):
    volume = read_dicom_file(write_slice(tmp_path / "a.dcm", ramp(), ImagePositionPatient=[1, 2, 3]))
    np.testing.assert_allclose(volume.affine, [[0, 0, 0.75, 1], [0, 0.5, 0, 2], [2, 0, 0, 3], [0, 0, 0, 1]])
    assert volume.spacing_mm == (2.0, 0.5, 0.75)
    assert volume.to_original(np.ones((1, 12, 10))).shape == (12, 10)


def test_gantry_tilt_shears_the_affine_and_is_noted(series):
    tilt = np.radians(15)
    cosines = [1, 0, 0, 0, float(np.cos(tilt)), float(-np.sin(tilt))]
    folder = series(
        [(0, 0, 4.0 * n) for n in range(4)], ImageOrientationPatient=cosines, GantryDetectorTilt="15"
    )
    volume = read_dicom_folder(folder)
    np.testing.assert_allclose(
        volume.affine[:3, 0], [0, 0, 4], atol=1e-9
    )  # along the table, not along the normal
    assert volume.spacing_mm[0] == pytest.approx(4 * np.cos(tilt))
    assert volume.grid.notes[0].startswith(
        "tilted gantry: slices are sheared by 15.0 degrees against their normal (header: 15)"
    )


def test_tilt_that_only_the_header_knows_is_noted(series):
    notes = read_dicom_folder(series(axial([0, 2, 4]), GantryDetectorTilt="-12.5")).grid.notes
    assert notes == (
        "GantryDetectorTilt is -12.5 degrees, but the positions show no shear: probably corrected by the "
        "scanner",
    )


def test_missing_slice(series):
    with pytest.raises(ImageError, match=r"usually 2.00 mm, but 6.00 mm between w.dcm and v.dcm: 2 missing"):
        read_dicom_folder(series(axial([0, 2, 4, 6, 12, 14])))


def test_missing_slice_of_three(series):
    with pytest.raises(ImageError, match=r"usually 2.00 mm, but 4.00 mm between y.dcm and x.dcm: 1 missing"):
        read_dicom_folder(series(axial([0, 2, 6])))


def test_bundled_series_with_a_hole(bundled):
    with pytest.raises(
        ImageError, match=r"usually 1.25 mm, but 202.50 mm between 17106 and 17136: 161 missing"
    ):
        read_dicom_folder(bundled("dicomdirtests/77654033/CT2/17106").parent)


def test_irregular_gap(series):
    with pytest.raises(
        ImageError,
        match=r"gaps between slices are irregular: usually 2.00 mm, but 2.70 mm between w.dcm and v.dcm\. "
        r"Fetch",
    ):
        read_dicom_folder(series(axial([0, 2, 4, 6, 8.7])))


def test_positions_rounded_to_one_decimal_are_regular(series):
    volume = read_dicom_folder(series(axial(np.round(np.arange(9) * 0.625, 1))))
    assert volume.spacing_mm[0] == pytest.approx(0.625)


def test_two_slices_at_one_position(series):
    with pytest.raises(
        ImageError,
        match=r"2 images at one position \(x.dcm, y.dcm\) that no field of their headers distinguishes.*Keep "
        r"one image per position",
    ):
        read_dicom_folder(series(axial([0, 2, 2, 4])))


def test_an_odd_orientation_is_set_aside_and_named(series, write_slice, ramp):
    folder = series(axial([0, 2, 4]))
    write_slice(folder / "localizer.dcm", ramp(), ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    volume = read_dicom_folder(folder)
    assert len(volume.array) == 3 and volume.grid.notes == (
        "localizer.dcm was set aside: sagittal beside axial slices",
    )


def test_bundled_localizer(bundled):
    folder = bundled("dicomdirtests/98892003/MR700/4467").parent
    with pytest.raises(
        ImageError, match=r"holds 7 volumes, one is needed: 'sagittal' \(1 images\), 'coronal' \(1 images\)"
    ):
        read_dicom_folder(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (14, 10)}, "14 x 10 pixels beside 12 x 10"),
        ({"PixelSpacing": [0.5, 0.9]}, "pixel spacing 0.5 x 0.9 mm beside 0.5 x 0.75 mm"),
        ({"FrameOfReferenceUID": "1.9"}, "another frame of reference"),
        ({"ImagePositionPatient": None}, r"no position in the patient \(a secondary capture or a page\)"),
        ({"shape": (12, 10, 3)}, "a colour picture"),
        (
            {"ImageOrientationPatient": [1, 0, 0, 0, 0.999, -0.04]},
            "another orientation than the other axial slices",
        ),
    ],
)
def test_odd_slices_are_set_aside_and_named(series, write_slice, change, words):
    folder = series(axial([0, 2, 4]))
    shape = change.pop("shape", (12, 10))
    write_slice(
        folder / "odd.dcm",
        np.zeros(shape, np.uint8 if len(shape) == 3 else np.int16),
        **{"ImagePositionPatient": [-10, -20, 6], **change},
    )
    volume = read_dicom_folder(folder)
    assert len(volume.array) == 3 and re.fullmatch(f"odd.dcm was set aside: {words}", volume.grid.notes[0]), (
        volume.grid.notes
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"ImagePositionPatient": [30, -20, 6]},
            r"shifted against one another: .* is \d+.\d+ mm off the line",
        ),
    ],
)
def test_odd_slices_of_the_same_grid_are_named(series, write_slice, ramp, change, words):
    folder = series(axial([0, 2, 4]))
    write_slice(folder / "odd.dcm", ramp(), **{"ImagePositionPatient": [-10, -20, 6], **change})
    with pytest.raises(ImageError, match=words):
        read_dicom_folder(folder)


def test_directions_that_are_not_perpendicular(series):
    with pytest.raises(ImageError, match=r"not two perpendicular directions of length 1"):
        read_dicom_folder(series(axial([0, 2, 4]), ImageOrientationPatient=[1, 0, 0, 1, 0, 0]))


def test_no_positions_at_all_falls_back_to_instance_number(series):
    folder = series([(0, 0, 0)] * 3, ImageOrientationPatient=None)
    volume = read_dicom_folder(folder)
    np.testing.assert_array_equal(volume.array[:, 0, 0, 0], [0, 1000, 2000])
    assert (
        volume.grid.notes == ("slices have no position: ordered by InstanceNumber",) and volume.affine is None
    )


def test_no_positions_and_no_numbers(write_slice, tmp_path, ramp):
    for name in "ab":
        write_slice(tmp_path / f"{name}.dcm", ramp(), ImagePositionPatient=None)
    with pytest.raises(
        ImageError, match=r"neither a position nor an InstanceNumber \(a.dcm, b.dcm\); read them file by file"
    ):
        read_dicom_folder(tmp_path)


def test_several_series_are_listed_and_one_can_be_chosen(series, tmp_path):
    (tmp_path / "tree").mkdir()
    series(axial([0, 2, 4]), folder="tree/one", SeriesInstanceUID="1.2.1")
    series(axial([0, 3]), folder="tree/two", SeriesInstanceUID="1.2.2")
    with pytest.raises(
        ImageError,
        match=r"holds 2 DICOM series, one is needed: 1.2.1 \(3 files, e.g. one.x.dcm\), 1.2.2 \(2 "
        r"files.*series=UID",
    ):
        read_dicom_folder(tmp_path / "tree")
    assert read_dicom_folder(tmp_path / "tree", series="1.2.2").spacing_mm[0] == 3
    with pytest.raises(ImageError, match="no series 9; it holds 1.2.1, 1.2.2"):
        read_dicom_folder(tmp_path / "tree", series="9")
    assert [len(files) for files in group_series(tmp_path / "tree").values()] == [3, 2]


def test_other_files_in_the_folder_are_passed_over(series, bundled):
    folder = series(axial([0, 2, 4]))
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0 thumbs")
    (folder / "README.txt").write_text("exported on Monday")
    shutil.copy(bundled("dicomdirtests/DICOMDIR"), folder)
    shutil.copy(bundled("reportsi.dcm"), folder)
    assert read_dicom_folder(folder).array.shape == (3, 12, 10, 1)


def test_a_truncated_slice_in_a_series_is_named(series):
    folder = series(axial([0, 2, 4]))
    content = (folder / "y.dcm").read_bytes()
    (folder / "y.dcm").write_bytes(content[:-40])
    with pytest.raises(
        ImageError,
        match=r"y.dcm: pixel data .* cannot be read: The number of bytes of pixel data is less than expected",
    ):
        read_dicom_folder(folder)


def test_a_folder_without_dicom(tmp_path):
    with pytest.raises(ImageError, match="no DICOM image in this folder .it is empty."):
        read_dicom_folder(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match="no DICOM image in this folder .1 .png."):
        read_dicom_folder(tmp_path)


def test_enhanced_multi_frame_has_geometry_and_a_way_back(write_enhanced, tmp_path):
    pixels = np.arange(4 * 8 * 9, dtype=np.uint16).reshape(4, 8, 9)
    volume = read_dicom_file(
        write_enhanced(tmp_path / "a.dcm", pixels, [(1, 2, height) for height in (9, 0, 6, 3)])
    )
    np.testing.assert_array_equal(volume.array[..., 0], pixels[[1, 3, 2, 0]])
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), pixels)
    np.testing.assert_allclose(
        volume.affine, [[0, 0, 0.8, 1], [0, 0.9, 0, 2], [3, 0, 0, 0], [0, 0, 0, 1]], atol=1e-9
    )
    assert [reference.frame for reference in volume.grid.references] == [1, 3, 2, 0]


def test_enhanced_multi_frame_with_a_missing_slice(write_enhanced, tmp_path):
    pixels = np.zeros((4, 8, 9), np.uint16)
    path = write_enhanced(tmp_path / "a.dcm", pixels, [(0, 0, height) for height in (0, 3, 6, 12)])
    with pytest.raises(ImageError, match="6.00 mm between a.dcm frame 3 and a.dcm frame 4: 1 missing"):
        read_dicom_file(path)


def test_frames_that_the_header_does_not_describe(write_enhanced, tmp_path):
    path = write_enhanced(tmp_path / "a.dcm", np.zeros((4, 8, 9), np.uint16), [(0, 0, 0), (0, 0, 3)])
    with pytest.raises(ImageError, match="NumberOfFrames is 4, but it describes 2 frames"):
        read_dicom_file(path)
