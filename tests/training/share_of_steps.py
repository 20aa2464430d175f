"""What one process of tests/training/test_workers.py does: 20 steps of a toy training in one of three ways;
prints JSON.

share_of_steps.py KIND REPLICAS: with TF_CONFIG one process of its cluster, else REPLICAS logical CPUs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent))
STEPS, BATCH, OPT = 20, 8, "sgd"


def main(kind, replicas):
    from clamnet_tf.training.strategy import build_strategy
    from clamnet_tf.training.updates import updates
    from clamnet_tf.training.workers import Workers

    if replicas > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    strategy = build_strategy("mirrored" if replicas > 1 else "auto")
    workers = Workers(strategy)
    trainer, dataset = prepared(kind, strategy)
    told = [sums.tolist() for sums, _ in updates(trainer, dataset, steps=STEPS, asked_to_stop=lambda: False)]
    weights = [np.asarray(variable).ravel().tolist() for variable in trainer.network.trainable_variables]
    heard = workers.from_chief(lambda: {"told": [workers.index, "é"]})
    shared = passes(trainer, workers)
    gathered = workers.gather(np.arange(3, dtype=np.float32) + 10 * workers.index).tolist()
    print(
        json.dumps(
            {
                "weights": weights,
                "told": told,
                "heard": heard,
                "gathered": gathered,
                "shared": shared,
                "index": workers.index,
            }
        ),
        flush=True,
    )
    workers.wait()


def prepared(kind, strategy):
    """A compiled trainer and its data, the same in every process."""
    import keras
    from conftest import LOSS, TINY, toy_slices

    from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
    from clamnet_tf.input_pipeline.pair_sampling import PairPlan
    from clamnet_tf.input_pipeline.pipeline import SliceStore, pair_dataset
    from clamnet_tf.networks.build import build_network
    from clamnet_tf.recipe.schema import OptimizerSection
    from clamnet_tf.training.optimizers import build_optimizer
    from clamnet_tf.training.siamese import SiameseTrainer

    images, organ, labels, _ = toy_slices(np.random.default_rng(0))
    store = SliceStore(images, organ, labels, 0.7 * np.minimum(labels, 1)[:, None])
    plan = PairPlan(
        labels,
        {name: np.zeros(len(labels)) for name in ("position", "area", "site")},
        batch_size=BATCH,
        seed=0,
        matching={"on": "none"},
    )
    law = AugmentationConfig(noise=0.1, rotate_degrees=10.0, channel_loss=0.3)
    keras.utils.set_random_seed(5)
    with strategy.scope():
        section = TINY.model_copy(update={"norm": "group"})
        network = build_network(section, side=16, channels=2)
        twin = build_network(section, side=16, channels=2, name="twin") if kind == "ema" else None
        trainer = SiameseTrainer(network, twin=twin, kind=kind, loss=LOSS, steps=STEPS, momentum=0.9)
        clipped = OptimizerSection(name=OPT, learning_rate=1e-2, clip_norm=0.2)  # below most gradients
        trainer.compile(
            optimizer=build_optimizer(clipped, steps=STEPS, replicas=strategy.num_replicas_in_sync),
            jit_compile=False,
        )
        trainer.optimizer.build(trainer.trainable_variables)
    return trainer, lambda share: pair_dataset(
        store, plan, law, start=0, steps=STEPS, seed=0, twin=True, share=share
    )


def passes(trainer, workers):
    """Mean P(marker) of 7 slices, two per pass."""
    from conftest import toy_slices

    from clamnet_tf.inference.predictor import Predictor

    marker = Predictor(trainer.network, batch_size=2)
    marker.workers = workers
    return marker(toy_slices(np.random.default_rng(0))[0][:7]).mean(axis=(1, 2)).tolist()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
