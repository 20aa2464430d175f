"""Fitted baselines as JSON, so that a run measures the same ones again."""

import functools
from collections.abc import Mapping

from clamnet_tf.evaluation.baselines.consistent import consistent_masks
from clamnet_tf.evaluation.baselines.intensity import Baseline, cut_masks, otsu_masks, whole_organ

FUNCTIONS = {"whole_organ": whole_organ, "_otsu_masks": otsu_masks, "_cut_masks": cut_masks, "consistent_masks": consistent_masks}


def fitted(baselines: Mapping[str, Baseline]) -> dict:
    """What was learned, as JSON: name -> {function, keywords}; `restored` reads it back."""
    names = {function: name for name, function in FUNCTIONS.items()}
    return {name: {"function": names[getattr(method, "func", method)], "keywords": getattr(method, "keywords", {})} for name, method in baselines.items()}


def restored(content: Mapping) -> dict[str, Baseline]:
    """The callables of `fitted`."""
    return {name: functools.partial(FUNCTIONS[entry["function"]], **entry["keywords"]) for name, entry in content.items()}
