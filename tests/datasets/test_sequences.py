"""Several series or files of a study as the channels of one image.

The oracle of resampling is a function that is linear in the patient's coordinates: linear interpolation gives
its exact value at every place, whatever grids, axes and directions lie between.
"""

import dataclasses
import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from clamnet_tf.datasets.expected_images import ExpectedImages
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.errors import DataError, ImageError, UnfitImages
from clamnet_tf.imaging.orientation import restore
from clamnet_tf.preprocessing.shards import Shard, shards_of
from clamnet_tf.preprocessing.volumes import assemble, group_cases
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.sequences import sequences_of
from clamnet_tf.zoo.sequences import sequences_of_model

CHANNELS = ("pre-contrast T1", "FLAIR", "post-contrast T1")
FLAGSHIP = sequences_of(load_recipe("mri_carcinoma"), CHANNELS)
WHOLE = dataclasses.replace(FLAGSHIP, filler=None)
AXIAL = np.array(
    [[-1.5, 0, 0, 20], [0, -1.5, 0, 30], [0, 0, 3, -10], [0, 0, 0, 1.0]]
)  # RAS of an axial LPS stack


def linear(affine, shape, weights):
    """Values of a function that is linear in RAS millimetres, on a grid."""
    places = nibabel.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    return places @ np.array(weights) + 500


def write_nifti(path, affine, shape, weights=(1.0, 2.0, 3.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(linear(affine, shape, weights).astype(np.float32), affine), path)
    return path


def write_series(folder, values, description, study, date="20200101", **elements):
    """Axial slices of (S, H, W) as on AXIAL, one file each."""
    folder.mkdir(parents=True)
    series = generate_uid()
    for index, plane in enumerate(values):
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.FrameOfReferenceUID = study
        dataset.PatientID, dataset.Modality = "P1", "MR"
        dataset.SeriesDescription, dataset.StudyDate = description, date
        dataset.ImagePositionPatient = [-20, -30, -10 + 3 * index]
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [1.5, 1.5]
        dataset.SliceThickness, dataset.InstanceNumber = 3, index + 1
        dataset.Rows, dataset.Columns = plane.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            16,
            16,
            15,
            0,
        )
        for name, value in elements.items():
            setattr(dataset, name, value)
        dataset.PixelData = plane.astype("<u2").tobytes()
        dataset.save_as(folder / f"{index}.dcm", enforce_file_format=True)


def read(inputs, expected=ExpectedImages()):
    """The volumes of all inputs."""
    read_one = lambda group: assemble(
        inputs.manifest, group, channels=None, dicom_backend="pydicom", with_organ=False, expected=expected
    )
    return [volume for group in group_cases(inputs.manifest) for volume in read_one(group)]


def test_a_zoo_entry_takes_the_sequences_of_its_card():
    zoo = Path(__file__).parents[2] / "zoo"
    assert sequences_of_model(zoo / "mri_carcinoma", load_recipe("mri_carcinoma")) == FLAGSHIP
    assert sequences_of_model(zoo / "ct_nodule", load_recipe("ct_nodule")) is None


@pytest.fixture
def voxels(rng):
    """(S, H, W, 3) uint16 of a study."""
    return rng.integers(0, 1000, (6, 24, 20, 3), dtype=np.uint16)


def test_the_same_voxels_as_files_and_as_series_are_one_array(tmp_path, voxels):
    study = generate_uid()
    names = (("t1", "AX T1 SE"), ("flair", "Ax T2 FLAIR"), ("t1ce", "AX T1 POST GD"))
    for channel, (name, description) in enumerate(names):
        stored = voxels[..., channel].transpose(2, 1, 0)
        path = tmp_path / "nifti" / "sub" / f"BraTS_001_{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(stored, AXIAL), path)
        write_series(tmp_path / "dicom" / name, voxels[..., channel], description, study)
    write_series(tmp_path / "dicom" / "dwi", voxels[..., 0], "DWI b1000", study)
    nibabel.save(
        nibabel.Nifti1Image(voxels[..., 0].T, AXIAL), tmp_path / "nifti" / "sub" / "BraTS_001_seg.nii.gz"
    )
    by_name, by_header = (find_inputs([tmp_path / kind], sequences=FLAGSHIP) for kind in ("nifti", "dicom"))
    [case] = by_name.manifest.cases
    assert case.image.name == "BraTS_001_flair.nii.gz", "FLAIR is the reference, on whose grid the marks lie"
    assert {case.image.parent.name for case in by_header.manifest.cases} == {"flair"}
    assert "1 outlines" in str(by_name.manifest.account)
    assert "6 DICOM images of series that are no sequence" in str(by_header.manifest.account)
    for inputs in (by_name, by_header):
        [volume] = read(inputs)
        np.testing.assert_array_equal(volume.array, voxels.astype(np.float32))
        assert not any("missing" in note for note in volume.notes)


