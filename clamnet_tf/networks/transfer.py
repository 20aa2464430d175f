"""Transfer the weights of one network to a similar one: copy what fits, adapt other channels or classes.

Layers are matched by name, and names give the place in the grid (x_1_2_conv_1, head_2_logits), so that
networks of different depth share what they have in common. Three things can be adapted:

    input channels   Each new channel gets the first kernel's mean over its channels, times old / new: an
                     image whose channels are all alike gives what it gave before. Which channel is which is
                     not known, so none is preferred.
    classes          Each new lesion class gets a head's lesion logit, relative to the background's, minus the
                     logarithm of their number: the probability of the background stays what it was. This
                     works from two classes or sigmoid only.
    a missing bias   A convolution before a norm has no bias. Kernels are copied between networks with and
                     without norms; bias and norm are then new, and the features are no longer those of the
                     source.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from keras import layers

from clamnet_tf.errors import NetworkError

LOGITS = "_logits"
FIRST = "x_0_0_conv_1"


@dataclass(frozen=True)
class LayerTransfer:
    """The outcome for one layer.

    Attributes:
        layer: name of the layer.
        outcome: reused, adapted or new.
        parameters: number of weights of the layer in the target.
        note: what was adapted, or why the layer is new.
    """

    layer: str
    outcome: Literal["reused", "adapted", "new"]
    parameters: int
    note: str = ""


def transfer_weights(source, target) -> list[LayerTransfer]:
    """Copy what fits from `source` into `target`, both built networks of this package.

    Returns:
        One row per layer with weights, in order.

    Raises:
        NetworkError: not one convolution of the grid fits; `target` is unchanged.
    """
    named = {layer.name: layer for layer in source.layers if layer.weights}
    planned = [(layer, *_plan(named.get(layer.name), layer)) for layer in target.layers if layer.weights]
    rows = [
        LayerTransfer(layer.name, outcome, int(layer.count_params()), note)
        for layer, outcome, _, note in planned
    ]
    if not any(row.outcome != "new" and row.layer.startswith("x_") and "_conv_" in row.layer for row in rows):
        convolutions = [row for row in rows if "_conv_" in row.layer][:3]
        reasons = "; ".join(f"{row.layer}: {row.note}" for row in convolutions)
        raise NetworkError(
            f"The network {target.name} shares no convolution with the weights of {source.name} "
            f"({reasons}). Choose network.filters and network.kernels as in the weights' recipe, or train "
            "without --init."
        )
    for layer, _, weights, _ in planned:
        if weights is not None:
            layer.set_weights(weights)
    return rows


def transfer_text(rows: list[LayerTransfer]) -> list[str]:
    """Summarise the rows in a few lines: how many layers and parameters, then what was adapted and what is
    new.
    """
    groups = {
        outcome: [row for row in rows if row.outcome == outcome] for outcome in ("reused", "adapted", "new")
    }
    counts = ", ".join(
        f"{len(group)} {outcome} ({sum(row.parameters for row in group)} parameters)"
        for outcome, group in groups.items()
    )
    lines = [f"{len(rows)} layers with weights: {counts}"]
    for outcome in ("adapted", "new"):
        notes = {}
        for row in groups[outcome]:
            notes.setdefault(row.note, []).append(row.layer)
        lines += [f"{outcome}: {_listed(names)}: {note}" for note, names in notes.items()]
    return lines


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _plan(old, new):
    """Return (outcome, weights for `new` or None, note) of one layer."""
    if old is None:
        return "new", None, "not in the weights"
    if type(old) is not type(new) or getattr(old, "strides", None) != getattr(new, "strides", None):
        return "new", None, "another kind of layer in the weights"
    before, after = old.get_weights(), new.get_weights()
    shapes = [array.shape for array in before], [array.shape for array in after]
    if shapes[0] == shapes[1]:
        return "reused", before, ""
    if new.name.endswith(LOGITS) and before[0].shape[:-1] == after[0].shape[:-1]:
        return _head(before, after)
    if isinstance(new, layers.Conv2D):
        return _convolution(new.name, before, after)
    return "new", None, f"shape {_shape(before[0])} in the weights, {_shape(after[0])} here"


def _convolution(name: str, before: list, after: list):
    """Plan a kernel whose input channels or bias differ."""
    (kernel, *bias), (wanted, *target_bias) = before, after
    notes = []
    if (
        name == FIRST
        and kernel.shape[2] != wanted.shape[2]
        and kernel.shape[:2] + kernel.shape[3:] == wanted.shape[:2] + wanted.shape[3:]
    ):
        channels, count = kernel.shape[2], wanted.shape[2]
        kernel = np.repeat(kernel.mean(axis=2, keepdims=True), count, axis=2) * (channels / count)
        notes.append(
            f"{channels} input channels became {count}: their mean kernel, scaled by {channels}/{count}"
        )
    if kernel.shape != wanted.shape:
        return "new", None, f"kernel {_shape(kernel)} in the weights, {_shape(wanted)} here"
    if len(bias) != len(target_bias):
        notes.append("kernel alone, since one of the networks has norms and the other has none")
        bias = target_bias
    return "adapted", [kernel, *bias], "; ".join(notes)


def _head(before: list, after: list):
    """Plan a head's logits for another number of classes, or between softmax and sigmoid."""
    (kernel, bias), classes, new_classes = before, before[0].shape[-1], after[0].shape[-1]
    if classes > 2:
        return "new", None, f"{classes} classes in the weights, {new_classes} here"
    lesion = (
        (kernel[..., -1:], bias[-1:])
        if classes == 1
        else (kernel[..., 1:] - kernel[..., :1], bias[1:] - bias[:1])
    )
    note = f"{_classes(classes)} became {_classes(new_classes)}"
    if new_classes == 1:
        return "adapted", list(lesion), note
    count = new_classes - 1
    kernel = np.concatenate([np.zeros_like(lesion[0]), *[lesion[0]] * count], axis=-1)
    bias = np.concatenate([np.zeros_like(lesion[1]), *[lesion[1] - np.log(count, dtype=np.float32)] * count])
    return "adapted", [kernel, bias], note + (", all lesion classes alike" if count > 1 else "")


def _classes(channels: int) -> str:
    return "sigmoid" if channels == 1 else f"{channels} classes"


def _shape(array) -> str:
    return " x ".join(map(str, array.shape))
