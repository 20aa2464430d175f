"""The pages of predict: whole in one file, bounded, true to the volume; tried in a browser where there is
one.
"""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.imaging.volume import Grid, SliceReference
from clamnet_tf.prediction.marked_volume import MarkedSlice, MarkedVolume
from clamnet_tf.prediction.planes import Plane
from clamnet_tf.prediction.report import PAGE_BYTES, SLICES, write_index, write_volume_page
from clamnet_tf.prediction.tables import volume_row
from clamnet_tf.reporting.overlays import MARKED_RGB

FACTS = {"Recipe": "mri_carcinoma (MRI, carcinoma)", "Program": "clamnet-tf"}


@pytest.fixture
def marked(rng):
    """marked(slices, height, width) -> MarkedVolume: noise, with a square marked in all slices but the
    first.
    """

    def make(slices=5, height=60, width=40, right=(0.5, 0, 0), down=(0, 0.8, 0), name="ct: series 1.2"):
        array = rng.normal(100, 10, (slices, height, width, 1)).astype(np.float32)
        mask = np.zeros((slices, height, width), np.uint8)
        mask[1:, 10:20, 5:15] = 1
        right, down = np.array(right, float), np.array(down, float)
        normal = np.cross(right, down) / np.linalg.norm(np.cross(right, down))
        planes = [Plane(number * 3 * normal, down, right) for number in range(slices)]
        rows = tuple(
            MarkedSlice(
                number,
                0,
                f"{number}.dcm",
                Path(f"{number}"),
                SliceReference(Path("x")),
                plane,
                3.0 * number,
                0.1 + 0.8 * (number == 2),
                100 * (number > 0),
                2400,
                0.1,
                40.0,
            )
            for number, plane in enumerate(planes)
        )
        grid = Grid(
            "dicom",
            (slices, height, width),
            references=tuple(SliceReference(Path("x"), number) for number in range(slices)),
        )
        return MarkedVolume(
            name,
            Path("ct"),
            array,
            mask,
            np.ones(mask.shape, bool),
            None,
            rows,
            ((grid, Path("ct"), 0),),
            (3.0, 0.8, 0.5),
            0,
            (),
        )

    return make


def write(folder, volume, index="report.html", notes=()):
    write_volume_page(folder / "page.html", volume, volume_row(volume, {}), list(notes), FACTS, index=index)
    return (folder / "page.html").read_text(encoding="utf-8")


def slices_of(page):
    return json.loads(re.search(r'id="slices" type="application/json">(.*?)</script>', page, re.S)[1])


def test_a_page_says_what_is_marked_and_needs_nothing_else(tmp_path, marked):
    page = write(tmp_path, marked(), notes=["a <b>note</b>"])
    assert (
        "0.48 ml" in page
        and "4 of 5 slices marked" in page
        and "Marked from 3.0 to 12.0 mm along the stack." in page
        and "a &lt;b&gt;note" in page
    )
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses == ["report.html"] and "http" not in page.replace("http-equiv", "")
    shown = slices_of(page)
    assert (
        [one["input"] for one in shown] == [f"{number}.dcm" for number in range(5)]
        and shown[0]["outlines"] == [""]
        and shown[1]["outlines"][0].startswith("M")
    )
    assert (shown[2]["position"], shown[2]["presence"], shown[2]["pixels"], shown[2]["area"]) == (
        6.0,
        0.9,
        100,
        40.0,
    )
    assert all(one["picture"].startswith("data:image/jpeg;base64,/9j/") for one in shown)
    assert "--aspect: 20 / 48" in page, "in millimetres, not in pixels"


@pytest.mark.parametrize(
    ("right", "down", "letters"),
    [
        ((1, 0, 0), (0, 1, 0), "RLAP"),
        ((0, 1, 0), (0, 0, -1), "APHF"),
        ((1, 0, 0), (0, 0, -1), "RLHF"),
        ((-1, 0, 0), (0, -1, 0), "LRPA"),
        ((0.8, 0, -0.6), (0, 1, 0), ("RH", "LF", "A", "P")),
    ],
)
def test_sides_of_the_patient(tmp_path, marked, right, down, letters):
    page = write(tmp_path, marked(right=right, down=down))
    found = dict(re.findall(r'class="letter (\w+)">(\w+)<', page))
    assert [found[side] for side in ("left", "right", "top", "bottom")] == list(letters)


