"""model.onnx in ONNX Runtime against the Keras network itself, called without any predictor."""

import numpy as np
import pytest

from clamnet_tf.errors import ExportFailure, NetworkError, ZooError
from clamnet_tf.export import heads_onnx
from clamnet_tf.export.heads_onnx import write_heads_onnx
from clamnet_tf.inference.onnx_predictor import OnnxPredictor
from clamnet_tf.networks.average import average_networks
from clamnet_tf.networks.build import build_network
from clamnet_tf.recipe.schema import NetworkSection

# Keras 3.15 saving under NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CLOSE = {"rtol": 0, "atol": 2e-4}  # float32 sums in another order


def network(seed, **settings):
    """A network of three levels, with weights of its own."""
    section = NetworkSection(depth=3, filters=[4, 6, 8], kernels=[3, 3, 3], **settings)
    result = build_network(section, side=16, channels=2)
    rng = np.random.default_rng(seed)
    for layer in result.layers:
        layer.set_weights([weight + rng.normal(0, 0.1, weight.shape) for weight in layer.get_weights()])
    return result


def saved(network, folder):
    """model.onnx of a network, beside its model.keras."""
    network.save(folder / "model.keras")
    write_heads_onnx(network, folder / "model.keras", folder / "model.onnx")
    return folder / "model.onnx"


def lesion(outputs, name):
    """The lesion channels of a head, (N, H, W, M)."""
    value = np.asarray(outputs[name])
    return value if value.shape[-1] == 1 else value[..., 1:]


@pytest.fixture(scope="module")
def slices():
    return np.random.default_rng(7).normal(size=(5, 16, 16, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def plain():
    return network(0, norm="group", skips="nested")


@pytest.fixture(scope="module")
def onnx_file(plain, tmp_path_factory):
    return saved(plain, tmp_path_factory.mktemp("plain"))


def test_heads_are_those_of_the_network(plain, onnx_file, slices):
    outputs, predictor = plain(slices, training=False), OnnxPredictor(onnx_file, batch_size=2)
    assert predictor.head_names == sorted(outputs) and len(outputs) > 1 and predictor.folds == 1
    assert predictor.input_shape == (16, 16, 2)
    heads = predictor.heads(slices)
    assert heads.dtype == np.float32
    for name, found in zip(predictor.head_names, heads):
        np.testing.assert_allclose(found, lesion(outputs, name), **CLOSE)
    mean = np.mean([lesion(outputs, name) for name in sorted(outputs)], axis=0)
    np.testing.assert_allclose(predictor(slices), mean, **CLOSE)
    np.testing.assert_allclose(OnnxPredictor(onnx_file, head=1)(slices), lesion(outputs, "head_1"), **CLOSE)
    assert predictor.members() is predictor


def test_flipped_views_are_averaged(plain, onnx_file, slices):
    upright, mirrored = plain(slices, training=False), plain(slices[:, :, ::-1], training=False)
    wanted = (lesion(upright, "head_2") + lesion(mirrored, "head_2")[:, :, ::-1]) / 2
    found = OnnxPredictor(onnx_file, head=2, flip_views=True)(slices)
    np.testing.assert_allclose(found, wanted, **CLOSE)
    assert np.abs(found - lesion(upright, "head_2")).max() > 1e-3  # the views do differ


def test_batch_norms_are_those_of_inference(slices, tmp_path):
    batch = network(1, norm="batch")
    found = OnnxPredictor(saved(batch, tmp_path), head=1)(slices)
    np.testing.assert_allclose(found, lesion(batch(slices, training=False), "head_1"), **CLOSE)


def test_an_average_has_the_heads_of_its_members(slices, tmp_path):
    members = [network(seed, norm="none", skips="nested") for seed in (2, 3)]
    predictor = OnnxPredictor(saved(average_networks(members, name="both"), tmp_path))
    assert predictor.folds == 2 and all(name.startswith("head_") for name in predictor.head_names)
    opinions = predictor.members()
    wanted = [(fold, name) for fold in (1, 2) for name in predictor.head_names]
    assert opinions.head_names == [f"fold_{fold}_{name}" for fold, name in wanted]
    for (fold, name), found in zip(wanted, opinions.heads(slices)):
        np.testing.assert_allclose(found, lesion(members[fold - 1](slices, training=False), name), **CLOSE)


def test_a_file_that_gives_something_else_is_not_written(plain, tmp_path, monkeypatch):
    plain.save(tmp_path / "model.keras")
    other = network(9, norm="group", skips="nested")
    converted = heads_onnx._converted
    monkeypatch.setattr(heads_onnx, "_converted", lambda network, sha256: converted(other, sha256))
    with pytest.raises(ExportFailure, match="ONNX Runtime gives other probabilities than TensorFlow"):
        write_heads_onnx(plain, tmp_path / "model.keras", tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_a_head_that_is_not_there_and_a_file_of_another_form(onnx_file, tmp_path):
    with pytest.raises(NetworkError, match="expected mean or one of head_1, .*; received 7"):
        OnnxPredictor(onnx_file, head=7)
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["score"])],
        "other",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 4])],
    )
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "other.onnx").write_bytes(other.SerializeToString())
    with pytest.raises(NetworkError, match="expected one input of slices"):
        OnnxPredictor(tmp_path / "other.onnx")


def test_a_classifier_gets_no_file(tmp_path):
    from clamnet_tf.networks.classifier import build_classifier
    from clamnet_tf.zoo.onnx_copy import _heads_of

    section = NetworkSection(depth=2, filters=[2, 3], kernels=[3, 3])
    build_classifier(section, side=16, channels=1).save(tmp_path / "model.keras")
    with pytest.raises(ZooError, match="received one that classifies slices"):
        _heads_of(tmp_path / "model.keras")


def test_batches_that_are_computed_at_once_are_those_of_one_at_a_time(onnx_file, slices, monkeypatch):
    predictor = OnnxPredictor(onnx_file, batch_size=1, flip_views=True)
    alone = np.concatenate([predictor.heads(one[None]) for one in slices], axis=1)
    for processors in (1, 2, 3):
        monkeypatch.setattr("clamnet_tf.threads._processors", lambda count=processors: count)
        assert np.array_equal(predictor.heads(slices), alone)
