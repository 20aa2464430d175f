"""Which runs train equal classifiers, and which run may take those of another one."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from clamnet_tf.errors import RunError
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.classifiers_key import key_of_classifiers
from clamnet_tf.runs import RunFolder
from clamnet_tf.study.folder import State, StudyFolder
from clamnet_tf.study.plan import open_source, plan
from clamnet_tf.study.read import load_study
from clamnet_tf.study.runner import Job, wanted
from clamnet_tf.study.times import seconds_left
from clamnet_tf.training.shared_classifiers import take_classifiers

sys.path.insert(0, str(Path(__file__).parent))
from conftest import TEACHERS

LATER = [
    "attribution.method=layer_cam",
    "attribution.share=0.1",
    "attribution.refinement.methods=[none]",
    "self_training.steps=50",
    "self_training.network.norm=group",
    "selection.prevalence=0.1",
    "inference.volume_threshold=common",
    "pairs.augmentation.noise=0.3",
    "loss.eta=0.4",
    "training.supervision=mixed",
    "training.optimizer.learning_rate=0.001",
]
DECIDING = [
    "attribution.classifier.steps=421",
    "attribution.classifier.networks=1",
    "attribution.classifier.augmentation.noise=0.3",
    "attribution.classifier.erasure.weight=0.5",
    "training.seed=1",
    "training.patients=20",
    "training.shuffle_labels=true",
    "data.side=64",
    "data.minimum_organ_fraction=0.5",
    "organ.margin=0.1",
    "runtime.mixed_precision=true",
]


def key(*overrides, data="slices"):
    return key_of_classifiers(load_recipe("ct_nodule", overrides), data)


@pytest.mark.parametrize("override", LATER)
def test_what_comes_after_the_classifiers_does_not_count(override):
    assert key(override) == key() != ""


@pytest.mark.parametrize("override", DECIDING)
def test_what_they_learn_from_counts(override):
    assert key(override) != key()


def test_other_slices_or_labels_count_and_erasure_makes_the_attribution_count():
    assert key(data="others") != key()
    erasing = "attribution.classifier.erasure.weight=0.5"
    assert key(erasing, "attribution.baseline=mean") != key(erasing)


def test_a_recipe_without_classifiers_has_no_key():
    assert key_of_classifiers(load_recipe("mri_carcinoma"), "slices") == ""


def trained(folder, key="k", step=8):
    """A run that has trained its classifiers."""
    run = RunFolder(folder)
    stage = run.checkpoints / "classifiers"
    stage.mkdir(parents=True)
    np.savez(stage / "candidate-00000008.npz", w=np.arange(3.0))
    (stage / "step-00000008.npz").write_bytes(b"state of the optimizer")
    look = {"step": step, "normal_area": 0.1}
    (stage / "chosen.json").write_text(
        json.dumps({"look": look, "seconds": 7.5, **({"key": key} if key else {})})
    )
    for row in ({"stage": "classifiers", "step": 8, "loss": 0.5}, {"stage": "self-training-1", "step": 12}):
        run.append_metrics(row)
    return run


def fresh(folder):
    run = RunFolder(folder)
    run.checkpoints.mkdir(parents=True)
    return run


def test_weights_and_log_of_the_stage_are_taken_and_nothing_else(tmp_path):
    donor, run, said = trained(tmp_path / "donor"), fresh(tmp_path / "run"), []
    take_classifiers(donor, run, "k", said.append)
    stage = run.checkpoints / "classifiers"
    assert sorted(path.name for path in stage.iterdir()) == ["candidate-00000008.npz", "chosen.json"]
    assert (stage / "candidate-00000008.npz").read_bytes() == (
        donor.checkpoints / "classifiers" / "candidate-00000008.npz"
    ).read_bytes()
    assert json.loads((stage / "chosen.json").read_text())["taken_from"] == str(donor.path)
    assert run.read_metrics() == [{"stage": "classifiers", "step": 8, "loss": 0.5}]
    assert said == [f"Classifiers: those of {donor.path} are taken, after 8 steps."]


def test_a_run_that_has_begun_keeps_its_own(tmp_path):
    donor, run = trained(tmp_path / "donor"), fresh(tmp_path / "run")
    (run.checkpoints / "classifiers").mkdir()
    take_classifiers(donor, run, "k", pytest.fail)
    assert not any((run.checkpoints / "classifiers").iterdir()) and run.read_metrics() == []


def test_other_classifiers_are_refused(tmp_path):
    run = fresh(tmp_path / "run")
    with pytest.raises(RunError, match="expected a run that has trained the classifiers of an attribution"):
        take_classifiers(fresh(tmp_path / "none"), run, "k", pytest.fail)
    with pytest.raises(RunError, match="trained by an earlier version"):
        take_classifiers(trained(tmp_path / "earlier", key=None), run, "k", pytest.fail)
    broken = trained(tmp_path / "broken").checkpoints / "classifiers"
    (broken / "chosen.json").write_text('{"key": "k", "loo')
    with pytest.raises(RunError, match=r"broken: classifiers/chosen.json is damaged"):
        take_classifiers(RunFolder(tmp_path / "broken"), run, "k", pytest.fail)
    for name in ("lacking", "cut", "changed"):
        weights = trained(tmp_path / name).checkpoints / "classifiers" / "candidate-00000008.npz"
        whole = weights.read_bytes()
        damaged = bytearray(whole)
        damaged[whole.index(np.arange(3.0).tobytes())] ^= 1
        weights.write_bytes(whole[: len(whole) // 2] if name == "cut" else damaged)
        if name == "lacking":
            weights.unlink()
        with pytest.raises(RunError, match="candidate-00000008.npz; the file is missing or damaged"):
            take_classifiers(RunFolder(tmp_path / name), run, "k", pytest.fail)
    with pytest.raises(RunError, match="expected classifiers of the same images, labels, split, seed"):
        take_classifiers(trained(tmp_path / "other"), run, "another", pytest.fail)
    assert not (run.checkpoints / "classifiers").exists() and run.read_metrics() == []


ARMS = """
      - {name: attribution, title: Attribution}
      - {name: layer_cam, title: LayerCAM, set: {attribution.method: layer_cam}}
      - name: pairs
        title: Pairs
        set: {self_training.teacher: first_network, attribution: null}
