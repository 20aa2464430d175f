"""Export to ONNX with tf2onnx; the file is checked with onnxruntime before it gets its name."""

import logging
from pathlib import Path

from clamnet_tf.export.contract import contract
from clamnet_tf.export.freezing import probability_function
from clamnet_tf.export.parity import check
from clamnet_tf.export.reference import RUNTIME_TOLERANCE, runtime_reference
from clamnet_tf.export.source import refuse_attribution
from clamnet_tf.export.writing import Exported, leaves_nothing_behind, must_be_new, require_runtime
from clamnet_tf.files import atomic_path, write_json
from clamnet_tf.quiet import stderr_held_back
from clamnet_tf.serving.signatures import PREPARED

#: The version of ONNX's operators; onnxruntime reads it since 1.15.
OPSET = 18


def export_onnx(source, out: Path) -> Exported:
    """Write <out>/<name>.onnx and <name>.onnx.json, its contract.

    The input `images` is (batch, side, side, C) float32, the output `probability` (batch, side, side)
    float32, with several classes (batch, side, side, classes), for any batch size.

    Args:
        source: export.source.Source.
        out: Folder for the files.

    Raises:
        EnvironmentFailure: tf2onnx or onnxruntime is not installed.
        UserInputError: Files are in the way.
        NetworkError: The marks are an attribution, which needs gradients.
        ExportFailure: The file does not give what the network gives; nothing is left behind.
    """
    refuse_attribution(source, "onnx")
    require_runtime("tf2onnx", "tf2onnx")
    require_runtime("onnxruntime", "onnxruntime")
    path = Path(out) / f"{source.name}.onnx"
    described = path.with_name(f"{path.name}.json")
    must_be_new(path, described)
    with leaves_nothing_behind(path.parent):
        with atomic_path(path) as temporary:
            temporary.write_bytes(converted(source))
            facts = {
                "bytes": temporary.stat().st_size,
                "largest_difference": check("onnx", temporary, runtime_reference(source, RUNTIME_TOLERANCE))[
                    PREPARED
                ],
            }
            write_json(described, {**contract(source, kind="onnx"), "opset": OPSET, "measured": facts})
    return Exported(path, facts, (f"{facts['bytes'] / 1e6:.2f} MB, opset {OPSET}",))


def converted(source) -> bytes:
    """Return an ONNX file, unchecked."""
    import tf2onnx

    function = probability_function(source)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with stderr_held_back():
        model, _ = tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=OPSET
        )
    return model.SerializeToString()
