"""Rules on the network sections and on the heads of a network."""

import functools

from clamnet_tf.recipe.expected import either
from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.recipe.rule import Finding, rule
from clamnet_tf.recipe.schema_network import NetworkSection, PretrainedSection

#: Keys of the grid, and `output`, which has one value beside a pretrained encoder.
_GRID_KEYS = (
    "depth",
    "filters",
    "kernels",
    "down",
    "up",
    "block",
    "norm",
    "activation",
    "l2",
    "skips",
    "output",
)
_STRIDES = (
    (1, 2),
    (3, 4),
    (5, 8),
    (11, 16),
    (16, 32),
)  # blocks of EfficientNet-Lite0 at most -> pixels per place


def head_numbers(depth: int, skips: str) -> list:
    """Return the numbers of the grid's heads: head k stands on X[0,k], for k = 1..depth-1.

    Plain skips (U-Net) leave only the last one. Depth 1 has head 1 on X[0,0]. `loss.head_weights` follows
    this order.
    """
    last = max(1, depth - 1)
    return [last] if skips == "plain" else list(range(1, last + 1))


def _rules_of_a_network(name, *, used=None):
    """Add the rules of one network section; `used` is a key that is 0 when the section is not used."""
    place = tuple(name.split("."))

    def network_rule(*inputs):
        def add(check):
            @functools.wraps(check)
            def checked(*values):
                if used is None or values[-1]:
                    yield from check(*values[: len(inputs)])

            return rule(*inputs, *([used] if used else []))(checked)

        return add

    @network_rule("data.side", f"{name}.depth")
    def side_halves(side, depth):
        step = 2 ** (depth - 1)
        if side % step:
            lower, upper = side // step * step, -(-side // step) * step
            near = f"{lower} or {upper}" if lower >= 16 else upper
            expected = f"a multiple of {step}, halved {depth - 1} times by {name}.depth {depth}"
            yield Finding(("data", "side"), expected, str(side), f"nearest: {near}")

    @network_rule(f"{name}.filters", f"{name}.depth")
    def filters_per_level(filters, depth):
        yield from one_per_level("filters", filters, depth)

    @network_rule(f"{name}.kernels", f"{name}.depth")
    def kernels_per_level(kernels, depth):
        yield from one_per_level("kernels", kernels, depth)

    def one_per_level(key, values, depth):
        if len(values) != depth:
            levels = f"{depth} entries, one per level of {name}.depth {depth}"
            example = (
                (values + values[-1:] * depth)[:depth] if values else [3 if key == "kernels" else 16] * depth
            )
            yield Finding((*place, key), levels, f"{len(values)}: {values}", f"for example {example}")

    @network_rule(f"{name}.kernels")
    def kernels_odd(kernels):
        for level, kernel in enumerate(kernels):
            if kernel % 2 == 0:
                yield Finding(
                    (*place, "kernels", level),
                    "an odd number",
                    str(kernel),
                    f"nearest: {kernel - 1} or {kernel + 1}",
                )

    @network_rule(f"{name}.duplicate.levels", f"{name}.depth")
    def duplicate_levels(levels, depth):
        if levels == "random":
            return
        for index, level in enumerate(levels):
            path = (*place, "duplicate", "levels", index)
            if level >= depth:
                yield Finding(path, f"a level from 0 to {depth - 1}, below {name}.depth {depth}", str(level))
            elif level in levels[:index]:
                yield Finding(path, "each level once", f"{level} again", "remove one of them")

    @network_rule(f"{name}.duplicate.count", f"{name}.duplicate.levels", f"{name}.depth")
    def duplicate_count(count, levels, depth):
        if levels == "random" and count > depth:
            yield Finding(
                (*place, "duplicate", "count"), f"at most the {depth} levels of {name}.depth", str(count)
            )

    @network_rule(f"{name}.pretrained", "data.side", *(f"{name}.{key}" for key in _GRID_KEYS))
    def pretrained_stands_alone(pretrained, side, *values):
        if pretrained is None:
            return
        own, usual = PretrainedSection(**pretrained), NetworkSection()
        if own.frozen_blocks > own.blocks:
            expected = f"at most the {own.blocks} of {name}.pretrained.blocks"
            yield Finding((*place, "pretrained", "frozen_blocks"), expected, str(own.frozen_blocks))
        stride = next(pixels for blocks, pixels in _STRIDES if own.blocks <= blocks)
        if side % stride:
            expected = f"a multiple of {stride}, the stride of {name}.pretrained.blocks {own.blocks}"
            yield Finding(("data", "side"), expected, str(side))
        for key, value in zip(_GRID_KEYS, values):
            if key == "output":
                if value != "sigmoid":
                    expected = f"sigmoid, since the map of {name}.pretrained has one channel"
                    yield Finding((*place, key), expected, str(value))
            elif value != getattr(usual, key):
                expected = f"left out, since {name}.pretrained stands in place of the grid"
                yield Finding((*place, key), expected, str(value))

    @network_rule(f"{name}.pretrained", "data.normalization")
    def pretrained_sees_its_units(pretrained, normalization):
        if pretrained is not None and normalization != "zscore":
            expected = f"zscore, since the ImageNet weights of {name}.pretrained expect unit deviation"
            yield Finding(("data", "normalization"), expected, normalization)

    @network_rule(f"{name}.output", f"{name}.classes")
    def sigmoid_classes(output, classes):
        if output == "sigmoid" and classes != 2:
            expected = "softmax, since one sigmoid channel tells only 2 classes apart"
            yield Finding((*place, "output"), expected, f"sigmoid with {name}.classes {classes}")

    @network_rule(f"{name}.classes", "classes")
    def network_classes(classes, lesion_classes):
        wanted = 1 + len(lesion_classes or [""])
        if classes != wanted:
            what = (
                f"background and {len(lesion_classes)} lesion classes"
                if lesion_classes
                else "background and one lesion class, since classes is null"
            )
            yield Finding((*place, "classes"), f"{wanted}: {what}", str(classes))


