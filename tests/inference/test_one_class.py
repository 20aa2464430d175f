"""Through-plane smoothing, 3-D components and intensities of a volume, against hand-made volumes and
independent formulas.
"""

import numpy as np
import pytest
from scipy import stats

from clamnet_tf.inference.postprocessing.axial_smoothing import smooth_axially
from clamnet_tf.inference.postprocessing.components import keep_largest_components
from clamnet_tf.inference.postprocessing.intensity_refinement import intensity_evidence
from clamnet_tf.inference.postprocessing.one_class import (
    ClassPostprocessor,
    PostprocessingConfig,
    calibrate,
    fixed,
)
from clamnet_tf.recipe.schema import InferenceSection

ALL = PostprocessingConfig(axial_smoothing=1.0, keep_largest_component=0.3, intensity_refinement=0.5)


def blob(shape, center, radius):
    grid = np.indices(shape)
    return sum((axis - at) ** 2 for axis, at in zip(grid, center)) <= radius**2


def test_smoothing_is_the_weighted_mean_of_the_neighbours():
    volume, organ = np.zeros((7, 2, 2), np.float32), np.ones((7, 2, 2), bool)
    volume[3] = 1
    weights = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    smooth = smooth_axially(volume, organ, 1.0)
    np.testing.assert_allclose(smooth[1:6, 0, 0], weights / weights.sum(), rtol=1e-5)
    assert not smooth[[0, 6]].any()
    organ[3, 0, 0] = False
    assert smooth_axially(volume, organ, 1.0)[3, 0, 0] == 0


@pytest.mark.parametrize("volume", [np.full((1, 3, 3), 0.4), np.full((5, 3, 3), 0.4)])
def test_a_single_slice_and_a_constant_volume_stay(volume):
    np.testing.assert_allclose(smooth_axially(volume, np.ones(volume.shape, bool), 1.5), 0.4, rtol=1e-5)


def test_a_sure_body_outweighs_a_large_doubtful_one():
    probability = np.zeros((6, 30, 30))
    sure, doubtful = blob(probability.shape, (2, 8, 8), 2), blob(probability.shape, (3, 20, 20), 4)
    probability[sure], probability[doubtful] = 0.95, 0.52
    assert doubtful.sum() > sure.sum() and 0.45 * sure.sum() > 0.02 * doubtful.sum()
    np.testing.assert_array_equal(keep_largest_components(probability, 0.5, 1.0), sure)
    np.testing.assert_array_equal(keep_largest_components(probability, 0.5, 0.0), sure | doubtful)
    assert not keep_largest_components(np.zeros((2, 3, 3)), 0.5, 0.3).any()


def two_sides():
    """A lesion on one side, and a heavier pair of like bodies on both, as orbits and ventricles are."""
    probability = np.zeros((6, 64, 64))
    lesion, pair = blob(probability.shape, (2, 20, 14), 4), blob(probability.shape, (3, 44, 12), 5)
    pair |= pair[:, :, ::-1]
    probability[lesion], probability[pair] = 0.9, 0.9
    return probability, lesion, pair


def test_a_body_with_a_twin_on_the_other_side_weighs_less_than_a_lesion_on_one():
    probability, lesion, pair = two_sides()
    assert (
        keep_largest_components(probability, 0.5, 1.0)[pair].any()
        and not keep_largest_components(probability, 0.5, 1.0)[lesion].any()
    )
    np.testing.assert_array_equal(
        keep_largest_components(probability, 0.5, 1.0, suppress_bilateral=True), lesion
    )
    np.testing.assert_array_equal(
        keep_largest_components(probability[:, :, ::-1], 0.5, 1.0, suppress_bilateral=True),
        lesion[:, :, ::-1],
    )


