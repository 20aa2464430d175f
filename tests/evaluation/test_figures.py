"""metrics.json: its keys, its numbers against scikit-learn and by hand, and null with a reason instead of
NaN.
"""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from clamnet_tf.evaluation.bootstrap import interval, paired
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.metrics.localisation import image_score

THRESHOLD = 0.4
SHAPE = (48, 56)


def disc(row, column, radius):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


@pytest.fixture(scope="module")
def cases(build_cases):
    return build_cases(missing=())


@pytest.fixture(scope="module")
def found(cases):
    return compute_metrics(evaluate_slices(cases, ThresholdRule(THRESHOLD, "by hand")), samples=300)


def masked(case, map_):
    return np.where(case.organ, map_, 0).astype(np.float32)


def volumes(cases, mark):
    """Dice per patient, from whole volumes."""
    scores = []
    for patient in dict.fromkeys(case.patient for case in cases):
        truth = np.stack([case.truth for case in cases if case.patient == patient])
        mask = np.stack([mark(case) for case in cases if case.patient == patient])
        scores.append(2 * (truth & mask).sum() / (truth.sum() + mask.sum()))
    return scores


def test_the_keys_of_the_contract(found):
    assert set(found["dice_volume"]) >= {"mean", "low", "high", "median"} and "mean" in found["dice_slice"]
    assert found["definitions"] == 2
    wanted = (
        "iou hd95_px hd95_convention average_precision_pixel auroc_slice pointing_game normal_area "
        "threshold threshold_rule patients slices oracle heads baselines"
    )
    assert set(wanted.split()) <= set(found)
    assert (found["patients"], found["slices"], found["slices_positive"], found["threshold_rule"]) == (
        5,
        30,
        15,
        "by hand",
    )
    assert "larger of the two directed 95th percentiles" in found["hd95_convention"]


def test_volume_dice_and_its_interval(cases, found):
    scores = volumes(cases, lambda case: masked(case, case.probability) >= THRESHOLD)
    assert (
        found["dice_volume"]["mean"],
        found["dice_volume"]["low"],
        found["dice_volume"]["high"],
    ) == pytest.approx(interval(scores, samples=300))
    assert found["dice_volume"]["median"] == pytest.approx(np.median(scores))
    assert found["iou"] == pytest.approx(np.mean([score / (2 - score) for score in scores]))


def test_ranking_figures_equal_scikit_learn(cases, found):
    truth, maps = (
        np.stack([case.truth for case in cases]),
        np.stack([masked(case, case.probability) for case in cases]),
    )
    assert found["average_precision_pixel"] == pytest.approx(
        average_precision_score(truth.ravel(), maps.ravel()), abs=2e-3
    )
    scores = [image_score(case.probability, case.organ) for case in cases]
    assert found["auroc_slice"] == pytest.approx(roc_auc_score([case.label for case in cases], scores))
    for name in ("auroc_slice", "average_precision_pixel", "normal_area", "pointing_game"):
        assert found["intervals"][name]["low"] <= found[name] <= found["intervals"][name]["high"]


def test_slice_figures(cases, found):
    normal = [
        (masked(case, case.probability) >= THRESHOLD).sum() / case.organ.sum()
        for case in cases
        if case.label == 0
    ]
    assert found["normal_area"] == pytest.approx(np.mean(normal))
    cut = float(np.median([masked(case, case.probability).max() for case in cases if case.label == 0]))
    high = compute_metrics(evaluate_slices(cases, ThresholdRule(cut, "")), samples=50)
    unmarked = [(masked(case, case.probability) < cut).all() for case in cases if case.label == 0]
    assert high["specificity_slice"] == np.mean(unmarked) and 0 < np.mean(unmarked) < 1
    hits = [case.truth.ravel()[masked(case, case.probability).argmax()] for case in cases if case.label]
    assert found["pointing_game"] == pytest.approx(np.mean(hits))
    near = []
    for case in (case for case in cases if case.label):
        peak = np.unravel_index(masked(case, case.probability).argmax(), case.truth.shape)
        distances = np.linalg.norm(np.argwhere(case.truth) - peak, axis=1)
        near.append(distances.min() <= max(case.truth.shape) / 28)
    assert found["pointing_near"] == pytest.approx(np.mean(near))


