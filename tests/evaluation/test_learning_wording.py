"""The rules and the sentences of learning.json, one by one."""

import pytest

from clamnet_tf.evaluation.console import _learning
from clamnet_tf.reporting.learning_wording import (
    LEARNED,
    LEAST_PATIENTS,
    NOT_LEARNED,
    SHORTCUT,
    TOO_FEW,
    half_sentences,
    judge,
    sentences,
)


def interval(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


def outcome(
    auroc=(0.9, 0.8, 0.95), shortcut=(0.5, 0.4, 0.6), difference=(0.4, 0.3, 0.5), patients=12, **more
):
    found = {
        "unit": "slice",
        "patients": {"all": 2 * patients, "abnormal": patients, "normal": patients},
        "slices": {"abnormal": 40, "normal": 40},
        "auroc": interval(*auroc),
        "marked_area": {
            "abnormal": interval(0.05, 0.04, 0.06),
            "normal": interval(0.004, 0.001, 0.01),
            "difference": interval(0.046, 0.031, 0.059),
        },
        "shortcut": {
            "auroc": interval(*shortcut),
            "difference": interval(*difference),
            "features": ["position", "site"],
            "classifier": "trees",
            "strongest": {"group": "position", "auroc": 0.71},
            "reason": None,
        },
    } | more
    return found | {"verdict": judge(found)}


@pytest.mark.parametrize(
    "found, verdict",
    [
        (outcome(), LEARNED),
        (outcome(auroc=(0.7, 0.5, 0.9)), NOT_LEARNED),
        (outcome(auroc=(0.7, 0.501, 0.9)), LEARNED),
        (outcome(auroc=(0.2, 0.1, 0.3)), NOT_LEARNED),
        (outcome(shortcut=(0.85, 0.7, 0.9), difference=(0.05, -0.02, 0.1)), SHORTCUT),
        (outcome(shortcut=(0.95, 0.9, 0.97), difference=(-0.05, -0.1, -0.01)), SHORTCUT),
        (outcome(shortcut=(0.7, 0.6, 0.8), difference=(0.2, 0.1, 0.3)), LEARNED),
        # a classifier that is not shown to be better than chance explains nothing
        (outcome(shortcut=(0.7, 0.45, 0.9), difference=(0.2, -0.1, 0.5)), LEARNED),
        (
            outcome(auroc=(0.6, 0.4, 0.8), shortcut=(0.9, 0.8, 0.95), difference=(-0.3, -0.5, -0.1)),
            NOT_LEARNED,
        ),
        (outcome(patients=LEAST_PATIENTS), LEARNED),
        (outcome(patients=LEAST_PATIENTS - 1), TOO_FEW),
        (outcome(auroc=(0.4, 0.3, 0.6), patients=LEAST_PATIENTS - 1), TOO_FEW),
        (outcome(auroc=(None, None, None)), TOO_FEW),
        (outcome(shortcut=(None, None, None), difference=(None, None, None)), LEARNED),
    ],
)
def test_the_rules(found, verdict):
    assert found["verdict"] == verdict


def plain(text):
    return text.replace("\u00a0", " ")


def first(found, **more):
    return plain(sentences(found, **more)[0])


def test_the_first_sentence_states_the_verdict_with_its_figures():
    assert first(outcome()) == (
        "The network tells abnormal slices from normal ones of patients it was not trained on: slice AUROC "
        "0.90 (95 % interval 0.80 to 0.95) on 24 validation patients."
    )
    assert first(outcome(auroc=(0.55, 0.4, 0.7))) == (
        "WARNING: this run is not shown to have learned anything: slice AUROC 0.55 (95 % interval 0.40 to "
        "0.70) on 24 validation patients, and guessing has 0.5."
    )
    assert first(outcome(auroc=(0.2, 0.1, 0.3))).startswith(
        "WARNING: this run scores abnormal slices lower than normal ones, which is worse than guessing: "
        "slice AUROC 0.20"
    )
    assert first(outcome(shortcut=(0.85, 0.7, 0.9), difference=(0.05, -0.02, 0.1))) == (
        "WARNING: a shortcut may explain everything that this run has learned: slice AUROC 0.90 (95 % "
        "interval 0.80 to 0.95) on 24 validation patients, and a classifier that sees no lesion, only slice "
        "position and site, has 0.85 (95 % interval 0.70 to 0.90) (difference +0.05, 95 % interval "
        "\u22120.02 to +0.10); the strongest of these alone is slice position (0.71)."
    )
    assert first(outcome(patients=1)) == (
        "WARNING: there are too few validation patients to say whether this run has learned anything: 1 "
        "patient with abnormal slices and 1 patient with normal ones (slice AUROC 0.90); at least 6 of each "
        "are needed."
    )
    assert "slices that show cyst from slices that do not" in first(outcome(), name="cyst")


def test_labels_of_studies_are_judged_by_patients():
    said = [plain(sentence) for sentence in sentences(outcome(unit="patient"))]
    assert said[0] == (
        "The network tells patients with a finding from those without one, none of whom it was trained on: "
        "patient AUROC 0.90 (95 % interval 0.80 to 0.95) on 24 validation patients."
    )
    assert "in validation patients with a finding and 0.4 % in those without one" in said[1]
    assert said[2].endswith("on the same patients.") or "on the same patients (" in said[2]
    few = first(outcome(patients=4, unit="patient"))
    assert "anything: 4 patients with a finding and 4 those" not in few
    assert "4 with a finding and 4 without one (patient AUROC 0.90)" in few
    assert "tells patients with cyst from patients without it" in first(outcome(unit="patient"), name="cyst")


def test_further_sentences():
    said = [plain(sentence) for sentence in sentences(outcome())]
    assert said[1] == (
        "It marks 5.0 % of the organ in abnormal validation slices and 0.4 % in normal ones (95 % interval "
        "of the difference 3.1 to 5.9 percentage points)."
    )
    assert said[2] == (
        "A classifier that sees no lesion, only slice position and site, has an AUROC of 0.50 (95 % interval "
        "0.40 to 0.60) on the same slices."
    )
    same = outcome()["marked_area"] | {"difference": interval(0.001, -0.01, 0.012)}
    assert "which is not shown to be more" in sentences(outcome(marked_area=same))[1]
    none = outcome()["shortcut"] | {
        "auroc": interval(None, None, None),
        "reason": "the training slices all have the same label",
    }
    assert sentences(outcome() | {"shortcut": none})[2] == (
        "No shortcut was looked for: the training slices all have the same label."
    )


def halves(difference, **more):
    return {
        "same": interval(0.5, 0.4, 0.6),
        "other": interval(0.2, 0.1, 0.3),
        "difference": interval(*difference),
        "shared": None,
        "reason": None,
    } | more


def test_agreement_of_halves_in_words():
    (said,) = half_sentences(halves((0.3, 0.2, 0.4), shared="the initial weights"))
    assert "0.50" in said and "0.20" in said and "need not be the lesion" in said and "WARNING" not in said
    assert said.endswith("Both halves share the initial weights, which raises the agreement.")
    (said,) = half_sentences(halves((0.01, -0.1, 0.1)))
    assert said.startswith("WARNING: ") and "not shown to depend on the slice" in said
    nothing = {"same": interval(None, None, None), "reason": "neither network marks anything"}
    assert half_sentences(halves((None, None, None)) | nothing) == [
        "The agreement of two halves could not be measured: neither network marks anything."
    ]


def test_the_console_begins_with_the_verdict():
    assert _learning({"learning": {"sentences": ["First.", "Second."]}}) == ["First.", "  Second."]
    assert _learning({}) == [] and _learning({"learning": None}) == []
