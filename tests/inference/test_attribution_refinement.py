"""Refinements on phantoms of known shape, against scikit-image and a shortest-path search written out
here.
"""

import heapq
from typing import get_args

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import random_walker

from clamnet_tf.inference.postprocessing.attribution_refinement import (
    METHODS,
    Seeds,
    geodesic,
    halfway_cut,
    seeds_of,
    walk_randomly,
)

REFINING = [name for name in METHODS if name != "none"]


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def ellipse(shape, centre, radii):
    grid = np.ogrid[tuple(slice(size) for size in shape)]
    return sum(((axis - middle) / radius) ** 2 for axis, middle, radius in zip(grid, centre, radii)) <= 1


def blob(shape, centre, deviation):
    grid = np.ogrid[tuple(slice(size) for size in shape)]
    return np.exp(-0.5 * sum(((axis - middle) / deviation) ** 2 for axis, middle in zip(grid, centre)))


def phantom(rng, shape=(48, 48), centre=(24, 22), radii=(6, 8), *, step=2.0, noise=0.25, shift=3):
    """image, attribution blob that is `shift` pixels off, lesion."""
    lesion = ellipse(shape, centre, radii)
    image = step * lesion + ndimage.gaussian_filter(rng.normal(size=shape), 0.5) * noise * 2
    off = (*centre[:-1], centre[-1] + shift)
    return image.astype(np.float32), blob(shape, off, 3.0).astype(np.float32), lesion


def refined(name, image, attribution, organ, share=0.04, reach=7.0):
    return METHODS[name](image, attribution, seeds_of(attribution, organ, share=share, reach=reach))


@pytest.mark.parametrize("step", [2.0, -2.0], ids=["brighter", "darker"])
@pytest.mark.parametrize("name", REFINING)
def test_every_method_finds_an_ellipse_that_the_attribution_misses_by_three_pixels(rng, name, step):
    image, attribution, lesion = phantom(rng, step=step)
    organ = np.ones(image.shape, bool)
    found = refined(name, image, attribution, organ)
    assert found.dtype == bool and found.shape == image.shape
    assert dice(found, lesion) > 0.9
    assert dice(found, lesion) > dice(refined("none", image, attribution, organ), lesion) + 0.1


@pytest.mark.parametrize("name", REFINING)
def test_in_three_dimensions(rng, name):
    shape = (9, 36, 36)
    image, attribution, lesion = phantom(rng, shape, (4, 18, 17), (3, 5, 6), shift=2)
    found = refined(name, image, attribution, np.ones(shape, bool), share=0.02, reach=6.0)
    assert found.shape == shape and dice(found, lesion) > 0.85
    assert not found[0].any()  # the lesion covers slices 1 to 7


def test_one_slice_as_a_volume_is_outlined_as_the_slice(rng):
    image, attribution, _ = phantom(rng)
    organ = np.ones(image.shape, bool)
    for name in ("halfway", "geodesic", "border_contrast"):
        np.testing.assert_array_equal(
            refined(name, image[None], attribution[None], organ[None])[0],
            refined(name, image, attribution, organ),
        )


@pytest.mark.parametrize("name", METHODS)
def test_what_is_out_of_reach_or_of_the_organ_is_never_marked(rng, name):
    image, attribution, lesion = phantom(rng, radii=(6, 16), shift=0)
    organ = np.ones(image.shape, bool)
    organ[:, :20] = False
    marked = organ & (attribution >= np.quantile(attribution[organ], 0.96))
    near = ndimage.distance_transform_edt(~marked) <= 4.0
    found = refined(name, image, attribution, organ, reach=4.0)
    assert found.any() and not (found & ~organ).any() and not (found & ~near).any()
    assert (lesion & organ & ~near).any()  # there was something to leak into


@pytest.mark.parametrize("name", REFINING)
def test_an_organ_that_ends_at_the_lesion(rng, name):
    image, attribution, lesion = phantom(rng, shift=0)
    organ = ~ellipse(image.shape, (24, 34), (9, 5)) & ellipse(image.shape, (24, 24), (20, 20))
    found = refined(name, image, attribution, organ)
    assert dice(found, lesion & organ) > 0.85


