"""The cuts that a finished network is used with, fixed on whole training volumes without a mask."""

import numpy as np

from clamnet_tf.data.pipeline import RowView
from clamnet_tf.marking.several_markers import MarkersMarking
from clamnet_tf.marking.volume_marking import VolumeMarking, VolumeSteps, calibrate, fixed


def fit_markings(marker, slices, selection, steps: VolumeSteps) -> dict[str, VolumeMarking]:
    """A VolumeMarking for the mean of the heads ("mean") and for every head.

    Args:
        marker: MarkerProbability. slices: TrainingSlices. selection: SelectionSection of the recipe. steps: of the recipe.
    """
    names = ["mean", *marker.head_names]
    if selection.threshold != "prevalence":
        return {name: fixed(steps, float(selection.threshold)) for name in names}
    prepared, label = slices.prepared, slices.table.label
    volumes = []
    for rows in _volumes(slices):
        images = RowView(prepared.images, rows)
        heads = marker.heads(images).astype(np.float16)
        volumes.append((heads, images, prepared.organ[rows], label[rows] > 0))
    markings = {}
    for number, name in enumerate(names):
        maps = (heads.astype(np.float32).mean(axis=0) if name == "mean" else heads[number - 1].astype(np.float32) for heads, *_ in volumes)
        markings[name] = calibrate(steps, [(own, *rest) for own, (_, *rest) in zip(maps, volumes)], selection.prevalence)
    return markings


def fit_markers_markings(marker, slices, selection, steps: VolumeSteps, markers) -> dict[str, MarkersMarking]:
    """The same of several markers, each cut by its own prevalence in the slices that show it; markers: with `name` and `prevalence`."""
    names, own_names = ["mean", *marker.head_names], tuple(one.name for one in markers)
    if selection.threshold != "prevalence":
        return {name: MarkersMarking(own_names, (fixed(steps, float(selection.threshold)),) * len(markers)) for name in names}
    prepared = slices.prepared
    volumes = []
    for rows in _volumes(slices):
        images = RowView(prepared.images, rows)
        volumes.append((marker.heads(images).astype(np.float16), images, prepared.organ[rows], slices.shown[rows]))
    markings = {}
    for number, name in enumerate(names):
        parts = []
        for place, one in enumerate(markers):
            maps = ((heads.astype(np.float32).mean(axis=0) if name == "mean" else heads[number - 1].astype(np.float32))[..., place] for heads, *_ in volumes)
            seen = [(own, images, organ, shown[:, place]) for own, (_, images, organ, shown) in zip(maps, volumes)]
            parts.append(calibrate(steps, seen, one.prevalence))
        markings[name] = MarkersMarking(own_names, tuple(parts))
    return markings


def _volumes(slices) -> list[np.ndarray]:
    """Rows of whole volumes that hold abnormal training slices, in order; at most table.MOST_VOLUMES."""
    table = slices.table
    numbers = table.volumes_of(slices.rows[table.label[slices.rows] > 0])
    return [slices.rows[table.volume[slices.rows] == number] for number in numbers]
