"""Tables of labels as clinics keep them (rows T1 to T4 and T7 of the list of clinical inputs): right, or
refused by name.
"""

import csv
import datetime
import io
import re
import unicodedata

import nibabel
import numpy as np
import openpyxl
import pandas
import pytest
from click.testing import CliRunner
from PIL import Image

from clamnet_tf.cli.main import main
from clamnet_tf.data.folders.label_words import LabelWords, class_numbers, is_unknown
from clamnet_tf.data.layouts import recognize
from clamnet_tf.data.table_files import open_table, read_table
from clamnet_tf.errors import DataError


def picture(path, rng, spot=False):
    """A gray picture of a bright disc, different each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:48, :48]
    image = (
        rng.integers(0, 5, (48, 48))
        + 100 * (np.hypot(rows - 24, columns - 24) < 18)
        + 60 * spot * (np.hypot(rows - 20, columns - 20) < 4)
    )
    Image.fromarray(image.astype(np.uint8)).save(path)


def labelled(root, rng, labels, header=("image", "patient", "label")):
    """A folder with a picture per label and labels.csv; returns it."""
    lines = []
    for number, label in enumerate(labels):
        picture(root / f"p{number}.png", rng)
        lines.append([f"p{number}.png", f"patient {number}", label])
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *lines])
    (root / "labels.csv").write_text(stream.getvalue(), encoding="utf-8")
    return root


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


# T1: which words mean normal


@pytest.mark.parametrize(
    "word",
    [
        "non-displaced fracture", "Non-Hodgkin lymphoma", "non small cell carcinoma", "non_specific finding",
        "nonunion", "no fracture seen", "without contrast", "negative for pneumonia", "covid-", "tumour free",
        "normal pressure hydrocephalus", "near normal", "clear lungs",
        "kein Befund", "NonCOVID", "not assessed fully",
    ],
)  # fmt: skip
def test_t1_words_that_do_not_say_are_asked_for_and_never_guessed(tmp_path, rng, word):
    root = labelled(tmp_path / "data", rng, ["normal", "fracture", word])
    with pytest.raises(DataError) as caught:
        recognize(root)
    text = str(caught.value)
    assert (
        f"{root / 'labels.csv'}: 1 label word(s) do not say whether they mean normal:\n  {word!r} (1 rows)"
        in text
    )
    assert f"--normal {word!r} or --abnormal {word!r}" in text
    assert [case.label for case in recognize(root, None, LabelWords(normal=(word.upper(),))).cases] == [
        0,
        1,
        0,
    ]
    assert [case.label > 0 for case in recognize(root, None, LabelWords(abnormal=(word,))).cases] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["covid", "non-covid"], [1, 0]),
        (["Lung Opacity", "no lung opacity"], [1, 0]),
        (["nodule", "without nodules"], [1, 0]),
        (["COVID+", "COVID-"], [1, 0]),
        (["No Finding", "Atelectasis", "Nodule"], [0, 1, 2]),
        (["healthy control", "tumour", "not normal"], [0, 2, 1]),
        (["glioma", "meningioma", "notumor"], [1, 2, 0]),
    ],
)
def test_t1_a_denial_of_another_class_of_the_table_is_normal(words, numbers):
    assert list(class_numbers(words).values()) == numbers


@pytest.mark.parametrize(
    "words",
    [
        ["Hodgkin lymphoma", "non-Hodgkin lymphoma"],  # a class, and yet a kind of it
        ["displaced", "non-displaced"],
        ["normal", "covid", "non-covid"],  # other infections, beside a class that is normal
        ["normal", "none", "fracture"],  # no finding, or nothing known?
    ],
)
def test_t1_a_denial_that_may_be_a_kind_of_disease_is_asked_for(words):
    with pytest.raises(DataError, match="do not say whether they mean normal"):
        class_numbers(words)


def test_t1_class_folders_ask_too_and_every_command_takes_the_answer(tmp_path, rng):
    root = tmp_path / "folders"
    for number in range(6):
        picture(root / "fracture" / f"patient{number}.png", rng)
        picture(root / "non-displaced fracture" / f"patient{number}b.png", rng)
    asked = run("data", "inspect", root)
    assert (
        asked.exit_code == 2
        and "'non-displaced fracture' (6 images)" in asked.output
        and "Traceback" not in asked.output
    )
    told = run("data", "inspect", root, "--normal", "non-displaced fracture")
    assert (
        told.exit_code == 0
        and "fracture = 1 (6 images), non-displaced fracture = 0 (6 images)" in told.output
    )
    for command in (
        ["fit", "mri_carcinoma", "--out", tmp_path / "run"],
        ["data", "prepare", "mri_carcinoma"],
    ):
        result = run(*command, "--data", root, "--normal", "fractur", "--cache", tmp_path / "cache")
        assert (
            result.exit_code == 2
            and "--normal 'fractur': no label is called so (did you mean 'fracture'?)" in result.output
        )
    twice = run("data", "inspect", root, "--normal", "fracture", "--abnormal", "Fracture")
    assert twice.exit_code == 2 and "'fracture' is given as normal and as abnormal" in twice.output
    assert all(
        "--normal" in run(*command, "--help").output
        for command in (["fit"], ["evaluate"], ["study"], ["data", "inspect"])
    )


def test_t1_numbers_may_be_told_as_words_and_manifests_need_none(tmp_path, rng):
    root = labelled(tmp_path / "data", rng, ["1", "2", "1"])
    assert [case.label for case in recognize(root, None, LabelWords(normal=("1",))).cases] == [0, 1, 0]
    manifest = (
        labelled(tmp_path / "own", rng, ["0", "1"])
        .joinpath("labels.csv")
        .rename(tmp_path / "own" / "manifest.csv")
    )
    with pytest.raises(DataError, match="the labels of a manifest are numbers. Leave them out"):
        recognize(manifest, None, LabelWords(normal=("0",)))


# T2: words for a label that is not known


@pytest.mark.parametrize(
    "word",
    [
        "n/a",
        "NaN",
        "nan",
        "unknown",
        "?",
        "UNK",
        "N.A.",
        "#N/A",
        "uncertain",
        "not available",
        "-",
        "pending",
    ],
)
def test_t2_unknown_words_are_empty_cells(tmp_path, rng, word):
    root = labelled(tmp_path / "data", rng, ["normal", word, "fracture", ""])
    manifest = recognize(root)
    assert [case.label for case in manifest.cases] == [0, None, 1, None]
    assert f"Labels that are not known, as in an empty cell: {word!r} 1 rows." in manifest.account
    assert [case.label for case in recognize(labelled(tmp_path / "n", rng, ["0", word, "2"])).cases] == [
        0,
        None,
        2,
    ]
    assert is_unknown(word) and not is_unknown("nodule") and not is_unknown("normal")


def test_t2_the_user_may_know_better_and_signs_are_no_gaps(tmp_path, rng):
    root = labelled(tmp_path / "data", rng, ["normal", "unknown", "fracture"])
    assert [case.label for case in recognize(root, None, LabelWords(abnormal=("unknown",))).cases] == [
        0,
        2,
        1,
    ]
    with pytest.raises(DataError, match=r"no label means normal: \+, -; say which one does with --normal"):
        recognize(labelled(tmp_path / "signs", rng, ["+", "-"]))
    nine = recognize(labelled(tmp_path / "nine", rng, ["0", "1", "9"]))
    assert any("the label 9 is taken as a finding of its own" in line for line in nine.account)


def test_t2_fit_and_inspect_name_the_unlabelled(tmp_path, rng):
    root = labelled(tmp_path / "data", rng, ["normal", "n/a", "fracture"])
    for command in (
        ["data", "inspect", root],
        ["fit", "mri_carcinoma", "--data", root, "--out", tmp_path / "run"],
    ):
        result = run(*command)
        assert (
            result.exit_code == 2
            and "a split needs labels, 1 image(s) have none" in result.output
            and "p1.png" in result.output
        )


# T3: encodings, delimiters, BIDS, Excel

ROWS = [
    ["Bild", "Patient", "Befund"],
    ["Röntgen 1.png", "Müller, Jörg", "unauffällig"],
    ["b.png", "Çelik", "Fraktur"],
]
HEADER = ["image", "patient", "label"]


def text_of(rows, delimiter=",", end="\r\n"):
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows(rows)
    return stream.getvalue()


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
        ("007.png", "1001", 0, None), ("Röntgen.png", "1002", 1, 0.5), ("c.png", "x", None, 0.25),
    ]  # fmt: skip
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


# T7: data inspect foresees what fit refuses


CHEAP = [
    "data.side=32",
    "network.depth=2",
    "network.filters=[2,2]",
    "network.kernels=[3,3]",
    "organ.method=foreground",
]
SETS = [text for override in CHEAP for text in ("--set", override)]


def cohort(root, rng, *, normal, sick, name="{kind}{number}.png"):
    for kind, count in (("normal", normal), ("sick", sick)):
        for number in range(count):
            picture(root / kind / name.format(kind=kind, number=number), rng, spot=kind == "sick")
    return root


def sixty_to_three(root, rng):
    cohort(root, rng, normal=60, sick=0)
    for number in range(3):
        picture(root / "sick" / f"patient5_{number}.png", rng)


def blank_train(root, rng):
    cohort(root, rng, normal=6, sick=6)
    for path in (root / "sick").iterdir():
        Image.fromarray(np.zeros((48, 48), np.uint8)).save(path)


def two_sizes_in_a_volume(root, rng):
    cohort(root, rng, normal=6, sick=6)
    Image.fromarray(np.arange(40 * 48, dtype=np.uint8).reshape(40, 48)).save(root / "sick" / "sick0.png")
    lines = [
        [f"{kind}/{kind}{n}.png", f"{kind}{n // 2}", int(kind == "sick"), n]
        for kind in ("normal", "sick")
        for n in range(6)
    ]
    (root / "manifest.csv").write_text(text_of([[*HEADER, "position"], *lines]))


def no_test_side(root, rng):
    cohort(root, rng, normal=6, sick=6)
    lines = [
        [f"{kind}/{kind}{n}.png", f"{kind}{n}", int(kind == "sick"), "val" if n > 3 else "train"]
        for kind in ("normal", "sick")
        for n in range(6)
    ]
    (root / "manifest.csv").write_text(text_of([[*HEADER, "split"], *lines]))


REFUSED = {
    "one image in a class": (
        lambda root, rng: cohort(root, rng, normal=20, sick=1),
        "train and val each need normal and abnormal images",
    ),
    "one patient": (
        lambda root, rng: cohort(root, rng, normal=5, sick=5, name="patient1_{kind}{number}.png"),
        r"1 patient\(s\) cannot be split",
    ),
    "sixty to three of one patient": (
        sixty_to_three,
        "val has no abnormal image|train has no abnormal image",
    ),
    "three patients": (lambda root, rng: cohort(root, rng, normal=2, sick=1), "train and val each need"),
    "blank": (blank_train, "no abnormal training slices that show enough of the organ|same pixels"),
    "sizes": (two_sizes_in_a_volume, "slices of one series differ in size"),
    "no test": (no_test_side, "no patient is on the side test"),
}


@pytest.mark.parametrize("make, words", REFUSED.values(), ids=REFUSED.keys())
def test_t7_inspect_foresees_what_fit_refuses(tmp_path, rng, make, words):
    root = tmp_path / "data"
    make(root, rng)
    options = ["--cache", tmp_path / "cache", *SETS]
    looked, looked_closely = run("data", "inspect", root), run(
        "data", "inspect", root, "--recipe", "mri_carcinoma", *options
    )
    fitted = run(
        "fit",
        "mri_carcinoma",
        "--data",
        root,
        "--out",
        tmp_path / "run",
        *options,
        "--set",
        "training.steps=1",
        "--set",
        "self_training.rounds=0",
    )
    codes = {looked.exit_code, looked_closely.exit_code, fitted.exit_code}
    assert codes == {2}, (looked.output, looked_closely.output, fitted.output)
    for result in (looked, looked_closely):
        assert re.search(f"PROBLEM: (.|\n)*({words})", result.output), result.output
    assert "No problems found" not in looked.output + looked_closely.output


def test_t7_with_a_recipe_its_own_settings_are_foreseen(tmp_path, rng):
    root = cohort(tmp_path / "data", rng, normal=8, sick=8)
    assert run("data", "inspect", root).exit_code == 0
    for override, words in (
        ("data.channels=[2]", "data.channels asks for channel 2"),
        ("data.minimum_organ_fraction=0.99", "no abnormal training slices that show enough"),
        ("organ.method=given", "the manifest has no organ mask"),
        ("training.patients=500", "expected at most the"),
    ):
        sets = [
            text
            for other in CHEAP
            if other.split("=")[0] != override.split("=")[0]
            for text in ("--set", other)
        ]
        options = ["--cache", tmp_path / "cache", *sets]
        looked = run("data", "inspect", root, "--recipe", "mri_carcinoma", *options, "--set", override)
        fitted = run(
            "fit", "mri_carcinoma", "--data", root, "--out", tmp_path / "run", *options, "--set", override
        )
        assert looked.exit_code == fitted.exit_code == 2, (override, looked.output, fitted.output)
        assert words in looked.output and words in fitted.output, (override, looked.output, fitted.output)
    good = run("data", "inspect", root, "--recipe", "mri_carcinoma", "--cache", tmp_path / "cache", *SETS)
    assert good.exit_code == 0 and "No problems found." in good.output, good.output
