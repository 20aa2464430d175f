"""One head of a network, with only the nodes it needs (UNet++ as an ensemble of U-Nets, Zhou 2018 section
3.2).
"""

import keras

from clamnet_tf.errors import NetworkError


def head_numbers(network: keras.Model) -> list[int]:
    """Numbers of the heads of a built, pruned or reloaded network, sorted."""
    return sorted(int(key.removeprefix("head_")) for key in network.output)


def prune(network: keras.Model, head: int) -> keras.Model:
    """A model of head `head` alone: output {"head_k": probabilities}, equal to the full model's.

    Layers that the head does not depend on are gone; the weights are copies, so that training one model does
    not change the other. Needs the network alone, no recipe. Raises NetworkError for a head that the network
    has not.
    """
    numbers = head_numbers(network)
    if head not in numbers:
        raise NetworkError(
            f"head: expected one of {numbers}, received {head}; choose a head of {network.name}"
        )
    key = f"head_{head}"
    name = network.name if len(numbers) == 1 else f"{network.name}_{key}"
    part = keras.Model(network.input, {key: network.output[key]}, name=name)
    pruned = keras.models.clone_model(part)
    pruned.set_weights(part.get_weights())
    return pruned
