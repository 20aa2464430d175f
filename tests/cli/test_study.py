"""`clamnet-tf study` and `evaluate --set`: what users get wrong, and that nothing is trained for it."""

import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import to_yaml


def run(*arguments):
    answer = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return answer.exit_code, answer.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nowhere.yaml"],
            "nowhere.yaml: expected a shipped study (study_chest_ct, study_fractures, study_masks, "
            "study_masks_nodule, study_mri, study_nodule, study_xray) or "
            "a path, "
            "received neither",
        ),
        (
            ["study_mri", "--only", "clamnett"],
            "--only clamnett: expected names of arms (clamnet, no_self_training",
        ),
        (["study_mri", "--data", "no/such/folder", "--list"], "cannot be read"),
        (["study_mri", "--jobs", "0"], "Invalid value for '--jobs'"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    code, output = run("study", *arguments, "--out", tmp_path / "out")
    assert code == 2 and message in output


def test_list_of_the_shipped_study_runs_nothing(tmp_path):
    code, output = run("study", "study_mri", "--out", tmp_path / "out", "--list")
    assert code == 0 and output.splitlines()[0].split() == ["ARM", "SEED", "RUN", "STATE", "TAKEN", "LEFT"]
    assert (
        "clamnet " in output
        and "(shared with clamnet, seed 0)" in output
        and not (tmp_path / "out" / "runs").exists()
    )


def test_report_of_nothing_names_what_is_missing(tmp_path):
    code, _output = run("study", "study_mri", "--out", tmp_path / "out", "--report-only")
    assert code == 0 and "Not complete" in (tmp_path / "out" / "summary.md").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "loss.eta=0.5",
            "--set loss.eta=0.5: expected a key of the section inference; all others need a new training",
        ),
        ("inference.head=mean", "Give a head, or train again"),
        ("inference.haed=1", "nearest valid key inference.head"),
    ],
)
def test_evaluate_takes_overrides_of_inference_alone(tmp_path, override, message):
    model = tmp_path / "run"
    model.mkdir()
    (model / "recipe.yaml").write_text(to_yaml(load_recipe("mri_carcinoma")))
    for name in ("model.keras", "selection.json"):
        (model / name).write_text("")
    code, output = run("evaluate", model, "--out", tmp_path / "out", "--set", override)
    assert code == 2 and message in output and not (tmp_path / "out").exists()
