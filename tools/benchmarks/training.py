"""Measure the training step: against plain Keras, the convolution peak, one view, and the loop against the
step.
"""

import tensorflow as tf
from benchmarks.rounds import Taken, interleaved
from benchmarks.rows import Row, figure, milliseconds, ratio
from benchmarks.subjects import our_step, pairs, plain_step, siamese_step, siamese_trainer

from clamnet_tf.diagnostics.hardware import processor
from clamnet_tf.training.strategy import build_strategy
from clamnet_tf.training.updates import updates

GROUP = "Training"
#: Plain 3 x 3 convolutions, (side, channels) at batch 4: where oneDNN is at its best.
PEAK_SHAPES = ((128, 64), (64, 128), (64, 256), (32, 512))


def peak_runs(size) -> tuple[dict, dict]:
    """Return name -> callable, and name -> GFLOP of each."""
    runs, gflop = {}, {}
    for side, channels in PEAK_SHAPES if size.name == "full" else ((16, 8),):
        name = f"peak {side} x {side} x {channels}"
        image, kernel = (
            tf.random.normal([4, side, side, channels]),
            tf.random.normal([3, 3, channels, channels]),
        )
        runs[name] = _convolution(image, kernel)
        gflop[name] = 2 * 9 * 4 * side**2 * channels**2 / 1e9
    return runs, gflop


def _convolution(image, kernel):
    convolve = tf.function(lambda: tf.nn.conv2d(image, kernel, 1, "SAME"))
    return lambda: convolve()[0, 0, 0, 0].numpy()


def rows(size) -> list:
    """Return the rows of the training step."""
    runs, gflop = peak_runs(size)
    for batch in size.batches:
        runs[f"ours, batch norm, {batch}"] = our_step(size.network("batch"), batch)
        runs[f"ours, group norm, {batch}"] = our_step(size.network("group"), batch)
        if "amx_bf16" in processor()[1]:
            runs[f"bfloat16, {batch}"] = our_step(size.network("group"), batch, "bfloat16")
        runs[f"Keras, batch norm, {batch}"] = plain_step(size.network("batch"), batch)
    found = interleaved(runs, size.rounds)
    best = Taken(
        *(min(getattr(found[name], by) / gflop[name] for name in gflop) for by in Taken._fields)
    )  # seconds per GFLOP
    peak = f"{figure(1 / best.clock)} GFLOP/s ({figure(1 / best.processor)} per core of processor time)"
    result = []
    for batch in size.batches:
        ours, group, keras = (
            found[f"{name}, {batch}"]
            for name in ("ours, batch norm", "ours, group norm", "Keras, batch norm")
        )
        sides = {"ours": milliseconds(ours), "plain Keras": milliseconds(keras)}
        images = f"{figure(batch / ours.clock)} against {figure(batch / keras.clock)} images/s"
        result.append(
            ratio(
                GROUP,
                f"step of {batch}: ours against plain Keras, same UNet++, batch norm",
                keras,
                ours,
                at_least=1.15,
                sides=sides,
                note=images,
            )
        )
        sides = {"ours, group": milliseconds(group), "Keras, batch": milliseconds(keras)}
        result.append(
            ratio(
                GROUP,
                f"step of {batch}: our group norm against Keras' batch norm",
                keras,
                group,
                at_least=1.0,
                sides=sides,
            )
        )
        if f"bfloat16, {batch}" in found:
            faster = found[f"bfloat16, {batch}"]
            result.append(
                ratio(
                    GROUP,
                    f"step of {batch}: convolutions in bfloat16 (AMX) against float32, group norm",
                    group,
                    faster,
                    at_least=1.3 if batch == max(size.batches) else None,
                    sides={"bfloat16": milliseconds(faster), "float32": milliseconds(group)},
                    note="runtime.mixed_precision: bfloat16",
                )
            )
        work = 3 * batch * size.gflop()
        share = Row(
            GROUP,
            f"step of {batch}: share of the convolution peak",
            100 * work * best.clock / ours.clock,
            "%",
            100 * work * best.processor / ours.processor,
            at_least=75 if batch == max(size.batches) else None,
            sides={"peak": peak, "ours": f"{figure(work)} GFLOP in {milliseconds(ours)}"},
            note="Three times the forward pass's convolutions; norms, activations and the update count as "
            "time, not as work",
        )
        result.append(share)
    return result + twin_rows(size)


def twin_rows(size) -> list:
    """Measure two views against one, and the loop of `fit` with its input pipeline against the bare step.

    The bare step runs on a batch that is ready. Both are measured at half the side.
    """
    side, batch = max(16, size.side // 2), max(size.batches)
    trainer, loops = (
        siamese_trainer(size.network("group", side), "shared"),
        2 * (size.rounds + 2) * size.loop_steps,
    )
    with build_strategy("one_device").scope():
        looped = siamese_trainer(size.network("group", side), "shared")
        told = updates(
            looped,
            lambda share: pairs(side, batch, steps=loops)(0, share),
            steps=loops,
            asked_to_stop=lambda: False,
        )
    bare_step, data = tf.function(trainer.update, autograph=False), next(iter(pairs(side, batch, steps=1)(0)))

    def bare():
        for _ in range(size.loop_steps):
            bare_step(data).numpy()

    def loop():
        for _ in range(size.loop_steps):
            next(told)

    runs = {
        "one view": siamese_step(size.network("group", side), "none", batch),
        "two views": siamese_step(size.network("group", side), "shared", batch),
    }
    found = interleaved({**runs, "bare": bare, "loop": loop}, size.rounds)
    one, two, bare_time, loop_time = (
        found["one view"],
        found["two views"],
        found["bare"] / size.loop_steps,
        found["loop"] / size.loop_steps,
    )
    where = f"{side} x {side}, {batch} slices, group norm"
    return [
        Row(
            GROUP,
            f"step of twins against a step of one view ({where})",
            two.clock / one.clock,
            "x",
            two.processor / one.processor,
            at_most=2.05,
            sides={"two views": milliseconds(two), "one view": milliseconds(one)},
        ),
        ratio(
            GROUP,
            f"loop of fit with the whole input pipeline against the bare step ({where})",
            bare_time,
            loop_time,
            at_least=0.95,
            sides={"loop": milliseconds(loop_time), "bare step": milliseconds(bare_time)},
            note=f"{size.loop_steps} steps at a time; at most 3 batches wait ready when its turn comes",
        ),
    ]
