"""Compute p-values of paired differences, and correct them for many comparisons.

The test is the sign-flip permutation test on the mean difference (Fisher 1935): when two methods do not
differ, the sign of each patient's difference is random. It tests the same statistic that the tables show,
assumes no distribution, and handles ties and zeros directly (Wilcoxon's test drops zeros and adjusts for
ties).
"""

import numpy as np

EXACT_PATIENTS = 16
"""Up to this number of patients with a difference all sign patterns are counted; above it, DRAWS random
ones.
"""
DRAWS = 100_000
_SLACK = 1e-9


def sign_flip_p(differences, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean difference of 0.

    Up to EXACT_PATIENTS it is exact: the share of the 2^n sign patterns whose mean lies at least as far from
    0 as the observed one, itself included. Beyond, it is the share among random patterns, with the observed
    one added (Phipson and Smyth 2010).

    Args:
        differences: One finite number per patient.
        seed: Seed of the random patterns.
    """
    values = np.abs(np.asarray(differences, float))
    observed = abs(float(np.sum(differences)))
    values = values[values > 0]  # a patient without a difference changes no sum
    if not values.size:
        return 1.0
    bound = observed - _SLACK * max(1.0, float(values.sum()))
    if values.size <= EXACT_PATIENTS:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= bound))
    signs = np.random.default_rng(seed).integers(0, 2, (DRAWS, values.size), dtype=np.int8)
    sums = (2.0 * signs - 1) @ values
    return float((np.count_nonzero(np.abs(sums) >= bound) + 1) / (DRAWS + 1))


def holm(p_values) -> list[float]:
    """Adjust p-values for their number (Holm 1979), in their own order.

    Adjusted p-values below a level keep the chance of one false finding among all comparisons below that
    level.
    """
    count, adjusted, highest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
