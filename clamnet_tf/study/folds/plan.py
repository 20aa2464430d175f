"""Plan a cross-validation as a study of one recipe: one run per fold and repeat, each with its own split.

The runner, the folder and the resuming are those of a study (study/runner.py, study/folder.py): a repeat is
an arm, and a fold of it takes the place of a seed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from clamnet_tf.datasets.folds import Fold, draw_folds, fold_manifest
from clamnet_tf.datasets.split import write_split
from clamnet_tf.recipe.writer import resolve, to_yaml
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.plan import Plan, Run, Source, Trial, run_key
from clamnet_tf.study.schema import Arm, Group, Study


@dataclass(frozen=True)
class Division:
    """Say how patients are divided.

    Attributes:
        k: Number of folds; None: one per site.
        by_site: Whether a site is never divided.
        repeats: How often everything is done, each time with another draw and another training seed.
    """

    k: int | None
    by_site: bool = False
    repeats: int = 1

    def words(self) -> str:
        """Return a description for readers."""
        if self.k is None:
            return "one fold per site"
        how = "whole sites together" if self.by_site else "by patient, stratified by label and site"
        return f"{self.k} folds, {how}"


@dataclass(frozen=True, eq=False)
class Member:
    """Describe one training of a cross-validation.

    Attributes:
        repeat: Number of the repeat, from 1.
        fold: Its fold.
        run: Its run.
        trial: The same, as the study's runner takes it.
    """

    repeat: int
    fold: Fold
    run: Run
    trial: Trial


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """Hold a cross-validation, resolved.

    Attributes:
        plan: What the study's runner runs.
        members: All trainings, repeat by repeat.
        division: How patients are divided.
        recipes: Resolved recipe of each repeat.
    """

    plan: Plan
    members: list[Member]
    division: Division
    recipes: list

    def of_repeat(self, repeat: int) -> list[Member]:
        """Return the trainings of one repeat, in the order of the folds."""
        return [member for member in self.members if member.repeat == repeat]


def plan_folds(load: Callable, manifest, division: Division, folder: StudyFolder, source: Source) -> FoldPlan:
    """Draw the folds, write one split file per training, and return the plan.

    Args:
        load: Function of a list of overrides (KEY=VALUE) that returns the recipe.
        manifest: Cases with labels; a split of their own is not used.
        division: How patients are divided.
        folder: Folder of the cross-validation.
        source: Where the images come from.

    Raises:
        DataError: The patients cannot be divided in that way; see datasets.folds.
        RecipeError: The recipe is not valid.
    """
    base, members, recipes, runs = load([]), [], [], []
    arms = [
        Arm(name=f"repeat_{repeat}", title=f"Repeat {repeat}") for repeat in range(1, division.repeats + 1)
    ]
    for index, arm in enumerate(arms):
        recipe = resolve(load([f"training.seed={base.training.seed + index}"]))
        recipes.append(recipe)
        section = recipe.data.split
        seed = section.seed + index
        for fold in draw_folds(manifest, division.k, seed=seed, by_site=division.by_site):
            split = folder.path / "splits" / f"repeat_{index + 1}_fold_{fold.number}.csv"
            needs_both = recipe.training.supervision == "labels"
            write_split(fold_manifest(manifest, fold, section, seed=seed, both_classes=needs_both), split)
            title = fold.name if division.repeats == 1 else f"repeat {index + 1}, {fold.name}"
            run = Run(
                run_key(recipe, _identity(source, split)),
                to_yaml(recipe),
                recipe.optimizer_steps,
                recipe.training.batch_size,
                title,
                arm.name,
                split,
            )
            runs.append(run)
            members.append(Member(index + 1, fold, run, Trial(arm, fold.number, run)))
    study = Study(
        name="folds",
        title=base.name,
        recipe=base.name,
        reference=arms[0].name,
        groups=[Group(kind="main", title=base.name, arms=arms)],
    )
    return FoldPlan(Plan(study, [member.trial for member in members], runs), members, division, recipes)


def without_split(manifest):
    """Return the manifest without the sides that its cases have, and whether there were any."""
    had = any(case.split for case in manifest.cases)
    return replace(manifest, cases=tuple(replace(case, split=None) for case in manifest.cases)), had


def _identity(source: Source, split: Path) -> str:
    """Return the sha256 of the data and of the sides of one fold."""
    return hashlib.sha256(source.identity.encode() + split.read_bytes()).hexdigest()
