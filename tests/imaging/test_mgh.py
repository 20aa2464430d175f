"""FreeSurfer volumes equal the same volume as NIfTI; damaged ones are refused."""

import gzip

import nibabel
import numpy as np
import pytest

from clamnet_tf.datasets.layouts.listing import list_folder
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.limits import MEMORY_VARIABLE
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.mgh import read_mgh
from clamnet_tf.imaging.readers import read_volume

CORONAL = np.array(
    [[-1.0, 0, 0, 5], [0, 0, 2.0, 3], [0, -1.5, 0, 7], [0, 0, 0, 1]]
)  # as FreeSurfer conforms volumes


@pytest.fixture
def stored(rng):
    return rng.integers(0, 200, (12, 14, 10))


def changed(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


@pytest.mark.parametrize("suffix", [".mgh", ".mgz", ".MGZ", ""])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_reads_what_nifti_reads(tmp_path, stored, suffix, dtype):
    nibabel.save(nibabel.MGHImage(stored.astype(dtype), CORONAL), tmp_path / f"a{(suffix or '.mgh').lower()}")
    next(tmp_path.iterdir()).rename(tmp_path / f"scan{suffix}")
    nibabel.save(nibabel.Nifti1Image(stored.astype(dtype), CORONAL), tmp_path / "a.nii")
    read, same = read_volume(tmp_path / f"scan{suffix}"), read_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(read.array, same.array)
    np.testing.assert_allclose(read.affine, same.affine, atol=1e-4)
    assert read.spacing_mm == pytest.approx((1.5, 2.0, 1.0))
    np.testing.assert_array_equal(read.to_original(read.array[..., 0]), stored)


def test_frames_are_channels(tmp_path, rng):
    frames = rng.random((12, 14, 10, 3)).astype(np.float32)
    nibabel.save(nibabel.MGHImage(frames, np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / "a.mgz")
    np.testing.assert_array_equal(read_mgh(tmp_path / "a.mgz").array, frames.transpose(2, 1, 0, 3))


def test_without_orientation_nothing_is_guessed(tmp_path, stored):
    nibabel.save(nibabel.MGHImage(stored.astype(np.int16), CORONAL), tmp_path / "a.mgh")
    (tmp_path / "b.mgh").write_bytes(changed((tmp_path / "a.mgh").read_bytes(), 28, b"\0\0"))
    read = read_mgh(tmp_path / "b.mgh")
    assert (
        read.affine is None
        and read.spacing_mm is None
        and "states no orientation (goodRASFlag 0)" in read.grid.notes[0]
    )


def test_is_a_mask_too_and_a_volume_in_folders(tmp_path, stored):
    nibabel.save(nibabel.MGHImage((stored > 100).astype(np.uint8), CORONAL), tmp_path / "a.mgz")
    nibabel.save(nibabel.MGHImage(stored.astype(np.int16), CORONAL), tmp_path / "b.mgz")
    image = read_volume(tmp_path / "b.mgz")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.mgz", like=image).values, image.array[..., 0] > 100)
    assert list_folder(tmp_path).of_kind(["mgh"]) == [tmp_path / "a.mgz", tmp_path / "b.mgz"]


@pytest.fixture
def content(tmp_path, stored):
    nibabel.save(nibabel.MGHImage(stored.astype(np.int16), CORONAL), tmp_path / "whole.mgh")
    return (tmp_path / "whole.mgh").read_bytes()


HUGE = np.array([30000, 30000, 1000], ">i4").tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda whole: whole[:2000], "damaged or cut off"),
        (lambda whole: whole[:100], "the name says a FreeSurfer volume .*, the content is"),
        (
            lambda whole: changed(whole, 20, b"\0\0\0\x09"),
            "the name says a FreeSurfer volume .*, the content is",
        ),  # no such type
        (
            lambda whole: changed(whole, 4, b"\xff\xff\xff\xf0"),
            "the name says a FreeSurfer volume .*, the content is",
        ),
        (lambda whole: changed(whole, 4, HUGE), "too large: it announces"),
        (lambda whole: changed(whole, 4, b"\0\0\0\x01\0\0\0\x01\0\0\0\x01"), "too small: 1 rows x 1 columns"),
        (lambda whole: changed(whole, 30, bytes(12)), "its affine cannot be inverted"),
        (
            lambda whole: changed(whole, 30, np.array(np.nan, ">f4").tobytes()),
            "its affine cannot be inverted",
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_refused_by_name(tmp_path, content, change, words, packed):
    path = tmp_path / ("bad.mgz" if packed else "bad.mgh")
    path.write_bytes(gzip.compress(change(content)) if packed else change(content))
    with pytest.raises(ImageError, match=words) as caught:
        read_volume(path)
    assert str(caught.value).startswith(str(path))


def test_values_that_are_no_numbers(tmp_path, stored):
    values = stored.astype(np.float32)
    values[0, 0, :3] = np.nan
    nibabel.save(nibabel.MGHImage(values, CORONAL), tmp_path / "a.mgz")
    with pytest.raises(ImageError, match="a.mgz: 3 NaN and 0 infinite values"):
        read_mgh(tmp_path / "a.mgz")


def test_cut_off_gzip(tmp_path, rng):
    nibabel.save(
        nibabel.MGHImage(rng.random((40, 40, 20)).astype(np.float32), CORONAL), tmp_path / "whole.mgz"
    )
    (tmp_path / "a.mgz").write_bytes((tmp_path / "whole.mgz").read_bytes()[:-9000])
    with pytest.raises(ImageError, match="a.mgz: damaged or cut off"):
        read_mgh(tmp_path / "a.mgz")


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path, content):
    sides = np.array([2000, 2000, 400], ">i4").tobytes()
    (tmp_path / "a.mgz").write_bytes(gzip.compress(changed(content[:284], 4, sides) + bytes(10**7)))
    with pytest.raises(ImageError, match="a.mgz: too large"):
        read_mgh(tmp_path / "a.mgz")


def test_the_limit_of_memory_counts(tmp_path, content, monkeypatch):
    monkeypatch.setenv(MEMORY_VARIABLE, "1")
    nibabel.save(nibabel.MGHImage(np.zeros((100, 100, 30), np.float32), CORONAL), tmp_path / "a.mgh")
    with pytest.raises(ImageError, match="a.mgh: too large: .*at most 1 MB"):
        read_mgh(tmp_path / "a.mgh")
