"""A finished run, ready to mark: its network as probabilities, and how those become masks."""

from dataclasses import dataclass

from clamnet_tf.data.deviation_channel import atlas_of
from clamnet_tf.data.normal_atlas import NormalAtlas
from clamnet_tf.errors import RunError, UserInputError
from clamnet_tf.evaluation.cases import Marking
from clamnet_tf.marking.several_markers import MarkersMarking
from clamnet_tf.marking.volume_marking import VolumeMarking, VolumeSteps
from clamnet_tf.networks.inference import MarkerProbability
from clamnet_tf.networks.markers import build_marker
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.markers import markers_of
from clamnet_tf.runs import RunFolder


@dataclass(frozen=True, eq=False)
class Trained:
    """probability: (N, side, side, channels) normalised float -> (N, side, side) float32 in 0..1
    volume: maps of one volume -> consistent maps, see marking.volume_marking; of several markers marking.several_markers
    marking: threshold of these with its rule, and what is done to the mask
    channels: how many an image has (the network takes one more with an atlas); step: optimizer step of the chosen checkpoint
    markers: names of those that the maps tell apart, (.., M) in this order; empty: one marker
    atlas: of normal slices, or None
    """

    probability: MarkerProbability
    volume: VolumeMarking | MarkersMarking
    marking: Marking
    channels: int
    step: int
    markers: tuple[str, ...] = ()
    atlas: NormalAtlas | None = None


def load_trained(run: RunFolder, recipe) -> Trained:
    """Model and selection of a finished run or of a zoo entry. RunError, NetworkError: damaged, or not what its recipe says."""
    inference = recipe.inference
    try:
        selection = run.read_selection()
        names = tuple(one.name for one in markers_of(recipe))
        read = MarkersMarking.from_row if names else VolumeMarking.from_row
        markings = {name: read(row) for name, row in selection["markings"].items()}
        head = f"head_{inference.head}"
        volume = markings[head if head in markings else "mean"]
        rule, head_thresholds = selection["threshold_rule"], {}
        if names and volume.names != names:
            raise ValueError(f"its markers are {', '.join(volume.names)}, the recipe's {', '.join(names)}")
        if not names:
            head_thresholds = {name: row.raw_threshold for name, row in markings.items() if name != "mean"}
        step = int(selection["step"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise RunError(f"{run.selection}: not the selection of a finished run ({type(error).__name__}: {error}). Train the run again.") from error
    try:
        volume = volume.with_steps(VolumeSteps.of(inference))
    except ValueError as error:
        raise UserInputError(f"section inference: {error} without training again; {run.recipe} has other values.") from error
    network = load_network(run.model)
    if len(network.inputs) != 1 or len(network.inputs[0].shape) != 4:
        raise RunError(f"{run.model}: takes {len(network.inputs)} inputs of another form than slices; {run.recipe.name} beside it is of another network.")
    _, height, width, channels = network.inputs[0].shape
    side = recipe.data.side
    if (height, width) not in ((side, side), (None, None)):
        raise RunError(f"{run.model}: takes slices of {height} x {width} pixels, but {run.recipe.name} beside it says data.side={side}. They are not of one run.")
    marking = Marking(
        threshold=volume.threshold,
        rule=measured_rule(rule, volume) if names else rule,
        smallest_component=inference.smallest_component,
        fill_holes=inference.fill_holes,
        head_thresholds=head_thresholds,
        pooling_power=recipe.loss.contrast.pooling_power,
    )
    atlas = atlas_of(run, recipe)
    return Trained(build_marker(network, inference), volume, marking, int(channels) - (atlas is not None), step, names, atlas)


def measured_rule(rule: str, volume: MarkersMarking) -> str:
    """The rule of a selection, and what its cuts become when several markers are told apart."""
    cuts = ", ".join(f"{name} {part.threshold:.3g}" for name, part in zip(volume.names, volume.parts))
    shifted = f"every marker's probability is shifted so that its own cut ({cuts}) is {volume.threshold:g}"
    return f"{rule}; {shifted}, and a pixel belongs to the one that is highest then"
