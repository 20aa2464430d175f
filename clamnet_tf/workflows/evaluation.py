"""Evaluate a trained model against the true masks of a data folder."""

from pathlib import Path

from clamnet_tf.datasets.evaluation_subset import choose_cases
from clamnet_tf.datasets.pseudonyms import hiding
from clamnet_tf.preprocessing.atlas_channel import atlas_of, with_atlas_channel
from clamnet_tf.preprocessing.dataset import find_cases, prepare_with_progress
from clamnet_tf.progress import Reporter
from clamnet_tf.quiet import silence
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.runs import KEPT_FILE, RunFolder
from clamnet_tf.workflows.appearance import unlike_images
from clamnet_tf.workflows.dataset import Source
from clamnet_tf.zoo.organ_networks import organ_network_of
from clamnet_tf.zoo.sequences import channel_names_of


def evaluate(
    run: RunFolder, recipe: Recipe, source: Source, *, split: str | None, out: Path, reporter: Reporter
) -> None:
    """Evaluate the model of a run and write metrics, tables and pages.

    Args:
        run: RunFolder of the model.
        recipe: Its recipe, perhaps with another inference section.
        source: Where the images are; without data the recipe's built-in cohort.
        split: Side to evaluate (train, val or test); None: all cases.
        out: Folder for the results.
        reporter: Reporter for progress and results.

    Raises:
        DataError, ImageError: The images do not fit the model, or none has a mask.
    """
    with hiding(lambda: reporter.hide):
        drawn = recipe.data.split if source.data is None else None
        # simple methods are fitted to the training side when they are not stored in the run
        needs_fitting = split not in (None, "train") and not (run.path / KEPT_FILE).exists()
        cases = find_cases(
            recipe,
            source.data,
            source.labels,
            reporter,
            source.cache,
            keep_identifiers=source.keep_identifiers,
            training=False,
            channel_names=channel_names_of(run.path),
        )
        manifest = choose_cases(cases, run, split, source.split_file, drawn=drawn, with_train=needs_fitting)
        if source.data is None and split is None:
            reporter.line(
                "This evaluates all patients of the built-in cohort, including those used for training. For "
                "results to report, add --split test."
            )
        if _has_seen(run, cases):
            reporter.line(
                "Note: together, the averaged networks of this model have seen every patient of these data; "
                "the figures are too good. Those of clamnet-tf folds are out of fold."
            )
        silence()
        from clamnet_tf.evaluation.console import headline
        from clamnet_tf.evaluation.evaluate import evaluate_run
        from clamnet_tf.inference.trained_model import load_trained_model
        from clamnet_tf.reporting.image_words import in_words_of

        trained, organ_network = load_trained_model(run, recipe), organ_network_of(recipe, reporter)
        prepared = prepare_with_progress(
            recipe,
            manifest,
            source.cache,
            reporter,
            organ_network,
            channels=trained.channels,
            any_modality=source.any_modality,
        )
        atlas = atlas_of(run, recipe)
        if atlas:
            prepared = with_atlas_channel(prepared, atlas, source.cache)
        notes = unlike_images(recipe, manifest, split, trained.appearance)
        metrics = evaluate_run(
            run, recipe, manifest, prepared, split=split, out=out, reporter=reporter, notes=notes
        )
        for line in headline(metrics):
            reporter.line(in_words_of(recipe.modality, line))
        reporter.line(f"Report: {out / 'report.html'}")


def _has_seen(run: RunFolder, manifest) -> bool:
    """Return whether the model is the average of a cross-validation on these data."""
    if "average" not in run.read_selection():
        return False
    environment = run.read_environment()
    if manifest.layout == "cohort":
        return environment.get("cohort") is not None
    return environment.get("data") == manifest.hide(str(manifest.root))
