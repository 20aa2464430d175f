"""Intensity baselines: the cut is fixed by the prevalence alone, on abnormal training slices alone."""

import json

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from clamnet_tf.evaluation.baselines.intensity import (
    best_variant,
    intensity_baselines,
    prevalence_cut,
    smoothed,
    training_free,
)
from clamnet_tf.evaluation.baselines.serialization import fitted, restored


@pytest.fixture
def slices(rng):
    """images (6, 32, 32, 2) float32, organ (6, 32, 32) uint8 of very different areas, labels (6,)."""
    organ = np.zeros((6, 32, 32), np.uint8)
    for number, width in enumerate((4, 10, 30, 20, 8, 26)):
        organ[number, 1:31, 2 : 2 + width] = 1
    images = rng.normal(size=(6, 32, 32, 2)).astype(np.float32)
    images += 0.5 * np.arange(6, dtype=np.float32)[:, None, None, None]  # slices differ in brightness
    return images, organ, np.array([1, 0, 1, 2, 0, 1])


def test_names(slices):
    names = list(intensity_baselines(*slices, 0.1))
    called = {
        name.replace("deviation", f"channel{slices[0].shape[3] - 1}")
        for name in intensity_baselines(*slices, 0.1, atlas=True)
        if "deviation" in name
    }
    assert called == {name for name in names if f"channel{slices[0].shape[3] - 1}_" in name}
    assert names[0] == "whole_organ" and len(set(names)) == 1 + 2 * 2 + 2 * 2 * 2 + 2 * 4 * 2
    assert list(training_free(2, 0.1)) == names[: 1 + 2 * 2 + 2 * 2 * 2]
    assert "otsu_channel1_dark" in names and "threshold_channel0_sigma2_bright" in names


@pytest.mark.parametrize("prevalence", [0.01, 0.06, 0.3])
def test_mean_marked_fraction_of_abnormal_training_slices_is_the_prevalence(slices, prevalence):
    images, organ, labels = slices
    for name, method in intensity_baselines(*slices, prevalence).items():
        if name.startswith("threshold"):
            masks = method(images, organ)
            assert masks.dtype == bool and masks.shape == organ.shape
            marked = [masks[row].sum() / organ[row].sum() for row in np.flatnonzero(labels > 0)]
            assert prevalence - 0.003 <= np.mean(marked) <= prevalence, name


@pytest.mark.parametrize("share", [0.05, 0.4, 1.0])
def test_the_expected_size_is_marked_in_every_slice(slices, share):
    images, organ, _ = slices
    for name, method in training_free(2, share).items():
        if name.startswith("size"):
            masks = method(images, organ)
            channel, sigma, side = int(name[12]), float(name.split("sigma")[1][0]), name.split("_")[-1]
            for row in range(len(organ)):
                inside = organ[row] > 0
                values = smoothed(images[row, ..., channel], inside, sigma)[inside]
                count = int(
                    share * inside.sum() + 1e-6
                )  # of different values, so many of the highest or lowest
                wanted = np.sort(values)[::-1][:count] if side == "bright" else np.sort(values)[:count]
                np.testing.assert_array_equal(
                    np.sort(smoothed(images[row, ..., channel], inside, sigma)[masks[row]]),
                    np.sort(wanted),
                    err_msg=name,
                )
                assert not masks[row][~inside].any()


def test_the_expected_size_marks_equal_values_together_or_not_at_all():
    images, organ = np.ones((2, 8, 8, 1), np.float32), np.ones((2, 8, 8), np.uint8)
    images[1, :2] = 5
    marked = training_free(1, 0.3)["size_channel0_sigma0_bright"](images, organ)
    assert not marked[0].any() and marked[1].sum() == 16 and marked[1, :2].all()
    assert not training_free(1, 0.3)["size_channel0_sigma2_dark"](images, 0 * organ).any()


def test_bright_marks_the_brightest_and_dark_the_darkest(slices):
    images, organ, _ = slices
    methods = intensity_baselines(*slices, 0.1)
    for channel in range(2):
        bright, dark = (
            methods[f"threshold_channel{channel}_sigma0_{side}"](images, organ) for side in ("bright", "dark")
        )
        values = images[..., channel]
        assert values[bright].min() > values[(organ > 0) & ~bright].max()
        assert values[dark].max() < values[(organ > 0) & ~dark].min()


def test_normal_slices_and_pixels_outside_of_the_organ_have_no_say(slices, rng):
    images, organ, labels = slices
    other = np.where(
        (labels == 0)[:, None, None, None] | (organ == 0)[..., None], rng.normal(9, 9, images.shape), images
    )
    before, after = intensity_baselines(*slices, 0.1), intensity_baselines(other, organ, labels, 0.1)
    for name in before:
        np.testing.assert_array_equal(before[name](images, organ), after[name](images, organ), err_msg=name)


def test_nothing_is_marked_outside_of_the_organ(slices):
    images, organ, _ = slices
    for name, method in intensity_baselines(*slices, 1.0).items():
        masks = method(images, organ)
        assert not masks[organ == 0].any(), name
        if not name.startswith("otsu"):
            np.testing.assert_array_equal(masks, organ > 0, err_msg=name)


