"""Figures of the description against built networks, the counts of docs/method.md and its own text."""

import keras
import numpy as np
import pytest

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.build import original_section
from clamnet_tf.networks.cost import Cost, network_cost
from clamnet_tf.networks.describe import WIDTH, describe, field_text
from clamnet_tf.networks.grid import grid_of
from clamnet_tf.networks.prune import prune
from clamnet_tf.networks.receptive_field import ReceptiveField
from clamnet_tf.recipe.schema import NetworkSection
from clamnet_tf.recipe.schema_network import DuplicateSection


def operations_of(network):
    """Operations of a built network, from the shapes of its layers: 2 per multiply-add, 1 per bias
    addition.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv2DTranspose)):
            transposed = isinstance(layer, keras.layers.Conv2DTranspose)
            pixels = np.prod((layer.input if transposed else layer.output).shape[1:3])
            total += 2 * int(pixels) * int(np.prod(layer.kernel.shape))
            if layer.use_bias:
                total += int(np.prod(layer.output.shape[1:]))
    return total


def test_figures_are_those_of_the_built_network(variant):
    description = describe(variant.section, side=variant.side, channels=variant.channels)
    assert description.total == Cost(variant.network.count_params(), operations_of(variant.network))
    assert description.name == variant.network.name
    for row in description.heads:
        if row.head in (1, 3):
            pruned = prune(variant.network, row.head)
            assert row.cost == Cost(pruned.count_params(), operations_of(pruned))
    for row in description.levels:
        tensor = variant.network.get_layer(f"x_{row.level}_0").output
        kernel = variant.network.get_layer(f"x_{row.level}_0_conv_1").kernel_size
        assert (*tensor.shape[1:], *kernel) == (row.side, row.side, row.filters, row.kernel, row.kernel)


@pytest.mark.parametrize(
    ("head", "parameters", "gflop"),
    [(1, 100_961, 0.980), (2, 511_105, 2.501), (3, 2_204_961, 4.909), (4, 9_041_601, 8.374)],
)
def test_original_has_the_golden_figures(head, parameters, gflop):
    """Count at 96 x 96 x 1, as in docs/method.md, section "Idea"."""
    section = original_section()
    cost = network_cost(section, grid_of(section), [head], side=96, channels=1)
    assert (cost.parameters, round(cost.gflop, 3)) == (parameters, gflop)


def test_levels_and_heads_add_up_to_the_total():
    description = describe(NetworkSection(classes=3), side=256, channels=2)
    head = Cost(16 * 3 + 3, 256**2 * (2 * 16 * 3 + 3))
    assert (
        sum((row.cost for row in description.levels), Cost()) + head + head + head + head == description.total
    )
    assert [row.nodes for row in description.heads] == [3, 6, 10, 15]


def test_table_shows_every_figure():
    section = NetworkSection(
        up="bilinear", kernels=[3, 3, 3, 3, 3], duplicate=DuplicateSection(levels="random", count=2, seed=0)
    )
    description = describe(section, side=256, channels=3)
    lines = description.table().splitlines()
    assert lines[0].startswith(f"{description.name}: nested skips (UNet++), input 256 x 256 x 3")
    assert "two subsequent blocks on levels 2, 3 (drawn with seed 0)" in lines
    rows = {line.split()[0]: line for line in lines if line[:5].strip().isdigit()}
    for row in description.levels:
        line = next(line for line in lines if line.startswith(f"{row.level:>5}  {row.side} x {row.side} "))
        assert line.split()[-2:] == [f"{row.cost.parameters:,}", f"{row.cost.gflop:.3f}"]
        assert f" {row.kernel} x {row.kernel} " in line
    for row in description.heads:
        assert row.node in rows[str(row.head)] and field_text(row.field, 256) in rows[str(row.head)]
    assert any(
        line.split() == ["total", f"{description.total.parameters:,}", f"{description.total.gflop:.3f}"]
        for line in lines
    )


@pytest.mark.parametrize(
    "section",
    [
        NetworkSection(
            norm="batch",
            activation="leaky_relu",
            dropout=0.125,
            l2=1.25e-5,
            skips="plain",
            duplicate=DuplicateSection(levels=[0, 1, 2, 3, 4]),
        ),
        NetworkSection(
            depth=7,
            filters=[2048] * 7,
            kernels=[11] * 7,
            duplicate=DuplicateSection(levels="random", count=7, seed=2**31 - 1),
        ),
        NetworkSection(depth=1, filters=[1], kernels=[1], norm="none"),
    ],
    ids=["wordy", "large", "small"],
)
def test_table_fits_the_page(section):
    lines = describe(section, side=1024, channels=100).table().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("norm", "note"),
    [("group", "of the whole map (norm group)"), ("batch", "of the batch in training"), ("none", None)],
)
def test_table_says_what_norms_see_besides(norm, note):
    text = describe(NetworkSection(norm=norm), side=256, channels=1).table()
    assert (note in text) if note else ("means and deviations" not in text)


def test_field_that_exceeds_the_image_is_remarked():
    assert field_text(ReceptiveField(35.0, 33, 37), 64) == "35 (33-37)"
    assert field_text(ReceptiveField(13.0, 13, 13), 64) == "13"
    assert field_text(ReceptiveField(60.5, 57, 65), 64) == "60.5 (57-65): whole image"


def test_refuses_what_cannot_be_built():
    with pytest.raises(NetworkError, match="received 100; nearest: 96 or 112"):
        describe(NetworkSection(), side=100, channels=1)
    with pytest.raises(NetworkError, match="channels: expected 1 or more, received 0"):
        describe(NetworkSection(), side=96, channels=0)
