"""The brain in made-up heads with scalp, skull, orbits and face, with and without a lesion at the cortex, and
where there is none.
"""

import numpy as np
import pytest
from scipy import ndimage

from clamnet_tf.preprocessing.organs.brain import FALLBACK_RIM, brain
from clamnet_tf.preprocessing.organs.foreground import foreground, without_rim

SIDE, FACE, BRAIN = (
    128,
    3,
    9,
)  # slices: 3 of the face, 9 of the brain from the orbits (2) to the vertex, 1 of scalp, 1 blank
TEXTURE = ndimage.gaussian_filter(np.random.default_rng(3).normal(0, 1, (SIDE, SIDE)), 2)
TEXTURE /= TEXTURE.std()


def ellipse(center, radii):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return ((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 <= 1


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


class MadeUpHead:
    """FLAIR-like `volume` (14, 128, 128, 1), bool `brain`, `orbits` and `scalp`; brain 100, fat 230, skull
    10, fluid 25.
    """

    def __init__(self, rng, lesion=None):
        heads = [1.0] * (FACE + 3) + [1.0, 0.98, 0.94, 0.86, 0.74, 0.56, 0.3]
        volume, shape = [], (len(heads) + 1, SIDE, SIDE)
        self.brain, self.orbits, self.scalp = (
            np.zeros(shape, bool),
            np.zeros(shape, bool),
            np.zeros(shape, bool),
        )
        for s, scale in enumerate(heads):
            head = ellipse((64, 64), (58 * scale, 50 * scale))
            skull = (
                ellipse((64, 64), (58 * scale - 8, 50 * scale - 8)) if scale > 0.3 else np.zeros_like(head)
            )
            clean = np.where(skull, 10.0, np.where(head, 230.0, 0.0))
            self.scalp[s] = head & ~skull
            if s < FACE:
                clean[skull] = 110.0 + 70.0 * TEXTURE[skull]  # fat and muscle
            elif s < FACE + BRAIN:
                low = s < FACE + 2
                self.brain[s] = (
                    ellipse((78, 64), (28, 33))
                    if low
                    else ellipse((64, 64), (58 * scale - 13, 50 * scale - 13))
                )
                clean[self.brain[s]] = 100.0 + 8.0 * TEXTURE[self.brain[s]]  # gyri
                if low:
                    for column in (47, 81):
                        self.orbits[s] |= ellipse((34, column), (11, 10))
                        clean[ellipse((34, column), (11, 10))] = 230.0
                        clean[ellipse((31, column), (7, 7))] = 30.0
                else:
                    clean[ellipse((60, 64), (8 * scale, 4 * scale))] = 25.0
            if lesion is not None:
                clean[lesion[s] & self.brain[s]] = 210.0
            volume.append(
                np.hypot(
                    ndimage.gaussian_filter(clean, 0.7) + rng.normal(0, 4, clean.shape),
                    rng.normal(0, 4, clean.shape),
                )
            )
        volume.append(np.zeros((SIDE, SIDE)))
        self.volume = np.stack(volume)[..., np.newaxis]


@pytest.fixture
def head(rng):
    return MadeUpHead(rng)


def test_brain_without_scalp_orbits_and_face(head):
    found = brain(head.volume)
    assert found.mask.dtype == bool and found.mask.shape == head.volume.shape[:3] and not found.fallback.any()
    assert dice(found.mask, head.brain) > 0.94
    for s in range(FACE, FACE + BRAIN):
        assert dice(found.mask[s], head.brain[s]) > 0.85, s
    assert (found.mask & head.brain).sum() > 0.985 * head.brain.sum()
    assert (found.mask & head.scalp).sum() < 0.02 * head.scalp.sum()
    assert (found.mask & head.orbits).sum() < 0.05 * head.orbits.sum()
    assert not found.mask[:FACE].any() and not found.mask[FACE + BRAIN :].any()


def test_it_beats_the_foreground_without_rim(head):
    rimmed = without_rim(foreground(head.volume), FALLBACK_RIM)
    assert dice(brain(head.volume).mask, head.brain) > dice(rimmed, head.brain) + 0.05
    assert (rimmed & head.orbits).sum() > 0.5 * head.orbits.sum()


@pytest.mark.parametrize("center", [(30, 64), (64, 96), (95, 45)])
def test_a_bright_lesion_at_the_cortex_is_kept(rng, center):
    lesion = np.zeros((14, SIDE, SIDE), bool)
    lesion[FACE + 3 : FACE + 7] = ellipse(center, (16, 13))
    head = MadeUpHead(rng, lesion)
    lesion &= head.brain
    found = brain(head.volume).mask
    assert lesion.sum() > 1000 and (found & lesion).sum() > 0.985 * lesion.sum()
    assert dice(found, head.brain) > 0.93


def test_the_order_of_the_slices_and_the_unit_do_not_matter(head):
    found = brain(head.volume).mask
    turned = brain(head.volume[::-1]).mask[::-1]
    assert dice(found, turned) > 0.99
    np.testing.assert_array_equal(brain(head.volume * 0.004).mask, found)


def test_three_channels_with_bright_marrow_in_one_and_one_that_is_missing(head, rng):
    flair = head.volume[..., 0]
    marrow = ndimage.gaussian_filter(np.where(head.scalp, 160.0, flair), (0, 1.5, 1.5)) + rng.normal(
        0, 2, flair.shape
    )
    found = brain(np.stack([marrow, flair, np.full_like(flair, 7.0)], axis=-1))
    assert dice(found.mask, head.brain) > 0.93 and not found.fallback.any()


def test_a_stripped_brain_is_kept(head):
    stripped = head.volume * head.brain[..., np.newaxis]
    found = brain(stripped)
    assert dice(found.mask, head.brain) > 0.97
    assert (found.mask & head.brain).sum() > 0.975 * head.brain.sum()
    assert not found.fallback.any()


def test_a_slice_that_failed_falls_back_and_the_rest_goes_on(head):
    s = FACE + 4
    head.volume[s, :, ::5] = head.volume[s, :, 1::5][:, : head.volume[s, :, ::5].shape[1]] = 0
    found = brain(head.volume)
    assert np.flatnonzero(found.fallback).tolist() == [s]
    np.testing.assert_array_equal(found.mask[s], without_rim(foreground(head.volume), FALLBACK_RIM)[s])
    assert dice(found.mask[s + 1], head.brain[s + 1]) > 0.85


def test_what_has_no_brain_is_the_foreground_without_its_rim(rng):
    """A head of stripes thinner than any brain."""
    bars = np.where(np.arange(SIDE) % 6 < 2, 15.0, 100.0)
    volume = (np.stack([ellipse((64, 64), (50, 45)) * bars] * 4) + rng.normal(0, 1, (4, SIDE, SIDE)))[
        ..., np.newaxis
    ]
    found = brain(volume)
    assert found.fallback.all()
    np.testing.assert_array_equal(found.mask, without_rim(foreground(volume), FALLBACK_RIM))


def test_blank_volumes_and_slices(head):
    assert (
        not brain(np.zeros((3, 32, 32, 2))).mask.any() and not brain(np.zeros((3, 32, 32, 2))).fallback.any()
    )
    head.volume[FACE + 5] = 0
    found = brain(head.volume)
    assert not found.mask[FACE + 5].any() and not found.fallback.any()
    assert dice(found.mask[FACE + 6], head.brain[FACE + 6]) > 0.85


def test_a_single_slice(head):
    s = FACE + 4
    assert dice(brain(head.volume[s : s + 1]).mask[0], head.brain[s]) > 0.93


def test_large_slices_come_back_in_place(head):
    large = head.volume.repeat(2, 1).repeat(2, 2)
    assert dice(brain(large).mask, head.brain.repeat(2, 1).repeat(2, 2)) > 0.94
