"""A study stored as DICOM series, as NIfTI files and as one stack of pictures is marked alike."""

import warnings

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from clamnet_tf.files import write_json, write_text
from clamnet_tf.recipe.catalogue import recipe_of
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder

SIDE, SLICES = 32, 5
RECIPE = f"""
name: by_hand
modality: mri
condition: carcinoma
data:
  side: {SIDE}
  normalization: none
  cohort: null
  sequences: [{{name: T1}}, {{name: FLAIR, reference: true}}, {{name: T1 post}}]
organ: {{method: none, margin: 0.0}}
network: {{depth: 2, filters: [4, 4], kernels: [3, 3], norm: none}}
inference: {{batch_size: 2}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three channels that marks where 0.5 T1 - FLAIR + 2 T1POST is at least 100."""
    from clamnet_tf.networks.build import build_network

    recipe = recipe_of(RECIPE)
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = RunFolder(folder)
    folder.mkdir()
    network = build_network(recipe.network, side=SIDE, channels=3)
    for layer in network.layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    for name in ("x_0_0_conv_1", "x_0_0_conv_2", "x_0_1_conv_1", "x_0_1_conv_2"):
        kernel, bias = network.get_layer(name).get_weights()
        if name == "x_0_0_conv_1":
            kernel[1, 1, :3, 0] = 0.5, -1, 2
        else:
            kernel[1, 1, 0, 0] = 1
        network.get_layer(name).set_weights([kernel, bias])
    kernel, bias = network.get_layer("head_1_logits").get_weights()
    kernel[0, 0, 0, 1], bias[1] = 1, -100
    network.get_layer("head_1_logits").set_weights([kernel, bias])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        network.save(run.model)
    write_text(run.recipe, to_yaml(recipe))
    plain = {"steps": {"through_plane": 0.0, "main_component": 0.0, "appearance": 0.0}, "raw_threshold": 0.5}
    selection = {"markings": {"mean": {**plain, "threshold": 0.5}, "head_1": {**plain, "threshold": 0.5}}}
    write_json(
        run.selection,
        {**selection, "threshold_rule": "set by hand", "step": 7, "checkpoint_rule": "none", "looks": []},
    )
    return folder


def write_series(folder, values, description, study):
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
        dataset.PatientID, dataset.Modality, dataset.SeriesDescription = "P1", "MR", description
        dataset.StudyDate, dataset.SeriesNumber, dataset.InstanceNumber = "20200101", 1, index + 1
        dataset.ImagePositionPatient = [-20, -30, -10 + 3 * index]
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [1.5, 1.5]
        dataset.SliceThickness, (dataset.Rows, dataset.Columns) = 3, plane.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            16,
            16,
            15,
            0,
        )
        dataset.PixelData = plane.astype("<u2").tobytes()
        dataset.save_as(folder / f"{index}.dcm", enforce_file_format=True)


def test_three_ways_to_store_a_study_mark_the_same(run, predict, tmp_path, rng):
    voxels = rng.integers(0, 200, (SLICES, SIDE, SIDE, 3), dtype=np.uint8)
    expected = voxels.astype(float) @ [0.5, -1, 2] >= 100
    affine = np.array([[-1.5, 0, 0, 20], [0, -1.5, 0, 30], [0, 0, 3, -10], [0, 0, 0, 1.0]])
    study, data = generate_uid(), tmp_path / "data"
    for channel, (name, description) in enumerate(
        (("T1", "AX T1"), ("FLAIR", "AX FLAIR"), ("T1POST", "AX T1 POST"))
    ):
        write_series(data / "dicom" / name, voxels[..., channel], description, study)
        (data / "nifti").mkdir(exist_ok=True)
        image = nibabel.Nifti1Image(voxels[..., channel].T.astype(np.int16), affine)
        nibabel.save(image, data / "nifti" / f"p_{name}.nii.gz")
    (data / "tiff").mkdir()
    tifffile.imwrite(data / "tiff" / "stack.tif", voxels, photometric="rgb")
    result, out, rows = predict(run, data, options=["--format", "nifti,dicom-seg"])
    assert result.exit_code == 1 and result.stderr.count("Use --format nifti") == 2, "SEG needs DICOM"
    masks = {
        kind: nibabel.load(next((out / kind).rglob("*_mask.nii.gz"))) for kind in ("nifti", "dicom", "tiff")
    }
    for kind, mask in masks.items():
        np.testing.assert_array_equal(np.asarray(mask.dataobj).T > 0, expected, err_msg=kind)
    np.testing.assert_allclose(masks["nifti"].affine, affine)
    np.testing.assert_allclose(masks["dicom"].affine, affine)
    assert len(rows) == 3 * SLICES and "p_FLAIR.nii.gz" in {row["input"].split("/")[-1] for row in rows}
    segmentation = pydicom.dcmread(next(out.rglob("*_seg.dcm")))
    source = pydicom.dcmread(data / "dicom" / "FLAIR" / "0.dcm")
    [series] = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert len(series.ReferencedInstanceSequence) == SLICES


def test_a_missing_sequence_is_an_error_of_its_study(run, predict, tmp_path):
    affine = np.diag([1.5, 1.5, 3, 1.0])
    for folder, names in (("whole", ("T1", "FLAIR", "T1POST")), ("part", ("T1", "FLAIR"))):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name in names:
            image = nibabel.Nifti1Image(np.ones((SIDE, SIDE, SLICES), np.int16), affine)
            nibabel.save(image, tmp_path / "data" / folder / f"p_{name}.nii.gz")
    result, _, rows = predict(run, tmp_path / "data")
    assert result.exit_code == 1 and "part/p_FLAIR.nii.gz: its study has no T1 post" in result.stderr
    assert len(rows) == SLICES, "the other study is marked"