def test_the_weight_of_a_body_is_one_less_what_is_marked_across():
    probability = np.zeros((1, 32, 32))
    probability[0, 4:8, 4:8], probability[0, 4:8, 24:28], probability[0, 20:24, 4:8] = (
        0.9,
        0.6,
        0.7,
    )  # masses 6.4, 1.6 and 3.2 at 0.5
    weighed = {"first": 6.4 * (1 - 0.6), "across": 1.6 * (1 - 0.9), "alone": 3.2}
    for share in (0.04, 0.06, 0.7, 0.9):
        kept = keep_largest_components(probability, 0.5, share, suppress_bilateral=True)[0]
        found = {"first": kept[5, 5], "across": kept[5, 25], "alone": kept[21, 5]}
        assert found == {name: mass >= share * 3.2 for name, mass in weighed.items()}


def test_a_body_on_the_middle_is_kept_when_there_is_no_other():
    probability = np.zeros((3, 32, 32))
    probability[:, 8:24, 8:24] = 0.9
    body = probability > 0
    np.testing.assert_array_equal(
        keep_largest_components(probability, 0.5, 0.3, suppress_bilateral=True), body
    )
    sure = np.where(body, 1.0, 0.0)
    sure[0, 28, 28] = 0.6  # wholly its own twin, the body keeps a twentieth of its mass
    np.testing.assert_array_equal(keep_largest_components(sure, 0.5, 0.3, suppress_bilateral=True), body)
    probability[:, 26:30, 26:30] = (
        0.9  # masses 307 and 19, weighed 31 and 19: a speck is not kept for being on one side
    )
    np.testing.assert_array_equal(
        keep_largest_components(probability, 0.5, 0.3, suppress_bilateral=True), body
    )


def test_components_touch_through_slices():
    probability = np.zeros((3, 5, 5))
    probability[0, 1, 1] = probability[1, 2, 2] = probability[2, 3, 3] = 0.9
    assert keep_largest_components(probability, 0.5, 1.0).sum() == 3


def test_evidence_is_the_ratio_of_two_gaussians():
    random = np.random.default_rng(0)
    organ = np.ones((4, 32, 32), bool)
    lesion = np.zeros(organ.shape, bool)
    lesion[:, 8:16, 8:16] = True
    images = random.normal(0, 1, (4, 32, 32, 2)) + lesion[..., None] * np.array([3.0, -2.0])
    evidence = intensity_evidence(images, organ, lesion.astype(float), organ & ~lesion)
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(images.astype(np.float32), (0, 0.25, 0.25, 0))
    densities = [
        stats.multivariate_normal(
            smooth[part].mean(axis=0), np.cov(smooth[part].T, bias=True) + 0.05 * np.eye(2)
        ).logpdf(smooth)
        for part in (lesion, ~lesion)
    ]
    np.testing.assert_allclose(evidence, np.clip(densities[0] - densities[1], -6, 6), atol=1e-3)
    assert not intensity_evidence(images, organ, np.zeros(organ.shape), organ).any()


def scene(seed=0):
    """A bright lesion over 4 slices that the network finds in part, and a sure false spot in one slice."""
    random = np.random.default_rng(seed)
    organ = np.zeros((10, 48, 48), bool)
    organ[:, 4:44, 4:44] = True
    lesion, found, spot = np.zeros_like(organ), np.zeros_like(organ), np.zeros_like(organ)
    lesion[3:7, 12:26, 12:26], found[3:7, 12:22, 12:26], spot[8, 34:38, 34:38] = True, True, True
    images = random.normal(0, 0.3, (*organ.shape, 1)) + 2.0 * lesion[..., None]
    probability = np.clip(0.1 + 0.75 * found + 0.6 * spot + random.normal(0, 0.02, organ.shape), 0, 1).astype(
        np.float32
    )
    probability[lesion & ~found] += 0.01
    return probability, images, organ, lesion.any(axis=(1, 2)), lesion


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_the_steps_recover_what_neighbours_and_intensities_show():
    probability, images, organ, abnormal, lesion = scene()
    prevalence = lesion[abnormal].sum() / organ[abnormal].sum()
    plain = calibrate(PostprocessingConfig(), [(probability, images, organ, abnormal)], prevalence)
    whole = calibrate(ALL, [(probability, images, organ, abnormal)], prevalence)
    ours = whole(probability, images, organ)
    assert ours.dtype == np.float32 and ours.min() >= 0 and ours.max() <= 1 and not ours[~organ].any()
    before = dice(plain(probability, images, organ) >= plain.threshold, lesion)
    after = dice(ours >= whole.threshold, lesion)
    assert before < 0.9 and after > 0.97
    assert not (ours >= whole.threshold)[8].any()


