"""The model.keras of every entry gives its golden output under Keras's JAX backend, without TensorFlow.

tools/test-jax makes the environment: Keras and JAX, no TensorFlow.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clamnet_tf.zoo.golden import TOLERANCE, golden_difference, golden_input

pytestmark = pytest.mark.jax
ROOT = Path(__file__).resolve().parents[2]
ENTRIES = sorted(path.parent for path in (ROOT / "zoo").glob("*/entry.yaml"))

STRANGER = """
import json, sys
import keras, numpy as np

assert keras.backend.backend() == "jax"
for name, model, image, target in json.loads(sys.argv[1]):
    network = keras.saving.load_model(model)
    outputs = network(np.load(image), training=False)
    assert all(type(value).__module__.startswith("jax") for value in outputs.values())
    np.savez(target, **{head: np.asarray(value) for head, value in outputs.items()})
assert not {"tensorflow", "clamnet_tf"} & {name.split(".")[0] for name in sys.modules}
"""


def golden_of(folder):
    return json.loads((folder / "golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def under_jax(tmp_path_factory):
    """name -> head -> (1, side, side, classes) float32, of every entry in one process of Keras and JAX."""
    tmp, work = tmp_path_factory.mktemp("jax"), []
    for folder in ENTRIES:
        golden, name = golden_of(folder), folder.name
        np.save(tmp / f"{name}.npy", golden_input(golden["side"], golden["channels"]))
        work.append((name, str(folder / "model.keras"), str(tmp / f"{name}.npy"), str(tmp / f"{name}.npz")))
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps(work)],
        capture_output=True,
        text=True,
        cwd=tmp,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: dict(np.load(target)) for name, _, _, target in work}


def numbers_of(probability, pixels):
    """Mean, maximum and the values at `pixels` of a map, as golden.json has them."""
    at = [float(probability[row, column]) for row, column in pixels]
    return {"mean": float(probability.mean()), "maximum": float(probability.max()), "at": at}


@pytest.mark.parametrize("folder", ENTRIES, ids=lambda path: path.name)
def test_jax_gives_the_golden_output(folder, under_jax):
    golden, heads = golden_of(folder), {}
    for name, value in under_jax[folder.name].items():
        probabilities = value[0]
        count = probabilities.shape[-1]
        lesion = probabilities[..., 0] if count == 1 else 1 - probabilities[..., 0]  # sigmoid, or softmax
        heads[name] = numbers_of(lesion, golden["pixels"])
        if count > 2:
            classes = [probabilities[..., index] for index in range(1, count)]
            heads[name]["markers"] = [numbers_of(one, golden["pixels"]) for one in classes]
    kind = "evidence" if "evidence" in golden else "marker_probability"
    difference = golden_difference(golden, {"pixels": golden["pixels"], kind: heads})
    print(f"{folder.name}: largest difference {difference:.1e}")
    assert difference <= (golden["tolerance"] if kind == "evidence" else min(golden["tolerance"], TOLERANCE))
