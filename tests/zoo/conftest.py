"""A zoo of its own for each test, and a real HTTP server that can misbehave."""

import contextlib
import http.server
import importlib.util
import json
import os
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from clamnet_tf.inference.appearance import AppearanceModel

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "zoo" / "mri_carcinoma"


def _row(dice, difference):
    """Figures of a simple method, of patients and slices alike: (mean, low, high) each."""
    ends = ("mean", "low", "high")
    of_volumes = {"dice_volume": dict(zip(ends, dice)), "difference": dict(zip(ends, difference))}
    return of_volumes | {
        "dice_slice": of_volumes["dice_volume"],
        "difference_slice": of_volumes["difference"],
    }


BASELINES = {
    "whole_organ": _row((0.09, 0.05, 0.12), (0.66, 0.53, 0.77)),
    "otsu_channel1_bright": _row((0.25, 0.125, 0.5), (0.5, 0.25, 0.625)),
}
KEPT = {
    "whole_organ": {"function": "whole_organ", "keywords": {}},
    "threshold_channel1_sigma2_bright": {
        "function": "_cut_masks",
        "keywords": {"channel": 1, "sigma": 2.0, "cut": 1.25, "bright": True},
    },
}


@pytest.fixture(autouse=True)
def own_settings(monkeypatch, tmp_path):
    """No test sees the user's zoo folders, registries or pulled entries."""
    for name in list(os.environ):
        if name.startswith(
            ("CLAMNET_TF_ZOO", "CLAMNET_TF_REGISTRY", "CLAMNET_TF_OFFLINE", "HF_")
        ) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLAMNET_TF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def copy(tmp_path):
    """copy(name) -> a copy of the shipped entry, as version 1, in the folder own/, to be changed."""
    from clamnet_tf.zoo.entry import Change
    from clamnet_tf.zoo.read import entry_text, read_entry

    def make(name="mri_carcinoma"):
        target = tmp_path / "own" / name
        shutil.copytree(SHIPPED, target)
        first = Change(version=1, date="2026-11-23", changes="First version.")
        entry = read_entry(target).model_copy(update={"name": name, "version": 1, "changelog": [first]})
        (target / "entry.yaml").write_text(entry_text(entry), encoding="utf-8")
        return target

    return make


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """A finished, evaluated run folder with a small network of random weights; its figures are those of the
    shipped entry.
    """
    import yaml

    from clamnet_tf.networks.build import build_network
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.writer import to_yaml

    sizes = [
        f"{section}.{key}"
        for section in ("network", "self_training.network")
        for key in ("depth=3", "filters=[4, 6, 8]", "kernels=[3, 3, 3]")
    ]
    recipe = load_recipe("mri_carcinoma", [*sizes, "data.side=16"])
    folder, entry = (
        tmp_path_factory.mktemp("small") / "run",
        yaml.safe_load((SHIPPED / "entry.yaml").read_text(encoding="utf-8")),
    )
    (folder / "evaluation").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "__array__ implementation", DeprecationWarning
        )  # Keras 3.15 saving under NumPy 2
        build_network(recipe.self_training.network, side=16, channels=2).save(folder / "model.keras")
    (folder / "recipe.yaml").write_text(to_yaml(recipe))
    selection = json.loads((SHIPPED / "selection.json").read_text())
    markings = selection["markings"] = {
        name: selection["markings"][name] for name in ("mean", "head_1", "head_2")
    }
    made, metrics = entry["made_with"], entry["metrics"]
    dice, others = metrics["dice_volume"], ("auroc_slice", "pointing_game", "normal_area")
    figures = {
        "dice_volume": {
            "mean": dice["value"],
            "low": dice["low"],
            "high": dice["high"],
            "median": metrics["dice_volume_median"],
            "patients": 12,
        },
        "dice_slice": {"mean": 0.5, "low": 0.4, "high": 0.6, "slices": 11},
        "definitions": 2,
        "patients": 16,
        "patients_with_lesion": 12,
        "patients_without_lesion": 4,
        "patients_incomplete": 0,
        "normal_area_patient": 0.125,
        "specificity_patient": 0.75,
        "baselines": BASELINES,
        **{key: metrics[key]["value"] for key in others},
        "intervals": {key: {end: metrics[key][end] for end in ("low", "high")} for key in others}
        | {
            "normal_area_patient": {"low": 0.0, "high": 0.5},
            "specificity_patient": {"low": 0.25, "high": 1.0},
        },
        "bootstrap": {"samples": 2000, "confidence": 0.95},
        "threshold": markings["mean"]["threshold"],
        "heads": {
            name: {"threshold": row["raw_threshold"]} for name, row in markings.items() if name != "mean"
        },
        "slices": 498,
        "data": {"root": "/data/kaggle_3m", "split": "test", "simulated": False},
    }
    packages = {
        "clamnet-tf": made["clamnet_tf"],
        "tensorflow-cpu": made["tensorflow"],
        "keras": made["keras"],
    }
    environment = {
        "packages": packages,
        "python": made["python"],
        "git": {"commit": made["commit"]},
        "machine": "Linux x86_64",
        "processors": 2,
        "data": "/data/kaggle_3m",
    }
    for name, content in (
        ("selection.json", selection),
        ("environment.json", environment),
        ("evaluation/metrics.json", figures),
    ):
        (folder / name).write_text(json.dumps(content))
    (folder / "FINISHED").write_text("")
    (folder / "intensity_baselines.json").write_text(json.dumps(KEPT))
    images = [np.random.default_rng(index).random((1, 32, 32, 2)) for index in range(12)]
    AppearanceModel.fit(images, [str(index) for index in range(12)]).save(folder / "appearance.npz")
    return folder