@pytest.mark.parametrize("name", REFINING)
def test_a_lesion_at_the_border(rng, name):
    image, attribution, lesion = phantom(rng, centre=(2, 3), radii=(6, 7), shift=2)
    assert dice(refined(name, image, attribution, np.ones(image.shape, bool)), lesion) > 0.85


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(32, 32), (5, 24, 24)], ids=["slice", "volume"])
@pytest.mark.parametrize("name", METHODS)
def test_a_constant_image_keeps_the_mark_near_the_attribution(name, shape):
    attribution = blob(shape, [size // 2 for size in shape], 2.5).astype(np.float32)
    organ = np.ones(shape, bool)
    seeds = seeds_of(attribution, organ, share=0.05, reach=3.0)
    found = METHODS[name](np.full(shape, 0.3, np.float32), attribution, seeds)
    assert (
        found.dtype == bool
        and (found & seeds.core).sum() == seeds.core.sum()
        and not (found & ~seeds.near).any()
    )


def test_holes_are_filled_and_other_parts_left_out(rng):
    image, attribution, lesion = phantom(rng, shift=0, noise=0.05)
    image[24, 20] = 0.0
    image[34:36, 24] = 2.0  # bright, within reach, apart
    found = refined("halfway", image, attribution, np.ones(image.shape, bool), reach=10.0)
    assert found[24, 20] and not found[34:36, 24].any() and dice(found, lesion) > 0.97


def test_seeds_by_hand():
    attribution = np.arange(100, dtype=np.float32).reshape(10, 10)
    organ = np.ones((10, 10), bool)
    organ[9, 9] = False  # the highest value lies outside
    seeds = seeds_of(attribution, organ, share=0.08, reach=1.0)
    assert sorted(attribution[seeds.marked]) == [91, 92, 93, 94, 95, 96, 97, 98]
    assert sorted(attribution[seeds.core]) == [97, 98]
    assert seeds.near[8, 1:9].all() and seeds.near[9, :9].all() and seeds.near.sum() == 17
    assert not (seeds.ring & seeds.near).any() and seeds.ring[5:8, 3].all() and not seeds.ring[4].any()


def test_an_empty_organ_a_flat_attribution_and_no_surroundings_give_nothing():
    attribution, organ = blob((16, 16), (8, 8), 2.0), np.ones((16, 16), bool)
    assert seeds_of(attribution, organ, share=0.1, reach=2.0) is not None
    assert seeds_of(attribution, np.zeros((16, 16), bool), share=0.1, reach=2.0) is None
    assert seeds_of(np.full((16, 16), 0.7), organ, share=0.1, reach=2.0) is None
    assert seeds_of(np.zeros((16, 16)), organ, share=0.1, reach=2.0) is None
    assert seeds_of(attribution, organ, share=0.1, reach=40.0) is None


def test_a_share_larger_than_what_the_attribution_says_marks_no_zeros():
    attribution = np.zeros((20, 20), np.float32)
    attribution[9:11, 9:11] = [[1, 2], [3, 4]]
    seeds = seeds_of(attribution, np.ones((20, 20), bool), share=0.5, reach=1.0)
    assert seeds.marked.sum() == 4


def test_the_random_walker_is_that_of_scikit_image(rng):
    image, attribution, _ = phantom(rng, shape=(32, 32), centre=(16, 15), radii=(4, 5))
    seeds = seeds_of(attribution, np.ones(image.shape, bool), share=0.05, reach=5.0)
    labels = np.full(image.shape, -1)
    labels[ndimage.distance_transform_edt(~seeds.near) <= 3.0] = 2
    labels[seeds.near], labels[seeds.core] = 0, 1
    expected = random_walker(image.astype(float), labels, beta=130.0, mode="bf") == 1
    parts, _ = ndimage.label(expected)
    expected = ndimage.binary_fill_holes(parts == parts[np.unravel_index(attribution.argmax(), image.shape)])
    found = walk_randomly(image, attribution, seeds)
    assert (
        expected.sum() > 20 and (found != expected).sum() <= 1
    )  # conjugate gradients against an exact solution


def geodesic_costs(cost, starts):
    """Dijkstra, 8 neighbours: a step costs the mean of its two places times its length."""
    reached, queue = np.full(cost.shape, np.inf), []
    for start in starts:
        reached[start] = 0.0
        queue.append((0.0, start))
    heapq.heapify(queue)
    while queue:
        so_far, (row, column) = heapq.heappop(queue)
        if so_far > reached[row, column]:
            continue
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                other = row + down, column + right
                if (
                    (down or right)
                    and 0 <= other[0] < cost.shape[0]
                    and 0 <= other[1] < cost.shape[1]
                    and cost[other] >= 0
                ):
                    total = so_far + np.hypot(down, right) * 0.5 * (cost[row, column] + cost[other])
                    if total < reached[other] - 1e-12:
                        reached[other] = total
                        heapq.heappush(queue, (total, other))
    return reached


def test_geodesic_distances_equal_a_shortest_path_search(rng):
    shape = (11, 12)
    image = rng.normal(size=shape)
    core, near = np.zeros(shape, bool), np.zeros(shape, bool)
    core[5, 5:7] = True
    near[2:9, 2:10] = True
    ring = np.zeros(shape, bool)
    ring[1:10, 1:11] = True
    ring &= ~near
    cost = 0.1 + ndimage.gaussian_gradient_magnitude(image, 0.7) / (image[near | ring].std() + 1e-6)
    cost[~(near | ring)] = -1
    to_core, to_ring = (
        geodesic_costs(cost, [tuple(place) for place in np.argwhere(starts)]) for starts in (core, ring)
    )
    expected, _ = ndimage.label((to_core <= to_ring) & near)
    expected = ndimage.binary_fill_holes(expected == expected[5, 5])
    attribution = core.astype(float)
    found = geodesic(image, attribution, Seeds(core, core, near, ring))
    assert 4 < expected.sum() < near.sum() - 4
    np.testing.assert_array_equal(found, expected)


def test_halfway_is_halfway_between_medians():
    image = np.zeros((9, 9))
    image[3:6, 3:6] = [[4, 4, 4], [4, 6, 4], [2.9, 3.1, 4]]
    core, near = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    core[4, 4] = True
    near[2:7, 2:7] = True
    ring = ndimage.binary_dilation(near) & ~near
    found = halfway_cut(image, core.astype(float), Seeds(core, core, near, ring))
    assert found.sum() == 8 and not found[5, 3] and found[5, 4]  # the cut is 3


def test_methods_are_those_of_the_recipe():
    from clamnet_tf.recipe.schema_attribution import RefinementSection

    assert set(METHODS) == set(get_args(get_args(RefinementSection.model_fields["methods"].annotation)[0]))
