"""`clamnet-tf init` on DICOM series of CT and MR and on X-rays: modality, body region, volumes, mixtures."""

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from clamnet_tf.recipe.catalogue import load_recipe

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import call, write_dicom, write_series


def write_studies(folder, rng, modality, *, patients=4, slices=6, **elements):
    """A series per patient, half of them abnormal, and labels.csv by SeriesInstanceUID."""
    lines = ["SeriesInstanceUID,label"]
    for number in range(patients):
        if modality == "CT":
            stored = rng.normal(40, 20, (slices, 64, 64)).astype(np.int16)
            stored[:, :16] = -1000
            elements |= {"RescaleSlope": "1", "RescaleIntercept": "0"}
        else:
            stored = rng.integers(0, 900, (slices, 64, 64)).astype(np.uint16)
        place = folder / f"patient{number}"
        files = write_series(place, stored, modality, **(elements | {"PatientID": f"p{number}"}))
        lines.append(f"{pydicom.dcmread(files[0]).SeriesInstanceUID},{number % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    "modality, part, recipe_modality, organ",
    [("CT", "HEAD", "ct", "cranium"), ("CT", "CHEST", "ct", "lungs_ct"), ("MR", "BRAIN", "mri", "brain")],
)
def test_series_say_modality_and_region(tmp_path, rng, modality, part, recipe_modality, organ):
    folder = write_studies(tmp_path / "studies", rng, modality, BodyPartExamined=part)
    out = tmp_path / "mine.yaml"
    code, said = call("init", folder, "--lesion", "brighter", "--size", "1-8", "--out", out)
    assert code == 0, said
    assert f"Modality: {recipe_modality}, by the headers ({modality})" in said
    assert "?" not in said, "two questions are answered by the headers, two by options"
    recipe = load_recipe(str(out))
    assert (recipe.modality, recipe.organ.method) == (recipe_modality, organ)
    assert (recipe.data.window is not None) == (modality == "CT")
    if modality == "MR":
        assert recipe.pairs.matching.on == "position" and recipe.inference.axial_smoothing > 0


@pytest.mark.parametrize("modality, part, organ", [("DX", "WRIST", "none"), ("CR", "CHEST", "network")])
def test_projections(tmp_path, rng, modality, part, organ):
    lines = ["SOPInstanceUID,label"]
    for number in range(4):
        stored = rng.integers(0, 4000, (200, 160)).astype(np.uint16)
        path = tmp_path / "views" / f"{number}.dcm"
        uid = f"1.2.3.4.{number}"
        extra = {"SOPInstanceUID": uid, "PatientID": f"p{number}", "BodyPartExamined": part}
        write_dicom(path, stored, modality, **extra)
        lines.append(f"{uid},{number % 2}")
    (tmp_path / "views" / "labels.csv").write_text("\n".join(lines))
    out = tmp_path / "mine.yaml"
    code, said = call("init", tmp_path / "views", "--yes", "--out", out)
    assert code == 0, said
    recipe = load_recipe(str(out))
    assert recipe.modality == "xray" and recipe.organ.method == organ


def test_ct_and_mr_in_one_folder_are_refused(tmp_path, rng):
    write_studies(tmp_path / "ct", rng, "CT", patients=1)
    write_studies(tmp_path / "mr", rng, "MR", patients=1)
    code, said = call("init", tmp_path)
    assert code == 2
    assert "6 x CT in DICOM" in said and "6 x MRI in DICOM" in said and "one kind" in said


def test_another_modality_is_refused_by_name(tmp_path, rng):
    write_studies(tmp_path, rng, "PT")
    code, said = call("init", tmp_path)
    assert code == 2 and "DICOM of modality PT" in said and "xray (CR, DX, MG" in said


def test_a_label_table_for_series(tmp_path, rng):
    folder = write_studies(tmp_path / "studies", rng, "MR", patients=3)
    known = (folder / "labels.csv").read_text().splitlines()[1:]
    (folder / "labels.csv").unlink()
    code, said = call("init", folder, "--write-labels", tmp_path / "labels.csv")
    assert code == 0 and "3 rows" in said
    written = (tmp_path / "labels.csv").read_text().splitlines()
    assert written[0] == "SeriesInstanceUID,label"
    assert {line.split(",")[0] for line in written[1:]} == {line.split(",")[0] for line in known}


def test_fit_with_a_recipe_of_another_modality_points_to_init(tmp_path, rng):
    folder = write_studies(tmp_path / "studies", rng, "MR", patients=12)
    code, said = call("fit", "ct_trauma", "--data", folder, "--out", tmp_path / "run")
    assert code == 2
    assert "its Modality is MR, and this is a CT model" in said
    assert f"A recipe that fits these images: clamnet-tf init {folder}" in said
