"""One training run from a recipe and prepared slices to a run folder with a selected model."""

import hashlib
import time
from dataclasses import dataclass

import keras
import numpy as np

from clamnet_tf.data.data_service import DataService
from clamnet_tf.data.pairs import PairPlan, ShuffledPlan
from clamnet_tf.data.pipeline import RowView, SliceStore, mask_dataset, pair_dataset
from clamnet_tf.data.views import ViewLaw
from clamnet_tf.errors import DataError
from clamnet_tf.files import atomic_path, write_json
from clamnet_tf.marking.volume_marking import VolumeSteps
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.classifier import build_classifier
from clamnet_tf.networks.markers import build_marker
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.markers import markers_of
from clamnet_tf.training.initial import begin_with, plan_initial
from clamnet_tf.training.objectives import ObjectiveTrainer, build_objective
from clamnet_tf.training.optimizers import build_optimizer
from clamnet_tf.training.pseudo_labels import marker_pseudo_labels, pseudo_labels
from clamnet_tf.training.selection import Look, look_at, look_at_markers
from clamnet_tf.training.siamese import SiameseTrainer
from clamnet_tf.training.slices import TrainingSlices
from clamnet_tf.training.stage import Stage, StopRequest, run_stage
from clamnet_tf.training.strategy import build_strategy
from clamnet_tf.training.supervised import SupervisedTrainer, training_masks
from clamnet_tf.training.thresholds import fit_markers_markings, fit_markings
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
    section = recipe.training
    slices = TrainingSlices.of(recipe, prepared)
    workers = workers or Workers(build_strategy(recipe.runtime.strategy))
    strategy = workers.strategy
    workers.check_same("Recipe, prepared slices or split", _digest(recipe, prepared, slices))
    _check_replicas(section.batch_size, recipe.runtime.xla, strategy)
    main_channel, channels = recipe.pairs.views.main_channel, prepared.images.shape[3]
    if main_channel is not None and 1 < channels <= main_channel:
        raise DataError(f"pairs.views.main_channel: expected 0 to {channels - 1}, or null, since these images have {channels} channels; received {main_channel}.")
    initial = load_network(run.initial) if run and run.initial.exists() else None
    if initial is not None:
        scratch = {} if recipe.first_round else {"first network": _network(recipe, channels, None)}
        if recipe.self_training.rounds:
            scratch["self-training"] = build_network(recipe.self_training.network, side=recipe.data.side, channels=channels)
        plan_initial(initial, scratch, run, reporter)
    began, marker, looks, first_step = time.perf_counter(), None, [], 0
    with StopRequest() as stop:
        for number in range(recipe.first_round, 1 + recipe.self_training.rounds):
            keras.utils.set_random_seed(recipe.training.seed + number)
            build = _first_stage if number == 0 else _round
            stage = build(recipe, manifest, prepared, slices, workers, number, first_step, marker, initial, reporter.line)
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