def test_cuts_mark_the_prevalence_on_abnormal_slices():
    probability, images, organ, abnormal, _ = scene(1)
    marking = calibrate(ALL, [(probability, images, organ, abnormal)], 0.08)
    marked = (
        marking._with_evidence(marking._consistent(probability, organ), images, organ) >= marking.threshold
    )[abnormal]
    assert 0.07 < marked.sum() / organ[abnormal].sum() <= 0.0801


def test_any_monotone_scale_of_the_network_gives_the_same_marks():
    """Calibration: a network with saturated probabilities is not smoothed away."""
    probability, images, organ, abnormal, _ = scene(2)
    shifted = 1 / (1 + np.exp(-(np.log(probability / (1 - probability)) - 2.0)))
    marks = []
    for maps in (probability, shifted.astype(np.float32)):
        marking = calibrate(ALL, [(maps, images, organ, abnormal)], 0.08)
        marks.append(marking(maps, images, organ) >= marking.threshold)
    assert dice(*marks) > 0.99


def test_rows_and_left_out_steps():
    probability, images, organ, abnormal, _ = scene(3)
    parts = [(probability, images, organ, abnormal)]
    whole = calibrate(ALL, parts, 0.08)
    assert ClassPostprocessor.from_row(whole.row()) == whole
    for steps in (
        PostprocessingConfig(1.0, 0.3, 0.0),
        PostprocessingConfig(),
        PostprocessingConfig(1.0, 0.0, 0.0),
    ):
        np.testing.assert_array_equal(
            whole.with_steps(steps)(probability, images, organ) >= whole.with_steps(steps).threshold,
            calibrate(steps, parts, 0.08)(probability, images, organ)
            >= calibrate(steps, parts, 0.08).threshold,
        )
    for steps in (
        PostprocessingConfig(2.0, 0.3, 0.5),
        PostprocessingConfig(0.0, 0.3, 0.5),
        PostprocessingConfig(1.0, 0.3, 0.7),
    ):
        with pytest.raises(ValueError, match="can be left out, not changed"):
            whole.with_steps(steps)


def test_one_sided_reaches_the_maps_from_the_recipe_and_can_be_turned_on_and_off():
    probability, lesion, _pair = two_sides()
    maps, images, organ = (
        np.where(probability > 0, 0.9, 0.05).astype(np.float32),
        np.zeros((*probability.shape, 1)),
        np.ones(probability.shape, bool),
    )
    inference = InferenceSection(axial_smoothing=0.4, keep_largest_component=1.0, suppress_bilateral=True)
    on = fixed(PostprocessingConfig.of(inference), 0.5)
    np.testing.assert_array_equal(on(maps, images, organ) >= on.threshold, lesion)
    off = on.with_steps(PostprocessingConfig.of(inference.model_copy(update={"suppress_bilateral": False})))
    assert not (off(maps, images, organ) >= off.threshold)[lesion].any()
    assert off.with_steps(on.steps) == on == ClassPostprocessor.from_row(on.row())
    written_before = {
        **off.row(),
        "steps": {"through_plane": 0.4, "main_component": 1.0, "appearance": 0.0},
    }
    assert ClassPostprocessor.from_row(written_before) == off


def test_a_fixed_threshold_marks_what_lies_above_it():
    probability, images, organ = (
        np.full((3, 20, 20), 0.3, np.float32),
        np.zeros((3, 20, 20, 1)),
        np.ones((3, 20, 20), bool),
    )
    probability[:, 5:15, 5:15] = 0.5
    for steps in (PostprocessingConfig(), PostprocessingConfig(1.0, 0.3, 0.5), PostprocessingConfig(1.0)):
        marking = fixed(steps, 0.4)
        np.testing.assert_array_equal(
            marking(probability, images, organ) >= marking.threshold, probability > 0.4
        )
