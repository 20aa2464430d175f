"""Corrected masks of every format come back onto the slices that they were drawn on, or are refused by name.

The truth is known: the run marks what is bright. A correction adds one pixel and erases one.
"""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.schema_data import DataSection, OrganSection
from clamnet_tf.workflows.corrections import store_corrections, with_corrections

BRIGHT = 150
ADDED, ERASED = (25, 17), (4, 4)  # row, column of the pixels that a person changed in one slice
SAGITTAL = (0, 1, 0, 0, 0, -1)
SECTIONS = {"data": DataSection(side=32), "organ": OrganSection(method="none", margin=0.0)}


def cases_of(files, split="train"):
    return [Case(path, "p", 1, series="s", position=float(n), split=split) for n, path in enumerate(files)]


def masks_after(folder, root, cases, tmp_path):
    """{file: planes} of the corrected masks, through the run's store and the only way to masks."""
    manifest = Manifest(root, tuple(cases))
    store = tmp_path / "run" / "corrections"
    store.parent.mkdir(exist_ok=True)
    store_corrections(folder, store, manifest, load_recipe("mri_carcinoma"), Reporter(quiet=True))
    corrected = with_corrections(manifest, store)
    prepared = prepare(corrected, **SECTIONS, cache=tmp_path / "cache")
    rows = np.arange(len(prepared.table))
    found = {}
    for row, mask in zip(rows, open_masks(corrected, prepared, rows, "supervision", "original")):
        image = corrected.cases[prepared.table.case[row]].image
        found.setdefault(image, []).append(mask)
    return found


def truth_of(path, changed):
    bright = (pydicom.dcmread(path).pixel_array >= BRIGHT).astype(np.uint8)
    if changed:
        bright[ADDED], bright[ERASED] = 1, 0
    return bright


def voxel_of(affine, path, pixel):
    """The voxel of a NIfTI mask at a pixel of a DICOM file, by the headers of both."""
    source = pydicom.dcmread(path)
    right, down = np.array(source.ImageOrientationPatient, float).reshape(2, 3)
    rows, columns = (float(value) for value in source.PixelSpacing)
    place = np.array(source.ImagePositionPatient, float) + pixel[1] * columns * right + pixel[0] * rows * down
    return tuple(np.round(np.linalg.inv(affine) @ [-place[0], -place[1], place[2], 1]).astype(int)[:3])


@pytest.fixture
def copied(run, predict, tmp_path):
    """copied(format, source, pattern): the masks of predict, copied into a folder of their own."""

    def copy(kind, source, pattern):
        result, out, _ = predict(run, source, options=["--format", kind])
        assert result.exit_code == 0, result.output
        files = list(out.rglob(pattern))
        assert files
        for path in files:
            target = tmp_path / "corrected" / path.relative_to(out)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        return tmp_path / "corrected"

    return copy


def test_pictures_of_dicom_slices(copied, studies, tmp_path):
    files = studies["axial"]
    folder = copied("png", tmp_path / "studies" / "axial", "*_mask.png")
    changed, left_out = folder / f"{files[2].stem}_mask.png", folder / f"{files[4].stem}_mask.png"
    mask = np.asarray(Image.open(changed)).copy()
    mask[ADDED], mask[ERASED] = 255, 0
    Image.fromarray(mask).save(changed)
    left_out.unlink()
    found = masks_after(folder, tmp_path / "studies", cases_of(files), tmp_path)
    for path in files[:4]:
        np.testing.assert_array_equal(found[path][0], truth_of(path, path == files[2]))
    assert found[files[4]] == [None]


@pytest.mark.parametrize("name", ["axial", "backwards", "oblique"])
def test_nifti_of_a_dicom_series(copied, studies, tmp_path, name):
    files = studies[name]
    folder = copied("nifti", tmp_path / "studies" / name, "*_mask.nii.gz")
    [path] = folder.rglob("*.nii.gz")
    image = nibabel.load(path)
    values = np.asarray(image.dataobj).copy()
    values[voxel_of(image.affine, files[1], ADDED)], values[voxel_of(image.affine, files[1], ERASED)] = 1, 0
    saved = nibabel.Nifti1Image(values, image.affine)
    if name == "oblique":  # a viewer may store it turned
        saved = saved.as_reoriented(nibabel.orientations.axcodes2ornt(("R", "A", "S")))
    nibabel.save(saved, path)
    found = masks_after(folder, tmp_path / "studies", cases_of(files), tmp_path)
    for file in files:
        np.testing.assert_array_equal(found[file][0], truth_of(file, file == files[1]))
    moved = image.affine.copy()
    moved[2, 3] += 2.0
    nibabel.save(nibabel.Nifti1Image(values, moved), path)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(DataError, match=r"_mask.nii.gz: lies up to 2.0 mm away from its series"):
        masks_after(folder, tmp_path / "studies", cases_of(files), tmp_path)


