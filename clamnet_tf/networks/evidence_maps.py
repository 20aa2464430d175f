"""Keep trained image classifiers as one network of stock layers: the evidence maps that their scores pool.

A run whose result is the attribution of its classifiers saves this network. All classifiers lie in one graph,
layer `encoder_top` of the second one as `classifier_2_encoder_top`; the pooled scores are connected again by
`with_scores`. Their weights have the values of half precision, so that they can be stored in 2 bytes each:
an encoder with ImageNet weights then fits a zoo entry.
"""

import keras

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.evidence_classifier import (
    EVIDENCE,
    EVIDENCE_LAYER,
    LOGIT,
    classifier_names,
    classifiers_of,
    pooled,
)
from clamnet_tf.networks.renamed_copy import renamed_copy

_PREFIX = "evidence_"


def evidence_maps(network: keras.Model) -> keras.Model:
    """Return the evidence maps of classifiers as a network of stock layers, with copied, rounded weights.

    Args:
        network: built by `build_evidence_classifiers`, or restored.

    Returns:
        A model, image (batch, side, side, channels) float32 -> {"evidence_1": (batch, h, w, 1) float32, ...},
        one map for each classifier.

    Raises:
        NetworkError: a weight is not a finite number.
    """
    image, outputs = keras.Input(network.input.shape[1:], name="image"), {}
    for number, classifier in enumerate(classifiers_of(network), start=1):
        name = classifier.name
        body = keras.Model(classifier.input, classifier.get_layer(EVIDENCE_LAYER).output, name=name)
        copy = renamed_copy(body, image, f"{name}_", half=True)
        outputs[f"{_PREFIX}{number}"] = copy.get_layer(f"{name}_{EVIDENCE_LAYER}").output
    return keras.Model(image, outputs, name=f"evidence_maps_{len(outputs)}")


def is_evidence_maps(network: keras.Model) -> bool:
    """Tell whether a network, built or loaded, gives the evidence maps of classifiers and no heads."""
    output = network.output
    return isinstance(output, dict) and all(name.startswith(_PREFIX) for name in output)


def with_scores(network: keras.Model, sharpness: float) -> keras.Model:
    """Return the classifiers of evidence maps with their pooled scores; layers and weights are shared.

    Args:
        network: built by `evidence_maps`, or loaded.
        sharpness: of the log-sum-exp, recipe key `attribution.classifier.sharpness`.

    Returns:
        A model as `build_evidence_classifiers` returns it, image -> {"classifier_1": (batch,) logit, ...}.
        The layers of a classifier have its name in front of theirs.

    Raises:
        NetworkError: the network gives no evidence maps.
    """
    if not is_evidence_maps(network):
        raise NetworkError(
            f"{network.name}: expected the evidence maps of classifiers, received the outputs "
            f"{', '.join(network.output)}."
        )
    image = keras.Input(network.input.shape[1:], name="image")
    scores = {}
    for number, name in enumerate(classifier_names(len(network.output)), start=1):
        evidence = network.output[f"{_PREFIX}{number}"]
        outputs = {LOGIT: pooled(evidence, sharpness), EVIDENCE: evidence[..., 0]}
        scores[name] = keras.Model(network.input, outputs, name=name)(image)[LOGIT]
    return keras.Model(image, scores, name=f"evidence_classifiers_{len(scores)}")
