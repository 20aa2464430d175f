"""Choose what computes the network of a run: TensorFlow, or ONNX Runtime from a model.onnx beside it.

Importing TensorFlow takes seconds, so nothing here loads it or ONNX Runtime.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.errors import ClamnetError, EnvironmentFailure, RunError
from clamnet_tf.inference.head_predictor import HeadPredictor
from clamnet_tf.networks.declared import declared_outputs
from clamnet_tf.networks.onnx_file import MODEL_SHA256, read_onnx

AUTO, TENSORFLOW, ONNXRUNTIME = ENGINES = ("auto", "tensorflow", "onnxruntime")


@dataclass(frozen=True)
class EngineChoice:
    """Hold an engine, and why it was chosen, in words."""

    name: str
    reason: str


def choose_engine(asked: str, run) -> EngineChoice:
    """Choose the engine of a run's network.

    Args:
        asked: "tensorflow", "onnxruntime", or "auto": ONNX Runtime where it is installed and the run has a
            model.onnx of its weights, else TensorFlow.
        run: RunFolder or zoo entry.

    Raises:
        EnvironmentFailure: The engine, or with "auto" any engine, is not installed.
        RunError: ONNX Runtime is asked for, and the run has no model.onnx, or one of other weights.
        NetworkError: ONNX Runtime is asked for, and model.onnx is damaged or refused.
    """
    if asked == TENSORFLOW:
        return EngineChoice(TENSORFLOW, "as asked")
    obstacle = _obstacle(run)
    if obstacle is None:
        return EngineChoice(ONNXRUNTIME, f"{run.onnx.name} beside {run.model.name}")
    if asked == ONNXRUNTIME:
        raise obstacle
    if importlib.util.find_spec("tensorflow") is None:
        raise EnvironmentFailure(f"TensorFlow is not installed, and without it: {obstacle}")
    return EngineChoice(TENSORFLOW, f"not ONNX Runtime: {obstacle}")


def load_predictor(choice: str, run, section, attribution=None) -> HeadPredictor:
    """Return the predictor of a run's network.

    Args:
        choice: "tensorflow" or "onnxruntime".
        run: RunFolder or zoo entry.
        section: recipe section `inference`.
        attribution: recipe section `attribution`, or None.

    Raises:
        NetworkError: The network cannot be loaded, or has no such head.
        RunError: The network takes something other than slices.
    """
    if choice == ONNXRUNTIME:
        from clamnet_tf.inference.onnx_predictor import OnnxPredictor

        return OnnxPredictor(
            run.onnx, head=section.head, batch_size=section.batch_size, flip_views=section.flip_views
        )
    from clamnet_tf.inference.build import build_predictor
    from clamnet_tf.networks.saved import load_network

    network = load_network(run.model)
    if len(network.inputs) != 1 or len(network.inputs[0].shape) != 4:
        raise RunError(
            f"{run.model}: takes {len(network.inputs)} inputs of another form than slices; "
            f"{run.recipe.name} beside it is of another network."
        )
    return build_predictor(network, section, attribution)


def _holds_classifiers(run) -> bool:
    """Return whether the network of a run has no heads; False for one that cannot be read, whose loading says
    why.
    """
    try:
        return not all(name.startswith("head_") for name in declared_outputs(run.model))
    except ClamnetError:
        return False


def _obstacle(run) -> ClamnetError | None:
    """Return why ONNX Runtime cannot compute the network of a run, or None when it can."""
    if not run.onnx.is_file():
        if _holds_classifiers(run):
            return RunError(f"{run.model} holds classifiers, where only TensorFlow computes what they mark.")
        return RunError(f"there is no {run.onnx}; clamnet-tf zoo onnx {run.path} makes it.")
    if importlib.util.find_spec("onnxruntime") is None:
        return EnvironmentFailure("onnxruntime is not installed; pip install 'clamnet-tf[predict]'.")
    try:
        made_from = read_onnx(run.onnx).metadata.get(MODEL_SHA256)
    except ClamnetError as error:
        return error
    if made_from != hashlib.sha256(Path(run.model).read_bytes()).hexdigest():
        return RunError(
            f"{run.onnx} was made from other weights than those of {run.model}; make it again with "
            f"clamnet-tf zoo onnx {run.path}."
        )
    return None
