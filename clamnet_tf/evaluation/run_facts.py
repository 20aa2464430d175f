"""Say what a report tells about a run: its recipe, labels, network and machine."""

from clamnet_tf.recipe.classes import UNNAMED, classes_of
from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.reporting import wording
from clamnet_tf.reporting.wording import atlas_comparison, consistency, count, percent
from clamnet_tf.runs import RunFolder
from clamnet_tf.simulation.cohorts import COHORTS


def run_facts(run: RunFolder, recipe, manifest, split, selection) -> dict:
    """Return what the report says about the run; the keys are report.RUN_KEYS."""
    unnamed = {lesion_class.name: lesion_class for lesion_class in classes_of(recipe)}.get(UNNAMED)
    simulated = manifest.layout == "cohort"
    return {
        "recipe": recipe.name,
        "modality": recipe.modality,
        "condition": recipe.condition,
        "description": recipe.description,
        "data": f"built-in cohort of {COHORTS[recipe.data.cohort.kind].title}"
        if simulated
        else manifest.hide(str(manifest.root)),
        "simulated": simulated,
        "split": split or "all cases",
        "split_patients": run.split_patients(),
        "supervision": recipe.training.supervision,
        "label_level": label_levels(selection, recipe),
        "network": _network(recipe),
        "step": selection["step"],
        "steps": recipe.optimizer_steps,
        "seed": recipe.training.seed,
        "seconds": selection.get("seconds"),
        "checkpoint_rule": selection["checkpoint_rule"],
        "eta": unnamed.eta if recipe.learns_from_pairs and unnamed else None,
        "prevalence": unnamed.prevalence if unnamed else None,
        "environment": run.read_environment(),
        "details": _details(recipe),
    }


def label_levels(selection: dict, recipe) -> str | None:
    """Return what the labels that taught a run spoke of: "slice", "study" or "slice and study".

    It is None for a run that learned from masks.

    Args:
        selection: Content of selection.json; runs of earlier versions do not say it and had labels of slices.
        recipe: Recipe of the run.
    """
    if recipe.training.supervision == "masks":
        return None
    return wording.levels(selection.get("labels") or {"slice": 1, "study": 0})


def _network(recipe) -> str:
    """Describe in words the network whose marks are evaluated."""
    rounds = recipe.self_training.rounds
    if recipe.self_training.teacher == "attribution" and not rounds:
        return _classifiers(recipe.attribution, recipe.data.side)
    last = recipe.self_training.network if rounds else recipe.network
    if last.pretrained is not None:
        encoder = last.pretrained
        return (
            f"evidence map on the first {encoder.blocks} blocks of EfficientNet-Lite0 with ImageNet weights, "
            f"{encoder.frozen_blocks} of them frozen, {recipe.data.side} x {recipe.data.side} pixels"
        )
    size = (
        f"{last.depth} levels, filters {'-'.join(map(str, last.filters))}, {recipe.data.side} x "
        f"{recipe.data.side} pixels"
    )
    if not OBJECTIVES[recipe.loss.objective].classifies or rounds:
        return f"{'UNet++' if last.skips == 'nested' else 'U-Net'} of {size}"
    activation_map = recipe.inference.activation_map
    method = {"grad_cam": "Grad-CAM", "layer_cam": "LayerCAM"}[activation_map.method]
    level = last.depth - 1 if activation_map.level is None else activation_map.level
    return f"classifier of {size}; {method} at level {level}"


def _classifiers(attribution, side: int) -> str:
    """Describe in words the classifiers whose attribution is the result, and the attribution."""
    own = attribution.classifier
    kind = "EfficientNet-Lite0 with ImageNet weights" if own.backbone != "residual" else "residual blocks"
    method = attribution.method.replace("_", " ")
    return (
        f"{count(own.networks, 'image classifier')} of {kind}, {side} x {side} pixels; marks are where they "
        f"find their evidence ({method})"
    )


def _teacher(recipe) -> str | None:
    """Say what taught the last network where lesions are; None when it was the first network, or when there
    is no network after the classifiers.
    """
    teacher = recipe.self_training.teacher
    if teacher == "normal_atlas":
        return atlas_comparison(recipe.data.normal_atlas)
    if teacher != "attribution" or not recipe.self_training.rounds:
        return None
    outlined = recipe.attribution.refinement.methods != ["none"]
    return "attribution maps of image classifiers" + (
        ", outlined by the images' own intensities" if outlined else ""
    )


def _details(recipe) -> dict:
    """Return further rows of the table "How it was run".

    They say what happens after the network, and what distinguishes a baseline or a control from the method.
    """
    training = recipe.training
    objective = OBJECTIVES[recipe.loss.objective].label(recipe.loss, recipe.selection.prevalence)
    classes = [
        f"{lesion_class.name} (eta {lesion_class.eta:g}, expected size {percent(lesion_class.prevalence)} of "
        f"the organ)"
        for lesion_class in classes_of(recipe)
        if lesion_class.name != UNNAMED
    ]
    return {
        "Lesion classes": ", ".join(classes),
        "Post-processing of volumes": consistency(recipe.inference),
        "Objective": objective,
        "Teacher": _teacher(recipe),
        "Training patients used": training.patients,
        "Negative control": "the labels of the training slices were shuffled"
        if training.shuffle_labels
        else None,
    }
