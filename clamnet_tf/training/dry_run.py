"""Measure what a training costs on a few slices: some steps of every stage, whose weights are thrown away."""

import functools
import time
from dataclasses import dataclass

import numpy as np

from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
from clamnet_tf.input_pipeline.pair_sampling import ShuffledPlan
from clamnet_tf.input_pipeline.pipeline import Share
from clamnet_tf.training.assembly import TrainingAssembly
from clamnet_tf.training.precision import set_precision
from clamnet_tf.training.strategy import build_strategy
from clamnet_tf.training.updates import updates
from clamnet_tf.training.workers import Workers

TIMED_STEPS = 2  # after the first one, in which TensorFlow traces the step


@dataclass(frozen=True)
class StageCost:
    """Hold the measured cost of one stage on this machine.

    Attributes:
        name: name of the stage.
        steps: its optimizer steps.
        seconds_to_begin: time of building the network and of the first step.
        seconds_per_step: mean time of a further step.
        seconds_per_slice: time in which its network marks one slice.
        seconds_per_scored_slice: time in which it scores one validation slice; of classifiers, whose score
            needs no attribution, less than `seconds_per_slice`.
        parameters: number of its network's parameters.
    """

    name: str
    steps: int
    seconds_to_begin: float
    seconds_per_step: float
    seconds_per_slice: float
    seconds_per_scored_slice: float
    parameters: int


class _WithoutTeacher(TrainingAssembly):
    """Build the stages with empty masks in place of a teacher's; their cost does not depend on them."""

    def taught_masks(self, number: int, teacher, trainer=None) -> np.ndarray:
        return np.zeros(self.data.organ.shape, np.uint8)


def measure_stages(recipe, manifest, prepared) -> list[StageCost]:
    """Run a few steps of every stage on the prepared slices.

    Args:
        recipe: the resolved recipe.
        manifest: the manifest whose cases have their split.
        prepared: its Prepared slices.

    Returns:
        The cost of every stage, in order.

    Raises:
        DataError: a side has no usable slices or lacks a class.
    """
    set_precision(recipe.runtime.mixed_precision)
    parts = _WithoutTeacher(recipe, manifest, prepared, Workers(build_strategy(recipe.runtime.strategy)))
    costs = []
    for number in parts.numbers:
        began = time.perf_counter()
        stage = parts.stage(number, 0, None)
        dataset = functools.partial(stage.dataset, 0)
        ends = [
            time.perf_counter()
            for _ in updates(stage.trainer, dataset, steps=1 + TIMED_STEPS, asked_to_stop=lambda: False)
        ]
        images = np.asarray(prepared.images[parts.data.rows[:8]], np.float32)
        stage.predictor(images)
        marking = time.perf_counter()
        stage.predictor(images)
        marked = time.perf_counter()
        scoring = marked - marking
        probability = getattr(stage.predictor, "probability", None)
        if probability is not None:  # of classifiers, whose score needs no attribution
            probability(images)
            scored = time.perf_counter()
            probability(images)
            scoring = time.perf_counter() - scored
        costs.append(
            StageCost(
                name=stage.name,
                steps=stage.schedule.steps,
                seconds_to_begin=ends[0] - began,
                seconds_per_step=(ends[-1] - ends[0]) / TIMED_STEPS,
                seconds_per_slice=(marked - marking) / len(images),
                seconds_per_scored_slice=scoring / len(images),
                parameters=stage.predictor.network.count_params(),
            )
        )
    return costs


@dataclass(frozen=True)
class ShownViews:
    """Training slices as a network gets them.

    Attributes:
        rows: (n,) rows of the prepared slices; where `paired`, abnormal and normal partner in turn.
        views: one or two arrays (n, side, side, C) float32.
        paired: whether abnormal slices have a normal partner.
    """

    rows: np.ndarray
    views: tuple[np.ndarray, ...]
    paired: bool


def draw_views(recipe, manifest, prepared, count: int) -> ShownViews:
    """Draw `count` training slices with the plan and the random views of the recipe's first stage.

    Args:
        recipe: the resolved recipe.
        manifest: the manifest whose cases have their split.
        prepared: its Prepared slices.
        count: even number of slices.

    Raises:
        DataError: a side has no usable slices or lacks a class.
    """
    parts = _WithoutTeacher(recipe, manifest, prepared, Workers(build_strategy("one_device")))
    section, matching, seed = recipe.pairs.augmentation, recipe.pairs.matching, recipe.training.seed
    if recipe.self_training.teacher == "attribution":
        section, matching = recipe.attribution.classifier.augmentation, recipe.attribution.classifier.matching
    elif recipe.self_training.teacher == "normal_atlas":
        matching = recipe.self_training.matching
    law, data = AugmentationConfig(**section.model_dump()), parts.data
    if recipe.training.supervision == "masks":
        shuffled = ShuffledPlan(len(data.rows), batch_size=count, seed=seed)
        drawn, masks = shuffled.rows(0), np.zeros(data.organ.shape, np.uint8)
        dataset = data.masked(data.rows, masks, shuffled, law, steps=1, seed=seed)
    else:
        pairs = data.pair_plan(matching=matching.model_dump(), batch_size=count, seed=seed)
        drawn, dataset = pairs.rows(0), data.pairs(pairs, law, steps=1, seed=seed, twin=True)
    batch = next(iter(dataset(0, Share())))
    views = tuple(batch[name].numpy() for name in ("view_a", "view_b") if name in batch)
    return ShownViews(data.rows[drawn], views, paired=len(views) == 2)
