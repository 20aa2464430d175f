"""The cohorts of simulated CT and X-ray: files, repeatability, Hounsfield units, and labels that nothing else
reveals.
"""

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from clamnet_tf.datasets.manifest import read_manifest
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.recipe.schema_data import CohortSection
from clamnet_tf.simulation import abdomen_ct, bone_xray, chest_ct
from clamnet_tf.simulation.cohorts import COHORTS, cohort_key, write_cohort

SMALL = {
    "chest_ct": CohortSection(kind="chest_ct", patients=4, slices=6, side=56, seed=5),
    "abdomen_ct": CohortSection(kind="abdomen_ct", patients=4, slices=6, side=56, seed=5),
    "bone_xray": CohortSection(kind="bone_xray", patients=4, slices=2, side=56, seed=5),
}
CT = {"chest_ct": chest_ct, "abdomen_ct": abdomen_ct}
each_kind = pytest.mark.parametrize("kind", SMALL)
each_ct = pytest.mark.parametrize("kind", CT)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return {kind: (folder, manifest) of a small cohort}."""
    folder = tmp_path_factory.mktemp("cohorts")
    return {kind: (folder, write_cohort(section, folder)) for kind, section in SMALL.items()}


@pytest.fixture(scope="module")
def scans():
    """Return {kind: simulated patients on coarse pixels}."""
    return {
        kind: [module.simulate_patient(index, slices=10, side=56, seed=2022) for index in range(14)]
        for kind, module in CT.items()
    }


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_table_is_the_schema():
    assert set(COHORTS) == set(CohortSection.model_json_schema()["properties"]["kind"]["enum"])


@each_kind
def test_same_section_same_bytes(written, tmp_path, kind):
    folder, manifest = written[kind]
    write_cohort(SMALL[kind], tmp_path)
    assert files(tmp_path / cohort_key(SMALL[kind])) == files(folder / cohort_key(SMALL[kind]))
    other = SMALL[kind].model_copy(update={"seed": 6})
    assert cohort_key(other) != cohort_key(SMALL[kind])
    assert read_manifest(manifest.root / "manifest.csv").cases == manifest.cases


@each_kind
def test_labels_say_whether_the_mask_is_empty_and_sites_have_both(written, kind):
    _, manifest = written[kind]
    for case in manifest.cases:
        mask = read_mask(case.mask).values
        heights = (
            sorted(other.position for other in manifest.cases if other.image == case.image)
            if len(mask) > 1
            else [case.position]
        )
        assert case.label == int(mask[heights.index(case.position)].any())
    assert {(case.site, case.label) for case in manifest.cases} == {("A", 0), ("A", 1), ("B", 0), ("B", 1)}


@each_ct
def test_every_patient_has_normal_and_abnormal_slices(scans, kind):
    for scan in scans[kind]:
        abnormal = scan.mask.any(axis=(1, 2))
        assert 0 < abnormal.sum() < len(abnormal), scan.name
        assert not (scan.mask & ~scan.organ).any(), scan.name


@each_ct
def test_hounsfield_units_survive_the_files(written, kind):
    """Values equal pydicom's own modality LUT, sorted by position by hand, and the simulated values."""
    section = SMALL[kind]
    for index in range(2):
        scan = CT[kind].simulate_patient(index, slices=section.slices, side=section.side, seed=section.seed)
        folder = written[kind][1].root / scan.name / "ct"
        datasets = sorted(
            (pydicom.dcmread(path) for path in folder.iterdir()),
            key=lambda one: float(one.ImagePositionPatient[2]),
        )
        assert all(one.SOPClassUID == pydicom.uid.CTImageStorage for one in datasets)
        expected = np.stack([apply_modality_lut(one.pixel_array, one) for one in datasets])
        volume = read_volume(folder)
        np.testing.assert_allclose(volume.array[..., 0], expected, atol=1e-3)
        viewed = np.hypot(scan.space.y[0], scan.space.x[0]) < section.side * scan.space.pixel_mm / 2
        np.testing.assert_allclose(
            expected[:, viewed], scan.hu[:, viewed], atol=0.5 * datasets[0].RescaleSlope + 1e-3
        )
        between = scan.space.z_mm[1] - scan.space.z_mm[0]
        np.testing.assert_allclose(
            volume.spacing_mm, (between, scan.space.pixel_mm, scan.space.pixel_mm), atol=2e-3
        )
        case = next(case for case in written[kind][1].cases if case.patient == scan.name)
        np.testing.assert_array_equal(read_mask(case.mask, like=volume).values, scan.mask)
        np.testing.assert_array_equal(read_mask(case.organ, like=volume).values, scan.organ)


def test_the_two_scanners_write_different_numbers(written):
    headers = {}
    for folder in sorted(written["chest_ct"][1].root.glob("*_0001/ct")) + sorted(
        written["chest_ct"][1].root.glob("*_0002/ct")
    ):
        ordered = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
        heights = [float(one.ImagePositionPatient[2]) for one in ordered]
        first = ordered[0]
        way = np.sign(heights[1] - heights[0])
        headers[folder.parent.name[6]] = (
            first.PixelRepresentation,
            float(first.RescaleSlope),
            way,
            int(first.pixel_array[0, 0]),
        )
    assert headers["A"][:3] == (0, 1.0, 1.0)
    assert headers["B"] == (1, 0.5, -1.0, -4000)  # from above downwards, padded outside of the field of view


