"""The picture: every node, head and arrow is there, nothing is cut off, boxes hold their text."""

import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

from clamnet_tf.errors import EnvironmentFailure, NetworkError
from clamnet_tf.networks.describe import describe
from clamnet_tf.networks.drawing import _count, draw, grid_figure
from clamnet_tf.networks.grid import grid_of
from clamnet_tf.recipe.schema import NetworkSection
from clamnet_tf.recipe.schema_network import DuplicateSection

SECTIONS = {
    "paper": NetworkSection(duplicate=DuplicateSection(levels=[1, 3])),
    "plain": NetworkSection(skips="plain", down="pool", up="bilinear"),
    "one_node": NetworkSection(depth=1, filters=[8], kernels=[3]),
    "largest": NetworkSection(
        depth=7,
        filters=[2048] * 7,
        kernels=[11] * 7,
        duplicate=DuplicateSection(levels=[0, 1, 2, 3, 4, 5, 6]),
    ),
}


@pytest.fixture(params=SECTIONS)
def description(request):
    return describe(SECTIONS[request.param], side=1024, channels=3)


def test_every_node_head_and_arrow_is_drawn(description):
    (axes,) = grid_figure(description).axes
    texts = [text.get_text() for text in axes.texts]
    nodes = grid_of(description.section).nodes.values()
    for node in nodes:
        assert texts.count(node.label) == 1
    for row in description.heads:
        assert texts.count(f"head {row.head}") == 1
    for row in description.levels:
        assert f"{row.side} × {row.side} px" in texts
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == len(nodes) + len(description.grid.duplicated) + len(description.heads) + 1, (
        "one more for the image"
    )
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    legend = 0 if description.section.depth == 1 else 3
    assert len(arrows) == sum(len(node.sources) for node in nodes) + len(description.heads) + 1 + legend


def test_texts_stay_inside_the_picture_and_their_boxes(description):
    figure = grid_figure(description)
    figure.canvas.draw()
    (axes,) = figure.axes
    whole, boxes = (
        figure.bbox,
        [patch.get_window_extent() for patch in axes.patches if isinstance(patch, FancyBboxPatch)],
    )
    for text in axes.texts:
        extent = text.get_window_extent()
        assert (
            whole.x0 <= extent.x0
            and extent.x1 <= whole.x1
            and whole.y0 <= extent.y0
            and extent.y1 <= whole.y1
        ), text.get_text()
        middle = ((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2)
        holders = [box for box in boxes if box.contains(*middle)]
        assert all(box.x0 <= extent.x0 and extent.x1 <= box.x1 for box in holders[:1]), text.get_text()
        if not holders:
            assert not any(box.overlaps(extent) for box in boxes), text.get_text()


def test_svg_is_xml_that_names_the_nodes_and_does_not_change(description, tmp_path):
    first, second = (draw(description, tmp_path / name).read_bytes() for name in ("first.svg", "second.svg"))
    assert ElementTree.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"
    assert b"<!-- X[0,0] -->" in first
    assert first == second


def test_png_is_white_and_large_enough_for_print(description, tmp_path):
    with Image.open(draw(description, tmp_path / "grid.PNG")) as picture:
        assert picture.width >= 1200
        assert picture.convert("RGB").getpixel((3, 3)) == (255, 255, 255)
    assert [path.name for path in tmp_path.iterdir()] == ["grid.PNG"]


@pytest.mark.parametrize(("name", "received"), [("grid.gif", ".gif"), ("grid", "no ending")])
def test_other_endings_are_refused(name, received, tmp_path):
    with pytest.raises(
        NetworkError, match=f"expected a picture ending with .svg or .png, received {received}"
    ):
        draw(describe(NetworkSection(), side=64, channels=1), tmp_path / name)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="file/grid.svg: cannot be written"):
        draw(describe(NetworkSection(), side=64, channels=1), tmp_path / "file" / "grid.svg")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (999, "999"),
        (1000, "1 k"),
        (999_400, "999 k"),
        (999_900, "1 M"),
        (12_345_678, "12.3 M"),
        (4_894_788_800_000, "4,895 G"),
    ],
)
def test_large_numbers_are_short(number, text):
    assert _count(number) == text
