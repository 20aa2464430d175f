"""What normal slices show at each place of the organ: cells by hand, percentiles by numpy, lesions found,
files read back.
"""

import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage

from clamnet_tf.errors import DataError, RunError
from clamnet_tf.preprocessing.atlas_channel import (
    atlas_of,
    fit_atlas,
    volume_with_atlas_channel,
    with_atlas_channel,
)
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.preprocessing.normal_atlas import CELLS, LIMITS, RIMS, NormalAtlas, organ_cells
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume
from clamnet_tf.recipe.schema_data import DataSection, NormalAtlasSection

SIDE = 64


def two_lungs():
    organ = np.zeros((SIDE, SIDE), bool)
    organ[8:56, 6:26] = organ[12:50, 36:60] = True
    return organ


def chests(rng, count, bright=0.0):
    """A gradient that every chest shares (bright below), another level in each, noise; and a bright square of
    8 pixels in the right half.
    """
    organ = np.repeat(two_lungs()[None], count, axis=0)
    rows = np.linspace(-1, 1, SIDE)[None, :, None]
    images = rows + rng.normal(0, 2, (count, 1, 1)) + rng.normal(0, 0.1, (count, SIDE, SIDE))
    images[:, 20:28, 44:52] += bright
    return (images * organ)[..., None].astype(np.float16), organ.astype(np.uint8)


def cell_of(organ, y, x):
    """The definition, pixel by pixel."""
    columns = [c for c in range(SIDE) if organ[:, c].any()]
    middle = (columns[0] + columns[-1]) // 2
    half = int(x > middle)
    own = organ[:, : middle + 1] if half == 0 else organ[:, middle + 1 :]
    rows = [r for r in range(SIDE) if own[r].any()]
    line = [c for c in range(SIDE) if organ[y, c] and (c > middle) == bool(half)]
    row = (y - rows[0]) * 8 // (rows[-1] - rows[0] + 1)
    column = (x - line[0]) * 8 // (line[-1] - line[0] + 1)
    outside = [
        (r, c)
        for r in range(-1, SIDE + 1)
        for c in range(-1, SIDE + 1)
        if not (0 <= r < SIDE and 0 <= c < SIDE and organ[r, c])
    ]
    distance = min(((r - y) ** 2 + (c - x) ** 2) ** 0.5 for r, c in outside) * 128 / SIDE
    return ((half * 8 + row) * 8 + column) * 6 + sum(distance >= rim for rim in RIMS)


def test_cells_are_halves_rows_columns_and_rims(rng):
    organ = two_lungs() & ~(np.indices((SIDE, SIDE)).sum(0) < 30)
    cells = organ_cells(organ)
    for y, x in rng.permutation(np.argwhere(organ))[:40]:
        assert cells[y, x] == cell_of(organ, y, x), (y, x)
    assert cells[organ].max() < CELLS and not organ_cells(np.zeros((8, 8), bool)).any()


def test_deviation_is_0_at_the_median_and_1_at_the_95th_percentile_of_normals(rng):
    images, organ = chests(rng, 60)
    atlas = NormalAtlas.fit(images, organ, smoothing=0.0)
    deviation = atlas.deviation(images, organ)
    cells = organ_cells(organ[0] > 0)
    for cell in np.unique(cells[organ[0] > 0])[::17]:
        values = deviation[:, (cells == cell) & (organ[0] > 0)]
        assert np.median(values) == pytest.approx(0, abs=0.02) and np.percentile(values, 95) == pytest.approx(
            1, abs=0.02
        )
    assert not deviation[organ == 0].any()


def test_a_lesion_stands_out_where_its_intensity_is_ordinary_elsewhere(rng):
    """0.5 brighter high up is darker than normal tissue low down: intensity fails, the place tells."""
    atlas = NormalAtlas.fit(*chests(rng, 60), smoothing=1.0)
    images, organ = chests(rng, 8, bright=0.5)
    deviation = atlas.deviation(images, organ)
    lesion = np.zeros((SIDE, SIDE), bool)
    lesion[21:27, 45:51] = True
    for image, map_ in zip(images[..., 0].astype(float), deviation):
        inside = organ[0] > 0
        assert map_[lesion].min() > np.percentile(
            map_[inside & ~ndimage.binary_dilation(lesion, iterations=3)], 99
        )
        assert image[lesion].mean() < np.percentile(image[inside], 90)
    darker = NormalAtlas.fit(*chests(rng, 60), smoothing=1.0, sign=-1).deviation(*chests(rng, 2, bright=-0.5))
    assert darker[:, lesion].min() > 1


