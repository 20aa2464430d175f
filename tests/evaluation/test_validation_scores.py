"""Slice scores of validation patients: which slices, in which order, and the scores of the walk."""

from types import SimpleNamespace

import numpy as np
import pytest

from clamnet_tf.evaluation import validation_scores as module
from clamnet_tf.evaluation.score_figures import NO_VALIDATION, SAME_PATIENTS
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.metrics.localisation import image_score
from clamnet_tf.preprocessing.slice_table import SliceTable
from clamnet_tf.recipe.classes import UNNAMED

SIDE, SLICES = 8, 3
SPLITS = ("train", "val", "val", "test")


class Predictor:
    """Takes the image itself as the map of the one head, and counts its slices."""

    def __init__(self):
        self.seen = []

    def heads(self, images):
        self.seen += images[:, 0, 0, 0].tolist()
        return images[None]

    def combine(self, heads):
        return heads[0]


@pytest.fixture
def prepared(rng):
    """Four volumes of three slices; of volume 1 the first slice has no label and the last no organ."""
    count = len(SPLITS) * SLICES
    columns = {name: np.zeros(count) for name in SliceTable.__dataclass_fields__}
    columns |= {
        "split": np.repeat(SPLITS, SLICES),
        "volume": np.repeat(np.arange(len(SPLITS)), SLICES),
        "patient": np.repeat([f"p{number}" for number in range(len(SPLITS))], SLICES),
        "label": np.tile([0, 1, 0], len(SPLITS)),
        "markers": np.full(count, ""),
        "box": np.tile([0, 0, SIDE, SIDE, SIDE], (count, 1)),
    }
    columns["label"][3] = -1
    organ = np.ones((count, SIDE, SIDE), np.uint8)
    organ[5] = 0
    images = rng.random((count, SIDE, SIDE, 1)).astype(np.float32)
    return SimpleNamespace(table=SliceTable(**columns), images=images, organ=organ)


@pytest.fixture
def trained():
    return SimpleNamespace(
        probability=Predictor(),
        volume=lambda maps, images, organs: maps,
        classes=(UNNAMED,),
        marking=ThresholdRule(0.5, "by hand"),
    )


def test_labelled_validation_slices_with_an_organ_are_scored(prepared, trained):
    found = module.validation_scores(trained, prepared, "test")
    rows = [4, 6, 7, 8]
    assert found.labels.tolist() == [True, False, True, False] and found.patients == 2
    expected = [image_score(prepared.images[row, ..., 0], prepared.organ[row]) for row in rows]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)
    # helpers of a cluster predict exactly these rows, in this order
    order = np.concatenate(list(module.volumes_of(prepared, module.validation_rows(prepared, "test"))))
    assert trained.probability.seen == prepared.images[order, 0, 0, 0].tolist()


@pytest.mark.parametrize("split", ["val", None])
def test_patients_that_are_evaluated_fit_no_temperature(prepared, trained, split):
    found = module.validation_scores(trained, prepared, split)
    assert not found.scores.size and found.reason == SAME_PATIENTS and not trained.probability.seen


def test_without_labels_or_validation_patients_there_is_a_reason(prepared, trained):
    prepared.table.label[3:9] = -1
    assert module.validation_scores(trained, prepared, "test").reason == NO_VALIDATION
    prepared.table.split[:] = "test"
    for split in ("test", None):
        assert module.validation_scores(trained, prepared, split).reason == NO_VALIDATION
    assert not trained.probability.seen


def test_of_many_slices_whole_volumes_are_taken(prepared, monkeypatch):
    monkeypatch.setattr(module, "MOST_SLICES", 4)
    rows = module.validation_rows(prepared, "test")
    assert len(rows) == SLICES and len(set(prepared.table.volume[rows])) == 1
