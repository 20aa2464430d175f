"""Run one training from a recipe and prepared slices to a run folder with a selected model."""

import time
from dataclasses import dataclass

from clamnet_tf.files import atomic_path, write_json
from clamnet_tf.networks.evidence_maps import is_evidence_maps
from clamnet_tf.networks.half_precision import store_in_half
from clamnet_tf.networks.saved import load_network
from clamnet_tf.preprocessing.mask_table import write_uses
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.training.assembly import TrainingAssembly
from clamnet_tf.training.initial import plan_initial
from clamnet_tf.training.precision import set_precision
from clamnet_tf.training.selection import CheckpointScore
from clamnet_tf.training.shared_classifiers import take_classifiers
from clamnet_tf.training.stage import Session, StopRequest, run_stage
from clamnet_tf.training.strategy import build_strategy, check_replicas
from clamnet_tf.training.thresholds import cut_facts
from clamnet_tf.training.trainable import check_trainable
from clamnet_tf.training.workers import Workers


@dataclass(frozen=True)
class TrainingResult:
    """The end of a run.

    Attributes:
        look: the chosen checkpoint score; None when the run was stopped.
        reason: why it was chosen.
        seconds: time trained, in this process and before; of a run that took another one's classifiers, their
            training included.
        marker: predictor of the trained network; None when the run was stopped.
    """

    look: CheckpointScore | None
    reason: str
    seconds: float
    marker: object = None


def train(
    recipe: Recipe, manifest, prepared, run, reporter, workers: Workers | None = None, classifiers=None
) -> TrainingResult:
    """Train the stages, score checkpoints and select one; `run` always holds what a resumed run needs.

    Stages: the first network (from image labels, from masks in supervised mode, or from both) or the
    classifiers of an attribution, then the rounds of self-training. Without a round, the classifiers'
    attribution is the result. When the run has initial weights (fit --init), the network of every stage
    starts from what fits of them.

    Args:
        recipe: the resolved recipe.
        manifest: the manifest whose cases have their split.
        prepared: its Prepared slices.
        run: RunFolder opened for training, locked by the caller; None in a process of a cluster that is not
            the chief.
        reporter: Reporter.
        workers: Workers of the cluster; None: this process alone, with the recipe's strategy.
        classifiers: RunFolder of a run whose trained classifiers are taken (fit --classifiers), or None.

    Returns:
        The result; unless stopped, run.model and run.selection are written.

    Raises:
        DataError: a side has no usable slices or lacks a class.
        RunError: the checkpoint is of another network, or the classifiers are those of another training.
        TrainingFailure: the loss is not finite.
    """
    runtime = recipe.runtime
    set_precision(runtime.mixed_precision)
    workers = workers or Workers(build_strategy(runtime.strategy))
    initial = load_network(run.initial) if run and run.initial.exists() else None
    parts = TrainingAssembly(recipe, manifest, prepared, workers, initial, reporter.line)
    workers.check_same("Recipe, prepared slices or split", parts.key)
    check_replicas(workers.strategy, parts.batch_sizes, xla=runtime.xla)
    check_trainable(recipe, manifest, prepared)
    if recipe.learns_from_pairs and recipe.network.norm == "batch":
        leak = "statistics of a batch that is half abnormal reveal the label to every pixel"
        reporter.line(
            f"Note: network.norm batch: {leak}; group norm segments better (recipes/EXPERIMENTS.md, row 45)."
        )
    if run and recipe.training.supervision != "labels":
        write_uses(run.masks, parts.teaching.uses)
    if initial is not None:
        plan_initial(initial, parts.untrained(), run, reporter)
    if run and classifiers is not None:
        take_classifiers(classifiers, run, parts.key_of_classifiers, reporter.line)
    return _all_stages(parts, run, reporter)


def _all_stages(parts: TrainingAssembly, run, reporter) -> TrainingResult:
    """Run the stages one after the other, fix the cuts and write the model."""
    began, earlier, predictor, scores, first_step = time.perf_counter(), 0.0, None, [], 0

    def seconds():
        return time.perf_counter() - began + earlier

    with StopRequest() as stop:
        session = Session(run, reporter, stop, parts.workers)
        for place, number in enumerate(parts.numbers, start=1):
            stage = parts.stage(number, first_step, predictor)
            ended = run_stage(stage, session, f"stage {place} of {len(parts.numbers)}")
            if ended is None:
                return TrainingResult(None, "stopped on request", seconds())
            chosen, reason, stage_scores, before = ended
            earlier += before
            scores += [{"stage": stage.name, **score.row()} for score in stage_scores]
            reporter.line(f"{stage.name}: kept step {chosen.step}; {reason}.")
            predictor, first_step = stage.predictor, stage.schedule.last_step
    predictor.network.trainable = True
    predictor = parts.result(predictor)
    cuts = parts.cuts(predictor)
    if run:
        with atomic_path(run.model) as temporary:
            predictor.network.save(temporary)
            if is_evidence_maps(predictor.network):
                store_in_half(temporary)
        atlas = parts.prepared.atlas
        write_json(
            run.selection,
            {
                "markings": {name: cut.row() for name, cut in cuts.items()},
                **cut_facts(parts.selection, parts.classes),
                "labels": parts.slices.label_counts(),
                "step": chosen.step,
                "checkpoint_rule": reason,
                "seconds": round(seconds(), 1),
                "looks": scores,
                **({"normal_atlas": atlas.row()} if atlas else {}),
            },
        )
    return TrainingResult(chosen, reason, seconds(), predictor)
