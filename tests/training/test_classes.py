"""Training on several markers, part by part: which slices, the step's terms, the mask-free look, the taught
masks, cuts, soft Dice.
"""

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.errors import DataError
from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
from clamnet_tf.input_pipeline.pair_sampling import PairPlan
from clamnet_tf.input_pipeline.pipeline import Share, SliceStore, pair_dataset
from clamnet_tf.networks.build import build_network, logits_network
from clamnet_tf.recipe.classes import UNNAMED, LesionClass
from clamnet_tf.recipe.schema import SelectionSection
from clamnet_tf.recipe.schema_loss import SoftDiceSection
from clamnet_tf.training.pseudo_labels import IGNORED, pseudo_labels
from clamnet_tf.training.selection import choose, score_checkpoint
from clamnet_tf.training.siamese import SiameseTrainer
from clamnet_tf.training.supervised import SupervisedTrainer
from clamnet_tf.training.thresholds import fit_postprocessors

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from conftest import LOSS, TINY, toy_slices  # noqa: E402
from test_slices import prepared, sliced  # noqa: E402

THREE = TINY.model_copy(update={"classes": 3})
CLASSES = (LesionClass("one", 0.9, 0.1), LesionClass("two", 0.4, 0.2))


def several(seed=0):
    """Toy slices whose abnormal ones show the first marker, the second, or both in turn: (store, plan,
    shown).
    """
    images, organ, labels, _ = toy_slices(np.random.default_rng(seed))
    shown = np.zeros((len(labels), 2), bool)
    abnormal = np.flatnonzero(labels)
    shown[abnormal[0::3], 0] = shown[abnormal[1::3], 1] = shown[abnormal[2::3]] = True
    etas = np.where(shown, [0.9, 0.4], 0)
    store = SliceStore(images, organ, labels, etas)
    columns = {
        "position": np.zeros(len(labels)),
        "area": np.zeros(len(labels)),
        "site": np.full(len(labels), "a"),
    }
    return store, PairPlan(labels, columns, batch_size=8, seed=0, matching={"on": "none"}), etas


def batch_of(share=Share(), step=0):
    store, plan, _ = several()
    return next(
        iter(
            pair_dataset(
                store, plan, AugmentationConfig(), start=step, steps=step + 1, seed=0, twin=True, share=share
            )
        )
    )


def trainer(kind="shared", **changes):
    keras.utils.set_random_seed(5)
    network = build_network(THREE, side=16, channels=2)
    twin = build_network(THREE, side=16, channels=2, name="twin") if kind in ("separate", "ema") else None
    result = SiameseTrainer(network, twin=twin, kind=kind, loss=LOSS | changes, steps=10, momentum=0.9)
    result.compile(optimizer=keras.optimizers.Adam(1e-2, global_clipnorm=1.0), jit_compile=False)
    return result


def test_the_pipeline_brings_the_eta_of_every_marker_of_the_right_slice():
    _, plan, etas = several()
    rows = plan.rows(3)
    batch = batch_of(step=3)
    np.testing.assert_allclose(batch["eta"], etas[rows], rtol=1e-6)
    second = batch_of(Share(1, 1, 2), step=3)
    np.testing.assert_allclose(second["eta"], etas[rows[4:]], rtol=1e-6)
    assert (batch["eta"].numpy().max(axis=1) > 0).tolist() == [True, False] * 4


def test_the_hybrid_term_is_the_mean_over_what_a_slice_shows_weighted_by_its_eta():
    batch, subject = batch_of(), trainer("none")
    terms = subject.loss_terms(batch, training=False)
    log_p = (
        tf.nn.log_softmax(logits_network(subject.network)(batch["view_a"])["head_1"]).numpy().astype(float)
    )
    organ, etas = batch["organ_a"].numpy() > 0, batch["eta"].numpy()
    for index in range(8):
        value = {}
        for c in range(3):
            chosen = log_p[index, ..., c][organ[index]]
            value[c] = -(chosen + np.exp(chosen) / (1 + np.exp(chosen) ** 2 + 1e-6)).mean()
        there = np.flatnonzero(etas[index])
        raw = np.mean([value[c + 1] for c in there]) if len(there) else value[0]
        weighted = np.mean([etas[index, c] * value[c + 1] for c in there]) if len(there) else value[0]
        assert terms["raw"].numpy()[index] == pytest.approx(raw, rel=1e-4)
        assert terms["hybrid"].numpy()[index] == pytest.approx(weighted, rel=1e-4)


