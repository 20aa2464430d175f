"""Sheared grids as NIfTI, tiles, films, enhanced objects, TIFF orientation (rows G6, G7, G9 of issue 16)."""

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image, ImageOps
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.readers import read_volume

ULTRASOUND_FILM = "1.2.840.10008.5.1.4.1.1.3.1"


def test_g6_a_tilted_gantry_leaves_the_qform_empty(
    bright_run, marked, store, write_series, tmp_path, nifti_points, png_points
):
    tilted = store("axial")
    angle = np.radians(15)
    tilted.cosines = np.r_[1, 0, 0, 0, np.cos(angle), -np.sin(angle)]
    write_series(tmp_path / "in" / "tilted", tilted)
    write_series(tmp_path / "in" / "straight", "axial")
    call = marked(bright_run, tmp_path / "in", formats="nifti,png")
    assert call.code == 0, call.stderr
    masks = {
        name: nibabel.load(next((call.out / name).glob("*_mask.nii.gz"))) for name in ("tilted", "straight")
    }
    assert int(masks["tilted"].header["qform_code"]) == 0 and int(masks["tilted"].header["sform_code"]) == 1
    assert int(masks["straight"].header["qform_code"]) == 1 and np.allclose(
        masks["straight"].get_qform(), masks["straight"].get_sform()
    )
    rows = call.table("marks.csv")
    for name in masks:
        own = [row for row in rows if row["input"].startswith(name)]
        for row in own:
            row["mask"] = row["mask"] or ""
        assert nifti_points(next((call.out / name).glob("*_mask.nii.gz"))) == png_points(
            call.out, own, tmp_path / "in"
        ), name
    assert "qform_code 0, because a qform cannot represent it" in call.stdout
    itk = pytest.importorskip("SimpleITK")
    try:
        image = itk.ReadImage(str(next((call.out / "tilted").glob("*_mask.nii.gz"))))
    except (
        RuntimeError
    ) as error:  # ITK knows no shear and refuses what is not orthonormal: better than 14 mm off
        assert "orthonormal" in str(error)
    else:
        assert image.GetSize() == (32, 32, 20)


@pytest.mark.parametrize("how", ["image type", "private element"])
def test_g7_a_siemens_mosaic_is_refused(how, write_image, tmp_path):
    path = write_image(
        tmp_path / "mosaic.dcm",
        np.zeros((96, 96)),
        ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC" if how == "image type" else "ND"],
    )
    if how == "private element":
        dataset = pydicom.dcmread(path)
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 9)
        dataset.save_as(path)
    with pytest.raises(
        ImageError,
        match=r"a Siemens mosaic: one picture that shows .* side by side. Convert it with `dcm2niix`",
    ):
        read_volume(path)


@pytest.mark.parametrize(
    "elements", [{"SOPClassUID": ULTRASOUND_FILM, "Modality": "US"}, {"FrameTime": 33.0, "Modality": "RF"}]
)
def test_g7_a_film_is_refused(elements, write_image, tmp_path):
    path = write_image(tmp_path / "film.dcm", np.zeros((12, 32, 32)), NumberOfFrames=12, **elements)
    with pytest.raises(
        ImageError, match=r"film.dcm: a film of 12 frames \(.*\), one moment each, not the slices of a volume"
    ):
        read_volume(path)


def enhanced(path, stored, write_image, echo_times=None):
    """An enhanced MR object whose frames are the slices of `stored`, in an order of no help."""
    order = np.argsort(
        np.arange(len(stored.images)) * 7 % len(stored.images) + np.arange(len(stored.images)) / 1000
    )
    shared, frames = Dataset(), []
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient, measures.PixelSpacing, measures.SliceThickness = (
        list(stored.cosines),
        list(map(float, stored.spacing)),
        float(stored.thickness),
    )
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    for number in order:
        frame, plane, echo = Dataset(), Dataset(), Dataset()
        plane.ImagePositionPatient = [float(value) for value in stored.positions[number]]
        frame.PlanePositionSequence = [plane]
        if echo_times is not None:
            echo.EffectiveEchoTime = echo_times[number]
            frame.MREchoSequence = [echo]
        frames.append(frame)
    groups = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": frames}
    return write_image(
        path, stored.images[order], SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=len(order), **groups
    )


