"""How the maps of a volume become consistent and comparable: each lesion class has its own steps and cut."""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.inference.postprocessing.one_class import (
    ClassPostprocessor,
    PostprocessingConfig,
    log_odds_above,
)
from clamnet_tf.recipe.classes import UNNAMED, by_name

COMMON_CUT = 0.5
"""The cut of every class in what VolumePostprocessor returns, when their own cuts differ."""


@dataclass(frozen=True)
class VolumePostprocessor:
    """One ClassPostprocessor per lesion class, in the order of the network's classes from 1.

    Where the cuts of classes differ, a probability of one does not compare with that of another; log-odds
    above the cut do. So every map is shifted by its own cut then, and `threshold` is the cut of all maps that
    are returned.
    """

    names: tuple[str, ...]
    parts: tuple[ClassPostprocessor, ...]

    @property
    def threshold(self) -> float:
        """The cut of every map that `__call__` returns: the one that all classes have, else COMMON_CUT."""
        cuts = {part.threshold for part in self.parts}
        return cuts.pop() if len(cuts) == 1 else COMMON_CUT

    def __call__(self, probability: np.ndarray, images: np.ndarray, organ: np.ndarray) -> np.ndarray:
        """Return the consistent maps of one volume.

        Args:
            probability: (S, H, W, M) float 0..1, slices in order.
            images: (S, H, W, C) normalised float. organ: (S, H, W), inside where not 0.

        Returns:
            (S, H, W, M) float32 0..1, 0 outside the organ, with `threshold` as the cut of each class.
        """
        inside = np.asarray(organ, bool)
        maps = [
            self._shifted(part(probability[..., index], images, inside), part.threshold)
            for index, part in enumerate(self.parts)
        ]
        return np.stack([np.where(inside, one, 0).astype(np.float32) for one in maps], axis=-1)

    def _shifted(self, maps, cut: float):
        """Move `cut` to the common one, in log-odds."""
        if cut == self.threshold:
            return maps
        return 1.0 / (1.0 + np.exp(-log_odds_above(maps, cut)))

    def with_steps(self, steps: PostprocessingConfig) -> "VolumePostprocessor":
        """Return the same with other steps, as `ClassPostprocessor.with_steps` allows them."""
        return VolumePostprocessor(self.names, tuple(part.with_steps(steps) for part in self.parts))

    def row(self) -> dict:
        """Return it as JSON: name -> row of the class; of a single class without a name its row alone."""
        return by_name({name: part.row() for name, part in zip(self.names, self.parts)})

    @classmethod
    def from_row(
        cls, row: dict, names: tuple[str, ...], called: str = "its markers"
    ) -> "VolumePostprocessor":
        """Read back what `row` gave.

        ValueError: its classes are not `names`, in this order; `called`: what the message calls them.
        """
        rows = {UNNAMED: row} if names == (UNNAMED,) else row
        if tuple(rows) != names:
            raise ValueError(f"{called} are {', '.join(map(str, rows))}, the recipe's {', '.join(names)}")
        return cls(names, tuple(ClassPostprocessor.from_row(part) for part in rows.values()))
