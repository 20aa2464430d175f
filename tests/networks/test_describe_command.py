"""The command `clamnet-tf describe`."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.networks.describe import describe
from clamnet_tf.recipe.catalogue import load_recipe

LIGHT = """
import sys
from click.testing import CliRunner
from clamnet_tf.cli.main import main
result = CliRunner().invoke(main, ["describe", "mri_carcinoma", "--draw", sys.argv[1]])
assert result.exit_code == 0, result.output
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


def run(*arguments):
    return CliRunner().invoke(main, ["describe", *map(str, arguments)])


def test_prints_the_table_of_a_shipped_recipe():
    recipe, result = load_recipe("mri_carcinoma"), run("mri_carcinoma")
    assert result.exit_code == 0
    assert result.output == describe(recipe.network, side=recipe.data.side, channels=3).table() + "\n"


def test_options_reach_the_network(tmp_path):
    recipe = load_recipe("mri_carcinoma", ["network.up=bilinear"])
    result = run(
        "mri_carcinoma",
        "--set",
        "network.up=bilinear",
        "--side",
        64,
        "--channels",
        1,
        "--draw",
        tmp_path / "grid.svg",
    )
    assert result.exit_code == 0
    assert (
        result.output
        == f"{describe(recipe.network, side=64, channels=1).table()}\n\nPicture: {tmp_path / 'grid.svg'}\n"
    )
    assert (tmp_path / "grid.svg").stat().st_size > 10_000


def test_channels_are_those_that_the_recipe_keeps():
    assert "x 2\n" in run("mri_carcinoma", "--set", "data.channels=[1, 2]").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mri_carcinoma", "--side", 99], "received 99; nearest: 96 or 100"),
        (["mri_carcinoma", "--channels", 0], "channels: expected 1 or more, received 0"),
        (
            ["mri_carcinoma", "--draw", "grid.gif"],
            "grid.gif: expected a picture ending with .svg or .png, received .gif",
        ),
        (["mri_carcinoma", "--set", "network.depth=4"], "network.kernels: expected 4 entries"),
        (["nothing_like_it"], "nothing_like_it: expected a shipped recipe"),
    ],
)
def test_bad_input_is_a_message_and_exit_code_2(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_needs_no_framework(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", LIGHT, str(tmp_path / "grid.png")], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
