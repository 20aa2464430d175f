"""TensorFlow's start-up noise: gone, unless asked for."""

import os
import subprocess
import sys

import pytest

from clamnet_tf.quiet import stderr_held_back

START = """
from clamnet_tf.quiet import silence
silence()
"""
WORK = f"""{START}
import numpy as np, keras, tensorflow as tf
tf.config.list_physical_devices()
network = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)])
network.compile("adam", "mse")
network.fit(np.ones((4, 16, 16, 3)), np.ones((4, 14, 14, 4)), verbose=0)
"""


def stderr_of(code, **variables):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TF_CPP_MIN_LOG_LEVEL", "CLAMNET_TF_VERBOSE")
    }
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**environment, **variables}
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stderr


def test_nothing_is_printed():
    assert stderr_of(WORK) == ""


def test_verbose_prints_what_tensorflow_says():
    assert "oneDNN" in stderr_of(START, CLAMNET_TF_VERBOSE="1")


def test_what_was_held_back_is_printed_when_the_block_fails(capfd):
    with pytest.raises(ImportError, match="broken"), stderr_held_back():
        os.write(2, b"the reason\n")
        raise ImportError("broken")
    assert capfd.readouterr().err == "the reason\n"


def test_stderr_works_again_afterwards(capfd):
    with stderr_held_back():
        os.write(2, b"noise\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
