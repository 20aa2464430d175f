"""Which slices of an abnormal study show the lesion: the estimate against exact mixtures, and its uses."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from clamnet_tf.training import study_labels
from clamnet_tf.training.pseudo_labels import IGNORED, pseudo_labels
from clamnet_tf.training.selection import of_studies, score_checkpoint
from clamnet_tf.training.slices import TrainingSlices
from clamnet_tf.training.study_labels import LesionPosterior, StudyLabels, slice_scores, top_slices

sys.path.insert(0, str(Path(__file__).parent))
from conftest import LOSS, TINY, toy_batch
from test_slices import prepared


def mixture(rng, share, count=6000, distance=3.0):
    lesion = rng.random(count) < share
    return rng.normal(0, 1, count) + distance * lesion, rng.normal(0, 1, count)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_posterior_is_that_of_the_mixture(rng, share):
    abnormal, normal = mixture(rng, share)
    found = LesionPosterior.fit(abnormal, normal)
    lesion, rest = share * norm.pdf(abnormal, 3), (1 - share) * norm.pdf(abnormal)
    assert found.share == pytest.approx(share, abs=0.03)
    assert np.abs(found(abnormal) - lesion / (lesion + rest)).mean() < 0.04
    assert (np.diff(found(np.linspace(-4, 8, 100))) >= 0).all()


def test_scores_that_tell_nothing_apart_make_no_slice_probable(rng):
    abnormal, normal = mixture(rng, 0.5, distance=0.0)
    found = LesionPosterior.fit(abnormal, normal)
    assert found.share < 0.05 and (found(abnormal) >= 0.5).mean() < 0.02
    constant = LesionPosterior.fit(np.full(9, 0.4), np.full(5, 0.4))
    assert constant.share == 0 and constant(np.array([0.1, 0.4, 0.9])).max() < 1e-9


def test_scores_that_separate_make_every_slice_of_abnormal_studies_sure():
    found = LesionPosterior.fit(np.linspace(0.7, 0.9, 300), np.linspace(0.1, 0.2, 300))
    assert found.share > 0.99
    np.testing.assert_allclose(found([0.7, 0.75, 0.9, 0.05]), [1, 1, 1, 0], atol=1e-4)


def test_few_normal_slices_prove_little():
    abnormal = np.array([0.1, 0.15, 0.2, 0.9])
    few, many = (LesionPosterior.fit(abnormal, np.linspace(0.1, 0.2, count)) for count in (3, 300))
    assert few([0.9])[0] == pytest.approx(0.0) and many([0.9])[0] > 0.95


def test_top_slices_of_each_study():
    scores, studies = [0.1, 0.9, 0.5, 0.3, 0.2, 0.2], [0, 0, 0, 0, 1, 1]
    assert top_slices(scores, studies, 0.5).tolist() == [0, 1, 1, 0, 1, 0]
    assert top_slices(scores, studies, 0.0).tolist() == [0, 1, 0, 0, 1, 0]


def test_the_score_of_a_broad_spot_beats_that_of_many_bright_pixels(rng):
    maps, organ = np.zeros((3, 64, 64, 1)), np.zeros((3, 64, 64), bool)
    organ[:, 8:56, 8:56] = True
    maps[0, 20:30, 20:30] = 0.7
    maps[1, ::4, ::4] = 1.0
    maps[2, :6, :6] = 1.0  # outside of the organ
    broad, pixels, outside = slice_scores(maps, organ)[:, 0]
    assert 0.69 < broad < 0.71 and pixels < 0.35 and outside == 0
    assert slice_scores(maps[:1], np.zeros((1, 64, 64), bool)).tolist() == [[0]]


def by_study(source):
    """Labels of whole patients: every third one is normal."""
    number = np.array([int(name[1:]) for name in source.table.patient])
    table = dataclasses.replace(
        source.table, label=(number % 3 > 0).astype(int), by_study=np.ones(len(number), bool)
    )
    source.table = table
    return source


def maps_of(lesion, source):
    """Maps that are 0.9 in one place where a row shows the lesion, with a little noise."""
    noise = np.random.default_rng(1).random(len(source.table)) * 0.1

    def of(rows):
        maps = np.zeros((len(rows), 4, 4, 1))
        maps[:, 1:3, 1:3, 0] = (0.8 * lesion[rows] + noise[rows])[:, None, None]
        return maps

    return of


@pytest.mark.parametrize("method", ["posterior", "top_slices", "fixed"])
def test_weights_follow_the_scores_within_abnormal_studies_alone(method, monkeypatch):
    monkeypatch.setattr(study_labels, "SMOOTHING", 0.0)
    source = by_study(prepared())
    slices = TrainingSlices(source, minimum_organ_fraction=0.02)
    rows, position = slices.rows, source.table.slice_index[slices.rows]
    truth = (source.table.label[rows] == 1) & (position >= 4)
    labels = StudyLabels(slices, method=method)
    assert labels.any and labels.unsure[:, 0].tolist() == (source.table.label[rows] == 1).tolist()
    weights = labels.weights(maps_of(truth, source))[:, 0]
    assert (weights[source.table.label[rows] == 0] == 0).all()
    if method == "fixed":
        assert (weights == (source.table.label[rows] == 1)).all()
        return
    assert (weights[truth] >= 0.5).all()
    assert weights[truth].mean() - weights[~truth].mean() > 0.5
    shown = labels.estimated(maps_of(truth, source)).shown[rows, 0]
    assert (shown == (weights >= 0.5)).all() and slices.shown[rows, 0].sum() > shown.sum()
    for study in np.unique(labels.studies[source.table.label[rows] == 1]):
        assert weights[labels.studies == study].max() == 1


def test_slices_with_labels_of_their_own_are_sure():
    source = by_study(prepared())
    mixed = source.table.by_study.copy()
    mixed[source.table.patient == "p01"] = False
    source.table = dataclasses.replace(source.table, by_study=mixed)
    slices = TrainingSlices(source, minimum_organ_fraction=0.02)
    own = source.table.patient[slices.rows] == "p01"
    labels = StudyLabels(slices, method="posterior")
    weights = labels.weights(maps_of(np.zeros(len(slices.rows)), source))
    assert (weights[own] == 1).all() and not labels.unsure[own].any()
    assert slices.label_counts() == {"slice": int(own.sum()), "study": int((~own).sum())}


def test_labels_of_slices_alone_are_not_touched():
    slices = TrainingSlices(prepared(), minimum_organ_fraction=0.02)
    labels = StudyLabels(slices, method="posterior")
    assert not labels.any and labels.estimated(None) is slices and slices.validation_studies is None


def test_shuffled_labels_of_studies_stay_labels_of_studies():
    source = by_study(prepared(patients=40))
    slices = TrainingSlices(source, minimum_organ_fraction=0.02, shuffle_labels=True)
    rows = slices.rows
    for patient in np.unique(source.table.patient[rows]):
        assert len(set(slices.table.label[rows][source.table.patient[rows] == patient])) == 1
    assert (slices.table.label[rows] != source.table.label[rows]).any()


def test_the_auroc_of_validation_is_that_of_studies(rng):
    scores, labels, studies = [0.1, 0.9, 0.4, 0.6], [1, 1, 0, 0], [7, 7, 3, 3]
    highest, abnormal = of_studies(scores, labels, studies)
    assert highest.tolist() == [0.6, 0.9] and abnormal.tolist() == [False, True]
    from clamnet_tf.recipe.classes import LesionClass
    from clamnet_tf.recipe.schema import SelectionSection

    def predictor(images):
        return images

    organ = np.ones((4, 4, 4), bool)
    maps = np.broadcast_to(np.array(scores)[:, None, None, None], (4, 4, 4, 1))
    sample = maps, organ, np.array(labels, bool)[:, None]
    known = SelectionSection(threshold=0.5), [LesionClass("", 0.7, 0.1)]
    by_slice = score_checkpoint(predictor, 1, sample, sample, *known)
    by_study = score_checkpoint(predictor, 1, sample, sample, *known, studies=np.array(studies))
    assert by_slice.auroc == 0.5 and by_study.auroc == 1.0


def test_probable_slices_fix_the_cut_of_pseudo_labels_and_all_are_marked_by_it(rng):
    organ = np.ones((3, 10, 10), np.uint8)
    maps = np.stack([np.arange(100.0).reshape(10, 10) / 100, np.full((10, 10), 0.01), np.zeros((10, 10))])
    shown = np.array([[True], [True], [False]])
    known = lambda rows: maps[rows][..., None].astype(np.float32), maps[..., None], organ, shown, [0, 0, 0]
    options = {"marked": [0.1], "background": 0.5}
    all_slices = pseudo_labels(*known, **options)
    probable = pseudo_labels(*known, **options, certain=np.array([[True], [False], [False]]))
    assert (all_slices[0] == 1).sum() == pytest.approx(20, abs=1)  # 10 % of both slices
    assert (probable[0] == 1).sum() == pytest.approx(10, abs=1)  # 10 % of the one
    assert (probable[1] == IGNORED).all() and (probable[2] == 0).all()


def test_a_weight_multiplies_eta_and_the_margin_of_its_pair(toy):
    from clamnet_tf.networks.build import build_network
    from clamnet_tf.training.siamese import SiameseTrainer

    batch = toy_batch(toy)
    trainer = SiameseTrainer(build_network(TINY, side=16, channels=2), loss=LOSS, steps=8)
    trainer.weigh_studies(40, 1)
    assert any(variable is trainer.study_weights for variable in trainer.variables)
    row = np.arange(8)
    trainer.study_weights.assign(np.linspace(0.1, 1, 40)[:, None])
    weighed = trainer.weighed({**batch, "row": row})
    factor = np.linspace(0.1, 1, 40)[row].astype(np.float32)
    np.testing.assert_allclose(weighed["eta"][:, 0], batch["eta"][:, 0] * factor, rtol=1e-6)
    plain, weighted = trainer.loss_terms(batch), trainer.loss_terms(weighed)
    abnormal = np.asarray(batch["label"]) > 0
    np.testing.assert_allclose(
        weighted["hybrid"], np.where(abnormal, factor, 1) * np.asarray(plain["hybrid"]), rtol=1e-4
    )
    np.testing.assert_allclose(
        weighted["contrast"], np.repeat(factor[::2], 2) * np.asarray(plain["contrast"]), rtol=1e-4
    )


def test_a_weight_multiplies_what_the_masks_of_a_slice_teach(toy):
    from clamnet_tf.networks.build import build_network
    from clamnet_tf.training.supervised import SupervisedTrainer

    images, organ, _, masks = toy
    batch = {
        "view_a": images[:4],
        "organ_a": organ[:4].astype(np.float32),
        "mask": masks[:4].astype(np.int32),
        "row": np.arange(4),
    }
    trainer = SupervisedTrainer(build_network(TINY, side=16, channels=2))
    terms = trainer.loss_terms(batch)
    each = np.asarray(terms["hybrid"]) + np.asarray(terms["soft_dice"])
    assert float(trainer.minimised(batch)[0]) == pytest.approx(each.mean(), rel=1e-5)
    trainer.weigh_studies(4, 2)
    trainer.study_weights.assign([[1, 1], [0.2, 0], [0, 0.5], [1, 1]])
    weights = np.array([1, 0.2, 0.5, 1])
    loss, _ = trainer.minimised(trainer.weighed(batch))
    assert float(loss) == pytest.approx((weights * each).mean(), rel=1e-5)
