"""Build the parts of blocks, nodes and heads from stock Keras layers: a saved network loads without this
package.
"""

import keras
from keras import layers

LARGEST_GROUP_COUNT = 8

#: Recipe value -> name of the Keras activation (leaky_relu: Keras's slope 0.2).
ACTIVATIONS = {"relu": "relu", "leaky_relu": "leaky_relu", "gelu": "gelu", "silu": "silu"}


def group_count(filters: int) -> int:
    """Return the number of groups of a group norm: the largest divisor of `filters` that is at most 8."""
    return max(count for count in range(1, LARGEST_GROUP_COUNT + 1) if filters % count == 0)


#: Recipe value -> (filters, layer name) -> normalisation layer, or None for none.
NORMS = {
    "group": lambda filters, name: layers.GroupNormalization(groups=group_count(filters), name=name),
    "batch": lambda filters, name: layers.BatchNormalization(name=name),
    "instance": lambda filters, name: layers.GroupNormalization(groups=-1, name=name),
    "none": None,
}


def penalty(l2: float):
    """Return the L2 regulariser of a kernel, or None for 0."""
    return keras.regularizers.L2(l2) if l2 > 0 else None


def convolution(
    x,
    *,
    filters: int,
    kernel: int,
    stride: int,
    norm: str,
    activation: str,
    l2: float,
    prefix: str,
    number: int,
    last: str | None = None,
):
    """Apply convolution, norm and activation, padded with zeros to keep the size.

    Layers are named `{prefix}_conv_{number}` and so on; `last` names the activation instead, so that a node's
    output can be found by the node's name.

    Args:
        x: (batch, height, width, channels).
        filters: channels of the result.
        kernel: side of the kernel, in pixels.
        stride: 1 or 2.
        norm: key of NORMS.
        activation: key of ACTIVATIONS.
        l2: weight of the L2 penalty; 0: none.
        prefix: beginning of the layers' names.
        number: end of the layers' names.
        last: name of the activation, or None.

    Returns:
        (batch, height / stride, width / stride, filters).
    """
    x = normalised(
        x, filters=filters, kernel=kernel, stride=stride, norm=norm, l2=l2, prefix=prefix, number=number
    )
    return layers.Activation(ACTIVATIONS[activation], name=last or f"{prefix}_activation_{number}")(x)


def normalised(x, *, filters: int, kernel: int, stride: int, norm: str, l2: float, prefix: str, number: int):
    """Apply convolution and norm without activation; the arguments are those of `convolution`.

    The bias is left out before a norm, which has its own offset.
    """
    if kernel == 1 and stride > 1:
        # The numbers equal those of a strided convolution, but the CPU kernel of Conv2DBackpropFilter for
        # stride 2 and kernel 1 (TensorFlow 2.21) writes outside of its memory.
        x, stride = layers.MaxPooling2D(1, strides=stride, name=f"{prefix}_taken_{number}")(x), 1
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=NORMS[norm] is None,
        kernel_initializer="he_normal",
        kernel_regularizer=penalty(l2),
        name=f"{prefix}_conv_{number}",
    )(x)
    return x if NORMS[norm] is None else NORMS[norm](filters, f"{prefix}_norm_{number}")(x)


def max_pool(x, *, name: str):
    """Halve height and width by the maximum of each 2 x 2 square (the original UNet++)."""
    return layers.MaxPooling2D(2, name=name)(x)


def transposed_up(x, *, filters: int, l2: float, name: str):
    """Double height and width by a 2 x 2 transposed convolution of stride 2, with bias, to `filters`
    channels.
    """
    return layers.Conv2DTranspose(
        filters,
        2,
        strides=2,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=penalty(l2),
        name=name,
    )(x)


def bilinear_up(x, *, filters: int, l2: float, name: str):
    """Double height and width by bilinear interpolation.

    The channels stay, `filters` and `l2` are not used.
    """
    return layers.UpSampling2D(2, interpolation="bilinear", name=name)(x)


#: Recipe value -> up step.
UPS = {"transpose": transposed_up, "bilinear": bilinear_up}


def head(x, *, classes: int, output: str, l2: float, name: str):
    """Apply a 1 x 1 convolution to logits (layer `{name}_logits`), then the activation (layer `name`).

    Both are float32 under any policy.

    Args:
        x: (batch, height, width, channels).
        classes: number of classes, background included.
        output: "softmax" or "sigmoid".
        l2: weight of the L2 penalty; 0: none.
        name: name of the head.

    Returns:
        (batch, height, width, classes) softmax probabilities that sum to 1, or (batch, height, width, 1)
        sigmoid P(lesion).
    """
    channels = 1 if output == "sigmoid" else classes
    logits = layers.Conv2D(
        channels, 1, kernel_regularizer=penalty(l2), dtype="float32", name=f"{name}_logits"
    )(x)
    return layers.Activation(output, dtype="float32", name=name)(logits)
