"""Measure one setting of benchmarks.accelerators in a process of its own: python -m benchmarks.accelerated
SETTING SIZE.

It prints the figures as JSON.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    import keras
    import tensorflow as tf
    from benchmarks.accelerators import BATCH
    from benchmarks.rounds import interleaved
    from benchmarks.subjects import FULL, QUICK, our_step, slices_for

    setting, size = json.loads(sys.argv[1]), {"full": FULL, "quick": QUICK}[sys.argv[2]]
    keras.mixed_precision.set_global_policy(setting["precision"])
    if setting["xla"]:
        tf.config.optimizer.set_jit("autoclustering")
    device = f"/{setting['device'].upper()}:0"
    with tf.device(device):
        network = size.network("group", side=setting["side"])
        images = tf.constant(slices_for(network, BATCH))
        forward = tf.function(lambda batch: network(batch, training=False), autograph=False)

        def infer():
            for output in forward(images).values():
                output.numpy()

        step = our_step(network, BATCH)
        began = time.perf_counter()
        step()
        first = time.perf_counter() - began
        found = interleaved({"training": step, "inference": infer}, 3 if size.name == "quick" else 20)
    peak = None
    if setting["device"] == "gpu":
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9
    print(
        json.dumps(
            {
                "training_ms": 1000 * found["training"].clock,
                "inference_ms_per_slice": 1000 * found["inference"].clock / BATCH,
                "peak_gb": peak,
                "first_step_s": first,
            }
        )
    )


if __name__ == "__main__":
    main()
