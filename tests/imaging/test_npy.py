"""Bare NumPy arrays: the meaning of their axes, and the arrays that are refused."""

import pickle

import numpy as np
import pytest

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.npy import read_npy


@pytest.mark.parametrize(
    ("shape", "volume", "grid"),
    [
        ((12, 10), (1, 12, 10, 1), (12, 10)),
        ((5, 12, 10), (5, 12, 10, 1), (5, 12, 10)),
        ((12, 10, 3), (1, 12, 10, 3), (12, 10)),
        ((12, 10, 7), (1, 12, 10, 7), (12, 10)),
        ((12, 10, 8), (12, 10, 8, 1), (12, 10, 8)),
        ((3, 12, 10), (3, 12, 10, 1), (3, 12, 10)),
        ((2, 12, 10, 9), (2, 12, 10, 9), (2, 12, 10)),
    ],
)
def test_axes(tmp_path, rng, shape, volume, grid):
    stored = rng.random(shape).astype(np.float32)
    np.save(tmp_path / "a.npy", stored)
    read = read_npy(tmp_path / "a.npy")
    assert read.array.shape == volume and read.grid.shape == grid
    np.testing.assert_array_equal(read.array.ravel(), stored.ravel())
    assert read.to_original(read.array[..., 0]).shape == grid


@pytest.mark.parametrize("dtype", [bool, np.int8, ">u2", np.int64, np.float16, np.float64])
def test_types(tmp_path, ramp, dtype):
    np.save(tmp_path / "a.npy", ramp(dtype=dtype), allow_pickle=False)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy").array[0, ..., 0], ramp(dtype=dtype))


def test_fortran_order(tmp_path, ramp):
    np.save(tmp_path / "a.npy", np.asfortranarray(ramp()))
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy").array[0, ..., 0], ramp())


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[1, "a"]] * 9, dtype=object), "Python objects, which could run code"),
        (np.array([["a"] * 9] * 9), "an array of type <U1; needed are integers, floats or booleans"),
        (np.zeros((9, 9), complex), "an array of type complex128"),
        (np.zeros(9), r"an array of shape \(9,\); needed are 2, 3 or 4 axes"),
        (np.zeros((9, 9, 9, 9, 9), np.int8), "needed are 2, 3 or 4 axes"),
        (np.zeros((1, 1)), "too small: 1 rows x 1 columns"),
        (np.zeros((0, 9, 9)), "too small: 9 rows x 9 columns, 0 slices"),
        (np.full((9, 9), np.nan), "81 NaN and 0 infinite values of 81"),
        (np.full((9, 9), 1e200), "0 NaN and 81 infinite values of 81"),
    ],
)
def test_refused(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ImageError, match=words):
        read_npy(tmp_path / "a.npy")


class Bomb:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pickle_is_not_opened(tmp_path, capsys):
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ImageError, match="the name says a NumPy array, the content is"):
        read_npy(tmp_path / "a.npy")
    assert "never" not in capsys.readouterr().out


def test_a_header_that_announces_too_much(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((10, 10), np.uint8))
    content = (tmp_path / "a.npy").read_bytes().replace(b"(10, 10), }     ", b"(99999, 99999), }")
    (tmp_path / "b.npy").write_bytes(content)
    with pytest.raises(ImageError, match="b.npy: not a usable array"):
        read_npy(tmp_path / "b.npy")
