"""One function of a Source with its weights as constants: what the converters for other runtimes take.

LiteRT's converter, given the variables, made a file that answers NaN (measured on TensorFlow 2.21); constants
do not.
"""

import dataclasses

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from clamnet_tf.export.endpoints import Endpoints
from clamnet_tf.serving.signatures import IMAGES, PROBABILITY


def probability_function(source) -> tf.types.experimental.GenericFunction:
    """tf.function: images (batch, side, side, C) prepared -> {"probability": as
    serving.signatures.map_shape}.
    """
    endpoints = Endpoints(dataclasses.replace(source, predictor=source.predictor.stock()))
    return tf.function(
        lambda images: {PROBABILITY: source.written(endpoints.probability(images))},
        input_signature=[endpoints.slices],
        autograph=False,
    )


def frozen_probability(source):
    """The same with constants for weights, as a concrete function; its only input is named `images`."""
    frozen = convert_variables_to_constants_v2(probability_function(source).get_concrete_function())
    assert [tensor.op.name for tensor in frozen.inputs] == [IMAGES]
    return frozen
