"""The manifest CSV: accepted content, and all problems of a file in one message."""

import math

import pytest

from clamnet_tf.datasets.manifest import Case, Manifest, read_manifest, write_manifest
from clamnet_tf.datasets.table_files import read_table
from clamnet_tf.errors import DataError


@pytest.fixture
def root(tmp_path):
    for name in ("a.png", "b.png", "c.nii", "m.png"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_every_column_is_read(root, write_csv):
    header = [
        "image",
        "patient",
        "label",
        "site",
        "series",
        "slice",
        "position",
        "eta",
        "mask",
        "split",
        "organ",
    ]
    path = write_csv(
        root / "manifest.csv",
        header,
        [["c.nii", "p1", "2", "S", "s1", "3", "-7.5", "0.25", "m.png", "Validation", "b.png"]],
    )
    (case,) = read_manifest(path).cases
    assert case == Case(
        root / "c.nii", "p1", 2, "S", "s1", 3, -7.5, 0.25, root / "m.png", "val", root / "b.png"
    )


@pytest.mark.parametrize(
    ("file", "name"), [("hands.csv", "hands"), ("Manifest.csv", None), ("data.csv", None)]
)
def test_the_data_is_named_after_the_file_unless_every_set_has_such_a_file(root, write_csv, file, name):
    manifest = read_manifest(write_csv(root / file, ["image", "patient", "label"], [["a.png", "p1", "1"]]))
    assert manifest.name == (name or root.name)
    assert Manifest(root, manifest.cases).name == root.name


def test_empty_cells_are_none(root, write_csv):
    path = write_csv(
        root / "manifest.csv", ["image", "patient", "label", "site", "eta"], [["a.png", "p", "", "", ""]]
    )
    assert read_manifest(path).cases == (Case(root / "a.png", "p", None),)


@pytest.mark.parametrize("prefix, delimiter", [("", ","), ("\ufeff", ";"), ("", "\t")])
def test_delimiters_and_byte_order_mark(root, prefix, delimiter):
    lines = [["image", "patient", "label"], ["a.png", "p", "0"]]
    path = root / "manifest.csv"
    path.write_text(prefix + "\r\n".join(delimiter.join(line) for line in lines), encoding="utf-8")
    assert read_manifest(path).cases[0].label == 0


def test_absolute_paths_are_taken_and_folders_too(root, write_csv, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "z.png").write_bytes(b"x")
    (root / "series").mkdir()
    path = write_csv(
        root / "manifest.csv",
        ["image", "patient", "label"],
        [[elsewhere / "z.png", "p", 1], ["series", "q", 0]],
    )
    assert [case.image for case in read_manifest(path).cases] == [elsewhere / "z.png", root / "series"]


WRONG = {
    "missing file": (["gone.png", "p", "0", "", ""], r"line 2: image: no such file: 'gone.png'"),
    "label text": (["a.png", "p", "yes", "", ""], r"line 2: label: expected a whole number .*received 'yes'"),
    "label negative": (["a.png", "p", "-1", "", ""], r"line 2: label: .*received '-1'"),
    "label decimal": (["a.png", "p", "1.5", "", ""], r"line 2: label: .*received '1.5'"),
    "eta zero": (
        ["a.png", "p", "1", "0", ""],
        r"line 2: eta: expected a probability in \(0, 1\], received '0'",
    ),
    "eta above": (["a.png", "p", "1", "1.01", ""], r"line 2: eta: .*received '1.01'"),
    "eta nan": (["a.png", "p", "1", "nan", ""], r"line 2: eta: .*received 'nan'"),
    "split": (
        ["a.png", "p", "1", "", "tets"],
        r"line 2: split: expected train, val or test, received 'tets' \(did you mean 'test'\?\)",
    ),
    "no patient": (["a.png", "", "1", "", ""], r"line 2: patient: is empty"),
    "no image": (["", "p", "1", "", ""], r"line 2: image: is empty"),
    "escape": (["../a.png", "p", "1", "", ""], r"line 2: image: '../a.png' leaves the folder"),
    "escape inside": (["x/../../a.png", "p", "1", "", ""], r"line 2: image: .*leaves the folder"),
}


@pytest.mark.parametrize("row, message", WRONG.values(), ids=WRONG.keys())
def test_wrong_cell(root, write_csv, row, message):
    path = write_csv(root / "manifest.csv", ["image", "patient", "label", "eta", "split"], [row])
    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_all_problems_at_once_with_lines(root, write_csv):
    rows = [["a.png", "p", "x"], ["b.png", "p", "1"], ["gone.png", "", "1"], ["b.png", "p", "1"]]
    path = write_csv(root / "manifest.csv", ["image", "patient", "label"], rows)
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: 4 problem(s):")
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == [
        "line 2",
        "line 4",
        "line 4",
        "line 5",
    ]
    assert "line 5: image 'b.png' is already in line 3" in text


def test_at_most_twenty_problems_are_listed(root, write_csv):
    path = write_csv(
        root / "manifest.csv", ["image", "patient", "label"], [[f"{n}.png", "p", "0"] for n in range(33)]
    )
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert len(str(caught.value).splitlines()) == 1 + 20 + 1
    assert "33 problem(s)" in str(caught.value) and "... and 13 more" in str(caught.value)


def test_unknown_column_names_the_nearest(root, write_csv):
    path = write_csv(root / "manifest.csv", ["image", "pateint", "label"], [["a.png", "p", "0"]])
    with pytest.raises(
        DataError, match=r"line 1: unknown column 'pateint' \(did you mean 'patient'\?\)"
    ) as caught:
        read_manifest(path)
    assert "column 'patient' is missing" in str(caught.value)


def test_columns_of_ones_own_are_named_and_not_used(root, write_csv):
    header = ["image", "patient", "label", "site", "angle", "side"]
    path = write_csv(root / "manifest.csv", header, [["a.png", "p", "0", "A", "lateral", "left"]])
    manifest = read_manifest(path)
    assert "Columns of it that are not used: angle, side." in manifest.account
    assert manifest.cases[0].site == "A"


@pytest.mark.parametrize(
    "name, cells",
    [("masks", ["", ""]), ("Split", ["", ""]), ("fold", ["train", "Test"]), ("marker", ["", ""])],
)
def test_columns_that_may_be_misspelt_are_refused(root, write_csv, name, cells):
    rows = [["a.png", "p", "0", cells[0]], ["b.png", "q", "1", cells[1]]]
    path = write_csv(root / "manifest.csv", ["image", "patient", "label", name], rows)
    with pytest.raises(DataError, match=f"unknown column '{name}'"):
        read_manifest(path)


REPEATS = {
    "whole and slice": (
        [["c.nii", "p", "1", ""], ["c.nii", "p", "0", "1"]],
        r"line 3: image 'c.nii' is listed both whole and by slice",
    ),
    "slice twice": (
        [["c.nii", "p", "1", "1"], ["c.nii", "p", "1", "1"]],
        r"line 3: image 'c.nii' slice 1 is already in line 2",
    ),
    "two patients": (
        [["c.nii", "p", "1", "1"], ["c.nii", "q", "1", "2"]],
        r"line 3: image 'c.nii' belongs to patient 'q' here and to 'p' in line 2",
    ),
}


@pytest.mark.parametrize("rows, message", REPEATS.values(), ids=REPEATS.keys())
def test_repeats(root, write_csv, rows, message):
    path = write_csv(root / "manifest.csv", ["image", "patient", "label", "slice"], rows)
    with pytest.raises(DataError, match=message):
        read_manifest(path)


BROKEN = {
    "not text": (b"image,patient,label\n\x81\xfe", r"is not UTF-8 \(first in line 2\), nor UTF-16"),
    "empty": (b"", r"is empty; its first line must name the columns"),
    "header only": (b"image,patient,label\n", r"has a header but no rows"),
    "ragged": (b"image,patient,label\na.png,p\n", r"line 2: 2 cells, the header has 3"),
    "column twice": (b"image,patient,label,label\na.png,p,0,0\n", r"column 'label' appears twice"),
}


@pytest.mark.parametrize("content, message", BROKEN.values(), ids=BROKEN.keys())
def test_broken_tables(root, content, message):
    path = root / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_missing_table(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_table(tmp_path / "none.csv")


def test_written_manifest_reads_back_the_same(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / 'o, "1".png'
    outside.write_bytes(b"x")
    cases = (
        Case(
            root / "c.nii", "p,1", 1, "Städt.", "s", 4, math.pi, 0.1, root / "m.png", "train", root / "b.png"
        ),
        Case(outside, "q", None),
    )
    write_manifest(Manifest(root, cases), root / "sub" / "manifest.csv")
    assert read_manifest(root / "sub" / "manifest.csv").cases == cases
