"""Choose the predictor of a trained network: its heads, or where a classifier finds its evidence."""

from clamnet_tf.errors import NetworkError
from clamnet_tf.inference.activation_maps import ActivationMap
from clamnet_tf.inference.attribution_result import AttributionResult
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.classifier import is_classifier
from clamnet_tf.networks.evidence_maps import is_evidence_maps
from clamnet_tf.recipe.schema import InferenceSection


def build_predictor(network, section: InferenceSection, attribution=None, *, head=None) -> Predictor:
    """Return the predictor of `network`.

    Args:
        network: a built or reloaded network.
        section: recipe section `inference`.
        attribution: recipe section `attribution`, which a network of evidence maps needs.
        head: replaces the section's head; None: the section decides.

    Raises:
        NetworkError: the network has no such head, or no such level, or gives evidence maps without a section
            `attribution`.
    """
    batch_size, flip_views = section.batch_size, section.flip_views
    if is_classifier(network):
        own = section.activation_map
        return ActivationMap(
            network, method=own.method, level=own.level, batch_size=batch_size, flip_views=flip_views
        )
    if is_evidence_maps(network):
        if attribution is None:
            raise NetworkError(
                f"{network.name}: gives the evidence maps of classifiers, and the recipe beside it has no "
                "section attribution. They are not of one run."
            )
        return AttributionResult(network, attribution, batch_size=batch_size, flip_views=flip_views)
    chosen = section.head if head is None else head
    return Predictor(network, head=chosen, batch_size=batch_size, flip_views=flip_views)
