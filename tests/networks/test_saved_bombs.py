"""Model files that would take memory or time: refused from what they declare, in little time and memory of
their own.
"""

import io
import json
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.declared import (
    CONFIG,
    METADATA,
    WEIGHTS,
    check_contract,
    declared_weights,
    read_config,
)
from clamnet_tf.networks.saved import check_saved
from clamnet_tf.recipe.schema import NetworkSection

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIZE = {"depth": 2, "filters": [4, 6], "kernels": [3, 3]}
MOST_BYTES = 100_000_000  # that looking at any of these files may take


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "model.keras"
    build_network(NetworkSection(**SIZE), side=16, channels=1).save(path)
    return path


@pytest.fixture
def model(built, tmp_path):
    return Path(shutil.copy(built, tmp_path))


def rewrite(path, change=None, weights=None, compression=zipfile.ZIP_STORED, text=None):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in (CONFIG, METADATA, WEIGHTS)}
    if change:
        config = json.loads(parts[CONFIG])
        change(config)
        parts[CONFIG] = json.dumps(config).encode()
    if text is not None:
        parts[CONFIG] = text
    if weights is not None:
        parts[WEIGHTS] = weights
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def refusal(path):
    """The message; what it cost stays below MOST_BYTES."""
    tracemalloc.start()
    try:
        with pytest.raises(NetworkError) as caught:
            check_saved(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    return str(caught.value)


def layer(config, kind):
    return next(one for one in config["config"]["layers"] if one["class_name"] == kind)


@pytest.mark.parametrize(
    "kind, key, value, told",
    [
        ("Conv2D", "filters", 10**8, "has filters 100000000; expected 1 to 65,536"),
        ("Conv2D", "kernel_size", [60, 60], "its layers declare .* weights, the file holds"),
        ("Conv2D", "filters", 4096, "and gets 4096 channels|is to be built for"),
        ("Conv2D", "filters", "many", "has filters many"),
        ("Conv2D", "filters", -1, "has filters -1"),
        ("InputLayer", "batch_shape", [None, 10**9, 10**9, 1], "has side 1000000000"),
        ("InputLayer", "batch_shape", [None, 16, 16], r"takes \[None, 16, 16\]"),
        ("GroupNormalization", "name", "other", "has inputs that no layer makes"),
    ],
)
def test_sizes_are_checked_before_anything_is_allocated(model, kind, key, value, told):
    rewrite(model, lambda config: layer(config, kind)["config"].update({key: value}))
    import re

    assert re.search(told, refusal(model))


def test_a_layer_that_is_to_be_built_larger_than_its_input(model):
    """Keras allocates what build_config says, whatever the layers before make."""
    rewrite(
        model,
        lambda config: layer(config, "Conv2D").update(build_config={"input_shape": [None, 16, 16, 60_000]}),
    )
    assert "is to be built for [None, 16, 16, 60000], and gets 1 channels" in refusal(model)


@pytest.mark.parametrize("layers", [[], None, "x", {}])
def test_no_layers(model, layers):
    rewrite(model, lambda config: config["config"].update(layers=layers))
    assert "cannot be loaded as a Keras model" in refusal(model)


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"config": ' * 50_000, b'{"a": ' + b"9" * 5000 + b"}", b"[1]", b"null", b"\xff", b""],
)
def test_configurations_that_are_none(model, text):
    rewrite(model, text=text)
    assert "cannot be loaded as a Keras model (config.json" in refusal(model)


def hdf5(fill):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file)
    return stream.getvalue()


@pytest.mark.parametrize(
    "fill, told",
    [
        (
            lambda file: file.create_dataset("w", (10**9,), "f4", chunks=(10**6,)),
            "announce 4,000,000,000 bytes in 'w', of which 0 are stored",
        ),
        (
            lambda file: file.create_dataset("w", data=np.zeros(10**6), compression="gzip"),
            "compressed or not there",
        ),
        (lambda file: file.__setitem__("named", np.dtype("f4")), "hold 'named', a datatype"),
        (lambda file: file.create_dataset("w", data=h5py.Empty("f4")), "where numbers are expected"),
        (lambda file: file.create_dataset("w", data=["text"]), "of type object, where numbers are expected"),
        (
            lambda file: file.create_group("a").__setitem__("again", file["a"]),
            "its layers declare",
        ),  # a circle: it ends
    ],
    ids=["not allocated", "compressed", "named datatype", "empty", "texts", "circle"],
)
def test_weights_are_numbers_that_are_there(model, fill, told):
    rewrite(model, weights=hdf5(fill))
    assert told in refusal(model)


def test_weights_packed_a_hundred_to_one(model):
    rewrite(model, weights=bytes(250_000_000), compression=zipfile.ZIP_DEFLATED)
    assert "more than a network of its size needs" in refusal(model)


def test_a_pipe_is_no_model(tmp_path):
    import os

    os.mkfifo(tmp_path / "model.keras")
    assert "it is no regular file" in refusal(tmp_path / "model.keras")


def test_what_is_declared_is_what_keras_builds(built):
    import keras

    assert (
        declared_weights(built, read_config(built))
        == keras.saving.load_model(built, compile=False).count_params()
    )


def test_every_zoo_network_declares_what_it_holds():
    zoo = Path(__file__).parents[2] / "zoo"
    paths = sorted(zoo.glob("*/model.keras"))
    assert paths
    for path in paths:
        check_saved(path)


def test_another_network_than_the_entry_declares(built):
    check_contract(built, side=16, channels=1, heads=["head_1"])
    for other in ({"side": 32}, {"channels": 3}, {"heads": ["head_1", "head_2"]}):
        with pytest.raises(NetworkError, match="its entry declares one input of"):
            check_contract(built, **{"side": 16, "channels": 1, "heads": ["head_1"], **other})
