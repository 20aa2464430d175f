"""Overrides that change nothing are named, and those that change something are not."""

import pytest

from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.unused import unused_settings


@pytest.mark.parametrize(
    ("name", "override", "instead"),
    [
        ("xray_trauma", "training.steps=2000", "attribution.classifier.steps"),
        ("xray_trauma", "training.batch_size=8", "attribution.classifier.batch_size"),
        ("xray_trauma", "training.optimizer.learning_rate=0.1", "attribution.classifier.optimizer"),
        ("xray_trauma", "attribution.share=0.1", None),
        ("ct_nodule", "training.steps=2000", "self_training.steps"),
        ("ct_pneumonia", "network.norm=batch", "self_training.network"),
    ],
)
def test_what_changes_nothing_is_named(name, override, instead):
    (sentence,) = unused_settings(load_recipe(name, [override]), [override, "training.seed=3"])
    assert sentence.startswith(f"--set {override} changes nothing")
    assert (f"Use {instead}" in sentence) if instead else ("Use" not in sentence)


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("xray_trauma", "attribution.classifier.steps=200"),
        ("ct_nodule", "training.batch_size=16"),
        ("ct_nodule", "attribution.share=0.1"),
        ("mri_carcinoma", "training.steps=20"),
        ("mri_carcinoma", "network.norm=none"),
        ("ct_trauma", "self_training.steps=20"),
        ("ct_trauma", "pairs.augmentation.noise=0.1"),
    ],
)
def test_what_is_used_is_not_named(name, override):
    assert unused_settings(load_recipe(name, [override]), [override]) == []
