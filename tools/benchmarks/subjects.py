"""Define what is measured: sizes of the full and the quick bench, networks, batches and steps on both
sides.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
from clamnet_tf.input_pipeline.pair_sampling import PairPlan
from clamnet_tf.input_pipeline.pipeline import SliceStore, pair_dataset
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.cost import network_cost
from clamnet_tf.networks.grid import grid_of
from clamnet_tf.recipe.schema import NetworkSection
from clamnet_tf.training.fused_adam import Adam
from clamnet_tf.training.precision import set_precision
from clamnet_tf.training.siamese import SiameseTrainer
from clamnet_tf.training.supervised import SupervisedTrainer

#: The options of the recipes' hybrid loss, agreement and contrast.
LOSS = {
    "k": 1,
    "head_weights": None,
    "agreement_weight": 0.5,
    "agreement_distance": "squared",
    "agreement_ramp": 0.25,
    "contrast_weight": 0.5,
    "contrast_margin": 0.7,
    "pooling_power": 6.0,
}
#: Views with everything in them, affine included.
LAW = AugmentationConfig(rotate_degrees=10.0, zoom=(0.9, 1.1), intensity=0.2, noise=0.05)


@dataclass(frozen=True)
class Size:
    """Hold one size of the bench.

    Attributes:
        side: Side of the slices, in pixels.
        filters: Filters per level.
        batches: Batch sizes of the training step.
        slices, volumes: Numbers to prepare.
        pipeline_batches: Batches per round of the pipeline.
    """

    side: int = 256
    filters: tuple = (32, 64, 128, 256, 512)
    batches: tuple = (2, 4)
    rounds: int = 3
    slices: int = 2000
    pipeline_batches: int = 64
    loop_steps: int = 6
    name: str = "full"

    def section(self, norm: str) -> NetworkSection:
        """Return the UNet++ of the bench: halving by strides, transposed convolutions, a head on every
        column.
        """
        return NetworkSection(
            depth=len(self.filters), filters=list(self.filters), kernels=[3] * len(self.filters), norm=norm
        )

    def network(self, norm: str, side: int | None = None) -> keras.Model:
        keras.utils.set_random_seed(0)
        return build_network(self.section(norm), side=side or self.side, channels=1)

    def gflop(self, side: int | None = None) -> float:
        """Return the GFLOP of a forward pass of one slice."""
        section = self.section("batch")
        grid = grid_of(section)
        return network_cost(section, grid, list(grid.heads), side=side or self.side, channels=1).gflop


FULL = Size()
QUICK = Size(
    side=32,
    filters=(4, 6, 8),
    batches=(2,),
    rounds=1,
    slices=24,
    pipeline_batches=2,
    loop_steps=2,
    name="quick",
)


def our_step(network, batch: int, mixed: bool | str = False):
    """Return a callable: one optimizer step of this project on a fixed batch with masks.

    `mixed` is the recipe's runtime.mixed_precision.
    """
    set_precision(mixed)
    trainer = SupervisedTrainer(network)
    set_precision(False)
    trainer.compile(optimizer=Adam(1e-4), jit_compile=False)
    trainer.optimizer.build(trainer.trainable_variables)
    images, truth = _batch(network, batch)
    data = {"view_a": tf.constant(images), "organ_a": tf.ones(images.shape[:3]), "mask": tf.constant(truth)}
    step = tf.function(trainer.update, autograph=False)
    return lambda: step(data).numpy()


def plain_step(network, batch: int):
    """Return a callable: one optimizer step as Keras itself makes it.

    It is `train_on_batch` with stock layers and the cross-entropy of every head.
    """
    network.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss=dict.fromkeys(network.output, "sparse_categorical_crossentropy"),
        jit_compile=False,
    )
    images, truth = _batch(network, batch)
    return lambda: network.train_on_batch(images, dict.fromkeys(network.output, truth))


def siamese_trainer(network, kind: str, steps: int = 1000) -> SiameseTrainer:
    """Return a trainer; kind "shared": two views, consistency loss and contrast; "none": a single view."""
    trainer = SiameseTrainer(network, kind=kind, loss=LOSS, steps=steps)
    trainer.compile(optimizer=Adam(1e-4), jit_compile=False)
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def siamese_step(network, kind: str, batch: int):
    """Return a callable: one step of image-label training on a fixed batch of the pipeline."""
    trainer = siamese_trainer(network, kind)
    data = next(iter(pairs(network.input.shape[1], batch, steps=1, twin=kind != "none")(0)))
    step = tf.function(trainer.update, autograph=False)
    return lambda: step(data).numpy()


def pairs(side: int, batch: int, *, steps: int, twin: bool = True, slices: int = 64):
    """Return a callable, start -> tf.data of augmented pairs from prepared slices (float16, as in the
    cache).
    """
    rng = np.random.default_rng(0)
    images = rng.normal(size=(slices, side, side, 1)).astype(np.float16)
    organ = np.ones((slices, side, side), np.uint8)
    labels = np.arange(slices) % 2
    columns = {"position": rng.random(slices), "area": rng.random(slices), "site": np.zeros(slices, int)}
    plan = PairPlan(
        labels,
        columns,
        batch_size=batch,
        seed=0,
        matching={"on": "position", "tolerance": 0.05, "same_site": True},
    )
    store = SliceStore(images, organ, labels, 0.7 * labels[:, None])
    return lambda start, *share: pair_dataset(
        store,
        plan,
        LAW,
        start=start,
        steps=steps,
        seed=0,
        twin=twin,
        **({"share": share[0]} if share else {}),
    )


def slices_for(network, batch: int) -> np.ndarray:
    """Return (batch, side, side, C) float32 noise."""
    return np.random.default_rng(0).normal(size=(batch, *network.input.shape[1:])).astype(np.float32)


def _batch(network, batch: int):
    images = slices_for(network, batch)
    return images, np.random.default_rng(1).integers(0, 2, images.shape[:3]).astype(np.int32)
