"""Export to LiteRT (formerly TensorFlow Lite): float, or int8 calibrated on given slices.

The file is checked with the real runtime before it gets its name.
"""

import logging
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from clamnet_tf.errors import ExportFailure, UserInputError
from clamnet_tf.export.contract import contract
from clamnet_tf.export.freezing import frozen_probability
from clamnet_tf.export.parity import check
from clamnet_tf.export.reference import RUNTIME_TOLERANCE, labels, runtime_reference
from clamnet_tf.export.source import refuse_attribution
from clamnet_tf.export.writing import Exported, leaves_nothing_behind, must_be_new, require_runtime
from clamnet_tf.files import atomic_path, write_json
from clamnet_tf.metrics.overlap import count_overlap, dice
from clamnet_tf.quiet import stderr_held_back
from clamnet_tf.serving.signatures import PREPARED

#: Least Dice of int8 masks with float masks; with less the file is useless and not kept.
LEAST_AGREEMENT = 0.8
MOST_CALIBRATED, MOST_MEASURED = 100, 400


def export_litert(source, out: Path, *, slices=None) -> Exported:
    """Write <out>/<name>.tflite, or with `slices` <name>_int8.tflite, and <file>.json, its contract with
    measurements.

    Weights and activations of the int8 file have 8 bits; its input and output stay float32.

    Args:
        source: export.source.Source.
        out: Folder for the files.
        slices: CalibrationSlices to calibrate and measure on; None: a float file.

    Raises:
        EnvironmentFailure: ai-edge-litert is not installed.
        UserInputError: The slices have another shape, nothing is marked in them, or files are in the way.
        NetworkError: The marks are an attribution, which needs gradients.
        ExportFailure: The file does not give what the network gives; nothing is left behind.
    """
    refuse_attribution(source, "litert")
    require_runtime("ai_edge_litert", "ai-edge-litert")
    path = Path(out) / f"{source.name}{'_int8' if slices is not None else ''}.tflite"
    described = path.with_name(f"{path.name}.json")
    must_be_new(path, described)
    if slices is not None and slices.images.shape[1:] != (source.side, source.side, source.channels):
        raise UserInputError(
            f"--calibrate: expected slices of shape {(source.side, source.side, source.channels)}, as the "
            f"network takes them; received {slices.images.shape[1:]}."
        )
    with leaves_nothing_behind(path.parent):
        with atomic_path(path) as temporary:
            temporary.write_bytes(converted(frozen_probability(source), slices))
            facts = {"bytes": temporary.stat().st_size}
            if slices is None:
                facts["largest_difference"] = check(
                    "litert", temporary, runtime_reference(source, RUNTIME_TOLERANCE)
                )[PREPARED]
            else:
                facts |= _agreement(source, temporary, slices)
            write_json(described, {**contract(source, kind="litert"), "measured": facts})
    return Exported(path, facts, tuple(_in_words(facts)))


def converted(function, slices) -> bytes:
    """Return a LiteRT file of a frozen function; int8 when `slices` are given."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    with stderr_held_back(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Statistics for quantized inputs", category=UserWarning
        )  # they come from the slices
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        if slices is not None:
            chosen = slices.images[_spread(len(slices.images), MOST_CALIBRATED, odd=False)]
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [np.asarray(image[None], np.float32)] for image in chosen
            )
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
                tf.lite.OpsSet.TFLITE_BUILTINS,
            ]
        return converter.convert()


def _spread(count: int, most: int, *, odd: bool) -> np.ndarray:
    """Return at most `most` row numbers, evenly spread over the even rows, or over the odd ones.

    Calibration uses the even rows only.
    """
    rows = np.arange(1 if odd and count > 1 else 0, count, 2)
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))]


def _agreement(source, path: Path, slices) -> dict:
    """Measure the Dice over all slices together: int8 against float masks, and both against the truth where
    known.
    """
    rows = _spread(len(slices.images), MOST_MEASURED, odd=True)
    images, organ = np.asarray(slices.images[rows], np.float32), np.asarray(slices.organ[rows], bool)
    float_maps = source.original(images)
    int8_maps = run_litert(path, images).reshape(float_maps.shape)
    if not np.isfinite(int8_maps).all():
        raise ExportFailure(
            f"{path.name}: the int8 network gives values that are not finite. Nothing is kept. Use the "
            f"float file."
        )
    class_numbers = 1 + np.arange(float_maps.shape[-1])
    masks = {
        name: labels(source, maps, organ)[..., None] == class_numbers
        for name, maps in (("float", float_maps), ("int8", int8_maps))
    }
    facts = {
        "calibrated_on": len(_spread(len(slices.images), MOST_CALIBRATED, odd=False)),
        "measured_on": len(rows),
        "mean_difference": float(np.abs(float_maps - int8_maps).mean()),
        "dice_with_float_masks": dice(count_overlap(masks["float"], masks["int8"])),
    }
    with_truth = [
        index for index, row in enumerate(rows) if slices.truth is not None and slices.truth[row] is not None
    ]
    if any(
        slices.truth[rows[index]].any() for index in with_truth
    ):  # normal slices alone say nothing of overlap
        truth = np.stack([slices.truth[rows[index]] for index in with_truth])[..., None] == class_numbers
        facts |= {
            f"dice_with_truth_{name}": dice(count_overlap(truth, mask[with_truth]))
            for name, mask in masks.items()
        } | {"slices_with_truth": len(with_truth)}
    agreed = facts["dice_with_float_masks"]
    if agreed is None:
        raise UserInputError(
            "--calibrate: the float network marks nothing in these slices, so int8 masks cannot be "
            "compared. Give images with lesions."
        )
    if agreed < LEAST_AGREEMENT:
        raise ExportFailure(
            f"{path.name}: expected a Dice of at least {LEAST_AGREEMENT} between int8 masks and float masks; "
            f"received {agreed:.3f}. Nothing is kept. Calibrate on more images of the kind that will be "
            f"marked, or use the float file."
        )
    return facts


def run_litert(path: Path, images: np.ndarray, threads: int | None = None) -> np.ndarray:
    """Run a LiteRT file slice by slice with the real runtime.

    Args:
        path: The file.
        images: (N, side, side, C) float32.
        threads: Number of threads; None: the runtime's default.

    Returns:
        (N, side, side) float32, or (N, side, side, classes) with several classes.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(entry["index"], (1, *images.shape[1:]))
    interpreter.allocate_tensors()
    answers = []
    for image in images:
        interpreter.set_tensor(entry["index"], image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(result["index"])[0])
    return np.stack(answers)


def _in_words(facts: dict):
    """Yield the measurements as lines for the user."""
    yield f"{facts['bytes'] / 1e6:.2f} MB"
    if "dice_with_float_masks" in facts:
        yield (
            f"int8, calibrated on {facts['calibrated_on']} slices; on {facts['measured_on']} others its "
            f"masks have a Dice of {facts['dice_with_float_masks']:.3f} with those of the float network"
        )
    if "dice_with_truth_int8" in facts:
        count = facts["slices_with_truth"]
        yield (
            f"Dice with the truth ({count} slices together): float {facts['dice_with_truth_float']:.3f}, "
            f"int8 {facts['dice_with_truth_int8']:.3f}"
        )
