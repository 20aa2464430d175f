"""Receptive fields against the figures of docs/method.md and against what built networks do."""

import numpy as np
import pytest

from clamnet_tf.networks.build import build_network, logits_network
from clamnet_tf.networks.grid import grid_of
from clamnet_tf.networks.receptive_field import ReceptiveField, pixel_intervals, receptive_field
from clamnet_tf.recipe.network_blocks import BLOCKS
from clamnet_tf.recipe.schema import NetworkSection
from clamnet_tf.recipe.schema_network import DuplicateSection

SIDE = 64


@pytest.mark.parametrize(
    ("kernels", "means"), [([3, 3, 3, 3, 3], [15, 35, 75, 155]), ([3, 3, 5, 5, 7], [15, 43, 115, 291])]
)
def test_means_are_those_of_method_section_4(kernels, means):
    grid = grid_of(NetworkSection(kernels=kernels))
    assert [receptive_field(grid, head, down="stride", up="bilinear").mean for head in (1, 2, 3, 4)] == means


def test_worked_by_hand():
    """X[0,1] with pooling: 5 wide -> 3 low pixels -> 7 by two convolutions of 3 -> 14 -> 18."""
    grid = grid_of(NetworkSection(depth=2, filters=[4, 4], kernels=[3, 3]))
    assert receptive_field(grid, 1, down="pool", up="transpose") == ReceptiveField(18.0, 18, 18)
    assert receptive_field(
        grid_of(NetworkSection(depth=1, filters=[4], kernels=[7])), 1, down="pool", up="bilinear"
    ) == (13.0, 13, 13)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    ("kernels", "down", "up", "skips", "duplicated"),
    [
        ([3, 3, 3], "stride", "transpose", "nested", []),
        ([3, 3, 5], "stride", "bilinear", "nested", []),
        ([3, 5, 7], "pool", "transpose", "nested", []),
        ([3, 3, 3], "pool", "bilinear", "nested", [0]),
        ([5, 3, 1], "stride", "transpose", "nested", [1]),
        ([1, 3, 5], "stride", "bilinear", "nested", [2]),
        ([3, 5, 3], "stride", "bilinear", "plain", [0, 2]),
        ([1, 1, 3], "pool", "transpose", "plain", []),
    ],
)
def test_intervals_are_what_the_built_network_sees(kernels, down, up, skips, duplicated, block):
    """Light up one row of a dark image at a time: with positive weights and no bias an output row is bright
    exactly when it sees it.
    """
    section = NetworkSection(
        depth=3,
        filters=[1, 1, 1],
        kernels=kernels,
        down=down,
        up=up,
        norm="none",
        skips=skips,
        duplicate=DuplicateSection(levels=duplicated),
        block=block,
    )
    network = logits_network(build_network(section, side=SIDE, channels=1))
    network.set_weights(
        [
            np.zeros_like(weight) if weight.ndim == 1 else np.ones_like(weight)
            for weight in network.get_weights()
        ]
    )
    rows = np.eye(SIDE, dtype=np.float32)[:, :, None, None] * np.ones((1, 1, 8, 1), np.float32)
    rows = np.tile(rows, (1, 1, SIDE // 8, 1))
    seen = {
        key: np.asarray(values)[..., 0].max(axis=2) > 0 for key, values in network(rows).items()
    }  # [input row, output row]
    grid = grid_of(section)
    for head in grid.heads:
        expected = pixel_intervals(grid, head, down=down, up=up, block=block)
        for position in range(SIDE):
            phase = position % len(expected)
            first, last = (end + position - phase for end in expected[phase])
            visible = np.flatnonzero(seen[f"head_{head}"][:, position])
            assert (visible[0], visible[-1]) == (max(first, 0), min(last, SIDE - 1)), (head, position)
