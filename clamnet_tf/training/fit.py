"""One training run from a recipe and a folder to a run folder with a selected model."""

import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from clamnet_tf.data.pairs import PairPlan, ShuffledPlan
from clamnet_tf.data.pipeline import SliceStore, mask_dataset, pair_dataset
from clamnet_tf.data.sealed import mask_firewall
from clamnet_tf.data.views import ViewLaw
from clamnet_tf.errors import DataError
from clamnet_tf.files import atomic_path, write_json
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.inference import MarkerProbability
from clamnet_tf.training import callbacks, checkpoints
from clamnet_tf.training.optimizers import build_optimizer
from clamnet_tf.training.selection import Look, choose, look_at, prevalence_thresholds
from clamnet_tf.training.siamese import SiameseTrainer
from clamnet_tf.training.strategy import build_strategy
from clamnet_tf.training.supervised import SupervisedTrainer, training_masks

LOOKED_AT = 256  # slices per class and look; a fixed, evenly spread sample


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the chosen look and why, seconds trained in this process, or stopped before the end."""

    look: Look | None
    reason: str
    seconds: float
    stopped: bool = False


class StopRequest:
    """Turns the first Ctrl-C (or SIGTERM) into a clean stop after the running step; a second one interrupts at once."""

    def __init__(self):
        self.requested = False
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        return False


def train(recipe, manifest, prepared, run, reporter) -> Outcome:
    """Train, look, select; everything a resumed run needs is in `run` at any moment.

    Args:
        recipe: Recipe, resolved. manifest: with every case's split set. prepared: its Prepared slices.
        run: RunFolder opened for training, locked by the caller. reporter: Reporter.

    Returns:
        Outcome; unless stopped, run.model and run.selection are written.

    Raises:
        DataError: a side has no usable slices or lacks a class. RunError: the checkpoint is of another network.
        TrainingFailure: the loss is not finite.
    """
    section = recipe.training
    keras.utils.set_random_seed(section.seed)
    keras.mixed_precision.set_global_policy("mixed_float16" if section.mixed_precision else "float32")
    table = prepared.table
    usable = (table.area > recipe.data.minimum_organ_fraction) & (table.label >= 0)
    rows = {side: np.flatnonzero(usable & (table.split == side)) for side in ("train", "val")}
    if not len(rows["train"]):
        raise DataError("No training slice shows enough of the organ. Lower data.minimum_organ_fraction, or check organ.method.")
    strategy = build_strategy(section.strategy)
    replicas = strategy.num_replicas_in_sync
    if section.batch_size % (2 * replicas):
        raise DataError(f"training.batch_size: expected a multiple of {2 * replicas} (pairs on {replicas} replicas); received {section.batch_size}.")
    with strategy.scope():
        trainer = _build_trainer(recipe, prepared.images.shape[3])
        trainer.optimizer.build(trainer.trainable_variables)
    path, start = checkpoints.newest_checkpoint(run.checkpoints)
    looks = []
    if path is not None:
        looks = [Look(**row) for row in checkpoints.restore_checkpoint(path, trainer)["looks"]]
        run.truncate_metrics(start)
        reporter.line(f"Resumed at step {start} of {section.steps} from {path.name}.")
    network = trainer.twin if trainer.kind == "ema" else trainer.network
    marker = MarkerProbability(network, head=recipe.inference.head, batch_size=recipe.inference.batch_size, flip_views=recipe.inference.flip_views)
    train_abnormal = _sample(rows["train"][table.label[rows["train"]] > 0])
    look = _looker(recipe, prepared, rows["val"], train_abnormal, marker, run, looks, network)

    def save(step):
        checkpoints.save_checkpoint(run.checkpoints, trainer, step, {"looks": [item.row() for item in looks]})

    dataset = _dataset(recipe, manifest, prepared, rows["train"], start)
    began, stopped = time.perf_counter(), False
    if start < section.steps:
        with StopRequest() as stop, reporter.bar("Training", section.steps, start) as bar:

            def show(step, logs):
                speed = (step - start) * section.batch_size / (time.perf_counter() - began)
                bar.update(step, f"loss {float(logs['loss']):.4f}, {speed:.1f} slices/s")

            flag = callbacks.StopFlag(lambda: stop.requested, save, start=start)
            watchers = [
                callbacks.Progress(show, start=start),
                callbacks.MetricsLog(run, start=start, every=min(10, section.evaluate_every), slices_per_step=section.batch_size),
                callbacks.Looks(look, start=start, every=section.evaluate_every),
                callbacks.Checkpoints(save, start=start, every=section.checkpoint_every),
                flag,
            ]
            fed = dataset if replicas == 1 else strategy.experimental_distribute_dataset(dataset)
            trainer.fit(fed, epochs=1, steps_per_epoch=section.steps - start, callbacks=watchers, verbose=0)
            stopped = flag.stopped and flag.step < section.steps
    seconds = time.perf_counter() - began
    if stopped:
        return Outcome(None, f"stopped at step {flag.step}", seconds, stopped=True)
    chosen, reason = choose(looks, recipe.selection)
    checkpoints.load_weights(_candidate(run, chosen.step), network)
    network.trainable = True
    _save_model(network, run.model)
    write_json(
        run.selection,
        {
            "threshold": chosen.threshold,
            "head_thresholds": _head_thresholds(recipe.selection, marker, prepared, train_abnormal),
            "threshold_rule": _threshold_rule(recipe.selection),
            "prevalence": recipe.selection.prevalence,
            "step": chosen.step,
            "checkpoint_rule": reason,
            "looks": [item.row() for item in looks],
        },
    )
    return Outcome(chosen, reason, seconds)


def _build_trainer(recipe, channels: int):
    """Compiled trainer; call inside the strategy's scope."""
    side, loss = recipe.data.side, recipe.loss
    network = build_network(recipe.network, side=side, channels=channels)
    if recipe.training.supervision == "masks":
        trainer = SupervisedTrainer(network, k=loss.k, head_weights=loss.head_weights, steps=recipe.training.steps)
    else:
        kind = recipe.twin.kind
        twin = build_network(recipe.network, side=side, channels=channels, name="twin") if kind in ("separate", "ema") else None
        options = {
            "k": loss.k,
            "head_weights": loss.head_weights,
            "agreement_weight": loss.agreement.weight,
            "agreement_distance": loss.agreement.distance,
            "agreement_ramp": loss.agreement.ramp,
            "contrast_weight": loss.contrast.weight,
            "contrast_margin": loss.contrast.margin,
            "pooling_power": loss.contrast.pooling_power,
        }
        trainer = SiameseTrainer(network, twin=twin, kind=kind, loss=options, momentum=recipe.twin.momentum, steps=recipe.training.steps)
    trainer.compile(optimizer=build_optimizer(recipe.training.optimizer, steps=recipe.training.steps), jit_compile=recipe.training.xla)
    return trainer


