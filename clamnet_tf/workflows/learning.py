"""Find out without masks whether a run has learned anything, and write it into the run folder."""

from pathlib import Path

from clamnet_tf.files import write_json
from clamnet_tf.progress import Reporter
from clamnet_tf.quiet import silence
from clamnet_tf.recipe.classes import class_names
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.runs import RunFolder
from clamnet_tf.workflows.dataset import Source, prepare_dataset


def agreement_of_halves(
    recipe: Recipe, source: Source, out: str, reporter: Reporter, begin=None
) -> dict | None:
    """Train two halves of the training patients in OUT_halves/ and return how far they agree.

    Args:
        recipe: Resolved recipe of the run.
        source: Where the images are.
        out: Run folder.
        reporter: Reporter for progress.
        begin: Gives a run folder its initial weights, or None.

    Returns:
        Section `halves` of learning.json; None when stopped on request.

    Raises:
        ClamnetError: As in `prepare_dataset` and `training.half_trainings.train_halves`.
    """
    manifest, prepared = prepare_dataset(recipe, source, reporter)
    silence()
    from clamnet_tf.evaluation.half_agreement import half_agreement
    from clamnet_tf.preprocessing.mask_access import mask_firewall
    from clamnet_tf.training.half_trainings import half_recipe, train_halves

    runs = train_halves(recipe, manifest, prepared, Path(f"{out}_halves"), reporter, begin)
    if runs is None:
        reporter.line("Stopped on request; the same command continues the halves.")
        return None
    shared = ["the initial weights"] if begin is not None else []
    shared += ["the normal atlas of all training patients"] if recipe.data.normal_atlas else []
    short = half_recipe(recipe, 0)
    with mask_firewall():
        return half_agreement(
            runs,
            short,
            prepared,
            least_area=recipe.data.minimum_organ_fraction,
            steps=short.optimizer_steps,
            shared=" and ".join(shared),
        )


def check_run(run: RunFolder, recipe: Recipe, prepared, halves: dict | None = None, workers=None):
    """Score the validation slices of a trained run and write learning.json.

    The file is not written when no validation slice has a label, nor for a run that learned from masks, such
    as an organ network, when their labels are all alike.

    Args:
        run: RunFolder with a model and a selection.
        recipe: Recipe of the run.
        prepared: Prepared slices of the training data.
        halves: Result of `agreement_of_halves`, or None.
        workers: Workers of the cluster, of which the others run `evaluation.evaluate.assist`; None: this
            process alone.

    Returns:
        ScoredSlices of the validation slices, for the evaluation; None when none of them has a label.
    """
    from clamnet_tf.evaluation.learning_check import check_learning
    from clamnet_tf.evaluation.validation_scores import score_slices, validation_rows
    from clamnet_tf.inference.trained_model import load_trained_model
    from clamnet_tf.preprocessing.mask_access import mask_firewall
    from clamnet_tf.training.slices import TrainingSlices

    with mask_firewall():
        rows = validation_rows(prepared, "test")
        if not len(rows):
            return None
        trained = load_trained_model(run, recipe)
        trained.probability.workers = workers
        scored = score_slices(trained, prepared, rows)
        labels = prepared.table.label[scored.rows] > 0
        if recipe.training.supervision == "masks" and (labels.all() or not labels.any()):
            return scored
        learning = check_learning(
            scored,
            prepared,
            TrainingSlices.of(recipe, prepared).rows,
            class_names(recipe),
            least_area=recipe.data.minimum_organ_fraction,
            halves=halves,
        )
    write_json(run.learning, learning)
    return scored
