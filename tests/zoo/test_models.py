"""`clamnet_tf.load` and `clamnet_tf.build`, and the lines of README that a stranger would copy."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import nibabel
import numpy as np
import pytest

import clamnet_tf
from clamnet_tf.errors import NetworkError, RecipeError, ZooError
from clamnet_tf.zoo.golden import golden_input

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def network():
    return clamnet_tf.load("mri_carcinoma")


def test_a_name_gives_the_shipped_network(network):
    assert isinstance(network, keras.Model) and network.input_shape == (None, 128, 128, 3)
    assert (
        list(network.output) == ["head_1", "head_2", "head_3"]
        and network.trainable
        and network.trainable_weights
    )
    stored = keras.saving.load_model(ROOT / "zoo" / "mri_carcinoma" / "model.keras")
    image = golden_input(128, 3)
    for head, value in stored(image).items():
        np.testing.assert_array_equal(value, network(image)[head])


def test_one_head_is_the_pruned_network(network):
    pruned = clamnet_tf.load("mri_carcinoma", head=2, trainable=False)
    image = golden_input(128, 3)
    assert (
        list(pruned.output) == ["head_2"]
        and pruned.count_params() < network.count_params()
        and pruned.trainable_weights == []
    )
    np.testing.assert_allclose(pruned(image)["head_2"], network(image)["head_2"], atol=1e-6)
    with pytest.raises(NetworkError, match=r"head: expected one of \[1, 2, 3\], received 4"):
        clamnet_tf.load("mri_carcinoma", head=4)
    with pytest.raises(ZooError, match="nearest name mri_carcinoma"):
        clamnet_tf.load("mri_carcinome")


def test_a_recipe_by_name_path_or_object_gives_its_network(tmp_path):
    recipe = clamnet_tf.load_recipe(
        "mri_carcinoma",
        ["network.depth=2", "network.filters=[4, 6]", "network.kernels=[3, 3]", "data.side=32"],
    )
    classifiers = clamnet_tf.build("ct_nodule", channels=1, stage="first")
    assert list(classifiers.output) == ["evidence_1", "evidence_2"]
    first = clamnet_tf.build(recipe, channels=2, stage="first")
    assert first.input_shape == (None, 32, 32, 2) and list(first.output) == ["head_1"]
    assert [layer.name for layer in clamnet_tf.build("mri_carcinoma", channels=3).layers] == [
        layer.name for layer in clamnet_tf.load("mri_carcinoma").layers
    ]
    own = recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"channels": [1]}),
            "self_training": recipe.self_training.model_copy(update={"rounds": 0}),
        }
    )
    assert clamnet_tf.build(own, side=64).input_shape == (None, 64, 64, 1)
    with pytest.raises(
        NetworkError,
        match=r"channels: expected a number, since data\.channels of the recipe mri_carcinoma keeps all "
        r"channels",
    ):
        clamnet_tf.build(recipe)
    with pytest.raises(NetworkError, match="stage: expected first or last, received 'second'"):
        clamnet_tf.build(recipe, channels=1, stage="second")
    with pytest.raises(RecipeError, match="nearest valid name mri_carcinoma"):
        clamnet_tf.build("mri_carcinome")


def test_the_three_lines_of_readme_run(tmp_path):
    """On a study of three files: a head of noise, since the lines are what is tried and not the marks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    three, _ = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(three.strip().splitlines()) == 3
    rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:64, :64]
    head = ((rows - 32) ** 2 + (columns - 32) ** 2 < 25**2)[..., None] * rng.uniform(50, 200, (64, 64, 4))
    (tmp_path / "study").mkdir()
    for name in ("p_T1", "p_FLAIR", "p_T1POST"):
        image = nibabel.Nifti1Image(head.astype(np.int16), np.diag([3.0, 3.0, 5.0, 1.0]))
        nibabel.save(image, tmp_path / "study" / f"{name}.nii.gz")
    script = f"import clamnet_tf\n{three}\nprint(result.mask.shape, model.channels)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "(4, 64, 64) 3" in done.stdout
    assert nibabel.load(tmp_path / "mask.nii.gz").shape == (64, 64, 4)


def test_the_lines_of_readme_run(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, script = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for line in script.splitlines() if line.strip()]
    assert len(lines) == 10
    script += "\nprint('marked', marked.shape, marked.dtype)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^marked \(4, 128, 128\) bool$", done.stdout, flags=re.MULTILINE)
