"""The other breast of a patient as channels of a mammogram: how it is turned, and where it is blank."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clamnet_tf.datasets.contralateral import ALONE, SAME_WAY
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.preprocessing.contralateral import (
    NO_BREAST,
    is_mirrored,
    mirroring_gain,
    volume_with_contralateral,
    with_contralateral,
)
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume

WALL_LEFT = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]], np.uint8)
WALL_RIGHT = WALL_LEFT[:, ::-1]


def test_the_way_is_told_by_outlines():
    # 10 pixels; 6 of them lie in the mirror image too, of 14 together
    assert mirroring_gain(WALL_LEFT, WALL_RIGHT) == pytest.approx(1 - 6 / 14)
    assert mirroring_gain(WALL_LEFT, WALL_LEFT) == pytest.approx(6 / 14 - 1)


def test_stated_sides_are_mirrored_unless_all_images_were_turned():
    symmetric = np.ones((4, 4), np.uint8)
    assert is_mirrored(WALL_LEFT, WALL_RIGHT, stated=True) == (True, "")
    assert is_mirrored(WALL_LEFT, WALL_LEFT, stated=True) == (False, "")
    assert is_mirrored(symmetric, symmetric, stated=True) == (True, "")
    assert is_mirrored(WALL_LEFT, WALL_RIGHT, stated=False) == (True, "")
    for other in (WALL_LEFT, symmetric):
        assert is_mirrored(WALL_LEFT, other, stated=False) == (None, SAME_WAY)
    assert is_mirrored(WALL_LEFT, 0 * WALL_LEFT, stated=True) == (None, NO_BREAST)


@pytest.fixture
def prepared(tmp_path, rng):
    """Six images: p left and right, q two of one side, r alone, s without a breast is left out."""
    organ = np.stack([WALL_LEFT, WALL_RIGHT, WALL_LEFT, WALL_LEFT, WALL_RIGHT])
    images = (rng.normal(size=(5, 4, 4, 1)) * organ[..., None]).astype(np.float16)
    np.save(tmp_path / "images.npy", images)
    table = SimpleNamespace(case=np.array([4, 3, 2, 1, 0]))  # rows are not in the order of the cases
    return Prepared(tmp_path, np.load(tmp_path / "images.npy", mmap_mode="r"), organ, table, "a key")


def manifest_of(*patients):
    cases = [Case(Path(f"/nowhere/{index}.png"), patient, 0) for index, patient in enumerate(patients)]
    return Manifest(Path("/nowhere"), tuple(cases))


def test_the_other_breast_becomes_a_channel(prepared, tmp_path):
    manifest = manifest_of("r", "q", "q", "p", "p")  # rows 0 and 1 are p, 2 and 3 are q, 4 is r
    result = with_contralateral(prepared, manifest, tmp_path / "cache")
    images = np.asarray(prepared.images)
    assert result.images.shape == (5, 4, 4, 2) and result.images.dtype == np.float16
    np.testing.assert_array_equal(result.images[..., :1], images)
    for row, wanted in enumerate([images[1, :, ::-1], images[0, :, ::-1], 0, 0, 0]):
        np.testing.assert_array_equal(result.images[row, ..., 1:], wanted + np.zeros((4, 4, 1)))
    assert result.account == (
        "2 of 5 images are compared with the patient's other breast.",
        f"1 images without a comparison: {ALONE}.",
        f"2 images without a comparison: {SAME_WAY}.",
    )
    assert result.own is prepared and prepared.own is prepared and result.key != prepared.key
    [kept] = (tmp_path / "cache").glob("contralateral-*/images.npy")
    written = kept.stat().st_mtime_ns
    with_contralateral(prepared, manifest, tmp_path / "cache")
    assert kept.stat().st_mtime_ns == written


def test_a_volume_gets_the_same_channel(prepared, tmp_path):
    manifest = manifest_of("r", "q", "q", "p", "p")
    wanted = with_contralateral(prepared, manifest, tmp_path / "cache").images
    volumes = [
        PreparedVolume(prepared.images[[row]], prepared.organ[[row]], None, (), ()) for row in range(5)
    ]
    for row, other, notes in (
        (0, 1, ()),
        (1, 0, ()),
        (2, 3, (f"not compared with the other breast: {SAME_WAY}",)),
    ):
        found = volume_with_contralateral(volumes[row], volumes[other], stated=False, reason="")
        np.testing.assert_array_equal(found[0].images[0], wanted[row])
        assert found[1] == notes
    alone, notes = volume_with_contralateral(volumes[4], None, stated=False, reason=ALONE)
    np.testing.assert_array_equal(alone.images[0], wanted[4])
    assert notes == (f"not compared with the other breast: {ALONE}",)


def test_several_slices_are_refused(prepared, tmp_path):
    volume = PreparedVolume(prepared.images[:2], prepared.organ[:2], None, (), ())
    with pytest.raises(DataError, match="compares one image per file .*received 2 or more slices"):
        volume_with_contralateral(volume, None, stated=False, reason=ALONE)
    table = SimpleNamespace(case=np.array([0, 0, 1, 2, 3]))
    with pytest.raises(DataError, match=r"0.png: data.contralateral compares one image per file"):
        with_contralateral(
            dataclasses.replace(prepared, table=table), manifest_of(*"abcd"), tmp_path / "cache"
        )
