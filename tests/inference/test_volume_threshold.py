"""A cut of each volume's own: found on spheres whose true border is known, against a plain loop."""

import numpy as np
import pytest

from clamnet_tf.inference.postprocessing.one_class import ClassPostprocessor, PostprocessingConfig, calibrate
from clamnet_tf.inference.postprocessing.volume_threshold import border_contrast, with_own_threshold
from clamnet_tf.input_pipeline.pipeline import RowView
from clamnet_tf.recipe.schema import InferenceSection

SHAPE = (9, 64, 64)


def distance(center=(4, 32, 32)):
    return np.sqrt(sum((axis - at) ** 2 for axis, at in zip(np.indices(SHAPE), center)))


def logistic(value):
    return (1 / (1 + np.exp(-value))).astype(np.float32)


@pytest.fixture
def case():
    """A bright ball of radius 14 whose probability falls below 0.5 at a radius of 9."""
    away = distance()
    ball = away <= 14
    images = np.stack([ball * 2.0, np.zeros(SHAPE)], axis=-1).astype(np.float32)
    images += np.random.default_rng(0).normal(0, 0.2, images.shape).astype(np.float32)
    return logistic(0.3 * (9 - away)), images, np.ones(SHAPE, bool), ball


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_mask_that_is_too_small_grows_to_the_border(case):
    probability, images, organ, ball = case
    assert dice(probability >= 0.5, ball) < 0.65
    assert dice(with_own_threshold(probability, images, organ, 0.5) >= 0.5, ball) > 0.95


def test_a_mask_that_is_too_large_shrinks_to_it(case):
    _, images, organ, ball = case
    probability = logistic(0.3 * (16.5 - distance()))
    own = with_own_threshold(probability, images, organ, 0.5)
    assert dice(own >= 0.5, ball) > 0.95 > dice(probability >= 0.5, ball)


def test_only_what_comes_in_or_falls_out_changes(case):
    probability, images, organ, _ = case
    own = with_own_threshold(probability, images, organ, 0.5)
    changed = own != probability
    assert changed.any() and (own[changed] == 0.5).all() and (probability[changed] < 0.5).all()
    shrunk = with_own_threshold(logistic(0.3 * (16.5 - distance())), images, organ, 0.5)
    assert (shrunk[shrunk != logistic(0.3 * (16.5 - distance()))] < 0.5).all()


def test_a_border_that_is_never_reached_leaves_the_common_cut(case):
    probability, _, organ, _ = case
    ramp = np.stack([-np.exp(0.15 * distance())] * 2, axis=-1)  # the contrast rises outwards without end
    np.testing.assert_array_equal(with_own_threshold(probability, ramp, organ, 0.5), probability)


def test_a_sharper_border_beyond_one_that_was_passed_is_not_taken(case):
    probability, images, organ, ball = case
    away = distance()
    within_a_sharper_one = images.copy()
    within_a_sharper_one[..., 1] -= 20 * (away > 20)  # sharper than the ball's border, and 6 pixels beyond it
    own = with_own_threshold(probability, within_a_sharper_one, organ, 0.5) >= 0.5
    assert dice(own, ball) > 0.95 > 0.75 > dice(away <= 20, ball)


def test_what_is_unmarked_stays_so_and_does_not_join(case):
    probability, images, organ, ball = case
    faint = np.minimum(probability, 0.45).astype(np.float32)
    np.testing.assert_array_equal(with_own_threshold(faint, images, organ, 0.5), faint)
    elsewhere = distance((4, 8, 8)) <= 4
    both = np.where(elsewhere, np.float32(0.4), np.where(distance() < 16, probability, 0)).astype(np.float32)
    own = with_own_threshold(both, images, organ, 0.5) >= 0.5
    assert not (own & elsewhere).any() and dice(own, ball) > 0.95


def test_the_slices_of_a_training_set_are_taken_as_they_come(case):
    probability, images, organ, _ = case
    view = RowView(images.astype(np.float16), np.arange(9))
    np.testing.assert_array_equal(
        with_own_threshold(probability, view, organ, 0.5), with_own_threshold(probability, images, organ, 0.5)
    )


def test_a_single_slice_and_a_region_that_fills_the_organ(case):
    probability, images, organ, ball = case
    own = with_own_threshold(probability[4:5], images[4:5], organ[4:5], 0.5)
    assert dice(own >= 0.5, ball[4:5]) > 0.95
    full = np.full((1, 8, 8), 0.9, np.float32)  # no surroundings at any cut
    np.testing.assert_array_equal(
        with_own_threshold(full, np.ones((1, 8, 8, 1)), np.ones((1, 8, 8), bool), 0.5), full
    )


def test_few_voxels_of_the_organ_around_a_region_measure_nothing(case):
    probability, images, _, ball = case
    organ = ball.copy()
    organ[4, 32, 47] = True  # one voxel beyond the border
    assert border_contrast(ball, images, organ) == -np.inf
    own = with_own_threshold(np.where(organ, probability, 0), images, organ, 0.5)
    assert not (own >= 0.5)[4, 32, 47]


def test_contrast_is_what_a_loop_over_pixels_counts(case):
    _, images, organ, ball = case
    organ = organ & (np.indices(SHAPE)[2] < 44)
    within, around = [], []
    for s, y, x in np.ndindex(SHAPE):  # width of the border: 2/128 of 64 pixels is 1
        near = ball[s, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        if ball[s, y, x] and not near.all():
            within.append(images[s, y, x])
        elif not ball[s, y, x] and near.any() and organ[s, y, x]:
            around.append(images[s, y, x])
    expected = np.abs(np.mean(within, axis=0) - np.mean(around, axis=0)).max()
    assert border_contrast(ball, images, organ) == pytest.approx(expected, rel=1e-5)
    assert border_contrast(np.zeros(SHAPE, bool), images, organ) == -np.inf


def test_the_step_is_stored_and_may_be_switched_without_training(case):
    probability, images, organ, ball = case
    common = calibrate(PostprocessingConfig(), [(probability, images, organ, np.ones(9, bool))], 0.05)
    assert "volume_threshold" not in common.row()["steps"]
    own = common.with_steps(PostprocessingConfig(volume_threshold="border_contrast"))
    assert own.threshold == common.threshold
    assert ClassPostprocessor.from_row(own.row()) == own
    assert dice(own(probability, images, organ) >= own.threshold, ball) > 0.95
    steps = PostprocessingConfig.of(InferenceSection(volume_threshold="border_contrast", axial_smoothing=0.7))
    fitted = calibrate(steps, [(probability, images, organ, np.ones(9, bool))], 0.05)
    assert dice(fitted(probability, images, organ) >= fitted.threshold, ball) > 0.9
