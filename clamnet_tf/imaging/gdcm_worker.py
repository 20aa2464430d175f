"""Run GDCM in a separate process: damaged JPEG data make it end its process, which must not be the training
run.

GDCM is the only freely licensed decoder of lossless JPEG (processes 14 and 14 SV1), which many hospitals
send; the other syntaxes have decoders that fail with an error. One worker is started when it is first needed
(0.5 s) and kept; it ends with the program. Run as `python -m clamnet_tf.imaging.gdcm_worker` it answers lines
of JSON on its stdin.
"""

import atexit
import contextlib
import faulthandler
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from clamnet_tf.errors import ImageError

_LEAST_SECONDS, _BYTES_PER_SECOND = 9, 1_000_000  # time limit for one file; a decoder that runs longer hangs
_LOCK = threading.Lock()
_worker: subprocess.Popen | None = None
_owner = 0  # process that started the worker; a forked child needs its own worker


def decode_with_gdcm(path: Path) -> np.ndarray:
    """Return the stored values of a DICOM file, read-only.

    They equal those of `pydicom.pixels.pixel_array(path, decoding_plugin='gdcm')`.

    Raises:
        ValueError: GDCM refuses the file; the message is GDCM's own.
        ImageError: the worker died or hung on the file.
    """
    with _LOCK:
        worker, in_step = _running_worker(), False
        assert worker.stdin is not None and worker.stdout is not None  # pipes, see _running_worker
        try:
            worker.stdin.write(json.dumps(str(Path(path).resolve())).encode() + b"\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
            data = worker.stdout.read(json.loads(answer)["bytes"]) if answer else b""
            in_step = True
        except BrokenPipeError:
            answer = data = b""
        finally:
            if not in_step:  # Ctrl-C between request and answer, or no worker any more
                _stop_worker()
        if not answer or len(data) != json.loads(answer)["bytes"]:
            _stop_worker()
            raise ImageError(
                f"{path}: its compressed pixel data are damaged: the decoder (GDCM) broke down on them. "
                f"Export the image again."
            )
    facts = json.loads(answer)
    if facts["error"] is not None:
        raise ValueError(facts["error"])
    return np.frombuffer(data, dtype=facts["dtype"]).reshape(facts["shape"])


def _running_worker() -> subprocess.Popen:
    global _worker, _owner
    if _worker is None or _worker.poll() is not None or _owner != os.getpid():
        if _worker is not None and _owner == os.getpid():
            _stop_worker()
        package_root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join([package_root, *filter(None, [os.environ.get("PYTHONPATH")])])
        _worker = subprocess.Popen(
            [sys.executable, "-m", "clamnet_tf.imaging.gdcm_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
        )
        _owner = os.getpid()
    return _worker


def _stop_worker():
    global _worker
    if _worker is None or _owner != os.getpid():
        return
    worker, _worker = _worker, None
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        with contextlib.suppress(BrokenPipeError):
            if pipe is not None:
                pipe.close()


atexit.register(_stop_worker)


def _serve():
    """Answer requests until stdin closes.

    GDCM may print on stdout, so answers go to a copy of it and stdout goes to stderr.
    """
    from pydicom.pixels import pixel_array

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        path = json.loads(line)
        faulthandler.dump_traceback_later(
            _LEAST_SECONDS + os.path.getsize(path) / _BYTES_PER_SECOND, exit=True
        )
        try:
            values = np.ascontiguousarray(pixel_array(path, decoding_plugin="gdcm"))
            facts, data = (
                {"error": None, "dtype": values.dtype.str, "shape": values.shape, "bytes": values.nbytes},
                values.tobytes(),
            )
        except Exception as error:  # every error is reported to the process that asked
            facts, data = {"error": str(error) or type(error).__name__, "bytes": 0}, b""
        faulthandler.cancel_dump_traceback_later()
        answers.write(json.dumps(facts).encode() + b"\n" + data)
        answers.flush()


if __name__ == "__main__":
    _serve()
