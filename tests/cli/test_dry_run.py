"""`clamnet-tf fit --dry-run`: ten slices, a contact sheet, memory and time; nothing is trained or kept."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from clamnet_tf.cli.main import main
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.reporting.contact_sheet import CAPTION, CELL, GAP, SheetRow, contact_sheet
from clamnet_tf.reporting.overlays import TRUTH_RGB
from clamnet_tf.workflows.dry_run import few_cases

RECIPE = """
name: tiny
modality: xray
condition: lesion
data: {cohort: null, side: 32}
pairs: {matching: {"on": none}}
network: {depth: 3, filters: [4, 6, 8], kernels: [3, 3, 3]}
training: {steps: 90, batch_size: 4, evaluate_every: 30}
self_training: {rounds: 1, steps: 40, network: {depth: 3, filters: [4, 6, 8], kernels: [3, 3, 3]}}
"""


@pytest.fixture
def folder(tmp_path, rng):
    """40 patients with a picture each, half of them with a bright spot."""
    rows, columns = np.mgrid[:64, :64]
    body = np.hypot(rows - 32, columns - 32) < 25
    for number in range(40):
        place = tmp_path / "studies" / ("spot" if number % 2 else "normal")
        place.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 5, (64, 64)) + 100 * body
        image[30:38, 30:38] += 100 * (number % 2)
        Image.fromarray(image.astype(np.uint8)).save(place / f"patient{number}.png")
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return tmp_path


def fit(folder, *options):
    words = ["fit", folder / "tiny.yaml", "--data", folder / "studies", "--out", folder / "runs" / "tiny"]
    words += ["--cache", folder / "cache", *options]
    return CliRunner().invoke(main, [str(word) for word in words])


def test_a_dry_run_shows_and_measures_and_leaves_nothing_else(folder):
    result = fit(folder, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "10 slices of 32 x 32 pixels" in result.output
    stages = re.findall(r"(\S+): ([\d,]+) parameters, (\d+) steps of ([\d.]+) s", result.output)
    assert [(name, steps) for name, _, steps, _ in stages] == [
        ("image-labels", "90"),
        ("self-training-1", "40"),
    ]
    assert all(float(seconds) > 0 for *_, seconds in stages)
    assert (
        "preparing 40 slices" in result.output and "Memory: " in result.output and "Disk: " in result.output
    )
    sheet = folder / "runs" / "tiny_dry_run" / "contact_sheet.png"
    assert [path for path in (folder / "runs").rglob("*") if path.is_file()] == [sheet], "no run was begun"
    assert not list((folder / "cache").rglob("*.npy")), "nothing stays in the cache"
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape[1] == CAPTION + 4 * (CELL + GAP) + GAP, "image, one channel, two views"
    outlined = (pixels == TRUTH_RGB).all(axis=-1)
    first = slice(CAPTION + GAP, CAPTION + GAP + CELL)
    assert outlined[:, first].sum() > 8 * 200, "the organ of 8 images"
    assert not outlined[:, first.stop :].any()


def test_a_dry_run_goes_alone(folder):
    for option in ("--resume", "--start-or-resume"):
        result = fit(folder, "--dry-run", option)
        assert result.exit_code == 2 and "--dry-run trains nothing" in result.output


def test_a_channel_that_images_lack_points_to_init(folder):
    result = fit(folder, "--dry-run", "--set", "data.channels=[1]")
    assert result.exit_code == 2
    assert "data.channels asks for channel 1" in result.output
    assert f"clamnet-tf init {folder / 'studies'}" in result.output


def test_few_cases_are_whole_volumes_of_every_kind(tmp_path):
    cases = []
    for patient in range(30):
        side = ("train", "train", "val", "test")[patient % 4]
        cases += [
            Case(
                tmp_path / f"{patient}_{height}.png", f"p{patient}", int(height == 2), None, "s", None, height
            )
            for height in range(5)
        ]
        cases[-5:] = [Case(**{**vars(case), "split": side}) for case in cases[-5:]]
    wanted = {("train", True): 4, ("train", False): 4, ("val", True): 1, ("val", False): 1}
    few = few_cases(Manifest(tmp_path, tuple(cases)), wanted)
    counts = dict.fromkeys(wanted, 0)
    for case in few.cases:
        counts[case.split, bool(case.label)] += 1
    assert all(counts[key] >= wanted[key] for key in wanted)
    assert len(few.cases) == 5 * len({case.patient for case in few.cases}) == 25, "4 of train and 1 of val"


def test_a_contact_sheet_puts_every_picture_in_its_place():
    rows = [
        SheetRow("one", (np.full((20, 10), 200, np.uint8), np.full((5, 5, 3), (9, 99, 199), np.uint8)), True),
        SheetRow("two", (np.full((8, 8), 50, np.uint8), np.full((600, 300), 77, np.uint8))),
    ]
    sheet = contact_sheet(["A title"], ["first", "second"], rows)
    left, height = CAPTION + GAP, CELL + 2 * GAP
    top = len(sheet) - 2 * height + GAP
    middle = top + CELL // 2
    assert (sheet[middle, left + CELL // 2] == 200).all()
    assert (sheet[middle, left] == 0).all(), "a narrow picture stands on black"
    assert (sheet[middle, left + CELL + GAP + 3] == (9, 99, 199)).all()
    assert (sheet[middle + height, left] == 50).all()
    assert (sheet[middle + height, left + CELL + GAP + CELL // 2] == 77).all()
    assert sheet[:top, :CAPTION].max() > 200, "the title is drawn"
