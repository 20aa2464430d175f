"""KServe 0.21 as an independent server of the SavedModel: asked as anyone would, and by our client. Run by
tools/test-kserve.
"""

import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests

from clamnet_tf.export.reference import prepared_slices
from clamnet_tf.serving.address import parse_address
from clamnet_tf.serving.served_probability import ServedProbability, connect

pytestmark = pytest.mark.kserve


@pytest.fixture(scope="module")
def url(exported):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        str(Path(__file__).with_name("kserve_process.py")),
        str(exported.path),
        "mri_carcinoma",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        base = f"http://127.0.0.1:{port}/v1/models/mri_carcinoma"
        deadline = time.monotonic() + 240
        while True:
            try:
                if requests.get(base, timeout=5).json().get("ready"):
                    break
            except requests.exceptions.ConnectionError:
                pass
            assert process.poll() is None, process.stderr.read()[-3000:]
            assert time.monotonic() < deadline, "the server did not become ready"
            time.sleep(0.5)
        yield base
        process.terminate()
        process.stderr.close()


def test_predict_equals_local_prediction(url, gray_source):
    images = prepared_slices(32, 1)
    wanted = gray_source.original(images)[..., 0]
    answer = requests.post(
        f"{url}:predict", json={"instances": [{"images": one.tolist()} for one in images]}, timeout=120
    )
    assert answer.status_code == 200, answer.text[:500]
    found = answer.json()["predictions"]
    np.testing.assert_allclose([one["probability"] for one in found], wanted, atol=1e-5)
    np.testing.assert_array_equal(
        [one["mask"] for one in found], (wanted >= gray_source.thresholds[0]) & (images != 0).any(-1)
    )


def test_our_client_gets_the_same_from_it(url, gray_source):
    images = prepared_slices(32, 1)
    client = ServedProbability(connect(parse_address(url)), gray_source.identity, side=32)
    np.testing.assert_allclose(client(images), gray_source.original(images), atol=1e-5)
