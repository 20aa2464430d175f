"""Short trainings of a search: trained once, resumed when unfinished, begun at the same weights."""

from types import SimpleNamespace

import pytest

from clamnet_tf.errors import RunError
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import resolve
from clamnet_tf.training import trial_runs
from clamnet_tf.training.trial_runs import TrialRuns


@pytest.fixture
def recipe():
    return resolve(load_recipe("mri_carcinoma"))


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that were trained; a run called `stopped` stops on request, and leaves a
    checkpoint.
    """
    names = []

    def train(recipe, manifest, prepared, run, reporter):
        names.append(run.path.name)
        (run.checkpoints / "image-labels").mkdir(parents=True, exist_ok=True)
        return SimpleNamespace(look=None if run.path.name == "stopped" else object())

    monkeypatch.setattr(trial_runs, "train", train)
    return names


def trials_in(folder, begin=None):
    lines = []
    return TrialRuns("manifest", "prepared", folder, Reporter(quiet=True, log=lines.append), begin), lines


def test_a_finished_run_is_used_and_an_unfinished_one_goes_on(tmp_path, recipe, trained):
    trials, lines = trials_in(tmp_path)
    run = trials.run("a", recipe, "first try")
    assert run.finished.exists() and run.path == tmp_path / "a" and lines == ["Search: first try."]
    assert trials.run("a", recipe, "first try").path == run.path
    assert trials.run("stopped", recipe, "second try") is None
    assert trials.run("stopped", recipe, "second try") is None  # resumed, not refused
    assert trained == ["a", "stopped", "stopped"]


def test_a_finished_run_of_another_recipe_is_refused(tmp_path, recipe, trained):
    trials, _ = trials_in(tmp_path)
    trials.run("a", recipe, "first try")
    with pytest.raises(RunError):
        trials.run(
            "a", recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"eta": 0.3})}), "another"
        )
    assert trained == ["a"]


def test_initial_weights_are_given_and_checked_again(tmp_path, recipe, trained):
    begun = []
    trials, _ = trials_in(tmp_path, begin=lambda run: begun.append(run.path.name))
    trials.run("a", recipe, "first try")
    trials.run("a", recipe, "first try")
    assert begun == ["a", "a"] and trained == ["a"]
