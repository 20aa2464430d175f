"""Load an exported file in a fresh process that never loads clamnet_tf, feed it, and compare its outputs.

It prints one JSON line.

    python -c <this text> savedmodel|litert|onnx MODEL REFERENCE.npz

REFERENCE holds arrays "<signature>/<call>/in/<name>" (for files ".../in/<name>/<number>", their bytes),
"<signature>/<call>/out/<name>", "<signature>/<call>/tolerance", and "threshold" (one per class). Outputs of
integers or text must be equal. "mask" may differ where a probability lies within the tolerance of its
threshold, or where two classes lie above theirs.
"""

import collections
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

# Python and a session run the same operations, in another order of summation at most: 1e-5, or the tolerance
# itself where it is as wide as that of gradients through clipped activations.
SESSION, WIDE = 1e-5, 1e-2


def savedmodel(path, signatures, threshold):
    """Return a function that calls a signature of a SavedModel."""
    import tensorflow as tf

    if "encoded_dicom" in signatures:
        from tensorflow_io.python.ops import core_ops

        core_ops.io_decode_dicom_image  # noqa: B018 - its operations are loaded when one is first asked for

    functions = tf.saved_model.load(path).signatures
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        definitions = tf.compat.v1.saved_model.loader.load(session, ["serve"], path).signature_def

    def call(name, inputs, tolerance):
        """Call a signature in Python and in a session, and return the outputs.

        tensorflow_model_server uses a session, whose loader restores variables in its own way.
        """
        outputs = {
            key: value.numpy()
            for key, value in functions[name](
                **{key: tf.constant(value) for key, value in inputs.items()}
            ).items()
        }
        definition = definitions[name]
        feed = {
            definition.inputs[key].name: np.array(value, object) if isinstance(value, list) else value
            for key, value in inputs.items()
        }
        session_outputs = session.run({key: value.name for key, value in definition.outputs.items()}, feed)
        limit = tolerance if tolerance >= WIDE else SESSION
        _, wrong = compare(session_outputs, outputs, limit, threshold)
        if wrong:
            raise SystemExit(f"{name}: {wrong}, between tf.saved_model.load and a session")
        return outputs

    return call


def litert(path, *_):
    """Return a function that runs a LiteRT file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def call(_, inputs, tolerance):
        (image,) = inputs.values()
        interpreter.resize_tensor_input(entry["index"], image.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], image)
        interpreter.invoke()
        return {"probability": interpreter.get_tensor(result["index"])}

    return call


def onnx(path, *_):
    """Return a function that runs an ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda _, inputs, tolerance: dict(zip(names, session.run(names, inputs)))


def encoded(value):
    """Return text or bytes as bytes."""
    return value if isinstance(value, bytes) else str(value).encode()


def compare(outputs, wanted, tolerance, threshold):
    """Return (largest difference of numbers, what is wrong in words or None)."""
    if set(outputs) != set(wanted):
        return 0.0, f"outputs {sorted(outputs)} instead of {sorted(wanted)}"
    largest = 0.0
    for key, expected in wanted.items():
        actual = np.asarray(outputs[key])
        if expected.dtype.kind in "SO" or actual.dtype.kind in "SO":
            if list(map(encoded, actual.ravel())) != list(map(encoded, expected.ravel())):
                return largest, f"{key} differs"
            continue
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            return (
                largest,
                f"{key} is {actual.dtype} {actual.shape} instead of {expected.dtype} {expected.shape}",
            )
        if actual.dtype.kind == "f":
            worst = float(np.abs(actual - expected).max()) if actual.size else 0.0
            largest = max(largest, worst)
            if not worst <= tolerance:
                return worst, f"{key} differs by {worst:.2g}, {tolerance:.2g} is allowed"
        elif key == "mask":
            maps = wanted["probability"].reshape(*expected.shape, -1)
            clear = (np.abs(maps - threshold) > tolerance).all(-1) & ((maps >= threshold).sum(-1) < 2)
            if (actual != expected)[clear].any():
                return largest, f"mask differs in {int((actual != expected)[clear].sum())} pixels"
        elif (actual != expected).any():
            return largest, f"{key} differs"
    return largest, None


def read(reference):
    """Return (threshold, {(signature, call): {"in": ..., "out": ..., "tolerance": ...}})."""
    calls = collections.defaultdict(lambda: {"in": {}, "out": {}})
    with np.load(reference) as arrays:
        threshold = arrays["threshold"]
        for name in arrays.files:
            signature, *parts = name.split("/")
            if len(parts) == 2:
                calls[signature, parts[0]]["tolerance"] = float(arrays[name])
            elif len(parts) == 3:
                calls[signature, parts[0]][parts[1]][parts[2]] = arrays[name]
            elif len(parts) == 4:
                calls[signature, parts[0]]["in"].setdefault(parts[2], []).append(arrays[name].tobytes())
    return threshold, calls


def main(kind, path, reference):
    """Compare all calls and print the result."""
    threshold, calls = read(reference)
    run = {"savedmodel": savedmodel, "litert": litert, "onnx": onnx}[kind](
        path, {signature for signature, _ in calls}, threshold
    )
    answer = {"differences": {}, "wrong": []}
    for (signature, _), call in calls.items():
        outputs = run(signature, call["in"], call["tolerance"])
        largest, wrong = compare(outputs, call["out"], call["tolerance"], threshold)
        answer["differences"][signature] = max(largest, answer["differences"].get(signature, 0.0))
        if wrong:
            answer["wrong"].append(f"{signature}: {wrong}")
    answer["knows_clamnet_tf"] = any(name.split(".")[0] == "clamnet_tf" for name in sys.modules)
    print(json.dumps(answer))


main(*sys.argv[1:])
