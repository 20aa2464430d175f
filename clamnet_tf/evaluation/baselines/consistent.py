"""Replace the network by plain intensity: the same post-processing of volumes, without anything learned.

The method consistent_{channel}_{side} takes the smoothed channel as a map of suspicion and sends it through
the recipe's own post-processing steps (section `inference`) and thresholds.

What such a baseline reaches is not the network's merit: on a sequence that shows lesions bright, this can be
most of the score. Channels and sides are named as in `intensity`; there is one smoothing, sigma 2. The
thresholds are fixed on abnormal training slices by prevalence; no mask is used.
"""

import functools

import numpy as np

from clamnet_tf.evaluation.baselines.intensity import Baseline, channel_names, smoothed
from clamnet_tf.inference.postprocessing.one_class import ClassPostprocessor, PostprocessingConfig, calibrate
from clamnet_tf.threads import in_threads

SIGMA = 2.0  # pixels of a slice 128 wide
SLOPE = 2.0  # log-odds per standard deviation of the smoothed values inside the organ; set once, not tuned


def consistent_baselines(
    volumes, steps: PostprocessingConfig, prevalence: float, atlas: bool = False
) -> dict[str, Baseline]:
    """Fit every channel and side on whole training volumes.

    Args:
        volumes: List of (images (S, H, W, C) float, organ (S, H, W) nonzero = organ, abnormal (S,) bool),
            slices in order.
        steps: Post-processing steps of the recipe.
        prevalence: Wanted mean marked fraction of the organ pixels in abnormal slices, in (0, 1].
        atlas: Whether the last channel is the deviation from normal slices.

    Returns:
        name -> callable. Each callable takes the images and organ of ONE volume, slices in order, and returns
        bool (S, H, W). {} where the recipe has no post-processing steps.
    """
    if not steps.any or not volumes:
        return {}
    methods = {}
    for channel, name in enumerate(channel_names(volumes[0][0].shape[-1], atlas)):
        maps = in_threads(lambda volume: _smoothed_volume(*volume[:2], channel), volumes)
        inside = np.concatenate(
            [smoothed_map[np.asarray(organ) > 0] for smoothed_map, (_, organ, _) in zip(maps, volumes)]
        )
        centre, deviation = float(inside.mean()), float(inside.std()) or 1.0
        for side, sign in (("bright", 1.0), ("dark", -1.0)):
            scale = sign * SLOPE / deviation
            parts = [
                (_suspicion(smoothed_map, centre, scale), *rest) for smoothed_map, rest in zip(maps, volumes)
            ]
            postprocessor = calibrate(steps, parts, prevalence)
            methods[f"consistent_{name}_{side}"] = functools.partial(
                consistent_masks, channel=channel, centre=centre, scale=scale, marking=postprocessor.row()
            )
    return methods


def consistent_masks(
    images, organ, *, channel: int, centre: float, scale: float, marking: dict
) -> np.ndarray:
    """Compute the masks of one volume, bool (S, H, W); the keyword arguments are what was fitted."""
    postprocess, inside = ClassPostprocessor.from_row(marking), np.asarray(organ) > 0
    maps = postprocess(_suspicion(_smoothed_volume(images, organ, channel), centre, scale), images, inside)
    return inside & (maps >= postprocess.threshold)


def _smoothed_volume(images, organ, channel: int) -> np.ndarray:
    return np.stack(
        [
            smoothed(images[index][..., channel], np.asarray(organ[index]) > 0, SIGMA)
            for index in range(len(organ))
        ]
    )


def _suspicion(values: np.ndarray, centre: float, scale: float) -> np.ndarray:
    return (1.0 / (1.0 + np.exp(-scale * (values - centre)))).astype(np.float32)
