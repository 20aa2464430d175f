"""Whether anything was learned: simulated cohorts of known answer, figures against scikit-learn, no mask."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clamnet_tf.evaluation import bootstrap, learning_check
from clamnet_tf.evaluation.learning_check import check_learning
from clamnet_tf.evaluation.shortcut_classifier import ShortcutClassifier
from clamnet_tf.evaluation.shortcut_features import GROUPS, ShortcutFeatures, constant_frame
from clamnet_tf.evaluation.validation_scores import ScoredSlices
from clamnet_tf.metrics.ranking import auroc
from clamnet_tf.preprocessing.slice_table import SliceTable
from clamnet_tf.recipe.classes import UNNAMED
from clamnet_tf.reporting.learning_wording import LEAST_PATIENTS

SIDE, SLICES = 20, 4


def cohort(rng, patients=32, padded=False, sites=None, names=("",)):
    """Noise: even patients are normal, odd ones abnormal; half of them train. `padded`: blank rows in
    abnormal slices; `sites`: site of normal and of abnormal patients; `names`: lesion class of abnormal
    patients in turn.
    """
    count = patients * SLICES
    of = np.repeat(np.arange(patients), SLICES)
    label = of % 2
    images = rng.normal(size=(count, SIDE, SIDE, 1)).astype(np.float16)
    if padded:
        for row in np.flatnonzero(label):
            images[row, : rng.integers(2, 5)] = 0
    columns = {name: np.zeros(count) for name in SliceTable.__dataclass_fields__}
    columns |= {
        "label": label,
        "patient": np.array([f"p{each:02d}" for each in of]),
        "volume": of,
        "position": np.tile(np.linspace(0, 1, SLICES), patients),
        "area": rng.uniform(0.3, 0.5, count),
        "box": np.tile([0, 0, SIDE, SIDE, SIDE], (count, 1)),
        "spacing": np.full((count, 3), np.nan),
        "markers": np.where(label, np.array(names)[of // 2 % len(names)], ""),
        "site": np.array(sites or ("", ""))[label],
        "split": np.where(of < patients // 2, "train", "val"),
    }
    organ = np.ones((count, SIDE, SIDE), np.uint8)
    return SimpleNamespace(images=images, organ=organ, table=SliceTable(**columns))


def checked(prepared, score, marked=None, classes=(UNNAMED,), class_scores=None, **more):
    """check_learning of a network that gives `score` (of the label, bool) to validation slices."""
    table = prepared.table
    rows, training = (np.flatnonzero(table.split == side) for side in ("val", "train"))
    scores = score(table.label[rows] > 0)
    shares = scores / 10 if marked is None else marked(table.label[rows] > 0)
    by_class = np.tile(scores[:, None], len(classes)) if class_scores is None else class_scores(rows)
    scored = ScoredSlices(rows, scores, by_class, shares, np.tile(shares[:, None], len(classes)))
    options = {"least_area": 0.1, "samples": 400} | more
    return check_learning(scored, prepared, training, classes, **options), scored


def guess(rng):
    return lambda label: rng.random(len(label))


def skilled(rng, skill=3.0):
    return lambda label: 1 / (1 + np.exp(-rng.normal(size=len(label)) - skill * label))


def test_scores_that_do_not_follow_the_labels_are_not_learned(rng):
    found, _ = checked(cohort(rng), guess(rng))
    outcome = found["outcomes"][""]
    assert found["verdict"] == "not learned" and outcome["auroc"]["low"] < 0.5 < outcome["auroc"]["high"]
    assert found["sentences"][0].startswith("WARNING: this run is not shown to have learned anything")
    assert "not shown to be more" in found["sentences"][1]
    assert found["sentences"][-1] == learning_check.NOT_RUN and found["halves"] is None


def test_scores_that_follow_the_labels_are_learned(rng):
    found, scored = checked(cohort(rng), skilled(rng))
    outcome = found["outcomes"][""]
    assert found["verdict"] == "learned" and "WARNING" not in " ".join(found["sentences"])
    label = np.repeat(np.arange(16) % 2, SLICES)
    assert outcome["auroc"]["mean"] == pytest.approx(roc_auc_score(label, scored.score))
    areas = outcome["marked_area"]
    assert areas["abnormal"]["mean"] == pytest.approx(scored.marked[label == 1].mean())
    assert areas["difference"]["mean"] == pytest.approx(
        scored.marked[label == 1].mean() - scored.marked[label == 0].mean()
    )
    assert areas["difference"]["low"] > 0
    assert outcome["patients"] == {"all": 16, "abnormal": 8, "normal": 8}
    assert outcome["slices"] == {"abnormal": 32, "normal": 32}


def test_intervals_resample_patients(rng):
    """The bounds of AUROC and of the difference, drawn again patient by patient with scikit-learn."""
    prepared = cohort(rng, padded=True)
    found, scored = checked(prepared, skilled(rng, 1.0), samples=40)
    label, patient = prepared.table.label[scored.rows], prepared.table.patient[scored.rows]
    train = np.flatnonzero(prepared.table.split == "train")
    classifier = ShortcutClassifier(
        ShortcutFeatures.of(prepared, train), prepared.table.label[train] > 0, prepared.table.patient[train]
    )
    theirs = classifier.score(ShortcutFeatures.of(prepared, scored.rows))
    names, ours_drawn, differences = np.unique(patient), [], []
    for drawn in bootstrap.draws(len(names), 40):
        rows = np.concatenate([np.flatnonzero(patient == names[index]) for index in drawn])
        if len(set(label[rows])) == 2:
            pair = [roc_auc_score(label[rows], scores[rows]) for scores in (scored.score, theirs)]
            ours_drawn.append(pair[0])
            differences.append(pair[0] - pair[1])
    outcome = found["outcomes"][""]
    bounds = [outcome["auroc"]["low"], outcome["auroc"]["high"]]
    np.testing.assert_allclose(bounds, np.quantile(ours_drawn, [0.025, 0.975]))
    shortcut = outcome["shortcut"]
    assert shortcut["auroc"]["mean"] == pytest.approx(roc_auc_score(label, theirs))
    bounds = [shortcut["difference"]["low"], shortcut["difference"]["high"]]
    np.testing.assert_allclose(bounds, np.quantile(differences, [0.025, 0.975]))


def test_padding_that_tells_the_label_is_a_shortcut(rng):
    found, _ = checked(cohort(rng, padded=True), skilled(rng))
    shortcut = found["outcomes"][""]["shortcut"]
    assert found["verdict"] == "shortcut" and shortcut["auroc"]["mean"] > 0.95
    assert shortcut["strongest"]["group"] == "padding"
    assert found["sentences"][0].startswith("WARNING: a shortcut may explain everything")
    assert "the strongest of these alone is padding" in found["sentences"][0]


def test_a_site_that_tells_the_label_is_a_shortcut(rng):
    found, _ = checked(cohort(rng, sites=("Heidelberg", "Ulm")), skilled(rng))
    shortcut = found["outcomes"][""]["shortcut"]
    assert found["verdict"] == "shortcut" and shortcut["strongest"] == {"group": "site", "auroc": 1.0}
    assert "site" in shortcut["features"] and "size" not in shortcut["features"]


def test_without_a_shortcut_in_the_data_none_is_found(rng):
    found, _ = checked(cohort(rng), skilled(rng))
    shortcut = found["outcomes"][""]["shortcut"]
    assert shortcut["auroc"]["low"] < 0.5 and shortcut["strongest"] is None
    assert "only slice position, organ area and sharpness, has an AUROC of" in found["sentences"][2]


@pytest.mark.parametrize("patients, verdict", [(4 * LEAST_PATIENTS, "learned"), (20, "too few patients")])
def test_few_patients_say_nothing(rng, patients, verdict):
    found, _ = checked(cohort(rng, patients=patients), skilled(rng, 9.0))
    assert found["verdict"] == verdict
    if verdict != "learned":
        assert "5 patients with abnormal slices and 5 patients with normal ones" in found["sentences"][0]


def test_one_kind_of_label_says_nothing(rng):
    prepared = cohort(rng)
    prepared.table.label[:] = 1
    found, _ = checked(prepared, guess(rng))
    outcome = found["outcomes"][""]
    assert found["verdict"] == "too few patients" and outcome["auroc"]["mean"] is None
    assert outcome["shortcut"]["reason"] == learning_check.NO_SLICES
    assert "0 patients with normal ones" in found["sentences"][0]


def test_a_class_that_was_not_learned_is_said_first(rng):
    prepared = cohort(rng, patients=64, names=("cyst", "tumour"))

    def class_scores(rows):
        names = prepared.table.markers[rows]
        return np.stack([skilled(rng)(names == "cyst"), rng.random(len(rows))], axis=1)

    found, _ = checked(prepared, skilled(rng), classes=("cyst", "tumour"), class_scores=class_scores)
    assert [found["outcomes"][name]["verdict"] for name in ("", "cyst", "tumour")] == [
        "learned",
        "learned",
        "not learned",
    ]
    assert found["verdict"] == "not learned" and "learned anything of tumour" in found["sentences"][0]
    assert found["outcomes"]["cyst"]["patients"] == {"all": 32, "abnormal": 8, "normal": 24}
    assert "slices that show cyst" in found["sentences"][-2]


def test_slices_with_hardly_any_organ_are_left_out(rng):
    prepared = cohort(rng)
    prepared.table.area[-SLICES:] = 0.05
    found, _ = checked(prepared, skilled(rng))
    assert found["outcomes"][""]["patients"]["all"] == 15


def test_no_mask_is_opened_and_the_same_data_give_the_same_answer(rng):
    from clamnet_tf.preprocessing.mask_access import mask_firewall

    prepared = cohort(rng, padded=True)
    with mask_firewall():
        once, _ = checked(prepared, skilled(np.random.default_rng(1)))
        again, _ = checked(prepared, skilled(np.random.default_rng(1)))
    assert once == again


def test_a_network_that_learned_nothing_rarely_looks_as_if_it_had():
    """Simulation behind LEAST_PATIENTS: scores that depend on the patient and never on the label."""
    rng, found = np.random.default_rng(0), []
    number = np.repeat(np.arange(2 * LEAST_PATIENTS), 6)
    label = number < LEAST_PATIENTS
    drawn = bootstrap.multiplicities(2 * LEAST_PATIENTS, 300)
    for _ in range(200):
        score = rng.normal(size=2 * LEAST_PATIENTS)[number] + rng.normal(size=number.size)
        resampled = auroc(score, label, drawn[:, number])
        found.append(np.quantile(resampled[np.isfinite(resampled)], 0.025) > 0.5)
    assert 0 < np.mean(found) < 0.08


def test_constant_frames():
    image = np.random.default_rng(0).normal(size=(10, 20, 2))
    assert constant_frame(image) == 0
    image[:2], image[:, -5:] = 0.3, -1
    assert constant_frame(image) == pytest.approx(1 - 8 * 15 / 200)
    assert constant_frame(np.zeros((4, 4, 1))) == 1


def test_features_are_what_they_say(rng):
    prepared = cohort(rng, patients=2)
    prepared.table.box[0] = [-5, 0, 20, 15, 20]  # a quarter of the crop lies above the image
    prepared.organ[0, :, : SIDE // 2] = 0
    prepared.images[1, 5:15, 5:15] = 0.5  # 81 of the 324 pixels inside of the border equal both neighbours
    prepared.images[2] = prepared.images[3]
    smooth = np.cumsum(np.cumsum(prepared.images[3].astype(float), axis=0), axis=1)
    prepared.images[2] = smooth
    names = [name for members in GROUPS.values() for name in members]
    features = ShortcutFeatures.of(prepared, np.arange(4))
    of = dict(zip(names, features.numbers.T))
    assert of["outside"].tolist() == [0.25, 0, 0, 0] and of["organ_share"].tolist() == [0.5, 1, 1, 1]
    assert of["constant"][1] == pytest.approx(81 / 324, abs=0.01) and of["constant"][3] < 0.02
    assert of["sharpness"][2] < of["sharpness"][3] / 3 and of["noise"][2] < of["noise"][3] / 3
    assert np.isnan(of["spacing_rows"]).all() and of["position"].tolist() == [0, 1 / 3, 2 / 3, 1]
    alone = features.only("padding").numbers
    assert np.array_equal(alone[:, 3:6], features.numbers[:, 3:6]) and not alone[:, :3].any()


def of_studies(prepared, score):
    """The cohort with labels of studies, and scores of which only one slice of each abnormal study speaks."""
    table = prepared.table
    rows = np.flatnonzero(table.split == "val")
    abnormal = table.label[rows] > 0
    table.by_study[:] = table.label > 0
    parts = []
    for kind in (False, True):
        chosen = rows[abnormal == kind]
        scores = score(table.label[chosen] > 0)
        if kind:
            scores[np.arange(len(chosen)) % SLICES != 1] = 0.1
        shares = scores / 10
        parts.append(ScoredSlices(chosen, scores, scores[:, None], shares, shares[:, None]))
    return parts


def test_labels_of_studies_are_told_apart_by_patient(rng):
    prepared = cohort(rng, patients=48)
    known, unsure = of_studies(prepared, skilled(rng, 2.2))
    scored = replace(known, of_studies=unsure)
    training = np.flatnonzero(prepared.table.split == "train")
    found = check_learning(scored, prepared, training, (UNNAMED,), least_area=0.1, samples=400)
    outcome = found["outcomes"][""]
    patients = prepared.table.patient
    best = {}
    for part, label in ((known, 0), (unsure, 1)):
        for row, value in zip(part.rows, part.score):
            before = best.get(patients[row], (label, 0))
            best[patients[row]] = (label, max(before[1], value))
    expected = roc_auc_score(*zip(*best.values()))
    assert 0.6 < expected < 0.99, "neither end hides a wrong way of pooling"
    assert outcome["unit"] == "patient" and outcome["auroc"]["mean"] == pytest.approx(expected)
    assert outcome["patients"] == {"all": 24, "abnormal": 12, "normal": 12}
    assert found["sentences"][0].startswith("The network tells patients with a finding from those without")
    without = check_learning(known, prepared, training, (UNNAMED,), least_area=0.1, samples=50)
    assert without["outcomes"][""]["unit"] == "slice", "labels of slices alone are judged as before"
