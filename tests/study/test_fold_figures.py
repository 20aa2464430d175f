"""Out-of-fold figures, worked by hand and against scikit-learn; the spread over repeats."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clamnet_tf.datasets.folds import Fold
from clamnet_tf.study.folds.figures import mean_dice, over_repeats, pooled_figures
from clamnet_tf.study.folds.results import FoldResult


def patient(name, dice=None, share=None, otsu=None):
    return {
        "patient": name,
        "dice": dice,
        "iou": dice,
        "sensitivity": dice,
        "precision": dice,
        "marked_share": share,
        "marked_share_otsu": share,
        "marked_share_head_1": share,
        "dice_otsu": otsu,
        "dice_head_1": dice,
    }


def slice_row(name, score, label, dice=None, marked=0.0):
    """A slice with a lesion has a Dice and is abnormal; one without has what was marked."""
    truth = 10.0 if dice is not None else 0.0
    return {
        "patient": name,
        "score": score,
        "label": float(label),
        "organ_px": 100.0,
        "truth_px": truth,
        "dice": dice,
        "hd95_px": 4.0 if truth else None,
        "hd95_mm": None,
        "pointing": float(score > 0.5) if truth else None,
        "marked_fraction": marked,
    }


def fold(number, patients, slices, repeat=1):
    names = tuple(row["patient"] for row in patients)
    return FoldResult(repeat, Fold(number, f"fold {number}", names), {}, patients, slices, None)


@pytest.fixture
def folds():
    """Fold 1: p1 (two slices with a lesion, Dice 0.6 and 0.4) and n1. Fold 2: p2 (one slice, 0.9), n2, n3."""
    return [
        fold(
            1,
            [patient("p1", 0.5, otsu=0.1), patient("n1", share=0.0)],
            [
                slice_row("p1", 0.4, 1, 0.6),
                slice_row("p1", 0.3, 1, 0.4),
                slice_row("p1", 0.1, 0, marked=0.3),
                slice_row("n1", 0.2, 0),
            ],
        ),
        fold(
            2,
            [patient("p2", 0.9, otsu=0.5), patient("n2", share=0.2), patient("n3", share=0.1)],
            [
                slice_row("p2", 0.9, 1, 0.9),
                slice_row("n2", 0.7, 0, marked=0.2),
                slice_row("n3", 0.6, 0, marked=0.1),
            ],
        ),
    ]


def test_figures_are_those_of_all_patients_together(folds):
    found = pooled_figures(folds)
    assert (found["patients"], found["patients_with_lesion"], found["patients_without_lesion"]) == (5, 2, 3)
    assert found["dice_volume"] == pytest.approx(
        {"mean": 0.7, "low": 0.5, "high": 0.9, "median": 0.7, "patients": 2}
    )
    assert found["dice_slice"]["mean"] == pytest.approx((0.6 + 0.4 + 0.9) / 3)
    assert found["dice_slice"]["slices"] == 3
    assert found["pointing_game"]["mean"] == pytest.approx(1 / 3)
    assert found["hd95_px"]["mean"] == 4.0 and found["hd95_mm"]["mean"] is None
    assert found["normal_area"]["mean"] == pytest.approx((0.3 + 0 + 0.2 + 0.1) / 4)
    assert found["specificity_slice"]["mean"] == pytest.approx(1 / 4)
    assert found["normal_area_patient"]["mean"] == pytest.approx(0.1)
    assert found["specificity_patient"]["mean"] == pytest.approx(1 / 3)
    assert list(found["simple_methods"]) == ["otsu"]
    assert found["simple_methods"]["otsu"]["dice"]["mean"] == pytest.approx(0.3)
    assert found["simple_methods"]["otsu"]["difference"] == pytest.approx(
        {"mean": 0.4, "low": 0.4, "high": 0.4}
    )


def test_auroc_over_all_folds_and_within_them(folds):
    """Slices: 0.4, 0.3, 0.9 against 0.1, 0.2, 0.7, 0.6. Within fold 1 all 4 pairs are right, within fold 2
    both: 6 of 6; over all, 0.4 and 0.3 lie below 0.7 and 0.6: 8 of 12.
    """
    found = pooled_figures(folds)
    rows = [row for result in folds for row in result.slices]
    oracle = roc_auc_score([row["label"] for row in rows], [row["score"] for row in rows])
    assert found["auroc_slice"]["mean"] == pytest.approx(oracle) == pytest.approx(8 / 12)
    assert found["auroc_slice_within"]["mean"] == 1.0
    # patients: highest scores 0.4 (p1) and 0.9 (p2) against 0.2, 0.7, 0.6
    oracle = roc_auc_score([1, 0, 1, 0, 0], [0.4, 0.2, 0.9, 0.7, 0.6])
    assert found["auroc_patient"]["mean"] == pytest.approx(oracle)
    assert found["auroc_patient_within"]["mean"] == 1.0


def test_weights_of_folds_in_the_auroc_are_their_pairs():
    rng, results, right, pairs = np.random.default_rng(0), [], 0.0, 0
    for number, count in ((1, 6), (2, 15)):
        labels = np.arange(count) % 3 == 0
        scores = rng.random(count)
        names = [f"{number}_{index}" for index in range(count)]
        own = [
            slice_row(name, score, label, 0.5 if label else None)
            for name, score, label in zip(names, scores, labels)
        ]
        results.append(fold(number, [patient(name) for name in names], own))
        weight = int(labels.sum() * (~labels).sum())
        right, pairs = right + weight * roc_auc_score(labels, scores), pairs + weight
    found = pooled_figures(results)
    assert found["auroc_slice_within"]["mean"] == pytest.approx(right / pairs)
    low, high = found["auroc_slice_within"]["low"], found["auroc_slice_within"]["high"]
    assert low < found["auroc_slice_within"]["mean"] < high


def test_the_spread_over_repeats(folds):
    """Dice 0.7 and 0.5: mean 0.6, sd of a sample 0.1414; p1 has 0.5 and 0.3, p2 has 0.9 and 0.7."""
    again = [
        fold(1, [patient("p1", 0.3), patient("n1", share=0.0)], folds[0].slices, repeat=2),
        fold(2, [patient("p2", 0.7), patient("n2", share=0.2)], folds[1].slices[:2], repeat=2),
    ]
    spread = over_repeats([pooled_figures(folds), pooled_figures(again)])
    assert spread["dice_volume"] == pytest.approx(
        {"mean": 0.6, "sd": np.sqrt(0.02), "lowest": 0.5, "highest": 0.7}
    )
    assert "hd95_mm" not in spread
    assert mean_dice([*folds, *again]) == pytest.approx({"mean": 0.6, "low": 0.4, "high": 0.8, "patients": 2})
    assert mean_dice([*folds, again[0]])["patients"] == 1  # p2 is not measured twice yet
    assert over_repeats([pooled_figures(folds)])["dice_volume"]["sd"] is None


def test_without_masks_there_is_no_dice_but_an_auroc():
    rows = [slice_row("a", 0.9, 1), slice_row("b", 0.1, 0)]
    for row in rows:
        row["truth_px"] = None
    found = pooled_figures([fold(1, [patient("a"), patient("b")], rows)])
    assert found["dice_volume"]["mean"] is None and found["dice_slice"]["mean"] is None
    assert found["auroc_slice"]["mean"] == 1.0 and found["normal_area"]["mean"] is None
