"""Every entry: the masks of the golden input are the same with TensorFlow and with ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import pytest

from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.runs import RunFolder
from clamnet_tf.zoo.golden import golden_input

ROOT = Path(__file__).resolve().parents[2]
LARGE = {"ct_trauma", "xray_carcinoma", "xray_lungs", "xray_pneumonia"}  # half of the time of all
ENTRIES = [
    path.parent
    for path in sorted((ROOT / "zoo").glob("*/entry.yaml"))
    if "evidence" not in json.loads((path.parent / "golden.json").read_text())  # only TensorFlow attributes
]


def test_every_entry_with_heads_has_a_model_onnx():
    assert [folder.name for folder in ENTRIES if not (folder / "model.onnx").is_file()] == []


@pytest.mark.parametrize(
    "folder",
    [pytest.param(path, marks=[pytest.mark.slow] if path.name in LARGE else []) for path in ENTRIES],
    ids=lambda path: path.name,
)
def test_golden_masks_are_the_same(folder):
    from clamnet_tf.inference.trained_model import load_trained_model

    run, recipe = RunFolder.open_finished(folder), load_recipe(str(folder / "recipe.yaml"))
    masks = {}
    for engine in ("tensorflow", "onnxruntime"):
        trained = load_trained_model(run, recipe, engine=engine)
        side, channels = trained.probability.input_shape[1:]
        images = golden_input(side, channels)
        organ = (images != 0).any(axis=-1)
        maps = trained.volume(trained.probability(images), images, organ)
        masks[engine] = np.stack([trained.marking.mask(one, inside) for one, inside in zip(maps, organ)])
    np.testing.assert_array_equal(masks["tensorflow"], masks["onnxruntime"])
