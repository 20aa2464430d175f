"""Plan the runs of a study: resolve its arms and seeds to recipes.

The key of a run is the sha256 of its resolved recipe (without name and description) and of the contents of
the data folder, the label table and the split file. So two arms with equal recipes share a run, an edited
study reuses what is unchanged, and changed data are never mixed with old ones.

An arm that changes only keys in INFERENCE_ONLY needs no training of its own: its run is that of the base
recipe's inference, evaluated with overrides. A single head has its own threshold there, fixed without masks
by the same rule.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelSource, LabelWords
from clamnet_tf.errors import RecipeError
from clamnet_tf.preprocessing.content_hashes import ContentHashes
from clamnet_tf.recipe.catalogue import load_recipe, recipe_names
from clamnet_tf.recipe.classifiers_key import key_of_classifiers
from clamnet_tf.recipe.writer import hashed_content, resolve, to_yaml
from clamnet_tf.study.schema import Arm, Group, Study

INFERENCE_ONLY = ("head", "smallest_component", "fill_holes")
"""Keys of the section `inference` that change neither weights nor the threshold of a head."""


@dataclass(frozen=True)
class Source:
    """Say where the images come from; paths are absolute, None where there is none.

    Attributes:
        data: Folder of images.
        labels: Table of labels.
        split_file: CSV patient,split.
        cache: Folder of prepared slices.
        identity: Hash of the contents.
        said: What the user said about label words.
    """

    data: Path | None
    labels: Path | None
    split_file: Path | None
    cache: Path | None
    identity: str
    said: LabelWords = NOTHING_SAID

    def options(self, split_file: Path | None = None) -> list[str]:
        """Return the options for fit and evaluate: --data, --labels, --split-file (its own or another one),
        ...
        """
        given = [
            ("--data", self.data),
            ("--labels", self.labels),
            ("--split-file", split_file or self.split_file),
            ("--cache", self.cache),
        ]
        given += [("--normal", word) for word in self.said.normal] + [
            ("--abnormal", word) for word in self.said.abnormal
        ]
        return [text for option, value in given if value is not None for text in (option, str(value))]


@dataclass(frozen=True, eq=False)
class Run:
    """Describe one training. `steps` counts the optimizer steps of all stages, `batch_size` the slices per
    step.
    """

    key: str
    recipe_text: str
    steps: int
    batch_size: int
    title: str
    """Arm and seed that need the run first, for readers."""
    arm: str
    """Name of that arm."""
    split_file: Path | None = None
    """CSV patient,split of this run alone; None: that of the study."""
    classifiers: str = ""
    """Equal for runs that train equal classifiers, which do so once; "" without classifiers."""
    classifier_steps: int = 0
    """How many of the steps are theirs."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Describe one arm with one seed: its run, and the overrides of its evaluation.

    `problem` says why there is no run.
    """

    arm: Arm
    seed: int
    run: Run | None = None
    overrides: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """Hold the whole study, resolved.

    `trials` are in the order of the file, without simple arms; `runs` has each run once.
    """

    study: Study
    trials: list[Trial]
    runs: list[Run] = field(default_factory=list)

    def of(self, arm: str) -> list[Trial]:
        """Return the trials of the arm with that name."""
        return [trial for trial in self.trials if trial.arm.name == arm]

    def group(self, arm: str) -> Group:
        """Return the group of the arm with that name."""
        return next(
            group for group in self.study.groups if any(candidate.name == arm for candidate in group.arms)
        )


def open_source(data, labels, split_file, cache, memo: Path) -> Source:
    """Hash the data and return the Source.

    Args:
        data: Folder of images, or None.
        labels: LabelSource, path of a table, or None.
        split_file: CSV patient,split, or None.
        cache: Folder of prepared slices, or None.
        memo: Folder that remembers the hashes of unchanged files.

    Raises:
        DataError: A file cannot be read.
    """
    source = labels if isinstance(labels, LabelSource) else LabelSource(Path(labels) if labels else None)
    paths = [Path(path).resolve() if path else None for path in (data, source.table, split_file)]
    hashes = ContentHashes(memo, paths[0] or memo)
    causes = [path and hashes.of(path) for path in paths] + (
        [source.said.normal, source.said.abnormal] if source.said else []
    )
    identity = hashlib.sha256(json.dumps(causes).encode()).hexdigest()
    hashes.save()
    return Source(*paths, Path(cache).resolve() if cache else None, identity, source.said)


def plan(study: Study, folder: Path, source: Source) -> Plan:
    """Resolve every arm and seed; an arm that is not valid becomes a trial with a problem.

    Args:
        study: The study.
        folder: Folder of the study file, to which its paths of recipes are relative.
        source: Where the images come from.
    """
    trials, runs = [], {}
    for arm in study.arms():
        if arm.kind == "simple":
            continue
        for seed in arm.seeds or study.seeds:
            try:
                trial = _trial(study, arm, seed, folder, source)
            except RecipeError as error:
                trial = Trial(arm, seed, problem=str(error))
            if trial.run is not None:
                shared = runs.setdefault(trial.run.key, trial.run)
                trial = Trial(arm, seed, shared, trial.overrides)
            trials.append(trial)
    return Plan(study, trials, list(runs.values()))


def _trial(study: Study, arm: Arm, seed: int, folder: Path, source: Source) -> Trial:
    """Resolve one arm with one seed."""
    overrides = [f"{key}={json.dumps(value)}" for key, value in (study.set | arm.set).items()]
    name = arm.recipe or study.recipe
    recipe = resolve(load_recipe(_recipe_path(name, folder), [*overrides, f"training.seed={seed}"]))
    base = load_recipe(_recipe_path(name, folder))
    changed = {
        key: getattr(recipe.inference, key)
        for key in INFERENCE_ONLY
        if getattr(recipe.inference, key) != getattr(base.inference, key)
    }
    if changed.get("head") == "mean":  # a run whose recipe chooses one head keeps no threshold for the mean
        del changed["head"]
    trained = recipe
    if changed:
        originals = {key: getattr(base.inference, key) for key in changed}
        trained = recipe.model_copy(update={"inference": recipe.inference.model_copy(update=originals)})
    shared = key_of_classifiers(trained, source.identity)
    run = Run(
        run_key(trained, source.identity),
        to_yaml(trained),
        trained.optimizer_steps,
        trained.slices_per_step,
        f"{arm.name}, seed {seed}",
        arm.name,
        classifiers=shared,
        classifier_steps=trained.attribution.classifier.steps if shared else 0,
    )
    return Trial(
        arm, seed, run, tuple(f"inference.{key}={json.dumps(value)}" for key, value in changed.items())
    )


def run_key(recipe, identity: str) -> str:
    """Return the key of a run: 16 hexadecimal digits.

    Args:
        recipe: Resolved recipe.
        identity: Hash of the data.
    """
    content = {
        key: value for key, value in hashed_content(recipe).items() if key not in ("name", "description")
    }
    return hashlib.sha256(json.dumps([content, identity], sort_keys=True).encode()).hexdigest()[:16]


def _recipe_path(name: str, folder: Path):
    """Return a shipped name unchanged; else a path relative to the study file, or to the working folder."""
    return folder / name if name not in recipe_names() and (folder / name).exists() else name