@pytest.mark.parametrize("kind", ["png", "nifti"])
def test_sagittal_folders(copied, write_series, rng, head, tmp_path, kind):
    images = head(rng, 9)
    files = write_series(tmp_path / "sagittal", images, orientation=SAGITTAL)
    folder = copied(kind, tmp_path / "sagittal", "*_mask.*")
    for path in folder.rglob("*.png"):  # marks of turned slices are resized: the correction is drawn anew
        bright = truth_of(tmp_path / "sagittal" / path.name.replace("_mask.png", ".dcm"), False)
        Image.fromarray(bright * 255).save(path)
    for path in folder.rglob("*.nii.gz"):
        image = nibabel.load(path)
        values = np.zeros(image.shape, np.uint8)
        for file in files:
            for pixel in np.argwhere(truth_of(file, False)):
                values[voxel_of(image.affine, file, pixel)] = 1
        nibabel.save(nibabel.Nifti1Image(values, image.affine), path)
    case = Case(tmp_path / "sagittal", "p", 1, split="train")
    found = masks_after(folder, tmp_path, [case], tmp_path)
    np.testing.assert_array_equal(
        np.stack(found[tmp_path / "sagittal"]), read_volume(tmp_path / "sagittal").array[..., 0] >= BRIGHT
    )
    assert len(files) == 9 and len(found[tmp_path / "sagittal"]) == 32


def test_segmentations(copied, studies, tmp_path):
    pytest.importorskip("highdicom")
    files = studies["oblique"]
    folder = copied("dicom-seg", tmp_path / "studies" / "oblique", "*_seg.dcm")
    [path] = folder.rglob("*.dcm")
    path.rename(folder / "saved by a viewer.dcm")  # it names its images itself
    found = masks_after(folder, tmp_path / "studies", cases_of(files), tmp_path)
    for file in files:
        np.testing.assert_array_equal(found[file][0], truth_of(file, False))


def test_slices_of_a_nifti_file(copied, head, rng, tmp_path):
    images = head(rng, 6)
    (tmp_path / "data").mkdir()
    affine = np.diag([-2.0, 3.0, 2.5, 1.0])  # rows are turned in reading
    nibabel.save(
        nibabel.Nifti1Image(images.transpose(2, 1, 0).astype(np.int16), affine),
        tmp_path / "data" / "a.nii.gz",
    )
    volume = read_volume(tmp_path / "data" / "a.nii.gz").array[..., 0] >= BRIGHT
    folder = copied("png", tmp_path / "data", "*_mask.png")
    case = Case(tmp_path / "data" / "a.nii.gz", "p", 1, split="train")
    for number in (0, 5):
        (folder / f"a_{number}_mask.png").unlink()
    found = masks_after(folder, tmp_path / "data", [case], tmp_path)[case.image]
    for number in range(6):  # a slice without a corrected mask is ignored
        expected = np.full(volume.shape[1:], 255) if number in (0, 5) else volume[number]
        np.testing.assert_array_equal(found[number], expected)
    shutil.rmtree(tmp_path / "out")
    whole = copied("nifti", tmp_path / "data", "*_mask.nii.gz")
    for path in whole.rglob("*.png"):
        path.unlink()
    shutil.rmtree(tmp_path / "run")
    np.testing.assert_array_equal(masks_after(whole, tmp_path / "data", [case], tmp_path)[case.image], volume)


def test_names_of_a_part_of_the_data_and_ignored_pixels(copied, studies, tmp_path):
    """predict was given one folder, the run has all; in one mask a person wrote 1 and 255 by number."""
    files = [*studies["axial"], *studies["backwards"]]
    folder = copied("png", tmp_path / "studies" / "axial", "*_mask.png")
    shutil.rmtree(tmp_path / "out")
    cases = [
        *cases_of(files[:5]),
        *(
            Case(path, "q", 1, series="t", position=1.0 * n, split="train")
            for n, path in enumerate(files[5:])
        ),
    ]
    with pytest.raises(
        DataError, match="im000_mask.png: could belong to 2 images of that name; keep the folders"
    ):
        masks_after(folder, tmp_path / "studies", cases, tmp_path)
    (tmp_path / "named" / "axial").mkdir(parents=True)
    values = np.full((32, 24), 255, np.uint8)
    values[:16] = 0
    values[:8, :8] = 1
    Image.fromarray(values).save(tmp_path / "named" / "axial" / f"{files[0].stem}_mask.png")
    found = masks_after(tmp_path / "named", tmp_path / "studies", cases, tmp_path)
    np.testing.assert_array_equal(found[files[0]][0], values)
    assert all(masks == [None] for image, masks in found.items() if image != files[0])


def test_what_is_refused(copied, studies, tmp_path):
    files = studies["axial"]
    folder = copied("png", tmp_path / "studies" / "axial", "*_mask.png")
    own = cases_of(files)

    def store(where=folder, cases=own):
        return masks_after(where, tmp_path / "studies", cases, tmp_path)

    with pytest.raises(DataError, match="--corrections .*out: is a folder that predict wrote"):
        store(tmp_path / "out")
    with pytest.raises(DataError, match="expected a folder of corrected masks; there is none"):
        store(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        store(tmp_path / "empty")
    with pytest.raises(DataError, match=r"1 corrected patient.s. are not on the training side: p .test."):
        store(cases=cases_of(files, "test"))
    first = folder / f"{files[0].stem}_mask.png"
    (folder / "other_mask.png").write_bytes(first.read_bytes())
    (folder / "notes.txt").write_text("looked at")
    with pytest.raises(DataError) as caught:
        store()
    assert "2 file(s) belong to no image of the run" in str(caught.value)
    assert "other_mask.png: no image of the run has the name other" in str(caught.value)
    assert "notes.txt: is no corrected mask" in str(caught.value)
    (folder / "other_mask.png").unlink()
    (folder / "notes.txt").unlink()
    Image.fromarray(np.zeros((20, 24), np.uint8)).save(first)
    with pytest.raises(DataError, match="a mask of 20 rows and 24 columns for .*, whose slices have 32 rows"):
        store()
    assert not (tmp_path / "run" / "corrections").exists() and isinstance(folder, Path)
