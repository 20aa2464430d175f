"""The fused Adam against Keras' own: the same steps up to rounding, the same variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.training import fused_adam
from clamnet_tf.training.optimizers import OPTIMIZERS

STEPS = 30


def trained(kind, **options):
    """Weights and the optimizer's own variables after 30 steps on fixed gradients, with a schedule and
    clipping as recipes have them.
    """
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 3, 4, 8), "bias": (8,)}
    weights = [
        keras.Variable(rng.normal(size=shape).astype(np.float32), name=name) for name, shape in shapes.items()
    ]
    rate = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=STEPS, alpha=0.01)
    optimizer = kind(learning_rate=rate, global_clipnorm=1.0, **options)
    optimizer.build(weights)
    step = tf.function(lambda gradients: optimizer.apply(gradients, weights), autograph=False)
    for _ in range(STEPS):
        step([tf.constant(rng.normal(size=one.shape).astype(np.float32)) for one in weights])
    return weights, optimizer.variables, step


@pytest.mark.parametrize(
    ("name", "options"),
    [("Adam", {}), ("Adam", {"beta_1": 0.5, "epsilon": 1e-3}), ("AdamW", {"weight_decay": 0.1})],
)
def test_steps_are_those_of_keras(name, options):
    ours, theirs = (
        trained(getattr(module, name), **options)[:2] for module in (fused_adam, keras.optimizers)
    )
    for one, other in zip([*ours[0], *ours[1]], [*theirs[0], *theirs[1]], strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-5, atol=2e-6)
    assert [(each.name, each.shape) for each in ours[1]] == [(each.name, each.shape) for each in theirs[1]]


def test_recipes_use_it_and_its_graph_is_small():
    assert OPTIMIZERS["adam"] is fused_adam.Adam and OPTIMIZERS["adamw"] is fused_adam.AdamW
    weights, _, step = trained(fused_adam.Adam)
    graph = step.get_concrete_function([tf.zeros(one.shape) for one in weights]).graph
    kinds = [node.op for node in graph.as_graph_def().node]
    assert kinds.count("ResourceApplyAdam") == len(weights)
    theirs = (
        trained(keras.optimizers.Adam)[2]
        .get_concrete_function([tf.zeros(one.shape) for one in weights])
        .graph
    )
    assert len(kinds) < 0.75 * len(theirs.as_graph_def().node)
