"""Table files of any origin and the names in them (rows T3 and T4): read right, or refused by name."""

import datetime
import sys
import unicodedata
from pathlib import Path

import nibabel
import numpy as np
import openpyxl
import pandas
import pytest

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.table_files import open_table, read_table
from clamnet_tf.errors import DataError

sys.path.insert(0, str(Path(__file__).parent))  # for the inputs that this folder shares
from clinic_inputs import HEADER, picture, text_of

# T3: encodings, delimiters, BIDS, Excel

ROWS = [
    ["Bild", "Patient", "Befund"],
    ["Röntgen 1.png", "Müller, Jörg", "unauffällig"],
    ["b.png", "Çelik", "Fraktur"],
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_t3_encodings_and_delimiters_are_read_as_pandas_reads_them(tmp_path, encoding, delimiter):
    path = tmp_path / "labels.csv"
    path.write_bytes(text_of(ROWS, delimiter).encode(encoding))
    right = pandas.read_csv(path, sep=delimiter, encoding=encoding, dtype=str, keep_default_na=False)
    header, rows = read_table(path)
    assert header == list(right.columns)
    assert [list(cells.values()) for _, cells in rows] == right.values.tolist()
    notes = open_table(path).notes
    assert (
        notes == ()
        if encoding != "cp1252"
        else "was read as Windows-1252: check that 'Röntgen' in line 2" in notes[0]
    )


@pytest.mark.parametrize(
    ("hint", "delimiter"),
    [("sep=;", ";"), ("SEP=,", ","), ('"sep=;"', ";"), ("sep=\t", "\t"), ("sep=|", "|")],
)
def test_t3_the_hint_of_excel_is_no_header(tmp_path, hint, delimiter):
    path = tmp_path / "labels.csv"
    path.write_bytes((hint + "\r\n" + text_of(ROWS, delimiter)).encode("cp1252"))
    header, rows = read_table(path)
    assert header == ROWS[0] and rows[1] == (4, dict(zip(ROWS[0], ROWS[2])))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            text_of([HEADER, ["a.png", "Иванова", "норма"]]).encode("cp1251"),
            r"is not UTF-8 \(first in line 2\).*another code page",
        ),
        (text_of([HEADER, ["a.png", "Γιάννης", "υγιής"]]).encode("cp1253"), "another code page"),
        (text_of([HEADER, ["a.png", "Müller", "ok"]]).encode("cp850"), "another code page"),
        (text_of([HEADER, ["a.png", "Müller", "gesund"]]).encode("mac_roman"), "another code page"),
        (text_of([HEADER, ["a.png", "山田太郎", "正常"]]).encode("shift_jis"), "another code page"),
        (text_of([HEADER, ["a.png", "p", "0"]]).encode("utf-16")[:-1], "begins as UTF-16 text, but byte"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
            "an Excel workbook of the old kind .*save it as .xlsx",
        ),
        (b"<html><table><tr><td>image</td></tr></table></html>", "a web page or XML"),
        (b"%PDF-1.4", "a PDF document; export the table as CSV"),
        (b"image,label\na.png\0,0\n", "holds binary zeros"),
        (b"PK\x03\x04rubbish", "damaged or cut off Excel workbook"),
    ],
    ids=[
        "cyrillic",
        "greek",
        "dos",
        "macintosh",
        "japanese",
        "cut off",
        "xls",
        "web page",
        "pdf",
        "zeros",
        "zip",
    ],
)
def test_t3_what_cannot_be_read_is_named_with_file_and_cure(tmp_path, rng, content, words):
    root = tmp_path / "data"
    picture(root / "a.png", rng)
    (root / "labels.csv").write_bytes(content)
    for table in (None, root / "labels.csv"):
        with pytest.raises(DataError, match=f"labels.csv.*{words}"):
            recognize(root, table)


def workbook(path, rows, title="Befunde", more=None):
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    if more:
        more(book)
    book.save(path)
    return path


