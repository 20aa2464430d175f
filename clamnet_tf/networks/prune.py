"""Cut a network down to one head and the nodes it needs (UNet++ as an ensemble of U-Nets, Zhou 2018
section 3.2).
"""

import keras

from clamnet_tf.errors import NetworkError


def head_numbers(network: keras.Model) -> list[int]:
    """Return the numbers of the heads of a built, pruned or reloaded network, sorted; none of classifiers."""
    return sorted(int(key.removeprefix("head_")) for key in network.output if key.startswith("head_"))


def prune(network: keras.Model, head: int) -> keras.Model:
    """Return a model of head `head` alone: output {"head_k": probabilities}, equal to the full model's.

    Layers that the head does not depend on are gone; the weights are copies, so that training one model does
    not change the other. The network alone is enough, no recipe is needed.

    Raises:
        NetworkError: the network has no such head, or none.
    """
    heads = head_numbers(network)
    if not heads:
        raise NetworkError(
            f"head: expected none, since {network.name} holds classifiers, which have no heads; received "
            f"{head}. Omit it."
        )
    if head not in heads:
        raise NetworkError(f"head: expected one of {heads}, received {head}; choose a head of {network.name}")
    key = f"head_{head}"
    name = network.name if len(heads) == 1 else f"{network.name}_{key}"
    part = keras.Model(network.input, {key: network.output[key]}, name=name)
    pruned = keras.models.clone_model(part)
    pruned.set_weights(part.get_weights())
    return pruned
