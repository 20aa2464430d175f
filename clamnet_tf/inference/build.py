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
    batch_size, flip_views = section.batch_size, section.flip_views
    if is_classifier(network):
        own = section.activation_map
        return ActivationMap(
            network, method=own.method, level=own.level, batch_size=batch_size, flip_views=flip_views
        )
    chosen = section.head if head is None else head
    return Predictor(network, head=chosen, batch_size=batch_size, flip_views=flip_views)
