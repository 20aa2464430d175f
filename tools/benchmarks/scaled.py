"""Measure one setting of benchmarks.scaling in a process of its own: python -m benchmarks.scaled SETTING
ROUNDS.

It prints seconds and peak memory as JSON.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    from benchmarks.processes import peak_gb
    from benchmarks.rounds import interleaved
    from benchmarks.scaling import size_of
    from benchmarks.subjects import our_step, slices_for

    from clamnet_tf.inference.predictor import Predictor

    setting, rounds = json.loads(sys.argv[1]), int(sys.argv[2])
    network = size_of(setting).network("group")
    marker, images = Predictor(network, batch_size=setting["batch"]), slices_for(network, setting["batch"])
    found = interleaved(
        {"training": our_step(network, setting["batch"]), "inference": lambda: marker(images)}, rounds
    )
    told = {
        f"{name}_{by}": round(value, 5)
        for name, taken in found.items()
        for by, value in (("s", taken.clock), ("processor_s", taken.processor))
    }
    print(json.dumps({**told, "peak_gb": round(peak_gb(), 3)}))


if __name__ == "__main__":
    main()
