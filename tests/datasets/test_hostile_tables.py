"""Tables with very many columns, cells or digits, pipes, and CSV files without formulas."""

import csv
import os
import time
from pathlib import Path

import pytest

from clamnet_tf import spreadsheet
from clamnet_tf.datasets.layouts.listing import list_folder
from clamnet_tf.datasets.manifest import Case, Manifest, read_manifest, write_manifest
from clamnet_tf.datasets.split import read_split, write_split
from clamnet_tf.datasets.table_files import read_table
from clamnet_tf.datasets.table_limits import MOST_CELLS, MOST_COLUMNS
from clamnet_tf.errors import DataError

FORMULAS = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("http://x";"y")',
    "\uff1d1",
    " =1",
    "'=1",
    "''=1",
)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("columns", [MOST_COLUMNS + 1, 100_000])
@pytest.mark.parametrize("names", ["c{}", "c", "image"])
def test_very_many_columns(tmp_path, columns, names):
    path = write(
        tmp_path / "manifest.csv",
        ",".join(names.format(number) for number in range(columns)) + "\n" + "1," * columns,
    )
    began = time.process_time()
    with pytest.raises(
        DataError, match=f"manifest.csv: has {columns:,} columns, at most {MOST_COLUMNS:,} are read"
    ):
        read_manifest(path)
    assert time.process_time() - began < 5


def test_as_many_columns_as_are_read_take_little_time(tmp_path):
    names = [f"c{number}" for number in range(MOST_COLUMNS)]
    path = write(tmp_path / "manifest.csv", ",".join(names) + "\n" + ",".join(names) + "\n")
    began = time.process_time()
    with pytest.raises(DataError, match=r"unknown column 'c0'") as caught:
        read_manifest(path)
    assert time.process_time() - began < 5 and len(str(caught.value)) < 10_000


def test_very_many_cells(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\n" + "," * (MOST_CELLS + 1))
    with pytest.raises(DataError, match=f"at most {MOST_CELLS:,} are read"):
        read_table(path)


@pytest.mark.parametrize("column", ["label", "slice", "position", "eta"])
def test_numbers_of_very_many_digits(tmp_path, column):
    write(tmp_path / "a.png", "")
    cells = {"image": "a.png", "patient": "p", "label": "1", column: "9" * 5000}
    path = write(tmp_path / "manifest.csv", ",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    with pytest.raises(DataError, match=f"line 2: {column}: expected .*, received '9+\\.\\.\\.'") as caught:
        read_manifest(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "d/" * 3000])
def test_names_that_no_file_has(tmp_path, name):
    path = write(tmp_path / "manifest.csv", f"image,patient,label\n{name},p,1\n")
    with pytest.raises(DataError, match="line 2: image: .* is not a path|holds binary zeros"):
        read_manifest(path)


def test_very_many_empty_cells_at_the_right_are_dropped_at_once(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    lines = ["image,patient,label,,", "a.png,p,1" + "," * 400_000, "a.png,q,0,", "a.png,r"]
    began = time.process_time()
    with pytest.raises(DataError, match="line 4: 2 cells, the header has 3"):
        read_table(write(tmp_path / "manifest.csv", "\n".join(lines) + "\n"))
    assert time.process_time() - began < 5


def test_pipes_are_no_tables(tmp_path):
    os.mkfifo(tmp_path / "manifest.csv")
    with pytest.raises(DataError, match="manifest.csv: cannot be read: it is a pipe or device, not a table"):
        read_table(tmp_path / "manifest.csv")
    write(tmp_path / "a.png", "")
    assert [path.name for path in list_folder(tmp_path).files] == ["a.png"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text_and_comes_back(text):
    written = spreadsheet.cell(text)
    (read,) = next(csv.reader([written]))
    assert read.startswith("'") and spreadsheet.restored(read) == text


@pytest.mark.parametrize(
    "value, written",
    [
        (-1.5, "-1.5"),
        (None, ""),
        ("-1.5", "-1.5"),
        ("+3e-05", "+3e-05"),
        (7, "7"),
        ("a-b", "a-b"),
        ("a;=1", '"a;=1"'),
        ("'tis", "'tis"),
    ],
)
def test_numbers_and_words_stay_as_they_are(value, written):
    assert spreadsheet.cell(value) == written
    assert spreadsheet.restored(written) == written


def test_no_cell_of_a_split_or_manifest_is_a_formula_and_names_come_back(tmp_path):
    names = [text for text in FORMULAS if text == text.strip()]
    for number, _ in enumerate(names):
        write(tmp_path / f"={number}.png", "")
    cases = tuple(
        Case(tmp_path / f"={number}.png", name, number % 2, site=name, split="train")
        for number, name in enumerate(names)
    )
    write_split(Manifest(tmp_path, cases), tmp_path / "split.csv")
    write_manifest(Manifest(tmp_path, cases), tmp_path / "manifest.csv")
    for file in ("split.csv", "manifest.csv"):
        with open(tmp_path / file, newline="", encoding="utf-8") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))]
    assert read_split(tmp_path / "split.csv", names) == dict.fromkeys(names, "train")
    found = read_manifest(tmp_path / "manifest.csv").cases
    assert [(Path(case.image).name, case.patient, case.site) for case in found] == [
        (case.image.name, case.patient, case.site) for case in cases
    ]


def test_results_hold_no_formula(tmp_path):
    from clamnet_tf.evaluation.cases import write_rows
    from clamnet_tf.prediction.tables import write_table

    row = {"input": "=cmd|x.png", "number": -1.25, "nothing": None}
    write_table(tmp_path / "marks.csv", [row])
    write_rows(tmp_path / "cases.csv", [row])
    for name in ("marks.csv", "cases.csv"):
        with open(tmp_path / name, newline="", encoding="utf-8") as stream:
            assert list(csv.reader(stream)) == [["input", "number", "nothing"], ["'=cmd|x.png", "-1.25", ""]]
