"""Compute a network faster on a CPU and with less memory: norms with fewer passes over memory, no
concatenations.

Keras 3 writes group and batch norm as many separate operations over the whole map. Here their sums come from
matrix products and the result from one scale and shift per example and channel (group norm, with its own
gradient), or from TensorFlow's fused operation (batch norm). Convolutions of a concatenation are computed
part by part (fast_convolutions). What is saved is the stock network: both forms share the same variables.
"""

import keras
import tensorflow as tf
from keras import layers

from clamnet_tf.networks import fast_convolutions

TRAINING_KINDS = ("float32", "bfloat16")
_training_kind = "float32"


def set_training_kind(kind: str) -> None:
    """Set the number format in which convolutions multiply in training, of every `fast_form` made from now
    on in this process; "float32" at first.

    Args:
        kind: "float32" or "bfloat16".

    Raises:
        ValueError: It is another one.
    """
    global _training_kind
    if kind not in TRAINING_KINDS:
        raise ValueError(f"expected {' or '.join(TRAINING_KINDS)}, received {kind}")
    _training_kind = kind


def fast_form(network: keras.Model) -> keras.Model:
    """Return a model with the layers and variables of `network`, with its norms and convolutions replaced.

    The result is `network` itself when it has none of them. Outputs, gradients and moving statistics are
    those of `network` up to float32 rounding, or, with training=True, up to that of `set_training_kind`. Use
    the result for calling only, and save `network`. A layer of lower precision than float32 (mixed precision)
    is not replaced.
    """
    if not any(_form_of(layer) for layer in network.layers):
        return network
    parts = {}  # name of a concatenation that is left out: its inputs

    def choose(layer):
        form = _form_of(layer)
        return form(layer) if form else layer

    def call(layer, *inputs, **named):
        if _is_left_out(layer):
            parts[layer.name] = inputs[0]
            return inputs[0][0]  # placeholder of the concatenation that no layer reads
        if isinstance(layer, _Convolution):
            before = layer.stock.input._keras_history.operation.name
            return layer(parts.get(before, [inputs[0]]), **named)
        return layer(*inputs, **named)

    return keras.models.clone_model(network, clone_function=choose, call_function=call)


def _is_left_out(layer) -> bool:
    """Tell whether `layer` is a concatenation of channels that nothing but convolutions reads."""
    if type(layer) is not layers.Concatenate or layer.axis != -1:
        return False
    return all(_form_of(node.operation) is _Convolution for node in layer._outbound_nodes)


def _form_of(layer):
    """Return the class that replaces a stock layer, or None."""
    if not isinstance(layer, layers.Layer) or layer.compute_dtype != "float32":
        return None  # A plain operation of keras.ops is no layer.
    if type(layer) is layers.Conv2D and _is_plain(layer) and layer.kernel_size != (1, 1):
        return _Convolution
    if (
        type(layer) is layers.Conv2DTranspose
        and _is_plain(layer)
        and layer.kernel_size == layer.strides == (2, 2)
    ):
        return _Doubling
    if type(layer) is layers.GroupNormalization and layer.scale and layer.center and layer.axis == -1:
        return _GroupNorm
    if (
        type(layer) is layers.BatchNormalization
        and layer.scale
        and layer.center
        and layer.axis == -1
        and not layer.synchronized
    ):
        return _BatchNorm
    return None


def _is_plain(layer) -> bool:
    """Tell whether a convolution, transposed or not, is one of those that blocks.py builds."""
    is_default = (
        layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.activation is keras.activations.linear
    )
    return is_default and getattr(layer, "groups", 1) == 1 and layer.dilation_rate == (1, 1)


class _StandIn(layers.Layer):
    """A layer that uses the variables of the stock layer it holds."""

    def __init__(self, stock):
        super().__init__(name=f"{stock.name}_fast")
        self.stock = stock
        self.built = True

    def compute_output_shape(self, input_shape):
        return self.stock.output.shape


class _ConvolutionStandIn(_StandIn):
    """Hold the number format of the factors in training."""

    def __init__(self, stock):
        super().__init__(stock)
        self.training_kind = _training_kind


