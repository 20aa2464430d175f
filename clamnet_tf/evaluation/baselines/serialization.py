"""Store fitted baselines as JSON, so that a run or zoo entry is compared with the same ones again."""

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path

from clamnet_tf.errors import RunError
from clamnet_tf.evaluation.baselines.consistent import consistent_masks
from clamnet_tf.evaluation.baselines.intensity import Baseline, cut_masks, otsu_masks, size_masks, whole_organ
from clamnet_tf.inference.postprocessing.one_class import ClassPostprocessor

FUNCTIONS = {
    "whole_organ": whole_organ,
    "_otsu_masks": otsu_masks,
    "_cut_masks": cut_masks,
    "size_masks": size_masks,
    "consistent_masks": consistent_masks,
}
KEYWORDS = {
    "whole_organ": {},
    "_otsu_masks": {"channel": int, "bright": bool},
    "_cut_masks": {"channel": int, "sigma": float, "cut": float, "bright": bool},
    "size_masks": {"channel": int, "sigma": float, "share": float, "bright": bool},
    "consistent_masks": {"channel": int, "centre": float, "scale": float, "marking": dict},
}
"""Keyword arguments of each function with their types; content from a registry is checked against it."""


def fitted(baselines: Mapping[str, Baseline]) -> dict:
    """Return fitted baselines as JSON: name -> {function, keywords}. `restored` reads it back."""
    names = {function: name for name, function in FUNCTIONS.items()}
    return {
        name: {
            "function": names[getattr(method, "func", method)],
            "keywords": getattr(method, "keywords", {}),
        }
        for name, method in baselines.items()
    }


def restored(content: Mapping) -> dict[str, Baseline]:
    """Return the callables from the content that `fitted` wrote."""
    return {
        name: functools.partial(FUNCTIONS[entry["function"]], **entry["keywords"])
        for name, entry in content.items()
    }


def read_kept(path: Path, names: tuple[str, ...], channels: int) -> dict[str, dict[str, Baseline]]:
    """Read the stored baselines of a run or zoo entry.

    Args:
        path: The file.
        names: Names of the lesion classes; () for one class without a name.
        channels: Number of channels of an image, the atlas channel included.

    Returns:
        {"": methods for everything marked, name of a class: methods for that class, ...}.

    Raises:
        RunError: The file is not what `fitted` wrote, or it is for other channels or classes.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content = content if names else {"": content}
        if not set(content) <= {"", *names}:
            raise ValueError(f"it is for the lesion classes {', '.join(filter(None, content)) or 'none'}")
        for methods in content.values():
            for name, entry in methods.items():
                _check(name, entry, channels)
        return {class_name: restored(methods) for class_name, methods in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        expected = f"simple methods for {channels} channel(s)" + (
            f" and the lesion classes {', '.join(names)}" if names else ""
        )
        raise RunError(
            f"{path}: expected {expected}, as fit writes them; {error}. Remove the file to evaluate "
            f"without them."
        ) from error


def _check(name: str, entry: Mapping, channels: int) -> None:
    """Raise ValueError or KeyError for a method that could not be called."""
    keywords = entry["keywords"]
    wanted = KEYWORDS[entry["function"]]
    if set(keywords) != set(wanted):
        raise ValueError(f"{name} has the keywords {', '.join(keywords) or 'none'}")
    for key, kind in wanted.items():
        value = keywords[key]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number if kind is float else type(value) is not kind:
            raise ValueError(f"{name}: {key} is {value!r}")
    if not 0 <= keywords.get("channel", 0) < channels:
        raise ValueError(f"{name}: channel is {keywords['channel']}")
    if "marking" in keywords:
        ClassPostprocessor.from_row(keywords["marking"])