@pytest.mark.parametrize("kind", ["shared", "separate", "ema"])
def test_every_twin_learns_from_several_markers(kind):
    subject, batch = trainer(kind), batch_of()
    losses = [float(subject.train_step(batch)["loss"]) for _ in range(15)]
    first, now = losses[0], float(subject._total(subject.loss_terms(batch, training=False)).numpy().mean())
    assert np.isfinite(losses).all() and now < first


def test_a_teacher_has_no_target_where_the_label_excludes_a_marker():
    """Agreement with an ema teacher that is sure of marker 1 everywhere: zero-marker targets in slices that
    do not show it.
    """
    batch, subject = batch_of(), trainer("ema")
    sure = tf.math.log(tf.constant([0.01, 0.98, 0.01])) * tf.ones((8, 16, 16, 1))
    even = tf.math.log(tf.constant([1 / 3] * 3)) * tf.ones((8, 16, 16, 1))
    plain = dict(
        batch,
        warp_b_to_a=tf.eye(3, batch_shape=[8]),
        organ_a=tf.ones((8, 16, 16)),
        organ_b=tf.ones((8, 16, 16)),
    )
    found = subject._agreement(even, sure, plain).numpy()
    for index in range(8):
        allowed = np.append(1.0, batch["eta"].numpy()[index] > 0)
        target = np.array([0.01, 0.98, 0.01]) * allowed
        target[0] += 1 - target.sum()
        assert found[index] == pytest.approx(((target - 1 / 3) ** 2).sum(), rel=1e-3)


def marked_table(**changes):
    source = prepared()
    rng = np.random.default_rng(3)
    names = np.where(source.table.label > 0, rng.choice(["one", "two", "one+two", ""], len(source.table)), "")
    return SimpleNamespace(
        table=dataclasses.replace(source.table, markers=names, **changes),
        images=source.images,
        organ=source.organ,
    )


