"""Tiny networks of every kind, built once per session."""

import numpy as np
import pytest

from clamnet_tf.recipe.network_blocks import BLOCKS
from clamnet_tf.recipe.schema import NetworkSection
from clamnet_tf.recipe.schema_network import DuplicateSection

TINY = {"depth": 3, "filters": [4, 6, 8], "kernels": [3, 3, 5]}


def deep(depth):
    return {"depth": depth, "filters": [4] * depth, "kernels": [3] * depth, "norm": "none"}


#: Readable name -> (settings of the network section, side, channels).
VARIANTS = {
    "default": ({}, 32, 1),
    "depth_1": (deep(1), 31, 2),
    "depth_2": (deep(2), 30, 2),
    "depth_6": (deep(6), 32, 2),
    "pool": ({"down": "pool"}, 32, 3),
    "bilinear_l2": ({"up": "bilinear", "l2": 0.01}, 32, 3),
    "batch_norm_leaky_relu": ({"norm": "batch", "activation": "leaky_relu"}, 32, 3),
    "instance_norm_gelu": ({"norm": "instance", "activation": "gelu"}, 32, 3),
    "no_norm_silu": ({"norm": "none", "activation": "silu"}, 32, 5),
    "dropout": ({"dropout": 0.25}, 32, 3),
    "plain": ({"skips": "plain"}, 32, 3),
    "plain_bilinear_pool": ({"skips": "plain", "up": "bilinear", "down": "pool", "norm": "batch"}, 32, 3),
    "duplicated": ({"duplicate": DuplicateSection(levels=[0, 2])}, 32, 3),
    "duplicated_pool": (
        {"duplicate": DuplicateSection(levels="random", count=2, seed=4), "down": "pool", "dropout": 0.1},
        32,
        3,
    ),
    "three_classes": ({"classes": 3}, 32, 3),
    "sigmoid": ({"output": "sigmoid"}, 32, 3),
    **{f"block_{name}": ({"block": name}, 32, 3) for name in BLOCKS if name != "plain"},
    "residual_pool_duplicated": (
        {
            "block": "residual",
            "down": "pool",
            "up": "bilinear",
            "norm": "batch",
            "duplicate": DuplicateSection(levels=[0, 2]),
        },
        32,
        3,
    ),
    "residual_no_norm_dropout": (
        {"block": "residual", "norm": "none", "dropout": 0.1, "skips": "plain"},
        32,
        4,
    ),
    "kernels_1_and_7": ({"kernels": [1, 7, 1]}, 32, 3),
}


class Variant:
    """A tiny network with the section, side and channels that it was built from."""

    def __init__(self, name):
        from clamnet_tf.networks.build import build_network

        settings, self.side, self.channels = VARIANTS[name]
        self.name, self.section = name, NetworkSection(**{**TINY, **settings})
        self.network = build_network(self.section, side=self.side, channels=self.channels)


@pytest.fixture(scope="session")
def variant_of():
    """Name -> Variant; each is built once."""
    built = {}

    def get(name):
        if name not in built:
            built[name] = Variant(name)
        return built[name]

    return get


@pytest.fixture(params=VARIANTS)
def variant(request, variant_of):
    return variant_of(request.param)


@pytest.fixture
def images(rng):
    """Variant -> (count, side, side, channels) float32 noise that fits it."""
    return lambda variant, count=2: rng.normal(
        size=(count, variant.side, variant.side, variant.channels)
    ).astype(np.float32)
