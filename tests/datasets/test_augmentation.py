"""Views: geometry against SciPy, alignment of two views, the same draws eagerly and in tf.data."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from clamnet_tf.input_pipeline.augmentation import (
    AugmentationConfig,
    draw_view,
    sample,
    sample_by_gather,
    warp_between,
)

STILL = AugmentationConfig(blur=(1.0, 1.0), stretch=(1.0, 1.0), restore="resize", flip=False, intensity=0.0)


def smooth(rng, count=2, side=32, channels=3):
    images = ndimage.gaussian_filter(rng.normal(size=(count, side, side, channels)), (0, 3, 3, 0)).astype(
        np.float32
    )
    return images / images.std()


def test_nothing_changes_under_the_still_law(rng):
    images, organ = smooth(rng), np.ones((2, 32, 32), np.float32)
    view, seen, matrix = draw_view(images, organ, tf.constant([1, 2]), STILL)
    np.testing.assert_allclose(view, images, atol=1e-5)
    np.testing.assert_array_equal(seen, organ)
    np.testing.assert_allclose(matrix, np.stack([np.eye(3)] * 2), atol=1e-6)


def test_two_images_of_a_slice_move_alike_and_keep_their_own_outside_blank(rng):
    images, organ = smooth(rng, channels=2), np.ones((2, 32, 32), np.float32)
    images[..., 1] = images[..., 0]
    images[0, :, 20:, 0], images[0, :, 20:, 1] = 0, 0
    images[1, ..., 1] = 0  # no other image
    still = {"intensity": 0.0, "noise": 0.0}
    law = AugmentationConfig(rotate_degrees=20, zoom=(0.8, 1.2), shift=0.1, images=2, **still)
    view, *_ = draw_view(images, organ, tf.constant([1, 2]), law)
    np.testing.assert_array_equal(view[0, ..., 0], view[0, ..., 1])
    alone, *_ = draw_view(images[..., :1], organ, tf.constant([1, 2]), law._replace(images=1))
    np.testing.assert_array_equal(view[..., :1], alone)
    noisy = law._replace(intensity=0.3, noise=0.1)
    changed = draw_view(images, organ, tf.constant([1, 2]), noisy)[0].numpy()
    np.testing.assert_array_equal(changed[1, ..., 1], 0)  # brightness and noise make no image of nothing
    np.testing.assert_array_equal(changed[0] == 0, view[0] == 0)
    assert np.abs(changed[1, ..., 0] - view[1, ..., 0]).max() > 0.05


def test_sampling_equals_scipy(rng):
    image = smooth(rng, count=1, channels=1)
    matrix = np.array([[[0.9, 0.1, 1.5], [-0.2, 1.1, 2.0], [0, 0, 1]]], np.float32)
    rows, columns = np.mgrid[:32, :32]
    places = np.einsum("ij,jyx->iyx", matrix[0], np.stack([columns, rows, np.ones_like(rows)]).astype(float))
    expected = ndimage.map_coordinates(image[0, ..., 0], [places[1], places[0]], order=1, mode="constant")
    inside = ((places[:2] >= 0) & (places[:2] <= 31)).all(axis=0)
    assert inside.mean() > 0.8
    np.testing.assert_allclose(sample(image, matrix).numpy()[0, ..., 0][inside], expected[inside], atol=1e-4)


def test_both_samplers_agree_also_compiled(rng):
    images = smooth(rng, count=4, side=40)
    organ = np.ones((4, 40, 40), np.float32)
    _, _, a = draw_view(
        images, organ, tf.constant([1, 2]), AugmentationConfig(rotate_degrees=20, zoom=(0.8, 1.2))
    )
    _, _, b = draw_view(
        images, organ, tf.constant([1, 3]), AugmentationConfig(rotate_degrees=20, zoom=(0.8, 1.2))
    )
    expected = sample(images, warp_between(a, b))
    np.testing.assert_allclose(sample_by_gather(images, warp_between(a, b)), expected, atol=1e-4)
    compiled = tf.function(sample_by_gather, jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(images), warp_between(a, b)), expected, atol=1e-4)


@pytest.mark.parametrize("restore", ["pad", "resize", "random"])
def test_the_warp_aligns_two_views(rng, restore):
    law = AugmentationConfig(
        blur=(1.0, 1.0),
        stretch=(0.8, 0.9),
        restore=restore,
        flip=True,
        rotate_degrees=10,
        zoom=(0.9, 1.1),
        intensity=0.0,
    )
    images, organ = smooth(rng, count=6, side=64), np.ones((6, 64, 64), np.float32)
    first, _, a = draw_view(images, organ, tf.constant([3, 4]), law)
    second, _, b = draw_view(images, organ, tf.constant([3, 5]), law)
    moved = sample(tf.concat([first, tf.ones_like(first[..., :1])], -1), warp_between(a, b)).numpy()
    inside = (moved[..., -1] > 0.99) & (second.numpy()[..., 0] != 0)
    error = np.abs(moved[..., :-1] - second.numpy())[inside]
    unaligned = np.abs(first.numpy() - second.numpy())[inside]
    assert inside.mean() > 0.5
    assert error.mean() < 0.06 < 0.3 < unaligned.mean()


def test_padding_compresses_the_slice_and_its_organ(rng):
    law = AugmentationConfig(blur=(1.0, 1.0), stretch=(0.8, 0.8), restore="pad", flip=False, intensity=0.0)
    _, organ, _ = draw_view(
        np.ones((1, 50, 50, 1), np.float32), np.ones((1, 50, 50), np.float32), tf.constant([0, 0]), law
    )
    assert organ.numpy().mean() == pytest.approx(0.64, abs=0.04)
    assert organ.numpy()[0, :4].sum() == 0


def test_blur_takes_away_fine_detail_only(rng):
    law = AugmentationConfig(blur=(0.9, 0.9), stretch=(1.0, 1.0), restore="resize", flip=False, intensity=0.0)
    noise = rng.normal(size=(1, 64, 64, 1)).astype(np.float32)
    still = smooth(rng, count=1, side=64, channels=1)
    organ = np.ones((1, 64, 64), np.float32)
    blurred, kept = (
        draw_view(images, organ, tf.constant([0, 0]), law)[0].numpy()[:, 4:-4, 4:-4]
        for images in (noise, still)
    )
    assert blurred.std() < 0.8 * noise.std()
    np.testing.assert_allclose(kept, still[:, 4:-4, 4:-4], atol=0.2)


def test_one_seed_one_view_eagerly_and_in_a_dataset(rng):
    images, organ = smooth(rng), np.ones((2, 32, 32), np.float32)
    law = AugmentationConfig(rotate_degrees=5, zoom=(0.9, 1.1), noise=0.05, channel_loss=0.5)
    eager = draw_view(images, organ, tf.constant([7, 8]), law)
    graph = next(
        iter(
            tf.data.Dataset.from_tensors((images, organ)).map(
                lambda i, o: draw_view(i, o, tf.constant([7, 8]), law)
            )
        )
    )
    other = draw_view(images, organ, tf.constant([7, 9]), law)
    for one, two in zip(eager, graph):
        np.testing.assert_allclose(one, two, atol=1e-5)
    assert np.abs(eager[0].numpy() - other[0].numpy()).max() > 0.05


def test_channel_loss_repeats_another_channel(rng):
    images = np.ones((200, 8, 8, 3), np.float32) * np.array([1, 2, 3], np.float32)
    law = STILL._replace(channel_loss=0.5)
    view, _, _ = draw_view(images, np.ones((200, 8, 8), np.float32), tf.constant([1, 1]), law)
    values = np.round(view.numpy()[:, 4, 4]).astype(int)
    damaged = (values != [1, 2, 3]).sum(axis=1)
    assert set(damaged) == {0, 1} and 0.35 < (damaged == 1).mean() < 0.65
    assert {tuple(row) for row in values[damaged == 1]} == {
        (2, 2, 3),
        (3, 2, 3),
        (1, 1, 3),
        (1, 3, 3),
        (1, 2, 1),
        (1, 2, 2),
    }


def test_the_main_channel_fills_one_gap_or_all(rng):
    images = np.ones((600, 8, 8, 3), np.float32) * np.array([1, 2, 3], np.float32)
    view, _, _ = draw_view(
        images,
        np.ones((600, 8, 8), np.float32),
        tf.constant([1, 1]),
        STILL._replace(channel_loss=0.6, main_channel=1),
    )
    values = np.round(view.numpy()[:, 4, 4]).astype(int)
    shares = {row: (values == row).all(axis=1).mean() for row in [(1, 2, 3), (2, 2, 3), (1, 2, 2), (2, 2, 2)]}
    np.testing.assert_allclose(list(shares.values()), [0.4, 0.15, 0.15, 0.3], atol=0.06)
    assert sum(shares.values()) == pytest.approx(1)


def test_the_law_knows_no_class(rng):
    """Both classes get the same distribution: the views of a slice do not depend on what else is in the
    batch.
    """
    images = smooth(rng, count=4)
    organ = np.ones((4, 32, 32), np.float32)
    whole = draw_view(images, organ, tf.constant([1, 1]), AugmentationConfig())[2].numpy()
    swapped = draw_view(images[::-1].copy(), organ, tf.constant([1, 1]), AugmentationConfig())[2].numpy()
    np.testing.assert_array_equal(whole, swapped)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_rand_augment_changes_intensities_only(rng, channels):
    from clamnet_tf.input_pipeline.keras_cv_augmentation import build_rand_augment

    images = smooth(rng, count=6, channels=channels)
    images[:, :8] = 0
    augment = build_rand_augment(0.5)
    changed = next(iter(tf.data.Dataset.from_tensors(images).map(augment))).numpy()
    assert changed.shape == images.shape and np.isfinite(changed).all()
    assert not changed[:, :8].any() and np.abs(changed - images).mean() > 0.05


def positions_of(image):
    """The eight ways in which quarter turns and flips lay a square slice."""
    turned = [np.rot90(image, count, (0, 1)) for count in range(4)]
    return [*turned, *(one[::-1] for one in turned)]


@pytest.mark.parametrize("side", [15, 16])
def test_quarter_turns_are_exact_and_all_eight_positions_occur(rng, side):
    image = rng.normal(size=(side, side, 2)).astype(np.float32)
    mask = (rng.random((side, side)) < 0.4).astype(np.float32)
    images, organ = np.stack([image] * 200), np.stack([mask] * 200)
    law = STILL._replace(quarter_turns=True)
    views, seen, _ = (part.numpy() for part in draw_view(images, organ, tf.constant([1, 2]), law))
    counts = np.zeros(8, int)
    for view, region in zip(views, seen):
        [position] = [
            number for number, one in enumerate(positions_of(image)) if np.array_equal(one, view)
        ]  # to the last bit
        np.testing.assert_array_equal(region, positions_of(mask[..., None])[position][..., 0])
        counts[position] += 1
    assert counts.min() >= 10 and counts.sum() == 200  # each expected 25 times


def test_shifts_are_of_whole_pixels_and_reach_their_limit(rng):
    image = rng.normal(size=(20, 20, 1)).astype(np.float32)
    mask = (rng.random((20, 20)) < 0.5).astype(np.float32)
    views, seen, matrices = draw_view(
        np.stack([image] * 150), np.stack([mask] * 150), tf.constant([1, 2]), STILL._replace(shift=0.1)
    )
    shifts = matrices.numpy()[:, :2, 2]
    assert set(shifts.ravel()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    for view, region, (x, y) in zip(views.numpy(), seen.numpy(), shifts.astype(int)):
        padded, outside = np.pad(image, ((2, 2), (2, 2), (0, 0))), np.pad(mask, 2)
        np.testing.assert_array_equal(view, padded[2 + y : 22 + y, 2 + x : 22 + x])
        np.testing.assert_array_equal(region, outside[2 + y : 22 + y, 2 + x : 22 + x])


def test_turns_and_shifts_leave_the_other_draws_as_they_are(rng):
    """The same seed gives the same stretch, intensities and noise: recipes without the new keys get the views
    that they had.
    """
    images, organ = smooth(rng, count=3), np.ones((3, 32, 32), np.float32)
    law = AugmentationConfig(noise=0.1, channel_loss=0.5, rotate_degrees=10)
    _, _, before = draw_view(images, organ, tf.constant([5, 6]), law)
    _, _, turned = draw_view(images, organ, tf.constant([5, 6]), law._replace(quarter_turns=True, shift=0.2))
    undone = turned.numpy() @ np.linalg.inv(before.numpy())  # the turn and the shift alone
    np.testing.assert_allclose(np.abs(undone[:, :2, :2]).sum(axis=(1, 2)), 2, atol=1e-4)
    np.testing.assert_allclose(
        np.sort(np.abs(undone[:, :2, :2]).reshape(3, 4)), [[0, 0, 1, 1]] * 3, atol=1e-4
    )
    flat = np.ones_like(images)
    still = law._replace(rotate_degrees=0, stretch=(1.0, 1.0), blur=(1.0, 1.0))
    plain, _, _ = draw_view(flat, organ, tf.constant([5, 6]), still)
    other, _, _ = draw_view(flat, organ, tf.constant([5, 6]), still._replace(quarter_turns=True))
    np.testing.assert_allclose(
        other, plain, atol=1e-5
    )  # contrast, brightness and noise of each pixel of the view


def test_turned_and_shifted_views_are_the_same_eagerly_in_a_dataset_and_in_parts(rng):
    images, organ = smooth(rng, count=4), (rng.random((4, 32, 32)) < 0.5).astype(np.float32)
    law = AugmentationConfig(quarter_turns=True, shift=0.1)
    eager = draw_view(images, organ, tf.constant([7, 8]), law)
    graph = next(
        iter(
            tf.data.Dataset.from_tensors((images, organ)).map(
                lambda i, o: draw_view(i, o, tf.constant([7, 8]), law)
            )
        )
    )
    part = draw_view(images[2:], organ[2:], tf.constant([7, 8]), law, place=(2, 4))
    for one, two, three in zip(eager, graph, part):
        np.testing.assert_allclose(one, two, atol=1e-5)
        np.testing.assert_allclose(one[2:], three, atol=1e-5)
