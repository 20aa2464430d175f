"""predict --engine: ONNX Runtime in a process that has no TensorFlow, with the masks of TensorFlow."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.cli.main import TRAINING_MODULES
from clamnet_tf.errors import EnvironmentFailure, RunError
from clamnet_tf.inference.engine import choose_engine
from clamnet_tf.runs import RunFolder

# Keras 3.15 saving under NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
#: clamnet-tf in a process that finds none of the modules in argument 1.
WITHOUT = """
import sys
hidden = set(sys.argv.pop(1).split(","))

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name.split(".")[0] in hidden else found(name, *more)
from clamnet_tf.cli.main import main
main(prog_name="clamnet-tf")
"""


def without(modules, *arguments):
    """Run clamnet-tf in a new process that has none of `modules`."""
    command = [sys.executable, "-c", WITHOUT, ",".join(modules), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def with_onnx(write_run, tmp_path_factory):
    """A run that marks values of at least 150, with its model.onnx."""
    from clamnet_tf.zoo.onnx_copy import add_onnx

    run = write_run(tmp_path_factory.mktemp("runs") / "bright", 150, normalization="none")
    assert add_onnx(run) < 1e-4
    return run


@pytest.fixture
def picture(tmp_path, rng):
    values = rng.integers(100, 200, (32, 24)).astype(np.uint8)
    values[values == 150] = 151  # P = 0.5 exactly, where rounding decides
    Image.fromarray(values).save(tmp_path / "head.png")
    return tmp_path / "head.png", values


def mask_of(out):
    return np.asarray(Image.open(next(Path(out).rglob("*_mask.png")))) > 0


def test_a_process_without_tensorflow_marks_the_same(with_onnx, predict, picture, tmp_path):
    path, values = picture
    options = ["--format", "png,overlay,nifti,report"]
    done = without(
        TRAINING_MODULES, "predict", with_onnx, path, "--any-modality", "--out", tmp_path / "light", *options
    )
    assert done.returncode == 0, done.stderr
    assert "Engine: onnxruntime (model.onnx beside model.keras)" in done.stdout
    result, out, _ = predict(with_onnx, path, options=[*options, "--engine", "tensorflow"])
    assert result.exit_code == 0 and "Engine: tensorflow (as asked)" in result.output
    np.testing.assert_array_equal(mask_of(tmp_path / "light"), values >= 150)
    np.testing.assert_array_equal(mask_of(out), values >= 150)
    names = [
        sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        for folder in (tmp_path / "light", out)
    ]
    assert names[0] == names[1]
    assert (tmp_path / "light" / "marks.csv").read_text() == (out / "marks.csv").read_text()


def test_organ_networks_run_there_too(with_onnx, write_run, tmp_path):
    import yaml

    from clamnet_tf.zoo.onnx_copy import add_onnx

    run = write_run(tmp_path / "marker", 200, normalization="none", modality="xray")
    organ = write_run(tmp_path / "organ", 150, normalization="none", modality="xray")
    add_onnx(run), add_onnx(organ)
    content = yaml.safe_load((run / "recipe.yaml").read_text())
    content["organ"] |= {"method": "network", "network": str(organ), "margin": 0.0}
    (run / "recipe.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    image = np.full((32, 32), 20, np.uint8)
    image[4:20, 6:22], image[8:12, 8:14], image[26:30, 26:30] = 160, 220, 240
    Image.fromarray(image).save(tmp_path / "chest.png")
    done = without(
        TRAINING_MODULES, "predict", run, tmp_path / "chest.png", "--out", tmp_path / "out", "--format", "png"
    )
    assert done.returncode == 0, done.stderr
    assert f"Engine of organ.network {organ}: onnxruntime" in done.stdout
    assert 20 <= mask_of(tmp_path / "out")[8:12, 8:14].sum() <= 24
    assert (mask_of(tmp_path / "out") & (image < 150)).sum() <= 6  # the crop is resized


def test_commands_that_need_tensorflow_say_how_to_get_it(with_onnx, picture, tmp_path):
    options = ["--any-modality", "--out", tmp_path / "out", "--engine", "tensorflow"]
    done = without(TRAINING_MODULES, "predict", with_onnx, picture[0], *options)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "this command needs tensorflow, which is not installed" in done.stderr
    assert "pip install 'clamnet-tf[train]'" in done.stderr


def test_fit_says_how_to_get_it_before_any_data_is_made(tmp_path):
    done = without(TRAINING_MODULES, "fit", "mri_carcinoma", "--out", tmp_path / "run")
    assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "run").exists()
    assert "this command needs tensorflow" in done.stderr and "pip install 'clamnet-tf[train]'" in done.stderr


def test_without_a_file_the_engine_is_tensorflow_and_says_why(write_run, tmp_path):
    run = RunFolder(write_run(tmp_path / "plain", 150, normalization="none"))
    choice = choose_engine("auto", run)
    assert choice.name == "tensorflow" and f"clamnet-tf zoo onnx {run.path} makes it" in choice.reason
    with pytest.raises(RunError, match=r"there is no .*model\.onnx"):
        choose_engine("onnxruntime", run)


def test_a_file_of_other_weights_is_not_used(with_onnx, write_run, tmp_path):
    run = RunFolder(write_run(tmp_path / "other", 180, normalization="none"))
    shutil.copyfile(with_onnx / "model.onnx", run.onnx)
    assert choose_engine("auto", run).name == "tensorflow"
    assert "was made from other weights" in choose_engine("auto", run).reason
    with pytest.raises(RunError, match="was made from other weights"):
        choose_engine("onnxruntime", run)


def test_without_onnxruntime_it_is_named(with_onnx, picture, tmp_path, monkeypatch):
    options = ["--any-modality", "--out", tmp_path / "out", "--engine", "onnxruntime"]
    done = without({"onnxruntime"}, "predict", with_onnx, picture[0], *options)
    assert done.returncode == 1 and "onnxruntime is not installed" in done.stderr
    done = without({"onnxruntime", "tensorflow"}, "predict", with_onnx, picture[0], *options[:-2])
    assert done.returncode == 1 and "TensorFlow is not installed" in done.stderr
    assert "pip install 'clamnet-tf[predict]'" in done.stderr


def test_uncertainty_needs_the_single_heads_and_has_them(write_run, picture, tmp_path):
    """Of the average of two runs, fold 1 marks from 150, fold 2 from 160; between they differ."""
    import json

    from clamnet_tf.files import write_json
    from clamnet_tf.networks.average import average_networks
    from clamnet_tf.networks.saved import load_network
    from clamnet_tf.zoo.onnx_copy import add_onnx

    runs = [RunFolder(write_run(tmp_path / f"fold_{cut}", cut, normalization="none")) for cut in (150, 160)]
    made = RunFolder(write_run(tmp_path / "both", 150, normalization="none"))
    average_networks([load_network(run.model) for run in runs], name="both").save(made.model)
    selection = json.loads(made.selection.read_text())
    member = {"markings": {"head_1": selection["markings"]["head_1"]}}
    write_json(made.selection, selection | {"average": {"members": [member, member]}})
    add_onnx(made.path)
    path, values = picture
    out = tmp_path / "out"
    done = without(
        TRAINING_MODULES, "predict", made.path, path, "--any-modality", "--uncertainty", "--format", "png",
        "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    low, high = (1 / (1 + np.exp(cut - values.astype(float))) for cut in (150, 160))
    written = np.asarray(Image.open(out / "head_uncertainty.png")).astype(int)
    assert np.abs(written - np.rint(255 * (low - high))).max() <= 1


def test_no_engine_at_all_is_said_in_one_message(write_run, tmp_path, monkeypatch):
    import importlib.util

    run = RunFolder(write_run(tmp_path / "plain", 150, normalization="none"))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "tensorflow" else found(name, *more)
    )
    with pytest.raises(EnvironmentFailure, match=r"TensorFlow is not installed, and without it: there is no"):
        choose_engine("auto", run)


def test_a_prediction_goes_on_with_its_engine_only(with_onnx, predict, picture, tmp_path):
    import json

    out = tmp_path / "out"
    for engine in ("tensorflow", "tensorflow"):
        result, _, _ = predict(with_onnx, picture[0], out=out, options=["--engine", engine])
        assert result.exit_code == 0, result.output
    assert json.loads((out / "prediction.json").read_text())["engine"] == "tensorflow"
    result, _, _ = predict(with_onnx, picture[0], out=out)
    assert result.exit_code == 2
    assert "expected the engine that began it, tensorflow; received onnxruntime" in result.stderr
    assert "Add --engine tensorflow, or choose another --out" in result.stderr
    # a folder of a version that did not name engines
    settings = json.loads((out / "prediction.json").read_text())
    del settings["engine"]
    (out / "prediction.json").write_text(json.dumps(settings))
    assert predict(with_onnx, picture[0], out=out)[0].exit_code == 2
    assert predict(with_onnx, picture[0], out=out, options=["--engine", "tensorflow"])[0].exit_code == 0


def test_the_two_engines_of_an_organ_network_share_no_prepared_slices(with_onnx):
    from clamnet_tf.inference.organ_network import OrganNetwork
    from clamnet_tf.recipe.catalogue import load_recipe

    run = RunFolder(with_onnx)
    recipe = load_recipe(str(run.recipe))
    keys = {OrganNetwork(run, recipe, engine=engine).key for engine in ("tensorflow", "onnxruntime")}
    assert len(keys) == 2
