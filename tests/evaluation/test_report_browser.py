"""The report in a real browser: figures, gallery, keys, filters, layers. Skips where there is no Chromium."""

from dataclasses import replace

import numpy as np
import pytest

from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.gallery import Gallery
from clamnet_tf.evaluation.report import write_report
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule

pytest.importorskip(
    "selenium.webdriver", reason="selenium is not installed: the report was not tried in a browser"
)
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait


@pytest.fixture
def page(browser, report):
    browser.get(report.as_uri())
    yield browser
    errors = [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert not errors, errors


def one(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector)


def shown(page):
    return [shot for shot in page.find_elements(By.CSS_SELECTOR, "#shots li") if shot.is_displayed()]


def enlarged(page):
    """What the viewer shows: (place, patient, picture as PNG)."""
    return one(page, "#place").text, one(page, "#facts dd").text, one(page, "#stage svg").screenshot_as_png


def press(page, key):
    page.switch_to.active_element.send_keys(key)


def test_click_through_the_gallery(page, evaluated, tmp_path):
    _, _, items = evaluated
    assert len(shown(page)) == len(items)
    one(page, "#shots button").click()
    assert one(page, "#viewer").is_displayed()
    seen = [enlarged(page)]
    assert seen[0][:2] == (f"1 of {len(items)}", items[0].patient)
    for number in range(1, len(items)):
        if number % 2:
            one(page, "#next").click()
        else:
            press(page, Keys.ARROW_RIGHT)
        seen.append(enlarged(page))
        assert seen[-1][:2] == (f"{number + 1} of {len(items)}", items[number].patient)
        assert seen[-1][2] != seen[-2][2], "the enlarged picture did not change"
    assert len({picture for _, _, picture in seen}) == len(items)
    press(page, Keys.ARROW_RIGHT)
    assert enlarged(page)[0].startswith("1 of")
    press(page, Keys.ARROW_LEFT)
    assert enlarged(page)[0] == f"{len(items)} of {len(items)}"
    page.save_screenshot(str(tmp_path / "viewer.png"))
    press(page, Keys.ESCAPE)
    WebDriverWait(page, 5).until(lambda page: not one(page, "#viewer").is_displayed())
    assert page.switch_to.active_element.get_attribute("class") == "thumb"


def test_layers_are_switched_by_button_and_key(page):
    one(page, "#shots button").click()
    plain = enlarged(page)[2]
    for layer, key, pressed in (("truth", "r", "true"), ("marked", "m", "true"), ("heat", "p", "false")):
        button = one(page, f'#viewer [data-layer="{layer}"]')
        assert button.get_attribute("aria-pressed") == pressed
        button.click()
        assert enlarged(page)[2] != plain and button.get_attribute("aria-pressed") != pressed
        press(page, key)
        assert enlarged(page)[2] == plain and button.get_attribute("aria-pressed") == pressed


def test_filter_and_order(page, evaluated):
    _, _, items = evaluated
    Select(one(page, "#filter")).select_by_value("normal")
    assert len(shown(page)) == sum(item.normal for item in items)
    assert one(page, "#shown").text == f"{len(shown(page))} of {len(items)} pictures"
    Select(one(page, "#filter")).select_by_value("lesion")
    Select(one(page, "#order")).select_by_value("dice")
    scores = [float(shot.get_attribute("data-dice")) for shot in shown(page)]
    assert scores == sorted(scores) and len(scores) == sum(not item.normal for item in items)
    Select(one(page, "#order")).select_by_value("-size")
    sizes = [int(shot.get_attribute("data-size")) for shot in shown(page)]
    assert sizes == sorted(sizes, reverse=True)
    Select(one(page, "#who")).select_by_value("patient 2")
    assert {shot.get_attribute("data-patient") for shot in shown(page)} == {"patient 2"}
    one(page, "#shots li:not([hidden]) button").click()
    assert enlarged(page)[0] == f"1 of {len(shown(page))}"


def test_a_dot_leads_to_the_patient(page):
    dot = one(page, 'circle[data-patient="patient 3"]')
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", dot)
    dot.click()
    assert {shot.get_attribute("data-patient") for shot in shown(page)} == {"patient 3"}


def test_the_table_of_patients_sorts(page):
    def column(number):
        return [
            float(cell.get_attribute("data-value"))
            for cell in page.find_elements(By.CSS_SELECTOR, f".sortable tbody td:nth-child({number})")
        ]

    assert column(2) == sorted(column(2), reverse=True)
    button = one(page, ".sortable th:nth-child(3) button")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert column(3) == sorted(column(3), reverse=True)
    button.click()
    assert column(3) == sorted(column(3))


METHODS = (
    "whole_organ otsu_channel1_bright threshold_channel1_sigma1_bright size_channel1_sigma2_bright "
    "consistent_channel1_bright normal_atlas_deviation consistent_channel0_dark size_channel0_sigma0_dark"
).split()


@pytest.fixture(scope="module")
def wide_report(build_cases, described, tmp_path_factory):
    """A report with as many methods and as long names as real ones, and a patient without a lesion."""
    rng = np.random.default_rng(0)
    gallery, cases = Gallery(), []
    for case in build_cases(patients=6):
        truth = case.truth & (case.patient != "patient 5")
        cases.append(
            replace(
                case,
                patient=f"TCGA_DU_8164_19970111_{case.patient[-1]}",
                truth=truth,
                label=int(truth.any()),
                baselines={name: case.organ & (rng.random(truth.shape) < 0.4) for name in METHODS},
            )
        )
    rule = ThresholdRule(0.4, "prevalence 6 % on abnormal training slices")
    evaluation = evaluate_slices(cases, rule, collect=gallery.add)
    path = tmp_path_factory.mktemp("wide") / "report.html"
    measured = compute_metrics(evaluation, samples=300)
    write_report(
        path,
        title="runs/mri_carcinoma_of_a_folder_with_a_long_name_2026_11_26",
        run=described[0],
        metrics=measured | {"markers": {"oedema": measured, "intraparenchymal haemorrhage": measured}},
        patients=evaluation.patients,
        slices=evaluation.slices,
        curves=described[1],
        gallery=gallery.choose(evaluation.patients),
    )
    return path


def test_nothing_is_cut_off_or_unreadable(browser, wide_report, faults_of_layout):
    browser.get(wide_report.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    one(browser, ".unfold").click()
    longest = "neither marks the lesion"  # of what stands there, see the template
    browser.execute_script("document.querySelector('#comparison .say').textContent = arguments[0]", longest)
    assert "of patients unmarked" in one(browser, "#comparison").text
    assert faults_of_layout(browser) == {}


def test_the_check_sees_a_column_that_is_cut_off(browser, wide_report, faults_of_layout):
    browser.get(wide_report.as_uri())
    browser.execute_script(
        "document.querySelectorAll('#comparison td').forEach((cell) => { cell.style.minWidth = '240px'; });"
        "document.querySelector('.lead').style.color = getComputedStyle(document.body).backgroundColor"
    )
    [faults] = faults_of_layout(browser, widths=["usual"], schemes=["light"]).values()
    assert any("needs" in fault for fault in faults) and any("hard to read" in fault for fault in faults)


def test_nothing_is_asked_of_the_network(browser, report):
    browser.get_log("performance")
    browser.get(report.as_uri())
    one(browser, "#shots button").click()
    asked = [
        entry["message"]
        for entry in browser.get_log("performance")
        if "Network.requestWillBeSent" in entry["message"]
    ]
    assert asked and not any('"url":"http' in message for message in asked)