@pytest.mark.parametrize("name", ["labels.xlsx", "labels.xlsm", "labels.csv"])
def test_t3_excel_workbooks_are_read_whatever_they_are_called(tmp_path, rng, name):
    root = tmp_path / "data"
    for stem in ("007", "Röntgen", "c"):
        picture(root / f"{stem}.png", rng)
    rows = [
        ["Image", "PatientID", "Label", "eta"],
        [7, 1001.0, "normal", None],
        ["Röntgen", 1002, "fracture", 0.5],
        ["c", "x", "n/a", 0.25],
    ]

    def with_zeros(book):
        book.active["A2"].number_format = "000"
        book.create_sheet("Legend").append(["0 is normal"])

    table = workbook(tmp_path / "book.xlsx", rows, more=with_zeros)
    right = pandas.read_excel(table, dtype=str)
    table.rename(root / name)
    manifest = recognize(root)
    assert [(case.image.name, case.patient, case.label, case.eta) for case in manifest.cases] == [
        ("007.png", "1001", 0, None),
        ("Röntgen.png", "1002", 1, 0.5),
        ("c.png", "x", None, 0.25),
    ]
    assert [case.patient for case in manifest.cases] == right["PatientID"].tolist()
    assert f"ATTENTION: {name} has several sheets; 'Befunde' is read, not 'Legend'." in manifest.account


def hidden(book):
    book.active.row_dimensions[2].hidden = True


def test_t3_hidden_rows_of_a_workbook_count_and_are_told(tmp_path):
    table = open_table(workbook(tmp_path / "a.xlsx", [HEADER, ["a", "p", 0], ["b", "q", 1]], more=hidden))
    assert len(table.rows) == 2 and "1 rows of a.xlsx are hidden" in table.notes[0]


@pytest.mark.parametrize(
    ("rows", "more", "words"),
    [
        (
            [HEADER, ["a", "p", 0], ["b", None, 1]],
            lambda book: book.active.merge_cells("B2:B3"),
            "cells B2:B3 are merged",
        ),
        (
            [HEADER, ["a", "p", "=IF(1,0,1)"]],
            None,
            r"cell C2: the formula '=IF\(1,0,1\)' has no stored value; open and save the workbook",
        ),
        (
            [HEADER, ["a", 12345678901234567, 0]],
            None,
            "cell B2: a number of more than 15 digits, which Excel has rounded; write it as text",
        ),
        ([HEADER, ["a", "p", "#REF!"]], None, "cell C2: holds the error #REF!"),
        (
            [HEADER, ["a", "p", 0]],
            lambda book: book.copy_worksheet(book.active),
            "the sheets 'Befunde', 'Befunde Copy' have the same columns",
        ),
    ],
    ids=["merged", "formula", "digits", "error", "two readers"],
)
def test_t3_what_a_workbook_leaves_open_is_refused_by_cell(tmp_path, rows, more, words):
    with pytest.raises(DataError, match=words):
        read_table(workbook(tmp_path / "labels.xlsx", rows, more=more))


def test_t3_dates_and_truths_of_a_workbook(tmp_path):
    rows = [
        ["a", "b", "c"],
        [datetime.date(2024, 1, 2), True, 0.5],
        [datetime.datetime(2024, 1, 2, 3, 4), False, -3],
    ]
    found = read_table(workbook(tmp_path / "a.xlsx", rows))[1]
    assert [list(cells.values()) for _, cells in found] == [
        ["2024-01-02", "true", "0.5"],
        ["2024-01-02 03:04:00", "false", "-3"],
    ]


def bids(
    root,
    rng,
    images,
    participants="participant_id\tage\tgroup\nsub-01\t40\tcontrol\nsub-02\tn/a\tpatient\nsub-03\t50\tn/a\n",
):
    root.mkdir()
    (root / "dataset_description.json").write_text("{}")
    (root / "participants.tsv").write_bytes(participants.encode("utf-8-sig"))
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(
            nibabel.Nifti1Image(rng.normal(100, 9, (16, 16, 4)).astype(np.float32), np.eye(4)), root / name
        )
    return root


def test_t3_bids_participants_label_their_images_of_all_sessions(tmp_path, rng):
    names = [f"sub-0{n}/ses-{s}/anat/sub-0{n}_ses-{s}_T1w.nii.gz" for n in (1, 2, 3) for s in ("a", "b")]
    derived = [
        "derivatives/masks/sub-01/anat/sub-01_ses-a_label-lesion_mask.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_dseg.nii.gz",
    ]
    manifest = recognize(bids(tmp_path / "bids", rng, names + derived))
    assert [
        (case.image.relative_to(manifest.root).as_posix(), case.patient, case.label)
        for case in manifest.cases
    ] == [(name, name[:6], {"1": 0, "2": 1, "3": None}[name[5]]) for name in names]
    assert "3 participants have 6 images (sessions, runs)" in "\n".join(manifest.account)


def test_t3_bids_with_several_contrasts_asks_for_one(tmp_path, rng):
    names = [f"sub-0{n}/anat/sub-0{n}_{kind}.nii.gz" for n in (1, 2, 3) for kind in ("T1w", "FLAIR")]
    with pytest.raises(
        DataError,
        match=(
            r"participants.tsv: 3 problem.*\n.*'sub-01' has 2 images of 2 kinds \(FLAIR, T1w\); write a"
            r" labels.csv"
        ),
    ):
        recognize(bids(tmp_path / "bids", rng, names))


