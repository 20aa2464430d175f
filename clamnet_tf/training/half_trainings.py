"""Train the recipe twice, on one half of the training patients each, for half the steps.

Whether the two agree on new patients (evaluation/half_agreement.py) is a sign, without masks, that they
learned the same thing.
"""

from dataclasses import replace

import numpy as np

from clamnet_tf.datasets.stratify import draw_patients
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.runs import RunFolder
from clamnet_tf.training.slices import TrainingSlices
from clamnet_tf.training.teacher_search import with_teacher
from clamnet_tf.training.trainable import check_trainable
from clamnet_tf.training.trial_runs import TrialRuns

NAMES = ("first_half", "second_half")
LEFT_OUT = ""
"""Side of the split of a training patient who is in the other half."""


def half_recipe(recipe: Recipe, index: int) -> Recipe:
    """Return the recipe of half `index`, 0 or 1: half the steps of every stage, and a seed of its own.

    With one seed, both networks would begin with the same random weights, and after few steps they agree for
    that reason alone.
    """
    seed = (recipe.training.seed + 1 + index) % 2**31
    short = with_teacher(recipe, recipe.self_training.teacher, short=True)
    return short.model_copy(
        update={"training": short.training.model_copy(update={"patients": None, "seed": seed})}
    )


def halves_of(recipe: Recipe, prepared) -> list:
    """Return prepared slices twice: in each, half of the training patients are left out of the training side.

    The halves are drawn with the recipe's seed, by label profile and site like the sides of a split.

    Raises:
        DataError: there is one training patient.
    """
    table, rows = prepared.table, TrainingSlices.of(recipe, prepared).rows
    patients: dict[str, tuple] = {}
    for row in rows:
        labels, _ = patients.setdefault(str(table.patient[row]), (set(), str(table.site[row])))
        labels.add(int(table.label[row]))
    if len(patients) < 2:
        raise DataError("--half-agreement: expected at least 2 training patients, received 1.")
    drawn = draw_patients(patients, len(patients) // 2, recipe.training.seed)
    members = [drawn, sorted(set(patients) - set(drawn))]
    return [
        replace(
            prepared,
            table=replace(
                table,
                split=np.where(
                    (table.split == "train") & ~np.isin(table.patient, names), LEFT_OUT, table.split
                ),
            ),
        )
        for names in members
    ]


def train_halves(recipe: Recipe, manifest, prepared, folder, reporter, begin=None) -> list[RunFolder] | None:
    """Train both halves, or go on with what an earlier, interrupted command has trained.

    Args:
        recipe: The resolved recipe of the whole run.
        manifest: The manifest whose cases have their split.
        prepared: Its Prepared slices.
        folder: Gets a run folder per half.
        reporter: Reporter.
        begin: Gives a run folder its initial weights, or None.

    Returns:
        The finished runs, or None when stopped on request.

    Raises:
        DataError: A half has no abnormal or no normal slices.
        The errors of `TrialRuns.run`.
    """
    recipes, halves = [half_recipe(recipe, index) for index in range(2)], halves_of(recipe, prepared)
    for name, short, half in zip(NAMES, recipes, halves):
        try:
            check_trainable(short, manifest, half)
        except DataError as error:
            raise DataError(
                f"--half-agreement: {name.replace('_', ' ')} of the training patients cannot be trained on: "
                f"{error} Train without this option, or on more patients."
            ) from error
    runs = []
    for name, short, half in zip(NAMES, recipes, halves):
        title = f"{name.replace('_', ' ')} of the training patients, {short.optimizer_steps} steps"
        run = TrialRuns(manifest, half, folder, reporter, begin).run(name, short, title)
        if run is None:
            return None
        runs.append(run)
    return runs
