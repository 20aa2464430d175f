"""Use a volume's own intensities as evidence: compare the surely marked voxels with the rest of the organ."""

import numpy as np
from scipy import ndimage

SMOOTHING_PIXELS = 1.0  # in-plane, on a slice 128 pixels wide
MOST_EVIDENCE = 6.0
_LEAST_SHARE = 0.003  # of a slice's pixels; fewer seeds describe nothing
_RIDGE = 0.05


def intensity_evidence(
    images: np.ndarray, organ: np.ndarray, marked_weight: np.ndarray, background: np.ndarray
) -> np.ndarray:
    """Return the log-likelihood ratio of marked against unmarked tissue.

    Each tissue is described by one Gaussian of the channels, fitted to this volume.

    Args:
        images: (S, H, W, C) normalised float.
        organ: (S, H, W) bool.
        marked_weight: (S, H, W) float >= 0, weight of a voxel in the Gaussian of marked tissue.
        background: (S, H, W) bool, voxels of the Gaussian of unmarked tissue.

    Returns:
        (S, H, W) float32 in -6..6, 0 outside the organ; 0 throughout when either tissue has too few voxels.
    """
    evidence = np.zeros(organ.shape, np.float32)
    side = organ.shape[2]
    least = max(20, int(_LEAST_SHARE * organ.shape[1] * side))
    marked, unmarked = organ & (marked_weight > 0), organ & background
    if np.count_nonzero(marked) < least or np.count_nonzero(unmarked) < least:
        return evidence
    sigma = SMOOTHING_PIXELS * side / 128
    values = ndimage.gaussian_filter(np.asarray(images, np.float32), (0, sigma, sigma, 0))[organ].astype(
        np.float64
    )
    of_marked = _log_density(values, marked_weight[organ].astype(np.float64))
    of_unmarked = _log_density(values, unmarked[organ].astype(np.float64))
    evidence[organ] = np.clip(of_marked - of_unmarked, -MOST_EVIDENCE, MOST_EVIDENCE)
    return evidence


def _log_density(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the log density of values (P, C) under the Gaussian of their weighted moments.

    The constant that both Gaussians share is left out.
    """
    weights = weights / weights.sum()
    mean = weights @ values
    centred = values - mean
    covariance = (centred * weights[:, None]).T @ centred + _RIDGE * np.eye(values.shape[1])
    factor = np.linalg.cholesky(covariance)
    distances = np.linalg.solve(factor, centred.T)
    return -0.5 * np.sum(distances**2, axis=0) - np.log(np.diag(factor)).sum()
