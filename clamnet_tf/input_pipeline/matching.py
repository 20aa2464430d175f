"""Match normal slices to abnormal ones, so that neither height nor scanner reveals the label.

See docs/method.md, section "Pairs".
"""

import numpy as np

OTHER_SITE_WEIGHT = 0.1


def matching_weights(
    abnormal: dict, normal: dict, on: str = "area", tolerance: float = 0.1, same_site: bool = True
) -> np.ndarray:
    """Return the probability of drawing each normal slice beside each abnormal one.

    Args:
        abnormal: columns of the A abnormal slices: `position` (0..1 in the volume), `area` (organ fraction of
            the image) and `site` (text).
        normal: the same columns of the M normal slices.
        on: "position", "area" or "none".
        tolerance: standard deviation of the Gaussian weight on the difference of the matched quantity, in its
            units.
        same_site: slices of another site get a tenth of the weight.

    Returns:
        (A, M) float64, rows summing to 1. A slice with no near neighbour draws among the nearest ones.
    """
    weights = np.zeros((len(abnormal["position"]), len(normal["position"])))
    if on != "none":
        difference = (
            np.asarray(abnormal[on], float)[:, None] - np.asarray(normal[on], float)[None, :]
        ) / tolerance
        weights = -0.5 * difference**2
    if same_site:
        weights = weights + np.where(
            np.asarray(abnormal["site"])[:, None] == np.asarray(normal["site"])[None, :],
            0.0,
            np.log(OTHER_SITE_WEIGHT),
        )
    weights = np.exp(weights - weights.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
