"""Make the maps of one lesion class agree with their neighbours in depth and with the volume's intensities.

The steps run in this order; those from 2 on have a switch in the recipe's `inference` section:
1. calibration: sigmoid(logit(p) - logit(raw threshold)), the difference clipped at 3, so that 0.5 is the
   prevalence threshold whatever network made p;
2. `axial_smoothing`: smoothing over neighbouring slices;
3. `keep_largest_component`: 3-D components that weigh little beside the heaviest are left out
   (`suppress_bilateral`: those with a mirror image on the other side weigh less);
4. `intensity_refinement`: the volume's own intensities shift what is near the cut;
5. components once more;
6. `volume_threshold`: the cut is moved to where the border of this volume's mask has the most contrast.

The cuts in between are fixed on abnormal training slices so that the expected share of the organ is marked:
no mask is read. See docs/method.md, section "Volumes".
"""

from dataclasses import asdict, dataclass

import numpy as np

from clamnet_tf.inference.postprocessing.axial_smoothing import smooth_axially
from clamnet_tf.inference.postprocessing.components import keep_largest_components
from clamnet_tf.inference.postprocessing.intensity_refinement import intensity_evidence
from clamnet_tf.inference.postprocessing.log_odds import log_odds_above, sigmoid
from clamnet_tf.inference.postprocessing.prevalence import AreaHistogram
from clamnet_tf.inference.postprocessing.volume_threshold import with_own_threshold
from clamnet_tf.recipe.moved import MOVED
from clamnet_tf.threads import in_order, in_threads

_MOST_LOGIT = 3.0
_SHARPNESS = 6.0  # of calibrated probability against evidence
_DOUBTFUL = 0.07  # share of the organ between marked and unmarked that neither intensity model learns from
_JUST_BELOW = 0.999
#: Key of a step in selection.json and zoo entries (still that of 0.1.0) -> field of PostprocessingConfig.
_ROW_KEYS = {old[1]: new[1] for old, new in MOVED.items() if old[0] == "inference"}
_NEWER_KEYS = {"volume_threshold": "common"}  # absent from a row at this value


@dataclass(frozen=True)
class PostprocessingConfig:
    """The switches of the steps; 0 turns a step off.

    Attributes:
        axial_smoothing: standard deviation of the smoothing, in slices.
        keep_largest_component: least share of the heaviest component's mass, in 0..1.
        intensity_refinement: weight of the evidence of the intensities.
        suppress_bilateral: whether components with a mirror image on the other side weigh less.
        volume_threshold: "common", or "border_contrast" for a cut of each volume's own.
    """

    axial_smoothing: float = 0.0
    keep_largest_component: float = 0.0
    intensity_refinement: float = 0.0
    suppress_bilateral: bool = False
    volume_threshold: str = "common"

    @classmethod
    def of(cls, inference) -> "PostprocessingConfig":
        """Return the switches of a recipe's `inference` section."""
        return cls(
            inference.axial_smoothing,
            inference.keep_largest_component,
            inference.intensity_refinement,
            inference.suppress_bilateral,
            inference.volume_threshold,
        )

    @property
    def any(self) -> bool:
        """Whether any step is on that is fitted, or that changes the maps before their cut."""
        return bool(self.axial_smoothing or self.keep_largest_component or self.intensity_refinement)