@pytest.fixture
def hub_server(tmp_path):
    """A server that answers as the Hugging Face Hub, without repositories, see hub_server.py."""
    if "hub_server" not in sys.modules:
        path = Path(__file__).with_name("hub_server.py")
        spec = importlib.util.spec_from_file_location("hub_server", path)
        sys.modules["hub_server"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hub_server"])
    server = sys.modules["hub_server"].HubServer(tmp_path / "hub")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def copies(fixture, folder):
    """A fixture: a copy of the folder that the session's `fixture` gives, named `folder`, to be changed."""

    @pytest.fixture
    def made(request, tmp_path):
        return Path(shutil.copytree(request.getfixturevalue(fixture), tmp_path / folder))

    return made


run = copies("small_run", "run")
small = copies("small_entry", "mri_small")
markers_run = copies("small_markers_run", "run")
small_markers = copies("small_markers_entry", "ct_small")


def published(run, folder):
    """`folder`, where `run` was published with some texts."""
    from clamnet_tf.zoo.about import About
    from clamnet_tf.zoo.publish import Release, publish

    about = About(
        summary="Marks things.",
        channel_order=["T1", "FLAIR"],
        training_data={"name": "my set", "origin": "A hospital.", "licence": "CC BY 4.0"},
        weights_licence="CC BY 4.0",
        intended_use="Research.",
        limits=["Not a medical device."],
    )
    publish(run, folder, about, Release(1, None))
    return folder


@pytest.fixture(scope="session")
def small_entry(small_run, tmp_path_factory):
    """The small run, published."""
    return published(small_run, tmp_path_factory.mktemp("published") / "mri_small")


@pytest.fixture(scope="session")
def small_markers_run(small_run, tmp_path_factory):
    """The small run with a network that tells two markers apart, random weights too; figures made up, with
    those of each marker.
    """
    from clamnet_tf.inference.postprocessing.volume import VolumePostprocessor
    from clamnet_tf.inference.trained_model import measured_rule
    from clamnet_tf.networks.build import build_network
    from clamnet_tf.recipe.catalogue import load_recipe
    from clamnet_tf.recipe.writer import to_yaml

    folder = Path(shutil.copytree(small_run, tmp_path_factory.mktemp("markers") / "run"))
    sizes = [
        f"{section}.{key}"
        for section in ("network", "self_training.network")
        for key in ("depth=3", "filters=[4, 6, 8]", "kernels=[3, 3, 3]")
    ]
    recipe = load_recipe("ct_haemorrhage", [*sizes, "data.side=16", "self_training.teacher=first_network"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        build_network(recipe.self_training.network, side=16, channels=2).save(folder / "model.keras")
    (folder / "recipe.yaml").write_text(to_yaml(recipe))
    (folder / "appearance.npz").unlink()  # of images of two channels; here one of two is the atlas's
    steps = {"through_plane": 1.1, "main_component": 0.3, "appearance": 0.0}
    cuts = {"intraparenchymal": (0.25, 0.375), "subdural": (0.125, 0.5)}
    row = {
        name: {"steps": steps, "raw_threshold": raw, "threshold": cut} for name, (raw, cut) in cuts.items()
    }
    selection = {
        "markings": dict.fromkeys(("mean", "head_1", "head_2"), row),
        "threshold_rule": "as expected",
        "step": 3,
        "seconds": 9.0,
    }
    figures = json.loads((folder / "evaluation" / "metrics.json").read_text())
    volumes, slices = figures["dice_volume"], figures["dice_slice"]
    alike = (
        "auroc_slice",
        "pointing_game",
        "normal_area",
        "normal_area_patient",
        "specificity_patient",
        "intervals",
        "patients_incomplete",
        "baselines",
    )
    own = {key: figures[key] for key in alike}
    figures |= {
        "threshold": 0.5,
        "heads": {},
        "threshold_rule": measured_rule("as expected", VolumePostprocessor.from_row(row, tuple(row))),
        "markers": {
            "intraparenchymal": {
                **own,
                "dice_volume": {
                    **volumes,
                    "mean": 0.5,
                    "low": 0.25,
                    "high": 0.75,
                    "median": 0.625,
                    "patients": 8,
                },
                "dice_slice": slices,
                "patients_with_lesion": 8,
            },
            "subdural": {  # no patient has it
                **own,
                "dice_volume": {"mean": None, "low": None, "high": None, "median": None, "patients": 0},
                "patients_with_lesion": 0,
                "dice_slice": {"mean": None, "low": None, "high": None, "slices": 0},
                "pointing_game": None,
            },
        },
    }
    kept = dict.fromkeys(("", "intraparenchymal"), KEPT)
    for name, content in (
        ("selection.json", selection),
        ("evaluation/metrics.json", figures),
        ("intensity_baselines.json", kept),
    ):
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def small_markers_entry(small_markers_run, tmp_path_factory):
    """That run, published."""
    return published(small_markers_run, tmp_path_factory.mktemp("published") / "ct_small")


class Server(http.server.ThreadingHTTPServer):
    """Serves `root` with ranges; what it does wrong is told by path.

    cut: path -> how many bytes are sent before the connection is closed, once. bytes: path -> other content.
    redirect: path -> Location. stall: paths that are never answered in full. log: (path, Range header or
    None).
    """

    daemon_threads = True

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.cut, self.bytes, self.redirect, self.stall, self.log = (
            Path(root),
            {},
            {},
            {},
            set(),
            [],
        )
        self.ended = threading.Event()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def ranges(self, path):
        """The Range headers of the requests for a path."""
        return [header for asked, header in self.log if asked == path]

    def handle_error(self, request, client_address):
        """A client that goes away is what the tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server, path = self.server, self.path.partition("?")[0]
        header = self.headers.get("Range")
        server.log.append((path, header))
        if path in server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        file = server.root / path.lstrip("/")
        if path not in server.bytes and not file.is_file():
            self.send_error(404)
            return
        content = server.bytes.get(path) or file.read_bytes()
        start = int(header.removeprefix("bytes=").removesuffix("-")) if header else 0
        self.send_response(206 if header else 200)
        if header:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if path in server.stall:
            self.wfile.write(content[start : start + 100])
            self.wfile.flush()
            server.ended.wait(60)
            return
        stop = server.cut.pop(path, None)
        self.wfile.write(content[start:stop])
        if stop is not None:
            self.close_connection = True
            self.wfile.flush()
            time.sleep(0.05)
            self.connection.close()


@pytest.fixture
def serve():
    """serve(root) -> Server, running until the test ends."""
    with contextlib.ExitStack() as stack:

        def start(root):
            server = Server(root)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()

            def stop():
                server.ended.set()
                server.shutdown()
                thread.join()
                server.server_close()

            stack.callback(stop)
            return server

        yield start
