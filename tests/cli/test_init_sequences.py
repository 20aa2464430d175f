"""`clamnet-tf init` on folders that hold several sequences of each patient."""

import csv
import json

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.recipe.catalogue import load_recipe

OPTIONS = "--modality mri --region head --lesion brighter --size 5-10 --condition glioma".split()
BRATS = ("t1", "t1ce", "flair", "t2")


@pytest.fixture
def write_studies(tmp_path, rng):
    """A function that writes volumes of six patients, with a label at one file of each."""

    def write(names, labelled, folder="p{number}", few=()):
        root, rows = tmp_path / "studies", []
        for number in range(6):
            place = root / folder.format(number=number)
            place.mkdir(parents=True, exist_ok=True)
            for name in (*names, *(few if number == 0 else ())):
                values = rng.integers(0, 900, (20, 20, 5)).astype(np.int16)
                image = nibabel.Nifti1Image(values, np.diag([-1.0, -1, 3, 1]))
                nibabel.save(image, place / f"{name.format(number=number)}.nii.gz")
            file = f"{folder}/{labelled}.nii.gz".format(number=number)
            rows.append({"image": file, "patient": f"p{number}", "label": number % 2, "label_level": "study"})
        with (root / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        return root

    return write


def suggested(root, tmp_path):
    result = CliRunner().invoke(main, ["init", str(root), *OPTIONS, "--out", str(tmp_path / "mine.yaml")])
    assert result.exit_code == 0, result.output
    return load_recipe(str(tmp_path / "mine.yaml")), result.output


def test_names_of_brats_become_sequences_that_fit_takes(write_studies, tmp_path):
    names = tuple(f"p{{number}}_{name}" for name in BRATS)
    root = write_studies((*names, "p{number}_seg"), "p{number}_flair")
    recipe, output = suggested(root, tmp_path)
    found = [(one.name, one.reference) for one in recipe.data.sequences]
    assert found == [("pre-contrast T1", False), ("post-contrast T1", False), ("FLAIR", True), ("T2", False)]
    assert recipe.pairs.augmentation.main_channel == 2 and recipe.pairs.augmentation.channel_loss == 0.3
    assert "Sequences of 6 studies" in output and "{name: FLAIR, reference: true}, {name: T2}]" in output
    options = ["--recipe", str(tmp_path / "mine.yaml"), "--set", "organ.method=none"]
    inspected = CliRunner().invoke(main, ["data", "inspect", str(root), *options])
    assert inspected.exit_code == 0, inspected.output
    assert "(pre-contrast T1, post-contrast T1, FLAIR, T2): 6;" in inspected.output
    assert "Channels: 4 (30 slices)" in inspected.output


def test_names_of_bids_and_a_sequence_of_few(write_studies, tmp_path):
    names = ("sub-{number}_T1w", "sub-{number}_FLAIR")
    root = write_studies(names, "sub-{number}_T1w", "sub-{number}/anat", few=("sub-{number}_T2w",))
    recipe, output = suggested(root, tmp_path)
    assert [one.name for one in recipe.data.sequences] == ["pre-contrast T1", "FLAIR"]
    assert "ATTENTION: left out, since few studies have them: T2" in output


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({"channel_names": {"0": "FLAIR", "1": "T1w"}}, ["FLAIR", "T1w"]),
        ({"modality": {"0": "MRI", "1": "MRI"}}, ["channel 0000", "channel 0001"]),
        (None, ["channel 0000", "channel 0001"]),
    ],
)
def test_numbers_of_nnunet(write_studies, tmp_path, description, expected):
    root = write_studies(("case{number}_0000", "case{number}_0001"), "case{number}_0000", "imagesTr")
    if description:
        (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    recipe, _ = suggested(root, tmp_path)
    assert [one.name for one in recipe.data.sequences] == expected
    assert [one.files for one in recipe.data.sequences] == [["_0000$"], ["_0001$"]]
    assert recipe.data.sequences[0].reference


def test_one_sequence_per_patient_is_none(write_studies, tmp_path):
    recipe, output = suggested(write_studies(("p{number}_flair",), "p{number}_flair"), tmp_path)
    assert recipe.data.sequences is None and "Sequences" not in output
    assert recipe.pairs.augmentation.main_channel is None


def test_columns_of_a_manifest_need_no_patterns(write_studies, tmp_path):
    root = write_studies(("p{number}_a", "p{number}_b"), "p{number}_a")
    rows = [
        f"p{number}/p{number}_a.nii.gz,p{number}/p{number}_b.nii.gz,p{number},{number % 2}"
        for number in range(6)
    ]
    (root / "labels.csv").unlink()
    (root / "manifest.csv").write_text("image_a,image_b,patient,label\n" + "\n".join(rows), encoding="utf-8")
    recipe, output = suggested(root, tmp_path)
    assert recipe.data.sequences is None and "Sequences of 6 studies: a, b; a is the reference" in output
    assert recipe.pairs.augmentation.main_channel == 0 and recipe.pairs.augmentation.channel_loss == 0.3
