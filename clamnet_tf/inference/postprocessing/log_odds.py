"""Convert probabilities to log-odds and back."""

import numpy as np


def log_odds(probability):
    """Return log(p / (1 - p)) of float 0..1, which is kept 1e-6 away from both ends; float32."""
    clipped = np.clip(np.asarray(probability, np.float32), 1e-6, 1 - 1e-6)
    return np.log(clipped) - np.log1p(-clipped)


def log_odds_above(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return the log-odds of float 0..1 minus those of the threshold, float32: at or above 0 is marked."""
    return log_odds(probability) - log_odds(threshold)


def sigmoid(value):
    """Return the probability of log-odds, float32."""
    return (1.0 / (1.0 + np.exp(-value))).astype(np.float32)
