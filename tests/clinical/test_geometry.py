"""A head gives the same result however it is stored (rows G1 and G2 of issue 16).

Slice numbers are those of the file.
"""

import shutil
import subprocess

import nibabel
import numpy as np
import pydicom
import pytest

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.evaluation.original_slices import original_slices
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.recipe.schema_data import DataSection, OrganSection

STORAGES = (
    "axial",
    "axial_from_head",
    "columns_reversed",
    "rows_reversed",
    "prone",
    "turned",
    "sagittal",
    "sagittal_from_left",
    "coronal",
    "coronal_reversed",
)
SECTIONS = {
    "data": DataSection(side=32, normalization="none"),
    "organ": OrganSection(method="none", margin=0.0),
}


def itk_points(path):
    """{points of the nonzero voxels} by SimpleITK, in 0.01 mm, LPS."""
    itk = pytest.importorskip("SimpleITK")
    image = itk.ReadImage(str(path))
    index = np.argwhere(itk.GetArrayFromImage(image) != 0)[:, ::-1]
    return {
        tuple(round(100 * v) for v in image.TransformIndexToPhysicalPoint([int(n) for n in one]))
        for one in index
    }


def test_g1_every_storage_marks_the_same_patient_points(
    bright_run,
    marked,
    write_series,
    write_nifti,
    tmp_path,
    bright_points,
    png_points,
    nifti_points,
    seg_points,
):
    folder = tmp_path / "studies"
    for storage in STORAGES:
        write_series(folder / storage, storage)
        write_nifti(folder / "nifti" / f"{storage}.nii.gz", storage)
    call = marked(bright_run, folder)
    rows = call.table("marks.csv")
    assert len(bright_points) > 300
    for storage in STORAGES:
        own = [row for row in rows if row["input"].startswith(f"{storage}/")]
        assert len(own) == len(list((folder / storage).iterdir())), "a row for each file, as it is stored"
        assert png_points(call.out, own, folder) == bright_points, storage
        assert nifti_points(next((call.out / storage).glob("*_mask.nii.gz"))) == bright_points, storage
        assert seg_points(next((call.out / storage).glob("*_seg.dcm"))) == bright_points, storage
        assert nifti_points(call.out / "nifti" / f"{storage}_mask.nii.gz") == bright_points, storage
        assert float(call.volume(f"{storage}: series")["marked_ml"]) == pytest.approx(
            len(bright_points) * 0.375 / 1000, rel=1e-5
        )
        assert float(call.volume(f"nifti/{storage}.nii.gz")["marked_ml"]) == pytest.approx(
            len(bright_points) * 0.375 / 1000, rel=1e-5
        )
    assert len({row["presence_score"] for row in call.table("volumes.csv")}) == 1
    assert itk_points(next((call.out / "sagittal").glob("*_mask.nii.gz"))) == bright_points
    source = nibabel.load(folder / "nifti" / "coronal.nii.gz")
    mask = nibabel.load(call.out / "nifti" / "coronal_mask.nii.gz")
    assert mask.shape == source.shape and np.allclose(mask.affine, source.affine)
    assert "sagittal slices: brought to axial planes to be marked, and back" in call.stdout
    refused = f"Error: {len(STORAGES)} of the inputs could not be used"
    assert call.code == 1 and refused in call.stderr, "SEG of NIfTI was asked for too"
    assert call.stderr.count("expected a DICOM image, to which a DICOM segmentation can refer") == 1


@pytest.mark.parametrize("storage", STORAGES)
def test_g1_training_sees_the_same_slices(storage, write_series, write_nifti, store, tmp_path):
    reference = prepare(
        Manifest(tmp_path, (Case(write_nifti(tmp_path / "r.nii", "axial"), "p", 1),)),
        cache=tmp_path / "cache",
        **SECTIONS,
    )
    files = write_series(tmp_path / "dicom", storage)
    forms = {
        "files": tuple(Case(path, "p", 1, series="s", position=float(n)) for n, path in enumerate(files)),
        "folder": (Case(tmp_path / "dicom", "p", 1),),
        "nifti": (Case(write_nifti(tmp_path / "n.nii", storage), "p", 1),),
    }
    for name, cases in forms.items():
        found = prepare(Manifest(tmp_path, cases), cache=tmp_path / "cache", **SECTIONS)
        np.testing.assert_array_equal(found.images, reference.images, err_msg=name)
        np.testing.assert_allclose(found.table.position, reference.table.position, err_msg=name)
        np.testing.assert_allclose(found.table.spacing, [[1.0, 0.75, 0.5]] * 20, err_msg=name)
    volume = read_volume(tmp_path / "dicom")
    np.testing.assert_array_equal(
        volume.to_original(volume.array[..., 0])[0].shape, store(storage).images.shape[1:]
    )


