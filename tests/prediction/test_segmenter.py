"""clamnet_tf.Segmenter gives, bit by bit, what `clamnet-tf predict` writes."""

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

import clamnet_tf
from clamnet_tf.errors import DataError, ImageError, RunError, UserInputError


@pytest.fixture(scope="module")
def model(run):
    return clamnet_tf.Segmenter.from_preset(run, any_modality=True)


def mask_of(out):
    (path,) = out.rglob("*_mask.nii.gz")
    return nibabel.load(path)


def test_a_nifti_file_is_marked_as_the_command_marks_it(model, run, predict, tmp_path, rng, head):
    affine = np.array([[0, -0.75, 0, 10], [0.5, 0, 0, -4], [0, 0, 2.5, 7], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(head(rng, 4).transpose(1, 2, 0).astype(np.int16), affine)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    _, out, rows = predict(run, tmp_path / "scan.nii.gz")
    result = model.predict(tmp_path / "scan.nii.gz")
    saved = result.save(tmp_path / "mine.nii.gz")
    theirs, mine = mask_of(out), nibabel.load(saved)
    np.testing.assert_array_equal(np.asarray(mine.dataobj), np.asarray(theirs.dataobj))
    np.testing.assert_array_equal(mine.affine, affine)
    plain = nibabel.load(result.save(tmp_path / "mine.nii"))
    np.testing.assert_array_equal(np.asarray(plain.dataobj), np.asarray(theirs.dataobj))
    assert result.mask.sum() == sum(int(row["marked_px"]) for row in rows) > 0
    assert result.score == pytest.approx(max(float(row["presence_score"]) for row in rows), abs=1e-6)
    assert result.volume_ml == pytest.approx(result.mask.sum() * 0.75 * 0.5 * 2.5 / 1000)
    assert result.probability.shape == (*result.mask.shape, 1) and result.probability.dtype == np.float32
    np.testing.assert_array_equal(result.probability[..., 0] >= 0.5, result.mask > 0)
    with pytest.raises(DataError, match="a PNG holds one slice; received 4 slices"):
        result.save(tmp_path / "mine.png")
    with pytest.raises(DataError, match="expected a DICOM image"):
        result.save(tmp_path / "mine.dcm")
    with pytest.raises(UserInputError, match="expected a name that ends with .nii.gz"):
        result.save(tmp_path / "mine.tif")
    with pytest.raises(UserInputError, match="does not exist; create it first"):
        result.save(tmp_path / "nowhere" / "mine.nii.gz")


def test_a_dicom_series_becomes_the_same_segmentation(model, run, predict, tmp_path, rng, head, write_series):
    write_series(tmp_path / "series", head(rng, 3))
    _, out, _ = predict(run, tmp_path / "series", options=["--format", "dicom-seg"])
    result = model.predict(tmp_path / "series")
    saved = pydicom.dcmread(result.save(tmp_path / "mine.dcm"))
    (path,) = out.rglob("*_seg.dcm")
    theirs = pydicom.dcmread(path)
    np.testing.assert_array_equal(saved.pixel_array, theirs.pixel_array)
    assert saved.SOPInstanceUID == theirs.SOPInstanceUID, "UIDs follow from images, model and settings"
    assert result.spacing_mm == (2.5, 0.5, 0.75)


def test_an_array_is_marked_as_its_file(model, run, predict, tmp_path, rng, head):
    array = head(rng, 3).astype(np.float32)
    np.save(tmp_path / "array.npy", array)
    _, out, _ = predict(run, tmp_path / "array.npy", options=["--format", "nifti"])
    result = model.predict(array, spacing=(2.5, 0.5, 0.75))
    theirs = np.asarray(mask_of(out).dataobj)
    np.testing.assert_array_equal(result.mask, theirs.transpose(2, 1, 0))
    saved = nibabel.load(result.save(tmp_path / "mine.nii.gz"))
    np.testing.assert_array_equal(np.asarray(saved.dataobj), theirs)
    np.testing.assert_allclose(saved.header.get_zooms(), (0.75, 0.5, 2.5))
    assert result.volume_ml == pytest.approx(result.mask.sum() * 2.5 * 0.5 * 0.75 / 1000)
    assert model.predict(array).volume_ml is None, "no spacing, no ml"
    np.testing.assert_array_equal(model.predict(tmp_path / "array.npy").mask, result.mask)


def test_pictures_of_two_and_three_axes(model, run, predict, tmp_path, rng, head):
    gray = head(rng, 1)[0].astype(np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    _, out, _ = predict(run, tmp_path / "gray.png")
    (path,) = out.rglob("*_mask.png")
    saved = model.predict(gray).save(tmp_path / "mine.png")
    np.testing.assert_array_equal(np.asarray(Image.open(saved)), np.asarray(Image.open(path)))
    colour = np.repeat(gray[..., None], 3, axis=-1)
    of_colour = model.predict(colour)
    np.testing.assert_array_equal(of_colour.mask, model.predict(gray).mask)
    assert any("gray stored in several equal channels" in note for note in of_colour.notes)
    assert model.predict(gray, spacing=(0.5, 0.75)).area_mm2 == pytest.approx(
        model.predict(gray).mask.sum() * 0.5 * 0.75
    )


def test_preprocess_is_what_the_network_sees(model, tmp_path, rng, head):
    import tensorflow as tf

    array = head(rng, 3).astype(np.float32)
    np.save(tmp_path / "array.npy", array)
    prepared = model.preprocess(array)
    assert prepared.shape == (3, model.side, model.side, 1) and prepared.dtype == np.float16
    np.testing.assert_array_equal(prepared, model.preprocess(tmp_path / "array.npy"))
    (from_map,) = tf.data.Dataset.from_tensors(array).map(model.preprocess_map())
    np.testing.assert_array_equal(from_map, prepared)


def test_a_list_gives_a_list(model, tmp_path, rng, head):
    array = head(rng, 2).astype(np.float32)
    (tmp_path / "two").mkdir()
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / "two" / name, array)
    results = model.predict([array, tmp_path / "two"])
    assert [result.name for result in results] == ["array", "a.npy", "b.npy"]
    for result in results[1:]:
        np.testing.assert_array_equal(result.mask, results[0].mask)
    with pytest.raises(DataError, match="expected one image or volume; received 2"):
        model.predict(tmp_path / "two")


def test_what_cannot_be_marked_is_refused(model, run, tmp_path, rng):
    with pytest.raises(UserInputError, match="expected a path, a NumPy array or a list"):
        model.predict({"image": 1})
    with pytest.raises(DataError, match="expects 1 channel"):
        model.predict(rng.random((2, 32, 24, 2)))
    with pytest.raises(ImageError, match="1 NaN"):
        model.predict(np.where(np.arange(768).reshape(32, 24) == 5, np.nan, 1.0))
    with pytest.raises(DataError, match="expected integers, floats or booleans; received complex128"):
        model.predict(np.ones((32, 24), complex))
    with pytest.raises(DataError, match="received a masked array"):
        model.predict(np.ma.masked_greater(rng.random((32, 24)), 0.5))
    with pytest.raises(ImageError, match="2, 3 or 4 axes"):
        model.predict(np.ones(32))
    for spacing in ((1, 2), (0, 1, 1), (1, float("nan"), 1)):
        with pytest.raises(UserInputError, match="spacing: expected the distances"):
            model.predict(np.ones((4, 32, 24)), spacing=spacing)
    np.save(tmp_path / "a.npy", np.ones((32, 24)))
    with pytest.raises(UserInputError, match="spacing: is for arrays"):
        model.predict(tmp_path / "a.npy", spacing=(1, 1))
    with pytest.raises(RunError):
        clamnet_tf.Segmenter.from_preset(tmp_path)


def test_a_ct_model_refuses_arrays_that_are_not_hounsfield_units(rng):
    model = clamnet_tf.Segmenter.from_preset("ct_trauma")
    with pytest.raises(DataError, match="Hounsfield"):
        model.predict(rng.random((6, 64, 64)))


def test_an_array_gets_the_notes_of_its_file(write_run, predict, tmp_path, rng):
    """A CT model of any unit: what is no CT is said, for a file and for an array alike."""
    ct = write_run(tmp_path / "run", 150, normalization="none", modality="ct")
    array = 3000 * rng.random((3, 40, 40))
    np.save(tmp_path / "scan.npy", array)
    model = clamnet_tf.Segmenter.from_preset(ct)
    (of_array,), (of_file,) = model.predict(array).notes, model.predict(tmp_path / "scan.npy").notes
    assert of_array.partition(": ")[2] == of_file.partition(": ")[2]
    assert "ATTENTION: is this a CT?" in of_array


@pytest.mark.parametrize("change", ["float16", ">f4", "F", "channel"])
def test_how_an_array_is_stored_does_not_matter(model, rng, head, change):
    array = head(rng, 3).astype(np.float32)
    stored = {
        "float16": lambda: array.astype(np.float16),
        ">f4": lambda: array.astype(">f4"),
        "F": lambda: np.asfortranarray(array),
        "channel": lambda: array[..., None],
    }[change]()
    np.testing.assert_array_equal(model.predict(stored).mask, model.predict(array).mask)
