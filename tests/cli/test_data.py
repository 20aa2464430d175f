"""`clamnet-tf data inspect` and `prepare`, from the command line to files."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from clamnet_tf.cli.main import main

CHEAP = [
    "--set",
    "data.side=64",
    "--set",
    "network.depth=3",
    "--set",
    "network.filters=[4,8,16]",
    "--set",
    "network.kernels=[3,3,3]",
]


@pytest.fixture
def folder(tmp_path, rng):
    """8 patients with a normal and an abnormal picture each; two of the normal ones are the same."""
    root = tmp_path / "pictures"
    same = None
    for number in range(8):
        for name in ("normal", "sick"):
            (root / name).mkdir(parents=True, exist_ok=True)
            rows, columns = np.mgrid[:64, :64]
            image = rng.integers(0, 5, (64, 64)) + 100 * (np.hypot(rows - 32, columns - 32) < 25)
            image = same if name == "normal" and number == 5 else image
            same = image if name == "normal" and number == 2 else same
            Image.fromarray(image.astype(np.uint8)).save(root / name / f"patient{number}_{name}.png")
    return root


def run(*arguments):
    return CliRunner().invoke(main, ["data", *(str(each) for each in arguments)])


def test_inspect_prints_the_account_and_the_problems(folder):
    result = run("inspect", folder)
    assert result.exit_code == 2
    for text in (
        "Layout class_folders: normal = 0 (8 images), sick = 1 (8 images).",
        "Patients: 8 (8 both).",
        "Slices: 16 in 16 files, 0 of them blank",
        "Sizes (rows x columns): 64 x 64 (16 slices).",
        "Channels: 1 (16 slices).",
        "Masks: none",
        "PROBLEM: 1 images have the same pixels as one of another patient",
        "1 problem(s) found.",
    ):
        assert text in result.output


def test_inspect_without_problems(folder):
    (folder / "normal" / "patient5_normal.png").unlink()
    result = run("inspect", folder)
    assert result.exit_code == 0 and "No problems found." in result.output


def test_inspect_finds_unreadable_files_and_other_channels(folder):
    (folder / "sick" / "patient1_sick.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    Image.new("RGB", (64, 64)).save(folder / "normal" / "patient5_normal.png")
    result = run("inspect", folder)
    assert result.exit_code == 2
    assert f"PROBLEM: {folder / 'sick' / 'patient1_sick.png'}" in result.output
    assert "PROBLEM: images of different channel counts (1: " in result.output
    assert "2 problem(s) found." in result.output


def test_inspect_writes_manifest_and_split(folder, tmp_path):
    result = run(
        "inspect",
        folder,
        "--quick",
        "--write-manifest",
        tmp_path / "m.csv",
        "--write-split",
        tmp_path / "s.csv",
    )
    assert result.exit_code == 0 and "Slices:" not in result.output
    with open(tmp_path / "s.csv", newline="") as stream:
        sides = {row["patient"]: row["split"] for row in csv.DictReader(stream)}
    assert set(sides) == {f"patient{number}" for number in range(8)} and set(sides.values()) == {
        "train",
        "val",
        "test",
    }
    again = run("inspect", tmp_path / "m.csv", "--quick")
    assert (
        again.exit_code == 0 and "Layout manifest" in again.output and "16 rows in 16 files" in again.output
    )


@pytest.mark.parametrize("make, message", [(False, "no such folder"), (True, "the folder is empty")])
def test_inspect_of_nothing(tmp_path, make, message):
    if make:
        (tmp_path / "x").mkdir()
    result = run("inspect", tmp_path / "x")
    assert result.exit_code == 2 and message in result.output and "Traceback" not in result.output


def test_prepare_twice(folder, tmp_path):
    (folder / "normal" / "patient5_normal.png").unlink()
    arguments = ["prepare", "mri_carcinoma", "--data", folder, "--cache", tmp_path / "cache", *CHEAP]
    first, second = run(*arguments), run(*arguments)
    assert first.exit_code == second.exit_code == 0, first.output
    assert "15 slices of 64 x 64 pixels, 1 channel(s), prepared" in first.output
    assert "train: " in first.output and "found in the cache" in second.output
    assert np.load(next((tmp_path / "cache").glob("prepared-*/images.npy"))).shape == (15, 64, 64, 1)


def test_prepare_refuses_copies_across_patients(folder, tmp_path):
    sides = [(f"patient{number}", "val" if number == 5 else "train") for number in range(8)]
    (tmp_path / "s.csv").write_text(
        "patient,split\n" + "".join(f"{patient},{side}\n" for patient, side in sides)
    )
    result = run(
        "prepare",
        "mri_carcinoma",
        "--data",
        folder,
        "--cache",
        tmp_path / "cache",
        "--split-file",
        tmp_path / "s.csv",
        *CHEAP,
    )
    assert result.exit_code == 2
    assert (
        "1 image(s) have the same pixels on two sides" in result.output
        and "patient5_normal.png (patient patient5, val)" in result.output
    )
