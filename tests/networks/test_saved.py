"""Loading runs no code of the file: hostile .keras files are refused before Keras sees them; every network we
build is let in.
"""

import io
import json
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import pytest

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.classifier import build_classifier
from clamnet_tf.networks.prune import prune
from clamnet_tf.networks.saved import ALLOWED, CONFIG, METADATA, WEIGHTS, check_saved, load_network
from clamnet_tf.recipe.schema import NetworkSection

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 saving under NumPy 2
SIZE = {"depth": 2, "filters": [4, 6], "kernels": [3, 3]}
SECTIONS = {
    "group": {},
    "batch, pool, bilinear": {"norm": "batch", "down": "pool", "up": "bilinear"},
    "none, l2, dropout": {"norm": "none", "l2": 1e-4, "dropout": 0.2},
    "instance, sigmoid, plain": {"norm": "instance", "output": "sigmoid", "skips": "plain"},
    "leaky_relu": {"activation": "leaky_relu"},
    "gelu, five classes": {"activation": "gelu", "classes": 5},
    "silu": {"activation": "silu"},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "model.keras"
    build_network(NetworkSection(**SIZE), side=16, channels=1).save(path)
    return path


@pytest.fixture
def model(built, tmp_path):
    """A small saved network, to be changed."""
    return Path(shutil.copy(built, tmp_path))


def rewrite(path, change=None, weights=None, more=()):
    """Change the configuration or the weights inside a .keras file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if change:
        config = json.loads(parts[CONFIG])
        config = change(config) or config
        parts[CONFIG] = json.dumps(config).encode()
    if weights is not None:
        parts[WEIGHTS] = weights
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [*parts.items(), *more]:
            archive.writestr(name, content)


@pytest.mark.parametrize("options", SECTIONS.values(), ids=SECTIONS)
def test_every_network_of_ours_is_let_in(tmp_path, options):
    for number, network in enumerate(
        (
            build_network(NetworkSection(**SIZE, **options), side=16, channels=2),
            build_classifier(NetworkSection(**SIZE, **options), side=16, channels=2),
        )
    ):
        path = tmp_path / f"{number}.keras"
        network.save(path)
        assert [weights.shape for weights in load_network(path).get_weights()] == [
            weights.shape for weights in network.get_weights()
        ]


def test_a_pruned_network_is_let_in(tmp_path):
    path = tmp_path / "pruned.keras"
    prune(
        build_network(NetworkSection(depth=3, filters=[4, 4, 4], kernels=[3, 3, 3]), side=16, channels=1), 1
    ).save(path)
    assert list(load_network(path).output) == ["head_1"]


def test_the_table_names_things_that_exist():
    for module, names in ALLOWED.items():
        if module != "keras.src.models.functional":
            for name in names:
                assert hasattr(__import__(module, fromlist=["x"]), name), name


def lambda_model(path):
    """A .keras file with a Lambda layer, whose code Keras stores as marshalled bytes."""
    image = keras.Input((16, 16, 1), name="image")
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2, name="head_1")(image)).save(path)


def test_a_lambda_is_refused_before_loading(tmp_path):
    path = tmp_path / "model.keras"
    lambda_model(path)
    with pytest.raises(
        NetworkError,
        match=r"names __lambda__, keras\.layers\.Lambda, which is not among the stock Keras layers.*It was "
        r"not loaded",
    ):
        load_network(path)


HOSTILE = {
    "os.system": {"module": "os", "class_name": "system", "config": "touch MARK", "registered_name": None},
    "subprocess.Popen": {
        "module": "subprocess",
        "class_name": "Popen",
        "config": {"args": ["touch", "MARK"]},
        "registered_name": "Popen",
    },
    "builtins.eval": {
        "module": "builtins",
        "class_name": "function",
        "config": "eval",
        "registered_name": "eval",
    },
    "keras.utils.get_file": {
        "module": "keras.utils",
        "class_name": "get_file",
        "config": {"origin": "http://127.0.0.1/x"},
        "registered_name": None,
    },
    "keras.config.enable_unsafe_deserialization": {
        "module": "keras.config",
        "class_name": "enable_unsafe_deserialization",
        "config": {},
        "registered_name": None,
    },
    "keras.layers.TFSMLayer": {
        "module": "keras.layers",
        "class_name": "TFSMLayer",
        "config": {"filepath": "x"},
        "registered_name": None,
    },
    "keras.layers.Conv2D (registered as mine>Conv2D)": {
        "module": "keras.layers",
        "class_name": "Conv2D",
        "config": {},
        "registered_name": "mine>Conv2D",
    },
    "mine.Layer": {"module": "mine", "class_name": "Layer", "config": {}, "registered_name": None},
    "__lambda__": {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}},
    "list": {"module": ["os"], "class_name": "system", "config": {}},
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("where", ["activation", "layer", "build_config"])
def test_foreign_code_is_refused_wherever_it_stands(model, tmp_path, hostile, where, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def change(config):
        if where == "build_config":
            config["build_config"] = {"hidden": [{"deep": hostile}]}
        elif where == "layer":
            config["config"]["layers"].append({**hostile, "name": "x", "inbound_nodes": []})
        else:
            config["config"]["layers"][1]["config"]["activation"] = hostile

    rewrite(model, change)
    with pytest.raises(NetworkError, match="not among the stock Keras layers"):
        load_network(model)
    assert not (tmp_path / "MARK").exists()


def test_other_files_inside_are_refused(model):
    rewrite(model, more=[("../../evil.py", b"x")])
    with pytest.raises(
        NetworkError,
        match=r"expected the files config\.json, metadata\.json and model\.weights\.h5 inside, each once",
    ):
        check_saved(model)


def stored(change) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["layers/a/vars/0"] = [1.0]
        change(file)
    return content.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.__setitem__("layers/b", h5py.ExternalLink("/etc/passwd", "/")),
        lambda file: file.__setitem__("layers/b", h5py.SoftLink("/layers/a")),
        lambda file: file.create_dataset("layers/b", (4,), "u1", external=[("/etc/passwd", 0, 4)]),
        lambda file: file.create_virtual_dataset("layers/b", _elsewhere()),
    ],
    ids=["external link", "soft link", "external data", "virtual data"],
)
def test_weights_that_lead_out_of_the_file_are_refused(model, change):
    rewrite(model, weights=stored(change))
    with pytest.raises(NetworkError, match=r"its weights lead out of the file"):
        load_network(model)


def _elsewhere():
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (4,))
    return layout


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut"], ids=["empty", "text", "cut"])
def test_damaged_files_are_a_clear_error(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match=r"model\.keras: cannot be loaded as a Keras model"):
        load_network(path)


def test_weights_of_another_network_are_a_clear_error(model):
    rewrite(model, weights=stored(lambda file: None))
    with pytest.raises(NetworkError, match="its layers declare 1,318 weights, the file holds 1"):
        load_network(model)
    assert METADATA in zipfile.ZipFile(model).namelist()
