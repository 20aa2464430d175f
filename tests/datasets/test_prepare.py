"""Prepared slices: values, geometry, the cache and its key, and input that cannot be prepared."""

import errno
import json
import os
import threading
import time
from dataclasses import replace

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from scipy import ndimage

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.split import check_leakage
from clamnet_tf.errors import DataError, EnvironmentFailure, ImageError
from clamnet_tf.preprocessing.cache import default_cache, prepare
from clamnet_tf.preprocessing.crop import CropBox
from clamnet_tf.recipe.schema_data import DataSection, OrganSection

RAW = {"data": DataSection(side=48, normalization="none"), "organ": OrganSection(method="none", margin=0.0)}
USUAL = {"data": DataSection(side=32), "organ": OrganSection()}


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def cases_of(paths, **columns):
    """A manifest with one case per path, of one patient."""
    cases = tuple(
        Case(image=path, patient="p", label=0, **{k: v[n] for k, v in columns.items()})
        for n, path in enumerate(paths)
    )
    return Manifest(paths[0].parent, cases)


@pytest.fixture
def square(tmp_path, make_head):
    """Three 48 x 48 RGB slices of one series, as PNG, listed out of order: positions 30, 10, 20."""
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"s{number}.png")
        Image.fromarray(make_head(height=48, width=48)).save(paths[-1])
    return cases_of(paths, position=[30.0, 10.0, 20.0], series=["s"] * 3)


def test_untouched_values_and_order(square, cache):
    prepared = prepare(square, **RAW, cache=cache)
    assert prepared.images.shape == (3, 48, 48, 3) and prepared.images.dtype == np.float16
    assert (
        prepared.organ.shape == (3, 48, 48) and prepared.organ.dtype == np.uint8 and prepared.organ.min() == 1
    )
    assert prepared.table.case.tolist() == [1, 2, 0] and prepared.table.position.tolist() == [0.0, 0.5, 1.0]
    for row, case in enumerate([1, 2, 0]):
        np.testing.assert_array_equal(prepared.images[row], np.asarray(Image.open(square.cases[case].image)))
    assert not prepared.images.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        prepared.images[0] = 0


def test_statistics_are_those_of_the_volume_inside_the_organ(square, cache):
    section = DataSection(side=48, normalization="zscore")
    prepared = prepare(square, data=section, organ=OrganSection(method="none", margin=0.0), cache=cache)
    images = np.asarray(prepared.images, np.float64)
    np.testing.assert_allclose(images.mean((0, 1, 2)), 0, atol=2e-3)
    np.testing.assert_allclose(images.std((0, 1, 2)), 1, atol=2e-3)
    original = np.stack([np.asarray(Image.open(square.cases[case].image), np.float64) for case in (1, 2, 0)])
    expected = (original - original.mean((0, 1, 2))) / original.std((0, 1, 2))
    np.testing.assert_allclose(images, np.clip(expected, -5, 5), atol=4e-3)


def test_surroundings_are_kept_or_blank_and_the_organ_stays(square, cache):
    blank = prepare(square, **USUAL, cache=cache)
    kept = prepare(square, data=USUAL["data"], organ=OrganSection(surroundings="kept"), cache=cache)
    np.testing.assert_array_equal(kept.organ, blank.organ)
    inside = ndimage.binary_erosion(
        np.asarray(blank.organ) > 0, np.ones((1, 3, 3))
    )  # resizing mixes the organ's edge
    np.testing.assert_array_equal(np.asarray(kept.images)[inside], np.asarray(blank.images)[inside])
    far = ~ndimage.binary_dilation(np.asarray(blank.organ) > 0, np.ones((1, 5, 5)))
    assert far.any() and not np.asarray(blank.images)[far].any() and np.asarray(kept.images)[far].any()


def test_channels_are_chosen(square, cache):
    whole = prepare(square, **RAW, cache=cache)
    chosen = prepare(
        square,
        data=DataSection(side=48, normalization="none", channels=[2, 0]),
        organ=RAW["organ"],
        cache=cache,
    )
    np.testing.assert_array_equal(chosen.images, whole.images[..., [2, 0]])


