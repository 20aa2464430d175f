"""One process, two replicas in one process, two processes over loopback: the same 20 steps
(share_of_steps.py).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
LAUNCHER = HERE.parents[1] / "tools" / "launch_local_cluster"
TOLERANCE = (
    2e-6  # float32 sums in another order, 20 steps of clipped SGD with momentum; weights move by up to 0.06
)


def steps_of(kind, replicas=1, processes=1, logs=None):
    """What every process printed."""
    command = [sys.executable, str(HERE / "share_of_steps.py"), kind, str(replicas)]
    if processes > 1:
        command = [sys.executable, str(LAUNCHER), str(processes), "--logs", str(logs), "--", *command]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    texts = (
        [done.stdout]
        if processes == 1
        else [(logs / f"worker-{index}.log").read_text() for index in range(processes)]
    )
    return [json.loads(text.strip().splitlines()[-1]) for text in texts]


def distance(one, two):
    return max(np.abs(np.subtract(*pair)).max() for pair in zip(one["weights"], two["weights"]))


def means(answer):
    told = np.array(answer["told"])
    return told[:, 0] / told[:, 1]


@pytest.mark.parametrize("kind", ["shared", pytest.param("ema", marks=pytest.mark.slow)])
def test_the_same_weights_on_one_device_two_replicas_and_two_processes(kind, tmp_path):
    [one], [replicas] = steps_of(kind), steps_of(kind, replicas=2)
    first, second = steps_of(kind, processes=2, logs=tmp_path)
    assert (first["index"], second["index"]) == (0, 1)
    assert first["weights"] == second["weights"] and first["told"] == second["told"]  # to the bit
    for other in (replicas, first):
        assert distance(one, other) < TOLERANCE
        np.testing.assert_allclose(means(one), means(other), atol=1e-5)
    assert means(one)[0, -1] > 0.2 and len(means(one)) == 20  # the gradient was clipped
    for answer in (first, second):
        assert answer["heard"] == {"told": [0, "é"]}
        assert answer["gathered"] == [[0, 1, 2], [10, 11, 12]]
        np.testing.assert_allclose(answer["shared"], one["shared"], atol=1e-6)
    assert first["shared"] == second["shared"]
