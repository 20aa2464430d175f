"""clamnet-tf compare on hand-made patients.csv."""

import csv
import json
from pathlib import Path

from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.study.folds.compare import read_folders

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = (
    "patient",
    "dice",
    "dice_otsu",
    "outlined_slices",
    "dice_slice",
    "dice_slice_otsu",
    "marked_share",
    "marked_share_otsu",
)


def folder(path, rows):
    """rows: (patient, Dice, Dice of otsu) of patients with a lesion, or a dict of columns."""
    path.mkdir(parents=True)
    with open(path / "patients.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(row if isinstance(row, dict) else dict(zip(COLUMNS, row)) for row in rows)
    return path


def normal(patient, ours, otsu):
    return {"patient": patient, "marked_share": ours, "marked_share_otsu": otsu}


def run(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_folds_are_put_together_and_paired_and_normals_stand_apart(tmp_path):
    """Dice 0.9, 0.7, 0.8 on the three with a lesion, whatever is marked on the three without: 0, 0.2 and 0.1
    of the organ.
    """
    ours = [folder(tmp_path / "a0", [("p1", 0.9, 0.4), ("p3", 0.7, 0.2), normal("n1", 0, 1)])]
    ours.append(
        folder(
            tmp_path / "a1" / "evaluation", [("p2", 0.8, 0.0), normal("n2", 0.2, 1), normal("n3", 0.1, 0)]
        ).parent
    )
    theirs = folder(
        tmp_path / "b",
        [
            ("p1", 0.8, 0),
            ("p2", 0.7, 0),
            ("p3", 0.6, 0),
            normal("n1", 0, 0),
            normal("n2", 0, 0),
            normal("n3", 0, 0),
        ],
    )
    table = tmp_path / "folds.csv"
    done = run(f"ours={ours[0]},{ours[1]}", f"theirs={theirs}", "--baseline", "otsu", "--table", table)
    assert done.exit_code == 0, done.stderr
    first, second, third, *normals = done.stdout.splitlines()
    assert first.startswith("ours: Dice 0.800 (") and first.endswith("3 patients with a lesion")
    assert (
        "theirs: Dice 0.700" in second and "first less this +0.100 (+0.100 to +0.100), ratio 1.14" in second
    )
    assert "otsu: Dice 0.200" in third and "+0.600" in third
    assert (
        normals[0].startswith("ours: 0.333 (")
        and "of 3 patients without a lesion left unmarked; marked share of their organ 0.100 (" in normals[0]
    )
    assert (
        normals[1]
        == "theirs: 1.000 (1.000 to 1.000) of 3 patients without a lesion left unmarked; marked share of "
        "their organ 0.000 (0.000 to 0.000)"
    )
    assert normals[2].startswith("otsu: 0.333 (") and "organ 0.667 (" in normals[2]
    assert table.read_text().splitlines() == [
        "patient,fold,ours,theirs,otsu",
        "p1,0,0.9,0.8,0.4",
        "p2,1,0.8,0.7,0",
        "p3,0,0.7,0.6,0.2",
    ]
    again = run("--of-table", table)
    assert again.stdout.splitlines() == [first, second, third]


def test_neither_marks_the_lesion(tmp_path):
    """Normals rightly left alone do not make a method that misses every lesion look better than another that
    misses them too.
    """
    ours = folder(
        tmp_path / "a",
        [("p1", 0, 0.01), ("p2", 0.01, 0.02), *(normal(f"n{number}", 0, 1) for number in range(9))],
    )
    done = run(f"ours={ours}", "--baseline", "otsu")
    first, second, third, fourth = done.stdout.splitlines()
    assert (
        first.startswith("ours: Dice 0.005")
        and "otsu: Dice 0.015" in second
        and second.endswith("neither marks the lesion")
    )
    assert third.startswith("ours: 1.000") and fourth.startswith("otsu: 0.000")
    nothing = folder(
        tmp_path / "b", [("p1", 0, 0), ("p2", 0, 0), *(normal(f"n{number}", 0, 1) for number in range(9))]
    )
    assert "ratio" not in run(f"ours={ours}", f"nothing={nothing}").stdout


def test_outlines_of_single_slices_are_compared_by_slice(tmp_path):
    """Slices 0.5, 0.5, 0.8 of ours against 0.2, 0.2, 0.2: (2 x 0.5 + 0.8) / 3 = 0.6 and 0.2, difference
    0.4.
    """
    rows = [
        {"patient": "p1", "outlined_slices": 2, "dice_slice": 0.5, "dice_slice_otsu": 0.2},
        {"patient": "p2", "outlined_slices": 1, "dice_slice": 0.8, "dice_slice_otsu": 0.2},
    ]
    done = run(f"ours={folder(tmp_path / 'a', rows)}", "--baseline", "otsu")
    assert done.exit_code == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("ours: Dice per outlined slice 0.600 (") and first.endswith(
        "3 slices of 2 patients"
    )
    assert (
        "otsu: Dice per outlined slice 0.200 (0.200 to 0.200)" in second
        and "first less this +0.400" in second
    )


def test_what_cannot_be_compared_is_said(tmp_path):
    ours, theirs = folder(tmp_path / "a", [("p1", 0.9, 0)]), folder(tmp_path / "b", [("p2", 0.8, 0)])
    assert (
        "theirs: expected the same 1 patients as the first name; 2 differ, first p1"
        in run(f"ours={ours}", f"theirs={theirs}").stderr
    )
    assert "patient p1 is in another folder of the same name" in run(f"ours={ours},{ours}").stderr
    assert (
        "expected a run folder, an evaluation or a cross-validation"
        in run(f"ours={tmp_path / 'none'}").stderr
    )
    assert "--baseline atlas: expected one of otsu" in run(f"ours={ours}", "--baseline", "atlas").stderr
    (ours / "patients.csv").write_text("patient,dice\np1,0.5\nn1,0\n")
    assert (
        "it is of an earlier version, whose Dice counts patients without a lesion"
        in run(f"ours={ours}").stderr
    )
    assert (
        "no patient has an outlined lesion" in run(f"x={folder(tmp_path / 'n', [normal('n1', 0, 0)])}").stderr
    )


def test_the_published_tables_give_the_published_figures():
    said = run("--of-table", ROOT / "recipes" / "results" / "mri_folds.csv").stdout
    assert said.splitlines()[0] == "clamnet: Dice 0.747 (0.686 to 0.800), 62 patients with a lesion"
    page = (ROOT / "docs" / "explanation" / "results.md").read_text(encoding="utf-8")
    assert "0.747 (0.686 to 0.800)" in page


def test_a_cross_validation_is_one_folder_and_its_repeats_are_averaged(tmp_path):
    """p1: Dice 0.4 and 0.8, mean 0.6; p2: 0.5 and 0.3, mean 0.4; together 0.5. n1 marks 0 and 0.2: 0.1."""
    folds = folder(tmp_path / "folds", [])
    columns = ("repeat", "fold", *COLUMNS)
    rows = [
        {"repeat": 1, "fold": 1, "patient": "p1", "dice": 0.4, "dice_otsu": 0.1},
        {"repeat": 1, "fold": 2, "patient": "p2", "dice": 0.5, "dice_otsu": 0.1},
        {"repeat": 1, "fold": 2, "patient": "n1", "marked_share": 0, "marked_share_otsu": 0.5},
        {"repeat": 2, "fold": 2, "patient": "p1", "dice": 0.8, "dice_otsu": 0.1},
        {"repeat": 2, "fold": 1, "patient": "p2", "dice": 0.3, "dice_otsu": 0.1},
        {"repeat": 2, "fold": 1, "patient": "n1", "marked_share": 0.2, "marked_share_otsu": 0.5},
    ]
    (folds / "figures.json").write_text(json.dumps({}))

    def write(own):
        with open(folds / "patients.csv", "w", newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="")
            writer.writeheader()
            writer.writerows(own)

    write(rows)
    assert {name: (row["dice"], row["fold"]) for name, row in read_folders([folds]).items()} == {
        "p1": ("0.6", "1"),
        "p2": ("0.4", "2"),
        "n1": ("", "2"),
    }
    theirs = folder(tmp_path / "b", [("p1", 0.5, 0), ("p2", 0.5, 0), normal("n1", 0.3, 0)])
    done = run(f"ours={folds}", f"theirs={theirs}", "--baseline", "otsu")
    assert done.exit_code == 0, done.stderr
    first, second, third, fourth, *_ = done.stdout.splitlines()
    assert first.startswith("ours: Dice 0.500 (0.400 to 0.600), 2 patients")
    assert "theirs: Dice 0.500" in second and "first less this +0.000 (-0.100 to +0.100)" in second
    assert "otsu: Dice 0.100" in third
    assert fourth.endswith("marked share of their organ 0.100 (one patient: no interval)")
    write(rows[:-1])
    assert "patient n1 was measured in 1 of 2 repeats" in run(f"ours={folds}").stderr


def test_wrong_arguments_are_said(tmp_path):
    ours = folder(tmp_path / "a", [("p1", 0.9, 0)])
    assert "no folders: expected NAME=FOLDER" in run().stderr
    assert "the name a is given twice" in run(f"a={ours}", f"a={ours}").stderr
    assert "--of-table takes neither names nor" in run(f"a={ours}", "--of-table", ours).stderr
    (tmp_path / "t.csv").write_text("nothing\n")
    assert "expected a table that --table wrote" in run("--of-table", tmp_path / "t.csv").stderr
