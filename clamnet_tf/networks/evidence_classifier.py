"""Build image classifiers whose score is the pooled evidence of places: the networks behind attributions.

See docs/method.md, section "When the lesion is a shape".
"""

import math

import keras
from keras import layers, ops

from clamnet_tf.networks import blocks
from clamnet_tf.networks.efficientnet_lite import connect_efficientnet_lite0
from clamnet_tf.networks.grid import check_channels, check_side
from clamnet_tf.networks.imagenet_weights import load_imagenet_weights

#: Key of a classifier's output: (batch,) float32, the logit of P(abnormal).
LOGIT = "logit"
#: Key of a classifier's other output: (batch, h, w) float32, the evidence of every place of the deepest
#: level.
EVIDENCE = "evidence"
#: Name of the layer that gives the evidence, (batch, h, w, 1).
EVIDENCE_LAYER = "evidence_map"
_TOP = "encoder_top"


def classifier_names(count: int) -> list[str]:
    """Return the names of the classifiers of a joint model, which are also the keys of its output."""
    return [f"classifier_{index}" for index in range(1, count + 1)]


def build_evidence_classifiers(section, *, side: int, channels: int) -> keras.Model:
    """Build the classifiers of a ClassifierSection as one model, so that they are saved and restored
    together.

    Args:
        section: recipe section `attribution.classifier`.
        side: side of a prepared slice in pixels, divisible by what levels and stem divide by.
        channels: channels of an image.

    Returns:
        A functional model, image (batch, side, side, channels) float32 -> {"classifier_1": (batch,) logit,
        ...}. Each classifier is a layer of that name: a functional model with the outputs `logit` and
        `evidence`.

    Raises:
        NetworkError: the side cannot be halved as often as the levels say, there is no channel, or the
            ImageNet weights of a backbone are not installed.
    """
    check_side(side, halvings(section) + 1)
    check_channels(channels)
    image = keras.Input((side, side, channels), name="image")
    names = classifier_names(section.networks)
    outputs = {name: _classifier(section, side, channels, name)(image)[LOGIT] for name in names}
    return keras.Model(image, outputs, name=f"evidence_classifiers_{section.networks}")


def classifiers_of(network: keras.Model) -> list[keras.Model]:
    """Return the single classifiers of a model that `build_evidence_classifiers` built, in order."""
    return [network.get_layer(name) for name in classifier_names(len(network.output))]


def level_name(level: int) -> str:
    """Return the name of the layer that gives the output of a level of residual blocks, 0 = the one after
    the stem.
    """
    return f"level_{level}"


def deepest_level(section) -> str:
    """Return the name of the layer whose output gives the evidence map, for a ClassifierSection."""
    return _TOP if section.backbone == "efficientnet_lite0" else level_name(len(section.filters) - 1)


def halvings(section) -> int:
    """Return how often a ClassifierSection's network halves the sides of a slice."""
    if section.backbone == "efficientnet_lite0":
        return 5
    return len(section.filters) - (section.stem_stride == 1)


def _classifier(section, side, channels, name) -> keras.Model:
    image = keras.Input((side, side, channels), name="image")
    pretrained = section.backbone == "efficientnet_lite0"
    x = (
        connect_efficientnet_lite0(image, frozen=section.frozen_blocks, last=_TOP)
        if pretrained
        else _residual_levels(image, section)
    )
    if section.dropout:
        x = layers.SpatialDropout2D(section.dropout, name="dropout")(x)
    start = "zeros" if pretrained else "glorot_uniform"
    evidence = layers.Conv2D(1, 1, dtype="float32", kernel_initializer=start, name=EVIDENCE_LAYER)(x)
    score = pooled(evidence, section.sharpness)
    network = keras.Model(image, {LOGIT: score, EVIDENCE: evidence[..., 0]}, name=name)
    if pretrained:
        load_imagenet_weights(network)
    return network


def pooled(evidence, sharpness: float):
    """Return the logit of an evidence map, (batch, h, w, 1) -> (batch,): the log-sum-exp of its places.

    Args:
        evidence: Keras tensor.
        sharpness: r; the mean of the places for a small one, their maximum for a large one.
    """
    places = evidence.shape[1] * evidence.shape[2]
    return (ops.logsumexp(sharpness * evidence, axis=(1, 2, 3)) - math.log(places)) / sharpness


def _residual_levels(image, section):
    x = _convolved(image, section.filters[0], section.stem_stride, section.norm, "stem")
    x = layers.Activation("relu", name="stem_activation")(x)
    for level, (filters, count) in enumerate(zip(section.filters, section.blocks)):
        for index in range(count):
            stride = 2 if level and index == 0 else 1
            last = level_name(level) if index == count - 1 else None
            x = residual_block(x, filters, stride, section.norm, prefix=f"block_{level}_{index}", name=last)
    return x


def residual_block(x, filters: int, stride: int, norm: str, *, prefix: str, name: str | None = None):
    """Add two normalised 3x3 convolutions to x (He 2016).

    A 1x1 convolution adapts x where stride or filters change it.

    Args:
        x: (batch, height, width, channels).
        filters: channels of the result.
        stride: of the first convolution, 1 or 2.
        norm: key of `blocks.NORMS`.
        prefix: beginning of the layers' names.
        name: name of the last layer; None: `{prefix}_activation_2`.

    Returns:
        (batch, height / stride, width / stride, filters).
    """
    y = _convolved(x, filters, stride, norm, f"{prefix}_1")
    y = layers.Activation("relu", name=f"{prefix}_activation_1")(y)
    y = _convolved(y, filters, 1, norm, f"{prefix}_2")
    if stride != 1 or x.shape[-1] != filters:
        # Every other pixel is taken before the 1x1 convolution and not by its stride: the numbers are equal,
        # but the CPU kernel of Conv2DBackpropFilter for stride 2 and kernel 1 (TensorFlow 2.21) writes
        # outside of its memory. Pooling of one pixel takes them with a stock layer.
        taken = layers.MaxPooling2D(1, strides=stride, name=f"{prefix}_taken")(x) if stride != 1 else x
        x = _convolved(taken, filters, 1, norm, f"{prefix}_shortcut", kernel=1)
    return layers.Activation("relu", name=name or f"{prefix}_activation_2")(
        layers.Add(name=f"{prefix}_add")([x, y])
    )


def _convolved(x, filters, stride, norm, name, kernel=3):
    normalisation = blocks.NORMS[norm]
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=normalisation is None,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return x if normalisation is None else normalisation(filters, f"{name}_norm")(x)