def test_kaggle_3m(make_kaggle, cache):
    manifest = recognize(make_kaggle(slices=6))
    seen = []
    prepared = prepare(
        manifest, **USUAL, cache=cache, progress=lambda done, total: seen.append((done, total))
    )
    table = prepared.table
    assert seen == [(6, 12), (12, 12)]
    assert len(table) == 12 and table.volume.tolist() == [0] * 6 + [1] * 6
    np.testing.assert_allclose(table.position, np.tile(np.arange(6) / 5, 2))
    blank = table.area == 0
    assert blank.tolist() == ([True] + [False] * 5) * 2
    assert (table.pixel_hash == "").tolist() == blank.tolist() and not prepared.organ[blank].any()
    assert len(set(table.pixel_hash[~blank])) == 10
    assert (table.label == np.tile([0, 0, 1, 1, 0, 0], 2)).all() and set(table.site) == {"CS", "DU"}
    assert np.isnan(table.eta).all() and np.isnan(table.spacing).all() and set(table.split) == {""}
    assert all(len(np.unique(table.box[table.volume == volume], axis=0)) == 1 for volume in (0, 1))
    check_leakage(manifest_with(manifest, split="train"), table.hashes())


def manifest_with(manifest, **changes):
    return replace(manifest, cases=tuple(replace(case, **changes) for case in manifest.cases))


def test_area_box_and_organ_belong_to_the_original_grid(make_kaggle, cache):
    manifest = recognize(make_kaggle(patients=("TCGA_CS_0001_19990101",)))
    prepared = prepare(manifest, **USUAL, cache=cache)
    _top, _left, size, height, width = prepared.table.box[2]
    assert (height, width) == (48, 40)
    ellipse = np.pi * 0.4**2  # of the picture
    assert prepared.table.area[2] == pytest.approx(ellipse, rel=0.25)
    assert 0.8 * 48 <= size <= 0.8 * 48 * 1.2 + 4
    box = CropBox(*(int(value) for value in prepared.table.box[2]))
    back = box.restore(prepared.organ[2].astype(np.float32), nearest=True)
    assert abs(back.mean() - prepared.table.area[2]) < 0.03


def test_second_run_opens_the_same(make_kaggle, cache):
    manifest = recognize(make_kaggle())
    first = prepare(manifest, **USUAL, cache=cache)
    seen = []
    second = prepare(manifest, **USUAL, cache=cache, progress=lambda *counts: seen.append(counts))
    assert (first.reused, second.reused, seen) == (False, True, [])
    assert first.key == second.key and first.folder == second.folder
    np.testing.assert_array_equal(first.images, second.images)
    for name in ("position", "area", "box", "pixel_hash", "spacing"):
        np.testing.assert_array_equal(getattr(first.table, name), getattr(second.table, name))


def test_labels_sites_and_split_are_joined_and_not_part_of_the_key(make_kaggle, cache):
    manifest = recognize(make_kaggle())
    first = prepare(manifest, **USUAL, cache=cache)
    second = prepare(manifest_with(manifest, label=1, site="Z", eta=0.5, split="val"), **USUAL, cache=cache)
    assert second.reused and second.folder == first.folder
    table = second.table
    assert (
        set(table.label) == {1}
        and set(table.site) == {"Z"}
        and set(table.eta) == {0.5}
        and set(table.split) == {"val"}
    )


CAUSES = {
    "side": {"data": DataSection(side=48)},
    "normalization": {"data": DataSection(side=32, normalization="percentile")},
    "channels": {"data": DataSection(side=32, channels=[1])},
    "window": {"data": DataSection(side=32, window={"center": 60.0, "width": 120.0})},
    "organ": {"organ": OrganSection(method="none")},
    "margin": {"organ": OrganSection(margin=0.3)},
    "surroundings": {"organ": OrganSection(surroundings="kept")},
}