def test_abnormal_slices_that_show_none_of_the_markers_are_left_out():
    source = marked_table()
    slices = sliced(source, classes=("one", "two"))
    label, names = source.table.label[slices.rows], source.table.markers[slices.rows]
    assert ((label == 0) | (names != "")).all() and len(slices.rows) < len(sliced(source).rows)
    images, _, shown = slices.training_abnormal()
    rows = images[:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(
        shown, [["one" in name.split("+"), "two" in name.split("+")] for name in source.table.markers[rows]]
    )
    images, _, shown = slices.validation()
    assert (source.table.label[images[:, 0, 0, 0].astype(int)] == shown.any(axis=1)).all()


def test_a_marker_without_a_training_slice_is_told():
    with pytest.raises(DataError, match="No training slice shows three, which is one of the recipe"):
        sliced(marked_table(), classes=("one", "three"))


def test_shuffled_labels_take_their_markers_with_them_and_the_order_is_that_of_one_marker():
    source = marked_table()
    slices, plain = (
        sliced(source, classes=("one", "two"), shuffle_labels=True, seed=3),
        sliced(prepared(), shuffle_labels=True, seed=3),
    )
    before, after = source.table, slices.table
    pairs = lambda table: sorted(zip(table.label[slices.rows].tolist(), table.markers[slices.rows].tolist()))
    assert pairs(before) == pairs(after) and (after.markers != before.markers).any()
    assert ((after.label[slices.rows] > 0) == slices.shown[slices.rows].any(axis=1)).all()
    rows = plain.rows
    np.testing.assert_array_equal(
        plain.table.label[rows], np.random.default_rng([3, 4]).permutation(prepared().table.label[rows])
    )


def test_a_look_at_several_markers_is_the_mean_of_looks_at_each(rng):
    maps, organ = rng.random((30, 8, 8, 2)).astype(np.float32), np.ones((30, 8, 8), np.uint8)
    shown = np.zeros((30, 2), bool)
    shown[:10, 0] = shown[5:20, 1] = True
    maps[:10, ..., 0] += 0.3
    maps = np.minimum(maps, 1)
    section = SelectionSection()
    both = score_checkpoint(
        lambda x: x, 4, (maps[:20], organ[:20], shown[:20]), (maps, organ, shown), section, CLASSES
    )
    for c, one in enumerate(CLASSES):
        fixing = np.flatnonzero(shown[:20, c])
        own_class = (LesionClass(UNNAMED, one.eta, one.prevalence),)
        training, validation = (
            (part[rows] for part in (maps, organ, shown[:, c : c + 1])) for rows in (fixing, slice(None))
        )
        alone = score_checkpoint(lambda x: x[..., c : c + 1], 4, training, validation, section, own_class)
        assert both.markers[one.name] == alone.row()
    for name in ("threshold", "auroc", "normal_area", "abnormal_area", "abnormal_area_half"):
        assert getattr(both, name) == pytest.approx(np.mean([row[name] for row in both.markers.values()]))
    assert both.markers["one"]["auroc"] > 0.9 and choose([both], section)[0] is both
    assert (
        score_checkpoint(
            lambda x: x,
            4,
            (maps[:20], organ[:20], shown[:20]),
            (maps, organ, shown),
            SelectionSection(threshold=0.4),
            CLASSES,
        ).threshold
        == 0.4
    )


def test_taught_masks_hold_each_marker_where_its_slices_show_it(rng):
    maps = rng.uniform(0, 0.3, (8, 12, 12, 2)).astype(np.float32)
    shown = np.array([[1, 0]] * 2 + [[0, 1]] * 2 + [[1, 1]] * 2 + [[0, 0]] * 2, bool)
    maps[:, 2:4, 2:6, 0] = 0.9  # in every slice, also where the label excludes it
    maps[:, 7:9, 5:11, 1] = 0.8
    maps[4:6, 2:4, 2:6, 1] = 0.999  # claimed by both: further above the second one's cut
    organ, volumes = np.ones((8, 12, 12), np.uint8), np.repeat([0, 1], 4)
    found = pseudo_labels(
        lambda rows: maps[rows], maps, organ, shown, volumes, marked=(8.1 / 144, 16.1 / 144), background=0.5
    )
    assert (
        (found[:2, 2:4, 2:6] == 1).all() and not (found[:2] == 2).any() and (found[:2, 7:9, 5:11] != 2).all()
    )
    assert (found[2:4, 7:9, 5:11] == 2).all() and not (found[2:4] == 1).any()
    assert (found[4:6, 2:4, 2:6] == 2).all() and (found[4:6, 7:9, 5:11] == 2).all()
    assert not found[6:].any() and set(np.unique(found).tolist()) <= {0, 1, 2, IGNORED}
    alone = pseudo_labels(
        lambda rows: maps[rows, ..., :1],
        maps[:2],
        organ[:2],
        shown[:2, :1],
        np.zeros(2),
        marked=(8.1 / 144,),
        background=0.5,
    )
    two = pseudo_labels(
        lambda rows: maps[rows],
        maps[:2],
        organ[:2],
        shown[:2],
        np.zeros(2),
        marked=(8.1 / 144, 0.1),
        background=0.5,
    )
    np.testing.assert_array_equal(alone, two)


def test_maps_that_are_alike_teach_nothing_where_a_slice_shows_several_markers(rng):
    maps = rng.uniform(0, 0.3, (6, 12, 12)).astype(np.float32)
    maps[:, 2:4, 2:6] = 0.9
    shown = np.array([[1, 0]] * 2 + [[0, 1]] * 2 + [[1, 1]] * 2, bool)
    alike, organ = np.repeat(maps[..., None], 2, axis=-1), np.ones((6, 12, 12), np.uint8)
    found = pseudo_labels(
        lambda rows: alike[rows],
        maps,
        organ,
        shown,
        np.zeros(6),
        marked=(8.1 / 144,) * 2,
        background=0.5,
        distinct=False,
    )
    assert (found[:2, 2:4, 2:6] == 1).all() and (found[2:4, 2:4, 2:6] == 2).all()
    assert (
        (found[4:, 2:4, 2:6] == IGNORED).all()
        and not np.isin(found[4:], (1, 2)).any()
        and (found[4:] == 0).any()
    )
    told = pseudo_labels(
        lambda rows: alike[rows], maps, organ, shown, np.zeros(6), marked=(8.1 / 144,) * 2, background=0.5
    )
    assert (told[:4] == found[:4]).all() and np.isin(told[4:, 2:4, 2:6], (1, 2)).all()


def test_a_slice_where_one_of_its_markers_is_not_found_teaches_no_background(rng):
    maps = rng.uniform(0, 0.3, (2, 12, 12, 2)).astype(np.float32)
    maps[0, 2:4, 2:6, 0], maps[:, 7:9, 5:11, 1] = 0.9, 0.8
    shown, organ = np.ones((2, 2), bool), np.ones((2, 12, 12), np.uint8)
    found = pseudo_labels(
        lambda rows: maps[rows],
        maps,
        organ,
        shown,
        np.zeros(2),
        marked=(4.1 / 144, 12.1 / 144),
        background=0.5,
    )
    assert (found[1, 7:9, 5:11] == 2).all() and set(np.unique(found[1]).tolist()) == {2, IGNORED}
    assert 0 in found[0] and (found[0, 2:4, 2:6] == 1).all()


def test_cuts_are_fitted_for_each_marker_on_the_slices_that_show_it(rng):
    network = build_network(THREE, side=8, channels=1)
    table = dataclasses.replace(
        prepared().table.select(np.arange(12)), volume=np.repeat([0, 1], 6), label=np.tile([0, 1], 6)
    )
    slices = SimpleNamespace(
        prepared=SimpleNamespace(
            images=rng.normal(size=(12, 8, 8, 1)).astype(np.float32), organ=np.ones((12, 8, 8), np.uint8)
        ),
        table=table,
        rows=np.arange(12),
        shown=np.array([[0, 0], [1, 0], [0, 0], [0, 1]] * 3, bool),
    )
    marker = Predictor(network)
    assert marker.classes == 2 and marker(slices.prepared.images).shape == (12, 8, 8, 2)
    found = fit_postprocessors(marker, slices, SelectionSection(), PostprocessingConfig(), CLASSES)
    assert list(found) == ["mean", "head_1"] and found["mean"].names == ("one", "two")
    for c, one in enumerate(CLASSES):
        alone = SimpleNamespace(
            head_names=marker.head_names, heads=lambda images: marker.heads(images)[..., c : c + 1]
        )
        own = SimpleNamespace(
            prepared=slices.prepared, rows=slices.rows, table=table, shown=slices.shown[:, c : c + 1]
        )
        single = fit_postprocessors(alone, own, SelectionSection(), PostprocessingConfig(), (one,))["mean"]
        assert found["mean"].parts[c] == single.parts[0]
    fixed = fit_postprocessors(
        marker, slices, SelectionSection(threshold=0.3), PostprocessingConfig(), CLASSES
    )
    assert [part.threshold for part in fixed["mean"].parts] == [0.3, 0.3]


def test_soft_dice_of_lesions_only_leaves_empty_masks_out_and_smooths_as_told(rng):
    masks = np.zeros((2, 8, 8), np.int32)
    masks[0, 2:5, 2:5] = 1
    masks[0, 0, 0] = 255
    organ = np.ones((2, 8, 8), np.float32)
    trainer = SupervisedTrainer(
        build_network(TINY, side=8, channels=2), dice=SoftDiceSection(smoothing=1.0, lesions_only=True)
    )
    batch = {"view_a": rng.normal(size=(2, 8, 8, 2)).astype(np.float32), "organ_a": organ, "mask": masks}
    found = np.asarray(trainer.loss_terms(batch, training=False)["soft_dice"])
    marked = np.asarray(trainer.network(batch["view_a"])["head_1"])[0, ..., 1]
    seen = masks[0] != 255
    truth = masks[0] == 1
    score = 1 - (2 * (marked * truth * seen).sum() + 1) / ((marked * seen).sum() + truth.sum() + 1)
    np.testing.assert_allclose(found, [2 * score, 0], rtol=1e-4)


def test_soft_dice_is_the_mean_over_the_markers_that_a_mask_holds(rng):
    subject = SupervisedTrainer(build_network(THREE, side=16, channels=2))
    view, mask, organ = (
        rng.normal(size=(3, 16, 16, 2)).astype(np.float32),
        rng.integers(0, 3, (3, 16, 16)),
        rng.random((3, 16, 16)) < 0.8,
    )
    mask[0, :4], mask[1][mask[1] == 1], mask[2] = IGNORED, 0, 0  # both, the second alone, none
    batch = {
        "view_a": tf.constant(view),
        "mask": tf.constant(mask, tf.int32),
        "organ_a": tf.constant(organ, tf.float32),
    }
    p = subject.network(view)["head_1"].numpy().astype(float)
    inside = organ & (mask != IGNORED)
    for index, found in enumerate(subject.loss_terms(batch)["soft_dice"].numpy()):
        scores = []
        for c in ((1, 2), (2,), (1, 2))[index]:
            own, truth = p[index, ..., c][inside[index]], (mask[index] == c)[inside[index]]
            scores.append(1 - (2 * (own * truth).sum() + 50) / (own.sum() + truth.sum() + 50))
        assert found == pytest.approx(np.mean(scores), rel=1e-4)


def test_every_label_above_0_is_abnormal_for_a_recipe_of_one_marker():
    images = np.zeros((4, 8, 8, 1), np.float32)
    store = SliceStore(images, images[..., 0], [0, 1, 2, 7], np.ones((4, 1)))
    assert store.labels.tolist() == [0, 1, 1, 1]
