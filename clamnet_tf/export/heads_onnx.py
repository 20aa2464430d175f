"""Make model.onnx, the network of a run with all of its heads, which `predict` runs without TensorFlow.

`clamnet-tf export --format onnx` (onnx.py) writes what another program needs: one map per class. This file
has the outputs of model.keras itself: head_1, head_2, .., and for an average also fold_1_head_1, .. of its
members.
"""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np

from clamnet_tf.errors import ExportFailure
from clamnet_tf.export.onnx_graph import onnx_graph
from clamnet_tf.export.reference import RUNTIME_TOLERANCE, prepared_slices
from clamnet_tf.export.writing import require_runtime
from clamnet_tf.files import atomic_path
from clamnet_tf.inference.onnx_predictor import OnnxPredictor
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.onnx_file import MODEL_SHA256, read_onnx


def converter_is_installed() -> bool:
    """Return whether onnx and onnxruntime are installed, which `write_heads_onnx` needs."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def write_heads_onnx(network, model: Path, path: Path) -> float:
    """Write model.onnx; it gets its name after ONNX Runtime gave with it what the network gives.

    Args:
        network: Keras model with heads, loaded from `model`.
        model: Its model.keras, whose sha256 is written into the file.
        path: File to write; an existing one is replaced.

    Returns:
        The largest difference of a probability from TensorFlow's, on slices of rings, spots and noise.

    Raises:
        EnvironmentFailure: onnx or onnxruntime is not installed.
        ExportFailure: The file gives other numbers; it was not written.
    """
    require_runtime("onnx", "onnx")
    require_runtime("onnxruntime", "onnxruntime")
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(_converted(network, hashlib.sha256(Path(model).read_bytes()).hexdigest()))
        read_onnx(temporary)
        difference = _largest_difference(network, temporary)
        if not difference <= RUNTIME_TOLERANCE:
            raise ExportFailure(
                f"{path}: ONNX Runtime gives other probabilities than TensorFlow: largest difference "
                f"{difference:.2g}, allowed {RUNTIME_TOLERANCE:g}. It was not written. Please report this."
            )
    return difference


def _converted(network, model_sha256: str) -> bytes:
    """Return an ONNX file of a network, unchecked."""
    config = json.loads(network.to_json())["config"]
    return onnx_graph(
        config, lambda name: network.get_layer(name).get_weights(), {MODEL_SHA256: model_sha256}
    )


def _largest_difference(network, path: Path) -> float:
    """Return the largest difference of the heads, and of the members' heads, in both engines."""
    _, side, _, channels = network.inputs[0].shape
    images = prepared_slices(side, channels)
    differences: list[float] = []
    ours, theirs = Predictor(network), OnnxPredictor(path)
    for one, other in ((ours, theirs), (ours.members(), theirs.members())):
        if one.head_names != other.head_names or one.classes != other.classes:
            return float("inf")
        differences.append(float(np.max(np.abs(one.heads(images) - other.heads(images)))))
        if ours.folds == 1:
            break
    return float(np.max(differences))  # NaN when one is