"""


@pytest.fixture
def study(tmp_path):
    """(plan, folder) with nothing run."""
    path = tmp_path / "teachers.yaml"
    path.write_text(TEACHERS.format(recipe="ct_nodule", seeds="0, 1") + ARMS)
    folder = StudyFolder(tmp_path / "out")
    return plan(load_study(path), tmp_path, open_source(None, None, None, None, folder.cache)), folder


def test_a_study_trains_equal_classifiers_once_per_seed(study):
    planned, folder = study
    runs = {(run.arm, run.title[-1]): run for run in planned.runs}
    attribution, layer_cam, pairs = (runs[name, "0"] for name in ("attribution", "layer_cam", "pairs"))
    assert attribution.classifiers == layer_cam.classifiers != runs["attribution", "1"].classifiers
    assert pairs.classifiers == "" and attribution.classifier_steps == 420 and pairs.classifier_steps == 0
    jobs = {run.key: Job(run, planned, folder, None) for run in wanted(planned)}
    first, second, third = (jobs[run.key] for run in (attribution, layer_cam, pairs))
    assert not second.waits_for([]) and second.waits_for([first]) and not third.waits_for([first])
    assert not second.waits_for([jobs[runs["attribution", "1"].key]])
    assert folder.classifiers_for(layer_cam, planned) is None
    trained(folder.run(attribution).path)
    assert not second.waits_for([first])
    assert folder.classifiers_for(layer_cam, planned).path == folder.run(attribution).path
    assert folder.classifiers_for(attribution, planned) is None  # it has its own
    assert folder.classifiers_for(pairs, planned) is None


def test_the_time_that_is_left_counts_them_once(study):
    planned, _ = study
    states = {run.key: State("missing") for run in planned.runs}
    first = planned.runs[0]  # attribution, seed 0: 420 steps of the classifiers, 300 after them
    states[first.key] = State("done", 720, 1440.0)
    others = {run.arm: run for run in planned.runs if run.key != first.key and run.title.endswith("1")}
    whole = 2 * others["pairs"].steps
    expected = 300 + 720 + 300 + whole  # layer_cam of seed 0; attribution and layer_cam of seed 1; pairs
    assert seconds_left(planned, states) == pytest.approx(2.0 * expected)
