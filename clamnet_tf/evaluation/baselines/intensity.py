"""Masks from intensity alone: what a method that learns must beat (METHOD: section 6, point 5).

    whole_organ                       every organ pixel
    otsu_channel{c}_{side}            per slice: Otsu's cut of channel c inside the organ
    size_channel{c}_sigma{s}_{side}   per slice: of channel c, Gaussian-smoothed, the highest (or lowest) values, as many as
                                      the prevalence is of the organ
    threshold_channel{c}_sigma{s}_{side}
                                      channel c, Gaussian-smoothed, against one cut for all slices; the cut is
                                      fixed on the abnormal training slices so that the mean marked fraction
                                      of their organ pixels is the prevalence. No mask is used.

The first three need no training images and are measured in every evaluation (`training_free`).
`side` is bright (marks values above the cut) or dark (below). Which channel, sigma and side is right cannot
be known
without masks: every variant is a method of its own. `best_variant` picks among their scores with hindsight,
hence an upper bound for this family, to be reported as "best intensity baseline (oracle choice)".
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

SIGMAS = (0.0, 1.0, 2.0, 4.0)
SIZE_SIGMAS = (0.0, 2.0)
SIGMA_SIDE = 128
_MOST_VALUES = 400_000

Baseline = Callable[[np.ndarray, np.ndarray], np.ndarray]


def intensity_baselines(
    train_images, train_organ, train_labels, prevalence: float, sigmas=SIGMAS, atlas: bool = False
) -> dict[str, Baseline]:
    """Fit every variant on training slices and return name -> callable(images, organ) -> masks.

    train_images  (N, H, W, C) float, normalised as for the network; a memory map is read slice by slice
    train_organ   (N, H, W), nonzero = organ
    train_labels  (N,), 0 normal, > 0 abnormal; only abnormal slices with organ pixels are looked at
    prevalence    wanted mean marked fraction of organ pixels in abnormal slices, in (0, 1]
    sigmas        deviations of the smoothing, in pixels of a slice 128 wide; scaled to W
    atlas         whether the last channel is the deviation from normal slices, which is then called so

    Each callable takes images (N, H, W, C) and organ (N, H, W) and returns bool (N, H, W), False outside the
    organ. ValueError for a prevalence out of range or when no abnormal slice shows any organ.
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
    called = channel_names(channels, atlas)
    baselines = training_free(channels, prevalence, atlas)
    for channel in range(channels):
        for sigma in sigmas:
            values, weights = _training_values(train_images, train_organ, rows, channel, sigma)
            for side in ("bright", "dark"):
                cut = prevalence_cut(values, weights, prevalence, bright=side == "bright")
                name = f"threshold_{called[channel]}_sigma{sigma:g}_{side}"
                baselines[name] = functools.partial(
                    cut_masks, channel=channel, sigma=sigma, cut=cut, bright=side == "bright"
                )
    return baselines


def training_free(channels: int, prevalence: float, atlas: bool = False) -> dict[str, Baseline]:
    """Return the methods that need no training images, as `intensity_baselines` does.

    channels    how many an image has, with that of the atlas
    prevalence  marked share of the organ in every slice, in (0, 1]: the expected size of the recipe, nothing
    measured
    atlas       whether the last channel is the deviation from normal slices
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
    """What the channels are called in the names of baselines; with an atlas the last one is the deviation
    from normal slices.
    """
    return [f"channel{number}" for number in range(channels - atlas)] + ["deviation"] * atlas


def best_variant(scores: Mapping[str, float]) -> tuple[str, float]:
    """Name and value of the highest score (NaN ignored): chosen with masks, an oracle. ValueError when all
    are NaN.
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
    """Gaussian mean over organ pixels only: image (H, W), organ (H, W) bool, sigma in pixels of a 128-wide
    slice.

    Values outside of the organ do not leak in (normalised convolution); the result is 0 there.
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
    """The cut beyond which `values` (P,) carry the fraction `prevalence` of `weights` (P,).

    bright: marked are values > cut; otherwise values < cut. Equal values are marked together or not at all;
    the marked fraction is the largest that does not exceed the prevalence.
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
    """Organ values of the abnormal slices, and weights that let each slice count alike; at most 400,000
    values.
    """
    step = 1 + sum(int(np.count_nonzero(organ[row])) for row in rows) // _MOST_VALUES
    values, weights = [], []
    for row in rows:
        inside = np.asarray(organ[row]) > 0
        picked = smoothed(images[row, ..., channel], inside, sigma)[inside][::step]
        values.append(picked)
        weights.append(np.full(len(picked), 1.0 / len(picked), np.float32))
    return np.concatenate(values), np.concatenate(weights)


def cut_masks(images, organ, *, channel, sigma, cut, bright) -> np.ndarray:
    masks = np.zeros(np.shape(organ), bool)
    for number in range(len(masks)):
        inside = np.asarray(organ[number]) > 0
        values = smoothed(images[number, ..., channel], inside, sigma)
        masks[number] = inside & (values > cut if bright else values < cut)
    return masks


def size_masks(images, organ, *, channel, sigma, share, bright) -> np.ndarray:
    """Mark the share `share` of each slice's organ, highest values first (lowest unless `bright`); equal
    values together or not at all.
    """
    masks = np.zeros(np.shape(organ), bool)
    for number in range(len(masks)):
        inside = np.asarray(organ[number]) > 0
        if inside.any():
            values = smoothed(images[number, ..., channel], inside, sigma)
            own = values[inside]
            cut = prevalence_cut(own, np.ones(own.size), share, bright=bright)
            masks[number] = inside & (values > cut if bright else values < cut)
    return masks


def otsu_masks(images, organ, *, channel, bright) -> np.ndarray:
    masks = np.zeros(np.shape(organ), bool)
    for number in range(len(masks)):
        inside = np.asarray(organ[number]) > 0
        values = np.asarray(images[number, ..., channel], np.float32)
        if inside.any() and np.ptp(values[inside]) > 0:
            cut = threshold_otsu(values[inside])
            masks[number] = inside & (values > cut if bright else values <= cut)
    return masks
