"""Fix the cuts of a finished network on whole training volumes without a mask."""

import numpy as np

from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig, calibrate, fixed
from clamnet_tf.inference.postprocessing.volume import VolumePostprocessor
from clamnet_tf.input_pipeline.pipeline import RowView
from clamnet_tf.recipe.classes import UNNAMED, by_name


def fit_postprocessors(
    predictor, slices, selection, steps: PostprocessingConfig, classes
) -> dict[str, VolumePostprocessor]:
    """Return a VolumePostprocessor for the mean of the heads ("mean") and for every head.

    Each lesion class is cut by its own prevalence in the slices that show it.

    Args:
        predictor: Predictor.
        slices: TrainingSlices.
        selection: SelectionSection of the recipe.
        steps: postprocessing steps of the recipe.
        classes: LesionClass of each of the predictor's maps.
    """
    names = ["mean", *predictor.head_names]
    class_names = tuple(lesion_class.name for lesion_class in classes)
    if selection.threshold != "prevalence":
        cut = fixed(steps, float(selection.threshold))
        return {name: VolumePostprocessor(class_names, (cut,) * len(classes)) for name in names}
    prepared, volumes = slices.prepared, []
    for rows in _volumes(slices):
        images = RowView(prepared.images, rows)
        heads = predictor.heads(images).astype(np.float16)
        volumes.append((heads, images, prepared.organ[rows], slices.shown[rows]))
    postprocessors = {}
    for head, name in enumerate(names):
        parts = []
        for index, lesion_class in enumerate(classes):
            class_volumes = [
                (_maps(heads[..., index], head), images, organ, shown[:, index])
                for heads, images, organ, shown in volumes
            ]
            parts.append(calibrate(steps, class_volumes, lesion_class.prevalence))
        postprocessors[name] = VolumePostprocessor(class_names, tuple(parts))
    return postprocessors


def cut_facts(selection, classes) -> dict:
    """Return how the cuts are fixed and at which share of the organ, for selection.json.

    Args:
        selection: SelectionSection of the recipe.
        classes: LesionClass of each map.
    """
    rule = "fixed in the recipe"
    if selection.threshold == "prevalence":
        marked = f"abnormal training slices mark {selection.prevalence:.3f} of the organ"
        if classes[0].name != UNNAMED:
            shares = ", ".join(
                f"{lesion_class.prevalence:.3f} of the organ as {lesion_class.name}"
                for lesion_class in classes
            )
            marked = f"training slices mark {shares} where they show it,"
        rule = (
            f"{marked} on average (the expected size, from the recipe); fixed on training images, no "
            f"mask was read"
        )
    return {
        "threshold_rule": rule,
        "prevalence": by_name({lesion_class.name: lesion_class.prevalence for lesion_class in classes}),
    }


def _maps(heads, head: int) -> np.ndarray:
    """Return head `head`, from 1, or the mean of the heads (0): (heads, S, H, W) -> (S, H, W) float32."""
    return heads[head - 1].astype(np.float32) if head else heads.astype(np.float32).mean(axis=0)


def _volumes(slices) -> list[np.ndarray]:
    """Return the rows of whole volumes that hold abnormal training slices, in order; at most
    table.MOST_VOLUMES.
    """
    table = slices.table
    volumes = table.volumes_of(slices.rows[table.label[slices.rows] > 0])
    return [slices.rows[table.volume[slices.rows] == volume] for volume in volumes]
