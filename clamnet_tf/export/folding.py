"""Fold batch norms into the convolutions before them: the same result in inference with fewer operations.

In inference a batch norm is y -> gamma (y - mean) / sqrt(variance + epsilon) + beta with fixed numbers per
channel, so after y = kernel * x + bias it is a convolution again (Jacob et al. 2018, section 3.2). Group and
instance norms depend on the slice and stay.
"""

import keras
import numpy as np
from keras import layers


def folded(network: keras.Model) -> keras.Model:
    """Return the network without batch norms, with copied weights; the network itself when it has none.

    Layers keep their names. A batch norm that does not follow a convolution stays.
    """
    before = {
        norm.name: _convolution_before(norm)
        for norm in network.layers
        if isinstance(norm, layers.BatchNormalization) and _follows_a_convolution(norm)
    }
    if not before:
        return network
    convolutions = set(before.values())

    def clone(layer):
        if layer.name in convolutions:
            return type(layer).from_config({**layer.get_config(), "use_bias": True})
        return type(layer).from_config(layer.get_config())

    def call(layer, *inputs, **named):
        return inputs[0] if layer.name in before else layer(*inputs, **named)

    result = keras.models.clone_model(network, clone_function=clone, call_function=call)
    for layer in network.layers:
        if layer.name not in convolutions and layer.name not in before:
            result.get_layer(layer.name).set_weights(layer.get_weights())
    for norm, convolution in before.items():
        result.get_layer(convolution).set_weights(
            _folded_weights(network.get_layer(convolution), network.get_layer(norm))
        )
    return result


def _follows_a_convolution(norm) -> bool:
    return isinstance(norm.input._keras_history.operation, (layers.Conv2D, layers.DepthwiseConv2D))


def _convolution_before(norm) -> str:
    """Return the name of the convolution before a batch norm."""
    return norm.input._keras_history.operation.name


def _folded_weights(convolution, norm) -> list[np.ndarray]:
    """Return kernel and bias of a convolution with the following batch norm folded in."""
    kernel, *bias = (weight.astype(np.float64) for weight in convolution.get_weights())
    mean, variance = (np.asarray(value, np.float64) for value in (norm.moving_mean, norm.moving_variance))
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else 1.0
    beta = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    factor = gamma / np.sqrt(variance + norm.epsilon)
    scale = factor.reshape(kernel.shape[2:]) if isinstance(convolution, layers.DepthwiseConv2D) else factor
    return [kernel * scale, ((bias[0] if bias else 0.0) - mean) * factor + beta]