def test_t3_a_table_that_does_not_serve_says_why(tmp_path, rng):
    root = bids(
        tmp_path / "bids", rng, ["sub-01/anat/sub-01_T1w.nii.gz"], "participant_id\tage\nsub-01\t40\n"
    )
    with pytest.raises(
        DataError, match=r"participants.tsv \(columns participant_id, age\): no column is called label"
    ):
        recognize(root)


# T4: names that differ in case, Unicode form, separators


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("SCAN 1.PNG", "scan 1.png"),
        ("Images\\Scan 1.png", "images/scan 1.png"),
        (unicodedata.normalize("NFD", "Müller/é.png"), unicodedata.normalize("NFC", "Müller/é.png")),
        (unicodedata.normalize("NFC", "Müller/é.png"), unicodedata.normalize("NFD", "Müller/é.png")),
        ("STRASSE.png", "straße.png"),
        ("C:\\Users\\ann\\study\\images\\scan 1.png", "images/scan 1.png"),
        ("\\\\server\\share\\images\\scan 1.png", "images/scan 1.png"),
    ],
)
def test_t4_names_of_other_systems_are_found_when_unique(tmp_path, rng, written, stored):
    root = tmp_path / "data"
    picture(root / stored, rng)
    picture(root / "other.png", rng)
    (root / "labels.csv").write_text(
        text_of([HEADER, [written, "p", "0"], ["other.png", "q", "1"]]), encoding="utf-8"
    )
    manifest = recognize(root)
    assert manifest.cases[0].image == root / stored
    assert ("files of another machine" in "\n".join(manifest.account)) == (
        ":" in written or written.startswith("\\\\")
    )
    if ":" not in written and not written.startswith("\\\\"):  # a manifest and its masks are read alike
        (root / "manifest.csv").write_text(
            text_of(
                [[*HEADER, "mask"], [written, "p", "1", written.swapcase() if written.isascii() else written]]
            ),
            encoding="utf-8",
        )
        case = recognize(root).cases[0]
        assert case.image == case.mask == root / stored


def test_t4_two_that_differ_in_case_alone_are_refused_and_the_exact_one_wins(tmp_path, rng):
    root = tmp_path / "data"
    for name in ("a.png", "A.png"):
        picture(root / name, rng)
    table = root / "manifest.csv"
    table.write_text(text_of([HEADER, ["A.png", "p", "0"], ["a.png", "q", "1"]]))
    assert [case.image.name for case in recognize(root).cases] == ["A.png", "a.png"]
    table.write_text(text_of([HEADER, ["A.PNG", "p", "0"]]))
    with pytest.raises(
        DataError,
        match=(
            r"line 2: image: 'A.PNG' could be any of 2 files that differ in case or letters alone: .*/A.png,"
            r" .*/a.png"
        ),
    ):
        recognize(root)


@pytest.mark.parametrize("name", ["labels.csv", "manifest.csv"])
def test_t4_else_the_nearest_name_is_told(tmp_path, rng, name):
    root = tmp_path / "data"
    for stem in ("scan_001", "scan_002", "47"):
        picture(root / f"{stem}.png", rng)
    (root / name).write_text(text_of([HEADER, ["scan_01.png", "p", "0"], ["047.png", "q", "1"]]))
    with pytest.raises(DataError) as caught:
        recognize(root)
    assert "line 2: image: no such file: 'scan_01.png'" in str(
        caught.value
    ) and "(nearest: 'scan_001.png')" in str(caught.value)
    assert "(nearest: '47.png')" in str(caught.value)


def test_t4_a_name_found_by_case_may_not_leave_the_folder(tmp_path, rng):
    picture(tmp_path / "secret.png", rng)
    picture(tmp_path / "data" / "a.png", rng)
    (tmp_path / "data" / "manifest.csv").write_text(text_of([HEADER, ["..\\Secret.png", "p", "0"]]))
    with pytest.raises(DataError, match="no such file|leaves the folder"):
        recognize(tmp_path / "data")


def test_t4_one_patient_in_two_unicode_forms_is_one_patient(tmp_path, rng):
    for form, name in (("NFC", "normal"), ("NFD", "sick")):
        picture(tmp_path / "data" / name / unicodedata.normalize(form, "Müller") / "1.png", rng)
    assert len({case.patient for case in recognize(tmp_path / "data").cases}) == 1