@pytest.mark.parametrize("storage", ["axial", "prone", "sagittal", "coronal_reversed"])
def test_g7_an_enhanced_object_is_unpacked(storage, head, store, write_image, tmp_path):
    path = enhanced(tmp_path / "enhanced.dcm", store(storage), write_image)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array[..., 0], head)
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), pydicom.dcmread(path).pixel_array)
    np.testing.assert_allclose(volume.affine @ [0, 0, 0, 1], [-20, -31, 7, 1], atol=1e-6)


def test_g7_masks_of_a_sagittal_enhanced_object_lie_on_its_frames(
    bright_run, marked, store, write_image, tmp_path, bright_points, nifti_points, seg_points
):
    enhanced(tmp_path / "in" / "enhanced.dcm", store("sagittal"), write_image)
    call = marked(bright_run, tmp_path / "in", formats="nifti,dicom-seg")
    assert call.code == 0, call.stderr
    assert (
        nifti_points(call.out / "enhanced_mask.nii.gz")
        == bright_points
        == seg_points(call.out / "enhanced_seg.dcm")
    )
    rows = call.table("marks.csv")
    assert sorted(int(row["slice"]) for row in rows) == list(range(32)) and all(
        row["slice"] == row["frame"] for row in rows
    )


def test_g7_several_volumes_in_one_enhanced_object_are_refused(store, write_image, tmp_path):
    twice = store("axial")
    twice.images, twice.positions = (
        np.concatenate([twice.images, twice.images + 5]),
        np.concatenate([twice.positions] * 2),
    )
    path = enhanced(tmp_path / "enhanced.dcm", twice, write_image, echo_times=[20.0] * 20 + [80.0] * 20)
    with pytest.raises(
        ImageError,
        match=r"holds 2 volumes, .*'echo time 20 ms' \(20 images\), 'echo time 80 ms' \(20 images\). "
        r"Convert the file with",
    ):
        read_volume(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(12, 20), (12, 20, 3)])
def test_g9_the_orientation_of_a_tiff_is_applied(orientation, shape, tmp_path, rng):
    pixels = rng.integers(0, 255, shape).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        pixels,
        extratags=[(274, "H", 1, orientation, True)],
        photometric="rgb" if len(shape) == 3 else "minisblack",
    )
    exif = Image.Exif()
    exif[274] = orientation
    plain = Image.fromarray(pixels)
    plain.info["exif"] = exif.tobytes()
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array[0].squeeze(), expected)
    np.testing.assert_array_equal(volume.array, read_volume(tmp_path / "a.png").array)
    assert volume.grid.shape == expected.shape[:2]


@pytest.mark.parametrize("orientation", [2, 5, 6, 8])
def test_g9_also_where_pillow_decodes(orientation, tmp_path, rng):
    """CCITT fax, which tifffile leaves to Pillow, and Pillow applies the tag by itself."""
    pixels = rng.random((16, 40)) > 0.5
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="group4", tiffinfo={274: orientation})
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        read_volume(tmp_path / "a.tif").array, read_volume(tmp_path / "a.png").array
    )


def test_g9_pages_and_masks_turn_alike(tmp_path, rng):
    pages = rng.integers(0, 255, (3, 12, 20)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "pages.tif", pages, extratags=[(274, "H", 1, 6, False)], photometric="minisblack"
    )
    np.testing.assert_array_equal(
        read_volume(tmp_path / "pages.tif").array[..., 0], np.rot90(pages, -1, axes=(1, 2))
    )
    tifffile.imwrite(
        tmp_path / "first.tif", pages, extratags=[(274, "H", 1, 6, True)], photometric="minisblack"
    )
    with pytest.raises(ImageError, match=r"first.tif: its pages have the orientations \[1, 6\]"):
        read_volume(tmp_path / "first.tif")
