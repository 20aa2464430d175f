"""Whole runs of an attribution teacher on patches made here: a bright ring among bright bars, labels per
image, masks for measuring.
"""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from conftest import TEACHERS

SIDE, PATIENTS = 32, 24
RECIPE = """\
name: rings
modality: ct
condition: nodule
description: Rings among bars, for a test.
data: {side: 32, cohort: null}
organ: {method: none}
pairs: {views: {blur: [1.0, 1.0], stretch: [1.0, 1.0], quarter_turns: true, shift: 0.06}}
training: {batch_size: 8, evaluate_every: 4, checkpoint_every: 2}
attribution:
  classifier: {networks: 1, filters: [4, 8], blocks: [1, 1], steps: 8, batch_size: 8}
  copies: 2
  least_score: 0.0
  share: 0.06
self_training:
  teacher: attribution
  rounds: 1
  steps: 4
  network: {depth: 2, filters: [4, 6], kernels: [3, 3], norm: batch}
selection: {prevalence: 0.06, threshold: 0.5, checkpoint: last}
"""


def write_patches(folder, mask_of=lambda lesion, rng: lesion):
    """Two patches of each patient, one with a ring (radius 4) and one with a bar, in a folder with a
    manifest.csv.
    """
    rng = np.random.default_rng(0)
    (folder / "masks").mkdir(parents=True)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    cases = []
    for patient in range(PATIENTS):
        for label in (0, 1):
            y, x = rng.uniform(9, 23, 2)
            distance = np.hypot(rows - y, columns - x)
            shape = (
                (distance < 4.5) & (distance > 2.0)
                if label
                else np.abs((rows - y) + rng.uniform(-0.5, 0.5) * (columns - x)) < 1.2
            )
            name = f"p{patient:02d}_{label}.png"
            Image.fromarray(
                np.clip(60 + 130 * shape + rng.normal(0, 12, shape.shape), 0, 255).astype(np.uint8)
            ).save(folder / name)
            case = {"image": name, "patient": f"p{patient:02d}", "label": label, "mask": ""}
            if label:
                mask = mask_of(distance < 4.5, np.random.default_rng(patient))
                Image.fromarray(255 * mask.astype(np.uint8)).save(folder / "masks" / name)
                case["mask"] = f"masks/{name}"
            cases.append(case)
    with open(folder / "manifest.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(cases[0]))
        writer.writeheader()
        writer.writerows(cases)
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The recipe's file and the folder of patches."""
    folder = tmp_path_factory.mktemp("rings")
    (folder / "rings.yaml").write_text(RECIPE)
    return folder / "rings.yaml", write_patches(folder / "data")


def command(inputs, out, *more):
    recipe, data = inputs
    return [
        sys.executable,
        "-m",
        "clamnet_tf",
        "fit",
        str(recipe),
        "--data",
        str(data),
        "--out",
        str(out),
        *more,
    ]


def weights(run):
    import keras

    return keras.saving.load_model(Path(run) / "model.keras", compile=False).get_weights()


@pytest.fixture(scope="module")
def whole(inputs, own_cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = subprocess.run(command(inputs, out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, done


def test_a_run_teaches_marks_selects_and_reports(whole):
    out, done = whole
    assert (
        done.stderr == ""
        and "classifiers: kept step 8; the last step of the classifiers; AUROC of the validation slices"
        in done.stdout
    )
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    looks = [(row["stage"], row["step"]) for row in rows if row["kind"] == "look"]
    assert looks == [("classifiers", 4), ("classifiers", 8), ("self-training-1", 12)]
    assert {"loss", "cross_entropy", "score_abnormal", "score_normal", "erased"} <= rows[0].keys()
    selection = json.loads((out / "selection.json").read_text())
    assert selection["step"] == 12 and selection["threshold_rule"] == "fixed in the recipe"
    assert selection["markings"]["mean"]["threshold"] == pytest.approx(0.5)
    figures = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert 0 <= figures["dice_slice"]["mean"] <= 1
    report = (out / "evaluation" / "report.html").read_text()
    assert "attribution maps of image classifiers" in report


@pytest.mark.slow
def test_classifiers_of_another_run_end_where_its_own_would(whole, inputs, tmp_path):
    own, taken, changed = tmp_path / "own", tmp_path / "taken", ("--set", "attribution.method=grad_cam")
    donor = Path(shutil.copytree(whole[0], tmp_path / "donor"))
    ended = donor / "checkpoints" / "classifiers" / "chosen.json"
    ended.write_text(json.dumps(json.loads(ended.read_text()) | {"seconds": 5000.0}))
    runs = [
        subprocess.run(command(inputs, out, *changed, *more), capture_output=True, text=True)
        for out, more in ((own, ()), (taken, ("--classifiers", str(donor))))
    ]
    assert [done.returncode for done in runs] == [0, 0], [done.stderr for done in runs]
    assert f"Classifiers: those of {donor.resolve()} are taken, after 8 steps." in runs[1].stdout
    for one, two in zip(weights(own), weights(taken)):
        np.testing.assert_allclose(one, two, atol=1e-6)
    logs = [
        [
            (row["kind"], row["stage"], row["step"], row.get("loss"))
            for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
        ]
        for out in (own, taken)
    ]
    assert [row[:3] for row in logs[0]] == [row[:3] for row in logs[1]]
    seconds = [json.loads((out / "selection.json").read_text())["seconds"] for out in (own, taken)]
    assert 0 < seconds[0] < 4000 and 5000 < seconds[1] < 9000  # the donor's training counts

    other = subprocess.run(
        command(inputs, tmp_path / "other", "--set", "training.seed=1", "--classifiers", str(whole[0])),
        capture_output=True,
        text=True,
    )
    assert other.returncode == 2 and "expected classifiers of the same images, labels" in other.stderr
    assert not (tmp_path / "other").exists()


@pytest.fixture(scope="module")
def unmarked(whole, inputs, tmp_path_factory):
    """A run without a round, with the classifiers of `whole`: its folder and its finished process."""
    out = tmp_path_factory.mktemp("runs") / "unmarked"
    more = ("--set", "self_training.rounds=0", "--classifiers", str(whole[0]))
    done = subprocess.run(command(inputs, out, *more), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, done


def test_without_a_round_the_attribution_itself_marks(unmarked):
    """The map is the attribution of the kept classifiers, their weights in half precision, scaled to their
    P(abnormal) at its peak.
    """
    import clamnet_tf
    from clamnet_tf.inference.attribution_map import AttributionMap
    from clamnet_tf.networks.evidence_classifier import build_evidence_classifiers
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.training.checkpoints import candidate, load_weights

    out, done = unmarked
    assert "self-training" not in done.stdout
    report = (out / "evaluation" / "report.html").read_text()
    assert "1 image classifier of residual blocks, 32 x 32 pixels; marks are where they find" in " ".join(
        report.split()
    )

    section = load_recipe(out / "recipe.yaml").attribution
    classifiers = build_evidence_classifiers(section.classifier, side=SIDE, channels=1)
    load_weights(candidate(out / "checkpoints" / "classifiers", 8), classifiers)
    classifiers.set_weights([one.astype(np.float16).astype(np.float32) for one in classifiers.get_weights()])
    oracle = AttributionMap(classifiers, section)
    model = clamnet_tf.Segmenter.from_preset(out)
    images = np.random.default_rng(1).normal(size=(5, SIDE, SIDE, 1)).astype(np.float32)
    maps, scores = oracle(images)[..., 0], oracle.probability(images)
    expected = maps / maps.max(axis=(1, 2), keepdims=True) * scores[:, None, None]
    found = model._trained.probability(images)[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.max(axis=(1, 2)), scores, rtol=1e-4)
    assert scores.min() > 0 and np.ptp(scores) > 1e-4


def call(*arguments):
    """Run clamnet-tf in a process of its own."""
    whole_command = [sys.executable, "-m", "clamnet_tf", *map(str, arguments)]
    return subprocess.run(whole_command, capture_output=True, text=True)


ABOUT = """
summary: Points at rings.
channel_order: [picture of 8 bits]
training_data: {name: rings, origin: This test., licence: CC0}
weights_licence: CC0
intended_use: A test. Not a medical device.
limits: [It points.]
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 under NumPy 2
def test_an_attribution_is_published_and_used_as_an_entry(unmarked, inputs, tmp_path):
    """The entry passes every check, notices other weights, and predicts what the run predicts."""
    import h5py

    import clamnet_tf
    from clamnet_tf.networks.half_precision import store_in_half
    from clamnet_tf.networks.saved import load_network
    from clamnet_tf.zoo.golden import golden_difference, golden_output

    run, entry, about = unmarked[0], tmp_path / "ct_rings", tmp_path / "about.yaml"
    about.write_text(ABOUT)
    done = call("zoo", "publish", run, "--to", entry, "--about", about)
    assert done.returncode == 0, done.stderr
    assert "only TensorFlow, which predict needs" in done.stdout and not (entry / "model.onnx").exists()
    assert call("zoo", "verify", entry).returncode == 0
    card = " ".join((entry / "README.md").read_text().split())
    assert "a dict of `evidence_1`, each (slices, h, w, 1) float32" in card
    assert "The same, or within 8/224 of the image's longer side of it" in card

    network = clamnet_tf.load(entry)
    assert list(network.output) == ["evidence_1"]
    with zipfile.ZipFile(entry / "model.keras") as archive, archive.open("model.weights.h5") as stored:
        kinds = set()
        with h5py.File(io.BytesIO(stored.read()), "r") as file:
            file.visititems(lambda _, item: kinds.add(str(item.dtype)) if hasattr(item, "dtype") else None)
    assert kinds == {"float16"}
    golden = json.loads((entry / "golden.json").read_text())
    assert golden_difference(golden, golden_output(network)) < 1e-5
    kernel = network.trainable_weights[0]
    kernel.assign(kernel[::-1])
    assert golden_difference(golden, golden_output(network)) > golden["tolerance"]
    network.save(entry / "model.keras")
    store_in_half(entry / "model.keras")
    assert call("zoo", "verify", entry).returncode == 1
    shutil.copy(run / "model.keras", entry / "model.keras")
    assert load_network(entry / "model.keras").count_params() == network.count_params()

    images = np.random.default_rng(1).normal(size=(3, SIDE, SIDE, 1)).astype(np.float32)
    found, expected = (
        clamnet_tf.Segmenter.from_preset(model)._trained.probability(images) for model in (entry, run)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    predicted = call("predict", entry, inputs[1] / "p00_1.png", "--out", tmp_path / "masks")
    assert predicted.returncode == 0, predicted.stderr
    assert "only TensorFlow computes what they mark" in predicted.stdout + predicted.stderr
    assert "zoo onnx" not in predicted.stdout + predicted.stderr


@pytest.mark.slow
def test_an_attribution_is_exported_as_a_saved_model_alone(unmarked, inputs, tmp_path):
    import tensorflow as tf

    import clamnet_tf

    done = call("export", unmarked[0], "--format", "savedmodel", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    served = tf.saved_model.load(str(tmp_path / "rings" / "1"))
    images = np.random.default_rng(1).normal(size=(3, SIDE, SIDE, 1)).astype(np.float32)
    found = served.signatures["prepared"](tf.constant(images))["probability"].numpy()
    expected = clamnet_tf.Segmenter.from_preset(unmarked[0])._trained.probability(images)[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    for kind in ("onnx", "litert"):
        refused = call("export", unmarked[0], "--format", kind, "--out", tmp_path / kind)
        assert refused.returncode == 2 and "whose gradients only TensorFlow computes" in refused.stderr
    refused = call("zoo", "onnx", unmarked[0])
    assert refused.returncode == 2 and "only TensorFlow computes" in refused.stderr
    refused = call(
        "fit",
        inputs[0],
        "--data",
        inputs[1],
        "--out",
        tmp_path / "x",
        "--init",
        unmarked[0],
        "--set",
        "self_training.rounds=0",
    )
    assert refused.returncode == 2 and "Train without --init" in " ".join(refused.stderr.split())


ARMS = """
      - {name: attribution, title: Attribution}
      - {name: grad_cam, title: Grad-CAM, set: {attribution.method: grad_cam}}
      - {name: other, title: Another share, set: {attribution.share: 0.2}}
"""


@pytest.mark.slow
def test_a_study_of_two_jobs_trains_them_once(inputs, own_cache, tmp_path):
    recipe, data = inputs
    study = recipe.parent / "teachers.yaml"
    study.write_text(TEACHERS.format(recipe="rings.yaml", seeds="0") + ARMS)
    call = [sys.executable, "-m", "clamnet_tf", "study", str(study), "--data", str(data)]
    done = subprocess.run(
        [*call, "--out", str(tmp_path / "out"), "--jobs", "2"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    runs = sorted((tmp_path / "out" / "runs").iterdir())
    ends = [json.loads((run / "checkpoints/classifiers/chosen.json").read_text()) for run in runs]
    own = [run for run, end in zip(runs, ends) if "taken_from" not in end]
    assert len(runs) == 3 and len(own) == 1
    assert {end["taken_from"] for end in ends if "taken_from" in end} == {str(own[0])}
    assert len({end["key"] for end in ends}) == 1


@pytest.mark.slow
def test_the_network_of_a_run_predicts(whole, inputs, tmp_path):
    made = tmp_path / "masks"
    call = [
        sys.executable,
        "-m",
        "clamnet_tf",
        "predict",
        str(whole[0]),
        str(inputs[1] / "p00_1.png"),
        "--out",
        str(made),
    ]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mask = np.asarray(Image.open(next(path for path in made.rglob("*.png") if "mask" in path.name)))
    assert mask.shape[:2] == (SIDE, SIDE)


def wait_for(out, stage, step, process):
    """Until a checkpoint of the stage at `step` or later is there."""
    deadline = time.time() + 300
    while time.time() < deadline:
        assert process.poll() is None, process.stderr.read()
        if any(int(path.stem.split("-")[1]) >= step for path in out.glob(f"checkpoints/{stage}/step-*.npz")):
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} of {stage} was not reached")


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "step"), [("classifiers", 4), ("self-training-1", 2)])
def test_killed_and_resumed_ends_with_the_same_weights(whole, inputs, tmp_path, stage, step):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(inputs, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(out, stage, step, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "FINISHED").exists()
    newest = sorted((out / "checkpoints" / stage).glob("step-*.npz"))[-1]
    with np.load(newest) as stored:
        arrays = dict(stored)
    arrays["extra"] = np.array(json.dumps(json.loads(str(arrays["extra"])) | {"seconds": 5000.0}))
    np.savez(newest, **arrays)
    done = subprocess.run(command(inputs, out, "--resume"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for one, two in zip(weights(whole[0]), weights(out)):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert json.loads((out / "selection.json").read_text())["seconds"] > 5000  # before the kill counts


@pytest.mark.slow
def test_training_and_selection_cannot_depend_on_masks(whole, tmp_path):
    """The same patches with noise for every mask: the same weights and selection, other figures."""
    (tmp_path / "rings.yaml").write_text(RECIPE)
    data = write_patches(tmp_path / "data", lambda lesion, rng: rng.random(lesion.shape) < 0.5)
    out = tmp_path / "blind"
    split = ("--split-file", str(whole[0] / "split.csv"))
    done = subprocess.run(
        command((tmp_path / "rings.yaml", data), out, *split), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for one, two in zip(weights(whole[0]), weights(out)):
        np.testing.assert_array_equal(one, two)
    same = [json.loads((run / "selection.json").read_text()) | {"seconds": None} for run in (whole[0], out)]
    assert same[0] == same[1]
    dice = [
        json.loads((run / "evaluation" / "metrics.json").read_text())["dice_slice"]["mean"]
        for run in (whole[0], out)
    ]
    assert dice[0] != dice[1]


@pytest.mark.slow
def test_a_channel_that_the_images_do_not_have_is_refused_before_training(inputs, tmp_path):
    done = subprocess.run(
        command(inputs, tmp_path / "run", "--set", "attribution.refinement.channel=1"),
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode == 2
        and "attribution.refinement.channel: expected 0 to 0, since these images have 1 channel; received 1."
        in done.stderr
    )
    assert "Traceback" not in done.stderr
