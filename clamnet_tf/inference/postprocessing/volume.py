"""Make the maps of a volume consistent and comparable; each lesion class has its own steps and cut."""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.inference.postprocessing.log_odds import log_odds_above
from clamnet_tf.inference.postprocessing.one_class import ClassPostprocessor, PostprocessingConfig
from clamnet_tf.recipe.classes import UNNAMED, by_name

#: The cut of every class in the maps that VolumePostprocessor returns, when the classes' cuts differ.
COMMON_CUT = 0.5


@dataclass(frozen=True)
class VolumePostprocessor:
    """Hold one ClassPostprocessor per lesion class, in the order of the network's classes from 1.

    Where the cuts of classes differ, a probability of one does not compare with that of another; log-odds
    above the cut do. So every map is then shifted by its own cut, and `threshold` is the cut of all maps that
    are returned.

    Attributes:
        names: names of the lesion classes.
        parts: their postprocessors, in the same order.
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
            probability: (S, H, W, M) float in 0..1, slices in order.
            images: (S, H, W, C) normalised float.
            organ: (S, H, W), inside where not 0.

        Returns:
            (S, H, W, M) float32 in 0..1, 0 outside the organ, with `threshold` as the cut of each class.
        """
        inside = np.asarray(organ, bool)
        maps = [
            self._shifted(part(probability[..., index], images, inside), part.threshold)
            for index, part in enumerate(self.parts)
        ]
        return np.stack([np.where(inside, class_map, 0).astype(np.float32) for class_map in maps], axis=-1)

    def _shifted(self, maps, cut: float):
        """Move `cut` to the common one, in log-odds."""
        if cut == self.threshold:
            return maps
        return 1.0 / (1.0 + np.exp(-log_odds_above(maps, cut)))

    def with_steps(self, steps: PostprocessingConfig) -> "VolumePostprocessor":
        """Return a postprocessor with other steps, as `ClassPostprocessor.with_steps` allows them."""
        return VolumePostprocessor(self.names, tuple(part.with_steps(steps) for part in self.parts))

    def row(self) -> dict:
        """Return a dict for JSON: name -> row of the class.

        A single class without a name gives its row alone.
        """
        return by_name({name: part.row() for name, part in zip(self.names, self.parts)})

    @classmethod
    def from_row(
        cls, row: dict, names: tuple[str, ...], called: str = "its lesion classes"
    ) -> "VolumePostprocessor":
        """Make a postprocessor of what `row` returned.

        Args:
            row: the dict.
            names: the expected lesion classes, in order.
            called: what the message calls the classes of `row`.

        Raises:
            ValueError: the classes of `row` are not `names`, in this order.
        """
        rows = {UNNAMED: row} if names == (UNNAMED,) else row
        if tuple(rows) != names:
            raise ValueError(f"{called} are {', '.join(map(str, rows))}, the recipe's {', '.join(names)}")
        return cls(names, tuple(ClassPostprocessor.from_row(part) for part in rows.values()))