class _Convolution(_ConvolutionStandIn):
    """Convolve a list of (batch, height, width, channels), which the stock layer takes joined."""

    def call(self, parts, training=None):
        kind = self.training_kind if training else None
        y = fast_convolutions.convolution(
            parts, tf.convert_to_tensor(self.stock.kernel), self.stock.strides[0], kind
        )
        return tf.nn.bias_add(y, tf.convert_to_tensor(self.stock.bias)) if self.stock.use_bias else y


class _Doubling(_ConvolutionStandIn):
    """Double the sides of x (batch, height, width, channels) like the stock transposed convolution."""

    def call(self, x, training=None):
        kernel = tf.convert_to_tensor(self.stock.kernel)
        if training:
            y = fast_convolutions.doubling(x, kernel, self.training_kind)
        else:
            y = fast_convolutions.transposed(x, kernel)
        return tf.nn.bias_add(y, tf.convert_to_tensor(self.stock.bias)) if self.stock.use_bias else y


class _GroupNorm(_StandIn):
    """Normalise x (batch, height, width, channels) over height, width and the channels of a group, per
    example.
    """

    def call(self, x):
        channels = x.shape[-1]
        groups = channels if self.stock.groups == -1 else self.stock.groups
        return _group_norm(
            x,
            tf.convert_to_tensor(self.stock.gamma),
            tf.convert_to_tensor(self.stock.beta),
            groups,
            self.stock.epsilon,
        )


def _group_norm(x, gamma, beta, groups: int, epsilon: float):
    """Apply group normalisation (Wu and He 2018, eq. 1-4) as y = x * scale[b, c] + shift[b, c].

    Its gradient takes three passes over the map.
    """
    shape, (height, width, channels) = tf.shape(x), x.shape[1:]
    pixels = shape[1] * shape[2] if height is None or width is None else height * width
    flat_shape, size = (
        (shape[0], pixels, channels) if tf.is_tensor(pixels) else (-1, pixels, channels),
        channels // groups,
    )
    count = tf.cast(pixels * size, x.dtype)
    spread = tf.ones(size, x.dtype)

    # All statistics are (batch, 1, channels), and shapes are constants where they can be: a graph of few
    # operations, traced and started soon.
    def of_groups(values):  # the sum over each channel's group
        sums = tf.reduce_sum(tf.reshape(values, (-1, groups, size)), axis=2, keepdims=True)
        return tf.reshape(sums * spread, (-1, 1, channels))

    @tf.custom_gradient
    def normalize(x, gamma, beta):
        flat = tf.reshape(x, flat_shape)
        ones = tf.ones((shape[0], 1, pixels), x.dtype)
        total = lambda values: tf.matmul(ones, values)
        mean = of_groups(total(flat)) / count
        inverse = tf.math.rsqrt(
            tf.maximum(of_groups(total(tf.square(flat))) / count - tf.square(mean), 0.0) + epsilon
        )
        scale = inverse * gamma
        result = flat * scale + (beta - mean * scale)

        def gradient(upstream):
            up = tf.reshape(upstream, flat_shape)
            sum_up = total(up)
            sum_up_normal = (total(up * flat) - mean * sum_up) * inverse
            along = of_groups(gamma * sum_up_normal) / count  # mean of gamma * upstream * normalised x
            level = of_groups(gamma * sum_up) / count
            back = (
                up * scale - flat * (tf.square(inverse) * along) + (mean * inverse * along - level) * inverse
            )
            return (
                tf.reshape(back, shape),
                tf.reduce_sum(sum_up_normal, axis=(0, 1)),
                tf.reduce_sum(sum_up, axis=(0, 1)),
            )

        return tf.reshape(result, shape), gradient

    y = normalize(x, gamma, beta)
    y.set_shape(x.shape)
    return y


class _BatchNorm(_StandIn):
    """Normalise x (batch, height, width, channels) by fused batch statistics in training, else by the
    stock layer.
    """

    def call(self, x, training=None, mask=None):
        stock = self.stock
        if not training or not stock.trainable:
            return stock(x, training=False)
        gamma, beta = tf.convert_to_tensor(stock.gamma), tf.convert_to_tensor(stock.beta)
        result, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=stock.epsilon, is_training=True
        )
        count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
        # The operation gives the unbiased variance, Keras keeps the biased one.
        variance = variance * (count - 1.0) / count
        for moving, value in ((stock.moving_mean, mean), (stock.moving_variance, variance)):
            moving.assign(moving * stock.momentum + value * (1.0 - stock.momentum))
        return result
