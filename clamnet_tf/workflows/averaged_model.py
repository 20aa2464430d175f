"""Average the networks of a cross-validation into one model, with thresholds fixed anew without masks."""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.classes import shown_classes
from clamnet_tf.datasets.split import write_split
from clamnet_tf.files import atomic_path, write_json, write_text
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.preprocessing.mask_access import mask_firewall
from clamnet_tf.preprocessing.slice_table import SliceTable
from clamnet_tf.quiet import silence
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.classes import classes_of
from clamnet_tf.recipe.writer import recipe_hash
from clamnet_tf.runs import KEPT_FILE, RunFolder
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.folds.plan import FoldPlan
from clamnet_tf.workflows.appearance import write_appearance
from clamnet_tf.workflows.dataset import prepare_split
from clamnet_tf.zoo.entry import LARGEST_WEIGHTS

MODEL = "model"
_CONFIGURATION_BYTES = 500_000  # beside the weights: names and shapes of the layers, and HDF5's own tables


@dataclass(frozen=True, eq=False)
class _LabelledSlices:
    """Hold the slices on which `fit_postprocessors` fixes cuts: those of all patients, with their labels."""

    prepared: Prepared
    rows: np.ndarray
    table: SliceTable
    shown: np.ndarray


def make_averaged_model(planned: FoldPlan, folder: StudyFolder, manifest, cache, reporter) -> Path | None:
    """Write the folder model/: the networks of the first repeat averaged into one, used like a run.

    selection.json is its manifest: `average` lists the members with weight, fold, files and their own
    thresholds; `markings` holds the thresholds of the averaged maps, which are fixed by the recipe's rule on
    the slices of all patients by their labels; no mask is read. A model of the same members is left as it is.

    Args:
        planned: The cross-validation, all of whose folds of the first repeat are finished.
        folder: Its folder.
        manifest: Its cases.
        cache: Folder of prepared slices; None: the default one.
        reporter: Reporter for progress.

    Returns:
        The folder, or None with a line that says why there is none.
    """
    members = planned.of_repeat(1)
    runs = [folder.run(member.run) for member in members]
    recipes = [load_recipe(run.recipe) for run in runs]
    target = folder.path / MODEL
    reason = _why_not(recipes)
    if reason is not None:
        reporter.line(f"No averaged network: {reason}.")
        return None
    if any(run.read_selection().get("labels", {}).get("study") for run in runs):
        reporter.line(
            "No averaged network: labels of studies taught, and its threshold needs an estimate of which "
            "slices show the lesion."
        )
        return None
    described = [_member(member, run, folder, 1.0 / len(runs)) for member, run in zip(members, runs)]
    if _is_current(target, described):
        return target
    silence()
    from clamnet_tf.networks.classifier import has_heads
    from clamnet_tf.networks.saved import load_network

    networks = [load_network(run.model) for run in runs]
    if not all(has_heads(network) for network in networks):
        reporter.line("No averaged network: the recipe trains classifiers, whose maps are not averaged.")
        return None
    shutil.rmtree(target, ignore_errors=True)
    with atomic_path(target) as temporary:
        temporary.mkdir()
        _write(RunFolder(temporary), networks, recipes[0], described, manifest, cache, reporter)
    return target


