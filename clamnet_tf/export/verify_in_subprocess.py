"""Run by a fresh process that has never seen clamnet_tf: load an exported file, feed it, compare. Prints one
JSON line.

    python -c <this text> savedmodel|litert|onnx MODEL REFERENCE.npz

REFERENCE holds arrays "<signature>/<call>/in/<name>" (for files ".../in/<name>/<number>", their bytes),
"<signature>/<call>/out/<name>", "<signature>/<call>/tolerance", and "threshold". Outputs of whole numbers or
text must be equal; "mask" may differ where a probability lies within the tolerance of its cut ("threshold"
holds one per class), or two classes lie above theirs.
"""

import collections
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np


def savedmodel(path, signatures):
    import tensorflow as tf

    if "encoded_dicom" in signatures:
        from tensorflow_io.python.ops import core_ops

        core_ops.io_decode_dicom_image  # noqa: B018 - its operations are loaded when one is first asked for

    functions = tf.saved_model.load(path).signatures
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        definitions = tf.compat.v1.saved_model.loader.load(session, ["serve"], path).signature_def

    def call(name, inputs):
        """As in Python, and as tensorflow_model_server does it: by a session, whose loader restores variables
        in its own way.
        """
        found = {
            key: value.numpy()
            for key, value in functions[name](
                **{key: tf.constant(value) for key, value in inputs.items()}
            ).items()
        }
        definition = definitions[name]
        fed = {
            definition.inputs[key].name: np.array(value, object) if isinstance(value, list) else value
            for key, value in inputs.items()
        }
        again = session.run({key: value.name for key, value in definition.outputs.items()}, fed)
        for key, value in found.items():
            if not np.array_equal(value, again[key]) and not np.allclose(value, again[key], atol=1e-6):
                raise SystemExit(f"{name}: {key} differs between tf.saved_model.load and a session")
        return found

    return call


def litert(path, _):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def call(_, inputs):
        (image,) = inputs.values()
        interpreter.resize_tensor_input(entry["index"], image.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], image)
        interpreter.invoke()
        return {"probability": interpreter.get_tensor(result["index"])}

    return call


def onnx(path, _):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda _, inputs: dict(zip(names, session.run(names, inputs)))


def compare(found, wanted, tolerance, threshold):
    """(largest difference of numbers, what is wrong in words or None)"""
    if set(found) != set(wanted):
        return 0.0, f"outputs {sorted(found)} instead of {sorted(wanted)}"
    largest = 0.0
    for key, expected in wanted.items():
        got = np.asarray(found[key])
        if expected.dtype.kind in "SO" or got.dtype.kind in "SO":
            if [bytes(value) for value in got.ravel()] != [str(value).encode() for value in expected.ravel()]:
                return largest, f"{key} differs"
            continue
        if got.shape != expected.shape or got.dtype != expected.dtype:
            return largest, f"{key} is {got.dtype} {got.shape} instead of {expected.dtype} {expected.shape}"
        if got.dtype.kind == "f":
            worst = float(np.abs(got - expected).max()) if got.size else 0.0
            largest = max(largest, worst)
            if not worst <= tolerance:
                return worst, f"{key} differs by {worst:.2g}, {tolerance:.2g} is allowed"
        elif key == "mask":
            maps = wanted["probability"].reshape(*expected.shape, -1)
            clear = (np.abs(maps - threshold) > tolerance).all(-1) & ((maps >= threshold).sum(-1) < 2)
            if (got != expected)[clear].any():
                return largest, f"mask differs in {int((got != expected)[clear].sum())} pixels"
        elif (got != expected).any():
            return largest, f"{key} differs"
    return largest, None


def read(reference):
    """(threshold, {(signature, call): {"in": .., "out": .., "tolerance": ..}})"""
    calls = collections.defaultdict(lambda: {"in": {}, "out": {}})
    with np.load(reference) as arrays:
        threshold = arrays["threshold"]
        for name in arrays.files:
            signature, *place = name.split("/")
            if len(place) == 2:
                calls[signature, place[0]]["tolerance"] = float(arrays[name])
            elif len(place) == 3:
                calls[signature, place[0]][place[1]][place[2]] = arrays[name]
            elif len(place) == 4:
                calls[signature, place[0]]["in"].setdefault(place[2], []).append(arrays[name].tobytes())
    return threshold, calls


def main(kind, path, reference):
    threshold, calls = read(reference)
    run = {"savedmodel": savedmodel, "litert": litert, "onnx": onnx}[kind](
        path, {signature for signature, _ in calls}
    )
    answer = {"differences": {}, "wrong": []}
    for (signature, _), call in calls.items():
        largest, wrong = compare(run(signature, call["in"]), call["out"], call["tolerance"], threshold)
        answer["differences"][signature] = max(largest, answer["differences"].get(signature, 0.0))
        if wrong:
            answer["wrong"].append(f"{signature}: {wrong}")
    answer["knows_clamnet_tf"] = any(name.split(".")[0] == "clamnet_tf" for name in sys.modules)
    print(json.dumps(answer))


main(*sys.argv[1:])
