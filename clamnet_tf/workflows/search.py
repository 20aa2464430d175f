"""Choose before training, without masks, the teacher of self-training or eta."""

from pathlib import Path

from clamnet_tf.progress import Reporter
from clamnet_tf.quiet import silence
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.workflows.dataset import Source, prepare_dataset


def chosen_recipe(recipe: Recipe, source: Source, out: str, reporter: Reporter, begin=None) -> Recipe | None:
    """Return the recipe with the teacher or the eta that short trainings chose.

    The short trainings stay beside the run folder `out`.

    Args:
        recipe: Resolved recipe. With self_training.teacher auto the teacher is chosen, else loss.eta.
        source: Where the images are.
        out: Run folder.
        reporter: Reporter for progress.
        begin: Called to give a run folder its initial weights, or None.

    Returns:
        The recipe, or None when stopped on request.

    Raises:
        ClamnetError: As in `prepare_dataset`, `training.teacher_search.search_teacher` and
            `training.eta_search.search_eta`.
    """
    manifest, prepared = prepare_dataset(recipe, source, reporter)
    silence()
    from clamnet_tf.training.eta_search import search_eta
    from clamnet_tf.training.teacher_search import search_teacher
    from clamnet_tf.training.trial_runs import TrialRuns

    if recipe.self_training.teacher == "auto":
        chosen = search_teacher(
            recipe, TrialRuns(manifest, prepared, Path(f"{out}_search_teacher"), reporter)
        )
    else:
        chosen = search_eta(recipe, TrialRuns(manifest, prepared, Path(f"{out}_search_eta"), reporter, begin))
    if chosen is None:
        reporter.line("Stopped on request; the same command continues the search.")
    return chosen
