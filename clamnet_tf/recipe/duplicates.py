"""Draw the levels of the grid that get two subsequent blocks, when the recipe leaves the choice to chance
(paper 3.1).
"""

import random

from clamnet_tf.errors import RecipeError


def draw_levels(depth: int, count: int, seed: int) -> list[int]:
    """Draw `count` different levels of 0..depth-1, sorted; the same seed draws the same levels on any
    machine.

    The levels are ranked by `random.Random(seed).random()`, the one sequence that Python keeps from version
    to version.

    Raises:
        RecipeError: there are fewer levels than wanted.
    """
    if not 0 <= count <= depth:
        raise RecipeError(
            f"network.duplicate.count: expected 0..{depth}, since network.depth is {depth}; received "
            f"{count}. "
            "Lower the count or deepen the network."
        )
    generator = random.Random(seed)
    ranks = [generator.random() for _ in range(depth)]
    return sorted(sorted(range(depth), key=ranks.__getitem__)[:count])
