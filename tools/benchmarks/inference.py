"""Measure inference: the exported forms against a plain tf.function of the stock network, one slice at a
time.
"""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from benchmarks.rounds import interleaved
from benchmarks.rows import milliseconds, ratio

from clamnet_tf.export.endpoints import Endpoints
from clamnet_tf.export.folding import folded
from clamnet_tf.export.freezing import frozen_probability
from clamnet_tf.export.litert import converted as to_litert
from clamnet_tf.export.onnx import converted as to_onnx
from clamnet_tf.export.source import Source
from clamnet_tf.inference.build import build_predictor
from clamnet_tf.networks.prune import prune
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.serving.identity import Identity
from clamnet_tf.serving.signatures import PREPARED

GROUP = "Inference"


def source_of(network, head) -> Source:
    """Return an export Source of an untrained network, without files, like export.source.source_of."""
    recipe = load_recipe("mri_carcinoma", [f"data.side={network.input.shape[1]}"])
    section = recipe.inference.model_copy(update={"head": head, "flip_views": False})
    part = network if head == "mean" else prune(network, head)
    original, predictor = (build_predictor(each, section, head=head) for each in (network, folded(part)))
    return Source(
        name="bench",
        original=original,
        predictor=predictor,
        side=network.input.shape[1],
        channels=network.input.shape[-1],
        names=("",),
        thresholds=(0.5,),
        rule="fixed",
        pooling_power=6.0,
        data=recipe.data,
        organ=recipe.organ,
        identity=Identity("0", "0", str(head), "no"),
        recipe_text="",
    )


def runners(size, batch: int, folder: Path) -> dict:
    """Return name -> callable."""
    import onnxruntime

    network = size.network("batch")
    settle(network)
    images = np.random.default_rng(1).normal(size=(batch, *network.input.shape[1:])).astype(np.float32)
    stock = build_predictor(network, load_recipe("mri_carcinoma").inference, head="mean").stock()
    function = tf.function(lambda x: tf.reduce_mean(stock.maps(x), axis=0), autograph=False)
    whole, second = source_of(network, "mean"), source_of(network, 2 if len(network.output) >= 2 else 1)
    network.compile(jit_compile=False)
    session = onnxruntime.InferenceSession(
        written(folder / "network.onnx", to_onnx(whole)), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    calibration = SimpleNamespace(
        images=np.random.default_rng(2).normal(size=(4, *network.input.shape[1:])).astype(np.float32)
    )
    frozen = frozen_probability(whole)
    return {
        "tf.function": lambda: function(tf.constant(images)).numpy(),
        "Keras predict": lambda: network.predict_on_batch(images),
        "SavedModel": saved(whole, folder / "whole", images),
        "SavedModel of head 2": saved(second, folder / "second", images),
        "LiteRT float": _litert(to_litert(frozen, None), images),
        "LiteRT int8": _litert(to_litert(frozen, calibration), images),
        "ONNX Runtime": lambda: session.run(None, {name: images}),
    }


def settle(network) -> None:
    """Set moving statistics as after training: those of noise, so that values stay near 1 through all
    layers.
    """
    noise = tf.random.stateless_normal([2, *network.input.shape[1:]], [0, 1])
    for _ in range(20 if network.input.shape[1] <= 64 else 2):
        network(noise, training=True)


def written(path: Path, content: bytes) -> str:
    """Write a file and return its path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def saved(source, folder: Path, images):
    """Return a callable that calls the SavedModel of `source`, written and loaded again."""
    endpoints = Endpoints(source)
    tf.saved_model.save(endpoints, str(folder), signatures={PREPARED: endpoints.functions[PREPARED]})
    loaded = tf.saved_model.load(str(folder))
    served = loaded.signatures[PREPARED]
    return lambda: (
        loaded,
        served(images=tf.constant(images))["probability"].numpy(),
    )  # `loaded` must live as long


def _litert(content: bytes, images):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(entry["index"], images.shape)
    interpreter.allocate_tensors()

    def run():
        interpreter.set_tensor(entry["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    return run


def rows(size) -> list:
    """Return the rows of inference."""
    with tempfile.TemporaryDirectory() as folder:
        runs = runners(size, 1, Path(folder))
        found = interleaved(runs, 2 * size.rounds + 1)
    base, saved = found["tf.function"], found["SavedModel"]

    def against(name, other, **more):
        label = "tf.function" if other is base else "SavedModel"
        sides = {name: milliseconds(found[name]), label: milliseconds(other)}
        return ratio(
            GROUP,
            f"{name} against {'a ' if other is base else 'our '}{label}",
            other,
            found[name],
            sides=sides,
            **more,
        )

    engines = {name: found[name] for name in ("ONNX Runtime", "LiteRT float")}
    fastest = min(engines, key=lambda name: engines[name].clock)
    return [
        against("SavedModel", base, at_least=1.3, note="Batch norms folded, one slice"),
        ratio(
            GROUP,
            f"SavedModel against the fastest other float32 engine ({fastest})",
            engines[fastest],
            saved,
            at_least=1.0,
            sides={"SavedModel": milliseconds(saved), fastest: milliseconds(engines[fastest])},
        ),
        against("LiteRT int8", base, at_least=3, note="Dice on real images: tools/serving/MEASURED.md"),
        against("SavedModel of head 2", base, at_least=3.5, note="Of the network with all heads"),
        *(against(name, base) for name in ("LiteRT float", "ONNX Runtime", "Keras predict")),
    ]
