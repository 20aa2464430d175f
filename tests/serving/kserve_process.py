"""An exported SavedModel behind KServe 0.21, without clamnet_tf: python kserve_process.py FOLDER NAME PORT"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import kserve
import numpy as np
import tensorflow as tf


class SavedModel(kserve.Model):
    """TensorFlow Serving's row format, which is KServe's protocol v1: instances in, predictions out."""

    def __init__(self, name, folder):
        super().__init__(name)
        self.folder = folder
        self.load()

    def load(self):
        self.model = tf.saved_model.load(self.folder)
        self.ready = True
        return self.ready

    async def predict(self, payload, headers=None, response_headers=None):
        rows = payload["instances"]
        function = self.model.signatures[payload.get("signature_name", "serving_default")]
        inputs = {key: tf.constant(np.array([row[key] for row in rows], np.float32)) for key in rows[0]}
        answer = {key: value.numpy().tolist() for key, value in function(**inputs).items()}
        text = {
            key: [one.decode() if isinstance(one, bytes) else one for one in value]
            for key, value in answer.items()
        }
        return {"predictions": [{key: value[row] for key, value in text.items()} for row in range(len(rows))]}


if __name__ == "__main__":
    folder, name, port = sys.argv[1:]
    assert not any(module.split(".")[0] == "clamnet_tf" for module in sys.modules)
    kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1).start([SavedModel(name, folder)])