def test_a_large_volume_makes_no_large_page(tmp_path, marked):
    page = write(tmp_path, marked(slices=SLICES + 50, height=220, width=220))
    assert len(page) < 1.02 * PAGE_BYTES
    assert (
        len(slices_of(page)) == (SLICES + 50) // 2 and f"{SLICES + 50} slices; one in 2 is shown here" in page
    )


def test_the_index_links_to_every_page(tmp_path, marked):
    rows = [
        volume_row(marked(name=name), {"report": f"{name}_report.html"}) for name in ("a", "b #1 <i>", "c%20")
    ]
    write_index(tmp_path / "report.html", rows, ["x.dcm: <damaged>"], FACTS)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'href="([^"]*)"', page) == [
        "a_report.html",
        "b%20%231%20%3Ci%3E_report.html",
        "c%2520_report.html",
    ]
    assert (
        "b #1 &lt;i&gt;</a>" in page
        and "x.dcm: &lt;damaged&gt;" in page
        and "3 of 3 volumes have marks" in page
    )


# in a browser


def test_leafing_through_and_hiding_the_mask(browser, tmp_path, marked):
    write(tmp_path, marked())
    browser.get((tmp_path / "page.html").as_uri())
    at = lambda name: browser.find_element("id", name)
    said = lambda: (at("number").text, at("input").text, at("presence").text, at("area").text)
    assert said() == ("2 of 5", "1.dcm", "0.10", "40.0 mm²"), "it opens at the largest mark"
    seen = {at("picture").get_attribute("src")}
    at("on").click()
    assert said() == ("3 of 5", "2.dcm", "0.90", "40.0 mm²") and at("slider").get_attribute("value") == "2"
    assert orange(at("stage")) > 100
    at("toggle").click()
    assert orange(at("stage")) == 0 and at("toggle").get_attribute("aria-pressed") == "false"
    browser.find_element("tag name", "body").send_keys("m")
    assert orange(at("stage")) > 100
    browser.find_element("tag name", "body").send_keys(
        "\ue012\ue012\ue012"
    )  # arrow left: to the first, and no further
    assert (
        said() == ("1 of 5", "0.dcm", "0.10", "nothing")
        and len(seen | {at("picture").get_attribute("src")}) == 2
    )
    browser.execute_script(
        "const s = document.getElementById('slider'); s.value = 4; s.dispatchEvent(new Event('input'))"
    )
    assert said()[0] == "5 of 5"
    box = at("chart").rect
    browser.execute_script(
        "arguments[0].dispatchEvent(new PointerEvent('pointerdown', {clientX: "
        "arguments[0].getBoundingClientRect().left + arguments[1]}))",
        at("chart"),
        0.5 * box["width"],
    )
    assert said()[0] == "3 of 5"
    stage = at("stage").rect
    assert stage["width"] / stage["height"] == pytest.approx(20 / 48, rel=0.02)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_nothing_is_cut_off_or_unreadable(browser, tmp_path, marked, faults_of_layout):
    long = "archive/2026/TCGA_DU_8164_19970111/" + "1.2.840.113619.2.55.3.604688119.971.1448.4" * 2
    note = f"{long}: its slices are 5.0 to 7.5 mm apart"
    volume = marked(slices=40, name=long)
    write_volume_page(
        tmp_path / "page.html",
        volume,
        volume_row(volume, {}),
        [note],
        FACTS | {"Model": long},
        index="report.html",
    )
    rows = [volume_row(marked(name=name), {"report": "page.html"}) for name in (long, "ct", "9")]
    write_index(tmp_path / "report.html", rows, [note], FACTS)
    for name in ("page.html", "report.html"):
        browser.get((tmp_path / name).as_uri())
        assert faults_of_layout(browser) == {}, name


def orange(element):
    """How many pixels of an element on the screen have the line's colour."""
    picture = np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)
    return int((np.abs(picture - MARKED_RGB).max(-1) < 12).sum())
