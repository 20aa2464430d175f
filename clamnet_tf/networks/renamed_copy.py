"""Copy a network under other layer names, so that several networks fit into one graph."""

import keras

from clamnet_tf.networks.half_precision import rounded_to_half


def renamed_copy(network: keras.Model, image, prefix: str, *, half: bool = False) -> keras.Model:
    """Return a copy of a network on another input, with its weights and a prefix before each layer's name.

    Args:
        network: A functional model of stock layers with one image as input.
        image: The keras.Input that the copy reads, of the same shape.
        prefix: What is put before the names of layers, such as "fold_2_".
        half: Round the weights to half precision (float16), so that they can be stored in 2 bytes each.

    Raises:
        NetworkError: A weight that is to be rounded is not a finite number.
    """

    def renamed(layer):
        return type(layer).from_config({**layer.get_config(), "name": f"{prefix}{layer.name}"})

    inputs = [image] if isinstance(network.input, list) else image
    copy = keras.models.clone_model(network, clone_function=renamed, input_tensors=inputs)
    weights = network.get_weights()
    copy.set_weights(rounded_to_half(weights, network.name) if half else weights)
    return copy
