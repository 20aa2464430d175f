"""Provide a Source as one function with constant weights, for the converters to other runtimes.

Given variables, LiteRT's converter made a file that answers NaN (measured on TensorFlow 2.21); with constants
it does not.
"""

import dataclasses

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from clamnet_tf.export.endpoints import Endpoints
from clamnet_tf.serving.signatures import IMAGES, PROBABILITY


def probability_function(source) -> tf.types.experimental.GenericFunction:
    """Return a tf.function: images (batch, side, side, C), prepared -> {"probability": see
    signatures.map_shape}.
    """
    endpoints = Endpoints(dataclasses.replace(source, predictor=source.predictor.stock()))
    return tf.function(
        lambda images: {PROBABILITY: source.written(endpoints.probability(images))},
        input_signature=[endpoints.slices],
        autograph=False,
    )


def frozen_probability(source):
    """Return `probability_function` as a concrete function with constant weights; its only input is named
    `images`.
    """
    frozen = convert_variables_to_constants_v2(probability_function(source).get_concrete_function())
    assert [tensor.op.name for tensor in frozen.inputs] == [IMAGES]
    return frozen