def test_the_oracle_is_the_best_threshold_there_is(cases, found):
    means = {
        cut: np.mean(volumes(cases, lambda case: masked(case, case.probability) >= np.float32(cut)))
        for cut in np.linspace(0.05, 0.95, 91)
    }
    assert found["oracle"]["dice_volume"]["mean"] >= max(means.values()) - 1e-9
    again = np.mean(
        volumes(
            cases, lambda case: masked(case, case.probability) >= np.float32(found["oracle"]["threshold"])
        )
    )
    assert again == pytest.approx(found["oracle"]["dice_volume"]["mean"])
    assert found["oracle"]["dice_volume"]["mean"] >= found["dice_volume"]["mean"]


def test_baselines_slice_by_slice(cases, found):
    positive = [case for case in cases if case.truth.any()]
    dice = [
        2
        * (case.baselines["otsu_channel0_bright"] & case.truth).sum()
        / (case.baselines["otsu_channel0_bright"].sum() + case.truth.sum())
        for case in positive
    ]
    normal = [
        case.baselines["otsu_channel0_bright"].sum() / case.organ.sum()
        for case in cases
        if not case.truth.any()
    ]
    row = found["baselines"]["otsu_channel0_bright"]
    assert (row["dice_slice"]["mean"], row["normal_area"]) == (
        pytest.approx(np.mean(dice)),
        pytest.approx(np.mean(normal)),
    )
    assert found["baselines"]["whole_organ"]["normal_area"] == 1


def test_heads_and_baselines(cases, found):
    ours = volumes(cases, lambda case: masked(case, case.probability) >= THRESHOLD)
    organ = volumes(cases, lambda case: case.organ)
    assert found["baselines"]["whole_organ"]["dice_volume"]["mean"] == pytest.approx(np.mean(organ))
    difference = found["baselines"]["whole_organ"]["difference"]
    assert (difference["mean"], difference["low"], difference["high"]) == pytest.approx(
        paired(ours, organ, samples=300)
    )
    head = volumes(cases, lambda case: masked(case, case.heads["head_2"]) >= THRESHOLD)
    assert found["heads"]["head_2"]["dice_volume"]["mean"] == pytest.approx(np.mean(head))
    assert set(found["heads"]) == {"head_1", "head_2"}


