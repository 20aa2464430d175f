"""The report's page: complete, offline, honest, and small."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from clamnet_tf.evaluation import report as module
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.gallery import Gallery
from clamnet_tf.evaluation.report import write_report
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and keeps addresses and ids."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.ids = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_startendtag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(report):
    return report.read_text(encoding="utf-8")


def write(path, evaluation, items=(), curves=(), run=None, **more):
    content = {
        "title": "t",
        "run": run or {},
        "metrics": compute_metrics(evaluation, samples=50),
        "patients": evaluation.patients,
        "slices": evaluation.slices,
    }
    write_report(path, **content | {"curves": list(curves), "gallery": list(items)} | more)
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_loads_nothing(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        assert address.startswith(("data:", "#")), address
        assert not address.startswith("#") or address[1:] in page.ids
    assert "default-src 'none'" in text and not re.search(r"https?://|url\(|@import", text)


def test_what_it_says(text, evaluated):
    _, found, items = evaluated
    for part in (
        "Simulated cohort.",
        "not a medical device",
        "prevalence 6 % on abnormal training slices",
        "one label per image; no mask was used in training or selection",
        "step 75 of 100; marked area on normals",
        f"{found['dice_volume']['mean']:.2f}",
        f"{found['dice_volume']['low']:.2f} to {found['dice_volume']['high']:.2f}",
        "The whole organ marked",
        "Otsu threshold on bright pixels of channel 0",
        "Head 2",
        "keras 3.15.1",
        "no prediction",
        "larger of the two directed 95th percentiles",
    ):
        assert part in text, part
    assert text.count('class="thumb"') == len(items)
    assert "slices per second" not in text


def test_every_picture_has_a_text(text):
    shots = re.findall(r"<svg class=\"shot\"[^>]*>", text)
    assert shots and all(
        re.search(r'role="img" aria-label="patient \d, p\d_\d.png: [a-z]', shot) for shot in shots
    )


def test_real_data_is_not_called_simulated(tmp_path, evaluated):
    page = write(tmp_path / "r.html", evaluated[0], run={"data": "/data/lgg"})
    assert "imulated" not in page and "/data/lgg" in page


def test_names_cannot_break_the_page(tmp_path, build_cases):
    evil = "</script><script>alert(1)</script>\"'&"
    cases = [
        dataclasses.replace(case, patient=evil, image=evil + case.image, site=evil)
        for case in build_cases(patients=1, missing=())
    ]
    gallery = Gallery()
    evaluation = evaluate_slices(cases, ThresholdRule(0.4, evil), collect=gallery.add)
    page = write(
        tmp_path / "r.html",
        evaluation,
        gallery.choose(evaluation.patients),
        run={"recipe": evil, "details": {evil: evil}},
        title=evil,
    )
    Page(page)
    assert page.count("<script>") == 1 and "alert(1)" in page


@pytest.mark.parametrize("kind", ["labels only", "nothing known", "one patient"])
def test_odd_evaluations_have_a_page_too(tmp_path, rng, kind):
    organ = np.ones((16, 20), bool)
    truth = np.zeros_like(organ)
    truth[4:8, 5:9] = True
    cases = {
        "labels only": [
            SliceCase(f"p{number}", "a.png", 0, number % 2, organ, rng.random(organ.shape))
            for number in range(6)
        ],
        "nothing known": [
            SliceCase("p", "a.png", number, None, organ, rng.random(organ.shape)) for number in range(3)
        ],
        "one patient": [
            SliceCase(
                "p", "a.png", 0, 1, organ, rng.random(organ.shape), truth, picture=rng.random(organ.shape)
            )
        ],
    }[kind]
    gallery = Gallery()
    evaluation = evaluate_slices(cases, ThresholdRule(0.5, "fixed"), collect=gallery.add)
    page = write(
        tmp_path / "r.html", evaluation, gallery.choose(evaluation.patients), [{"step": 1, "loss": 1.0}]
    )
    Page(page)
    assert ("not measured" in page) and (kind == "one patient" or "no slice has a lesion" in page)
    assert "nan" not in re.sub(
        r"<style>.*?</style>|<script>.*?</script>", "", page, flags=re.S
    ).lower().replace("nantes", "")


def test_many_methods_are_folded_but_the_whole_organ_is_not(tmp_path, build_cases):
    cases = build_cases(patients=3, missing=())
    for case in cases:
        case.baselines.update({f"threshold_channel0_sigma{number}_bright": case.truth for number in range(9)})
    page = write(tmp_path / "r.html", evaluate_slices(cases, ThresholdRule(0.4, "")))
    assert "Show the other 5 methods" in page
    assert page.count('class="other folded"') == 5
    assert re.search(r'<tr class="other"><th scope="row">The whole organ marked', page)
    assert (
        "The network does WORSE than one threshold on bright pixels of channel 0" in page
    )  # they mark the very truth


def test_what_the_consistency_gives_by_itself_is_named_and_explained(tmp_path, build_cases):
    cases, words = build_cases(patients=3, missing=()), "what they reach is not the network's merit"
    assert words not in write(tmp_path / "r.html", evaluate_slices(cases, ThresholdRule(0.4, "")))
    for case in cases:
        case.baselines["consistent_channel1_bright"] = case.truth
    page = write(tmp_path / "r.html", evaluate_slices(cases, ThresholdRule(0.4, "")))
    assert words in page and "does WORSE than consistency of volumes on bright pixels of channel 1" in page


def test_a_large_gallery_is_made_smaller(tmp_path, evaluated, monkeypatch):
    monkeypatch.setattr(module, "BYTES", 2_500_000)
    evaluation, _, items = evaluated
    rng = np.random.default_rng(0)
    noise = [
        dataclasses.replace(
            item, gray=rng.integers(0, 256, (180, 110)).astype(np.uint8), heat=rng.random((180, 110))
        )
        for item in items
    ] * 6
    page = write(tmp_path / "r.html", evaluation, noise)
    assert page.count('class="thumb"') == module.LIMIT
    assert 1_000_000 < len(page.encode()) <= 2_500_000
    Page(page)


def test_curves_go_to_their_panels(text):
    panels = dict(
        re.findall(r"<figcaption>(.*?)</figcaption>.*?<ul class=\"legend\">(.*?)</ul>", text, flags=re.S)
    )
    names = {panel: re.findall(r"</i>(.*?)</li>", legend) for panel, legend in panels.items()}
    assert names == {
        "Loss and its terms": ["total loss", "hybrid"],
        "Marked area, share of the organ": ["normal area", "abnormal area"],
        "Slice AUROC, validation": ["slice AUROC"],
    }


def test_what_classifiers_call_areas_is_not_plotted_as_one(tmp_path, evaluated):
    curves = [
        {"stage": "classifiers", "step": step, "loss": 1.0 / step, "auroc": 0.7, "normal_area": 0.2}
        for step in (1, 2, 3)
    ]
    page = write(tmp_path / "r.html", evaluated[0], evaluated[2], curves)
    assert "Slice AUROC, validation" in page and "Marked area, share of the organ" not in page


def test_the_same_input_gives_the_same_page(tmp_path, evaluated):
    first, second = (write(tmp_path / f"{number}.html", evaluated[0], evaluated[2]) for number in range(2))
    assert first == second


def single(patient, number, truth, ours, label=None):
    """A slice of the made-up set with the whole organ beside it; label 1 without a mask when given."""
    organ = np.ones((20, 20), bool)
    known = None if label else truth
    return SliceCase(
        patient,
        f"{patient}.png",
        number,
        label or int(truth.any()),
        organ,
        ours.astype(float),
        known,
        baselines={"whole_organ": organ, "x": ~truth},
    )


def lesion():
    mask = np.zeros((20, 20), bool)
    mask[3:5, 3:6] = True
    return mask


def test_the_fracture_case_is_not_called_better(tmp_path):
    """Every lesion missed, most normals rightly left alone: both bad, and the normals are told apart."""
    truth, nothing = lesion(), np.zeros((20, 20), bool)
    cases = [single(f"p{number}", 0, truth, nothing) for number in range(6)] + [
        single(f"n{number}", 0, nothing, nothing | (number == 0)) for number in range(10)
    ]
    page = write(tmp_path / "r.html", evaluate_slices(cases, ThresholdRule(0.5, "")))
    Page(page)
    body = page.split("</style>", 1)[1]
    assert (
        "Neither the network nor any simple method marks the lesion: Dice 0.00, and 0.03 for the best of "
        "them (the whole organ marked)." in body
    )
    assert (
        body.count("neither marks the lesion</span>") == 2
        and "network better" not in body
        and "better than every" not in body
    )
    assert (
        "6 patients with a lesion" in body
        and "90\u00a0% of patients unmarked" in body
        and "0\u00a0% of patients unmarked" in body
    )
    assert "16 patients (6 with a lesion, 10 without)" in body and "It does not mark the lesion" in body


def test_the_best_simple_method_and_the_whole_organ_stand_beside_the_figure(tmp_path):
    """Both lungs marked give what the network gives (0.46; it leaves out one pixel, by turns rightly and
    wrongly): the headline says so.
    """
    truth = np.zeros((20, 20), bool)
    truth[:6] = True  # 120 of 400 pixels: all marked gives 240 / 520
    cases = [
        single(f"p{number}", 0, truth, np.arange(400).reshape(20, 20) != (0, 399)[number % 2])
        for number in range(6)
    ]
    page = write(tmp_path / "r.html", evaluate_slices(cases, ThresholdRule(0.5, "")))
    head = page.split('<div class="headline">')[1].split('<div class="tiles">')[0]
    assert re.search(
        r'id="best-simple"><dt>Best simple method <span>the whole organ marked, picked with the '
        r"masks</span></dt><dd>0\.46</dd>",
        head,
    )
    assert (
        "NOT shown to be better than the whole organ marked on these 6 patients with a lesion: Dice "
        "0.46, and 0.46 for the best" in head
    )
    assert (
        "Marking the whole organ gives a Dice score of 0.46 where the network has 0.46 (difference 0.00"
        in head
    )
    assert "no difference is shown." in head and "WORSE" not in head


def test_where_single_slices_are_outlined_they_are_the_headline(tmp_path):
    truth = lesion()
    cases = [single(patient, number, truth, truth, label=number) for patient in "abc" for number in (0, 1)]
    page = write(tmp_path / "r.html", evaluate_slices(cases, ThresholdRule(0.5, "")))
    Page(page)
    head = page.split('<div class="headline">')[1].split('<div class="tiles">')[0]
    assert (
        '<p class="name">Dice per outlined slice</p>' in head
        and '<p class="big">1.00</p>' in head
        and "not measured" not in head
    )
    assert "3 outlined slices; no patient is fully outlined" in head and 'id="best-simple"' in head
    assert (
        "Dice per outlined slice, 95 % interval" in page
        and "Dice of a patient&#x27;s outlined slices, mean"
        in page.replace("&#39;", "&#x27;").replace("patient's", "patient&#x27;s")
    )


def test_a_run_that_is_not_shown_to_have_learned_says_so_at_the_top(tmp_path, evaluated):
    evaluation, found, _ = evaluated
    learning = {"verdict": "not learned", "sentences": ["WARNING: this run <learned> nothing.", "More."]}
    page = write(tmp_path / "r.html", evaluation, metrics=found | {"learning": learning})
    Page(page)
    first = page.index("WARNING: this run &lt;learned&gt; nothing.")
    assert (
        first < page.index("</header>") < page.index("Was anything learned?") < page.index("<li>More.</li>")
    )
    good = learning | {"verdict": "learned", "sentences": ["The network tells them apart."]}
    page = write(tmp_path / "g.html", evaluation, metrics=found | {"learning": good})
    assert page.index("</header>") < page.index("The network tells them apart.")
    assert 'id="learning"' not in write(tmp_path / "n.html", evaluation, metrics=found)
