"""Intensity in the place of a network: the same consistency of volumes, without anything learned.

    consistent_{channel}_{side}       the channel, smoothed, is taken as the map of suspicion and goes through the recipe's own steps
                                      (`inference`: axial_smoothing, keep_largest_component, intensity_refinement) and cuts

What such a baseline reaches is not owed to a network: on a sequence that shows lesions bright, that can be
most of the figure. Channels and sides are called as in `intensity`; one smoothing, sigma 2. The cuts are
fixed on abnormal training slices by prevalence; no mask is used.
"""

import functools

import numpy as np

from clamnet_tf.evaluation.baselines.intensity import Baseline, channel_names, smoothed
from clamnet_tf.inference.postprocessing.one_class import ClassPostprocessor, PostprocessingConfig, calibrate

SIGMA = 2.0  # pixels of a slice 128 wide
SLOPE = 2.0  # log-odds per standard deviation of the smoothed values inside the organ; set once, not tuned


def consistent_baselines(
    volumes, steps: PostprocessingConfig, prevalence: float, atlas: bool = False
) -> dict[str, Baseline]:
    """Fit every channel and side on whole training volumes; {} where the recipe has no steps.

    volumes     list of (images (S, H, W, C) float, organ (S, H, W) nonzero = organ, abnormal (S,) bool), slices in order
    prevalence  wanted mean marked fraction of organ pixels in abnormal slices
    atlas       whether the last channel is the deviation from normal slices

    Each callable takes the images and organ of ONE volume, slices in order, and returns bool (S, H, W).
    """
    if not steps.any or not volumes:
        return {}
    methods = {}
    for channel, name in enumerate(channel_names(volumes[0][0].shape[-1], atlas)):
        maps = [_smoothed_volume(images, organ, channel) for images, organ, _ in volumes]
        inside = np.concatenate([one[np.asarray(organ) > 0] for one, (_, organ, _) in zip(maps, volumes)])
        centre, deviation = float(inside.mean()), float(inside.std()) or 1.0
        for side, sign in (("bright", 1.0), ("dark", -1.0)):
            scale = sign * SLOPE / deviation
            parts = [(_suspicion(one, centre, scale), *rest) for one, rest in zip(maps, volumes)]
            marking = calibrate(steps, parts, prevalence)
            methods[f"consistent_{name}_{side}"] = functools.partial(
                consistent_masks, channel=channel, centre=centre, scale=scale, marking=marking.row()
            )
    return methods


def consistent_masks(
    images, organ, *, channel: int, centre: float, scale: float, marking: dict
) -> np.ndarray:
    """Masks of one volume; the keywords are what was fitted."""
    marked, inside = ClassPostprocessor.from_row(marking), np.asarray(organ) > 0
    maps = marked(_suspicion(_smoothed_volume(images, organ, channel), centre, scale), images, inside)
    return inside & (maps >= marked.threshold)


def _smoothed_volume(images, organ, channel: int) -> np.ndarray:
    return np.stack(
        [
            smoothed(images[number][..., channel], np.asarray(organ[number]) > 0, SIGMA)
            for number in range(len(organ))
        ]
    )


def _suspicion(values: np.ndarray, centre: float, scale: float) -> np.ndarray:
    return (1.0 / (1.0 + np.exp(-scale * (values - centre)))).astype(np.float32)
