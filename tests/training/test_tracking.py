"""runtime.tracking: mlflow against a real MLflow server on loopback, asked over its REST interface."""

import functools
import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import requests
import yaml

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import recipe_hash, to_yaml
from clamnet_tf.runs import RunFolder
from clamnet_tf.workflows.tracking import parameters_of, reason_of_failure, tracked, without_password

SETTINGS = """
    data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0
    network.depth=2 network.filters=[4,6] network.kernels=[3,3] training.batch_size=4
    training.steps=8 training.evaluate_every=4 training.checkpoint_every=2 self_training.steps=4
    self_training.network.depth=2 self_training.network.filters=[4,6] self_training.network.kernels=[3,3]
""".split()


def fit(out, *options, settings=SETTINGS):
    sets = [part for setting in (*settings, "runtime.tracking=mlflow") for part in ("--set", setting)]
    return [sys.executable, "-m", "clamnet_tf", "fit", "mri_carcinoma", "--out", str(out), *sets, *options]


def finish(out, *options, address=None, cwd=None):
    """Run a fit to its end and return the finished process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    if address:
        environment["MLFLOW_TRACKING_URI"] = address
    return subprocess.run(fit(out, *options), capture_output=True, text=True, env=environment, cwd=cwd)


class Server:
    """An MLflow server and what its REST interface says."""

    def __init__(self, address):
        self.address = address

    def ask(self, path, **content):
        url = f"{self.address}/api/2.0/mlflow/{path}"
        call = requests.post if path.endswith("search") else requests.get
        how = {"json": content} if path.endswith("search") else {"params": content}
        answer = call(url, **how, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def runs(self, experiment="mri_carcinoma"):
        found = self.ask("experiments/get-by-name", experiment_name=experiment)["experiment"]
        return self.ask("runs/search", experiment_ids=[found["experiment_id"]]).get("runs", [])

    def history(self, run_id, name):
        rows = self.ask("metrics/get-history", run_id=run_id, metric_key=name).get("metrics", [])
        return sorted((int(row.get("step", 0)), float(row["value"])) for row in rows)

    def artifact(self, run_id, path):
        answer = requests.get(
            f"{self.address}/get-artifact", params={"run_id": run_id, "path": path}, timeout=30
        )
        answer.raise_for_status()
        return answer.content


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "log.txt", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                assert process.poll() is None, (folder / "log.txt").read_text()[-2000:]
                try:
                    if requests.get(f"{address}/health", timeout=5).ok:
                        break
                except requests.ConnectionError:
                    time.sleep(0.5)
            yield Server(address)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def check_whole(server, run, out):
    """The MLflow run has what the run folder has: every number at its step once, parameters, files."""
    run_id = run["info"]["run_id"]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    expected = {}
    for row in rows:
        for name, value in row.items():
            if name != "step" and type(value) in (int, float) and math.isfinite(value):
                kind = {"train": "train", "look": "validation"}[row["kind"]]
                expected.setdefault(f"{kind}/{name}", []).append((row["step"], value))
    assert {"train/loss", "validation/auroc"} <= expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(server.history(run_id, name), sorted(values), rtol=1e-12, err_msg=name)
    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    sent = {row["key"]: row["value"] for row in run["data"]["metrics"]}
    assert sent["test/dice_volume.mean"] == pytest.approx(metrics["dice_volume"]["mean"])
    assert sent["test/patients"] == metrics["patients"]
    parameters = {row["key"]: row["value"] for row in run["data"]["params"]}
    assert parameters["training.steps"] == "8" and parameters["network.filters"] == "[4, 6]"
    tags = {row["key"]: row["value"] for row in run["data"]["tags"]}
    assert tags["clamnet_tf.recipe_sha256"] == recipe_hash(load_recipe(out / "recipe.yaml"))
    for path, file in (
        ("model/model.keras", "model.keras"),
        ("model/recipe.yaml", "recipe.yaml"),
        ("model/selection.json", "selection.json"),
        ("evaluation/report.html", "evaluation/report.html"),
        ("evaluation/metrics.json", "evaluation/metrics.json"),
    ):
        assert server.artifact(run_id, path) == (out / file).read_bytes(), path
    assert run["info"]["status"] == "FINISHED" and run["info"]["run_name"] == out.name


@pytest.mark.mlflow
def test_a_training_that_is_killed_and_resumed_is_one_run_on_the_server(server, tmp_path):
    out = tmp_path / "killed"
    environment = os.environ | {"MLFLOW_TRACKING_URI": server.address}
    process = subprocess.Popen(fit(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    deadline = time.time() + 300
    while not ((out / "tracking.json").exists() and (out / "metrics.jsonl").exists()):
        assert time.time() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (begun,) = server.runs()
    assert begun["info"]["status"] == "RUNNING" and not (out / "FINISHED").exists()
    done = finish(out, "--resume", address=server.address)
    assert done.returncode == 0, done.stderr
    (run,) = server.runs()
    assert run["info"]["run_id"] == begun["info"]["run_id"]
    check_whole(server, run, out)
    assert f"MLflow: everything was sent; run {run['info']['run_id']} at {server.address}." in done.stdout


def begun(folder, recipe):
    """A run folder of a training that has begun, and a function that adds rows of steps."""
    run = RunFolder.open_for_training(folder, to_yaml(recipe), resume=(folder / "recipe.yaml").exists())

    def add(*steps):
        for step in steps:
            run.append_metrics(
                {"kind": "train", "stage": "first", "step": step, "loss": 1 / step, "bad": None}
            )

    return run, add


@pytest.mark.mlflow
def test_a_training_that_is_stopped_sends_each_step_once_when_it_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    recipe, lines = load_recipe("ct_carcinoma", ["runtime.tracking=mlflow"]), []
    run, add = begun(tmp_path / "stopped", recipe)
    with tracked(recipe, run, Reporter(quiet=True, log=lines.append)) as ended:
        add(1, 2, 3, 4)
        ended("stopped")
    (first,) = server.runs("ct_carcinoma")
    assert first["info"]["status"] == "KILLED" and lines[-1].startswith("MLflow: everything was sent")
    run.truncate_metrics(2)  # as a resumed training does
    with tracked(recipe, run, Reporter(quiet=True)) as ended:
        add(3, 4, 5)
        ended("stopped")
    (second,) = server.runs("ct_carcinoma")
    assert second["info"]["run_id"] == first["info"]["run_id"]
    expected = [(step, 1 / step) for step in range(1, 6)]
    history = server.history(second["info"]["run_id"], "train/loss")
    np.testing.assert_allclose(history, expected, rtol=1e-12)


@pytest.mark.mlflow
def test_a_training_that_does_not_begin_leaves_no_run(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    recipe = load_recipe("ct_trauma", ["runtime.tracking=mlflow"])
    run, _ = begun(tmp_path / "refused", recipe)
    with pytest.raises(ZeroDivisionError):
        with tracked(recipe, run, Reporter(quiet=True)):
            while not (run.path / "tracking.json").exists():
                time.sleep(0.05)
            raise ZeroDivisionError
    assert server.runs("ct_trauma") == []


@pytest.mark.mlflow
def test_a_server_that_is_not_there_costs_no_training_and_is_said(tmp_path):
    out = tmp_path / "alone"
    done = finish(out, address="http://somebody:secret@127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert (out / "FINISHED").exists() and (out / "model.keras").exists()
    text = done.stdout + done.stderr + (out / "log.txt").read_text()
    assert "Warning: MLflow at http://127.0.0.1:9 does not take the run" in done.stdout
    (end,) = (line for line in done.stdout.splitlines() if "did not get" in line)
    for part in ("the run with its parameters", "rows of metrics", "evaluation/report.html", "model.keras"):
        assert part in end, part
    assert "secret" not in text and "Traceback" not in text


@pytest.mark.mlflow
def test_without_an_address_a_local_folder_gets_it(tmp_path):
    out = tmp_path / "local"
    done = finish(out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (meta,) = (path for path in (tmp_path / "mlruns").glob("*/*/meta.yaml"))
    content = yaml.safe_load(meta.read_text())
    assert content["run_name"] == "local" and content["status"] == 3  # FINISHED
    lines = (meta.parent / "metrics" / "train" / "loss").read_text().splitlines()
    sent = [(int(step), float(value)) for _, value, step in map(str.split, lines)]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert sent == [(row["step"], row["loss"]) for row in rows if row["kind"] == "train"]
    assert Counter(step for step, _ in sent).most_common(1)[0][1] == 1
    assert (meta.parent / "params" / "training.steps").read_text() == "8"
    assert (meta.parent / "artifacts" / "model" / "model.keras").read_bytes() == (
        out / "model.keras"
    ).read_bytes()


def test_without_the_package_the_training_does_not_begin(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlflow" else found(name))
    recipe = load_recipe("mri_carcinoma", ["runtime.tracking=mlflow"])
    with pytest.raises(EnvironmentFailure, match=r"pip install 'clamnet-tf\[mlflow\]'"):
        with tracked(recipe, None, None):
            pass
    with tracked(load_recipe("mri_carcinoma"), None, None) as ended:  # nothing is asked for
        ended("finished")


def test_a_recipe_keeps_its_hash_and_every_key_is_a_parameter():
    plain, followed = load_recipe("mri_carcinoma"), load_recipe("mri_carcinoma", ["runtime.tracking=mlflow"])
    assert recipe_hash(plain) == recipe_hash(followed) and "tracking" not in to_yaml(plain)
    parameters = parameters_of(followed)
    assert parameters["runtime.tracking"] == "mlflow" and parameters["network.filters"].startswith("[")
    written = yaml.safe_load(to_yaml(followed))
    for key, text in parameters.items():
        value = functools.reduce(lambda content, part: content[part], key.split("."), written)
        assert text == (value if isinstance(value, str) else json.dumps(value)), key
    assert max(map(len, parameters.values())) <= 500


def test_no_message_has_a_password():
    assert without_password("https://me:secret@host:8443/x?y") == "https://host:8443/x?y"
    assert without_password("file:///a/b@c") == "file:///a/b@c"
    error = ConnectionError("cannot reach https://me:secret@host/api of that server.\nmore")
    assert reason_of_failure(error) == "cannot reach https://host/api of that server"
    assert reason_of_failure(ValueError()) == "ValueError"
