"""The grid as plain data: nodes, sources, heads, names, refusals, drawn levels."""

import random

import pytest

from clamnet_tf.errors import NetworkError, RecipeError
from clamnet_tf.networks.grid import check_channels, check_side, full_name, grid_of
from clamnet_tf.recipe.duplicates import draw_levels
from clamnet_tf.recipe.schema import NetworkSection, Recipe
from clamnet_tf.recipe.schema_network import DuplicateSection
from clamnet_tf.recipe.writer import resolve


def section(depth=3, **changes):
    return NetworkSection(
        **{
            "depth": depth,
            "filters": [4 + 2 * level for level in range(depth)],
            "kernels": [3] * depth,
            **changes,
        }
    )


def test_nested_grid_has_the_nodes_and_sources_of_the_unet_plus_plus_figure():
    grid = grid_of(section(3))
    sources = {node.label: sorted(node.sources) for node in grid.nodes.values()}
    assert sources == {
        "X[0,0]": [],
        "X[1,0]": [(0, 0)],
        "X[2,0]": [(1, 0)],
        "X[0,1]": [(0, 0), (1, 0)],
        "X[1,1]": [(1, 0), (2, 0)],
        "X[0,2]": [(0, 0), (0, 1), (1, 1)],
    }
    assert grid.heads == {1: (0, 1), 2: (0, 2)}


def test_plain_grid_is_a_u_net_whose_one_head_tells_its_depth():
    grid = grid_of(section(4, skips="plain"))
    assert sorted(grid.nodes) == [(0, 0), (0, 3), (1, 0), (1, 2), (2, 0), (2, 1), (3, 0)]
    assert sorted(grid.nodes[0, 3].sources) == [(0, 0), (1, 2)]
    assert grid.heads == {3: (0, 3)}


@pytest.mark.parametrize("skips", ["nested", "plain"])
def test_depth_one_is_a_single_node_with_head_1(skips):
    grid = grid_of(section(1, skips=skips))
    assert list(grid.nodes) == [(0, 0)]
    assert grid.heads == {1: (0, 0)}


@pytest.mark.parametrize("depth", range(1, 8))
def test_sources_stand_before_their_users(depth):
    seen = set()
    for place, node in grid_of(section(depth)).nodes.items():
        assert seen.issuperset(node.sources)
        seen.add(place)
    assert len(seen) == depth * (depth + 1) // 2


def test_a_head_needs_the_triangle_under_it():
    grid = grid_of(section(5))
    assert [sorted(node.place for node in grid.needed(head)) for head in (1, 2)] == [
        [(0, 0), (0, 1), (1, 0)],
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)],
    ]
    with pytest.raises(NetworkError, match=r"head: expected one of \[1, 2, 3, 4\], received 5"):
        grid.needed(5)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "unet_plus_plus_d3"),
        ({"skips": "plain"}, "unet_d3"),
        ({"duplicate": DuplicateSection(levels=[2, 0])}, "unet_plus_plus_d3_dup0-2"),
        ({"duplicate": DuplicateSection(levels="random", count=3)}, "unet_plus_plus_d3_dup0-1-2"),
    ],
)
def test_name_tells_kind_depth_and_duplicated_levels(changes, name):
    assert full_name(section(**changes), grid_of(section(**changes))) == name


def test_only_the_backbone_of_a_duplicated_level_has_two_blocks():
    grid = grid_of(section(3, duplicate=DuplicateSection(levels=[1])))
    assert [place for place, node in grid.nodes.items() if node.blocks == 2] == [(1, 0)]


def test_every_problem_of_a_section_is_named_at_once():
    wrong = section(
        3, filters=[4], kernels=[3, 4, 3], classes=3, output="sigmoid", duplicate=DuplicateSection(levels=[5])
    )
    with pytest.raises(NetworkError) as caught:
        grid_of(wrong)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "network.filters",
        "network.kernels[1]",
        "network.duplicate.levels[0]",
        "network.output",
    ]
    assert all("expected" in line and "received" in line for line in lines)


@pytest.mark.parametrize(
    ("side", "nearest"), [(100, "96 or 112"), (8, "16"), (255, "240 or 256"), (0, "16"), (-16, "16")]
)
def test_odd_sides_are_refused_with_the_nearest_valid_ones(side, nearest):
    with pytest.raises(NetworkError, match=f"multiple of 16 pixels.*received {side}; nearest: {nearest}$"):
        check_side(side, depth=5)


def test_valid_sides_and_channels_pass():
    check_side(16, depth=5)
    check_side(17, depth=1)
    check_channels(1)
    with pytest.raises(NetworkError, match="channels: expected 1 or more, received 0"):
        check_channels(0)


def test_draw_is_sorted_different_and_repeatable():
    drawn = {tuple(draw_levels(7, 3, seed)) for seed in range(200)}
    assert len(drawn) == 35, "every choice of 3 of 7 levels turns up"
    assert all(list(levels) == sorted(set(levels)) for levels in drawn)
    before = random.getstate()
    assert draw_levels(5, 2, 7) == draw_levels(5, 2, 7) == [1, 3]
    assert random.getstate() == before
    with pytest.raises(RecipeError, match="network.duplicate.count: expected 0.*received 4"):
        draw_levels(3, 4, 0)


@pytest.mark.parametrize("seed", range(20))
def test_a_resolved_recipe_builds_the_grid_that_the_unresolved_one_would(seed):
    network = section(5, duplicate=DuplicateSection(levels="random", count=2, seed=seed))
    resolved = resolve(Recipe(name="some", modality="mri", condition="carcinoma", network=network)).network
    assert resolved.duplicate.levels != "random"
    assert grid_of(resolved) == grid_of(network)