def _write(run: RunFolder, networks, recipe, described: list[dict], manifest, cache, reporter) -> None:
    """Write every file of the model's folder."""
    from clamnet_tf.evaluation.baselines.choose import fit_kept
    from clamnet_tf.inference.build import build_predictor
    from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig
    from clamnet_tf.networks.average import average_networks
    from clamnet_tf.networks.half_precision import store_in_half
    from clamnet_tf.training.thresholds import cut_facts, fit_postprocessors

    size = sum(4 * network.count_params() for network in networks) + _CONFIGURATION_BYTES
    half = size > LARGEST_WEIGHTS
    network = average_networks(networks, name=f"{networks[0].name}_average", half=half)
    everyone = replace(manifest, cases=tuple(replace(case, split="train") for case in manifest.cases))
    prepared = prepare_split(recipe, everyone, cache, reporter)
    reporter.line(f"Averaging {len(networks)} networks and fixing the threshold of their mean")
    classes = classes_of(recipe)
    with mask_firewall():
        cuts = fit_postprocessors(
            build_predictor(network, recipe.inference),
            _labelled(recipe, prepared, classes),
            recipe.selection,
            PostprocessingConfig.of(recipe.inference),
            classes,
        )
        baselines = fit_kept(recipe, prepared)
    network.save(run.model)
    if half:
        stored = store_in_half(run.model)
        reporter.line(
            f"  weights in half precision, {stored / 1e6:.1f} MB: with single precision the {len(networks)} "
            f"networks would exceed the {LARGEST_WEIGHTS / 1e6:g} MB of a zoo entry"
        )
    write_text(run.recipe, (Path(described[0].pop("folder")) / "recipe.yaml").read_text(encoding="utf-8"))
    for row in described[1:]:
        row.pop("folder")
    write_json(
        run.selection,
        {
            "markings": {name: cut.row() for name, cut in cuts.items()},
            **cut_facts(recipe.selection, classes),
            "step": max(row["step"] for row in described),
            "checkpoint_rule": f"mean of {len(networks)} networks of a cross-validation, each of which chose "
            f"its checkpoint on validation patients of its own",
            "seconds": round(sum(row["seconds"] or 0 for row in described), 1),
            "looks": [],
            "average": {"precision": "float16" if half else "float32", "members": described},
        },
    )
    if baselines:
        write_json(run.path / KEPT_FILE, baselines)
    write_appearance(run, recipe, everyone, reporter)
    write_split(everyone, run.split)
    simulated = manifest.layout == "cohort"
    run.write_environment(
        manifest.hide,
        data=None if simulated else str(manifest.root),
        cohort=recipe.data.cohort.kind if simulated else None,
        prepared=prepared.key,
    )
    run.finish()


def _labelled(recipe, prepared, classes) -> _LabelledSlices:
    """Return the slices of all patients with an organ and a label."""
    table = prepared.table
    shown = shown_classes(table.label, table.markers, tuple(lesion_class.name for lesion_class in classes))
    usable = (table.area > recipe.data.minimum_organ_fraction) & (table.label >= 0)
    usable &= (table.label == 0) | shown.any(axis=1)
    return _LabelledSlices(prepared, np.flatnonzero(usable), table, shown)


def _why_not(recipes) -> str | None:
    """Say why networks of these recipes are not averaged; None when they are."""
    first = recipes[0]
    if first.data.normal_atlas is not None:
        return (
            "each fold has a normal atlas of its own (data.normal_atlas), so the networks see other channels"
        )
    if first.training.supervision != "labels":
        return (
            f"each fold learned from masks of other patients (training.supervision "
            f"{first.training.supervision}), so no patient of this set could measure their average"
        )
    if first.training.shuffle_labels:
        return "the recipe shuffles the labels, as a negative control (training.shuffle_labels)"
    if len({recipe_hash(recipe) for recipe in recipes}) > 1:
        return (
            "the folds chose different recipes (self_training.teacher auto); name the teacher with --set "
            "self_training.teacher=NAME"
        )
    return None


def _member(member, run: RunFolder, folder: StudyFolder, weight: float) -> dict:
    """Describe one network of the average."""
    selection = run.read_selection()
    return {
        "fold": member.fold.name,
        "weight": weight,
        "held_out_patients": len(member.fold.patients),
        "run": run.path.relative_to(folder.path).as_posix(),
        "folder": str(run.path),
        "model_sha256": hashlib.sha256(run.model.read_bytes()).hexdigest(),
        "selection_sha256": hashlib.sha256(run.selection.read_bytes()).hexdigest(),
        "step": selection["step"],
        "seconds": selection.get("seconds"),
        "markings": {name: row for name, row in selection["markings"].items() if name != "mean"},
    }


def _is_current(target: Path, described: list[dict]) -> bool:
    """Return whether the folder holds the average of exactly these networks."""
    run = RunFolder(target)
    if not run.finished.exists():
        return False
    try:
        members = json.loads(run.selection.read_text(encoding="utf-8"))["average"]["members"]
        stored = [(row["model_sha256"], row["selection_sha256"]) for row in members]
    except (OSError, KeyError, TypeError, ValueError):
        return False
    return stored == [(row["model_sha256"], row["selection_sha256"]) for row in described]
