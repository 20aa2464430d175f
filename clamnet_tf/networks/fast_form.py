"""The same network computed faster on a CPU: normalisation layers in forms that pass over memory less often.

Keras 3 writes group and batch norm as many separate operations over the whole map. Here their sums come from matrix
products and the result from one scale and shift per example and channel (group norm, with its own gradient), or from TensorFlow's
fused operation (batch norm). What is saved stays the stock network: both forms own the same variables.
"""

import keras
import tensorflow as tf
from keras import layers


def fast_form(network: keras.Model) -> keras.Model:
    """A model with the layers and variables of `network`, its norms replaced; `network` itself when it has none.

    Outputs, gradients and moving statistics are those of `network` up to float32 rounding. For calling only: save `network`.
    A norm of lower precision than float32 (mixed precision) is left as it is.
    """
    if not any(_form_of(layer) for layer in network.layers):
        return network

    def choose(layer):
        form = _form_of(layer)
        return form(layer) if form else layer

    return keras.models.clone_model(network, clone_function=choose)


def _form_of(layer):
    """The class that stands in for a stock layer, or None."""
    if layer.compute_dtype != "float32":
        return None
    if type(layer) is layers.GroupNormalization and layer.scale and layer.center and layer.axis == -1:
        return _GroupNorm
    if type(layer) is layers.BatchNormalization and layer.scale and layer.center and layer.axis == -1 and not layer.synchronized:
        return _BatchNorm
    return None


class _StandIn(layers.Layer):
    """Holds the stock layer whose variables it uses."""

    def __init__(self, stock):
        super().__init__(name=f"{stock.name}_fast")
        self.stock = stock
        self.built = True

    def compute_output_shape(self, input_shape):
        return input_shape


class _GroupNorm(_StandIn):
    """x (batch, height, width, channels): statistics over height, width and the channels of a group, per example."""

    def call(self, x):
        channels = x.shape[-1]
        groups = channels if self.stock.groups == -1 else self.stock.groups
        return _group_norm(x, tf.convert_to_tensor(self.stock.gamma), tf.convert_to_tensor(self.stock.beta), groups, self.stock.epsilon)


def _group_norm(x, gamma, beta, groups: int, epsilon: float):
    """Group normalisation (Wu and He 2018, eq. 1-4) as y = x * scale[b, c] + shift[b, c], with its gradient in three passes."""
    shape, channels = tf.shape(x), x.shape[-1]
    batch, pixels = shape[0], shape[1] * shape[2]
    count = tf.cast(pixels * (channels // groups), x.dtype)

    def of_groups(values):  # (batch, channels) -> the sum over each channel's group, (batch, channels)
        sums = tf.reduce_sum(tf.reshape(values, (batch, groups, channels // groups)), axis=2)
        return tf.repeat(sums, channels // groups, axis=1)

    @tf.custom_gradient
    def normalize(x, gamma, beta):
        flat = tf.reshape(x, (batch, pixels, channels))
        ones = tf.ones((batch, 1, pixels), x.dtype)
        total = lambda values: tf.matmul(ones, values)[:, 0]  # noqa: E731  (batch, pixels, channels) -> (batch, channels)
        mean = of_groups(total(flat)) / count
        inverse = tf.math.rsqrt(tf.maximum(of_groups(total(tf.square(flat))) / count - tf.square(mean), 0.0) + epsilon)
        scale = inverse * gamma
        result = flat * scale[:, None] + (beta - mean * scale)[:, None]

        def gradient(upstream):
            up = tf.reshape(upstream, (batch, pixels, channels))
            sum_up = total(up)
            sum_up_normal = (total(up * flat) - mean * sum_up) * inverse
            along = of_groups(gamma * sum_up_normal) / count  # mean of gamma * upstream * normalised x
            level = of_groups(gamma * sum_up) / count
            back = up * scale[:, None] - flat * (tf.square(inverse) * along)[:, None] + ((mean * inverse * along - level) * inverse)[:, None]
            return tf.reshape(back, shape), tf.reduce_sum(sum_up_normal, axis=0), tf.reduce_sum(sum_up, axis=0)

        return tf.reshape(result, shape), gradient

    y = normalize(x, gamma, beta)
    y.set_shape(x.shape)
    return y


class _BatchNorm(_StandIn):
    """x (batch, height, width, channels): batch statistics by the fused operation in training; otherwise the stock layer."""

    def call(self, x, training=None, mask=None):
        stock = self.stock
        if not training or not stock.trainable:
            return stock(x, training=False)
        gamma, beta = tf.convert_to_tensor(stock.gamma), tf.convert_to_tensor(stock.beta)
        result, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=stock.epsilon, is_training=True)
        count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
        variance = variance * (count - 1.0) / count  # the operation gives the unbiased one, Keras keeps the biased one
        for moving, value in ((stock.moving_mean, mean), (stock.moving_variance, variance)):
            moving.assign(moving * stock.momentum + value * (1.0 - stock.momentum))
        return result
