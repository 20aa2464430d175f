"""Windows equal the standard's formulas and pydicom; normalisation equals plain NumPy."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing

from clamnet_tf.errors import UserInputError
from clamnet_tf.imaging.windows import NORMALIZATIONS, apply_window, normalize
from clamnet_tf.recipe.schema_data import DataSection, WindowSection


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 80), (-600, 1500), (127.5, 1), (0, 2)])
def test_equal_to_pydicom(function, center, width):
    values = np.arange(-1024, 3000, 7, dtype=np.int16)
    dataset = Dataset()
    dataset.PhotometricInterpretation, dataset.PixelRepresentation, dataset.BitsStored = "MONOCHROME2", 0, 8
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = center, width, function
    if function == "LINEAR" and width == 1:
        expected = (values > center - 0.5).astype(
            float
        )  # pydicom divides by zero here; the standard gives a step
    else:
        with np.errstate(over="ignore"):
            expected = apply_windowing(values, dataset) / 255
    shown = apply_window(values, center, width, function)
    assert shown.dtype == np.float32 and shown.min() >= 0 and shown.max() <= 1
    np.testing.assert_allclose(shown, expected, atol=2e-6)


def test_worked_values_of_the_standard():
    """PS3.3 C.11.2.1.2.1, note: center 2048, width 4096 maps 0 to the lowest and 4095 to the highest."""
    np.testing.assert_allclose(apply_window([-1, 0, 4095, 5000], 2048, 4096), [0, 0, 1, 1], atol=1e-7)
    np.testing.assert_allclose(apply_window([0, 50, 100], 50, 100, "LINEAR_EXACT"), [0, 0.5, 1])


def test_narrow_windows_are_exact():
    """A window of 0..1 on values of 0..1 must not become a step."""
    np.testing.assert_allclose(apply_window([0.0, 0.25, 1.0], 0.5, 1.0), [0, 0.25, 1])
    np.testing.assert_allclose(apply_window([0.0, 0.25, 1.0], 0.5, 0.5), [0, 0, 1])


@pytest.mark.parametrize(
    ("center", "width", "function"),
    [(0, 0.5, "LINEAR"), (0, 0, None), (0, -3, "SIGMOID"), (np.nan, 5, None), (0, np.inf, None)],
)
def test_impossible_windows(center, width, function):
    with pytest.raises(UserInputError, match="needs a finite center and a width"):
        apply_window([1.0], center, width, function)


def test_unknown_function():
    with pytest.raises(
        UserInputError, match="window function 'GAMMA'; known are LINEAR, LINEAR_EXACT, SIGMOID"
    ):
        apply_window([1.0], 1, 1, "GAMMA")


def test_names_are_those_of_the_recipe():
    assert set(NORMALIZATIONS) == set(DataSection.model_fields["normalization"].annotation.__args__)


@pytest.fixture
def volume(rng):
    array = rng.normal(50, 20, (3, 16, 16, 2)) * [1, 30]
    organ = np.zeros((3, 16, 16), bool)
    organ[:2, 4:12, 4:12] = True
    return array, organ


def test_zscore(volume):
    array, organ = volume
    values = normalize(array, organ, "zscore")
    for channel in (0, 1):
        inside = array[..., channel][organ]
        np.testing.assert_allclose(
            values[..., channel],
            np.clip((array[..., channel] - inside.mean()) / inside.std(), -5, 5),
            atol=1e-4,
        )
    assert values.dtype == np.float32 and values.shape == array.shape


def test_zscore_is_clipped(volume):
    array, organ = volume
    array[0, 0, 0] = 1e6
    assert normalize(array, organ, "zscore").max() == 5


def test_percentile(volume):
    array, organ = volume
    values = normalize(array, organ, "percentile")
    low, high = np.percentile(array[..., 1][organ], (1, 99))
    np.testing.assert_allclose(values[..., 1], np.clip((array[..., 1] - low) / (high - low), 0, 1), atol=1e-4)


def test_one_statistic_for_the_volume_not_for_each_slice(volume):
    array, organ = volume
    array[1] += 100
    values = normalize(array, organ, "zscore")
    assert values[1, ..., 0][organ[1]].mean() > 0.8 and values[0, ..., 0][organ[0]].mean() < -0.8


def test_an_affine_change_of_intensity_changes_nothing(volume):
    array, organ = volume
    for method in ("zscore", "percentile"):
        np.testing.assert_allclose(
            normalize(array, organ, method), normalize(array * 3 + 7, organ, method), atol=1e-4
        )


@pytest.mark.parametrize("window", [(40, 80), WindowSection(center=40, width=80)])
def test_window_comes_first(volume, window):
    array, organ = volume
    shown = apply_window(array, 40, 80)
    np.testing.assert_array_equal(normalize(array, organ, "window", window), shown)
    np.testing.assert_allclose(
        normalize(array, organ, "zscore", window), normalize(shown, organ, "zscore"), atol=1e-6
    )
    np.testing.assert_array_equal(normalize(array, organ, "none", window), shown)


def test_none_copies(volume):
    array, organ = volume
    array = array.astype(np.float32)
    values = normalize(array, organ, "none")
    np.testing.assert_array_equal(values, array)
    assert not np.shares_memory(values, array)


@pytest.mark.parametrize("method", ["zscore", "percentile"])
def test_constant_channels_and_empty_organs(volume, method):
    array, organ = volume
    array[..., 0] = 7
    values = normalize(array, organ, method)
    assert not values[..., 0].any() and values[..., 1].any()
    whole = normalize(array, np.zeros_like(organ), method)
    np.testing.assert_allclose(whole, normalize(array, np.ones_like(organ), method), atol=1e-6)


def test_wrong_use(volume):
    array, organ = volume
    with pytest.raises(
        UserInputError, match="data.normalization is 'window', but data.window gives no center and width"
    ):
        normalize(array, organ, "window")
    with pytest.raises(UserInputError, match="data.normalization is 'minmax'; known are zscore"):
        normalize(array, organ, "minmax")
    with pytest.raises(ValueError, match="got .3, 16, 16. and"):
        normalize(array[..., 0], organ, "zscore")