@dataclass(frozen=True)
class ClassPostprocessor:
    """Run the steps with the cuts of one lesion class.

    Attributes:
        steps: the switches.
        raw_threshold: cut of the network's own probability, in 0..1.
        seed_threshold: cut of the calibrated, smoothed map.
        background_threshold: what lies below it is background of the intensity evidence.
        threshold: cut of the maps that `__call__` returns.
    """

    steps: PostprocessingConfig
    raw_threshold: float
    seed_threshold: float = 0.5
    background_threshold: float = 0.0
    threshold: float = 0.5

    def __call__(self, probability: np.ndarray, images: np.ndarray, organ: np.ndarray) -> np.ndarray:
        """Return the consistent map of one volume.

        Args:
            probability: (S, H, W) float in 0..1, slices in order.
            images: (S, H, W, C) normalised float.
            organ: (S, H, W), inside where not 0.

        Returns:
            (S, H, W) float32 in 0..1.
        """
        organ = np.asarray(organ, bool)
        maps = self._with_common_threshold(probability, images, organ)
        if self.steps.volume_threshold == "common":
            return maps
        return with_own_threshold(maps, images, organ, self.threshold)

    def _with_common_threshold(self, probability, images, organ):
        if not self.steps.any:
            return np.where(organ, probability, 0).astype(np.float32)
        refined = self._with_evidence(self._consistent(probability, organ), images, organ)
        return _below_the_cut(refined, self.threshold, self._main(refined, self.threshold))

    def _consistent(self, probability, organ):
        return smooth_axially(_calibrated(probability, self.raw_threshold), organ, self.steps.axial_smoothing)

    def _main(self, maps, threshold):
        return keep_largest_components(
            maps, threshold, self.steps.keep_largest_component, self.steps.suppress_bilateral
        )

    def _with_evidence(self, consistent, images, organ):
        if not self.steps.intensity_refinement:
            return consistent
        main = self._main(consistent, self.seed_threshold)
        seeds = np.where(main, consistent - self.seed_threshold + 1e-3, 0)
        evidence = intensity_evidence(images, organ, seeds, consistent < self.background_threshold)
        base = _below_the_cut(consistent, self.seed_threshold, main)
        middle = 0.5 * (self.seed_threshold + self.background_threshold)
        return np.where(
            organ, sigmoid(_SHARPNESS * (base - middle) + self.steps.intensity_refinement * evidence), 0
        ).astype(np.float32)

    def with_steps(self, steps: PostprocessingConfig) -> "ClassPostprocessor":
        """Return a postprocessor with other steps and the fitted thresholds.

        keep_largest_component, suppress_bilateral and volume_threshold may change freely,
        intensity_refinement may be left out. axial_smoothing may change only when every step is turned off.

        Raises:
            ValueError: the thresholds were not fitted for these steps.
        """
        if steps == self.steps:
            return self
        if not steps.any:
            return ClassPostprocessor(steps, self.raw_threshold, threshold=self.raw_threshold)
        if (
            steps.axial_smoothing != self.steps.axial_smoothing
            or steps.intensity_refinement not in (0.0, self.steps.intensity_refinement)
            or not self.steps.any
        ):
            raise ValueError(
                "axial_smoothing must stay as it was fitted, unless all steps are off, and "
                "intensity_refinement can be left out, not changed"
            )
        threshold = self.threshold if steps.intensity_refinement else self.seed_threshold
        return ClassPostprocessor(
            steps, self.raw_threshold, self.seed_threshold, self.background_threshold, threshold
        )

    def row(self) -> dict:
        """Return the values as plain JSON, which `from_row` reads back."""
        steps = {old: getattr(self.steps, new) for old, new in _ROW_KEYS.items()}
        newer = {
            name: getattr(self.steps, name)
            for name, usual in _NEWER_KEYS.items()
            if getattr(self.steps, name) != usual
        }
        return {**asdict(self), "steps": {**steps, **newer}}

    @classmethod
    def from_row(cls, row: dict) -> "ClassPostprocessor":
        """Return what `row` described; steps and thresholds that are missing have their defaults.

        Raises:
            KeyError, TypeError: it has no steps or no raw_threshold, or a step of another name.
        """
        fields = _ROW_KEYS | {name: name for name in _NEWER_KEYS}
        steps = {fields[key]: value for key, value in row["steps"].items()}
        return cls(**{**row, "steps": PostprocessingConfig(**steps)})


def calibrate(steps: PostprocessingConfig, volumes, prevalence: float) -> ClassPostprocessor:
    """Fix the cuts on training volumes.

    Args:
        steps: the switches.
        volumes: list of (probability (S, H, W) float, images (S, H, W, C), organ (S, H, W), abnormal (S,)
            bool).
        prevalence: share of the organ that abnormal slices are to mark on average, in 0..1.
    """
    raw = _cut(((probability, organ, abnormal) for probability, _, organ, abnormal in volumes), prevalence)
    postprocessor = ClassPostprocessor(steps, raw, threshold=raw)
    if not steps.any:
        return postprocessor
    consistent = in_threads(
        lambda volume: postprocessor._consistent(volume[0], np.asarray(volume[2], bool)), volumes
    )
    known = [(organ, abnormal) for _, _, organ, abnormal in volumes]
    seed = _cut(((maps, *facts) for maps, facts in zip(consistent, known)), prevalence)
    background = _cut(
        ((maps, *facts) for maps, facts in zip(consistent, known)), min(1.0, prevalence + _DOUBTFUL)
    )
    if not steps.intensity_refinement:
        return ClassPostprocessor(steps, raw, seed, background, seed)
    postprocessor = ClassPostprocessor(steps, raw, seed, background)
    refined = in_order(
        lambda maps, volume: postprocessor._with_evidence(maps, volume[1], np.asarray(volume[2], bool)),
        consistent,
        volumes,
    )
    return ClassPostprocessor(
        steps,
        raw,
        seed,
        background,
        _cut(((maps, *facts) for maps, facts in zip(refined, known)), prevalence),
    )


def fixed(steps: PostprocessingConfig, threshold: float) -> ClassPostprocessor:
    """Return the postprocessor for a raw threshold that the recipe fixes.

    After calibration that threshold lies at 0.5, and doubt begins at half of that.
    """
    if not steps.any:
        return ClassPostprocessor(steps, threshold, threshold=threshold)
    # The cut where there is no evidence and the consistent probability is 0.5.
    cut = float(sigmoid(_SHARPNESS * 0.125)) if steps.intensity_refinement else 0.5
    return ClassPostprocessor(steps, threshold, 0.5, 0.25, cut)


def _cut(parts, prevalence: float) -> float:
    histogram = AreaHistogram()
    for maps, organ, abnormal in parts:
        histogram.add(maps[abnormal], np.asarray(organ)[abnormal])
    return histogram.threshold(prevalence)


def _calibrated(probability, raw_threshold: float) -> np.ndarray:
    return sigmoid(np.clip(log_odds_above(probability, raw_threshold), -_MOST_LOGIT, _MOST_LOGIT))


def _below_the_cut(probability: np.ndarray, threshold: float, main: np.ndarray) -> np.ndarray:
    """Lower the components that are left out to just below the threshold, so that scores of the rest stay
    comparable.
    """
    return np.where((probability >= threshold) & ~main, np.float32(_JUST_BELOW * threshold), probability)
