"""Options of `fit` and `folds` that cannot work with a recipe are refused before any data is read."""

import pytest
from click.testing import CliRunner

from clamnet_tf.cli.fit import fit
from clamnet_tf.cli.folds import folds


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["xray_trauma"], "(self_training.teacher attribution, loss.objective hybrid"),
        (["ct_pneumonia"], "(self_training.teacher normal_atlas, loss.objective hybrid"),
    ],
)
def test_a_search_for_eta_needs_pairs(arguments, expected, tmp_path):
    done = CliRunner().invoke(fit, [*arguments, "--data", str(tmp_path), "--search", "eta"])
    words = " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2 and "--search eta chooses the weight of pairs" in words
    assert expected in words


@pytest.mark.parametrize("command", [fit, folds])
def test_an_override_that_changes_nothing_is_named(command, tmp_path):
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--set", "training.steps=2000"]
    done = CliRunner().invoke(command, ["xray_trauma", *arguments])
    assert "Note: --set training.steps=2000 changes nothing" in done.output
    assert "Use attribution.classifier.steps." in done.output
