"""Provide networks for Keras users: `clamnet_tf.load` and `clamnet_tf.build`."""

import keras

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.classifier import build_classifier
from clamnet_tf.networks.evidence_classifier import build_evidence_classifiers
from clamnet_tf.networks.evidence_maps import evidence_maps
from clamnet_tf.networks.prune import prune
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.zoo.resolve import open_model


def load(model, *, head: int | None = None, trainable: bool = True) -> keras.Model:
    """Load the trained network of a zoo entry or a run.

    Args:
        model: Name of a zoo entry ("mri_carcinoma"), folder of one, or a run folder.
        head: Keep only this head, with only the layers it needs (UNet++ pruned); None keeps all heads.
        trainable: Whether `fit` trains the layers further.

    Returns:
        keras.Model, not compiled. Its input is (batch, side, side, channels) float32, normalised as the
        entry's card says. Its output is a dict: head_1, head_2, ... -> (batch, side, side, classes) float32
        probabilities; class 0 is the background. A network with several lesion classes has one class more for
        each of them, in the order of `markers` in the entry or recipe; each has its own threshold there.
        Where the attribution of classifiers is the result: evidence_1, .. -> (batch, h, w, 1) float32, the
        evidence of the lesion at each place, in units of the logit.

    Raises:
        ZooError, RunError: There is no such model, or its weights are not those that the entry declares.
        NetworkError: There is no such head, or the file needs more than stock layers; its code is never run.

    Examples:
        >>> network = load("mri_carcinoma", head=2)
        >>> network.input_shape, {name: output.shape for name, output in network.output.items()}
        ((None, 128, 128, 3), {'head_2': (None, 128, 128, 2)})
    """
    network = load_network(open_model(model).model)
    if head is not None:
        network = prune(network, head)
    network.trainable = trainable
    return network


def build(
    recipe, *, side: int | None = None, channels: int | None = None, stage: str = "last"
) -> keras.Model:
    """Build a new, untrained network as a recipe describes it.

    Args:
        recipe: Recipe, name of a shipped recipe, or path of a file.
        side: Height and width of a slice in pixels; default: data.side of the recipe.
        channels: Channels of a slice; default: as many as data.channels of the recipe names.
        stage: "last": the network that a run ends with, which is that of self_training when it has rounds;
            "first": what learns from image labels: the first network, or the evidence maps of the classifiers
            where self_training.teacher is attribution.

    Returns:
        keras.Model as `load` returns it. With loss.objective classification the first one is a classifier.

    Raises:
        RecipeError: The recipe is wrong.
        NetworkError: `channels` is neither given nor in the recipe, or the side does not fit the network.

    Examples:
        >>> network = build("ct_nodule", channels=1)
        >>> network.name, network.input_shape
        ('unet_d4', (None, 48, 48, 1))
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if stage not in ("first", "last"):
        raise NetworkError(f"stage: expected first or last, received {stage!r}.")
    if channels is None:
        if recipe.data.channels is None:
            raise NetworkError(
                f"channels: expected a number, since data.channels of the recipe {recipe.name} keeps all "
                f"channels of the images; received none."
            )
        channels = len(recipe.data.channels)
    side = recipe.data.side if side is None else side
    attribution = recipe.self_training.teacher == "attribution"
    if attribution and (stage == "first" or not recipe.self_training.rounds):
        return evidence_maps(
            build_evidence_classifiers(recipe.attribution.classifier, side=side, channels=channels)
        )
    if stage == "last" and recipe.self_training.rounds:
        return build_network(recipe.self_training.network, side=side, channels=channels)
    maker = build_classifier if OBJECTIVES[recipe.loss.objective].classifies else build_network
    return maker(recipe.network, side=side, channels=channels)