@pytest.mark.skipif(
    shutil.which("dcm2niix") is None, reason="dcm2niix is not installed (Debian: apt-get install dcm2niix)"
)
@pytest.mark.parametrize("storage", ["prone", "sagittal", "coronal"])
def test_g1_dcm2niix_makes_the_same_volume(storage, write_series, tmp_path):
    """Voxel by voxel: the volume that dcm2niix writes of a series, read as NIfTI, is the volume read
    from the series."""
    write_series(tmp_path / "dicom", storage)
    (tmp_path / "nifti").mkdir()
    subprocess.run(
        ["dcm2niix", "-f", "head", "-o", str(tmp_path / "nifti"), str(tmp_path / "dicom")],
        check=True,
        capture_output=True,
        timeout=60,
    )
    ours, theirs = read_volume(tmp_path / "dicom"), read_volume(tmp_path / "nifti" / "head.nii")
    np.testing.assert_array_equal(ours.array, theirs.array)
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)


def turned_cosines(degrees):
    """Sagittal directions turned about the axis of the body."""
    angle = np.radians(degrees)
    return np.r_[-np.sin(angle), np.cos(angle), 0.0, 0.0, 0.0, -1.0]


@pytest.mark.parametrize(("degrees", "accepted"), [(30, True), (44, True), (45, False)])
def test_g1_oblique_series_are_turned_to_the_nearest_axes_or_refused(
    degrees, accepted, store, write_series, tmp_path
):
    stored = store("sagittal")
    stored.cosines = turned_cosines(degrees)
    normal = np.cross(stored.cosines[:3], stored.cosines[3:])
    stored.positions = np.array([stored.positions[0] + n * 0.5 * normal for n in range(32)])
    write_series(tmp_path / "oblique", stored)
    if accepted:
        assert read_volume(tmp_path / "oblique").array.shape[:3] == (20, 32, 32)
    else:
        with pytest.raises(
            ImageError,
            match=r"oblique by 45 degrees: an axis .* must be within 45 degrees.*Resample it to axial slices",
        ):
            read_volume(tmp_path / "oblique")


def test_g1_what_cannot_be_stacked_is_refused_by_name(bright_run, marked, store, write_series, tmp_path):
    thick, uneven = store("sagittal"), store("sagittal")
    thick.positions = thick.positions[0] + np.arange(32)[:, None] * 6.0 * np.array([1.0, 0, 0])
    uneven.positions[20:] += (3.0, 0, 0)
    single = store("coronal")
    single.images, single.positions = single.images[:1], single.positions[:1]
    for name, stored in {"thick": thick, "uneven": uneven, "single": single, "good": "sagittal"}.items():
        write_series(tmp_path / "in" / name, stored)
    call = marked(bright_run, tmp_path / "in", formats="png")
    assert call.code == 1 and [row["volume"].split(":")[0] for row in call.table("volumes.csv")] == ["good"]
    assert (
        "pixels of axial planes through them are 0.75 x 6 mm, too oblong to be marked as axial slices"
        in call.stderr
    )
    assert "sagittal slices with uneven gaps (usually 0.50 mm, 3.50 mm between" in call.stderr
    assert "a single coronal slice. Models mark axial slices" in call.stderr


def by_height(cases, cache):
    """Label of each axial slice from the feet upwards."""
    table = prepare(Manifest(cases[0].image.parent, cases), cache=cache, **SECTIONS).table
    return table.label[np.argsort(table.position)].tolist()


@pytest.mark.parametrize("storage", ["axial", "axial_from_head", "prone", "turned"])
def test_g2_a_slice_of_nifti_is_k_of_the_file(storage, head, store, write_nifti, tmp_path):
    stored = store(storage)
    path = write_nifti(tmp_path / "v.nii.gz", storage)
    bright = [
        int(plane.max() >= 150) for plane in np.asarray(nibabel.load(path).dataobj).transpose(2, 0, 1)
    ]  # img[:, :, k]
    cases = tuple(Case(path, "p", label, slice_index=k) for k, label in enumerate(bright))
    assert by_height(cases, tmp_path / "cache") == [int(plane.max() >= 150) for plane in head]
    assert bright == [int(plane.max() >= 150) for plane in stored.images]


@pytest.mark.parametrize("storage", ["axial", "axial_from_head", "prone"])
def test_g2_a_slice_of_a_dicom_folder_is_instancenumber_or_sopinstanceuid(
    storage, head, store, write_series, tmp_path
):
    files = write_series(tmp_path / "ct", storage, first=101)
    labels = [int(plane.max() >= 150) for plane in store(storage).images]
    expected = [int(plane.max() >= 150) for plane in head]
    for numbers in (
        [101 + n for n in range(20)],
        [str(pydicom.dcmread(path).SOPInstanceUID) for path in files],
    ):
        assert (
            by_height(
                tuple(Case(tmp_path / "ct", "p", label, slice_index=n) for n, label in zip(numbers, labels)),
                tmp_path / "cache",
            )
            == expected
        )
        (tmp_path / "manifest.csv").write_text(
            "image,patient,label,slice\n"
            + "".join(f"ct,p,{label},{n}\n" for n, label in zip(numbers, labels))
        )
        assert by_height(recognize(tmp_path / "manifest.csv").cases, tmp_path / "cache") == expected
    with pytest.raises(
        DataError,
        match=r"slice 0 is asked for, .* 20 slice\(s\), numbered 101 to 120 \(InstanceNumber, or a "
        r"SOPInstanceUID\)",
    ):
        by_height((Case(tmp_path / "ct", "p", 1, slice_index=0),), tmp_path / "cache")


