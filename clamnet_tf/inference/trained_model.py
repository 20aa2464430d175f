"""Load a finished run: its network as a predictor, and how probabilities become masks."""

from dataclasses import dataclass, field, replace

from clamnet_tf.errors import RunError, UserInputError
from clamnet_tf.inference.appearance import AppearanceModel
from clamnet_tf.inference.engine import TENSORFLOW, load_predictor
from clamnet_tf.inference.head_predictor import HeadPredictor
from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig
from clamnet_tf.inference.postprocessing.volume import VolumePostprocessor
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.preprocessing.atlas_channel import atlas_of
from clamnet_tf.preprocessing.normal_atlas import NormalAtlas
from clamnet_tf.recipe.classes import UNNAMED, class_names
from clamnet_tf.runs import RunFolder


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network with everything that its masks need.

    Attributes:
        probability: predictor, (N, side, side, channels) normalised float -> (N, side, side, M) float32 in
            0..1.
        volume: maps of one volume -> consistent maps, see inference.postprocessing.volume.
        marking: threshold of these maps with its rule, and what is done to the mask.
        channels: number of channels of an image (the network takes one more with an atlas).
        step: optimizer step of the chosen checkpoint.
        threshold_rule: where the cuts of `volume` come from, in words.
        head_thresholds: name of a class -> name of a head -> cut of its own maps.
        atlas: atlas of normal slices, or None.
        member_thresholds: of an average (see workflows.averaged_model), head_thresholds of each network.
        appearance: what the training images look like; None where the run does not say.
    """

    probability: HeadPredictor
    volume: VolumePostprocessor
    marking: ThresholdRule
    channels: int
    step: int
    threshold_rule: str = ""
    head_thresholds: dict[str, dict[str, float]] = field(default_factory=dict)
    atlas: NormalAtlas | None = None
    member_thresholds: tuple[dict[str, dict[str, float]], ...] = ()
    appearance: AppearanceModel | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the lesion classes, in the order of the maps; a single one may be UNNAMED."""
        return self.volume.names

    def marking_of(self, name: str) -> ThresholdRule:
        """Return `marking` with the thresholds that the heads have for the class `name`."""
        return replace(self.marking, head_thresholds=self.head_thresholds.get(name, {}))


def load_trained_model(run: RunFolder, recipe, *, engine: str = TENSORFLOW) -> TrainedModel:
    """Load model and selection of a finished run or of a zoo entry.

    Args:
        run: RunFolder or zoo entry.
        recipe: its recipe.
        engine: "tensorflow" or "onnxruntime", which computes the network, see inference.engine.

    Raises:
        RunError: the selection or appearance.npz is damaged, or the model is not what its recipe says.
        NetworkError: the model cannot be loaded.
        UserInputError: the inference section asks for other steps than those calibrated.
    """
    inference = recipe.inference
    try:
        selection = run.read_selection()
        names = class_names(recipe)
        postprocessors = _postprocessors(selection["markings"], names)
        head = f"head_{inference.head}"
        volume = postprocessors[head if head in postprocessors else "mean"]
        rule = selection["threshold_rule"]
        head_thresholds = _raw_thresholds(postprocessors, names)
        member_thresholds = tuple(
            _raw_thresholds(_postprocessors(member["markings"], names), names)
            for member in selection.get("average", {}).get("members", ())
        )
        step = int(selection["step"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise RunError(
            f"{run.selection}: not the selection of a finished run ({type(error).__name__}: {error}). Train "
            f"the run again."
        ) from error
    try:
        volume = volume.with_steps(PostprocessingConfig.of(inference))
    except ValueError as error:
        raise UserInputError(
            f"section inference: {error} without training again; {run.recipe} has other values."
        ) from error
    predictor = load_predictor(engine, run, inference, recipe.attribution)
    height, width, channels = predictor.input_shape
    side = recipe.data.side
    if (height, width) not in ((side, side), (None, None)):
        raise RunError(
            f"{run.model}: takes slices of {height} x {width} pixels, but {run.recipe.name} beside it says "
            f"data.side={side}. They are not of one run."
        )
    threshold_rule = ThresholdRule(
        threshold=volume.threshold,
        rule=measured_rule(rule, volume),
        smallest_component=inference.smallest_component,
        fill_holes=inference.fill_holes,
        pooling_power=recipe.loss.contrast.pooling_power,
    )
    atlas = atlas_of(run, recipe)
    return TrainedModel(
        predictor,
        volume,
        threshold_rule,
        int(channels) - (atlas is not None),
        step,
        rule,
        head_thresholds,
        atlas,
        member_thresholds,
        _appearance_of(run, int(channels) - (atlas is not None)),
    )


def _appearance_of(run: RunFolder, channels: int) -> AppearanceModel | None:
    """Return what the training images of a run look like; None for runs without the file."""
    if not run.appearance.is_file():
        return None
    model = AppearanceModel.load(run.appearance)
    if model.channels != channels:
        raise RunError(
            f"{run.appearance}: expected images of {channels} channel(s), as the model beside it takes; "
            f"received {model.channels}. They are not of one run."
        )
    return model


def _postprocessors(markings: dict, names: tuple[str, ...]) -> dict[str, VolumePostprocessor]:
    """Return the postprocessor of every head of a selection, and of their mean."""
    return {name: VolumePostprocessor.from_row(row, names) for name, row in markings.items()}


def _raw_thresholds(postprocessors, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return name of a class -> name of a head -> cut of its own maps."""
    return {
        name: {
            head: postprocessor.parts[index].raw_threshold
            for head, postprocessor in postprocessors.items()
            if head != "mean"
        }
        for index, name in enumerate(names)
    }


def measured_rule(rule: str, volume: VolumePostprocessor) -> str:
    """Return the rule of a selection, and with several lesion classes what happens to their cuts."""
    if UNNAMED in volume.names:
        return rule
    cuts = ", ".join(f"{name} {part.threshold:.3g}" for name, part in zip(volume.names, volume.parts))
    shifted = (
        f"the probability of each class is shifted so that its cut ({cuts}) becomes {volume.threshold:g}"
    )
    return f"{rule}; {shifted}, and a pixel belongs to the class that is highest then"