def test_half_precision_memory_map(slices, tmp_path):
    images, organ, labels = slices
    stored = np.lib.format.open_memmap(
        tmp_path / "images.npy", mode="w+", dtype=np.float16, shape=images.shape
    )
    stored[:] = images
    method = intensity_baselines(stored, organ, labels, 0.1)["threshold_channel0_sigma1_bright"]
    expected = intensity_baselines(images.astype(np.float16).astype(np.float32), organ, labels, 0.1)[
        "threshold_channel0_sigma1_bright"
    ]
    np.testing.assert_array_equal(method(stored, organ), expected(stored, organ))


def test_smoothing_ignores_what_lies_outside(rng):
    organ = ndimage.binary_dilation(rng.random((64, 64)) > 0.995, iterations=5)
    image = rng.normal(size=(64, 64))
    np.testing.assert_allclose(smoothed(np.where(organ, 3.0, -50.0), organ, 4.0)[organ], 3.0, rtol=1e-4)
    rows, columns = np.nonzero(organ)
    sigma = 2.0 * 64 / 128  # pixels of a 128-wide slice, scaled
    row = len(rows) // 2
    apart = np.hypot(rows - rows[row], columns - columns[row])
    weights = np.exp(-0.5 * (apart / sigma) ** 2) * (apart <= 6)
    expected = np.average(image[organ], weights=weights)
    assert smoothed(image, organ, 2.0)[rows[row], columns[row]] == pytest.approx(expected, abs=0.01)
    np.testing.assert_array_equal(smoothed(image, organ, 0.0), np.where(organ, image, 0).astype(np.float32))


def test_cut_against_sorting_and_with_ties():
    values, even = np.arange(10.0), np.ones(10)
    assert prevalence_cut(values, even, 0.3, bright=True) == 6.0  # 7, 8, 9 lie above
    assert prevalence_cut(values, even, 0.3, bright=False) == 3.0  # 0, 1, 2 lie below
    assert prevalence_cut(values, even, 1.0, bright=True) < 0.0
    ties = np.array([5.0, 5.0, 5.0, 1.0])
    assert (
        prevalence_cut(ties, np.ones(4), 0.5, bright=True) == 5.0
    )  # marking all three fives would exceed a half
    assert prevalence_cut(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0]), 0.5, bright=True) == 2.0


def test_otsu_splits_two_classes_slice_by_slice(rng):
    truth = np.zeros((2, 40, 40), bool)
    truth[:, 10:20, 10:25] = True
    organ = np.ones((2, 40, 40), np.uint8)
    images = (
        np.where(truth, 4.0, 1.0)[..., None] * np.array([1.0, 7.0])[:, None, None, None]
    )  # another gain per slice
    images = (images * rng.uniform(0.9, 1.1, images.shape)).astype(np.float32)
    methods = intensity_baselines(images, organ, [1, 1], 0.1)
    bright, dark = (methods[f"otsu_channel0_{side}"](images, organ) for side in ("bright", "dark"))
    np.testing.assert_array_equal(bright, ~dark)
    assert (bright == truth).mean() > 0.98
    for number in range(2):
        np.testing.assert_array_equal(
            bright[number], images[number, ..., 0] > threshold_otsu(images[number, ..., 0])
        )


def test_slices_that_are_blank_or_flat_get_no_otsu_mask():
    images, organ = np.ones((2, 8, 8, 1)), np.zeros((2, 8, 8))
    organ[1] = 1
    method = intensity_baselines(images, organ, [1, 1], 0.1)["otsu_channel0_bright"]
    assert not method(images, organ).any()


@pytest.mark.parametrize("prevalence", [0.1, 1.0])
def test_written_and_read_back(slices, prevalence):
    images, organ, _ = slices
    methods = intensity_baselines(*slices, prevalence)
    again = restored(json.loads(json.dumps(fitted(methods), allow_nan=False)))
    assert list(again) == list(methods)
    for name in methods:
        np.testing.assert_array_equal(methods[name](images, organ), again[name](images, organ), err_msg=name)


def test_best_variant_is_chosen_with_hindsight():
    assert best_variant({"a": 0.2, "b": float("nan"), "c": 0.3}) == ("c", 0.3)
    with pytest.raises(ValueError, match="no intensity baseline has a score"):
        best_variant({"b": float("nan")})


def test_errors(slices):
    images, organ, labels = slices
    with pytest.raises(ValueError, match=r"prevalence: expected a fraction in \(0, 1\], received 0"):
        intensity_baselines(images, organ, labels, 0)
    with pytest.raises(ValueError, match="no abnormal training slice with organ pixels among 6"):
        intensity_baselines(images, organ, np.zeros(6), 0.1)
    with pytest.raises(ValueError, match="no abnormal training slice with organ pixels"):
        intensity_baselines(images, np.zeros_like(organ), labels, 0.1)
