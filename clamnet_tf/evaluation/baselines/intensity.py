"""Compute masks from intensity alone: what a learning method must beat (docs/method.md, section "Measuring").

whole_organ
    Every organ pixel.
otsu_channel{c}_{side}
    Per slice: Otsu's threshold of channel c inside the organ.
size_channel{c}_sigma{s}_{side}
    Per slice: the highest (or lowest) values of channel c, Gaussian-smoothed, as many as the prevalence is of
    the organ.
threshold_channel{c}_sigma{s}_{side}
    Channel c, Gaussian-smoothed, against one threshold for all slices. The threshold is fixed on the abnormal
    training slices so that the mean marked fraction of their organ pixels equals the prevalence. No mask is
    used.

The first three need no training images and are part of every evaluation (`training_free`). `side` is bright
(marks values above the threshold) or dark (below it). Which channel, sigma and side are right cannot be known
without masks, so every variant is a method of its own. `best_variant` picks among their scores with
hindsight; the result is an upper bound for this family, to be reported as "best intensity baseline (oracle
choice)".
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from clamnet_tf.threads import in_threads

SIGMAS = (0.0, 1.0, 2.0, 4.0)
SIZE_SIGMAS = (0.0, 2.0)
SIGMA_SIDE = 128
_MOST_VALUES = 400_000

Baseline = Callable[[np.ndarray, np.ndarray], np.ndarray]


def intensity_baselines(
    train_images, train_organ, train_labels, prevalence: float, sigmas=SIGMAS, atlas: bool = False
) -> dict[str, Baseline]:
    """Fit every variant on training slices.

    Args:
        train_images: (N, H, W, C) float, normalised as for the network; a memory map is read slice by slice.
        train_organ: (N, H, W), nonzero = organ.
        train_labels: (N,), 0 normal, above 0 abnormal; only abnormal slices with organ pixels are used.
        prevalence: Wanted mean marked fraction of the organ pixels in abnormal slices, in (0, 1].
        sigmas: Standard deviations of the smoothing, in pixels of a slice 128 wide; scaled to W.
        atlas: Whether the last channel is the deviation from normal slices, which then carries that name.

    Returns:
        name -> callable. Each callable takes images (N, H, W, C) and organ (N, H, W) and returns bool (N, H,
        W), False outside the organ.

    Raises:
        ValueError: The prevalence is out of range, or no abnormal slice shows any organ.
    """
    if not 0.0 < prevalence <= 1.0:
        raise ValueError(f"prevalence: expected a fraction in (0, 1], received {prevalence!r}.")
    labels = np.asarray(train_labels)
    rows = [row for row in np.flatnonzero(labels > 0) if np.any(train_organ[row])]
    if not rows:
        raise ValueError(
            f"no abnormal training slice with organ pixels among {len(labels)}: the cut cannot be fixed."
        )
    channels = train_images.shape[-1]
    names = channel_names(channels, atlas)
    baselines = training_free(channels, prevalence, atlas)
    for channel in range(channels):
        for sigma in sigmas:
            values, weights = _training_values(train_images, train_organ, rows, channel, sigma)
            for side in ("bright", "dark"):
                cut = prevalence_cut(values, weights, prevalence, bright=side == "bright")
                method = f"threshold_{names[channel]}_sigma{sigma:g}_{side}"
                baselines[method] = functools.partial(
                    cut_masks, channel=channel, sigma=sigma, cut=cut, bright=side == "bright"
                )
    return baselines


def training_free(channels: int, prevalence: float, atlas: bool = False) -> dict[str, Baseline]:
    """Return the methods that need no training images, in the form of `intensity_baselines`.

    Args:
        channels: Number of channels of an image, the atlas channel included.
        prevalence: Marked share of the organ in every slice, in (0, 1]: the expected size from the recipe,
            not a measured one.
        atlas: Whether the last channel is the deviation from normal slices.
    """
    baselines: dict[str, Baseline] = {"whole_organ": whole_organ}
    for channel, name in enumerate(channel_names(channels, atlas)):
        for side in ("bright", "dark"):
            bright = side == "bright"
            baselines[f"otsu_{name}_{side}"] = functools.partial(otsu_masks, channel=channel, bright=bright)
            for sigma in SIZE_SIGMAS:
                keywords = {"channel": channel, "sigma": sigma, "share": prevalence, "bright": bright}
                baselines[f"size_{name}_sigma{sigma:g}_{side}"] = functools.partial(size_masks, **keywords)
    return baselines


def channel_names(channels: int, atlas: bool) -> list[str]:
    """Return the channels' names in names of baselines; with an atlas the last one is the deviation from
    normal slices.
    """
    return [f"channel{channel}" for channel in range(channels - atlas)] + ["deviation"] * atlas


def best_variant(scores: Mapping[str, float]) -> tuple[str, float]:
    """Return name and value of the highest score, ignoring NaN: a choice made with masks, an oracle.

    Raises:
        ValueError: All scores are NaN.
    """
    known = {name: float(score) for name, score in scores.items() if not np.isnan(score)}
    if not known:
        raise ValueError("no intensity baseline has a score.")
    name = max(known, key=known.get)
    return name, known[name]


def whole_organ(images, organ) -> np.ndarray:
    """Mark the whole organ; shapes as in `intensity_baselines`."""
    return np.asarray(organ) > 0


def smoothed(image: np.ndarray, organ: np.ndarray, sigma: float) -> np.ndarray:
    """Compute the Gaussian mean over organ pixels only.

    Values outside the organ do not leak in (normalised convolution); the result is 0 there.

    Args:
        image: (H, W).
        organ: (H, W) bool.
        sigma: Standard deviation in pixels of a slice 128 wide.
    """
    inside = organ.astype(np.float32)
    image = np.asarray(image, np.float32) * inside
    if sigma > 0:
        scaled = sigma * organ.shape[1] / SIGMA_SIDE
        image = ndimage.gaussian_filter(image, scaled) / np.maximum(
            ndimage.gaussian_filter(inside, scaled), 1e-6
        )
    return np.where(organ, image, np.float32(0.0))


def prevalence_cut(values: np.ndarray, weights: np.ndarray, prevalence: float, *, bright: bool) -> float:
    """Find the threshold beyond which `values` carry the fraction `prevalence` of `weights`.

    Equal values are marked together or not at all; the marked fraction is the largest one that does not
    exceed the prevalence.

    Args:
        values: (P,) values.
        weights: (P,) weight of each value.
        prevalence: Wanted fraction, in (0, 1].
        bright: True: values above the threshold are marked; False: values below it.
    """
    if not bright:
        return -prevalence_cut(-values, weights, prevalence, bright=True)
    order = np.argsort(-values, kind="stable")
    marked = np.cumsum(weights[order], dtype=np.float64)
    allowed = int(np.searchsorted(marked, prevalence * marked[-1] * (1 + 1e-9), side="right"))
    return float(
        values[order[allowed]]
        if allowed < len(values)
        else np.nextafter(values.min(), -np.inf, dtype=values.dtype)
    )


def _training_values(images, organ, rows, channel, sigma):
    """Return organ values of the abnormal slices, at most 400,000, and weights that let each slice count
    equally.
    """
    step = 1 + sum(int(np.count_nonzero(organ[row])) for row in rows) // _MOST_VALUES

    def picked(row):
        inside = np.asarray(organ[row]) > 0
        return smoothed(images[row, ..., channel], inside, sigma)[inside][::step]

    values = in_threads(picked, rows)
    weights = [np.full(len(part), 1.0 / len(part), np.float32) for part in values]
    return np.concatenate(values), np.concatenate(weights)


def cut_masks(images, organ, *, channel, sigma, cut, bright) -> np.ndarray:
    """Mark the organ pixels whose smoothed value lies beyond a fixed threshold."""
    masks = np.zeros(np.shape(organ), bool)
    for index in range(len(masks)):
        inside = np.asarray(organ[index]) > 0
        values = smoothed(images[index, ..., channel], inside, sigma)
        masks[index] = inside & (values > cut if bright else values < cut)
    return masks


def size_masks(images, organ, *, channel, sigma, share, bright) -> np.ndarray:
    """Mark the share `share` of each slice's organ, highest values first (lowest first unless `bright`).

    Equal values are marked together or not at all.
    """
    masks = np.zeros(np.shape(organ), bool)
    for index in range(len(masks)):
        inside = np.asarray(organ[index]) > 0
        if inside.any():
            values = smoothed(images[index, ..., channel], inside, sigma)
            organ_values = values[inside]
            cut = prevalence_cut(organ_values, np.ones(organ_values.size), share, bright=bright)
            masks[index] = inside & (values > cut if bright else values < cut)
    return masks


def otsu_masks(images, organ, *, channel, bright) -> np.ndarray:
    """Mark the organ pixels above (or, unless `bright`, below) Otsu's threshold of each slice."""
    masks = np.zeros(np.shape(organ), bool)
    for index in range(len(masks)):
        inside = np.asarray(organ[index]) > 0
        values = np.asarray(images[index, ..., channel], np.float32)
        if inside.any() and np.ptp(values[inside]) > 0:
            cut = threshold_otsu(values[inside])
            masks[index] = inside & (values > cut if bright else values <= cut)
    return masks
