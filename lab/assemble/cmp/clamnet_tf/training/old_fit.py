"""One training run from a recipe and prepared slices to a run folder with a selected model."""

import hashlib
import time
from dataclasses import dataclass

import keras
import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.files import atomic_path, write_json
from clamnet_tf.marking.volume_marking import VolumeSteps
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.markers import markers_of
from clamnet_tf.training.initial import plan_initial
from clamnet_tf.training.selection import Look
from clamnet_tf.training.slices import TrainingSlices
from clamnet_tf.training.old_stage import StopRequest, run_stage
from clamnet_tf.training.old_stage_builder import StageBuilder
from clamnet_tf.training.strategy import build_strategy
from clamnet_tf.training.thresholds import fit_markers_markings, fit_markings
from clamnet_tf.training.trainable import check_trainable
from clamnet_tf.training.workers import Workers


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the chosen look and why, seconds trained in this process, the network as MarkerProbability; look is
    None when it was stopped."""

    look: Look | None
    reason: str
    seconds: float
    marker: object = None


def train(recipe, manifest, prepared, run, reporter, workers=None) -> Outcome:
    """Train, look, select; whatever a resumed run needs is in `run` at any moment.

    Stages: the first network (from image labels, or from masks in supervised mode), then the rounds of self-training.
    When the run has initial weights (fit --init), the network of every stage starts from what fits of them.

    Args:
        recipe: Recipe, resolved. manifest: with every case's split set. prepared: its Prepared slices.
        run: RunFolder opened for training, locked by the caller; None in a process of a cluster that is not the chief.
        reporter: Reporter. workers: Workers of the cluster; None: this process alone, with the recipe's strategy.

    Returns:
        Outcome; unless stopped, run.model and run.selection are written.

    Raises:
        DataError: a side has no usable slices or lacks a class. RunError: the checkpoint is of another network.
        TrainingFailure: the loss is not finite.
    """
    keras.mixed_precision.set_global_policy("mixed_float16" if recipe.runtime.mixed_precision else "float32")
    slices = TrainingSlices.of(recipe, prepared)
    workers = workers or Workers(build_strategy(recipe.runtime.strategy))
    strategy = workers.strategy
    workers.check_same("Recipe, prepared slices or split", _digest(recipe, prepared, slices))
    _check_replicas(recipe, strategy)
    check_trainable(recipe, manifest, prepared)
    if recipe.learns_from_pairs and recipe.network.norm == "batch":
        leak = "statistics of a batch that is half abnormal tell every pixel the label"
        reporter.line(f"Note: network.norm batch: {leak}; group norm marks better (recipes/EXPERIMENTS.md, row 45).")
    initial = load_network(run.initial) if run and run.initial.exists() else None
    builder = StageBuilder(recipe, manifest, prepared, slices, workers, initial, reporter.line)
    if initial is not None:
        plan_initial(initial, builder.untrained(), run, reporter)
    began, marker, looks, first_step = time.perf_counter(), None, [], 0
    with StopRequest() as stop:
        for number in range(recipe.first_round, 1 + recipe.self_training.rounds):
            keras.utils.set_random_seed(recipe.training.seed + number)
            stage = builder.build(number, first_step, marker)
            ended = run_stage(stage, recipe, run, reporter, stop, workers)
            if ended is None:
                return Outcome(None, "stopped on request", time.perf_counter() - began)
            chosen, reason, seen = ended
            looks += [{"stage": stage.name, **look.row()} for look in seen]
            reporter.line(f"{stage.name}: kept step {chosen.step}; {reason}.")
            marker, first_step = stage.marker, first_step + stage.steps
    marker.network.trainable = True
    steps, markers = VolumeSteps.of(recipe.inference), markers_of(recipe)
    if markers:
        markings = fit_markers_markings(marker, slices, recipe.selection, steps, markers)
    else:
        markings = fit_markings(marker, slices, recipe.selection, steps)
    if run:
        with atomic_path(run.model) as temporary:
            marker.network.save(temporary)
        write_json(
            run.selection,
            {
                "markings": {name: marking.row() for name, marking in markings.items()},
                "threshold_rule": _threshold_rule(recipe.selection, markers),
                "prevalence": {one.name: one.prevalence for one in markers} or recipe.selection.prevalence,
                "step": chosen.step,
                "checkpoint_rule": reason,
                "seconds": round(time.perf_counter() - began, 1),
                "looks": looks,
                **({"normal_atlas": prepared.atlas.row()} if prepared.atlas else {}),
            },
        )
    return Outcome(chosen, reason, time.perf_counter() - began, marker)


def _check_replicas(recipe, strategy) -> None:
    """DataError when a batch does not divide, or XLA would have to compile the exchange between CPUs, which it cannot."""
    replicas = strategy.num_replicas_in_sync
    sizes = {"training.batch_size": recipe.training.batch_size}
    if recipe.self_training.teacher == "attribution":
        sizes["attribution.classifier.batch_size"] = recipe.attribution.classifier.batch_size
    for key, size in sizes.items():
        if size % (2 * replicas):
            raise DataError(f"{key}: expected a multiple of {2 * replicas}, pairs on {replicas} replicas; received {size}.")
    if recipe.runtime.xla and replicas > 1 and any("CPU" in device for device in strategy.extended.worker_devices):
        raise DataError(f"runtime.xla: expected false, since XLA cannot compile what {replicas} replicas on CPUs exchange; received true.")


def _digest(recipe, prepared, slices) -> str:
    """What must be the same in all workers."""
    labels = np.ascontiguousarray(slices.table.label[slices.rows]).tobytes() + slices.shown[slices.rows].tobytes()
    rows = hashlib.sha256(slices.rows.tobytes() + labels).hexdigest()
    return f"{recipe.model_dump_json()} {prepared.key} {rows}"


def _threshold_rule(section, markers) -> str:
    if section.threshold == "prevalence":
        marked = f"abnormal training slices mark {section.prevalence:.3f} of the organ"
        if markers:
            marked = "training slices mark " + ", ".join(f"{one.prevalence:.3f} of the organ as {one.name}" for one in markers) + " where they show it,"
        return (
            f"{marked} on average (the expected size, from the recipe); "
            "fixed on training images, no mask was read"
        )
    return "fixed in the recipe"