_rules_of_a_network("network")
_rules_of_a_network("self_training.network", used="self_training.rounds")


@rule("network.pretrained", "loss.objective", "loss.head_weights")
def pretrained_has_one_map(pretrained, objective, weights):
    if pretrained is not None and OBJECTIVES[objective].classifies:
        expected = "an objective of maps, since network.pretrained has no grid to classify with"
        yield Finding(("loss", "objective"), expected, objective)
    if pretrained is not None and weights is not None:
        yield Finding(("loss", "head_weights"), "null, since network.pretrained has one head", str(weights))


@rule("inference.head", "network.pretrained", "self_training.network.pretrained", "self_training.rounds")
def pretrained_has_one_head(head, pretrained, last_pretrained, rounds):
    if head not in ("mean", 1) and (last_pretrained if rounds else pretrained) is not None:
        yield Finding(("inference", "head"), "mean or 1, the only head of network.pretrained", str(head))


@rule("loss.head_weights", "loss.objective")
def classifiers_have_no_heads(weights, objective):
    if OBJECTIVES[objective].classifies and weights is not None:
        yield Finding(
            ("loss", "head_weights"),
            f"null, since a classifier (loss.objective {objective}) has no heads",
            str(weights),
        )


@rule("inference.head", "loss.objective", "self_training.rounds")
def classifiers_have_one_map(head, objective, rounds):
    if OBJECTIVES[objective].classifies and rounds == 0 and head != "mean":
        yield Finding(
            ("inference", "head"),
            f"mean, since a classifier (loss.objective {objective}) has one activation map",
            str(head),
        )


@rule("inference.activation_map.level", "network.depth", "loss.objective")
def level_of_the_map_exists(level, depth, objective):
    if OBJECTIVES[objective].classifies and level is not None and level >= depth:
        expected = f"a level from 0 to {depth - 1}, below network.depth {depth}"
        yield Finding(
            ("inference", "activation_map", "level"), expected, str(level), "null takes the deepest"
        )


@rule("loss.head_weights", "network.depth", "network.skips")
def head_weights_fit(weights, depth, skips):
    if weights is None:
        return
    heads, path = len(head_numbers(depth, skips)), ("loss", "head_weights")
    if len(weights) != heads:
        expected = f"{heads} {'weight' if heads == 1 else 'weights'}, one per head of {_grid(depth, skips)}"
        yield Finding(path, expected, f"{len(weights)}: {weights}", "null weighs all heads alike")
    elif not any(weights):
        yield Finding(path, "at least one weight above 0", str(weights), "null weighs all heads alike")


def _grid(depth, skips):
    return f"network.depth {depth}" + (" with network.skips plain" if skips == "plain" else "")


@rule(
    "inference.head",
    "network.depth",
    "network.skips",
    "self_training.rounds",
    "self_training.network.depth",
    "self_training.network.skips",
)
def head_exists(head, depth, skips, rounds, last_depth, last_skips):
    depth, skips = (last_depth, last_skips) if rounds else (depth, skips)
    heads = head_numbers(depth, skips)
    if head != "mean" and head not in heads:
        yield Finding(
            ("inference", "head"),
            f"{either(['mean', *heads])}, the heads of {_grid(depth, skips)}",
            str(head),
        )


@rule("inference.head", "loss.head_weights", "network.depth", "network.skips", "self_training.rounds")
def head_trained(head, weights, depth, skips, rounds):
    heads = head_numbers(depth, skips)
    if (
        rounds == 0
        and weights
        and len(weights) == len(heads)
        and any(weights)
        and head in heads
        and weights[heads.index(head)] == 0
    ):
        yield Finding(
            ("inference", "head"), "a head that loss.head_weights trains", f"{head}, which has weight 0"
        )
