"""Choose the predictor of a trained network: its heads, or the activation map of a classifier."""

from clamnet_tf.inference.activation_maps import ActivationMap
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.classifier import is_classifier
from clamnet_tf.recipe.schema import InferenceSection


def build_predictor(network, section: InferenceSection, *, head=None) -> Predictor:
    """Return the predictor of `network`.

    Args:
        network: a built or reloaded network.
        section: recipe section `inference`.
        head: replaces the section's head; None: the section decides.

    Raises:
        NetworkError: the network has no such head, or no such level.
    """
    options = {"batch_size": section.batch_size, "flip_views": section.flip_views}
    if is_classifier(network):
        return ActivationMap(
            network, method=section.activation_map.method, level=section.activation_map.level, **options
        )
    return Predictor(network, head=section.head if head is None else head, **options)
