"""What users get wrong, as they would: one clear message, the right exit code, nothing left behind, nothing
lost.
"""

import csv
import os
import re
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

NORMAL, ABNORMAL = 0, 1


def picture(path, value=100, channels=3, size=(24, 24)):
    rng = np.random.default_rng(value)
    array = np.zeros((*size, channels), np.uint8)
    if min(size) > 8:
        array[4:-4, 4:-4] = rng.integers(value, value + 60, (size[0] - 8, size[1] - 8, channels))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array if channels > 1 else array[..., 0]).save(path)


def class_folders(root, **changes):
    for name, count in {"normal": 12, "tumor": 12, **changes}.items():
        for number in range(count):
            picture(root / name / f"p{number}_{name}.png", 60 + 5 * number + (name == "tumor"))


def labelled(root, files, labels=None):
    """A labels CSV beside files that exist already."""
    with open(root / "labels.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "patient", "label"])
        for number, name in enumerate(files):
            writer.writerow([name, f"p{number}", (labels or [NORMAL, ABNORMAL] * len(files))[number]])


def empty(root):
    root.mkdir()


def one_class(root):
    class_folders(root, tumor=0)


def missing_files(root):
    class_folders(root / "images")
    labelled(root, ["images/normal/p0_normal.png", "images/gone.png", "images/tumor/lost.png"])


def with_dicom(root, spoil):
    root.mkdir()
    names = []
    for number in range(12):
        data = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
        data.PatientID, data.SOPInstanceUID, data.Modality = f"p{number}", f"1.2.3.{number}", "MR"
        data.SeriesInstanceUID, data.StudyInstanceUID = f"1.2.4.{number}", f"1.2.5.{number}"
        data.PixelData = (np.frombuffer(data.PixelData, "<i2") + number).astype("<i2").tobytes()
        data.save_as(root / f"{number}.dcm")
        names.append(f"{number}.dcm")
    spoil(root)
    labelled(root, names)


def truncated_dicom(root):
    with_dicom(root, lambda folder: (folder / "3.dcm").write_bytes((folder / "3.dcm").read_bytes()[:9000]))


def text_called_dcm(root):
    with_dicom(root, lambda folder: (folder / "3.dcm").write_text("see the other folder\n" * 20))


def channel_counts(root):
    class_folders(root)
    picture(root / "tumor" / "p3_tumor.png", 99, channels=1)


def not_a_number(root):
    for name in ("normal", "tumor"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            array = (
                np.random.default_rng(number + 100 * (name == "tumor")).random((24, 24)).astype(np.float32)
            )
            array[3, 3] = np.nan if (name, number) == ("tumor", 5) else 0.5
            np.save(root / name / f"p{number}_{name}.npy", array)


def one_pixel(root):
    class_folders(root)
    picture(root / "normal" / "p4_normal.png", 50, size=(1, 1))


@pytest.mark.parametrize(
    "make, message",
    [
        (empty, r"no (files|images)|empty"),
        (one_class, r"one class|no abnormal|only normal|both"),
        (missing_files, r"gone\.png"),
        (truncated_dicom, r"3\.dcm.*(truncated|short|fewer|expected)"),
        (text_called_dcm, r"3\.dcm.*text"),
        (channel_counts, r"p3_tumor\.png|channel"),
        (not_a_number, r"p5_tumor\.npy.*NaN"),
        (one_pixel, r"p4_normal\.png.*(small|1 x 1|1 rows)"),
    ],
)
def test_bad_data_is_one_clear_message(tmp_path, make, message):
    data, out = tmp_path / "data", tmp_path / "run"
    make(data)
    done = fit(out, "--data", str(data))
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr and done.stderr.count("Error:") == 1
    assert re.search(message, done.stderr, re.S | re.I), done.stderr
    assert not out.exists(), "a run folder without a run is in the way of the next try"


def test_a_recipe_without_a_cohort_asks_for_data(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "clamnet_tf", "fit", "xray_pneumonia", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert (
        "--data: expected a folder or manifest of labelled images, since recipe xray_pneumonia has no "
        "built-in cohort" in done.stderr
    )
    assert not (tmp_path / "run").exists()


def fit(out, *more):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "clamnet_tf",
            "fit",
            "mri_carcinoma",
            "--out",
            str(out),
            "--set",
            "data.side=32",
            *more,
        ],
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="a read-only mount needs root")
def test_a_read_only_output_folder(tmp_path):
    folder = tmp_path / "fixed"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        done = fit(folder / "run")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert (
        done.returncode == 1
        and "read-only; choose another folder" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_an_out_that_holds_other_files_is_left_alone(tmp_path):
    (tmp_path / "letters.txt").write_text("dear all")
    done = fit(tmp_path)
    assert done.returncode == 2 and "it holds other files" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_resume_of_nothing(tmp_path):
    done = fit(tmp_path / "none", "--resume")
    assert done.returncode == 2 and "found no recipe.yaml" in done.stderr and not (tmp_path / "none").exists()


def test_a_recipe_that_does_not_exist_names_the_nearest(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "clamnet_tf", "fit", "mri_carcinom", "--out", str(tmp_path / "x")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "mri_carcinoma" in done.stderr and not (tmp_path / "x").exists()


def test_a_bucket_that_cannot_be_written_is_known_before_training(tmp_path):
    command = [
        sys.executable,
        "-m",
        "clamnet_tf",
        "fit",
        "mri_carcinoma",
        "--out",
        "gs://bucket/run",
        "--start-or-resume",
    ]
    nowhere = {
        **os.environ,
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9",
        "CLOUDSDK_CONFIG": str(tmp_path / "none"),
        "no_proxy": "*",
    }
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=nowhere, timeout=240)
    assert (
        done.returncode == 1
        and "gs://bucket/run: " in done.stderr
        and "what this machine may do there" in done.stderr
    ), done.stderr
    assert "Simulating" not in done.stdout and not list(tmp_path.iterdir())
