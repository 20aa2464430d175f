"""The page, the Markdown table and the CSV files of made-up studies: whole, offline, honest."""

import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.study.overlays import chosen
from clamnet_tf.study.report import write_results


class Page(HTMLParser):
    """Addresses, ids and text of a page; refuses tags that do not match."""

    VOID = ("meta", "link", "br", "img", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.ids, self.text = [], [], [], ""
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in ("src", "href", "xlink:href")]
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += " ".join(data.split()) + " "


@pytest.fixture
def written(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder)
    return folder, Page(write_results(plan, folder).read_text(encoding="utf-8"))


def test_the_page_is_whole_and_asks_nothing_of_the_network(written):
    folder, page = written
    assert all(address.startswith(("data:", "#")) for address in page.addresses), page.addresses
    assert {
        address[1:] for address in page.addresses if address.startswith("#") and address != "#main"
    } <= set(page.ids)
    assert (
        "http-equiv" in (folder.path / "index.html").read_text()
        and "url(" not in (folder.path / "index.html").read_text().split("</style>")[0]
    )
    assert not list(folder.path.glob(".writing-*"))


def test_the_page_says_what_a_reader_must_know(written):
    _, page = written
    for words in (
        "8 held-out patients with a lesion",
        "8 patients with a lesion, mean of 2 trainings",
        "Normal patients unmarked",
        "no difference shown",
        "sign-flip permutation test",
        "6 comparisons after Holm",
        "Not complete: “Wrong” (failed)",
        "nearest valid key loss.eta",
        "Not the same budget: the reference learned from 180 × 16 slices",
        "“Short” (140 × 16)",
        "Research software, not a medical device",
        "Oracle: thresholds chosen with the masks",
        "These are bounds, not results",
        "Expected: the level of “Whole organ”",
        "Best",
        "Median",
        "Worst",
        "the usual one",
        "commit 0123456789ab",
        "Border distance",
        "80 % (85 %)",  # inside the lesion, and in or near it
        "The best of 1 intensity method, picked with the masks, reaches 0.20 (Otsu threshold on bright "
        "pixels of channel 0).",
    ):
        assert words in page.text, words


def test_the_control_is_judged(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder)
    page = Page(write_results(plan, folder).read_text(encoding="utf-8"))
    assert "It fell to that level" in page.text and "did NOT fall" not in page.text


def test_a_control_that_does_not_fall_is_said_to(planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder, dice=lambda arm, seed, rng: np.linspace(0.4, 0.6, 8))
    page = Page(write_results(plan, folder).read_text(encoding="utf-8"))
    assert "It did NOT fall to that level" in page.text


@pytest.mark.parametrize("arms", [(), ("no_twin",), ("twins",)])
def test_pages_of_unfinished_studies(planned, fill_study, arms):
    plan, folder = planned
    fill_study(plan, folder, arms=arms, seeds=(0,))
    page = Page(write_results(plan, folder).read_text(encoding="utf-8"))
    assert "Not complete" in page.text and "nan" not in page.text.lower().split()
    if arms != ("twins",):
        assert "is not measured yet, so there is nothing to compare with" in page.text
    else:
        assert "the spread between trainings is not known" in page.text and "(1 of 2 seeds)" in page.text


def test_titles_cannot_break_the_page(write_study, make_study, study_text, fill_study, tmp_path):
    text = study_text.replace("title: No twin", 'title: "<script>alert(1)</script> | & \\"x\\""')
    plan, folder = make_study(write_study(text), tmp_path / "out")
    fill_study(plan, folder)
    source = write_results(plan, folder).read_text(encoding="utf-8")
    Page(source)
    assert "<script>" not in source
    row = next(line for line in (folder.path / "summary.md").read_text().splitlines() if "alert" in line)
    assert row.count(" | ") == 15


def test_csv_files(written):
    folder, _ = written
    rows = list(csv.DictReader(io.StringIO((folder.path / "study.csv").read_text())))
    assert len(rows) == (6 * 2 + 1) * (8 + 2)
    assert {row["dice"] for row in rows if row["patient"].startswith("normal")} == {""}
    assert [row["marked_share"] for row in rows if row["arm"] == "twins" and row["seed"] == "0"][-2:] == [
        "0",
        "0.25",
    ]
    assert {row["seed"] for row in rows if row["arm"] == "whole_organ"} == {""}
    summary = {
        row["name"]: row for row in csv.DictReader(io.StringIO((folder.path / "summary.csv").read_text()))
    }
    of_twins = [float(row["dice"]) for row in rows if row["arm"] == "twins" and row["dice"]]
    assert (
        summary["twins"]["patients"],
        summary["twins"]["specificity_patient"],
        summary["whole_organ"]["specificity_patient"],
    ) == ("8", "0.75", "0")
    assert float(summary["twins"]["dice"]) == pytest.approx(np.mean(of_twins), abs=1e-5)
    assert summary["wrong"]["dice"] == "" and "loss.etaa" in summary["wrong"]["message"]
    assert float(summary["twins"]["seconds"]) == pytest.approx(180 * 16 / 10)
    assert (summary["short"]["steps"], summary["short"]["other_budget"]) == ("140", "True")


def test_markdown_tables_have_the_rows_of_the_groups(written):
    text = (written[0].path / "summary.md").read_text()
    for title in (
        "From image labels",
        "From outlines",
        "One thing at a time",
        "Controls",
        "Oracle: thresholds chosen with the masks",
    ):
        assert f"## {title}" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert [len(table) - 2 for table in tables] == [4, 1, 2, 1, 6]
    assert all(len({re.sub(r"\\\|", "", line).count("|") for line in table}) == 1 for table in tables)


def test_best_median_and_worst():
    means = {"a": 0.2, "b": 0.9, "c": 0.5, "d": 0.6}
    assert chosen(means) == [("best", "b"), ("median", "d"), ("worst", "a")]
    assert chosen({"a": 0.2, "b": 0.9}) == [("best", "b"), ("worst", "a")]
    assert chosen({"a": 0.2}) == [("best", "a")] and chosen({}) == []


def test_pictures_show_the_patients_of_the_rows(written):
    folder, page = written
    pictures = [address for address in page.addresses if address.startswith("data:image/jpeg")]
    assert len(pictures) == 3 * (3 + 2 + 2 + 2)  # patients x columns, the reference in every sheet
    import base64

    gray = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1])))).mean() / 255
        for picture in pictures[:3]
    ]
    twins = {
        row["patient"]: float(row["dice"])
        for row in csv.DictReader(io.StringIO((folder.path / "study.csv").read_text()))
        if (row["arm"], row["seed"]) == ("twins", "0") and row["dice"]
    }
    assert gray[0] == pytest.approx(
        twins["patient_7"], abs=0.02
    )  # the first picture is the best patient's, marked by the reference


def test_nothing_is_cut_off_or_unreadable(
    browser, write_study, make_study, study_text, fill_study, tmp_path, faults_of_layout
):
    """With titles as long as those of the shipped studies."""
    text = study_text.replace(
        "title: No twin", 'title: "No twin: one network sees one view of every slice, and no consistency"'
    )
    plan, folder = make_study(write_study(text), tmp_path / "out")
    fill_study(plan, folder)
    browser.get(write_results(plan, folder).as_uri())
    assert faults_of_layout(browser) == {}
