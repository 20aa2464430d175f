"""A stand-in for tensorflow_model_server, for tests: <folder>/<name>/<version>/ served over gRPC and REST,
without clamnet_tf.

    python model_process.py FOLDER        prints {"grpc": port, "rest": port} once it takes requests

gRPC: PredictionService (Predict, GetModelMetadata) and ModelService (GetModelStatus) of
tensorflow-serving-api. REST: the row format of TensorFlow Serving at /v1/models/NAME:predict. Faults, by the
beginning of the REST path: /busy (503 twice, then as usual), /stalls (never answers), /cuts (closes the
connection once), /wrong (an answer that is no prediction); over gRPC a model called "busy" is UNAVAILABLE
twice.
"""

import base64
import collections
import concurrent.futures
import http.server
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

FAULTS = collections.Counter()


class Models:
    """The highest version of every model in a folder."""

    def __init__(self, folder):
        self.versions, self.loaded = {}, {}
        for path in Path(folder).iterdir():
            self.versions[path.name] = max(
                int(version.name) for version in path.iterdir() if version.name.isdecimal()
            )
            self.loaded[path.name] = tf.saved_model.load(str(path / str(self.versions[path.name])))

    def function(self, name, signature):
        return self.loaded[name].signatures[signature or "serving_default"]

    def run(self, name, signature, inputs):
        function = self.function(name, signature)
        wanted = function.structured_input_signature[1]
        if set(inputs) != set(wanted):
            raise ValueError(f"inputs {sorted(inputs)} instead of {sorted(wanted)}")
        return {
            key: value.numpy()
            for key, value in function(
                **{key: tf.constant(value, wanted[key].dtype) for key, value in inputs.items()}
            ).items()
        }


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):
        name = request.model_spec.name
        if name == "busy" and (FAULTS.update(["grpc"]) or FAULTS["grpc"]) <= 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "try again")
        name = next(iter(self.models.loaded)) if name == "busy" else name
        if name not in self.models.loaded:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({name})")
        try:
            outputs = self.models.run(
                name,
                request.model_spec.signature_name,
                {key: tf.make_ndarray(value) for key, value in request.inputs.items()},
            )
        except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error)[:500])
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelMetadata(self, request, context):
        name = request.model_spec.name
        if name not in self.models.loaded:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found: {name}")
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        for key, function in self.models.loaded[name].signatures.items():
            for where, tensors in (
                ("inputs", function.structured_input_signature[1]),
                ("outputs", function.structured_outputs),
            ):
                for tensor_name, spec in tensors.items():
                    info = getattr(definitions.signature_def[key], where)[tensor_name]
                    info.dtype = spec.dtype.as_datatype_enum
                    info.tensor_shape.CopyFrom(spec.shape.as_proto())
        response.metadata["signature_def"].Pack(definitions)
        return response


class Status(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, models):
        self.models = models

    def GetModelStatus(self, request, context):
        response = get_model_status_pb2.GetModelStatusResponse()
        available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        response.model_version_status.add(
            version=self.models.versions[request.model_spec.name], state=available
        )
        return response


def handler_of(models):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fault, _, name = self.path.partition("/v1/models/")
            FAULTS[fault] += 1
            if fault == "/stalls":
                time.sleep(30)
            if fault == "/busy" and FAULTS[fault] <= 2:
                return self.send(503, {"error": "busy"}, {"Retry-After": "0"})
            if fault == "/wrong":
                return self.send(200, {"hello": "world"})
            if fault == "/cuts" and FAULTS[fault] == 1:
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            name, _, verb = name.partition(":")
            name = name.partition("/")[0]
            if name not in models.loaded or verb != "predict":
                return self.send(404, {"error": f"Servable not found for request: Latest({name})"})
            try:
                request = json.loads(body)
                rows = [{key: decoded(value) for key, value in row.items()} for row in request["instances"]]
                outputs = models.run(
                    name,
                    request.get("signature_name"),
                    {key: np.array([row[key] for row in rows]) for key in rows[0]},
                )
            except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
                return self.send(400, {"error": str(error)[:500]})
            count = len(rows)
            listed = {
                key: [one.decode() if isinstance(one, bytes) else one for one in value.tolist()]
                for key, value in outputs.items()
            }
            return self.send(
                200,
                {"predictions": [{key: value[row] for key, value in listed.items()} for row in range(count)]},
            )

        def send(self, code, content, headers=()):
            body = json.dumps(content).encode()
            self.send_response(code)
            for key, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **dict(headers),
            }.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler


def decoded(value):
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def main(folder):
    models = Models(folder)
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(4),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(models), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(models), server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(models))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    print(json.dumps({"grpc": grpc_port, "rest": web.server_address[1]}), flush=True)
    sys.stdin.read()  # until whoever started it goes away


if __name__ == "__main__":
    main(sys.argv[1])
