"""Plan which slices meet in which step, from the seed and the step alone, so that a resumed run continues the
plan.

A batch interleaves abnormal and normal slices: rows 2i and 2i+1 are a negative pair, so that splitting a
batch over replicas never separates a pair.
"""

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.input_pipeline.matching import matching_weights
from clamnet_tf.preprocessing.trainable import without_pairs


class PairPlan:
    """Plan negative pairs (abnormal, matched normal) for every step.

    Args:
        labels: (N,) int, 0 normal, >= 1 abnormal, of the training rows.
        columns: `position`, `area`, `site` of the same rows.
        batch_size: even number of slices per step.
        seed: of the plan.
        matching: keyword arguments of `matching_weights`.

    Raises:
        DataError: one of the two classes is missing.

    Examples:
        >>> columns = {"position": [0.2, 0.8, 0.2, 0.8], "area": [0.1] * 4, "site": ["a"] * 4}
        >>> matching = {"on": "position", "tolerance": 0.05}
        >>> plan = PairPlan([1, 1, 0, 0], columns, batch_size=4, seed=0, matching=matching)
        >>> sorted(map(tuple, plan.rows(0).reshape(2, 2).tolist()))  # (abnormal, normal of the same height)
        [(0, 2), (1, 3)]
    """

    def __init__(self, labels, columns: dict, *, batch_size: int, seed: int, matching: dict):
        labels = np.asarray(labels)
        self.abnormal = np.flatnonzero(labels > 0)
        self.normal = np.flatnonzero(labels == 0)
        if problem := without_pairs(len(self.abnormal), len(self.normal)):
            raise DataError(problem)
        self.pairs_per_step = batch_size // 2
        self.seed = seed
        columns = {name: np.asarray(values) for name, values in columns.items()}
        if "site" in columns:  # numbers are compared faster than texts
            columns["site"] = np.unique(columns["site"], return_inverse=True)[1]
        self._of_abnormal = {name: values[self.abnormal] for name, values in columns.items()}
        self._of_normal = {name: values[self.normal] for name, values in columns.items()}
        self._matching = matching
        self._epoch = (-1, None)

    def _shuffled(self, epoch: int) -> np.ndarray:
        """Return the order of the abnormal slices in an epoch."""
        if self._epoch[0] != epoch:
            self._epoch = (
                epoch,
                np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.abnormal)),
            )
        return self._epoch[1]

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of the batch of `step`: (batch_size,) int64, abnormal and matched normal in
        turn.
        """
        count = len(self.abnormal)
        drawn = [
            self._shuffled(index // count)[index % count]
            for index in range(step * self.pairs_per_step, (step + 1) * self.pairs_per_step)
        ]
        uniform = np.random.default_rng([self.seed, 2, step]).random(self.pairs_per_step)
        # Only for the slices that are drawn: for all, the table would grow with the square of their number.
        weights = matching_weights(
            {name: values[drawn] for name, values in self._of_abnormal.items()},
            self._of_normal,
            **self._matching,
        )
        partners = [
            min(np.searchsorted(cumulative, u), len(self.normal) - 1)
            for cumulative, u in zip(np.cumsum(weights, axis=1), uniform)
        ]
        return np.stack([self.abnormal[drawn], self.normal[partners]], axis=1).reshape(-1)


class ShuffledPlan:
    """Plan every row once per epoch, for supervised training.

    Args:
        count: number of rows.
        batch_size: number of slices per step.
        seed: of the plan.

    Raises:
        DataError: there is no row.
    """

    def __init__(self, count: int, *, batch_size: int, seed: int):
        if count < 1:
            raise DataError("training needs at least one slice with a mask; received none.")
        self.count, self.batch_size, self.seed = count, batch_size, seed

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of the batch of `step`, (batch_size,) int64."""
        indices = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        shuffles = {
            epoch: np.random.default_rng([self.seed, 3, epoch]).permutation(self.count)
            for epoch in set(indices // self.count)
        }
        return np.array(
            [shuffles[index // self.count][index % self.count] for index in indices], dtype=np.int64
        )


class SubsetPlan:
    """Plan the rows of a part of the training rows.

    Args:
        plan: has `rows(step)` -> row numbers within the part.
        rows: (n,) the part, row numbers among all training rows.
    """

    def __init__(self, plan, rows):
        self.plan, self.subset = plan, np.asarray(rows)

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of the batch of `step` among all training rows, int64."""
        return self.subset[self.plan.rows(step)]


class MixedPlan:
    """Plan batches of which some pairs have masks and the others have none, spread evenly over the batch.

    Args:
        masked: plan of `2 * masked_pairs` rows a step.
        others: plan of `2 * (pairs - masked_pairs)` rows a step.
        pairs: number of pairs of a batch.
        masked_pairs: number of pairs with masks, 1 .. pairs - 1.

    Examples:
        >>> one, two = (SubsetPlan(ShuffledPlan(1, batch_size=n, seed=0), [n]) for n in (2, 4))
        >>> MixedPlan(one, two, pairs=3, masked_pairs=1).rows(0).tolist()
        [4, 4, 4, 4, 2, 2]
    """

    def __init__(self, masked, others, *, pairs: int, masked_pairs: int):
        self.masked, self.others = masked, others
        counts = np.arange(pairs + 1) * masked_pairs // pairs
        self._has_mask = np.diff(counts) > 0

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of the batch of `step`: (2 * pairs,) int64, pairs together."""
        batch = np.empty((len(self._has_mask), 2), np.int64)
        batch[self._has_mask] = self.masked.rows(step).reshape(-1, 2)
        batch[~self._has_mask] = self.others.rows(step).reshape(-1, 2)
        return batch.reshape(-1)
