"""Silence TensorFlow's messages at start, unless the user asked for them with -v.

Measured on TensorFlow 2.21: TF_CPP_MIN_LOG_LEVEL=3 silences everything after the import, but not the lines
that its libraries write while they are loaded (`WARNING: All log messages before absl::InitializeLog()`,
oneDNN, CUDA factories), because those appear before any logging is configured. So the import itself runs with
stderr held back.
"""

import contextlib
import importlib
import logging
import os
import sys
import tempfile

VERBOSE_VARIABLE = "CLAMNET_TF_VERBOSE"


def is_verbose() -> bool:
    """Return whether `-v` was given or CLAMNET_TF_VERBOSE is set to anything but an empty text or 0."""
    return os.environ.get(VERBOSE_VARIABLE, "") not in ("", "0")


def silence() -> None:
    """Import TensorFlow and keep it from printing to stderr; with -v only import it.

    Call it in a command's callback, before any other import that loads TensorFlow or Keras. When the import
    fails, the held-back text is printed and the error is raised.
    """
    if is_verbose():
        importlib.import_module("tensorflow")
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if "tensorflow" not in sys.modules:
        with stderr_held_back():
            importlib.import_module("tensorflow")


@contextlib.contextmanager
def stderr_held_back():
    """Hold back what this process, C++ code included, writes to stderr; print it when the block fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            if failed:
                held.seek(0)
                os.write(2, held.read())
