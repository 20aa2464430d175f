"""Run inputs one after another under limits in a child process, and report how each ended.

harness.Child starts it.
"""

import json
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path

MOST_BYTES = 1_500_000_000  # of memory that one input may take
ROOM = (
    3_000_000_000  # of addresses beyond those of its start: more ends in MemoryError, which counts as failed
)


def serve(heavy: bool) -> None:
    """Answer lines of JSON {"kind", "path"} with lines {"outcome", "told", "where", "seconds", "bytes"} until
    the end.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    import clamnet_tf.datasets.layouts.recognition
    import clamnet_tf.datasets.unlabelled_inputs
    import clamnet_tf.study.read
    import clamnet_tf.zoo.remote
    from fuzzing import targets

    if heavy:
        import clamnet_tf.networks.saved  # noqa: F401
    limit = _status("VmSize") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(run(targets.TARGETS[asked["kind"]], Path(asked["path"]))), file=answers, flush=True)


def run(target, path: Path) -> dict:
    """Return how one input ended, with its processor time and peak memory."""
    from clamnet_tf.errors import ClamnetError
    from fuzzing.targets import CLEAN, FAILED, REFUSED

    before, began = _forget_peak(), time.process_time()
    outcome, told, where = CLEAN, "", ""
    try:
        target(path)
    except ClamnetError as error:
        outcome, told = REFUSED, f"{type(error).__name__}: {error}"
        if (cause := _memory_error(error)) is not None:
            outcome, where = FAILED, f"MemoryError behind {type(error).__name__} {_place(cause)}"
        elif len(told) > 100_000:
            outcome, where = FAILED, f"a message of {len(told):,} signs"
        told = told[:2000]
    except BaseException as error:
        outcome, told, where = (
            FAILED,
            "".join(traceback.format_exception(error))[-6000:],
            f"{type(error).__name__} {_place(error)}",
        )
    return {
        "outcome": outcome,
        "told": told,
        "where": where,
        "seconds": time.process_time() - began,
        "bytes": _status("VmHWM") - before,
    }


def _memory_error(error):
    while error is not None:
        if isinstance(error, MemoryError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _place(error) -> str:
    """Return the innermost line of the project that an error passed through."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if f"{os.sep}clamnet_tf{os.sep}" in frame.f_code.co_filename:
            found = f"in {frame.f_code.co_filename.rpartition('clamnet_tf' + os.sep)[2]}:{line}"
    return found


def _forget_peak() -> int:
    """Reset the kernel's count of peak memory, and return the bytes that are in use now."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="utf-8") as stream:
            stream.write("5")
    except OSError:
        pass
    return _status("VmRSS")


def _status(name: str) -> int:
    with open("/proc/self/status", encoding="utf-8") as stream:
        return next((1024 * int(line.split()[1]) for line in stream if line.startswith(f"{name}:")), 0)
