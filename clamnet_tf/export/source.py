"""What an export is made from: a trained network with folded batch norms, what is done with it per slice, and
what it is.
"""

from dataclasses import dataclass, field

import keras

from clamnet_tf.errors import NetworkError
from clamnet_tf.export.folding import folded
from clamnet_tf.inference.build import build_predictor
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.classifier import is_classifier
from clamnet_tf.networks.prune import prune
from clamnet_tf.recipe.schema_data import DataSection, OrganSection
from clamnet_tf.recipe.writer import recipe_hash, to_yaml
from clamnet_tf.serving.identity import Identity


@dataclass(frozen=True, eq=False)
class Source:
    """original: the network as it was trained; predictor: the one to be exported, see inference.predictor
    thresholds: of each lesion class, of the probability of a slice without neighbours, fixed on training
    images; rule: how
    left_out: what local prediction does after the network to whole volumes or to masks, and an export does
    not
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
        return self.predictor.network

    def written(self, maps):
        """Return maps (B, side, side, M) as they are given: without the last axis where there is a single
        class.
        """
        return maps[..., 0] if len(self.thresholds) == 1 else maps

    @property
    def was_folded(self) -> bool:
        """Whether the network as it was trained has batch norms."""
        return any(
            isinstance(layer, keras.layers.BatchNormalization) for layer in self.original.network.layers
        )


def source_of(run, recipe, trained, head: int | None = None) -> Source:
    """From a finished run or a zoo entry.

    Args:
        run: with the paths `model` and `recipe`. recipe: its Recipe. trained: inference.trained_model.Trained
            of both.
        head: the only head to be exported; None = as the recipe's inference section says.

    Raises:
        NetworkError: the network has no such head.
    """
    network, inference = trained.probability.network, recipe.inference
    if is_classifier(network):
        if head is not None:
            raise NetworkError(
                f"--head {head}: {run.model} holds a classifier, which has no heads. Leave --head out."
            )
        chosen, part = "activation_map", network
    else:
        chosen = inference.head if head is None else head
        part = network if chosen == "mean" else prune(network, int(chosen))
    original, predictor = (build_predictor(each, inference, head=chosen) for each in (network, folded(part)))
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