def test_level_and_scale_of_the_organ_do_not_matter(rng):
    """Another brightness of the whole image changes nothing, twice the pixels next to nothing."""
    images, organ = chests(rng, 30)
    atlas = NormalAtlas.fit(images.astype(np.float32), organ, smoothing=2.0)
    one, mask = images[:1].astype(np.float32), organ[:1]
    np.testing.assert_allclose(
        atlas.deviation(one + 3 * mask[..., None], mask), atlas.deviation(one, mask), atol=1e-4
    )
    twice = np.repeat(np.repeat(one, 2, 1), 2, 2), np.repeat(np.repeat(mask, 2, 1), 2, 2)
    difference = atlas.deviation(*twice)[0, ::2, ::2] - atlas.deviation(one, mask)[0]
    assert np.median(np.abs(difference[mask[0] > 0])) < 0.15


def test_rows_are_read_back_and_damage_is_told(rng, tmp_path):
    atlas = NormalAtlas.fit(*chests(rng, 20))
    again = NormalAtlas.from_row(json.loads(json.dumps(atlas.row())))
    images, organ = chests(rng, 2)
    np.testing.assert_array_equal(again.deviation(images, organ), atlas.deviation(images, organ))
    for wrong in (
        {**atlas.row(), "middle": [0.0]},
        {**atlas.row(), "spread": [float("nan")] * CELLS},
        {"channel": 0},
    ):
        with pytest.raises((KeyError, TypeError, ValueError)):
            NormalAtlas.from_row(wrong)


def prepared_of(images, organ, folder):
    np.save(folder / "images.npy", images)
    return Prepared(folder, np.load(folder / "images.npy", mmap_mode="r"), organ, None, "a key")


def test_the_channel_is_kept_in_the_cache_and_is_the_same_for_a_volume(rng, tmp_path):
    images, organ = chests(rng, 150)
    prepared = prepared_of(images, organ, tmp_path)
    atlas = fit_atlas(NormalAtlasSection(smoothing=1.0), prepared, np.arange(20, 120), np.arange(100) % 2)
    np.testing.assert_array_equal(
        atlas.middle, NormalAtlas.fit(images[20:120:2], organ[20:120:2], smoothing=1.0).middle
    )
    result = with_atlas_channel(prepared, atlas, tmp_path / "cache")
    assert (
        result.images.shape == (150, SIDE, SIDE, 2)
        and result.images.dtype == np.float16
        and result.key != "a key"
        and result.atlas is atlas
    )
    np.testing.assert_array_equal(result.images[..., :1], images)
    np.testing.assert_array_equal(
        result.images[..., 1], np.clip(atlas.deviation(images, organ), *LIMITS).astype(np.float16)
    )
    [kept] = (tmp_path / "cache").glob("deviation-*/images.npy")
    written = kept.stat().st_mtime_ns
    with_atlas_channel(prepared, atlas, tmp_path / "cache")
    assert kept.stat().st_mtime_ns == written
    kept.unlink()  # the memory maps above keep the old file
    kept.write_bytes(b"damaged")
    np.testing.assert_array_equal(
        with_atlas_channel(prepared, atlas, tmp_path / "cache").images, result.images
    )
    ready = PreparedVolume(images[:3], organ[:3], None, (), ())
    np.testing.assert_array_equal(volume_with_atlas_channel(ready, atlas).images, result.images[:3])
    assert volume_with_atlas_channel(ready, None) is ready


def test_what_cannot_be_fitted_is_told(rng, tmp_path):
    images, organ = chests(rng, 4)
    prepared = prepared_of(images, organ, tmp_path)
    with pytest.raises(
        DataError,
        match=r"data.normal_atlas.channel: expected 0 to 0, since these images have 1 channel\(s\); "
        r"received 1",
    ):
        fit_atlas(NormalAtlasSection(channel=1), prepared, np.arange(4), np.zeros(4))
    with pytest.raises(DataError, match="no normal slice shows an organ among 0 normal training slices"):
        fit_atlas(NormalAtlasSection(), prepared, np.arange(4), np.ones(4))

    @dataclasses.dataclass
    class Run:
        selection: str = "selection.json"

        def read_selection(self):
            return {}

    @dataclasses.dataclass
    class Recipe:
        data: DataSection

    assert atlas_of(Run(), Recipe(DataSection())) is None
    with pytest.raises(RunError, match="selection.json: has no usable normal_atlas"):
        atlas_of(Run(), Recipe(DataSection(normal_atlas=NormalAtlasSection())))