@pytest.mark.parametrize("storage", ["axial_from_head", "prone"])
def test_g2_labels_of_a_dicom_tree_by_series_and_instancenumber(storage, head, store, write_series, tmp_path):
    files = write_series(tmp_path / "tree", storage)
    uid = pydicom.dcmread(files[0]).SeriesInstanceUID
    labels = [int(plane.max() >= 150) for plane in store(storage).images]
    lines = [f"{uid},{number},{label}" for number, label in enumerate(labels, start=1)]
    (tmp_path / "tree" / "labels.csv").write_text(
        "\n".join(["SeriesInstanceUID,InstanceNumber,label", *lines]) + "\n"
    )
    manifest = recognize(tmp_path / "tree")
    assert by_height(manifest.cases, tmp_path / "cache") == [int(plane.max() >= 150) for plane in head]
    assert "labels per series and InstanceNumber" in manifest.account[0]


def test_g2_labels_of_sagittal_slices_are_refused_by_inspect_and_fit(
    command, write_nifti, write_series, tmp_path
):
    path = write_nifti(tmp_path / "nifti" / "sagittal.nii.gz", "sagittal")
    (tmp_path / "nifti" / "labels.csv").write_text(
        "image,patient,slice,label\nsagittal.nii.gz,p,3,1\nsagittal.nii.gz,p,9,0\n"
    )
    call = command("data", "inspect", tmp_path / "nifti")
    assert call.code == 2 and "slice 3 is labelled, but the file stores sagittal slices" in call.stdout
    with pytest.raises(DataError, match="Label the volume as a whole, or save it with axial slices"):
        by_height((Case(path, "p", 1, slice_index=3),), tmp_path / "cache")
    files = write_series(tmp_path / "tree", "coronal")
    rows = [f"{pydicom.dcmread(path).SOPInstanceUID},{int(number > 9)}" for number, path in enumerate(files)]
    (tmp_path / "tree" / "labels.csv").write_text("\n".join(["SOPInstanceUID,label", *rows]) + "\n")
    call = command("data", "inspect", tmp_path / "tree")
    assert (
        call.code == 2
        and "labels of single slices cannot be kept" in call.stderr
        and "coronal, and im" in call.stderr
    )
    cases = tuple(
        Case(path, "p", int(number > 9), series="s", position=float(number))
        for number, path in enumerate(files)
    )
    with pytest.raises(
        DataError,
        match="coronal slices are brought to axial ones: labels of coronal slices cannot be labels of axial",
    ):
        by_height(cases, tmp_path / "cache")
    lines = [f"tree/{path.name},p,{int(number > 9)},s,{number}" for number, path in enumerate(files)]
    (tmp_path / "manifest.csv").write_text("\n".join(["image,patient,label,series,position", *lines]) + "\n")
    call = command("data", "inspect", tmp_path / "manifest.csv")
    assert (
        call.code == 2
        and "slices cannot be labels of axial slices. Label the series as a whole" in call.stdout
    )


def test_g2_masks_follow_their_image(head, store, write_series, write_nifti, tmp_path):
    """Masks as PNG per stored slice of a prone series, as NIfTI with other axes than the image, and of a
    sagittal series as one NIfTI."""
    from PIL import Image

    stored = store("prone")
    files = write_series(tmp_path / "prone", stored)
    cases = []
    for number, (path, image) in enumerate(zip(files, stored.images)):
        Image.fromarray(((image >= 150) * 255).astype(np.uint8)).save(tmp_path / f"mask{number}.png")
        cases.append(
            Case(
                path,
                "p",
                int((image >= 150).any()),
                series="s",
                position=float(number),
                mask=tmp_path / f"mask{number}.png",
            )
        )
    masks = store("coronal_reversed")
    masks.images = (masks.images >= 150) * 1
    mask = write_nifti(tmp_path / "mask.nii.gz", masks)
    nifti = (Case(write_nifti(tmp_path / "v.nii.gz", "axial_from_head"), "q", 1, mask=mask),)
    sagittal = tuple(
        Case(path, "r", 1, series="t", position=float(n), mask=mask)
        for n, path in enumerate(write_series(tmp_path / "sagittal", "sagittal"))
    )
    numbers = (
        0,
        range(19, -1, -1),
        range(20),
    )  # one slice a file; k of the file; planes of a sagittal series
    for group, expected in zip((tuple(cases), nifti, sagittal), numbers):
        manifest = Manifest(tmp_path, group)
        prepared = prepare(manifest, cache=tmp_path / "cache", **SECTIONS)
        order = np.argsort(prepared.table.position)
        found = open_masks(manifest, prepared, order, "evaluation", "original")
        np.testing.assert_array_equal(np.stack(found), head >= 150)
        shown = original_slices(manifest, prepared, order, SECTIONS["data"])
        np.testing.assert_array_equal(np.stack([picture[..., 0] for picture, _ in shown]), head)
        assert [number for _, number in shown] == (list(expected) if expected else [0] * 20)
