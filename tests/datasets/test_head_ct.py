"""The simulated head CT with haemorrhage of two kinds: values of masks, labels and Hounsfield units.

Neither heights nor intensities may reveal the label.
"""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from clamnet_tf.datasets.manifest import read_manifest
from clamnet_tf.datasets.slice_numbers import volume_slice
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.organs.cranium import cranium
from clamnet_tf.recipe.schema_data import CohortSection
from clamnet_tf.simulation import head_ct
from clamnet_tf.simulation.cohorts import cohort_key, write_cohort

SECTION = CohortSection(kind="head_ct", patients=4, slices=6, side=56, seed=5)
BRAIN, SKULL = head_ct.INTRAPARENCHYMAL, head_ct.SUBDURAL


@pytest.fixture(scope="module")
def scans():
    """Return twenty-four patients on coarse pixels: every kind twice per scanner."""
    return [head_ct.simulate_patient(index, slices=10, side=56, seed=2022) for index in range(24)]


def test_files_hold_what_was_simulated_and_the_same_section_gives_the_same_bytes(tmp_path):
    manifest = write_cohort(SECTION, tmp_path / "one")
    for index in range(2, 4):
        scan = head_ct.simulate_patient(index, slices=6, side=56, seed=5)
        own = [case for case in manifest.cases if case.patient == scan.name]
        volume = read_volume(own[0].image)
        viewed = np.hypot(scan.space.y[0], scan.space.x[0]) < 56 * scan.space.pixel_mm / 2
        np.testing.assert_allclose(volume.array[..., 0][:, viewed], scan.hu[:, viewed], atol=0.501)
        np.testing.assert_array_equal(read_mask(own[0].mask, 2).values, scan.mask)
        for number, case in enumerate(sorted(own, key=lambda case: case.position)):
            assert volume_slice(case.image, volume, case.slice_index) == number
            values = set(scan.mask[number].ravel().tolist()) - {0}
            assert case.label == bool(values) and case.markers == tuple(
                sorted(head_ct.CLASS_NAMES[value - 1] for value in values)
            )
    write_cohort(SECTION, tmp_path / "two")
    for path in sorted((tmp_path / "one").rglob("*")):
        assert (
            path.is_dir()
            or path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        )
    assert read_manifest(tmp_path / "one" / cohort_key(SECTION) / "manifest.csv").cases == manifest.cases


def test_patients_have_the_bleeds_of_their_kind(scans):
    for index, scan in enumerate(scans):
        assert set(np.unique(scan.mask).tolist()) - {0} == set(head_ct.kinds_of(index)), scan.name
        assert not (scan.mask > 0)[~scan.organ].any() and (scan.mask == 0).all(axis=(1, 2)).any()
    assert {(head_ct.kinds_of(index), scan.scanner.site) for index, scan in enumerate(scans)} == {
        (kind, site) for kind in ((BRAIN,), (SKULL,), (BRAIN, SKULL), ()) for site in "AB"
    }


def test_one_kind_lies_within_the_brain_and_the_other_under_the_skull(scans):
    depths = {BRAIN: [], SKULL: []}
    for scan in scans:
        for kind in np.unique(scan.mask[scan.mask > 0]):
            for mask, organ in zip(scan.mask == kind, scan.organ):
                if mask.any():
                    depths[kind].append(
                        np.median(ndimage.distance_transform_edt(organ)[mask]) * scan.space.pixel_mm
                    )
    assert np.percentile(depths[BRAIN], 10) > 9 > np.percentile(depths[SKULL], 90), {
        kind: np.percentile(values, [5, 10, 90, 95]) for kind, values in depths.items()
    }


def test_blood_is_denser_than_brain_and_neither_kind_denser_than_the_other(scans):
    away = [
        ndimage.binary_erosion(scan.organ, np.ones((1, 5, 5))) for scan in scans
    ]  # from bone, which these coarse pixels hold a share of
    found = {
        kind: [
            np.median(scan.hu[one])
            for scan, far in zip(scans, away)
            if (one := (scan.mask == kind) & far).sum() > 5
        ]
        for kind in (BRAIN, SKULL)
    }
    healthy = [np.median(scan.hu[far & (scan.mask == 0)]) for scan, far in zip(scans, away)]
    assert min(healthy) > 25 and max(healthy) < 42
    assert min(found[BRAIN] + found[SKULL]) > 40 and max(found[BRAIN] + found[SKULL]) < 90, found
    assert abs(np.mean(found[BRAIN]) - np.mean(found[SKULL])) < 8, found


def test_height_site_and_brightness_do_not_tell_which_kind(scans):
    height, site = (
        np.tile(np.linspace(0, 1, 10), len(scans)),
        np.repeat([scan.scanner.site == "B" for scan in scans], 10),
    )
    bright = np.concatenate(
        [
            [values[organ].mean() if organ.any() else 0 for values, organ in zip(scan.hu, scan.organ)]
            for scan in scans
        ]
    )
    for kind in (BRAIN, SKULL):
        label = np.concatenate([(scan.mask == kind).any(axis=(1, 2)) for scan in scans])
        found = {name: roc_auc_score(label, cue) for name, cue in (("height", height), ("site", site))}
        assert all(abs(value - 0.5) < 0.17 for value in found.values()), (kind, found)
    both = np.concatenate([scan.mask.any(axis=(1, 2)) for scan in scans])
    assert abs(roc_auc_score(both, bright) - 0.5) < 0.3


def test_no_cut_finds_a_kind(scans):
    """The best threshold with hindsight for all patients, inside the true organ, fails on raw and smoothed
    values.
    """
    for sigma in (0.0, 1.0):
        seen = [ndimage.gaussian_filter(scan.hu, (0, sigma, sigma)) for scan in scans]
        for kind in (BRAIN, SKULL):
            scores = []
            for values, scan in zip(seen, scans):
                truth = scan.mask == kind
                marked = [scan.organ & (values > cut) for cut in np.linspace(38, 80, 22)]
                scores.append(
                    [2 * (one & truth).sum() / max(1, one.sum() + truth.sum()) for one in marked]
                    if truth.any()
                    else [np.nan] * 22
                )
            assert np.nanmax(np.nanmean(scores, axis=0)) < 0.5


def test_the_cranium_is_found_and_keeps_most_of_the_blood():
    for index in (0, 2):
        scan = head_ct.simulate_patient(index, slices=12, side=112, seed=2022)
        found, blood = cranium(scan.hu[..., None]), scan.mask > 0
        assert 2 * (found & scan.organ).sum() / (found.sum() + scan.organ.sum()) > 0.93
        assert (blood & ~found).sum() < 0.25 * blood.sum()
