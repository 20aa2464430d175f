"""Collect what an export is made from: a network with folded batch norms, its use per slice, and its
identity.
"""

from dataclasses import dataclass, field

import keras

from clamnet_tf.errors import NetworkError
from clamnet_tf.export.folding import folded
from clamnet_tf.inference.attribution_result import ATTRIBUTION
from clamnet_tf.inference.build import build_predictor
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.classifier import has_heads
from clamnet_tf.networks.prune import prune
from clamnet_tf.recipe.schema_data import DataSection, OrganSection
from clamnet_tf.recipe.writer import recipe_hash, to_yaml
from clamnet_tf.serving.identity import Identity


@dataclass(frozen=True, eq=False)
class Source:
    """Hold what an export is made from.

    Attributes:
        name: Name of the recipe.
        original: Predictor of the network as it was trained.
        predictor: Predictor of the network that is exported, see inference.predictor.
        side: Height and width of a slice in pixels.
        channels: Channels of a slice.
        names: Names of the lesion classes.
        thresholds: One threshold per lesion class, of the probability of a slice without its neighbours,
            fixed on training images.
        rule: How the thresholds were determined.
        pooling_power: Power of the presence score's generalised mean.
        data: `data` section of the recipe.
        organ: `organ` section of the recipe.
        identity: Identity of the model.
        recipe_text: The recipe as YAML.
        left_out: What local prediction does after the network to whole volumes or masks, and an export does
            not.
    """

    name: str
    original: Predictor
    predictor: Predictor
    side: int
    channels: int
    names: tuple[str, ...]
    thresholds: tuple[float, ...]
    rule: str
    pooling_power: float
    data: DataSection
    organ: OrganSection
    identity: Identity
    recipe_text: str
    left_out: dict = field(default_factory=dict)

    @property
    def network(self) -> keras.Model:
        """Return the network that is exported."""
        return self.predictor.network

    def written(self, maps):
        """Return maps (B, side, side, classes) as outputs give them: without the last axis for a single
        class.
        """
        return maps[..., 0] if len(self.thresholds) == 1 else maps

    @property
    def was_folded(self) -> bool:
        """Return whether the network as it was trained has batch norms."""
        return any(
            isinstance(layer, keras.layers.BatchNormalization) for layer in self.original.network.layers
        )


def refuse_attribution(source: Source, kind: str) -> None:
    """Refuse a model whose marks are an attribution, for a runtime that computes no gradients.

    Args:
        source: What is to be exported.
        kind: Value of --format.

    Raises:
        NetworkError: The marks are an attribution.
    """
    if source.identity.head == ATTRIBUTION:
        raise NetworkError(
            f"--format {kind}: expected a network that marks lesions; {source.name} marks by the attribution "
            "of classifiers, whose gradients only TensorFlow computes. Export it with --format savedmodel."
        )


def source_of(run, recipe, trained, head: int | None = None) -> Source:
    """Return the Source of a finished run or a zoo entry.

    Args:
        run: RunFolder with the paths `model` and `recipe`.
        recipe: Its Recipe.
        trained: inference.trained_model.Trained of both.
        head: The only head to export; None: as the recipe's inference section says.

    Raises:
        NetworkError: The network has no such head.
    """
    network, inference = trained.probability.network, recipe.inference
    if not has_heads(network):
        if head is not None:
            raise NetworkError(
                f"--head {head}: {run.model} is a classifier, which has no heads. Omit --head."
            )
        chosen, part = trained.probability.part, network
    else:
        chosen = inference.head if head is None else head
        part = network if chosen == "mean" else prune(network, int(chosen))
    original, predictor = (
        build_predictor(part_network, inference, recipe.attribution, head=chosen)
        # An attribution reads layers by their names, and folding leaves out some of them.
        for part_network in (network, folded(part) if has_heads(network) else part)
    )
    left_out = {
        name: value
        for name in (
            "axial_smoothing",
            "keep_largest_component",
            "intensity_refinement",
            "smallest_component",
            "fill_holes",
        )
        if (value := getattr(inference, name))
    }
    if inference.volume_threshold != "common":
        left_out["volume_threshold"] = inference.volume_threshold
    return Source(
        name=recipe.name,
        original=original,
        predictor=predictor,
        side=recipe.data.side,
        channels=int(network.inputs[0].shape[-1]),
        names=trained.classes,
        thresholds=tuple(
            float(trained.head_thresholds[name].get(f"head_{chosen}", part.raw_threshold))
            for name, part in zip(trained.classes, trained.volume.parts)
        ),
        rule=trained.threshold_rule,
        pooling_power=float(trained.marking.pooling_power),
        data=recipe.data,
        organ=recipe.organ,
        identity=Identity.of(recipe_hash(recipe), run.model, chosen, inference.flip_views),
        recipe_text=to_yaml(recipe),
        left_out=left_out,
    )
