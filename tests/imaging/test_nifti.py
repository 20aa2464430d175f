"""NIfTI of any orientation, written by nibabel and compared with nibabel's own reorientation."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.nifti import read_nifti

ORIENTATIONS = [
    codes
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for codes in ("".join(signs) for signs in itertools.product(*axes))
]


def save(
    path,
    array,
    codes="RAS",
    zooms=(2.0, 3.0, 4.0),
    kind=nibabel.Nifti1Image,
    origin=(10.0, -20.0, 30.0),
    **header,
):
    """Write a NIfTI file whose stored axes point to `codes`, with voxel sizes along R, A, S."""
    affine = np.eye(4)
    for axis, code in enumerate(codes):
        place = ["RL", "AP", "SI"].index(next(pair for pair in ("RL", "AP", "SI") if code in pair))
        affine[:, axis] = 0
        affine[place, axis] = zooms[place] if code in "RAS" else -zooms[place]
    affine[:3, 3] = origin
    image = kind(array, affine)
    for field, value in header.items():
        image.header[field] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_reads_alike_and_goes_back(tmp_path, codes, rng):
    stored = rng.integers(0, 1000, (9, 10, 11)).astype(np.int16)
    path = save(tmp_path / "a.nii", stored, codes)
    volume = read_nifti(path)
    canonical = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)  # (R, A, S)
    expected = canonical.transpose(2, 1, 0)[:, ::-1, ::-1]  # S, P, L
    np.testing.assert_array_equal(volume.array[..., 0], expected)
    assert volume.spacing_mm == (4.0, 3.0, 2.0)
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), stored)


@pytest.mark.parametrize("codes", ["RAS", "PIR", "ASL"])
def test_affine_says_where_each_voxel_is_in_lps(tmp_path, codes, rng):
    stored = rng.integers(0, 30000, (9, 10, 11)).astype(np.int16)
    path = save(tmp_path / "a.nii.gz", stored, codes)
    volume, image = read_nifti(path), nibabel.load(path)
    for index in ((0, 0, 0), (8, 9, 10), (3, 4, 5)):
        ras = image.affine @ [*index, 1]
        place = np.linalg.solve(volume.affine, [-ras[0], -ras[1], ras[2], 1])[:3]
        np.testing.assert_allclose(place, place.round(), atol=1e-6)
        assert volume.array[(*place.round().astype(int), 0)] == stored[index]


def test_oblique_goes_to_the_nearest_axes(tmp_path, rng):
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 2.0, 3.0])
    stored = rng.random((9, 10, 11)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    assert volume.array.shape == (11, 10, 9, 1)
    np.testing.assert_allclose(volume.spacing_mm, (3, 2, 1), rtol=1e-6)
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), stored)


def test_four_dimensions_are_channels(tmp_path, rng):
    stored = rng.random((9, 10, 11, 4)).astype(np.float32)
    volume = read_nifti(save(tmp_path / "a.nii.gz", stored, "LPS"))
    np.testing.assert_array_equal(volume.array, stored.transpose(2, 1, 0, 3))
    assert volume.to_original(volume.array[..., 2]).shape == (9, 10, 11)


def test_two_dimensions_are_one_slice(tmp_path, ramp):
    volume = read_nifti(save(tmp_path / "a.nii", ramp(), "LPS"))
    np.testing.assert_array_equal(volume.array[0, ..., 0], ramp().T)
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), ramp())


def test_scaled_values(tmp_path, rng):
    path = tmp_path / "a.nii"
    image = nibabel.Nifti1Image(rng.integers(0, 99, (9, 9, 9)).astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, path)
    expected = nibabel.load(path).get_fdata()
    np.testing.assert_allclose(
        np.sort(read_nifti(path).array.ravel()), np.sort(expected.ravel()).astype(np.float32)
    )


def test_rgb_type(tmp_path):
    stored = np.zeros((9, 10, 11), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    stored["G"] = 7
    volume = read_nifti(save(tmp_path / "a.nii", stored))
    assert volume.array.shape == (11, 10, 9, 3)
    assert volume.array[0, 0, 0].tolist() == [0, 7, 0]


def test_nifti2_and_big_endian(tmp_path, ramp):
    stored = np.stack([ramp()] * 9, axis=-1)
    second = read_nifti(save(tmp_path / "b.nii", stored, kind=nibabel.Nifti2Image))
    big = nibabel.Nifti1Image(stored, np.diag([2, 3, 4, 1.0]), nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "c.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "c.nii").array, second.array)


def test_without_sform_and_qform(tmp_path, rng):
    image = nibabel.Nifti1Image(rng.random((9, 10, 11)).astype(np.float32), None)
    image.header.set_zooms((2, 2, 5))
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    assert volume.affine is None and volume.spacing_mm is None
    assert volume.grid.notes == (
        "neither sform nor qform: orientation and spacing are not known, axes taken as stored",
    )


def test_mask_follows_its_image_whatever_its_orientation(tmp_path, rng):
    marked = (rng.random((9, 10, 11)) > 0.8).astype(np.uint8)
    image = read_nifti(save(tmp_path / "image.nii", marked * 100, "RAS", origin=(0, 0, 0)))
    turned = nibabel.load(tmp_path / "image.nii").as_reoriented(
        nibabel.orientations.axcodes2ornt(("P", "S", "L"))
    )
    nibabel.save(nibabel.Nifti1Image(np.asarray(turned.dataobj) // 100, turned.affine), tmp_path / "mask.nii")
    assert nibabel.load(tmp_path / "mask.nii").shape != (9, 10, 11)
    mask = read_mask(tmp_path / "mask.nii", like=image).values
    assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 1}
    np.testing.assert_array_equal(mask, image.array[..., 0] == 100)


def test_mask_beside_its_image(tmp_path):
    image = read_nifti(save(tmp_path / "image.nii", np.ones((9, 10, 11), np.uint8)))
    moved = save(tmp_path / "mask.nii", np.ones((9, 10, 11), np.uint8), origin=(10, -20, 42))
    with pytest.raises(ImageError, match="the mask lies up to 12.0 mm away from its image"):
        read_mask(moved, like=image)
    small = save(tmp_path / "small.nii", np.ones((9, 10, 8), np.uint8))
    with pytest.raises(
        ImageError, match=r"a mask of \(8, 10, 9\) slices, rows, columns for an image of \(11, 10, 9\)"
    ):
        read_mask(small, like=image)


def test_nan_values_are_counted(tmp_path):
    values = np.zeros((9, 10, 11), np.float32)
    values[2, 3, 4:7], values[0, 0, 0] = np.nan, np.inf
    with pytest.raises(ImageError, match="3 NaN and 1 infinite values of 990; images must be finite"):
        read_nifti(save(tmp_path / "a.nii.gz", values))


def test_complex_and_too_many_dimensions(tmp_path):
    with pytest.raises(ImageError, match="holds complex numbers"):
        read_nifti(save(tmp_path / "a.nii", np.zeros((9, 9, 9), np.complex64)))
    with pytest.raises(ImageError, match=r"an array of shape \(9, 9, 9, 2, 3\)"):
        read_nifti(save(tmp_path / "b.nii", np.zeros((9, 9, 9, 2, 3), np.float32)))


def test_an_affine_of_zeros(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((9, 9, 9), np.float32), np.eye(4))
    image.header["sform_code"], image.header["srow_x"] = 1, 0
    nibabel.save(image, tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[280:328] = bytes(48)  # srow_x, srow_y, srow_z
    (tmp_path / "a.nii").write_bytes(bytes(raw))
    with pytest.raises(ImageError, match="its affine cannot be inverted"):
        read_nifti(tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_cut_off(tmp_path, rng, suffix):
    content = save(tmp_path / f"a{suffix}", rng.random((20, 20, 20)).astype(np.float32)).read_bytes()
    for share in (0.3, 0.9):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageError, match=f"cut{suffix}: damaged or cut off NIfTI data"):
            read_nifti(path)


def test_a_header_that_announces_too_much(tmp_path):
    raw = bytearray(save(tmp_path / "a.nii", np.zeros((9, 9, 9), np.uint8)).read_bytes())
    raw[42:48] = np.array([1000, 1000, 1000], "<i2").tobytes()
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(
        ImageError, match="announces 1,000,000,000 bytes of pixels, more than its .* bytes can hold"
    ):
        read_nifti(tmp_path / "bomb.nii.gz")
    raw[42:48] = np.array([32000, 32000, 32000], "<i2").tobytes()
    (tmp_path / "bomb.nii").write_bytes(bytes(raw))
    with pytest.raises(ImageError, match="too large: it announces 32000 slices of 32000 x 32000 pixels"):
        read_nifti(tmp_path / "bomb.nii")