@pytest.mark.parametrize("change", CAUSES.values(), ids=CAUSES.keys())
def test_settings_that_affect_the_slices_change_the_key(make_kaggle, cache, change):
    manifest = recognize(make_kaggle(patients=("TCGA_CS_0001_19990101",), slices=3))
    first = prepare(manifest, **USUAL, cache=cache)
    second = prepare(manifest, **(USUAL | change), cache=cache)
    assert not second.reused and second.key != first.key


def test_settings_that_do_not_affect_them_keep_it(square, cache):
    first = prepare(square, **RAW, cache=cache)
    other = DataSection(
        side=48,
        normalization="none",
        minimum_organ_fraction=0.5,
        split={"train": 0.1, "val": 0.2, "test": 0.7},
    )
    assert prepare(square, data=other, organ=RAW["organ"], cache=cache).folder == first.folder


def test_a_changed_file_is_noticed(square, cache, make_head):
    first = prepare(square, **RAW, cache=cache)
    Image.fromarray(make_head(height=48, width=48)).save(square.cases[0].image)
    second = prepare(square, **RAW, cache=cache)
    assert not second.reused and second.key != first.key


def test_equal_content_elsewhere_shares_the_cache(square, cache, tmp_path):
    first = prepare(square, **RAW, cache=cache)
    (tmp_path / "copy").mkdir()
    for case in square.cases:
        (tmp_path / "copy" / case.image.name).write_bytes(case.image.read_bytes())
    moved = Manifest(
        tmp_path / "copy",
        tuple(replace(case, image=tmp_path / "copy" / case.image.name) for case in square.cases),
    )
    second = prepare(moved, **RAW, cache=cache)
    assert second.reused and second.folder == first.folder
    assert second.table.image[0] == str(tmp_path / "copy" / "s1.png")


