"""LiteRT (formerly TensorFlow Lite): float, or int8 calibrated on given slices; checked with the real runtime
before it gets its name.
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
from clamnet_tf.export.writing import Exported, leaves_nothing_behind, must_be_new, require_runtime
from clamnet_tf.files import atomic_path, write_json
from clamnet_tf.metrics.overlap import count_overlap, dice
from clamnet_tf.quiet import stderr_held_back
from clamnet_tf.serving.signatures import PREPARED

#: Least Dice of int8 masks with float masks; below, the file is of no use and is not kept.
LEAST_AGREEMENT = 0.8
MOST_CALIBRATED, MOST_MEASURED = 100, 400


def export_litert(source, out: Path, *, slices=None) -> Exported:
    """Write <out>/<name>.tflite, or with `slices` <name>_int8.tflite, and <file>.json, its contract with the
    figures.

    slices: to calibrate and measure on, None = a float file. images (N, side, side, C) float, prepared; organ
    (N, side, side) bool; truth: per slice a label map (side, side) or None where no mask is known, or None
    for all. Weights and activations of the int8 file are 8 bits, its input and output stay float32.

    Raises:
        EnvironmentFailure: ai-edge-litert is not installed. UserInputError: slices of another shape, or files
            in the way.
        ExportFailure: the file does not give what the network gives; nothing is left behind.
    """
    require_runtime("ai_edge_litert", "ai-edge-litert")
    path = Path(out) / f"{source.name}{'_int8' if slices is not None else ''}.tflite"
    described = path.with_name(f"{path.name}.json")
    must_be_new(path, described)
    if slices is not None and slices.images.shape[1:] != (source.side, source.side, source.channels):
        raise UserInputError(
            f"--calibrate: slices of shape {slices.images.shape[1:]}; the network takes "
            f"{(source.side, source.side, source.channels)}."
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
    """A LiteRT file of a frozen function; int8 when `slices` are given."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    with stderr_held_back(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Statistics for quantized inputs", category=UserWarning
        )  # they come from the slices
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        if slices is not None:
            chosen = slices.images[_spread(len(slices.images), MOST_CALIBRATED, odd=False)]
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([np.asarray(one[None], np.float32)] for one in chosen)
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
                tf.lite.OpsSet.TFLITE_BUILTINS,
            ]
        return converter.convert()


def _spread(count: int, most: int, *, odd: bool) -> np.ndarray:
    """At most `most` row numbers, evenly spread over the even rows, or over the odd ones (which calibration
    does not see).
    """
    rows = np.arange(1 if odd and count > 1 else 0, count, 2)
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))]


def _agreement(source, path: Path, slices) -> dict:
    """Dice of all measured slices together: int8 with float masks, and both with the truth where it is
    known.
    """
    rows = _spread(len(slices.images), MOST_MEASURED, odd=True)
    images, organ = np.asarray(slices.images[rows], np.float32), np.asarray(slices.organ[rows], bool)
    ours = source.original(images)
    theirs = run_litert(path, images).reshape(ours.shape)
    if not np.isfinite(theirs).all():
        raise ExportFailure(
            f"{path.name}: the int8 network gives values that are not finite. Nothing is kept; use the "
            f"float file."
        )
    numbers = 1 + np.arange(ours.shape[-1])
    masks = {
        name: labels(source, maps, organ)[..., None] == numbers
        for name, maps in (("float", ours), ("int8", theirs))
    }
    facts = {
        "calibrated_on": len(_spread(len(slices.images), MOST_CALIBRATED, odd=False)),
        "measured_on": len(rows),
        "mean_difference": float(np.abs(ours - theirs).mean()),
        "dice_with_float_masks": dice(count_overlap(masks["float"], masks["int8"])),
    }
    known = [
        place for place, row in enumerate(rows) if slices.truth is not None and slices.truth[row] is not None
    ]
    if any(slices.truth[rows[place]].any() for place in known):  # normal slices alone say nothing of overlap
        truth = np.stack([slices.truth[rows[place]] for place in known])[..., None] == numbers
        facts |= {
            f"dice_with_truth_{name}": dice(count_overlap(truth, mask[known])) for name, mask in masks.items()
        } | {"slices_with_truth": len(known)}
    agreed = facts["dice_with_float_masks"]
    if agreed is None:
        raise UserInputError(
            "--calibrate: the float network marks nothing in these slices, so that int8 masks cannot be "
            "compared. Give images with lesions."
        )
    if agreed < LEAST_AGREEMENT:
        raise ExportFailure(
            f"{path.name}: int8 masks and float masks agree with a Dice of {agreed:.3f} only; at least "
            f"{LEAST_AGREEMENT} is expected. "
            "Nothing is kept. Calibrate on more images of the kind that will be marked, or use the float "
            "file."
        )
    return facts


def run_litert(path: Path, images: np.ndarray, threads: int | None = None) -> np.ndarray:
    """(N, side, side, C) float32 -> (N, side, side[, M]) float32 by the real runtime, slice by slice."""
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
    yield f"{facts['bytes'] / 1e6:.2f} MB"
    if "dice_with_float_masks" in facts:
        yield (
            f"int8, calibrated on {facts['calibrated_on']} slices; on {facts['measured_on']} others its "
            f"masks have a Dice of "
            f"{facts['dice_with_float_masks']:.3f} with the float network's"
        )
    if "dice_with_truth_int8" in facts:
        count = facts["slices_with_truth"]
        yield f"Dice with the truth ({count} slices together): float {facts['dice_with_truth_float']:.3f}, int8 {facts['dice_with_truth_int8']:.3f}"