def test_other_grids_and_directions_are_interpolated_exactly(tmp_path):
    """A sagittal T1 of other spacing and an oblique T1POST lie on FLAIR's grid where they belong."""
    weights = {"t1": (2.0, -1.0, 0.5), "flair": (1.0, 2.0, 3.0), "t1ce": (-0.5, 1.0, 2.0)}
    sagittal = np.array([[0, 0, 1.0, -60], [0, 1.2, 0, -80], [-0.9, 0, 0, 70], [0, 0, 0, 1]])
    angle = np.radians(12)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    oblique = np.eye(4)
    oblique[:3, :3], oblique[:3, 3] = turn * 2, (-80, -80, -60)
    write_nifti(tmp_path / "p_t1.nii.gz", sagittal, (150, 130, 120), weights["t1"])
    write_nifti(tmp_path / "p_flair.nii.gz", AXIAL, (24, 28, 8), weights["flair"])
    write_nifti(tmp_path / "p_t1ce.nii.gz", oblique, (80, 80, 60), weights["t1ce"])
    [volume] = read(find_inputs([tmp_path], sequences=FLAGSHIP))
    for channel, name in enumerate(("t1", "flair", "t1ce")):
        expected = linear(AXIAL, (24, 28, 8), weights[name]).transpose(2, 1, 0)
        np.testing.assert_allclose(volume.array[..., channel], expected, atol=0.02)


def test_a_missing_sequence_is_filled_as_in_training_and_told(tmp_path):
    write_nifti(tmp_path / "p_flair.nii.gz", AXIAL, (24, 28, 8))
    write_nifti(tmp_path / "p_t1ce.nii.gz", AXIAL, (24, 28, 8), (3.0, 1.0, 1.0))
    [volume] = read(find_inputs([tmp_path], sequences=FLAGSHIP))
    np.testing.assert_array_equal(volume.array[..., 0], volume.array[..., 1])
    assert "ATTENTION: pre-contrast T1 is missing, FLAIR stands in for it" in volume.notes
    with pytest.raises(UnfitImages, match="no pre-contrast T1; expected .* not trained with missing"):
        read(find_inputs([tmp_path], sequences=WHOLE))
    (tmp_path / "p_flair.nii.gz").unlink()
    with pytest.raises(
        UnfitImages, match="FLAIR, which stands in for missing sequences, is not there either"
    ):
        read(find_inputs([tmp_path], sequences=FLAGSHIP))


def test_sequences_that_do_not_belong_together_are_refused(tmp_path, voxels):
    far = AXIAL.copy()
    far[2, 3] += 400
    write_nifti(tmp_path / "far" / "p_flair.nii.gz", AXIAL, (24, 28, 8))
    write_nifti(tmp_path / "far" / "p_t1.nii.gz", far, (24, 28, 8))
    with pytest.raises(UnfitImages, match="p_t1.* covers 0% of FLAIR"):
        read(find_inputs([tmp_path / "far"], sequences=FLAGSHIP))
    study = generate_uid()
    write_series(tmp_path / "days" / "a", voxels[..., 0], "FLAIR", study)
    write_series(tmp_path / "days" / "b", voxels[..., 1], "T1", study, date="20200103")
    with pytest.raises(
        UnfitImages, match="pre-contrast T1 is of another day .20200103. than FLAIR .20200101"
    ):
        read(find_inputs([tmp_path / "days"], sequences=FLAGSHIP))
    unplaced = nibabel.Nifti1Image(np.zeros((24, 28, 8), np.float32), None)
    (tmp_path / "place").mkdir()
    nibabel.save(unplaced, tmp_path / "place" / "p_t1.nii.gz")
    write_nifti(tmp_path / "place" / "p_flair.nii.gz", AXIAL, (24, 28, 8))
    with pytest.raises(ImageError, match="pre-contrast T1 has no position"):
        read(find_inputs([tmp_path / "place"], sequences=FLAGSHIP))


