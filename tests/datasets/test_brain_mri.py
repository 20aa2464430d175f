"""The cohort of simulated brain MRI: files, repeatability, and labels that neither height nor intensity
reveals.
"""

import sys

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.manifest import read_manifest
from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.recipe.schema_data import CohortSection
from clamnet_tf.simulation.brain_mri import anatomy
from clamnet_tf.simulation.brain_mri.anatomy import average_head
from clamnet_tf.simulation.brain_mri.fields import BOX_MM, SliceGrid, SplineField
from clamnet_tf.simulation.brain_mri.head import Person
from clamnet_tf.simulation.brain_mri.lesions import draw_lesions
from clamnet_tf.simulation.brain_mri.patient import simulate_patient
from clamnet_tf.simulation.cohorts import cohort_key, write_cohort

SMALL = CohortSection(patients=4, slices=6, side=40, seed=5)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return (folder, manifest) of one written cohort."""
    folder = tmp_path_factory.mktemp("cohorts")
    return folder, write_cohort(SMALL, folder)


@pytest.fixture(scope="module")
def patients():
    """Return 24 patients on coarse pixels."""
    return [simulate_patient(index, slices=12, side=56, seed=2022) for index in range(24)]


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_cohort_is_the_layout_of_the_lgg_set(small):
    _folder, manifest = small
    assert manifest.layout == "cohort"
    assert len(manifest.cases) == SMALL.patients * SMALL.slices
    for case in manifest.cases:
        image, mask = tifffile.imread(case.image), tifffile.imread(case.mask)
        assert image.shape == (40, 40, 3) and image.dtype == np.uint8
        assert mask.shape == (40, 40) and set(np.unique(mask)) <= {0, 255}
        assert case.label == int(mask.any())
        assert case.mask.name == f"{case.image.stem}_mask.tif" and case.image.parent.name == case.patient
        assert case.split is None and case.eta is None
    assert {case.site for case in manifest.cases} == {"A", "B"}
    assert {case.label for case in manifest.cases} == {0, 1}
    for patient in {case.patient for case in manifest.cases}:
        own = [case for case in manifest.cases if case.patient == patient]
        assert len({case.site for case in own}) == 1 and len({case.series for case in own}) == 1
        assert all(np.diff([case.position for case in own]) > 0)
        assert [int(case.image.stem.rsplit("_", 1)[1]) for case in own] == list(range(1, SMALL.slices + 1))


def test_cohort_is_recognised_like_any_folder(small):
    folder, manifest = small
    assert recognize(folder / cohort_key(SMALL)).cases == manifest.cases
    assert read_manifest(folder / cohort_key(SMALL) / "manifest.csv").cases == manifest.cases


def test_second_call_reads_what_is_there(small):
    folder, manifest = small
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    calls = []
    assert write_cohort(SMALL, folder, progress=lambda *done: calls.append(done)) == manifest
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not calls


def test_same_section_same_bytes(small, tmp_path):
    calls = []
    write_cohort(SMALL, tmp_path, progress=lambda *done: calls.append(done))
    assert files(tmp_path) == files(small[0])
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_patient_does_not_depend_on_the_others(small):
    patient = simulate_patient(3, slices=6, side=40, seed=5)
    own = [case for case in small[1].cases if case.patient == patient.name]
    np.testing.assert_array_equal(patient.images, [tifffile.imread(case.image) for case in own])
    np.testing.assert_array_equal(patient.masks, [tifffile.imread(case.mask) > 0 for case in own])
    assert not np.array_equal(patient.images, simulate_patient(3, slices=6, side=40, seed=6).images)


def test_every_setting_makes_its_own_folder():
    variants = [
        SMALL,
        *(
            SMALL.model_copy(update=change)
            for change in ({"patients": 5}, {"slices": 7}, {"side": 41}, {"seed": 6})
        ),
    ]
    assert len({cohort_key(section) for section in variants}) == len(variants)


def test_an_interrupted_cohort_leaves_nothing_behind(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cohort(SMALL, tmp_path, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(EnvironmentFailure, match="taken.*cannot be written"):
        write_cohort(SMALL, tmp_path / "taken")


def test_without_nilearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(EnvironmentFailure, match="pip install 'clamnet-tf.train.'"):
        anatomy.template_folder()


def test_nilearn_without_its_template(monkeypatch, tmp_path):
    (tmp_path / "nilearn" / "datasets" / "data").mkdir(parents=True)
    (tmp_path / "nilearn" / "__init__.py").write_text("")
    monkeypatch.delitem(sys.modules, "nilearn", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvironmentFailure, match="lacks mni_icbm152_gm"):
        anatomy.template_folder()


def test_every_patient_has_normal_slices_and_one_run_of_abnormal_ones(patients):
    for patient in patients:
        abnormal = patient.masks.any(axis=(1, 2))
        assert 1 <= abnormal.sum() < len(abnormal), patient.name
        assert ndimage.label(abnormal)[1] == 1, patient.name


def test_neither_height_nor_head_size_tells_the_label(patients):
    label = np.concatenate([patient.masks.any(axis=(1, 2)) for patient in patients])
    height = np.tile(np.linspace(0, 1, 12), len(patients))
    size = np.concatenate([(patient.images.max(axis=-1) > 25).mean(axis=(1, 2)) for patient in patients])
    for cue in (height, abs(height - 0.5), size):
        assert abs(roc_auc_score(label, cue) - 0.5) < 0.1


def test_lesions_lie_everywhere_and_cover_what_they_should(patients):
    label = np.stack([patient.masks.any(axis=(1, 2)) for patient in patients])
    assert label.mean(axis=0).min() > 0.08  # every height has some
    sides = [np.argwhere(patient.masks)[:, 2].mean() < 27.5 for patient in patients]
    assert 0.25 < np.mean(sides) < 0.75
    area = [
        mask.sum() / (image.max(axis=-1) > 25).sum()
        for p in patients
        for image, mask in zip(p.images, p.masks)
        if mask.any()
    ]
    assert 0.04 < np.mean(area) < 0.09


def test_no_global_cut_finds_the_lesions(patients):
    """The best FLAIR threshold with hindsight, per patient volume, fails on raw and on smoothed values."""
    for sigma in (0.0, 1.0):
        best = []
        for patient in patients:
            flair = ndimage.gaussian_filter(patient.images[..., 1].astype(float), (0, sigma, sigma))
            cuts = np.quantile(flair, np.linspace(0.7, 0.999, 40))
            best.append(
                [
                    2 * (patient.masks & (flair > cut)).sum() / ((flair > cut).sum() + patient.masks.sum())
                    for cut in cuts
                ]
            )
        assert np.mean(np.max(best, axis=1)) < 0.5
        assert np.max(np.mean(best, axis=0)) < 0.4


def test_mass_effect_moves_the_brain_near_the_lesion_and_never_the_skull():
    drawn = [np.random.default_rng(8) for _ in range(2)]
    ill, healthy = (Person(generator, average_head(), 0) for generator in drawn)
    (lesion, *_) = draw_lesions(drawn[0], ill, 0.5)
    lesion.push_mm = 4.0
    grid = SliceGrid(48, 240.0, -16.0)
    for height, least, most in (
        (lesion.centre[0], 1.0, 4.0),
        (lesion.centre[0] - 4 * lesion.radii_mm.mean(), 0.0, 0.01),
    ):
        a, b = ill.points_on(grid, height), healthy.points_on(grid, height)
        np.testing.assert_array_equal(a.surface, b.surface)
        np.testing.assert_array_equal(a.depth, b.depth)
        moved = np.linalg.norm(np.subtract(a.folded, b.folded), axis=0)
        assert least <= moved.max() <= most
        assert moved[a.depth <= 0].max() == 0


@pytest.mark.parametrize("seed", range(4))
def test_deformation_does_not_fold(seed):
    """The Jacobian of scanner -> template is positive everywhere in the head, mass effect included."""
    generator = np.random.default_rng(seed)
    person = Person(generator, average_head(), seed % 2)
    draw_lesions(generator, person, generator.uniform())
    step = 5.0
    axes = [np.arange(low, high, step) for low, high in ((-50, 70), (-120, 90), (-80, 80))]
    where = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = person.points_at(where.reshape(-1, 3))
    mapped = np.full((3, where[..., 0].size), np.nan)
    mapped[:, points.inside] = points.folded[::-1]  # z, y, x
    gradients = np.stack(
        [np.stack(np.gradient(axis.reshape(where.shape[:3]), step), axis=-1) for axis in mapped], axis=-2
    )
    determinant = np.linalg.det(gradients[np.isfinite(gradients).all(axis=(-2, -1))])
    assert len(determinant) > 5000
    assert determinant.min() > 0.05


def test_spline_field_against_scipy(rng):
    field = SplineField(rng, 20.0, 1.5)
    points = np.stack([rng.uniform(low, high, 200) for low, high in BOX_MM], axis=1)
    indices = [(points[:, i] - BOX_MM[i][0]) / 20.0 + 1.0 for i in range(3)]
    # scipy's basis is centred on its knot; ours starts one knot before
    expected = ndimage.map_coordinates(field.coefficients, indices, order=3, prefilter=False)
    np.testing.assert_allclose(field.at(points), expected, atol=1e-4)
    grid = SliceGrid(16, 200.0, -10.0)
    y, x = np.meshgrid(grid.y_mm, grid.x_mm, indexing="ij")
    on_slice = field.at(np.stack([np.full(256, 12.5), y.ravel(), x.ravel()], axis=1)).reshape(16, 16)
    np.testing.assert_allclose(field.on(grid, 12.5), on_slice, atol=1e-5)
    assert 0.8 < field.at(points).std() / 1.5 < 1.2
