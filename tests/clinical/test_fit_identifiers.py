"""No patient's name appears in a run folder or an evaluation without --keep-identifiers.

Split files with pseudonyms still find their patients.
"""

import csv
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SETTINGS = """
    data.side=32 organ.method=none network.depth=2 network.filters=[4,6] network.kernels=[3,3]
    training.batch_size=4 training.steps=2 training.evaluate_every=2 training.checkpoint_every=2
    self_training.rounds=0 data.window=null data.normalization=zscore
""".split()
PEOPLE = (
    "Miller^Anna",
    "Kowalski^Jan",
    "Tanaka^Yuki",
    "Okafor^Chidi",
    "Novak^Eva",
    "Silva^Rui",
    "Larsen^Mette",
    "Rossi^Ugo",
)
SECRETS = [
    *(word for name in PEOPLE for word in name.split("^") if len(word) > 3),
    "Nowhere",
    "MRN-88",
    "MRN88",
]


def write_slice(path, person, number, pixels, uids):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    elements = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": uids[0],
        "SeriesInstanceUID": uids[1],
        "FrameOfReferenceUID": uids[2],
        "PatientName": PEOPLE[person],
        "PatientID": f"MRN-88{person:03d}",
        "Modality": "CT",
        "InstitutionName": "Saint Nowhere",
        "InstanceNumber": number,
        "ImagePositionPatient": [0, 0, 2.5 * number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1, 1],
        "SliceThickness": 2.5,
        "Rows": 32,
        "Columns": 32,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
    }
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """DICOM studies of eight people in folders of their names, every second one abnormal."""
    rng, root, rows = np.random.default_rng(0), tmp_path_factory.mktemp("archive"), []
    for person, name in enumerate(PEOPLE):
        folder = root / name.replace("^", "_")
        folder.mkdir()
        uids = [generate_uid() for _ in range(3)]
        for number in range(3):
            pixels = 1024 + rng.integers(0, 80, (32, 32))
            pixels[10:14, 10:14] += 200 * (person % 2)
            write_slice(folder / f"{name.split('^')[0]}_{number}.dcm", person, number, pixels, uids)
        rows.append((uids[1], person % 2))
    with open(root / "labels.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("SeriesInstanceUID", "label"), *rows])
    return root


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "clamnet_tf", *map(str, words)], capture_output=True, text=True
    )


def fit(tree, out, cache, *more):
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    return run("fit", "ct_carcinoma", "--data", tree, "--out", out, "--cache", cache, *sets, *more)


@pytest.fixture(scope="module")
def fitted(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    return fit(tree, folder / "run", folder / "cache"), folder / "run", folder / "cache"


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def secrets_in(folder):
    """(file, word) of every secret in a name or a byte below `folder`."""
    found = []
    for path in folder.rglob("*"):
        text = str(path.relative_to(folder)).encode() + (path.read_bytes() if path.is_file() else b"")
        found += [(path.name, word) for word in SECRETS if word.lower().encode() in text.lower()]
    return found


def test_fit_writes_no_name(fitted):
    done, out, _ = fitted
    assert done.returncode == 0, done.stderr
    assert secrets_in(out) == []
    assert [word for word in SECRETS if word.lower() in (done.stdout + done.stderr).lower()] == []
    rows = rows_of(out / "split.csv")
    assert {row["patient"] for row in rows} == {f"patient{number}" for number in range(1, 9)}
    cases = rows_of(out / "evaluation" / "cases.csv")
    assert cases and all(
        row["patient"].startswith("patient") and row["image"].startswith("patient") for row in cases
    )


def test_evaluate_follows_the_split_file_and_writes_no_name(fitted, tree, tmp_path):
    _, out, cache = fitted
    done = run(
        "evaluate",
        out,
        "--data",
        tree,
        "--split",
        "val",
        "--split-file",
        out / "split.csv",
        "--out",
        tmp_path / "e",
        "--cache",
        cache,
    )
    assert done.returncode == 0, done.stderr
    assert secrets_in(tmp_path / "e") == []
    wanted = {row["patient"] for row in rows_of(out / "split.csv") if row["split"] == "val"}
    assert {row["patient"] for row in rows_of(tmp_path / "e" / "patients.csv")} == wanted


def test_the_split_file_of_other_data_is_refused(fitted, tree, tmp_path):
    """patient1 of other data is somebody else."""
    _, out, cache = fitted
    lines = (out / "split.csv").read_text().splitlines()
    digest = lines[1].rpartition(",")[2]
    other = tmp_path / "split.csv"
    other.write_text("\n".join(line.replace(digest, "0" * 12) for line in lines) + "\n")
    done = run(
        "evaluate",
        out,
        "--data",
        tree,
        "--split",
        "val",
        "--split-file",
        other,
        "--out",
        tmp_path / "e",
        "--cache",
        cache,
    )
    assert done.returncode == 2 and "was written for other data" in done.stderr


def test_names_are_kept_on_request(fitted, tree, tmp_path):
    _, out, cache = fitted
    done = run(
        "evaluate", out, "--data", tree, "--keep-identifiers", "--out", tmp_path / "e", "--cache", cache
    )
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "e" / "cases.csv")
    assert {row["patient"] for row in rows} == {f"MRN-88{person:03d}" for person in range(8)}
    assert {row["site"] for row in rows} == {"Saint Nowhere"}
    assert any(row["image"].startswith("Miller_Anna/") for row in rows)