def test_the_same_seed_gives_the_same_file(cases):
    evaluation = evaluate_slices(cases, ThresholdRule(THRESHOLD, ""))
    first, again, other = (
        json.dumps(compute_metrics(evaluation, 200, seed), allow_nan=False) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_missing_predictions_only_make_figures_worse(build_cases, found):
    gone = compute_metrics(
        evaluate_slices(
            build_cases(missing=[("patient 4", 3), ("patient 4", 0)]), ThresholdRule(THRESHOLD, "")
        ),
        samples=100,
    )
    assert gone["slices_missing"] == 2
    for name in ("iou", "average_precision_pixel", "auroc_slice", "pointing_game"):
        assert gone[name] < found[name], name
    assert gone["hd95_px"] > found["hd95_px"] and gone["normal_area"] > found["normal_area"]
    assert (
        gone["dice_volume"]["mean"] < found["dice_volume"]["mean"]
        and gone["heads"]["head_1"]["dice_volume"]["mean"] < found["heads"]["head_1"]["dice_volume"]["mean"]
    )


def single(patient, probability, truth, label, organ=None, **more):
    organ = np.ones(SHAPE, bool) if organ is None else organ
    return SliceCase(patient, f"{patient}.png", 0, label, organ, probability, truth, **more)


def compute(*cases):
    found = compute_metrics(evaluate_slices(cases, ThresholdRule(0.5, "")), samples=100)
    json.dumps(found, allow_nan=False)
    return found


NOTHING, EVERYTHING, EMPTY = np.zeros(SHAPE), np.ones(SHAPE), np.zeros(SHAPE, bool)


def test_empty_and_empty_is_specificity_and_not_dice():
    lesion = disc(20, 20, 5)
    found = compute(single("a", lesion * 1.0, lesion, 1), single("b", NOTHING, EMPTY, 0))
    assert (found["dice_volume"]["mean"], found["dice_volume"]["patients"], found["specificity_patient"]) == (
        1,
        1,
        1,
    )
    found = compute(single("a", lesion * 1.0, lesion, 1), single("b", EVERYTHING, EMPTY, 0))
    assert (found["dice_volume"]["mean"], found["dice_volume"]["patients"], found["specificity_patient"]) == (
        1,
        1,
        0,
    )


def test_a_baseline_that_marks_a_normal_patient_loses_there_and_not_in_its_dice():
    lesion = disc(20, 20, 5)
    ones = np.ones(SHAPE, bool)
    found = compute(
        single("a", lesion * 1.0, lesion, 1, baselines={"all": lesion}),
        single("b", NOTHING, EMPTY, 0, baselines={"all": ones}),
    )
    row = found["baselines"]["all"]
    assert (row["difference"]["mean"], row["dice_volume"]["mean"], row["dice_volume"]["patients"]) == (
        0,
        1,
        1,
    )
    assert (
        row["specificity_patient"],
        row["normal_area_patient"],
        found["specificity_patient"],
        found["normal_area_patient"],
    ) == (0, 1, 1, 0)


def test_blank_slices_do_not_flatter():
    lesion, blank = disc(20, 20, 5), np.zeros(SHAPE, bool)
    cases = [single("a", lesion * 1.0, lesion, 1), single("b", EVERYTHING, EMPTY, 0)]
    found = compute(
        *cases, *(single(f"blank {number}", NOTHING, EMPTY, 0, organ=blank) for number in range(8))
    )
    assert (
        found["normal_area"],
        found["specificity_slice"],
        found["slices_blank"],
        found["slices_normal"],
    ) == (1, 0, 8, 9)
    assert found["auroc_slice"] == compute(*cases)["auroc_slice"] == 0


def test_without_masks_what_needs_none_is_there():
    found = compute(
        *(single(f"p{number}", np.full(SHAPE, number / 6), None, int(number > 2)) for number in range(6))
    )
    assert found["auroc_slice"] == 1 and found["normal_area"] == 0
    for name in ("iou", "hd95_px", "average_precision_pixel", "pointing_game"):
        assert found[name] is None and "no slice has a lesion" in found["reasons"][name]
    assert found["dice_volume"]["mean"] is None and "no slice has a lesion" in found["reasons"]["dice_volume"]
    assert (
        found["oracle"]["threshold"] is None
        and found["slices_positive"] == 3
        and found["patients_incomplete"] == 3
    )


def test_one_patient_has_no_interval():
    lesion = disc(20, 20, 5)
    found = compute(single("a", lesion * 1.0, lesion, 1))
    assert found["dice_volume"]["mean"] == 1 and found["dice_volume"]["low"] is None
    assert "no spread" in found["reasons"]["dice_volume.low"]
    assert found["auroc_slice"] is None and "abnormal and normal" in found["reasons"]["auroc_slice"]
    assert found["normal_area"] is None and "no normal slice" in found["reasons"]["normal_area"]


def test_labels_that_contradict_masks_are_counted():
    lesion = disc(20, 20, 5)
    assert (
        compute(single("a", lesion * 1.0, lesion, 0), single("b", NOTHING, EMPTY, 1))["label_conflicts"] == 2
    )


def test_millimetres_only_when_every_slice_has_a_spacing():
    lesion, moved = disc(20, 20, 5), disc(20, 23, 5)
    spaced = [single(name, moved * 1.0, lesion, 1, spacing_mm=(5.0, 0.5, 0.5)) for name in "ab"]
    assert compute(*spaced)["hd95_mm"] == pytest.approx(
        compute(*(single(name, moved * 1.0, lesion, 1) for name in "ab"))["hd95_px"] / 2
    )
    mixed = compute(*spaced, single("c", moved * 1.0, lesion, 1))
    assert "hd95_mm" not in mixed and mixed["hd95_px"] > 0
