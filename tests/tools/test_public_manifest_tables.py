"""tools/public-manifest on sets with a manifest.csv of their own: sides by patient, columns, malignant."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "public-manifest"
SETS = {
    "lidc_patches": (1 / 3, 1 / 9),
    "fracatlas": (1 / 4, 1 / 8),
    "chest_ct": (1 / 6, 1 / 6),
    "mias": (1 / 3, 1 / 6),
}


def write_set(folder, name):
    """36 patients of two images; every other patient has a finding, in the first image; chest_ct: 6 more of
    medseg.
    """
    cases = []
    for patient in range(36):
        for image in (0, 1):
            label = int(patient % 2 == 0 and image == 0)
            case = {
                "image": f"images/p{patient}_{image}.png",
                "patient": f"p{patient}",
                "label": label,
                "mask": "",
            }
            case["mask"] = f"masks/p{patient}_{image}.png" if label and name != "chest_ct" else ""
            case |= (
                {"site": "hand" if patient % 3 else "leg"}
                if name == "fracatlas"
                else {"site": "saopaulo"}
                if name == "chest_ct"
                else {}
            )
            case |= (
                {"severity": ("M" if patient % 4 == 0 else "B") if label else ""} if name == "mias" else {}
            )
            cases.append(case)
    if name == "chest_ct":
        cases += [
            {
                "image": f"m{n}.png",
                "patient": f"m{n}",
                "label": n % 2,
                "mask": f"m{n}_mask.png",
                "site": "medseg",
            }
            for n in range(6)
        ]
    with open(folder / "manifest.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(cases[0]))
        writer.writeheader()
        writer.writerows(cases)
    return cases


def manifest(tmp_path, name, *more):
    out = tmp_path / "out.csv"
    done = subprocess.run(
        [sys.executable, str(TOOL), name, str(tmp_path), str(out), *more], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(out.read_text().splitlines())), done.stdout


@pytest.mark.parametrize("name", SETS)
def test_sides_are_drawn_by_patient_among_those_with_and_without_a_finding(tmp_path, name):
    cases = write_set(tmp_path, name)
    rows, said = manifest(tmp_path, name)
    assert (
        said == f"{tmp_path / 'out.csv'}: {len(cases)} images of {len({case['patient'] for case in cases})} "
        f"patients\n"
    )
    sides = {}
    for row in rows:
        sides.setdefault(row["patient"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    for finding in (True, False):  # 18 patients each
        own = [sides[f"p{number}"] for number in range(36) if (number % 2 == 0) == finding]
        assert [own.count({side}) for side in ("test", "val")] == [round(18 * share) for share in SETS[name]]
    assert all(
        Path(row["image"]).is_absolute() and Path(row["image"]) == tmp_path / case["image"]
        for row, case in zip(rows, cases)
    )
    assert (
        [row["mask"] for row in rows]
        == [str(tmp_path / case["mask"]) if case["mask"] else "" for case in cases]
        if "mask" in rows[0]
        else True
    )
    assert [row["label"] for row in rows] == [str(case["label"]) for case in cases]
    expected = {"image", "patient", "label", "split", "mask"} | (
        {"site"} if name in ("fracatlas", "chest_ct") else set()
    )
    assert set(rows[0]) == expected


def test_patients_with_masks_of_chest_ct_are_only_measured_on(tmp_path):
    write_set(tmp_path, "chest_ct")
    rows, _ = manifest(tmp_path, "chest_ct")
    assert {row["split"] for row in rows if row["site"] == "medseg"} == {"test"}
    assert all((row["mask"] != "") == (row["site"] == "medseg") for row in rows)


def test_malignant_counts_benign_ones_as_normal_without_their_masks(tmp_path):
    cases = write_set(tmp_path, "mias")
    rows, _ = manifest(tmp_path, "mias", "--column", "malignant")
    for row, case in zip(rows, cases):
        assert (row["label"], bool(row["mask"])) == (("1", True) if case["severity"] == "M" else ("0", False))
    assert sum(row["label"] == "1" for row in rows) == 9
    again, _ = manifest(tmp_path, "mias", "--column", "malignant")
    assert again == rows


def test_ct_ich_gives_slices_the_label_of_their_patient_where_it_teaches(tmp_path):
    folder = tmp_path / "ct_ich"
    folder.mkdir()
    findings = ("hemorrhage", "intraventricular", "intraparenchymal", "subarachnoid", "epidural", "subdural")
    with open(folder / "labels.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, ["patient", "slice", *findings, "file", "has_mask"])
        writer.writeheader()
        for patient in range(32):
            for number in (1, 2, 3):
                bleeds = int(patient % 2 == 0 and number == 2)
                row = {"patient": patient, "slice": number, "file": f"{patient}_{number}.png", "has_mask": 0}
                writer.writerow(row | dict.fromkeys(findings, 0) | {"hemorrhage": bleeds})
    rows = {}
    for name, more in (("slice", []), ("study", ["--study-labels"])):
        out = tmp_path / f"{name}.csv"
        done = subprocess.run(
            [sys.executable, str(TOOL), "ct_ich", str(folder), str(out), *more],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        with open(out, newline="") as stream:
            rows[name] = list(csv.DictReader(stream))
    assert "label_level" not in rows["slice"][0]
    for of_slice, of_study in zip(rows["slice"], rows["study"], strict=True):
        assert of_slice["split"] == of_study["split"]
        if of_study["split"] == "test":
            assert (of_study["label_level"], of_study["label"]) == ("slice", of_slice["label"])
        else:
            abnormal = str(int(int(of_study["patient"]) % 2 == 0))
            assert (of_study["label_level"], of_study["label"]) == ("study", abnormal)
