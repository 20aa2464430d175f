"""Run `clamnet-tf predict` in this process and measure what its parts take.

    python prediction_parts.py OUT.json predict MODEL INPUT --out FOLDER ...

The functions of PARTS are wrapped from outside. A part's seconds are those in its functions without those in
functions of other parts that they call; importing modules is a part of its own wherever it happens. What runs
in several threads at once is added up, so the parts may then sum to more than the whole. The network, which
otherwise computes while the next volume is read, computes when everything else waits for it, so that
processor time belongs to one part.
"""

import builtins
import functools
import importlib
import json
import sys
import threading
import time
from collections import Counter

BEGAN = time.perf_counter()
START, REST = "start and imports", "rest"
#: part -> functions, as module:name or module:class.name
PARTS = {
    "finding files, headers": ("clamnet_tf.datasets.unlabelled_inputs:find_inputs",),
    "reading": ("clamnet_tf.preprocessing.volumes:assemble",),
    "organ step": ("clamnet_tf.preprocessing.organ_region:organ_region",),
    "cropping and normalising": (
        "clamnet_tf.preprocessing.prepared_volume:prepare_volume",
        "clamnet_tf.preprocessing.atlas_channel:volume_with_atlas_channel",
    ),
    "loading the model": (
        "clamnet_tf.zoo.resolve:open_model",
        "clamnet_tf.inference.engine:choose_engine",
        "clamnet_tf.workflows.model_notes:load_announced",
    ),
    "network": ("clamnet_tf.inference.head_predictor:HeadPredictor.heads",),
    "post-processing": ("clamnet_tf.inference.postprocessing.volume:VolumePostprocessor.__call__",),
    "masks on the files' grid": ("clamnet_tf.prediction.marked_volume:mark_volume",),
    "writing": (
        "clamnet_tf.prediction.formats:write_masks",
        "clamnet_tf.prediction.predict:write_summary",
        "clamnet_tf.prediction.progress_log:ProgressLog.add",
    ),
}


class Parts:
    """Sum up the seconds of each part, by the clock and in processor time of the whole process.

    Attributes:
        clock, processor: part -> seconds.
    """

    def __init__(self):
        self.clock, self.processor = Counter(), Counter()
        self._open, self._lock = threading.local(), threading.Lock()

    def timed(self, part: str, function):
        """Return `function`, whose calls count for `part`."""

        @functools.wraps(function)
        def call(*arguments, **named):
            with self.inside(part):
                return function(*arguments, **named)

        return call

    def inside(self, part: str) -> "_Inside":
        """Return a context whose time counts for `part`, less that of the contexts within it."""
        return _Inside(self, part)


class _Inside:
    def __init__(self, parts: Parts, part: str):
        self.parts, self.part = parts, part

    def __enter__(self):
        stack = self.parts._open.__dict__.setdefault("stack", [])
        stack.append([0.0, 0.0])
        self.began = time.perf_counter(), time.process_time()

    def __exit__(self, *error):
        took = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        stack = self.parts._open.stack
        inner = stack.pop()
        with self.parts._lock:
            self.parts.clock[self.part] += took[0] - inner[0]
            self.parts.processor[self.part] += took[1] - inner[1]
        if stack:
            stack[-1] = [sum(pair) for pair in zip(stack[-1], took)]


def wrap(parts: Parts, table: dict = PARTS) -> None:
    """Wrap the functions of the table wherever a loaded module of clamnet_tf holds them.

    Raises:
        AttributeError: A module has no such function any more; the table must follow it.
    """
    for part, functions in table.items():
        for function in functions:
            owner, name = owner_of(function)
            original = getattr(owner, name)
            wrapped = parts.timed(part, original)
            setattr(owner, name, wrapped)
            if not isinstance(owner, type):
                _replace(name, original, wrapped)


def one_part_at_a_time() -> None:
    """Let the network compute a volume when it is finished, instead of beside the reading of the next."""
    owner, name = owner_of("clamnet_tf.prediction.mark_groups:GroupMarker.start")
    start = getattr(owner, name)
    setattr(owner, name, lambda marker, group, stem, pool=None: start(marker, group, stem))


def owner_of(function: str) -> tuple[object, str]:
    """Return the module or class that holds a function of PARTS, and the name that it has there.

    Raises:
        AttributeError: There is no such function.
    """
    module, _, path = function.partition(":")
    owner, (*classes, name) = importlib.import_module(module), path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    getattr(owner, name)
    return owner, name


def _replace(name: str, original, wrapped) -> None:
    """Put the wrapped function into all modules that imported the original."""
    for title, module in list(sys.modules.items()):
        if title.startswith("clamnet_tf") and getattr(module, name, None) is original:
            setattr(module, name, wrapped)


def time_imports(parts: Parts) -> None:
    """Count the import of modules that are not loaded yet as the part START."""
    original = builtins.__import__

    def timed(name, globals=None, locals=None, fromlist=(), level=0):
        if not level and name in sys.modules:
            return original(name, globals, locals, fromlist, level)
        with parts.inside(START):
            return original(name, globals, locals, fromlist, level)

    builtins.__import__ = timed


def main() -> None:
    out, *arguments = sys.argv[1:]
    parts = Parts()
    time_imports(parts)
    with parts.inside(START):
        from clamnet_tf.cli.main import main as command

        wrap(parts)
        one_part_at_a_time()
    with parts.inside(REST):
        try:
            code = command(arguments, prog_name="clamnet-tf", standalone_mode=True)
        except SystemExit as ended:
            code = ended.code
    whole = time.perf_counter() - BEGAN, time.process_time()
    with open(out, "w", encoding="utf-8") as stream:
        json.dump({"whole": whole, "clock": parts.clock, "processor": parts.processor}, stream)
    sys.exit(code)


if __name__ == "__main__":
    main()
