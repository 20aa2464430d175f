"""Average several networks of one shape into a single network of stock layers.

The result takes the same slices and gives the same heads; each head is the mean of the members' heads, so of
their probabilities. All members lie in one graph, layer `encoder` of the second network as `fold_2_encoder`.
"""

import keras
from keras import layers

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.member_names import PREFIX
from clamnet_tf.networks.renamed_copy import renamed_copy


def average_networks(networks: list[keras.Model], *, name: str, half: bool = False) -> keras.Model:
    """Return a network whose heads are the means of the heads of `networks`, with copied weights.

    Args:
        networks: At least two networks with the same input and the same heads.
        name: Name of the result.
        half: Round the weights to half precision (float16), so that they can be stored in 2 bytes each.

    Raises:
        NetworkError: There are fewer than two networks, they differ in input or heads, or a weight is not
            a finite number.
    """
    if len(networks) < 2:
        raise NetworkError(f"an average needs at least two networks; received {len(networks)}.")
    first = _shape(networks[0])
    for number, network in enumerate(networks[1:], start=2):
        if _shape(network) != first:
            raise NetworkError(
                f"network {number} has another input or other heads than the first one: {_shape(network)}, "
                f"expected {first}. Networks are averaged only when they were trained with one recipe."
            )
    image = keras.Input(networks[0].inputs[0].shape[1:], name="image")
    members = [
        _heads(renamed_copy(network, image, f"{PREFIX}{number}_", half=half), network.output)
        for number, network in enumerate(networks, start=1)
    ]
    outputs = {}
    for head in networks[0].output:
        total = layers.Add(dtype="float32", name=f"{head}_sum")([member[head] for member in members])
        mean = layers.Rescaling(1.0 / len(networks), dtype="float32", name=f"{head}_mean")(total)
        outputs[head] = layers.Activation("linear", dtype="float32", name=head)(mean)
    return keras.Model(image, outputs, name=name)


def member_count(network: keras.Model) -> int:
    """Return how many networks were averaged into `network`; 1 for a network that is no average."""
    numbers = {
        int(layer.name.removeprefix(PREFIX).split("_")[0])
        for layer in network.layers
        if layer.name.startswith(PREFIX) and layer.name.removeprefix(PREFIX).split("_")[0].isdecimal()
    }
    return max(numbers, default=1)


def with_member_heads(network: keras.Model) -> keras.Model:
    """Return an average with the heads of its members as outputs, in place of their means.

    The outputs are fold_1_head_1, fold_1_head_2, .., fold_2_head_1, ..; layers and weights are shared.
    """
    outputs = {
        f"{PREFIX}{number}_{head}": network.get_layer(f"{PREFIX}{number}_{head}").output
        for number in range(1, member_count(network) + 1)
        for head in network.output
    }
    return keras.Model(network.input, outputs, name=f"{network.name}_members")


def head_activation(network: keras.Model, head: str) -> str:
    """Return softmax or sigmoid, which makes the probabilities of a head; of an average, its members'."""
    layer = head if member_count(network) == 1 else f"{PREFIX}1_{head}"
    return network.get_layer(layer).activation.__name__


def _shape(network) -> tuple:
    """Return what must be equal: input shape, and the shape of every head."""
    return (
        [tuple(tensor.shape) for tensor in network.inputs],
        {name: tuple(tensor.shape) for name, tensor in sorted(network.output.items())},
    )


def _heads(copy, names) -> dict:
    """Return the heads of a copied network by name."""
    return copy.output if isinstance(copy.output, dict) else dict(zip(names, copy.outputs))