def _check_replicas(batch_size: int, xla: bool, strategy) -> None:
    """DataError when the batch does not divide, or XLA would have to compile the exchange between CPUs, which it cannot."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % (2 * replicas):
        raise DataError(f"training.batch_size: expected a multiple of {2 * replicas}, pairs on {replicas} replicas; received {batch_size}.")
    if xla and replicas > 1 and any("CPU" in device for device in strategy.extended.worker_devices):
        raise DataError(f"runtime.xla: expected false, since XLA cannot compile what {replicas} replicas on CPUs exchange; received true.")


def _first_stage(recipe, manifest, prepared, slices, workers, number, first_step, marker, initial, say) -> Stage:
    """From image labels, or from masks in supervised mode."""
    channels, section = prepared.images.shape[3], recipe.training
    supervised = section.supervision == "masks"
    with workers.strategy.scope():
        network = _network(recipe, channels, initial)
        if supervised:
            trainer = SupervisedTrainer(network, k=recipe.loss.k, head_weights=recipe.loss.head_weights)
        elif recipe.loss.objective == "hybrid":
            trainer = _siamese(recipe, network, channels, initial)
        else:
            trainer = ObjectiveTrainer(network, build_objective(recipe.loss, recipe.selection.prevalence))
        _compile(trainer, recipe, section.steps, workers)
    if supervised:
        kept, masks = training_masks(manifest, prepared, slices.rows, max(1, len(_names(recipe))), say)
        rows = slices.rows[kept]
        plan = ShuffledPlan(len(rows), batch_size=section.batch_size, seed=section.seed)
        dataset = _mask_data(recipe, slices, rows, plan, masks, section.steps, section.seed)
    else:
        dataset = _pair_data(recipe, slices)
    return _stage(recipe, slices, workers, "supervised" if supervised else "image-labels", first_step, section.steps, trainer, dataset)


def _round(recipe, manifest, prepared, slices, workers, number, first_step, marker, initial, say) -> Stage:
    """A fresh network (or one with the initial weights) taught by the marks of the one before, or of the atlas."""
    own, rows, markers = recipe.self_training, slices.rows, markers_of(recipe)
    images, organ = RowView(prepared.images, rows), RowView(prepared.organ, rows)

    def maps_of(some):
        if marker:
            return marker(images[some])
        unusual = prepared.atlas.probability(images[some], organ[some])
        return np.repeat(unusual[..., None], len(markers), axis=-1) if markers else unusual

    seen = maps_of, images, prepared.organ[rows]
    options = {"background": own.background, "steps": VolumeSteps.of(recipe.inference)}
    if markers:
        masks = marker_pseudo_labels(*seen, slices.shown[rows], slices.table.volume[rows], marked=[one.prevalence for one in markers], told_apart=marker is not None, **options)
    else:
        share = own.marker or recipe.selection.prevalence
        masks = pseudo_labels(*seen, slices.table.label[rows], slices.table.volume[rows], marked=share, **options)
    with workers.strategy.scope():
        network = build_network(own.network, side=recipe.data.side, channels=prepared.images.shape[3])
        begin_with(initial, network)
        trainer = SupervisedTrainer(network, k=recipe.loss.k)
        _compile(trainer, recipe, own.steps, workers)
    seed = recipe.training.seed + number
    dataset = _mask_data(recipe, slices, rows, _pair_plan(recipe, slices.table.select(rows), seed, own.matching), masks, own.steps, seed)
    return _stage(recipe, slices, workers, f"self-training-{number}", first_step, own.steps, trainer, dataset)


def _stage(recipe, slices, workers, name, first_step, steps, trainer, dataset) -> Stage:
    inference = recipe.inference
    network = trainer.twin if trainer.kind == "ema" else trainer.network
    marker = build_marker(network, inference, head=inference.head if f"head_{inference.head}" in network.output else "mean")
    marker.workers = workers
    markers, section, power = markers_of(recipe), recipe.selection, recipe.loss.contrast.pooling_power

    def look(step):
        if markers:
            return look_at_markers(marker, step, slices.training_markers(), slices.validation_markers(), section, markers, power)
        return look_at(marker, step, slices.training_abnormal(), slices.validation(), section, power)

    return Stage(name, first_step, steps, trainer, marker, dataset, look)


def _network(recipe, channels, initial):
    """The first network, with the initial weights when there are any."""
    build = build_classifier if recipe.loss.objective == "classification" else build_network
    network = build(recipe.network, side=recipe.data.side, channels=channels)
    begin_with(initial, network)
    return network


def _siamese(recipe, network, channels, initial) -> SiameseTrainer:
    loss, kind = recipe.loss, recipe.twin.kind
    twin = build_network(recipe.network, side=recipe.data.side, channels=channels, name="twin") if kind in ("separate", "ema") else None
    if twin is not None:
        begin_with(initial, twin)
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
    return SiameseTrainer(network, twin=twin, kind=kind, loss=options, momentum=recipe.twin.momentum, steps=recipe.training.steps)


def _compile(trainer, recipe, steps, workers) -> None:
    optimizer = build_optimizer(recipe.training.optimizer, steps=steps, replicas=workers.strategy.num_replicas_in_sync)
    trainer.compile(optimizer=optimizer, jit_compile=recipe.runtime.xla)
    trainer.optimizer.build(trainer.trainable_variables)


def _store(recipe, slices, rows) -> SliceStore:
    prepared, table = slices.prepared, slices.table
    eta = np.where(np.isnan(table.eta[rows]), recipe.loss.eta, table.eta[rows])
    markers = markers_of(recipe)
    if not markers:
        return SliceStore(RowView(prepared.images, rows), RowView(prepared.organ, rows), table.label[rows], eta)
    of_markers = np.where(np.isnan(table.eta[rows])[:, None], [one.eta for one in markers], table.eta[rows][:, None])
    return SliceStore(RowView(prepared.images, rows), RowView(prepared.organ, rows), table.label[rows], eta, of_markers * slices.shown[rows])


def _pair_plan(recipe, table, seed, matching) -> PairPlan:
    columns = {"position": table.position, "area": table.area, "site": table.site}
    return PairPlan(table.label, columns, batch_size=recipe.training.batch_size, seed=seed, matching=matching.model_dump())


def _pair_data(recipe, slices):
    """(start, Share) -> the pairs of the remaining steps."""
    section, rows = recipe.training, slices.rows
    store, plan = _store(recipe, slices, rows), _pair_plan(recipe, slices.table.select(rows), section.seed, recipe.pairs.matching)
    law, twin, service = ViewLaw(**recipe.pairs.views.model_dump()), recipe.twin.kind != "none", _service(recipe, slices)
    return lambda start, share: pair_dataset(store, plan, law, start=start, steps=section.steps, seed=section.seed, twin=twin, share=share, service=service)


def _mask_data(recipe, slices, rows, plan, masks, steps, seed):
    """(start, Share) -> views with masks (true or taught) of the remaining steps."""
    store, law, service = _store(recipe, slices, rows), ViewLaw(**recipe.pairs.views.model_dump()), _service(recipe, slices)
    return lambda start, share: mask_dataset(store, masks, plan, law, start=start, steps=steps, seed=seed, share=share, service=service)


def _service(recipe, slices):
    """What makes the batches, or None: this process; arrays that are in no file go into the cache."""
    address = recipe.runtime.data_service
    return None if address is None else DataService(address, slices.prepared.cache / "data-service")


def _digest(recipe, prepared, slices) -> str:
    """What must be the same in all workers."""
    labels = np.ascontiguousarray(slices.table.label[slices.rows]).tobytes() + slices.shown[slices.rows].tobytes()
    rows = hashlib.sha256(slices.rows.tobytes() + labels).hexdigest()
    return f"{recipe.model_dump_json()} {prepared.key} {rows}"


def _names(recipe) -> tuple:
    return tuple(one.name for one in markers_of(recipe))


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