def _dataset(recipe, manifest, prepared, rows, start):
    """The training data from step `start` on."""
    section, table = recipe.training, prepared.table.select(rows)
    eta = np.where(np.isnan(table.eta), recipe.loss.eta, table.eta)
    store = SliceStore(_Rows(prepared.images, rows), _Rows(prepared.organ, rows), table.label, eta)
    law = ViewLaw(**recipe.pairs.views.model_dump())
    common = {"start": start, "steps": section.steps, "seed": section.seed}
    if section.supervision == "masks":
        kept, masks = training_masks(manifest, prepared, rows)
        store = SliceStore(_Rows(prepared.images, rows[kept]), _Rows(prepared.organ, rows[kept]), table.label[kept], eta[kept])
        plan = ShuffledPlan(len(kept), batch_size=section.batch_size, seed=section.seed)
        return mask_dataset(store, masks, plan, law, **common)
    plan = PairPlan(
        table.label,
        {"position": table.position, "area": table.area, "site": table.site},
        batch_size=section.batch_size,
        seed=section.seed,
        matching=recipe.pairs.matching.model_dump(),
    )
    return pair_dataset(store, plan, law, twin=recipe.twin.kind != "none", **common)


class _Rows:
    """A view of some rows of a memory map, indexable like an array of those rows."""

    def __init__(self, array, rows):
        self.array, self.rows, self.shape = array, rows, (len(rows), *array.shape[1:])

    def __getitem__(self, index):
        return self.array[self.rows[index]]


def _sample(rows: np.ndarray) -> np.ndarray:
    """At most LOOKED_AT rows, evenly spread."""
    return rows if len(rows) <= LOOKED_AT else rows[np.linspace(0, len(rows) - 1, LOOKED_AT).round().astype(int)]


def _looker(recipe, prepared, val_rows, train_abnormal, marker, run, looks: list, network):
    """A function of the step that looks at the network, mask-free, and keeps its weights as a candidate."""
    labels = prepared.table.label
    val = np.sort(np.concatenate([_sample(val_rows[labels[val_rows] > 0]), _sample(val_rows[labels[val_rows] == 0])]))
    if not len(train_abnormal) or not len(val):
        raise DataError("Selection needs abnormal training slices and validation slices; received none. Check the split and the labels.")
    writer = tf.summary.create_file_writer(str(run.tensorboard))

    def look(step):
        with mask_firewall():
            seen = look_at(
                marker,
                step,
                (prepared.images[train_abnormal], prepared.organ[train_abnormal]),
                (prepared.images[val], prepared.organ[val], labels[val]),
                recipe.selection,
            )
        looks.append(seen)
        checkpoints.save_weights(_candidate(run, step), network)
        row = {"kind": "look", **seen.row()}
        run.append_metrics(row)
        callbacks.write_summary(writer, row, "validation")

    return look


def _candidate(run, step: int) -> Path:
    return run.checkpoints / f"candidate-{step:08d}.npz"


def _head_thresholds(section, marker, prepared, rows) -> dict:
    """The threshold of every head by itself, by the same rule."""
    if section.threshold != "prevalence":
        return {name: float(section.threshold) for name in marker.head_names}
    maps = dict(zip(marker.head_names, marker.heads(prepared.images[rows])))
    return prevalence_thresholds(maps, prepared.organ[rows], section.prevalence)


def _threshold_rule(section) -> str:
    if section.threshold == "prevalence":
        return (
            f"abnormal training slices mark {section.prevalence:.3f} of the organ on average (the expected size, from the recipe); "
            "fixed on training images, no mask was read"
        )
    return "fixed in the recipe"


def _save_model(network, path: Path) -> None:
    with atomic_path(path) as temporary:
        network.save(temporary)