def test_a_sequence_of_part_of_the_reference_is_told(tmp_path):
    part = AXIAL.copy()
    part[2, 3] += 6  # two of eight slices
    write_nifti(tmp_path / "p_flair.nii.gz", AXIAL, (24, 28, 8))
    write_nifti(tmp_path / "p_t1.nii.gz", part, (24, 28, 8))
    [volume] = read(find_inputs([tmp_path], sequences=FLAGSHIP))
    assert "pre-contrast T1 covers 75% of FLAIR; the rest was taken as background" in volume.notes
    assert (volume.array[:2, ..., 0] == volume.array[..., 0].min()).all()


@pytest.mark.parametrize(
    ("name", "channel", "study"),
    [
        ("patient07_T1.nii.gz", 0, "patient07"),
        ("patient07_T1POST.nii.gz", 2, "patient07"),
        ("patient07_FLAIR.nii.gz", 1, "patient07"),
        ("sub-01_ses-2_T1w.nii.gz", 0, "sub-01_ses-2"),
        ("sub-01_ses-2_ce-gadolinium_run-1_T1w.nii.gz", 2, "sub-01_ses-2"),
        ("BraTS-GLI-00000-000-t1n.nii.gz", 0, "BraTS-GLI-00000-000"),
        ("BraTS-GLI-00000-000-t1c.nii.gz", 2, "BraTS-GLI-00000-000"),
        ("BraTS-GLI-00000-000-t2f.nii.gz", 1, "BraTS-GLI-00000-000"),
        ("FLAIR.nii.gz", 1, ""),
        ("patient07_T2.nii.gz", None, None),
        ("flairs_of_all.nii.gz", None, None),
    ],
)
def test_names_of_archives(tmp_path, name, channel, study):
    from clamnet_tf.datasets.sequence_names import sequence_of_name

    found = sequence_of_name(tmp_path / name, FLAGSHIP)
    assert found == (None if channel is None else (channel, study))


@pytest.mark.parametrize(
    ("fields", "channel"),
    [
        ({"SeriesDescription": "AX T1 SE"}, 0),
        ({"SeriesDescription": "t1_mprage_sag"}, 0),
        ({"SeriesDescription": "T1 PRE GD", "ContrastBolusAgent": "Gadovist"}, 0),
        ({"SeriesDescription": "T1 W/O CONTRAST"}, 0),
        ({"SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadovist"}, 2),
        ({"SeriesDescription": "AX T1 +C"}, 2),
        ({"SeriesDescription": "AX T1 POST NO FS"}, 2),
        ({"SeriesDescription": "T1_post_gad"}, 2),
        ({"SeriesDescription": "AX T1 C+"}, 2),
        ({"SeriesDescription": "AX T1 C-", "ContrastBolusAgent": "Gadovist"}, 0),
        ({"SeriesDescription": "T1 WO CONTRAST"}, 0),
        ({"SeriesDescription": "T1 W/WO CONTRAST"}, 2),
        ({"SeriesDescription": "AX T1 POST OP"}, 0),
        ({"SeriesDescription": "PRE-OP T1 GAD"}, 2),
        ({"SeriesDescription": "T1 C-SPINE"}, 0),
        ({"SeriesDescription": "AX T2 FLAIR FS", "ContrastBolusAgent": "Gadovist"}, 1),
        ({"SeriesDescription": "t2_tirm_dark-fluid"}, 1),
        ({"SeriesDescription": "AX T2 TSE"}, None),
        ({"SeriesDescription": "ADC map"}, None),
        ({}, None),
    ],
)
def test_headers_of_series(fields, channel):
    from clamnet_tf.datasets.sequence_headers import matches

    dataset = pydicom.Dataset()
    for name, value in fields.items():
        setattr(dataset, name, value)
    found = [index for index, one in enumerate(FLAGSHIP.sequences) if matches(dataset, one)]
    assert found == ([] if channel is None else [channel])


