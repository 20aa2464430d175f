"""Write assets.extra/tf_serving_warmup_requests: requests that TensorFlow Serving runs before it serves a
version.

The file is a TFRecord of PredictionLog, https://www.tensorflow.org/tfx/serving/saved_model_warmup. Without
it, the first request of each shape pays for the preparation of the graph.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.export.reference import Reference

FILE = "assets.extra/tf_serving_warmup_requests"


def write_warmup(folder: Path, name: str, reference: Reference) -> int:
    """Write the requests of `reference` into the version's folder and return their number.

    Raises:
        EnvironmentFailure: tensorflow-serving-api cannot be loaded.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError as error:
        raise EnvironmentFailure(
            f"Warm-up requests need tensorflow-serving-api, which cannot be loaded ({error}). Install it: "
            f"pip install 'clamnet-tf[export]'."
        ) from error
    path = folder / FILE
    path.parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs, _, _ in reference.calls:
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for key, value in inputs.items():
                value = np.array(value, object) if isinstance(value, list) else value
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
    return len(reference.calls)
