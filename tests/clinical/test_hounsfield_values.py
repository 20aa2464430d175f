"""CT volumes that are not in Hounsfield units, refused by name (row V1); real ones of any crop are taken."""

import re
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from clamnet_tf.imaging.hounsfield_check import why_not_hounsfield
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.recipe.schema_data import CohortSection
from clamnet_tf.simulation.cohorts import write_cohort

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import SIDE, call, dice, write_run, written_mask

WINDOW = {"center": 40.0, "width": 80.0}


@pytest.fixture(scope="session")
def ct_run(tmp_path_factory):
    """Marks what is above 60 HU in a brain window."""
    return write_run(
        tmp_path_factory.mktemp("runs") / "ct", "ct", 0.75, window=WINDOW, normalization="window"
    )


@pytest.fixture(scope="session")
def head(tmp_path_factory):
    """(slices, rows, columns) in HU of a simulated head."""
    cohort = write_cohort(
        CohortSection(kind="head_ct", patients=4, slices=4, side=SIDE, seed=2),
        tmp_path_factory.mktemp("cohort"),
    )
    first = cohort.cases[0].patient
    return np.concatenate(
        [read_volume(case.image).array[..., 0] for case in cohort.cases if case.patient == first]
    )


def nifti(path, array):
    nibabel.save(nibabel.Nifti1Image(np.transpose(array, (2, 1, 0)), np.diag([-1.0, -1.0, 5.0, 1.0])), path)
    return path


WRONG = {
    "offset by 1024": (
        lambda hu: (hu + 1024).astype(np.int16),
        "stored values without RescaleIntercept -1024.*Subtract 1024",
    ),
    "clipped and offset": (
        lambda hu: np.maximum(hu + 1024, 0).astype(np.uint16),
        "stored values without RescaleIntercept -1024",
    ),
    "offset by 32768": (
        lambda hu: (hu + 32768).astype(np.uint16),
        "signed values read as unsigned ones, 32768 added.*Subtract 32768",
    ),
    "intercept applied twice": (
        lambda hu: (hu - 1024).astype(np.int16),
        "RescaleIntercept -1024 applied twice.*Add 1024",
    ),
    "windowed 8 bit": (
        lambda hu: np.rint(255 * np.clip((hu + 0) / 80, 0, 1)).astype(np.uint8),
        "shades 0..255 of a windowed picture",
    ),
    "windowed floats": (
        lambda hu: (255 * np.clip((hu + 110) / 300, 0, 1)).astype(np.float32),
        "shades 0..255 of a windowed picture",
    ),
    "signed bytes": (
        lambda hu: (np.rint(255 * np.clip(hu / 80, 0, 1)) - 128).astype(np.int8),
        "windowed picture, as signed bytes",
    ),
    "0..1": (lambda hu: ((hu - hu.min()) / np.ptp(hu)).astype(np.float32), r"scaled to 0\.\.1"),
    "z-scored": (lambda hu: ((hu - hu.mean()) / hu.std()).astype(np.float32), "z-scores"),
    "0..4095": (lambda hu: (4095 * (hu - hu.min()) / np.ptp(hu)).astype(np.int16), "denser than 850"),
    "inverted": (lambda hu: (-hu).astype(np.int16), r"air near \+1000"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_v1_ct_that_is_not_in_hounsfield_units_is_refused(kind, ct_run, head, tmp_path):
    change, reason = WRONG[kind]
    code, output = call(
        "predict", ct_run, nifti(tmp_path / "scan.nii.gz", change(head)), "--out", tmp_path / "out"
    )
    flat = " ".join(output.split())
    assert code == 2
    assert re.search(
        r"scan\.nii\.gz: its values, .* are not Hounsfield units.*" + reason + r".*--any-modality", flat
    ), flat


def test_v1_hounsfield_units_of_any_crop_are_taken(ct_run, head, tmp_path):
    nifti(tmp_path / "scan.nii.gz", head.astype(np.int16))
    code, _ = call("predict", ct_run, tmp_path / "scan.nii.gz", "--out", tmp_path / "out")
    assert code == 0
    whole = head[..., None]
    crops = {
        "whole": whole,
        "one slice": whole[1:2],
        "middle": whole[:, 16:48, 16:48],
        "corner": whole[:, 32:, 32:],
        "clipped": np.clip(whole, -200, 300),
        "padded": np.where(np.hypot(*np.mgrid[-32:32, -32:32]) > 30, -3024, head)[..., None],
        "brain on -1024": np.where((head > -20) & (head < 90), head, -1024)[..., None],
    }
    for name, crop in crops.items():
        assert why_not_hounsfield(crop.astype(np.float32)) is None, name


@pytest.mark.parametrize("kind", ["chest_ct", "abdomen_ct", "head_ct"])
def test_v1_all_simulated_cohorts_are_in_hounsfield_units(kind, tmp_path):
    cohort = write_cohort(CohortSection(kind=kind, patients=4, slices=4, side=64, seed=4), tmp_path)
    for case in cohort.cases:
        assert why_not_hounsfield(read_volume(case.image).array) is None, case.image


def test_v1_real_files_are_in_hounsfield_units():
    from pydicom.data import get_testdata_file

    for name in ("CT_small.dcm", "explicit_VR-UN.dcm", "693_J2KI.dcm"):
        path = get_testdata_file(name, download=False)
        if path:
            assert why_not_hounsfield(read_volume(Path(path)).array) is None, name


def test_v1_insisting_leaves_a_note(ct_run, head, tmp_path):
    code, output = call(
        "predict",
        ct_run,
        nifti(tmp_path / "scan.nii", (head + 1024).astype(np.int16)),
        "--any-modality",
        "--out",
        tmp_path / "out",
    )
    assert code == 0 and "not Hounsfield units, and were accepted by --any-modality" in " ".join(
        output.split()
    )


def test_v1_pictures_of_8_bits_keep_their_path(ct_run, head, tmp_path):
    shown = np.rint(255 * np.clip(head[2] / 80, 0, 1)).astype(np.uint8)
    Image.fromarray(shown).save(tmp_path / "slice.png")
    code, _ = call("predict", ct_run, tmp_path / "slice.png", "--format", "png", "--out", tmp_path / "out")
    assert code == 0
    assert dice(written_mask(tmp_path / "out", "slice"), shown >= 0.75 * 255) > 0.98