def test_own_patterns_and_ranges(tmp_path, voxels):
    own = [
        "data.sequences=[{name: low, match: {EchoTime: [0, 30]}, files: ['_0000$']},"
        " {name: high, match: {EchoTime: [80, 120]}, files: ['_0001$'], reference: true}]"
    ]
    sequences = sequences_of(load_recipe("mri_carcinoma", [*own, "pairs.augmentation.main_channel=0"]))
    assert sequences.reference == 1 and sequences.filler == 0
    study = generate_uid()
    for name, echo in (("a", 90.0), ("b", 12.0), ("c", 50.0)):
        write_series(tmp_path / "dicom" / name, voxels[..., 0], name, study, EchoTime=echo)
    group = find_inputs([tmp_path / "dicom"], sequences=sequences).manifest.cases[0].sequences
    assert [image.files[0].parent.name for image in group.images] == ["b", "a"]
    for name in ("case_0000", "case_0001", "other_0001"):
        write_nifti(tmp_path / "imagesTr" / f"{name}.nii.gz", AXIAL, (24, 28, 8))
        write_nifti(tmp_path / "labelsTr" / f"{name[:-5]}.nii.gz", AXIAL, (24, 28, 8))
    found = find_inputs([tmp_path / "imagesTr", tmp_path / "labelsTr"], sequences=sequences)
    assert [case.image.name for case in found.manifest.cases] == ["case_0001.nii.gz", "other_0001.nii.gz"]
    unknown = ["data.sequences=[{name: FLAIR, match: {SeriesDescripton: flair}}, {name: T2}]"]
    with pytest.raises(DataError, match="expected keywords of DICOM .* received SeriesDescripton"):
        find_inputs([tmp_path / "dicom"], sequences=sequences_of(load_recipe("mri_carcinoma", unknown)))


def test_several_candidates_are_told_or_refused(tmp_path, voxels):
    study = generate_uid()
    for name, description in (("a", "FLAIR"), ("b", "FLAIR 2"), ("c", "T1")):
        write_series(tmp_path / name, voxels[: 5 if name == "a" else 6, ..., 0], description, study)
    [volume] = read(find_inputs([tmp_path], sequences=FLAGSHIP))
    assert "ATTENTION: 2 series match FLAIR: 'FLAIR 2' of 6 file(s) was taken, not 'FLAIR'" in volume.notes
    for name in ("sub-1_run-1_FLAIR", "sub-1_run-2_FLAIR"):
        write_nifti(tmp_path / "bids" / f"{name}.nii.gz", AXIAL, (24, 28, 8))
    with pytest.raises(DataError, match="2 files match the sequence FLAIR: sub-1_run-1_FLAIR"):
        find_inputs([tmp_path / "bids"], sequences=FLAGSHIP)


def test_a_file_of_all_channels_and_pictures_stay_as_they_are(tmp_path, make_kaggle):
    image = nibabel.Nifti1Image(np.zeros((24, 28, 8, 3), np.float32), AXIAL)
    (tmp_path / "whole").mkdir()
    nibabel.save(image, tmp_path / "whole" / "patient_flair.nii.gz")
    folder = make_kaggle()
    for given in (folder, tmp_path / "whole"):
        plain, with_sequences = find_inputs([given]), find_inputs([given], sequences=FLAGSHIP)
        assert plain.manifest == with_sequences.manifest


def test_a_sequence_of_several_channels_beside_others_is_refused(tmp_path):
    """A series in time is not the T1 of its study, and FLAIR must not silently stand in for that T1."""
    for name in ("p_flair", "q_flair", "q_t1"):
        write_nifti(tmp_path / f"{name}.nii.gz", AXIAL, (24, 28, 8))
    nibabel.save(nibabel.Nifti1Image(np.ones((24, 28, 8, 5), np.float32), AXIAL), tmp_path / "p_t1.nii.gz")
    found = find_inputs([tmp_path], sequences=FLAGSHIP)
    assert [case.image.name for case in found.manifest.cases] == ["q_flair.nii.gz"]
    assert "p: its other files are one sequence each, and p_t1.nii.gz holds several" in found.failures[0]
    one = nibabel.Nifti1Image(np.ones((24, 28, 8, 1), np.float32), AXIAL)  # four dimensions, one channel
    nibabel.save(one, tmp_path / "p_t1.nii.gz")
    assert not find_inputs([tmp_path], sequences=FLAGSHIP).failures