@pytest.mark.parametrize("victim", ["meta.json", "table.csv", "images.npy"])
def test_a_damaged_cache_is_made_again(square, cache, victim):
    first = prepare(square, **RAW, cache=cache)
    images = first.images.copy()
    content = (first.folder / victim).read_bytes()
    (first.folder / victim).write_bytes(content[: len(content) // 2])
    second = prepare(square, **RAW, cache=cache)
    assert not second.reused
    np.testing.assert_array_equal(second.images, images)


def no_locks(file, operation):
    raise OSError(errno.ENOLCK, "no locks here")


def test_two_at_once_on_a_file_system_without_locks_do_not_disturb_each_other(square, cache, monkeypatch):
    monkeypatch.setattr("fcntl.flock", no_locks)
    both_are_writing, results = threading.Barrier(2, timeout=20), []

    def run():
        results.append(
            prepare(square, **RAW, cache=cache, progress=lambda done, total: both_are_writing.wait())
        )

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2 and results[0].folder == results[1].folder
    assert sorted(result.reused for result in results) == [False, True]
    np.testing.assert_array_equal(results[0].images, results[1].images)
    assert not list(cache.glob(".writing-*"))


def test_leftovers_of_killed_runs_go_after_a_day(square, cache):
    for name, age in ((".writing-old", 25), (".writing-new", 1)):
        (cache / name / "prepared-x").mkdir(parents=True)
        os.utime(cache / name, (time.time() - age * 3600,) * 2)
    prepare(square, **RAW, cache=cache)
    assert sorted(path.name for path in cache.glob(".writing-*")) == [".writing-new"]


# volumes


def test_files_without_series_and_position_are_volumes_of_their_own(square, cache):
    loose = manifest_with(square, series=None, position=None)
    table = prepare(loose, **RAW, cache=cache).table
    assert table.volume.tolist() == [0, 1, 2] and table.position.tolist() == [0.5] * 3


def test_several_series_of_a_patient(square, cache):
    cases = square.cases
    parted = replace(square, cases=(cases[0], replace(cases[1], series="t"), cases[2]))
    table = prepare(parted, **RAW, cache=cache).table
    assert table.case.tolist() == [2, 0, 1] and table.volume.tolist() == [0, 0, 1]
    assert table.series.tolist() == ["s", "s", "t"] and table.position.tolist() == [0.0, 1.0, 0.5]


def test_series_without_positions_goes_by_natural_names(tmp_path, make_head, cache):
    paths = [tmp_path / f"slice{number}.png" for number in (10, 9, 2)]
    for path in paths:
        Image.fromarray(make_head(height=48, width=48)).save(path)
    assert prepare(cases_of(paths, series=["s"] * 3), **RAW, cache=cache).table.case.tolist() == [2, 1, 0]


@pytest.fixture
def nifti(tmp_path, rng):
    """A NIfTI volume of 5 slices of 48 x 48, spacing 2 x 2 x 4 mm; its path."""
    path = tmp_path / "v.nii.gz"
    image = nibabel.Nifti1Image(rng.normal(100, 9, (48, 48, 5)).astype(np.float32), np.diag([2, 2, 4, 1]))
    nibabel.save(image, path)
    return path


def test_nifti_volume_whole(nifti, cache):
    table = prepare(cases_of([nifti]), **USUAL | {"organ": RAW["organ"]}, cache=cache).table
    assert table.slice_index.tolist() == [0, 1, 2, 3, 4] and table.position.tolist() == [
        0,
        0.25,
        0.5,
        0.75,
        1,
    ]
    np.testing.assert_allclose(table.spacing, np.tile([4.0, 2.0, 2.0], (5, 1)))


def test_where_no_brain_is_found_the_account_says_so(tmp_path, rng, cache):
    """A stripped brain, and a disc of bars thinner than any brain: its organ is the foreground without its
    own rim, not the recipe's.
    """
    rows, columns = np.mgrid[:96, :96]
    disc = (rows - 48) ** 2 + (columns - 48) ** 2 < 40**2
    bars = np.where(columns % 6 < 2, 15.0, 100.0)
    paths = []
    for name, inside in (("brain", 100.0), ("bars", bars)):
        slices = np.stack([disc * inside] * 4, axis=-1) + rng.normal(0, 1, (96, 96, 4))
        paths.append(tmp_path / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(slices.astype(np.float32), np.diag([2, 2, 4, 1])), paths[-1])
    both = Manifest(tmp_path, tuple(Case(path, path.name, 0) for path in paths))
    expected = (
        f"No plausible brain in 4 slices of 1 of 2 volumes (first {paths[1]}): there the foreground "
        f"without its rim is the organ."
    )
    prepared = prepare(
        both, data=DataSection(side=48), organ=OrganSection(method="brain", rim=0.2), cache=cache
    )
    assert prepared.account == (expected,)
    assert prepared.table.area[:4] == pytest.approx(disc.mean() * 0.6**2, rel=0.06)
    assert prepared.table.area[4:] == pytest.approx(disc.mean() * 0.86**2, rel=0.06)
    again = prepare(both, data=DataSection(side=48), organ=OrganSection(method="brain", rim=0.2), cache=cache)
    assert again.reused and again.account == (expected,)
    assert prepare(both, data=DataSection(side=48), organ=OrganSection(), cache=cache).account == ()


def test_nifti_slices_get_the_statistics_of_the_whole_volume(nifti, cache):
    whole = prepare(cases_of([nifti]), **USUAL | {"organ": RAW["organ"]}, cache=cache)
    single = Manifest(nifti.parent, (Case(nifti, "p", 1, slice_index=3), Case(nifti, "p", 0, slice_index=1)))
    some = prepare(single, **USUAL | {"organ": RAW["organ"]}, cache=cache)
    assert some.table.slice_index.tolist() == [1, 3] and some.table.label.tolist() == [0, 1]
    np.testing.assert_array_equal(some.images, whole.images[[1, 3]])


def test_dicom_files_of_a_series_get_the_spacing_of_their_positions(tmp_path, cache):
    sample = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    sample.SliceThickness = 1.0
    paths = []
    for height in (0.0, 2.5, 5.0):
        sample.SOPInstanceUID = sample.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        sample.ImagePositionPatient = [0, 0, height]
        paths.append(tmp_path / f"{height}.dcm")
        sample.save_as(paths[-1])
    manifest = cases_of(paths, series=["s"] * 3, position=[0.0, 2.5, 5.0])
    table = prepare(manifest, **USUAL | {"organ": RAW["organ"]}, cache=cache).table
    rows, columns = (float(value) for value in sample.PixelSpacing)
    np.testing.assert_allclose(table.spacing, np.tile([2.5, rows, columns], (3, 1)))


def test_given_organ(square, cache, tmp_path):
    organ = np.zeros((48, 48), np.uint8)
    organ[8:24, 16:40] = 1
    Image.fromarray(organ).save(tmp_path / "organ.png")
    section = OrganSection(method="given", margin=0.0)
    prepared = prepare(
        manifest_with(square, organ=tmp_path / "organ.png"),
        data=DataSection(side=24),
        organ=section,
        cache=cache,
    )
    assert prepared.table.area.tolist() == [16 * 24 / 48**2] * 3
    assert prepared.table.box[0, 2] == 24 and prepared.organ.mean() == pytest.approx(16 / 24)
    with pytest.raises(DataError, match="organ.method is 'given', but the manifest has no organ mask"):
        prepare(square, data=DataSection(side=24), organ=section, cache=cache)


# what cannot be prepared


def failure(manifest, cache, kind, **sections):
    """The message of the error; the cache holds nothing but its memo afterwards."""
    with pytest.raises(kind) as caught:
        prepare(manifest, **(RAW | sections), cache=cache)
    assert {path.name.split("-")[0] for path in cache.iterdir()} <= {"contents"}
    return str(caught.value)


def test_different_channel_counts(tmp_path, make_head, cache):
    Image.fromarray(make_head(height=48, width=48)).save(tmp_path / "colour.png")
    Image.fromarray(make_head(height=48, width=48, channels=1)).save(tmp_path / "grey.png")
    manifest = cases_of([tmp_path / "colour.png", tmp_path / "grey.png"])
    text = failure(manifest, cache, DataError)
    assert (
        "images of different channel counts" in text
        and "colour.png has 3" in text
        and "grey.png has 1" in text
    )
    text = failure(manifest_with(manifest, series="s"), cache, DataError)
    assert "slices of one series differ in channel count" in text
    assert prepare(
        manifest,
        data=DataSection(side=48, normalization="none", channels=[0]),
        organ=RAW["organ"],
        cache=cache,
    ).images.shape == (2, 48, 48, 1)


def test_a_channel_that_is_not_there(square, cache):
    text = failure(square, cache, DataError, data=DataSection(side=48, channels=[0, 3]))
    assert "s1.png: data.channels asks for channel 3, the image has 3 (0..2)" in text


def test_different_sizes_in_a_series(tmp_path, make_head, cache):
    for name, side in (("a.png", 48), ("b.png", 40)):
        Image.fromarray(make_head(height=side, width=48)).save(tmp_path / name)
    text = failure(cases_of([tmp_path / "a.png", tmp_path / "b.png"], series=["s", "s"]), cache, DataError)
    assert "differ in size" in text and "a.png has 48 x 48" in text and "b.png has 40 x 48" in text


def test_a_slice_that_is_not_there(nifti, cache):
    manifest = Manifest(nifti.parent, (Case(nifti, "p", 1, slice_index=5),))
    assert "slice 5 is asked for, the file has 5 slice(s), numbered 0 to 4" in failure(
        manifest, cache, DataError
    )


def test_nan_image(tmp_path, cache):
    np.save(tmp_path / "n.npy", np.full((48, 48), np.nan, np.float32))
    assert str(tmp_path / "n.npy") in failure(cases_of([tmp_path / "n.npy"]), cache, ImageError)


def test_truncated_image(square, cache):
    path = square.cases[2].image
    path.write_bytes(path.read_bytes()[:200])
    assert str(path) in failure(square, cache, ImageError)


def test_values_too_large_for_the_cache(tmp_path, rng, cache):
    np.save(tmp_path / "n.npy", rng.uniform(0, 1e6, (48, 48)).astype(np.float32))
    text = failure(cases_of([tmp_path / "n.npy"]), cache, DataError)
    assert "exceed 65504" in text and "use zscore" in text


def test_a_cache_that_cannot_be_written(square, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFailure, match="file"):
        prepare(square, **RAW, cache=tmp_path / "file" / "cache")


def test_an_image_that_disappeared(square, cache):
    square.cases[0].image.unlink()
    assert "cannot be read: No such file" in failure(square, cache, DataError)


def test_volume_without_any_content(tmp_path, cache):
    tifffile.imwrite(tmp_path / "black.tif", np.zeros((32, 32), np.uint8))
    prepared = prepare(cases_of([tmp_path / "black.tif"]), **USUAL, cache=cache)
    assert (
        prepared.table.area.tolist() == [0.0]
        and np.isfinite(prepared.images).all()
        and not prepared.organ.any()
    )


@pytest.mark.parametrize("organ", [OrganSection(method="none"), OrganSection()], ids=["none", "foreground"])
def test_a_constant_slice_is_empty_but_stays(tmp_path, make_head, cache, organ):
    for name, image in (
        ("1.png", make_head()),
        ("2.png", np.full((48, 40, 3), 77, np.uint8)),
        ("3.png", make_head()),
    ):
        Image.fromarray(image).save(tmp_path / name)
    manifest = cases_of([tmp_path / f"{n}.png" for n in (1, 2, 3)], series=["s"] * 3)
    prepared = prepare(manifest, data=DataSection(side=32), organ=organ, cache=cache)
    assert prepared.table.area[1] == 0 and not prepared.organ[1].any() and prepared.table.pixel_hash[1] == ""
    assert (prepared.table.area[[0, 2]] > 0.3).all()


def test_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CLAMNET_TF_CACHE", str(tmp_path / "c"))
    assert default_cache() == tmp_path / "c"
    monkeypatch.delenv("CLAMNET_TF_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "clamnet_tf"


def test_meta_says_how_it_was_made(square, cache):
    prepared = prepare(square, **RAW, cache=cache)
    meta = json.loads((prepared.folder / "meta.json").read_text())
    assert meta["key"] == prepared.key and meta["shape"] == [3, 48, 48, 3] and meta["data"]["side"] == 48


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_picture_of_8_bits_shows_the_window_already_and_deeper_files_do_not(tmp_path, cache, rng, suffix):
    shades = rng.integers(0, 256, (48, 48)).astype(np.uint8)
    Image.fromarray(shades).save(tmp_path / f"shades.{suffix}")
    units = 40.0 + (shades / 255.0 - 0.5) * 120.0  # what the window 40, 120 shows as these shades
    np.save(tmp_path / "units.npy", units)
    if suffix == "png":
        Image.fromarray(shades.astype(np.uint16)).save(tmp_path / "deep.png")
    else:
        tifffile.imwrite(tmp_path / "deep.tif", shades.astype(np.uint16))
    data = DataSection(side=48, normalization="window", window={"center": 40, "width": 120})
    found = {
        name: prepare(cases_of([tmp_path / name]), data=data, organ=RAW["organ"], cache=cache)
        for name in (f"shades.{suffix}", "units.npy", f"deep.{suffix}")
    }
    of = {name: one.images[0, ..., 0].astype(np.float32) for name, one in found.items()}
    said = "1 of 1 volumes are pictures of 8 bits, which are taken to show data.window already."
    assert [one.account for one in found.values()] == [(said,), (), ()]
    np.testing.assert_allclose(of[f"shades.{suffix}"], shades / 255.0, atol=0.0005)
    np.testing.assert_allclose(
        of["units.npy"], shades / 255.0, atol=0.009
    )  # DICOM's LINEAR is half a unit off
    np.testing.assert_allclose(of[f"deep.{suffix}"], np.clip((shades + 20.0) / 120.0, 0, 1), atol=0.009)