def opened_by_hand(values, inside, radius):
    """Erosion, dilation; then the closing with half of the radius: every pixel from its own neighbourhood,
    loop by loop.
    """

    def walk(image, radius, choose):
        reach = max(1, int(radius))
        offsets = [
            (r, c)
            for r in range(-reach, reach + 1)
            for c in range(-reach, reach + 1)
            if (r * r + c * c) ** 0.5 <= max(1.0, radius) + 0.3
        ]
        padded = np.pad(image, reach, mode="symmetric")
        height, width = image.shape
        shifted = [padded[reach + r : reach + r + height, reach + c : reach + c + width] for r, c in offsets]
        return choose(shifted, axis=0)

    filled = np.where(inside, values, values[inside].min())
    opened = walk(walk(filled, radius, np.min), radius, np.max)
    return walk(walk(opened, radius / 2, np.max), radius / 2, np.min)


@pytest.mark.parametrize(("opening", "level"), [(2.0, 0.15), (4.0, 0.5), (7.0, 0.3)])
def test_thin_structures_are_removed_before_the_level_is_taken(rng, opening, level):
    images, organ = chests(rng, 3, bright=3.0)
    images = np.asarray(images, np.float32)
    flat = NormalAtlas(np.zeros(CELLS, np.float32), np.ones(CELLS, np.float32), 0, 0.0, 1, opening, level)
    for image, inside, found in zip(images[..., 0], organ > 0, flat.deviation(images, organ)):
        wanted = opened_by_hand(image, inside, opening * SIDE / 128)
        np.testing.assert_allclose(
            found[inside], (wanted - np.quantile(wanted[inside], level))[inside], atol=1e-5
        )


def test_an_opening_removes_a_vessel_and_keeps_an_opacity(rng):
    normal, organ = chests(rng, 40)
    images, _ = chests(rng, 1)
    images = np.asarray(images, np.float32)
    images[0, 14:48, 12, 0] += 4.0  # a vessel, 1 pixel wide
    images[0, 20:30, 42:54, 0] += 4.0  # an opacity
    deviation = NormalAtlas.fit(normal, organ, smoothing=0.0, opening=4.0).deviation(images, organ[:1])[0]
    assert deviation[23:27, 45:51].min() > 5 and deviation[16:46, 12].max() < 3
    assert NormalAtlas.fit(normal, organ, smoothing=0.0).deviation(images, organ[:1])[0, 16:46, 12].min() > 5


def test_a_low_level_finds_opacities_that_fill_most_of_the_organ(rng):
    normal, organ = chests(rng, 40)
    images, _ = chests(rng, 1)
    images = np.asarray(images, np.float32)
    images[0, 18:] += 4.0
    middle = [
        NormalAtlas.fit(normal, organ, smoothing=0.0, level=level).deviation(images, organ[:1])[0]
        for level in (0.5, 0.15)
    ]
    assert middle[0][30:45, 10:20].mean() < 1 < 3 < middle[1][30:45, 10:20].mean()


def test_without_places_all_cells_hold_the_same(rng):
    atlas = NormalAtlas.fit(*chests(rng, 20), smoothing=0.0, places=False)
    assert len(set(atlas.middle)) == len(set(atlas.spread)) == 1
    assert len(set(NormalAtlas.fit(*chests(rng, 20), smoothing=0.0).middle)) > 50


def test_darker_lesions_are_brighter_ones_of_the_negative(rng):
    images, organ = chests(rng, 20, bright=2.0)
    images = np.asarray(images, np.float32)
    options = {"smoothing": 1.0, "opening": 3.0, "level": 0.2}
    one = NormalAtlas.fit(images, organ, **options).deviation(images, organ)
    other = NormalAtlas.fit(-images, organ, sign=-1, **options).deviation(-images, organ)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_is_newer_is_written_only_where_it_is_used(rng):
    used = NormalAtlas.fit(*chests(rng, 5), opening=2.0, level=0.15, places=False)
    back = NormalAtlas.from_row(json.loads(json.dumps(used.row())))
    assert (back.opening, back.level, back.places) == (2.0, 0.15, False)
    usual = NormalAtlas.fit(*chests(rng, 5)).row()
    assert (
        set(usual) == {"channel", "smoothing", "sign", "middle", "spread"}
        and NormalAtlas.from_row(usual).places
    )