def test_tissues_have_their_hounsfield_units(scans):
    for scan in scans["chest_ct"][:4]:
        healthy = (
            scan.organ
            & ~ndimage.binary_dilation(scan.mask, iterations=2)
            & ndimage.binary_erosion(scan.organ, np.ones((1, 5, 5)))
        )
        assert -890 < np.median(scan.hu[healthy]) < -760
    livers = [np.median(scan.hu[scan.organ & ~scan.mask]) for scan in scans["abdomen_ct"]]
    assert min(livers) > 20 and max(livers) < 140 and np.ptp(livers) > 30
    for scan in scans["chest_ct"][:4] + scans["abdomen_ct"][:4]:
        assert scan.hu.max() > 250 and scan.hu[:, 0, 0].max() < -900


def test_masks_lie_on_what_they_mark(scans):
    contrasts = {}
    for kind, patients in scans.items():
        contrasts[kind] = []
        for scan in patients:
            near, far = (
                ndimage.binary_dilation(scan.mask, np.ones((1, 3, 3)), iterations=steps) for steps in (1, 4)
            )
            ring = far & ~near & scan.organ
            contrasts[kind].append(scan.hu[scan.mask].mean() - scan.hu[ring].mean())
    assert np.min(contrasts["chest_ct"]) > 80
    assert np.median(np.abs(contrasts["abdomen_ct"])) > 15
    assert (
        min(contrasts["abdomen_ct"]) < 0 < max(contrasts["abdomen_ct"])
    )  # darker or brighter: no cut can be right for all


@each_ct
def test_neither_brightness_nor_height_nor_site_tells_the_label(scans, kind):
    label = np.concatenate([scan.mask.any(axis=(1, 2)) for scan in scans[kind]])
    cues = {
        "brightness": np.concatenate(
            [np.clip(scan.hu, -1000, 400).mean(axis=(1, 2)) for scan in scans[kind]]
        ),
        "height": np.tile(np.linspace(0, 1, 10), len(scans[kind])),
        "site": np.repeat([scan.scanner.site == "B" for scan in scans[kind]], 10),
        "noise": np.concatenate(
            [
                (scan.hu - ndimage.gaussian_filter(scan.hu, (0, 1, 1)))[:, 18:38, 18:38].std(axis=(1, 2))
                for scan in scans[kind]
            ]
        ),
    }
    found = {name: roc_auc_score(label, cue) for name, cue in cues.items()}
    assert all(abs(value - 0.5) < 0.16 for value in found.values()), found


@each_ct
def test_no_global_cut_finds_the_lesions(scans, kind):
    """The best threshold with hindsight for all patients, inside the true organ, fails on raw and smoothed
    values.
    """
    for sigma in (0.0, 1.0):
        seen = [ndimage.gaussian_filter(scan.hu, (0, sigma, sigma)) for scan in scans[kind]]
        cuts = np.quantile(
            np.concatenate([values[scan.organ] for values, scan in zip(seen, scans[kind])]),
            np.linspace(0.01, 0.99, 60),
        )
        for sign in (1, -1):
            scores = []
            for values, scan in zip(seen, scans[kind]):
                marked = [scan.organ & (sign * values > sign * cut) for cut in cuts]
                scores.append([2 * (one & scan.mask).sum() / (one.sum() + scan.mask.sum()) for one in marked])
            assert np.max(np.mean(scores, axis=0)) < 0.5


def test_radiographs_of_both_kinds_are_bright_where_bone_is(written):
    _, manifest = written["bone_xray"]
    seen = set()
    for index in range(4):
        views = bone_xray.simulate_patient(index, slices=2, side=56, seed=5)
        own = [case for case in manifest.cases if case.patient.endswith(f"{index + 1:04d}")]
        for view, case in zip(views, own, strict=True):
            header = pydicom.dcmread(case.image)
            seen.add((case.site, header.Modality, header.PhotometricInterpretation))
            volume = read_volume(case.image)
            levels = 2**header.BitsStored - 1
            np.testing.assert_allclose(volume.array[0, ..., 0] / levels, view.image, atol=0.51 / levels)
            stored = header.pixel_array.astype(float)
            assert (
                np.corrcoef(stored.ravel(), view.image.ravel())[0, 1] * (-1 if case.site == "B" else 1) > 0.99
            )
            np.testing.assert_allclose(volume.spacing_mm[1:], view.pixel_mm, atol=1e-4)
    assert seen == {("A", "DX", "MONOCHROME2"), ("B", "CR", "MONOCHROME1")}


@pytest.fixture(scope="module")
def arms():
    """Return (label, site, view) of 24 patients, one view each."""
    return [
        (
            bone_xray.is_broken(index),
            index % 2,
            bone_xray.simulate_patient(index, slices=1, side=96, seed=2022)[0],
        )
        for index in range(24)
    ]


def test_fracture_masks_follow_dark_lines(arms):
    contrast = []
    for broken, _, view in arms:
        assert view.mask.any() == broken
        if broken:
            dark = ndimage.grey_closing(view.image, size=(5, 5)) - view.image
            near, far = (ndimage.binary_dilation(view.mask, iterations=steps) for steps in (2, 12))
            bone = far & ~near & (view.image > np.median(view.image[view.mask]))
            contrast.append(np.percentile(dark[view.mask], 80) / np.percentile(dark[bone], 80))
            assert 0.002 < view.mask.mean() < 0.04
    assert np.median(contrast) > 1.5


def test_neither_brightness_nor_site_nor_field_tells_a_fracture(arms):
    label = [broken for broken, _, _ in arms]
    cues = {
        "brightness": [view.image.mean() for *_, view in arms],
        "contrast": [view.image.std() for *_, view in arms],
        "site": [site for _, site, _ in arms],
        "pixel": [view.pixel_mm for *_, view in arms],
    }
    found = {name: roc_auc_score(label, cue) for name, cue in cues.items()}
    assert all(abs(value - 0.5) < 0.2 for value in found.values()), found