def test_an_oblique_reference_keeps_its_own_grid(tmp_path):
    """Slices of a tilted FLAIR get the values of the T1 at their own places."""
    angle, spacing = np.radians(20), np.diag([1.5, 1.5, 3.0])
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    oblique, large = np.eye(4), np.diag([2.0, 2.0, 2.0, 1.0])
    oblique[:3, :3], oblique[:3, 3], large[:3, 3] = turn @ spacing, (-10, -12, -5), -30
    for name, affine, shape in (
        ("flair", oblique, (24, 28, 8)),
        ("t1", large, (90,) * 3),
        ("t1ce", large, (90,) * 3),
    ):
        write_nifti(tmp_path / f"p_{name}.nii.gz", affine, shape)
    [volume] = read(find_inputs([tmp_path], sequences=FLAGSHIP))
    stack = restore(volume.array, volume.axes, volume.flips)
    [to_lps] = volume.affines
    expected = linear(np.diag([-1.0, -1, 1, 1]) @ to_lps, stack.shape[:3], (1.0, 2.0, 3.0))
    for channel in range(3):
        np.testing.assert_allclose(stack[..., channel], expected, atol=0.02)


def test_a_shard_travels_with_its_sequences_and_its_key_knows_their_files(tmp_path):
    recipe = load_recipe("mri_carcinoma")
    for name, weights in (("t1", (1, 0, 0)), ("flair", (0, 1, 0)), ("t1ce", (0, 0, 1))):
        write_nifti(tmp_path / f"p_{name}.nii.gz", AXIAL, (24, 28, 8), weights)

    def shard():
        manifest = find_inputs([tmp_path], sequences=FLAGSHIP).manifest
        return next(shards_of(Manifest(manifest.root, manifest.cases)))

    first = shard()
    back = Shard.from_row(json.loads(json.dumps(first.row())))
    assert back.manifest.cases == first.manifest.cases
    key = first.key(recipe.data, recipe.organ, None)
    assert back.key(recipe.data, recipe.organ, None) == key
    write_nifti(tmp_path / "p_t1ce.nii.gz", AXIAL, (24, 28, 8), (1, 1, 1))
    assert shard().key(recipe.data, recipe.organ, None) != key


def test_rigid_registration_undoes_a_motion(tmp_path, rng):
    """A blob image that was turned and shifted comes back onto the reference to a fraction of a voxel."""
    pytest.importorskip("SimpleITK")
    from scipy import ndimage

    values = ndimage.gaussian_filter(rng.random((36, 40, 44)), 3)
    values = ((values - values.min()) / np.ptp(values) * 1000).astype(np.float32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    angle = np.radians(5)
    motion = np.eye(4)
    motion[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    motion[:3, 3] = (3.0, -2.0, 4.0)
    centre = np.eye(4)
    centre[:3, 3] = affine[:3, :3] @ (np.array(values.shape) / 2)
    moved = centre @ motion @ np.linalg.inv(centre) @ affine  # the same voxels at another place
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "p_flair.nii.gz")
    nibabel.save(nibabel.Nifti1Image(1500 - values, moved), tmp_path / "p_t1.nii.gz")
    errors = {}
    for registration in ("none", "rigid"):
        sequences = dataclasses.replace(FLAGSHIP, registration=registration)
        [volume] = read(find_inputs([tmp_path], sequences=sequences))
        inner = volume.array[6:-6, 6:-6, 6:-6]
        errors[registration] = float(np.abs(inner[..., 0] - (1500 - inner[..., 1])).mean())
    assert errors["none"] > 30 and errors["rigid"] < 0.01 * errors["none"]
    [note] = [note for note in volume.notes if "was registered" in note]
    shift, degrees = map(float, re.search(r"moved by ([\d.]+) mm, ([\d.]+) degrees", note).groups())
    assert abs(shift - np.linalg.norm(motion[:3, 3])) < 0.2 and abs(degrees - 5) < 0.2
