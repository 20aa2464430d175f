"""Choose eta without a mask: train one short first network per candidate and compare them by the checkpoint
rule.

See docs/method.md, section "Eta". The criterion is `selection.choose` over the kept scores of all candidates:
among those whose slice AUROC on validation patients is near the best, the one that marks least of normal
validation slices while abnormal training slices mark the expected share. Image labels alone decide.
"""

import dataclasses

from clamnet_tf.files import write_json
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.training.selection import CheckpointScore, choose
from clamnet_tf.training.trial_runs import TrialRuns

CANDIDATES = (0.3, 0.5, 0.7, 0.9)


def with_eta(recipe: Recipe, eta: float) -> Recipe:
    """Return a copy of the recipe with another loss.eta."""
    return recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"eta": eta})})


def search_eta(recipe: Recipe, trials: TrialRuns, candidates=CANDIDATES) -> Recipe | None:
    """Train the first network of `recipe` once per candidate and return the recipe with the chosen eta.

    Args:
        recipe: the resolved recipe. Cases whose manifest gives an eta keep theirs.
        trials: its folder gets a run folder eta_<value> per candidate and search.json.
        candidates: values of eta, in 0..1.

    Returns:
        The recipe with the chosen eta, or None when stopped on request.

    Raises:
        RunError: the folder holds a search of another recipe.
        The errors of `training.fit.train`.
    """
    scores = []
    for eta in candidates:
        trial = with_eta(recipe, eta)
        trial = trial.model_copy(
            update={"self_training": trial.self_training.model_copy(update={"rounds": 0})}
        )
        run = trials.run(f"eta_{eta:g}", trial, f"eta {eta:g}")
        if run is None:
            return None
        scores.append(kept_score(run.read_selection()))
    # The rule decides here even where a run keeps its last step.
    section = recipe.selection.model_copy(update={"checkpoint": "rule"})
    chosen, reason = choose(scores, section, recipe.data.labels)
    eta = candidates[scores.index(chosen)]
    rows = [{"eta": value, **dataclasses.asdict(score)} for value, score in zip(candidates, scores)]
    write_json(trials.folder / "search.json", {"eta": eta, "reason": reason, "candidates": rows})
    names = ", ".join(f"{value:g}" for value in candidates)
    trials.reporter.line(f"Chosen eta {eta:g} of {names}: {reason}.")
    return with_eta(recipe, eta)


def kept_score(selection: dict) -> CheckpointScore:
    """Return the score that a run's selection.json keeps."""
    row = next(row for row in reversed(selection["looks"]) if row["step"] == selection["step"])
    return CheckpointScore(
        **{field.name: row[field.name] for field in dataclasses.fields(CheckpointScore) if field.name in row}
    )
