"""Which runs a study needs: its arms and seeds resolved to recipes, each named by a hash of what decides its
result.

The key of a run is the sha256 of its resolved recipe (without name and description), the contents of the data
folder, of the label table and of the split file. So two arms with equal recipes share a run, an edited study
reuses what is unchanged, and changed data are never mixed up with old ones.

What an arm changes in INFERENCE_ONLY needs no training of its own: its run is that of the base recipe's
inference, evaluated with overrides. A head of its own has its own threshold there, fixed without masks by the
same rule.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelSource, LabelWords
from clamnet_tf.errors import RecipeError
from clamnet_tf.preprocessing.content_hashes import ContentHashes
from clamnet_tf.recipe.catalogue import load_recipe, recipe_names
from clamnet_tf.recipe.writer import hashed_content, resolve, to_yaml
from clamnet_tf.study.schema import Arm, Group, Study

INFERENCE_ONLY = ("head", "smallest_component", "fill_holes")
"""Keys of the section `inference` that change neither weights nor the threshold of a head."""


@dataclass(frozen=True)
class Source:
    """Where the images come from; absolute paths, None where there is none.

    identity: the hash of their contents. said: what the user said of label words.
    """

    data: Path | None
    labels: Path | None
    split_file: Path | None
    cache: Path | None
    identity: str
    said: LabelWords = NOTHING_SAID

    def options(self, split_file: Path | None = None) -> list[str]:
        """What fit and evaluate are given: --data, --labels, --split-file (its own or another) ..."""
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
    """One training. `steps` counts optimizer steps of all stages, `batch_size` slices per step."""

    key: str
    recipe_text: str
    steps: int
    batch_size: int
    title: str
    """The arm and seed that needs it first, for people."""
    arm: str
    """Name of that arm."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One arm with one seed: its run, and what is changed when that is evaluated. `problem`: why there is no
    run.
    """

    arm: Arm
    seed: int
    run: Run | None = None
    overrides: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole study, resolved. `trials` in the order of the file, simple arms left out; `runs` each
    once.
    """

    study: Study
    trials: list[Trial]
    runs: list[Run] = field(default_factory=list)

    def of(self, arm: str) -> list[Trial]:
        """Trials of the arm with that name."""
        return [trial for trial in self.trials if trial.arm.name == arm]

    def group(self, arm: str) -> Group:
        """The group that the arm stands in."""
        return next(group for group in self.study.groups if any(each.name == arm for each in group.arms))


def open_source(data, labels, split_file, cache, memo: Path) -> Source:
    """Hash the data; `memo` is a folder that remembers the hashes of unchanged files.

    DataError: a file cannot be read. labels: LabelSource, the path of a table, or None.
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

    folder: of the study file, from which its paths of recipes start.
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
    own = [f"{key}={json.dumps(value)}" for key, value in arm.set.items()]
    name = arm.recipe or study.recipe
    recipe = resolve(load_recipe(_recipe_path(name, folder), [*own, f"training.seed={seed}"]))
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
    steps = trained.optimizer_steps
    run = Run(
        run_key(trained, source.identity),
        to_yaml(trained),
        steps,
        trained.training.batch_size,
        f"{arm.name}, seed {seed}",
        arm.name,
    )
    return Trial(
        arm, seed, run, tuple(f"inference.{key}={json.dumps(value)}" for key, value in changed.items())
    )


def run_key(recipe, identity: str) -> str:
    """16 hexadecimal digits; recipe: resolved. identity: of the data."""
    content = {
        key: value for key, value in hashed_content(recipe).items() if key not in ("name", "description")
    }
    return hashlib.sha256(json.dumps([content, identity], sort_keys=True).encode()).hexdigest()[:16]


def _recipe_path(name: str, folder: Path):
    """A shipped name as it is; a path from the study file's folder, or else from the working folder."""
    return folder / name if name not in recipe_names() and (folder / name).exists() else name
