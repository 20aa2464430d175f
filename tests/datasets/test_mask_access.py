"""The mask firewall, and masks on both grids."""

import threading

import numpy as np
import pytest
import tifffile

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.split import split_manifest
from clamnet_tf.errors import DataError, ImageError, MaskAccessError
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.preprocessing.mask_access import is_closed, mask_firewall, open_masks
from clamnet_tf.recipe.schema_data import DataSection, OrganSection, SplitSection

SECTIONS = {"data": DataSection(side=40), "organ": OrganSection(method="none", margin=0.0)}
TRUTH = np.zeros((48, 40), bool)
TRUTH[24:30, 20:26] = True  # what conftest.make_kaggle draws


@pytest.fixture
def kaggle(make_kaggle, tmp_path):
    manifest = recognize(make_kaggle())
    return manifest, prepare(manifest, **SECTIONS, cache=tmp_path / "cache")


def test_masks_on_the_original_grid(kaggle):
    masks = open_masks(*kaggle, [2, 0, 9], "evaluation", "original")
    np.testing.assert_array_equal(masks, [TRUTH, np.zeros_like(TRUTH), TRUTH])
    assert masks[0].dtype == np.uint8


def test_masks_on_the_prepared_grid_lie_on_their_lesion(kaggle):
    manifest, prepared = kaggle
    rows = np.flatnonzero(prepared.table.label == 1)
    masks = open_masks(manifest, prepared, rows, "supervision", "prepared")
    assert all(mask.shape == (40, 40) and mask.dtype == np.uint8 for mask in masks)
    images = np.asarray(prepared.images, np.float32)[rows].mean(-1)
    inside = prepared.organ[rows].astype(bool) & (images > 0)
    assert (
        np.mean(
            [
                image[mask > 0].mean() - image[organ & (mask == 0)].mean()
                for image, mask, organ in zip(images, masks, inside)
            ]
        )
        > 0.8
    )
    share = np.mean(masks) * 48 * 48  # the box of a 48 x 40 image is 48 x 48
    assert share == pytest.approx(36, rel=0.2)


def asked(kaggle):
    return open_masks(*kaggle, [2], "evaluation", "original")


def test_firewall_closes_and_opens_again(kaggle):
    with mask_firewall():
        with pytest.raises(MaskAccessError, match="_3.tif was asked for .*firewall is closed"):
            asked(kaggle)
    assert asked(kaggle)[0].any()


def test_firewall_nests_and_survives_errors(kaggle):
    with mask_firewall():
        with pytest.raises(ZeroDivisionError), mask_firewall():
            raise ZeroDivisionError
        assert is_closed()
        with pytest.raises(MaskAccessError):
            asked(kaggle)
    assert not is_closed() and asked(kaggle)[0].any()


def test_firewall_holds_in_threads_that_ran_before_it_was_closed(kaggle):
    closed, answers = threading.Event(), []

    def work():
        closed.wait(10)
        try:
            answers.append(asked(kaggle))
        except MaskAccessError as error:
            answers.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    with mask_firewall():
        closed.set()
        thread.join()
    assert isinstance(answers[0], MaskAccessError)


def test_firewall_of_another_thread_holds_here_until_both_are_left(kaggle):
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with mask_firewall():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    with mask_firewall():
        pass
    with pytest.raises(MaskAccessError):
        asked(kaggle)
    leave.set()
    thread.join()
    assert asked(kaggle)[0].any()


def test_supervision_may_not_see_test_patients(make_kaggle, tmp_path):
    names = tuple(f"TCGA_CS_000{number}_19990101" for number in range(5))
    manifest = split_manifest(
        recognize(make_kaggle(patients=names)), SplitSection(train=0.4, val=0.2, test=0.4)
    )
    prepared = prepare(manifest, **SECTIONS, cache=tmp_path / "cache")
    held_out = np.flatnonzero(prepared.table.split == "test")
    with pytest.raises(MaskAccessError, match="masks of 12 test slices"):
        open_masks(manifest, prepared, held_out, "supervision", "prepared")
    assert len(open_masks(manifest, prepared, held_out, "evaluation", "prepared")) == 12
    assert (
        len(
            open_masks(
                manifest, prepared, np.flatnonzero(prepared.table.split != "test"), "supervision", "prepared"
            )
        )
        == 18
    )


def test_missing_masks_are_empty_for_normal_slices_and_unknown_for_others(make_pictures, tmp_path):
    root = make_pictures({"a.png": {}, "b.png": {}, "c.png": {}})
    manifest = Manifest(
        root,
        tuple(Case(root / f"{name}.png", name, label) for name, label in (("a", 0), ("b", 1), ("c", None))),
    )
    prepared = prepare(manifest, **SECTIONS, cache=tmp_path / "cache")
    normal, abnormal, unknown = open_masks(manifest, prepared, [0, 1, 2], "evaluation", "original")
    assert normal.shape == (48, 40) and not normal.any() and abnormal is None and unknown is None


def test_slices_of_a_stack(tmp_path, rng):
    stack, masks = rng.integers(0, 200, (3, 32, 32)).astype(np.uint8), np.zeros((3, 32, 32), np.uint8)
    masks[1, 4:8, 4:8] = 1
    tifffile.imwrite(tmp_path / "v.tif", stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "m.tif", masks, photometric="minisblack")
    manifest = Manifest(tmp_path, (Case(tmp_path / "v.tif", "p", 1, mask=tmp_path / "m.tif"),))
    prepared = prepare(manifest, **SECTIONS, cache=tmp_path / "cache")
    np.testing.assert_array_equal(
        open_masks(manifest, prepared, [0, 1, 2], "evaluation", "original"), masks > 0
    )


def test_a_mask_of_another_size(kaggle):
    tifffile.imwrite(kaggle[0].cases[2].mask, np.zeros((30, 40), np.uint8))
    with pytest.raises(
        DataError,
        match=r"mask of shape \(1, 30, 40\) .* does not fit slice 0 of .*_3.tif, which has 48 rows and 40 "
        r"columns",
    ):
        asked(kaggle)


def test_a_damaged_mask(kaggle):
    kaggle[0].cases[2].mask.write_bytes(b"II*\0rubbish")
    with pytest.raises(ImageError, match="_3_mask.tif"):
        asked(kaggle)


def test_unknown_purpose(kaggle):
    with pytest.raises(ValueError, match="purpose is one of"):
        open_masks(*kaggle, [0], "training", "original")


def test_255_has_one_meaning_in_a_data_set(kaggle):
    manifest, prepared = kaggle
    ignoring = np.zeros((48, 40), np.uint8)
    ignoring[10:20, 10:20], ignoring[24:30, 20:26] = 255, 1
    tifffile.imwrite(manifest.cases[2].mask, ignoring)
    [mask] = open_masks(manifest, prepared, [2], "supervision", "original")
    assert (mask == 255).sum() == 100 and (mask == 1).sum() == 36
    same = [
        row for row in range(len(prepared.table)) if prepared.table.patient[row] == manifest.cases[2].patient
    ]
    with pytest.raises(DataError, match="_mask.tif: holds 0 and 255 alone, .*of the same data set"):
        open_masks(manifest, prepared, same, "evaluation", "original")
