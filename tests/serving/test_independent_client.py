"""ovmsclient 2023.1, written by others for OpenVINO and TensorFlow Serving, asks our SavedModel over gRPC."""

import json
import subprocess
import sys

import numpy as np
import pytest

from clamnet_tf.export.reference import local, pictures, prepared_slices

pytest.importorskip("ovmsclient", reason="ovmsclient is not installed; it is in the extra [test]")

ASK = """
import json, sys
import numpy as np
from ovmsclient import make_grpc_client
assert not any(name.split(".")[0] in ("clamnet_tf", "tensorflow") for name in sys.modules)
client = make_grpc_client(f"127.0.0.1:{sys.argv[1]}")
given = np.load(sys.argv[2], allow_pickle=False)
status = client.get_model_status("mri_carcinoma")
metadata = client.get_model_metadata("mri_carcinoma")
answer = client.predict({"images": given["images"]}, "mri_carcinoma")
np.savez(sys.argv[3], **answer)
print(json.dumps({"status": status, "metadata": metadata}, default=str))
"""


def test_it_gets_what_local_prediction_gives(ports, gray_source, tmp_path):
    images = prepared_slices(32, 1)
    np.savez(tmp_path / "given.npz", images=images)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            ASK,
            str(ports["grpc"]),
            str(tmp_path / "given.npz"),
            str(tmp_path / "answer.npz"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["status"]["1"]["state"] == "AVAILABLE"
    assert said["metadata"]["inputs"]["images"]["shape"] == [-1, 32, 32, 1]
    answer, wanted = np.load(tmp_path / "answer.npz"), gray_source.original(images)[..., 0]
    np.testing.assert_allclose(answer["probability"], wanted, atol=1e-5)
    np.testing.assert_array_equal(
        answer["mask"], (wanted >= gray_source.thresholds[0]) & (images != 0).any(-1)
    )
    assert answer["presence"].shape == (3,)


def test_pictures_go_in_as_base64_over_rest(ports, gray_source):
    import base64

    import requests

    files = pictures(1)[:2]
    body = {
        "signature_name": "encoded",
        "instances": [{"image_bytes": {"b64": base64.b64encode(content).decode()}} for content in files],
    }
    answer = requests.post(
        f"http://127.0.0.1:{ports['rest']}/v1/models/mri_carcinoma:predict", json=body, timeout=120
    ).json()["predictions"]
    wanted = local(gray_source, files)
    np.testing.assert_allclose([one["probability"] for one in answer], wanted["probability"], atol=1e-3)
    np.testing.assert_array_equal([one["box"] for one in answer], wanted["box"])
